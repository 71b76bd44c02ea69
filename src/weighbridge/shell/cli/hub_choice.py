"""Options that name a hub, in a folder or behind an address, and a version in it."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.errors import InputError
from weighbridge.shell.hub.remote_address import TOKEN_VARIABLE, is_address, reading_address

if TYPE_CHECKING:
    from weighbridge.shell.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A version that the options name.

    Attributes:
        folder: its files.
        name: `owner/name`, or the folder's name.
        note: what its publisher says that whoever uses it should know; empty for nothing.
    """

    folder: Path
    name: str
    note: str = ""


def add_publishing_arguments(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add the hub to publish to, and where its token is."""
    parser.add_argument("--hub", metavar="DIR|URL", help=f"hub: a folder or a web address (default: {default})")
    parser.add_argument(
        "--token-env",
        metavar="NAME",
        default=TOKEN_VARIABLE,
        help=f"environment variable with the token for a hub behind an address (default: {TOKEN_VARIABLE})",
    )


def add_reading_arguments(parser: argparse.ArgumentParser, *, default: str | None) -> None:
    """Add the hub to find a version in."""
    group = parser.add_argument_group("where to find it")
    said = f" (default: {default})" if default else ""
    group.add_argument("--hub", metavar="DIR|URL", default=default, help=f"hub: a folder or a web address{said}")
    group.add_argument(
        "--root", type=Path, metavar="JSON", help="the publisher's root.json; needed once for a hub behind an address"
    )
    group.add_argument("--to", type=Path, metavar="DIR", help="keep what is fetched from an address in this folder")
    group.add_argument(
        "--token-env",
        metavar="NAME",
        default="",
        help=f"environment variable with a token for it (default: {TOKEN_VARIABLE}, where HF_ENDPOINT is this hub)",
    )


def chosen_version(options: argparse.Namespace, reference: str, progress: "Progress") -> Chosen:
    """Return the version that is named: a folder, or a name in the hub of `add_reading_arguments`.

    Raises:
        InputError: if options do not go together.
        RecalledError: if its publisher has recalled it.
        HubError: if the hub does not have it, or cannot be reached.
    """
    folder = Path(reference)
    if options.hub and is_address(options.hub):
        return _fetched(options, reference, progress)
    if options.to is not None:
        raise InputError("--to keeps what is fetched from an address", hint="Give --hub https://…, too.")
    if folder.is_dir() or not options.hub:
        return Chosen(folder=folder, name=folder.absolute().name)
    from weighbridge.hub.catalogue import find
    from weighbridge.hub.folder import LocalHub
    from weighbridge.hub.standing import caution, said_of

    hub = LocalHub(Path(options.hub))
    version = find(hub.catalogue(), reference, place=str(options.hub))
    return Chosen(folder=hub.path_of(version.name), name=version.name, note=caution(said_of(version)))


def _fetched(options: argparse.Namespace, reference: str, progress: "Progress") -> Chosen:
    from weighbridge.shell.hub.remote_read import fetch_version

    address = reading_address(options.hub, options.token_env)
    fetched = fetch_version(reference, address, progress, root=options.root, to=options.to)
    return Chosen(folder=fetched.folder, name=fetched.name, note=fetched.standing)
