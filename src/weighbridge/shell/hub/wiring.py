"""A hub server put together: database, bytes, cache and secret, from addresses and a folder."""

import os
import secrets
from pathlib import Path

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from weighbridge.errors import HubError, InputError
from weighbridge.hub.database.connect import Database, DatabaseError
from weighbridge.hub.database.migrate import migrate
from weighbridge.hub.database.schema import server_value
from weighbridge.hub.server import GIB, HubServer, HubSettings, wall_clock_ms
from weighbridge.hub.store.materialised import FileCache
from weighbridge.hub.store.port import ByteStoreError
from weighbridge.shell.hub.store import open_store

EMBEDDED = "hub.sqlite"
"""The database of the embedded form, in the hub's folder."""


class UnusableHubError(HubError, InputError):
    """The hub that was named cannot be used: its folder, its database or its store."""

    @classmethod
    def of(cls, error: HubError) -> "UnusableHubError":
        """Return the error as one of what was given."""
        return cls(error.message, place=error.place, hint=error.hint)


_SECRET = "secret"  # noqa: S105 - the name of a row


def open_hub(
    folder: Path,
    *,
    database: str = "",
    store: str = "",
    cache_bytes: int = 16 * GIB,
    settings: HubSettings | None = None,
) -> HubServer:
    """Return the hub of a folder; makes the folder, its database and its secret where they are not there yet.

    Args:
        folder: holds what is embedded: `hub.sqlite`, `bytes/` and `cache/`.
        database: an address instead of the folder's SQLite file.
        store: an address instead of the folder's `bytes/`.
        cache_bytes: budget of the folder's cache of whole files.
        settings: what whoever runs it chose.

    Raises:
        UnusableHubError: if any of them cannot be used.
        NewerDatabaseError: if the database is of a newer version.
        InputError: if an address is none.
    """
    try:
        return _opened(folder, database, store, cache_bytes, settings or HubSettings())
    except (DatabaseError, ByteStoreError) as error:
        raise UnusableHubError.of(error) from error


def _opened(folder: Path, database: str, store: str, cache_bytes: int, settings: HubSettings) -> HubServer:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    if not database:
        _only_ours(folder / EMBEDDED)
    connected = Database(database or f"sqlite:///{folder.resolve() / EMBEDDED}")
    migrate(connected)
    return HubServer(
        database=connected,
        store=open_store(store or str(folder / "bytes")),
        cache=FileCache(folder / "cache", budget_bytes=cache_bytes),
        secret=_secret(connected),
        now_ms=wall_clock_ms,
        settings=settings,
    )


def _only_ours(file: Path) -> None:
    """Make the database's file before SQLite does, which gives its rights to those beside it: it holds the secret."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        file.chmod(0o600)
    except OSError as error:
        hint = "Let the server read and write the hub's folder and its files, or name another one: --folder DIR."
        raise UnusableHubError(
            f"the database cannot be opened: {error.strerror}", place=str(file), hint=hint
        ) from error


def _secret(database: Database) -> bytes:
    wanted = select(server_value.c.value).where(server_value.c.name == _SECRET)
    with database.read() as connection:
        found = connection.execute(wanted).scalar_one_or_none()
    if found is None:
        try:
            with database.write() as connection:
                connection.execute(insert(server_value).values(name=_SECRET, value=secrets.token_hex(32)))
        except IntegrityError:
            pass  # another process made it first
        with database.read() as connection:
            found = connection.execute(wanted).scalar_one()
    return bytes.fromhex(found)
