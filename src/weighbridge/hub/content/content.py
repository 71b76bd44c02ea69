"""Large files as rows: what each is made of, and which repository holds it.

To know a hash grants nothing: every function that answers for a repository asks `content_owner` or `xorb_owner`.

Garbage collection condemns what nothing uses before it deletes it. Whoever takes a row into use does so with `own` or
`add_content`, which lift the sentence in the same transaction; see `hub.content.collect`.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, func, select, update

from weighbridge.errors import HubError
from weighbridge.hub.content.terms import Content, ContentError, Term, pack_terms, unpack_terms
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.insert import insert_into
from weighbridge.hub.database.schema import (
    content,
    content_owner,
    content_xorb,
    dedup_chunk,
    repository,
    xorb,
    xorb_owner,
)
from weighbridge.hub.http.refusal import repo_not_found
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.dedup_shard import dedup_eligible
from weighbridge.hub.xet.merkle import to_hex
from weighbridge.hub.xet.xorb import XorbIndex

__all__ = [
    "Content",
    "ContentError",
    "Term",
]

XORBS = "xorbs"
"""The first segment of the keys of xorbs in the byte store."""

_ATTEMPTS = 3


class MissingContentError(HubError):
    """What should be taken into use is not there, or no longer."""

    hint = "Upload the file again."


def owned(connection: Connection, repository_id: int, sha256: str) -> Content | None:
    """Return the file, if the repository holds it."""
    return _one(connection, _held_by(repository_id).where(content.c.sha256 == sha256))


def owned_by_xet_hash(connection: Connection, repository_id: int, xet_hash: str) -> Content | None:
    """Return the file of this Xet hash, if the repository holds it."""
    return _one(connection, _held_by(repository_id).where(content.c.xet_hash == xet_hash))


def many(connection: Connection, shas: Iterable[str]) -> dict[str, Content]:
    """Return the files of these SHA-256, those that exist, whoever holds them: the caller decides who may know."""
    found: dict[str, Content] = {}
    for part in batches(dict.fromkeys(shas)):
        for row in connection.execute(select(content).where(content.c.sha256.in_(part))):
            found[row.sha256] = _of(row)
    return found


def xet_hashes(connection: Connection, shas: Iterable[str]) -> dict[str, str]:
    """Return the Xet hash of each of these SHA-256 that exists: what lists of files show."""
    found: dict[str, str] = {}
    for part in batches(dict.fromkeys(shas)):
        rows = connection.execute(select(content.c.sha256, content.c.xet_hash).where(content.c.sha256.in_(part)))
        found.update((sha256, xet_hash) for sha256, xet_hash in rows)
    return found


def owned_among(connection: Connection, repository_id: int, shas: Iterable[str]) -> dict[str, int]:
    """Return the size of each of these files that the repository holds: what a commit may name."""
    found: dict[str, int] = {}
    for part in batches(dict.fromkeys(shas)):
        rows = connection.execute(
            select(content.c.sha256, content.c.size_bytes)
            .join(content_owner, content_owner.c.sha256 == content.c.sha256)
            .where(content_owner.c.repository_id == repository_id, content.c.sha256.in_(part))
        )
        found.update((sha256, size) for sha256, size in rows)
    return found


def add_xorb(hub: HubServer, repository_id: int, index: XorbIndex, data: bytes | memoryview) -> bool:
    """Store a verified xorb and say whether its bytes are new here; the repository holds it in any case.

    Bytes first, under a key of their own, then the row that makes them exist. Must not be called in a transaction.
    """
    name = to_hex(index.hash)
    for _ in range(_ATTEMPTS):
        if hold_xorb(hub, repository_id, name):
            return False
        key = new_xorb_key(name)
        hub.store.write(key, data)
        if name_xorb(hub, repository_id, index, key):
            return True
    raise MissingContentError("this xorb is being deleted again and again", place=name)


def new_xorb_key(name: str) -> str:
    """Return a key for the bytes of the xorb of this hash, which nobody else will ever use."""
    return f"{XORBS}/{name[:2]}/{name}.{secrets.token_hex(8)}"


def hold_xorb(hub: HubServer, repository_id: int, name: str) -> bool:
    """Make the repository a holder of a xorb that its client has all bytes of; return whether it exists."""
    with hub.database.read() as connection:
        if connection.execute(select(xorb.c.hash).where(xorb.c.hash == name)).first() is None:
            return False
    try:
        with hub.database.write() as connection:
            own_xorbs(connection, repository_id, (name,), now_ms=hub.now_ms())
    except MissingContentError:
        return False
    return True


def name_xorb(hub: HubServer, repository_id: int, index: XorbIndex, key: str) -> bool:
    """Let a verified xorb, whose bytes are stored under `key`, exist; return whether it is new.

    If it is not, somebody else was faster: the bytes under `key` are deleted.
    """
    name, now_ms = to_hex(index.hash), hub.now_ms()
    row = {
        "hash": name,
        "key": key,
        "size_bytes": index.serialised_bytes,
        "raw_bytes": index.raw_bytes,
        "chunk_count": len(index),
        "chunks": index.to_bytes(),
        "created_ms": now_ms,
    }
    with hub.database.write() as connection:
        is_new = insert_missing(connection, xorb, (row,)) == 1
        own_xorbs(connection, repository_id, (name,), now_ms=now_ms)
        if is_new:
            offered = ({"chunk": to_hex(index.chunk_hash(at)), "xorb": name} for at in dedup_eligible(index))
            insert_missing(connection, dedup_chunk, offered)
    if not is_new:
        hub.store.delete((key,))
    return is_new


def own_xorbs(connection: Connection, repository_id: int, names: Iterable[str], *, now_ms: int) -> None:
    """Note that the repository brought all bytes of these xorbs, and keep them for the grace time.

    Raises:
        MissingContentError: if one is not there.
    """
    _hold_repository(connection, repository_id)
    for part in batches(sorted(set(names))):
        _take_into_use(connection, xorb, xorb.c.hash, part)
        rows = ({"repository_id": repository_id, "hash": name, "created_ms": now_ms} for name in part)
        insert_missing(connection, xorb_owner, rows, fresh={"created_ms": now_ms})


def add_content(connection: Connection, repository_id: int, made: Content, *, now_ms: int) -> bool:
    """Write the row of a file whose hashes were all computed here, and say whether it is new; as `add_contents`."""
    return add_contents(connection, repository_id, (made,), now_ms=now_ms) == 1


def add_contents(connection: Connection, repository_id: int, made: Iterable[Content], *, now_ms: int) -> int:
    """Write the rows of files whose hashes were all computed here, and return how many are new.

    The repository holds the files then. A row that exists already stays as it is. Xorbs are held by whoever brought all
    their bytes and by nobody else: they may contain more than these files.

    Raises:
        MissingContentError: if one of the xorbs is not there.
    """
    # Repository, files, xorbs, each in one order, here as in `own_all`: so transactions do not wait for each other.
    _hold_repository(connection, repository_id)
    files = sorted({file.sha256: file for file in made}.values(), key=lambda file: file.sha256)
    new = [file for file in files if insert_missing(connection, content, (_row_of(file, now_ms),))]
    shas = [file.sha256 for file in files]
    _own_files(connection, repository_id, shas, now_ms=now_ms)
    _keep_xorbs(connection, {name for file in new for name in file.xorbs} | _made_of(connection, shas))
    for file in new:
        insert_missing(connection, content_xorb, ({"sha256": file.sha256, "xorb": name} for name in file.xorbs))
        _offer_first_chunk(connection, file)
    return len(new)


def own(connection: Connection, repository_id: int, sha256: str, *, now_ms: int) -> None:
    """Make the repository a holder of a file that exists: whoever calls has made sure that it may be.

    Keeps it, and its xorbs, from being collected for the grace time; a commit or a bucket keeps it longer.

    Raises:
        MissingContentError: if there is no such file.
    """
    own_all(connection, repository_id, (sha256,), now_ms=now_ms)


def own_all(connection: Connection, repository_id: int, shas: Iterable[str], *, now_ms: int) -> None:
    """Make the repository a holder of several files, as `own` does."""
    _hold_repository(connection, repository_id)
    names = sorted(set(shas))
    _own_files(connection, repository_id, names, now_ms=now_ms)
    _keep_xorbs(connection, _made_of(connection, names))


def own_as(connection: Connection, repository_id: int, *, source_id: int, now_ms: int) -> None:
    """Make the repository a holder of all that another one holds: it is a duplicate of it."""
    held = select(content_owner.c.sha256).where(content_owner.c.repository_id == source_id)
    shas = sorted(connection.execute(held).scalars())
    brought = select(xorb_owner.c.hash).where(xorb_owner.c.repository_id == source_id)
    names = connection.execute(brought).scalars().all()
    _own_files(connection, repository_id, shas, now_ms=now_ms)
    _keep_xorbs(connection, _made_of(connection, shas) | set(names))
    own_xorbs(connection, repository_id, names, now_ms=now_ms)


def disown(connection: Connection, repository_id: int, shas: Collection[str]) -> None:
    """Take files from the repository for good: what nobody else holds is collected after the grace time."""
    for part in batches(sorted(shas)):
        mine = (content_owner.c.repository_id == repository_id) & content_owner.c.sha256.in_(part)
        connection.execute(
            select(content_owner.c.sha256).where(mine).order_by(content_owner.c.sha256).with_for_update()
        )
        connection.execute(delete(content_owner).where(mine))


def stored_bytes(connection: Connection, repository_id: int) -> int:
    """Return what the files that the repository holds amount to, each counted once."""
    total: int = connection.execute(
        select(func.coalesce(func.sum(content.c.size_bytes), 0))
        .join(content_owner, content_owner.c.sha256 == content.c.sha256)
        .where(content_owner.c.repository_id == repository_id)
    ).scalar_one()
    return int(total)


def insert_missing(
    connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]], *, fresh: Mapping[str, Any] | None = None
) -> int:
    """Insert the rows whose keys are not there and return how many; `fresh` is set in those that were there."""
    added = 0
    for part in batches(rows):
        statement = insert_into(connection, table).values(part)
        if fresh:
            statement = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=dict(fresh))
        else:
            statement = statement.on_conflict_do_nothing()
        # Without this, what PostgreSQL's driver says of an INSERT is -1.
        added += connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount
    return added


def _hold_repository(connection: Connection, repository_id: int) -> None:
    """Keep the repository from being deleted until the transaction ends.

    Raises:
        Refusal: 404 if it was: an upload may take longer than its repository lives.
    """
    held = select(repository.c.id).where(repository.c.id == repository_id).with_for_update(read=True, key_share=True)
    if connection.execute(held).first() is None:
        raise repo_not_found(anonymous=False)


def _own_files(connection: Connection, repository_id: int, shas: Sequence[str], *, now_ms: int) -> None:
    for part in batches(shas):
        _take_into_use(connection, content, content.c.sha256, part)
        rows = ({"repository_id": repository_id, "sha256": sha256, "created_ms": now_ms} for sha256 in part)
        insert_missing(connection, content_owner, rows, fresh={"created_ms": now_ms})


def _keep_xorbs(connection: Connection, names: Iterable[str]) -> None:
    for part in batches(sorted(names)):
        _take_into_use(connection, xorb, xorb.c.hash, part)


def _take_into_use(connection: Connection, table: Table, key: Any, names: Sequence[str]) -> None:
    """Lock the rows against deletion until the transaction ends, and lift the sentence of those condemned."""
    rows = connection.execute(
        select(key, table.c.condemned_ms).where(key.in_(names)).order_by(key).with_for_update(key_share=True)
    ).all()
    if len(rows) != len(names):
        raise MissingContentError("the bytes are not there, or no longer", place=table.name)
    condemned = [name for name, condemned_ms in rows if condemned_ms is not None]
    if condemned:
        connection.execute(update(table).where(key.in_(condemned)).values(condemned_ms=None))


def _made_of(connection: Connection, shas: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for part in batches(shas):
        found.update(connection.execute(select(content_xorb.c.xorb).where(content_xorb.c.sha256.in_(part))).scalars())
    return found


def _offer_first_chunk(connection: Connection, made: Content) -> None:
    # Clients always ask for the first chunk of a file: one that grew at its end only is found again by it.
    if made.terms:
        first = made.terms[0]
        packed = connection.execute(select(xorb.c.chunks).where(xorb.c.hash == first.xorb)).scalar_one()
        chunk = to_hex(XorbIndex.from_bytes(packed).chunk_hash(first.first_chunk))
        insert_missing(connection, dedup_chunk, ({"chunk": chunk, "xorb": first.xorb},))


def _row_of(made: Content, now_ms: int) -> dict[str, Any]:
    return {
        "sha256": made.sha256,
        "xet_hash": made.xet_hash,
        "size_bytes": made.size_bytes,
        "terms": pack_terms(made.terms),
        "created_ms": now_ms,
    }


def _held_by(repository_id: int) -> Select[Any]:
    return (
        select(content)
        .join(content_owner, content_owner.c.sha256 == content.c.sha256)
        .where(content_owner.c.repository_id == repository_id)
    )


def _one(connection: Connection, statement: Select[Any]) -> Content | None:
    row = connection.execute(statement.limit(1)).one_or_none()
    return None if row is None else _of(row)


def _of(row: Any) -> Content:
    return Content(sha256=row.sha256, xet_hash=row.xet_hash, size_bytes=row.size_bytes, terms=unpack_terms(row.terms))
