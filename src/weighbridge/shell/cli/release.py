"""`weighbridge release`: derive, weigh, decide, sign and publish every version of a plan."""

import argparse
from typing import TYPE_CHECKING

from weighbridge.shell.cli.gate import explain
from weighbridge.shell.cli.hub_choice import add_publishing_arguments
from weighbridge.shell.cli.output import own_command, print_json, print_lines, readable_bytes
from weighbridge.shell.cli.plan_options import add_plan_arguments, open_line
from weighbridge.shell.cli.trust_options import add_signer_arguments, signer_from

if TYPE_CHECKING:
    from weighbridge.shell.line.publish import Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_plan_arguments(parser)
    add_publishing_arguments(parser, default="as the plan says")
    add_signer_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Release; exit code 1 if any version is refused. What passed is published all the same."""
    from weighbridge.shell.wiring import publisher

    publishing = publisher(None, options.key, signer=signer_from(options), hash_type=options.file_hash)
    with open_line(options) as line:
        outcome = publishing.release(line)
    if options.json:
        print_json(outcome.to_json())
    else:
        print_outcome(outcome)
    return int(bool(outcome.refused))


def print_outcome(outcome: "Outcome") -> None:
    """Say what was published, what was refused and why, and what to do next."""
    if outcome.refused:
        print_lines(explain(outcome.refused))
    for version in outcome.published:
        where = version.url or version.folder
        print_lines([f"published {version.name} ({readable_bytes(version.size_bytes)})  {where}"])
    for refused in outcome.refused:
        print_lines([f"refused   {refused.name}: not published"])
    print_lines(["", f"page      {outcome.page}"])
    if outcome.published:
        first = outcome.published[-1]
        what = f"{first.name} --hub {outcome.hub}" if first.url else str(first.folder)
        print_lines(
            [
                f"verify    {own_command()} verify {what} {outcome.verify_with}",
                f"run       {own_command()} run {first.name} --hub {outcome.hub} {outcome.verify_with}",
            ]
        )
