"""Changes of a bucket's files, many in one request: lines of JSON, each an `addFile`, a `copyFile` or a `deleteFile`.

What can be done is done, in one transaction and in the order of the lines; what cannot is named with its reason. Form:
`_batch_bucket_files` of huggingface_hub.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlalchemy import Connection, delete, func, select, update

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.content import MissingContentError, own_all
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.insert import insert_into
from weighbridge.hub.database.schema import bucket_file, content, content_owner, git_object, repository
from weighbridge.hub.git.objects import oid_of
from weighbridge.hub.git.paths import GitPathError, check_path, shown
from weighbridge.hub.git.pointer import LfsPointer, encode_pointer
from weighbridge.hub.http.refusal import Refusal, bad_request, conflict, too_large
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.name import PREFIXES

MAX_OPERATIONS: Final = 10_000
_MAX_SOURCES: Final = 100
_MAX_MILLISECONDS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""
_XET_HASH = re.compile(r"[0-9a-f]{64}\Z")
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,99}/[\w.+-]{1,99}\Z", re.ASCII)
_NOT_HELD: Final = "The bucket holds no file of this Xet hash: upload it first."
_NOT_THERE: Final = "The source has no file of this Xet hash."


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """A file is to lie at `path`: uploaded to the bucket or, with a `source` (kind and name), held by that one."""

    path: str
    xet_hash: str
    modified_ms: int | None
    content_type: str | None
    source: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """No file is to lie at `path`."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An operation that could not be done, and why."""

    path: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was asked for: operations that can be tried, and those that no bucket could do."""

    operations: tuple[Add | Delete, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    sha256: str
    size_bytes: int


@dataclass(slots=True)
class _Plan:
    """What each path is to become, None for no file; and what cannot be."""

    rows: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def parse(body: bytes) -> Batch:
    """Return what the lines ask for.

    Raises:
        Refusal: 400 for what is no such request, 413 for too many lines.
    """
    lines = [line for line in body.split(b"\n") if line.strip()]
    if len(lines) > MAX_OPERATIONS:
        raise too_large(f"A batch has at most {MAX_OPERATIONS:,} operations.")
    operations: list[Add | Delete] = []
    failures: list[Failure] = []
    for number, line in enumerate(lines, 1):
        try:
            stated = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"Line {number} of the batch is not JSON.") from error
        if not isinstance(stated, dict) or not isinstance(stated.get("path"), str):
            raise bad_request(f"Line {number} of the batch is no object with a path.")
        try:
            operations.append(_operation(stated))
        except GitPathError as error:
            failures.append(Failure(path=shown(stated["path"]), error=f"Invalid path: {error.message}."))
    return Batch(operations=tuple(operations), failures=tuple(failures))


def apply(
    connection: Connection, caller: Caller, bucket: Repository, batch: Batch, *, now_ms: int
) -> tuple[Failure, ...]:
    """Do what can be done and return what could not.

    Args:
        connection: a writing transaction that holds the bucket's row.
        caller: who was found to be allowed to write to the bucket.
        bucket: the bucket.
        batch: what was asked for.
        now_ms: the time.

    Raises:
        Refusal: 409 if bytes were collected meanwhile.
    """
    plan = _Plan(failures=list(batch.failures))
    adds = [operation for operation in batch.operations if isinstance(operation, Add)]
    held = _held(connection, caller, bucket, adds)
    for operation in batch.operations:
        if isinstance(operation, Delete):
            plan.rows[operation.path] = None
            continue
        found = held.get((operation.source, operation.xet_hash))
        if found is None:
            plan.failures.append(Failure(path=operation.path, error=_NOT_THERE if operation.source else _NOT_HELD))
        else:
            plan.rows[operation.path] = _row(bucket.id, operation, found, now_ms)
    _carry_out(connection, bucket.id, plan.rows, now_ms=now_ms)
    return tuple(plan.failures)


def _operation(stated: dict[str, Any]) -> Add | Delete:
    path, kind = check_path(stated["path"]), stated.get("type")
    if kind == "deleteFile":
        return Delete(path=path)
    if kind not in ("addFile", "copyFile"):
        raise bad_request("A batch knows addFile, copyFile and deleteFile.")
    xet_hash, modified_ms, content_type = stated.get("xetHash"), stated.get("mtime"), stated.get("contentType")
    if not isinstance(xet_hash, str) or not _XET_HASH.match(xet_hash):
        raise bad_request("'xetHash' is 64 lower-case hexadecimal digits.")
    if type(modified_ms) is not int or not 0 <= modified_ms <= _MAX_MILLISECONDS:
        modified_ms = None
    if not isinstance(content_type, str) or not _CONTENT_TYPE.match(content_type):
        content_type = None
    source = _source(stated) if kind == "copyFile" else None
    return Add(path=path, xet_hash=xet_hash, modified_ms=modified_ms, content_type=content_type, source=source)


def _source(stated: dict[str, Any]) -> tuple[str, str]:
    kind, name = stated.get("sourceRepoType"), stated.get("sourceRepoId")
    if not isinstance(kind, str) or kind not in PREFIXES or not isinstance(name, str):
        raise bad_request("A copy names its source by 'sourceRepoType' and 'sourceRepoId'.")
    return kind, name


_Key = tuple[tuple[str, str] | None, str]


def _held(connection: Connection, caller: Caller, bucket: Repository, adds: Sequence[Add]) -> dict[_Key, _Held]:
    """Return the file of each source and hash that the caller may put into the bucket."""
    by_source: dict[tuple[str, str] | None, set[str]] = {}
    for operation in adds:
        by_source.setdefault(operation.source, set()).add(operation.xet_hash)
    if len(by_source) > _MAX_SOURCES:
        raise bad_request(f"A batch copies from at most {_MAX_SOURCES} repositories.")
    found: dict[_Key, _Held] = {}
    for source, hashes in by_source.items():
        repo = bucket
        if source is not None:
            try:
                repo = find(connection, caller, source[0], source[1], Access.READ)
            except Refusal:
                # It may not be known to be there: its files fail like those of a source that has none of them.
                continue
        for part in batches(sorted(hashes)):
            held = _in(connection, repo, part)
            kept = held if source is None else _shown_by(connection, repo, held)
            found.update(((source, xet_hash), each) for xet_hash, each in kept.items())
    return found


def _in(connection: Connection, repo: Repository, hashes: Sequence[str]) -> dict[str, _Held]:
    rows = connection.execute(
        select(content.c.xet_hash, content.c.sha256, content.c.size_bytes)
        .join(content_owner, content_owner.c.sha256 == content.c.sha256)
        .where(content_owner.c.repository_id == repo.id, content.c.xet_hash.in_(hashes))
    )
    return {xet_hash: _Held(sha256=sha256, size_bytes=size) for xet_hash, sha256, size in rows}


def _shown_by(connection: Connection, repo: Repository, held: dict[str, _Held]) -> dict[str, _Held]:
    """Leave out what the source holds but shows to none of its readers: uploads that no commit or path names."""
    if repo.kind == "bucket":
        kept = select(bucket_file.c.sha256).where(
            bucket_file.c.repository_id == repo.id, bucket_file.c.sha256.in_([each.sha256 for each in held.values()])
        )
        there = set(connection.execute(kept).scalars())
        return {xet_hash: each for xet_hash, each in held.items() if each.sha256 in there}
    pointers = {xet_hash: _pointer_oid(each) for xet_hash, each in held.items()}
    kept = select(git_object.c.oid).where(
        git_object.c.repository_id == repo.id, git_object.c.oid.in_(list(pointers.values()))
    )
    there = set(connection.execute(kept).scalars())
    return {xet_hash: each for xet_hash, each in held.items() if pointers[xet_hash] in there}


def _pointer_oid(held: _Held) -> str:
    return oid_of("blob", encode_pointer(LfsPointer(sha256=held.sha256, size_bytes=held.size_bytes)))


def _row(bucket_id: int, operation: Add, held: _Held, now_ms: int) -> dict[str, Any]:
    return {
        "repository_id": bucket_id,
        "path": operation.path,
        "sha256": held.sha256,
        "size_bytes": held.size_bytes,
        "modified_ms": now_ms if operation.modified_ms is None else operation.modified_ms,
        "content_type": operation.content_type,
    }


def _carry_out(
    connection: Connection, bucket_id: int, wanted: dict[str, dict[str, Any] | None], *, now_ms: int
) -> None:
    if not wanted:
        return
    before = _size(connection, bucket_id, wanted)
    rows = [row for row in wanted.values() if row is not None]
    try:
        own_all(connection, bucket_id, {row["sha256"] for row in rows}, now_ms=now_ms)
    except MissingContentError as error:
        raise conflict("A file of this batch was just collected: upload it again.") from error
    for part in batches(rows):
        statement = insert_into(connection, bucket_file).values(part)
        replaced = {name: statement.excluded[name] for name in ("sha256", "size_bytes", "modified_ms", "content_type")}
        keys = ["repository_id", "path"]
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=replaced))
    for gone in batches(path for path, row in wanted.items() if row is None):
        here = (bucket_file.c.repository_id == bucket_id) & bucket_file.c.path.in_(gone)
        connection.execute(delete(bucket_file).where(here))
    added = sum(row["size_bytes"] for row in rows) - before
    connection.execute(
        update(repository)
        .where(repository.c.id == bucket_id)
        .values(used_storage_bytes=repository.c.used_storage_bytes + added, modified_ms=now_ms)
    )


def _size(connection: Connection, bucket_id: int, paths: Iterable[str]) -> int:
    total = 0
    for part in batches(paths):
        here = (bucket_file.c.repository_id == bucket_id) & bucket_file.c.path.in_(part)
        statement = select(func.coalesce(func.sum(bucket_file.c.size_bytes), 0)).where(here)
        total += int(connection.execute(statement).scalar_one())
    return total
