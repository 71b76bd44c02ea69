"""Copy an embedded hub into a folder while it serves, and make a hub of such a copy.

The database is copied first, as one state, while garbage collection is held off; then the objects that this state
names, which are immutable. A second backup into the same folder copies only what is new, so an interrupted one is
simply run again.
"""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from weighbridge.errors import HubError, InputError
from weighbridge.hub.blob import hub_errors, make_folder, sync_folder
from weighbridge.hub.database.lease import LEASE_SECONDS, leased
from weighbridge.hub.database.schema import xorb
from weighbridge.hub.server import HubServer
from weighbridge.shell.progress import Progress

DATABASE = "hub.sqlite"
BYTES = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a backup or restore did: objects in the copy, and the bytes that this run wrote."""

    objects: int
    written_bytes: int


def backup(hub: HubServer, folder: Path, target: Path, *, progress: Progress) -> Copied:
    """Copy the hub of `folder` into `target`, which is made if it is not there.

    Raises:
        InputError: if the hub is not the embedded form, or the target lies inside of it.
        HubError: if something cannot be read or written, or garbage is being collected just now.
    """
    if not hub.database.is_sqlite or not (folder / BYTES).is_dir():
        raise InputError(
            "only the embedded form is copied by this command",
            hint="Use pg_dump for PostgreSQL and your object store's own replication, the database first.",
        )
    if target.resolve().is_relative_to(folder.resolve()):
        raise InputError("the copy would lie inside of the hub", place=str(target), hint="Name a folder elsewhere.")
    holder = secrets.token_hex(8)
    # A backup or collection that was killed a moment ago keeps the lease for some seconds more.
    with leased(hub.database, "collect", holder=holder, now_ms=hub.now_ms, patience_seconds=2 * LEASE_SECONDS) as ours:
        if not ours:
            raise HubError("garbage is being collected just now", hint="Run the backup again in a few minutes.")
        with hub_errors(target):
            make_folder(target)
            target.chmod(0o700)
            _copy_database(folder / DATABASE, target / DATABASE)
            return _copy_objects(target / DATABASE, folder / BYTES, target / BYTES, progress)


def restore(copy: Path, folder: Path, *, progress: Progress) -> Copied:
    """Make a hub's folder of a backup.

    Raises:
        InputError: if the folder exists already, or the copy is none.
        HubError: if something cannot be read or written, or the copy lacks an object.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError("there is something already", place=str(folder), hint="Name a folder that does not exist.")
    if not (copy / DATABASE).is_file():
        raise InputError("this is no backup of a hub", place=str(copy), hint="It holds hub.sqlite and bytes/.")
    with hub_errors(folder):
        make_folder(folder)
        copied = _copy_objects(copy / DATABASE, copy / BYTES, folder / BYTES, progress)
        # Last: without it the folder is no hub yet.
        _copy_database(copy / DATABASE, folder / DATABASE)
        return copied


def _copy_database(source: Path, target: Path) -> None:
    half = target.with_name(f"{target.name}.half")
    half.unlink(missing_ok=True)
    # It holds the hub's secret: nobody else reads it, whatever their rights in the folder.
    os.close(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as reading:
            reading.execute("VACUUM INTO ?", (str(half),))
    except sqlite3.Error as error:
        raise HubError(f"the database cannot be copied: {error}", place=str(source)) from error
    _sync(half)
    half.rename(target)
    sync_folder(target.parent)


def _copy_objects(database: Path, source: Path, target: Path, progress: Progress) -> Copied:
    objects, written = 0, 0
    advance = progress.begin("copying objects", sum(size for _, size in _named(database)))
    for key, size in _named(database):
        objects += 1
        if _copied(source / key, target / key, size):
            written += size
        advance(size)
    return Copied(objects=objects, written_bytes=written)


def _named(database: Path) -> Iterator[tuple[str, int]]:
    statement = str(select(xorb.c.key, xorb.c.size_bytes).compile())
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reading:
        yield from reading.execute(statement)


def _copied(source: Path, target: Path, size: int) -> bool:
    if target.is_file() and target.stat().st_size == size:
        return False
    if not source.is_file() or source.stat().st_size != size:
        raise HubError(
            "an object is missing or has another size",
            place=str(source),
            hint="Run `weighbridge hub verify`: it names the revisions that this touches.",
        )
    make_folder(target.parent)
    half = target.with_name(f".{target.name}.half")
    shutil.copyfile(source, half)
    _sync(half)
    half.rename(target)
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
