"""Storage buckets: files by path, without history, folders that are there because files lie in them.

A bucket keeps what an object store would: `logs` may be a file and the beginning of `logs/1.txt` at once, and a prefix
is compared letter by letter. Its files are contents that the bucket itself holds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import account, bucket_file, content, repository
from weighbridge.hub.repositories.find import COLUMNS, Repository, of_row
from weighbridge.hub.repositories.front_matter import clean
from weighbridge.hub.repositories.search import visible_to

PAGE: Final = 1000
_FEW: Final = 100
# The letter behind `/`: what lies in a folder sorts before its name with this.
_BEHIND: Final = "0"
_LAST_LETTER: Final = 0x10FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFile:
    """A file of a bucket."""

    path: str
    sha256: str
    xet_hash: str
    size_bytes: int
    modified_ms: int
    content_type: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFolder:
    """A folder of a bucket, by its path without a closing slash."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a list goes on: at `path`, or behind it."""

    path: str
    inclusive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Part of a list, and where the next one begins; None behind the last."""

    entries: tuple[BucketFile | BucketFolder, ...]
    next: Place | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many files a bucket has, and their bytes, each path counted."""

    files: int
    size_bytes: int


def listed(
    connection: Connection, repository_id: int, prefix: str, *, recursive: bool, start: Place | None, limit: int = PAGE
) -> Page:
    """Return files whose paths begin with `prefix`, in the order of their UTF-8 bytes.

    Unless `recursive`, what lies in a folder is told as that folder: `logs` as prefix yields `logs/1.txt`, `logs/old`
    and `logs.json`.
    """
    place = start or Place(path=prefix, inclusive=True)
    # A folder that is the prefix is looked into, not told.
    beyond = 0 if recursive else len(prefix) + (bool(prefix) and not prefix.endswith("/"))
    found: list[tuple[BucketFile | BucketFolder, Place]] = []
    while len(found) <= limit:
        # Few at a time where a whole folder may be skipped after its first file.
        wanted = limit + 1 - len(found)
        rows = _rows(connection, repository_id, prefix, place, wanted if recursive else min(wanted, _FEW))
        for row in rows:
            if _is_before(row.path, place):
                continue
            cut = -1 if recursive else row.path.find("/", beyond)
            if cut < 0:
                place = Place(path=row.path, inclusive=False)
                found.append((_file(row), place))
            else:
                place = Place(path=row.path[:cut] + _BEHIND, inclusive=True)
                found.append((BucketFolder(path=row.path[:cut]), place))
        if not rows:
            break
    more = found[limit - 1][1] if len(found) > limit else None
    return Page(entries=tuple(entry for entry, _ in found[:limit]), next=more)


def files_at(connection: Connection, repository_id: int, paths: Iterable[str]) -> tuple[BucketFile, ...]:
    """Return those of the paths at which there is a file."""
    found: list[BucketFile] = []
    for part in batches(list(dict.fromkeys(path for path in paths if clean(path) == path))):
        rows = connection.execute(
            _FILES.where(bucket_file.c.repository_id == repository_id, bucket_file.c.path.in_(part))
        )
        found.extend(map(_file, rows))
    return tuple(found)


def usage(connection: Connection, repository_ids: Sequence[int]) -> dict[int, Usage]:
    """Return what each of the buckets holds; one that is empty is left out."""
    rows = connection.execute(
        select(bucket_file.c.repository_id, func.count(), func.sum(bucket_file.c.size_bytes))
        .where(bucket_file.c.repository_id.in_(repository_ids))
        .group_by(bucket_file.c.repository_id)
    )
    return {number: Usage(files=int(count), size_bytes=int(size)) for number, count, size in rows}


def of_owner(
    connection: Connection, caller: Caller, owner_id: int, *, search: str, after: int, limit: int
) -> tuple[Repository, ...]:
    """Return buckets of an owner that the caller may know of, in order of their numbers, behind `after`."""
    statement = (
        select(*COLUMNS)
        .join(account, account.c.id == repository.c.owner_id)
        .where(repository.c.kind == "bucket", repository.c.owner_id == owner_id, repository.c.id > after)
        .where(visible_to(caller))
    )
    if search:
        statement = statement.where(repository.c.name_key.contains(clean(search).lower(), autoescape=True))
    rows = connection.execute(statement.order_by(repository.c.id).limit(limit))
    return tuple(map(of_row, rows))


_FILES = select(
    *(bucket_file.c[name] for name in BucketFile.__dataclass_fields__ if name != "xet_hash"),
    content.c.xet_hash,
).join(content, content.c.sha256 == bucket_file.c.sha256)


def _rows(connection: Connection, repository_id: int, prefix: str, place: Place, limit: int) -> Sequence[Any]:
    # By bytes, whatever language PostgreSQL was told to sort in; SQLite does so by itself.
    path: ColumnElement[str] = bucket_file.c.path
    if connection.dialect.name == "postgresql":
        path = bucket_file.c.path.collate("C")
    condition = and_(
        bucket_file.c.repository_id == repository_id, path >= place.path if place.inclusive else path > place.path
    )
    end = _successor(prefix)
    if end:
        condition &= path < end
    return connection.execute(_FILES.where(condition).order_by(path).limit(limit)).all()


def _successor(prefix: str) -> str:
    """Return the first text behind all that begin with `prefix`; empty if none is."""
    kept = prefix.rstrip(chr(_LAST_LETTER))
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    # Halves of characters are no text: the next one lies behind them.
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)


def _is_before(path: str, place: Place) -> bool:
    return path < place.path or (path == place.path and not place.inclusive)


def _file(row: Any) -> BucketFile:
    return BucketFile(**row._mapping)
