"""`weighbridge recall`: call a published version back, or mark it as deprecated."""

import argparse
from datetime import UTC, datetime

from weighbridge.shell.cli.hub_choice import add_publishing_arguments
from weighbridge.shell.cli.output import own_command, print_json, print_lines
from weighbridge.shell.hub.remote_address import is_address

DEFAULT_HUB = "hub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("name", metavar="NAME", help="owner/name of a published version")
    add_publishing_arguments(parser, default=DEFAULT_HUB)
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why, in words for its users")
    parser.add_argument("--successor", metavar="NAME", default="", help="owner/name of what to use in its place")
    parser.add_argument("--deprecate", action="store_true", help="it still works: warn, and do not recall")
    parser.add_argument(
        "--advisory-id", metavar="ID", default="", help="id of the advisory (default: made from the name)"
    )
    parser.add_argument(
        "--reference", metavar="URL", action="append", default=[], help="where more is said; repeatable"
    )


def run(options: argparse.Namespace) -> int:
    """Say it in the hub, signed; exit code 1 if the stages allow no such move."""
    from weighbridge.dossier.advisory import Reference, advisory_path, default_advisory_id
    from weighbridge.errors import InputError
    from weighbridge.gate.stage import Stage
    from weighbridge.hub.catalogue import find
    from weighbridge.hub.recall import Notice, advisories, recall
    from weighbridge.shell.home import home
    from weighbridge.shell.trust.repository import signed_files
    from weighbridge.shell.wiring import hub_at

    references = tuple(Reference(url=url) for url in options.reference)
    if options.deprecate and references and not options.advisory_id:
        raise InputError("references belong into an advisory", hint="Give its id, too: --advisory-id ID")
    location = options.hub or DEFAULT_HUB
    owner, slash, _ = options.name.partition("/")
    if is_address(location) and not slash:
        raise InputError(f"{options.name!r} names no owner", place=location, hint="Give owner/name.")
    hub = hub_at(location, owner, token_variable=options.token_env)
    # Before anything is written: a hub that is not there must not be made by a slip of the pen.
    version = find(hub.catalogue(), options.name, place=hub.place)
    advisory_id = options.advisory_id or default_advisory_id(version.name, version.digest)
    notice = Notice(
        stage=Stage.SUPERSEDED if options.deprecate else Stage.RECALLED,
        reason=options.reason,
        successor=options.successor,
        advisory=options.advisory_id,
    )
    now = datetime.now(UTC)
    further = signed_files(home(), now=now, documents=advisories(references, about=advisory_id))
    status, changed = recall(hub, options.name, notice, now=now, further=further)
    advisory = f"{hub.statements}/{advisory_path(status.advisory)}" if status.advisory else ""
    if options.json:
        print_json({"status": status.to_json(), "changed": changed, "advisory": advisory, "hub": hub.place})
        return 0
    successor = f"; use {status.successor} in its place" if status.successor else ""
    print_lines(
        [
            f"{status.name} is {status.state}{'' if changed else ' already'}: {status.reason}{successor}",
            *([f"advisory: {advisory}"] if advisory else []),
            f"check it: {own_command()} status {status.name} --hub {hub.place}",
        ]
    )
    return 0
