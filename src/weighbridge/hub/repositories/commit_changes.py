"""From the operations of a request to changes of a tree: blobs are written, and what may not be named is refused."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import Connection

from weighbridge.hub.content.content import MissingContentError, own_all, owned_among
from weighbridge.hub.git.objects import GitObject, oid_of
from weighbridge.hub.git.paths import shown
from weighbridge.hub.git.pointer import encode_pointer
from weighbridge.hub.git.tree import Change, Put
from weighbridge.hub.git.walk import find_many
from weighbridge.hub.http.refusal import ENTRY_NOT_FOUND, Refusal, bad_request
from weighbridge.hub.repositories.commit_request import (
    AddFile,
    AddLargeFile,
    CommitReader,
    CopyFile,
    Operation,
    pointer_of,
)
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.objects import DatabaseObjects, write
from weighbridge.hub.repositories.refs import resolve

_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_OBJECTS = 500
_SHOWN = 10


def changes_of(
    connection: Connection,
    repo: Repository,
    body: CommitReader,
    operations: Sequence[Operation],
    *,
    base: str | None,
    now_ms: int,
) -> tuple[Change, ...]:
    """Write the blobs that the operations bring, and return what they change, in their order.

    Args:
        connection: a writing transaction that holds the repository's row.
        repo: the repository.
        body: holds the files' bytes.
        operations: what was asked for.
        base: the commit that copies are taken from; None if there is none.
        now_ms: the time.

    Raises:
        Refusal: 400 for a large file that this repository does not hold, or whose size is another; 404 for a file to
            copy that is not there.
    """
    large = [operation for operation in operations if isinstance(operation, AddLargeFile)]
    sizes = _hold(connection, repo.id, large, now_ms=now_ms)
    copies = _sources(
        connection, repo, [operation for operation in operations if isinstance(operation, CopyFile)], base
    )
    pointers = {operation.sha256: encode_pointer(pointer_of(operation, sizes[operation.sha256])) for operation in large}
    oids = {sha256: oid_of("blob", data) for sha256, data in pointers.items()}
    small = (operation for operation in operations if isinstance(operation, AddFile))
    blobs = ((operation.oid, body.blob(operation)) for operation in small)
    for batch in _batched(blobs):
        write(connection, repo.id, batch, now_ms)
    for batch in _batched((oids[sha256], GitObject("blob", data)) for sha256, data in pointers.items()):
        write(connection, repo.id, batch, now_ms)
    return tuple(_change(operation, oids, copies) for operation in operations)


def _change(operation: Operation, oids: dict[str, str], copies: dict[CopyFile, Put]) -> Change:
    match operation:
        case AddFile():
            return Put(path=operation.path, blob_oid=operation.oid)
        case AddLargeFile():
            return Put(path=operation.path, blob_oid=oids[operation.sha256])
        case CopyFile():
            return copies[operation]
    return operation


def _hold(connection: Connection, repository_id: int, large: Sequence[AddLargeFile], *, now_ms: int) -> dict[str, int]:
    """Return the sizes of the files, which the repository holds, and keep them from being collected."""
    sizes = owned_among(connection, repository_id, (operation.sha256 for operation in large))
    missing = [operation.path for operation in large if operation.sha256 not in sizes]
    if missing:
        names = ", ".join(shown(path) for path in missing[:_SHOWN])
        raise bad_request(f"The commit points to large files that were not uploaded to this repository: {names}")
    for operation in large:
        if operation.size_bytes not in (None, sizes[operation.sha256]):
            raise bad_request(f"{shown(operation.path)} has {sizes[operation.sha256]:,} bytes, not as many as stated.")
    try:
        own_all(connection, repository_id, sizes, now_ms=now_ms)
    except MissingContentError as error:
        raise bad_request("A large file of this commit was just collected: upload it again.") from error
    return sizes


def _sources(
    connection: Connection, repo: Repository, copies: Sequence[CopyFile], base: str | None
) -> dict[CopyFile, Put]:
    reader = DatabaseObjects(connection, repo.id)
    by_commit: dict[str, list[CopyFile]] = {}
    for copy in copies:
        commit = resolve(connection, repo, copy.source_revision) if copy.source_revision else base
        if commit is None:
            raise _no_source(copy)
        by_commit.setdefault(commit, []).append(copy)
    found: dict[CopyFile, Put] = {}
    for commit, group in by_commit.items():
        entries = find_many(reader, reader.commit(commit).tree, (copy.source_path for copy in group))
        for copy in group:
            entry = entries.get(copy.source_path)
            if entry is None or entry.is_folder:
                raise _no_source(copy)
            found[copy] = Put(path=copy.path, blob_oid=entry.oid, mode=entry.mode)
    return found


def _no_source(copy: CopyFile) -> Refusal:
    return Refusal(404, f"A file with this name doesn't exist: {shown(copy.source_path)}", code=ENTRY_NOT_FOUND)


def _batched(objects: Iterable[tuple[str, GitObject]]) -> Iterator[dict[str, GitObject]]:
    """Return the objects in parts that a statement and the memory take."""
    iterator = iter(objects)
    while part := _part(iterator):
        yield part


def _part(objects: Iterator[tuple[str, GitObject]]) -> dict[str, GitObject]:
    part: dict[str, GitObject] = {}
    size = 0
    for oid, item in islice(objects, _BATCH_OBJECTS):
        part[oid] = item
        size += len(item.data)
        if size >= _BATCH_BYTES:
            break
    return part
