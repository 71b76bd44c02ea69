"""Transactions on SQLite and PostgreSQL.

A reading transaction sees one state of the database from its beginning to its end. A writing one on SQLite takes the
only write lock when it begins (`BEGIN IMMEDIATE`), so that it never fails half-way for another's lock; on PostgreSQL
writers lock the rows that they decide on (`SELECT … FOR UPDATE`, `locked`).
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Select, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from weighbridge.errors import HubError, InputError

_BUSY_SECONDS = 30
_DISK_FULL = "53100"  # of PostgreSQL
_GIVE = "Give sqlite:////folder/hub.sqlite or postgresql://user:password@host/name."
# A server that is gone without a word is given up after half a minute, not when the kernel gives up (libpq's options).
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SECRET = re.compile(r":[^:/]*@")
_HINTS = (
    (
        r"authentication failed|no password|does not exist|not permitted|permission denied|resolve host|pg_hba",
        "Correct user, password, host and name in --database; `createdb NAME` makes a database that is missing.",
    ),
    (r"not a database", "Name the hub's own file in --database, or restore it from a backup."),
    (r"unable to open|readonly", "Let the server read and write this file and its folder, or name another one."),
    (
        r"connection|timeout|terminat|starting up|shutting down",
        "Start the database, or correct its address in --database; a hub that serves goes on once it answers.",
    ),
)


class DatabaseError(HubError):
    """The hub's database cannot be reached, read or written."""

    hint = "Check that the database runs and its disk has room; nothing that was acknowledged is lost."


class DatabaseFullError(DatabaseError):
    """There is no room left for what is to be written."""

    hint = "Make room on the database's disk; what was acknowledged is untouched."


class Database:
    """The hub's database; safe to share between threads, made anew after a fork."""

    def __init__(self, url: str, *, connections: int = 16) -> None:
        """Take an SQLAlchemy URL (`sqlite:////srv/hub/hub.sqlite`, `postgresql://…`); connects when first used.

        Raises:
            InputError: if the URL is neither.
        """
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._engine = _sqlite(self.url) if self.is_sqlite else _postgresql(self.url, connections)
        self._writer = self._engine.execution_options(weighbridge_writes=True)
        self._reader = self._engine
        if not self.is_sqlite:
            self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that reads one state."""
        with _translated(self), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that is committed at the end, and rolled back by any exception."""
        with _translated(self), self._writer.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()

    def forget(self) -> None:
        """Drop connections that a fork copied, without closing the parent's."""
        self._engine.dispose(close=False)


def locked(statement: Select[Any]) -> Select[Any]:
    """Return the statement with its rows locked until the transaction ends; SQLite's write lock covers that already.

    A locked row may still be named by a new row elsewhere: an upload that enters a file for a repository does not wait
    for a commit to it, which would wait for that file's row (PostgreSQL's `FOR NO KEY UPDATE`).
    """
    return statement.with_for_update(key_share=True)


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError) as error:
        place = _SECRET.sub(":***@", url[:200])
        raise InputError("this is not the address of a database", place=place, hint=_GIVE) from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database:
        return parsed
    raise InputError(
        "only SQLite files and PostgreSQL are supported",
        place=parsed.render_as_string(),
        hint=_GIVE,
    )


def _sqlite(url: URL) -> sqlalchemy.Engine:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Name a file that the server may write to: --database sqlite:////folder/hub.sqlite."
        raise DatabaseError(f"its folder cannot be made: {error.strerror}", place=str(folder), hint=hint) from error
    engine = sqlalchemy.create_engine(url, connect_args={"timeout": _BUSY_SECONDS}, pool_size=16, max_overflow=16)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: object) -> None:
        # The driver must not begin transactions by itself: `_begin` does, as a reader or as the writer.
        connection.isolation_level = None
        # The pages kept (KiB) are each connection's own, one for every thread; the kernel keeps them for all.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-4000"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("weighbridge_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL, connections: int) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(
        url,
        connect_args={name: value for name, value in _PATIENCE.items() if name not in url.query},
        pool_size=connections,
        max_overflow=connections,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
    )


@contextmanager
def _translated(database: Database) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # A broken constraint is an answer that services wait for; they catch it themselves.
        if isinstance(error, sqlalchemy.exc.IntegrityError):
            raise
        place = database.url.render_as_string(hide_password=True)
        kind = DatabaseFullError if _is_full(error.orig) else DatabaseError
        said = " ".join(str(error.orig).split())
        hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said)), "") if kind is DatabaseError else ""
        raise kind(f"the database answers: {said}", place=place, hint=hint) from error
    except sqlalchemy.exc.TimeoutError as error:
        place = database.url.render_as_string(hide_password=True)
        raise DatabaseError("every connection to the database is in use", place=place) from error


def _is_full(said: BaseException | None) -> bool:
    code = getattr(said, "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or getattr(said, "sqlstate", None) == _DISK_FULL
