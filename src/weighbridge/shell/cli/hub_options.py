"""The options by which every verb of `weighbridge hub` finds the hub."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weighbridge.hub.server import HubServer

DEFAULT_FOLDER = Path("hub-server")
MOST_GRACE_HOURS = 100_000


def add_hub_options(parser: argparse.ArgumentParser) -> None:
    """Add where the hub lies."""
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        default=DEFAULT_FOLDER,
        help=f"the hub's own folder (default: {DEFAULT_FOLDER})",
    )
    parser.add_argument(
        "--database", metavar="URL", default="", help="postgresql://… instead of the folder's SQLite file"
    )
    parser.add_argument("--store", metavar="URL", default="", help="s3://bucket/prefix instead of the folder")


def opened(options: argparse.Namespace, *, make: bool = False) -> "HubServer":
    """Return the hub that the options name; `make` makes it where there is none yet.

    Raises:
        MissingExtraError: without the packages that a server needs.
        InputError: if there is none.
        HubError: if it cannot be opened.
    """
    need_server()
    from weighbridge.errors import InputError
    from weighbridge.shell.hub.wiring import EMBEDDED, open_hub

    if not make and not options.database and not (options.folder / EMBEDDED).is_file():
        raise InputError(
            "there is no hub",
            place=str(options.folder),
            hint="Name its folder by --folder, or start it first: `weighbridge hub serve`.",
        )
    return open_hub(options.folder, database=options.database, store=options.store)


def grace_seconds(hours: float, *, least_hours: float = 0) -> int:
    """Return the grace time in seconds.

    Raises:
        InputError: unless it is a number of hours from `least_hours` to `MOST_GRACE_HOURS`. With less than none, what
            uploads under way have just written would count as old.
    """
    from weighbridge.errors import InputError

    if not least_hours <= hours <= MOST_GRACE_HOURS:
        raise InputError(
            f"{hours} hours are no time to keep unused bytes for",
            place="--grace",
            hint=f"Give {least_hours:g} to {MOST_GRACE_HOURS:,} hours.",
        )
    return int(hours * 3600)


def need_server() -> None:
    """Raise a `MissingExtraError` unless what the server is built on is installed."""
    from importlib.util import find_spec

    from weighbridge.errors import MissingExtraError

    for module in ("aiohttp", "sqlalchemy", "alembic", "obstore", "lz4", "orjson", "prometheus_client"):
        if find_spec(module) is None:
            raise MissingExtraError(module, extra="server")
