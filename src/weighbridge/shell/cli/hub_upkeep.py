"""`weighbridge hub gc|verify|backup|restore`."""

import argparse
from dataclasses import asdict
from pathlib import Path

from weighbridge.errors import HubError
from weighbridge.shell.cli.hub_options import add_hub_options, grace_seconds, need_server, opened
from weighbridge.shell.cli.output import TerminalProgress, print_json, print_lines, readable_bytes

DAMAGED = 1


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options of this verb."""
    if verb == "restore":
        parser.add_argument("copy", type=Path, metavar="DIR", help="what `weighbridge hub backup` wrote")
        parser.add_argument("--folder", type=Path, metavar="DIR", required=True, help="the new hub's folder")
        return
    add_hub_options(parser)
    if verb == "gc":
        parser.add_argument(
            "--grace", type=float, default=24, metavar="HOURS", help="keep what is younger (default: 24)"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be freed")
    elif verb == "backup":
        parser.add_argument("target", type=Path, metavar="DIR", help="folder of the copy; what is there is kept")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    return {"gc": _collect, "verify": _verify, "backup": _backup, "restore": _restore}[options.hub_verb](options)


def _collect(options: argparse.Namespace) -> int:
    grace = grace_seconds(options.grace)
    hub = opened(options)
    import secrets

    from weighbridge.hub.content.collect import collect
    from weighbridge.hub.database.lease import LEASE_SECONDS, leased

    holder = secrets.token_hex(8)
    with leased(hub.database, "collect", holder=holder, now_ms=hub.now_ms, patience_seconds=2 * LEASE_SECONDS) as ours:
        if not ours:
            raise HubError("another process collects garbage or makes a backup", hint="Try again in a few minutes.")
        with TerminalProgress() as progress:
            found = collect(hub, grace_seconds=grace, dry_run=options.dry_run, progress=progress)
    if options.json:
        print_json(asdict(found))
    else:
        print_lines(f"{name.replace('_', ' ')}: {value:,}" for name, value in asdict(found).items())
        print_lines([f"what is younger than {options.grace:g} hours was left alone"])
    return 0


def _verify(options: argparse.Namespace) -> int:
    hub = opened(options)
    from weighbridge.hub.content.verify import verify
    from weighbridge.shell.hub.wiring import UnusableHubError

    try:
        with TerminalProgress() as progress:
            damages = list(verify(hub, progress=progress))
    except HubError as error:
        # Not to be taken for damage, which has an exit code of its own.
        raise UnusableHubError.of(error) from error
    if options.json:
        print_json({"sound": not damages, "damages": [asdict(damage) for damage in damages]})
    else:
        print_lines(str(damage) for damage in damages)
        print_lines([f"{len(damages)} damaged" if damages else "every byte is as it was acknowledged"])
    return DAMAGED if damages else 0


def _backup(options: argparse.Namespace) -> int:
    hub = opened(options)
    from weighbridge.shell.hub.backup import backup

    with TerminalProgress() as progress:
        copied = backup(hub, options.folder, options.target, progress=progress)
    return _said(options, copied.objects, copied.written_bytes, options.target)


def _restore(options: argparse.Namespace) -> int:
    need_server()
    from weighbridge.shell.hub.backup import restore

    with TerminalProgress() as progress:
        copied = restore(options.copy, options.folder, progress=progress)
    return _said(options, copied.objects, copied.written_bytes, options.folder)


def _said(options: argparse.Namespace, objects: int, written_bytes: int, place: Path) -> int:
    if options.json:
        print_json({"folder": str(place), "objects": objects, "written_bytes": written_bytes})
    else:
        print_lines([f"{place}: {objects} objects, {readable_bytes(written_bytes)} written now"])
    return 0
