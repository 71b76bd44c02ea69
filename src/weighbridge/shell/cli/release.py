"""`weighbridge release`: derive, weigh, decide, sign and publish every version of a plan."""

import argparse
from pathlib import Path

from weighbridge.shell.cli.gate import explain
from weighbridge.shell.cli.output import own_command, print_json, print_lines, readable_bytes
from weighbridge.shell.cli.plan_options import add_plan_arguments, open_line
from weighbridge.shell.cli.trust_options import add_signer_arguments, signer_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add_plan_arguments(parser)
    parser.add_argument("--hub", type=Path, metavar="DIR", help="hub folder (default: as the plan says)")
    add_signer_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Release; exit code 1 if any version is refused. What passed is published all the same."""
    from weighbridge.shell.wiring import publisher

    publishing = publisher(options.hub, options.key, signer=signer_from(options), hash_type=options.file_hash)
    with open_line(options) as line:
        outcome = publishing.release(line)
    if options.json:
        print_json(outcome.to_json())
        return int(bool(outcome.refused))
    if outcome.refused:
        print_lines(explain(outcome.refused))
    for version in outcome.published:
        print_lines([f"published {version.name} ({readable_bytes(version.size_bytes)})  {version.folder}"])
    for refused in outcome.refused:
        print_lines([f"refused   {refused.name}: not published"])
    print_lines(["", f"page      {outcome.page}"])
    if outcome.published:
        first = outcome.published[-1]
        print_lines(
            [
                f"verify    {own_command()} verify {first.folder} {outcome.verify_with}",
                f"run       {own_command()} run {first.name} --hub {outcome.hub} {outcome.verify_with}",
            ]
        )
    return int(bool(outcome.refused))
