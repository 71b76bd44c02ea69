"""`weighbridge status`: what a version's publisher says about it now, and how fresh that word is."""

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.shell.cli.output import TerminalProgress, print_json, print_lines
from weighbridge.shell.hub.remote_address import TOKEN_VARIABLE, is_address, reading_address

if TYPE_CHECKING:
    from weighbridge.dossier.status import Status
    from weighbridge.shell.trust.client import Freshness, TrustedHub

UNKNOWN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "version", metavar="NAME|DIR", nargs="?", help="owner/name in the hub, or the folder of a published version"
    )
    parser.add_argument("--hub", metavar="DIR|URL", default="hub", help="hub: a folder or a web address (default: hub)")
    parser.add_argument(
        "--root",
        type=Path,
        metavar="JSON",
        help="the publisher's root.json; needed once for a hub that is not your own",
    )
    parser.add_argument(
        "--refresh", action="store_true", help="as its publisher: sign the hub's metadata again, with new expiry dates"
    )
    parser.add_argument(
        "--token-env",
        metavar="NAME",
        default="",
        help="environment variable with a token for a hub behind an address (default: HF_TOKEN, to refresh, or where "
        "HF_ENDPOINT is this hub)",
    )


def run(options: argparse.Namespace) -> int:
    """Say it; exit code 0 active or deprecated, 1 recalled or metadata that is not as promised, 3 unknown."""
    from weighbridge.errors import InputError
    from weighbridge.shell.trust.errors import NoMetadataError

    if options.refresh:
        _refresh(options)
        if options.version is None or (is_address(options.hub) and "/" not in options.version):
            return 0
    if options.version is None:
        raise InputError("no version is named", hint="Give its owner/name or folder; or --refresh for the whole hub.")
    try:
        return _look(options)
    except NoMetadataError as error:
        if options.json:
            print_json({"state": "unknown", "reason": error.message, "place": error.place, "hint": error.hint})
        else:
            print_lines([f"unknown: {error}", f"next: {error.hint}"])
        return UNKNOWN


def _refresh(options: argparse.Namespace) -> None:
    from weighbridge.errors import HubError, InputError
    from weighbridge.hub.recall import advisories
    from weighbridge.shell.home import home
    from weighbridge.shell.trust.repository import signed_files
    from weighbridge.shell.wiring import hub_at

    if is_address(options.hub) and options.version is None:
        raise InputError("no owner is named", place=options.hub, hint="Give the owner whose metadata is yours.")
    owner = (options.version or "").partition("/")[0]
    hub = hub_at(options.hub, owner, token_variable=options.token_env or TOKEN_VARIABLE)
    if not hub.catalogue():
        raise HubError("there is nothing to sign: nothing is published here", place=options.hub)
    further = signed_files(home(), now=datetime.now(UTC), renew=True, documents=advisories())
    hub.amend(lambda catalogue: catalogue, page=lambda _, page: page, further=further)
    if options.version is None and options.json:
        print_json({"refreshed": options.hub})
    elif not options.json:
        print_lines([f"signed again: the metadata of {options.hub}"])


def _look(options: argparse.Namespace) -> int:
    from weighbridge.shell.home import home
    from weighbridge.shell.trust.client import read_root, trusted_hub

    root = read_root(options.root) if options.root is not None else None
    names, digest = _asked(options)
    location, token = _location(options, names)
    with trusted_hub(location, home(), root=root, token=token) as hub:
        status = _first(hub, names, digest)
        freshness = hub.freshness()
    now = datetime.now(UTC)
    if options.json:
        said = status.to_json() if status else {"state": "unknown", "name": names[0] if names else "", "digest": digest}
        print_json({"status": said, "metadata": freshness.to_json(), "checked": now.isoformat(timespec="seconds")})
    else:
        print_lines(_words(status, names, digest, freshness, now))
    if status is None:
        return UNKNOWN
    return int(status.state == "recalled")


def _location(options: argparse.Namespace, names: tuple[str, ...]) -> tuple[str, str]:
    """Return where the hub's metadata lies, and the token for it."""
    if not is_address(options.hub):
        return options.hub, ""
    from weighbridge.shell.hub.remote_trust import statement_location

    address = reading_address(options.hub, options.token_env)
    if not names:
        return address.url, address.token
    return statement_location(address, names[0].partition("/")[0]), address.token


def _first(hub: "TrustedHub", names: tuple[str, ...], digest: str) -> "Status | None":
    for name in names:
        if status := hub.status(name, digest):
            return status
    return None


def _asked(options: argparse.Namespace) -> tuple[tuple[str, ...], str]:
    """Return the names that the version may have, and its digest if it is given as a folder."""
    folder = Path(options.version)
    if not folder.is_dir():
        return (_full_name(options.version, options.hub),), ""
    from weighbridge.checkpoint.read import read_folder

    with TerminalProgress() as progress:
        size = sum(path.lstat().st_size for path in folder.rglob("*"))
        digest = read_folder(folder, on_bytes=progress.begin(f"reading every byte of {folder}", size)).digest
    return _names_of(folder, digest, options.hub), digest


def _full_name(name: str, hub: str) -> str:
    """Return `owner/name`; for a name alone, as the catalogue of a hub folder has it."""
    from weighbridge.hub.catalogue import find
    from weighbridge.hub.folder import LocalHub

    if "/" in name or is_address(hub):
        return name
    return find(LocalHub(Path(hub)).catalogue(), name, place=hub).name


def _names_of(folder: Path, digest: str, hub: str) -> tuple[str, ...]:
    """Return names that a folder's version may have: where to look, and nothing that is believed."""
    from weighbridge.dossier.release import MAX_RECORD_BYTES, RELEASE_NAME, read_release
    from weighbridge.errors import InputError
    from weighbridge.hub.folder import LocalHub

    names: dict[str, None] = {}
    path = folder / RELEASE_NAME
    if path.is_file() and path.stat().st_size <= MAX_RECORD_BYTES:
        try:
            record = read_release(path.read_bytes(), place=str(path))
            names[f"{record.model.partition('/')[0]}/{record.version}"] = None
        except InputError:
            pass
    if not is_address(hub):
        catalogue = LocalHub(Path(hub)).catalogue()
        names |= dict.fromkeys(name for name, version in catalogue.items() if version.digest == digest)
    return tuple(names)


def _words(
    status: "Status | None", names: tuple[str, ...], digest: str, freshness: "Freshness", now: datetime
) -> Iterator[str]:
    from weighbridge.dossier.status import utc_text

    if status is None:
        what = " or ".join(names) or "this version"
        yield f"unknown: the hub's publisher says nothing about {what}{f' with digest {digest}' if digest else ''}"
    else:
        yield f"{status.name} is {status.state} since {utc_text(status.since)}"
        for label, text in _facts(status).items():
            if text:
                yield f"  {label + ':':11} {text}"
    role, moment = freshness.first_to_expire
    days = (moment - now).total_seconds() / 86400
    yield f"  metadata:   good; {role} expires first, {utc_text(moment)} (in {days:.1f} days)"


def _facts(status: "Status") -> Mapping[str, str]:
    return {
        "reason": status.reason,
        "successor": status.successor,
        "advisory": status.advisory,
        "digest": status.digest,
    }
