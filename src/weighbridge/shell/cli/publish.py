"""`weighbridge publish`: send what was released to a hub."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.errors import InputError
from weighbridge.shell.cli.hub_choice import add_publishing_arguments
from weighbridge.shell.cli.output import TerminalProgress, own_command, print_json, print_lines, readable_bytes
from weighbridge.shell.cli.plan_options import add_threads_argument, open_line
from weighbridge.shell.cli.trust_options import add_signer_arguments, signer_from
from weighbridge.shell.hub.remote_address import is_address

if TYPE_CHECKING:
    from weighbridge.hub.catalogue import StagedVersion
    from weighbridge.hub.port import Hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "plan",
        type=Path,
        metavar="PLAN|DIR",
        help="a release plan that was released before, or a hub folder whose versions go out as they are",
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="of a hub folder, this version only; repeatable"
    )
    add_publishing_arguments(parser, default="as the plan says")
    parser.add_argument("--work", type=Path, metavar="DIR", help="work folder of the plan (default: as the plan says)")
    add_threads_argument(parser)
    add_signer_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Publish; exit code 1 if the gate does not let a version through. What passed is published all the same."""
    return _publish_folder(options) if options.plan.is_dir() else _publish_plan(options)


def _publish_plan(options: argparse.Namespace) -> int:
    from weighbridge.shell.cli.release import print_outcome
    from weighbridge.shell.wiring import publisher

    if options.only:
        raise InputError("--only chooses among the versions of a hub folder", hint="Leave versions out of the plan.")
    publishing = publisher(None, options.key, signer=signer_from(options), hash_type=options.file_hash)
    with open_line(options) as line:
        line.check_finished()
        outcome = publishing.release(line)
    if options.json:
        print_json(outcome.to_json())
    else:
        print_outcome(outcome)
    return int(bool(outcome.refused))


def _publish_folder(options: argparse.Namespace) -> int:
    from weighbridge.hub.folder import LocalHub
    from weighbridge.shell.home import present_public_key
    from weighbridge.shell.line.republish import admitted, publish_staged
    from weighbridge.shell.wiring import hub_at

    if not options.hub or not is_address(options.hub):
        raise InputError("no address is given to send this folder to", hint="Give --hub https://…")
    if options.certificate or options.sigstore or options.key:
        raise InputError("the versions of a hub folder are signed already", hint="Leave the options of signing out.")
    key = present_public_key(hint="Publish with the key that signed this folder: set WEIGHBRIDGE_HOME to where it is.")
    now, source = datetime.now(UTC), LocalHub(options.plan)
    with TerminalProgress() as progress:
        ready, left_out = admitted(source, options.only, key, progress, now=now)
        sent: list[tuple[Hub, list[StagedVersion]]] = []
        for owner in dict.fromkeys(staged.name.partition("/")[0] for staged in ready):
            hub = hub_at(options.hub, owner, token_variable=options.token_env, progress=progress)
            own = [staged for staged in ready if staged.name.startswith(f"{owner}/")]
            publish_staged(hub, source, own, now=now)
            sent.append((hub, own))
    published = [(hub, staged) for hub, own in sent for staged in own]
    if options.json:
        print_json(
            {
                "published": [
                    {"name": staged.name, "url": hub.link_to(staged.name), "digest": staged.manifest.digest}
                    for hub, staged in published
                ],
                "left_out": [{"name": name, "reason": reason} for name, reason in left_out],
                "hub": options.hub,
            }
        )
        return 0
    for target, staged in published:
        size = readable_bytes(staged.manifest.size_bytes)
        print_lines([f"published {staged.name} ({size})  {target.link_to(staged.name)}"])
    print_lines(f"left out  {name}: {reason}" for name, reason in left_out)
    if published:
        name = published[-1][1].name
        print_lines(["", f"verify    {own_command()} verify {name} --hub {options.hub} --key {key}"])
    return 0
