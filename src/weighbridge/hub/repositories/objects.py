"""A repository's Git objects in the database: the `ObjectReader` of `hub.git`, and how objects get there.

Trees, commits and tags that were read stay in memory, up to a bound: they never change, and a listing needs the same
ones again. They are remembered for each database and repository apart, so that nobody reads an object of another
repository by knowing its oid. Blobs are not remembered.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, select

from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.insert import insert_into
from weighbridge.hub.database.schema import content, git_object
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    GitObject,
    GitObjectError,
    MissingObjectError,
    TreeEntry,
    decode_commit,
)
from weighbridge.hub.git.pointer import parse_pointer
from weighbridge.hub.git.tree import read_tree
from weighbridge.hub.repositories.bounded_cache import CachePerDatabase

CACHE_BYTES = 24 * 1024 * 1024
_EMPTY_TREE = GitObject("tree", b"")


class BlobFacts(NamedTuple):
    """A file of a repository without its bytes.

    `size_bytes` and `oid` are of the blob in Git; for a file kept by LFS, the blob is the pointer, and `lfs_sha256`,
    `lfs_size_bytes` and (where its bytes are known) `xet_hash` tell of what it points to.
    """

    oid: str
    size_bytes: int
    lfs_sha256: str | None
    lfs_size_bytes: int | None
    xet_hash: str | None

    @property
    def file_bytes(self) -> int:
        """The size of the file that a person sees."""
        return self.size_bytes if self.lfs_size_bytes is None else self.lfs_size_bytes


class DatabaseObjects:
    """The objects of one repository, read by one connection: an `ObjectReader`."""

    __slots__ = ("_cache", "_connection", "_repository_id")

    def __init__(self, connection: Connection, repository_id: int) -> None:
        self._connection = connection
        self._repository_id = repository_id
        self._cache = _CACHES.of(connection)

    def read(self, oid: str) -> GitObject:
        """Return the object.

        Raises:
            MissingObjectError: if this repository has none of this oid.
        """
        return self.read_many((oid,))[oid]

    def read_many(self, oids: Sequence[str]) -> dict[str, GitObject]:
        """Return the objects by oid, in as few queries as the database takes.

        Raises:
            MissingObjectError: if one of them is not there.
        """
        found: dict[str, GitObject] = {}
        lacking: list[str] = []
        for oid in oids:
            kept = _EMPTY_TREE if oid == EMPTY_TREE_OID else self._cache.get((self._repository_id, oid))
            if kept is None:
                lacking.append(oid)
            else:
                found[oid] = kept
        for batch in batches(lacking):
            asked = {"repository": self._repository_id, "oids": batch}
            for oid, kind, data in self._connection.execute(_READ, asked).all():
                item = found[oid] = GitObject(kind, bytes(data))
                if kind != "blob":
                    self._cache.put((self._repository_id, oid), item, len(item.data))
        for oid in lacking:
            if oid not in found:
                raise MissingObjectError("this repository has no such object", place=oid)
        return found

    def blobs(self, oids: Iterable[str]) -> dict[str, BlobFacts]:
        """Return the facts of files by oid, without reading their bytes; those that are not there are left out."""
        found: dict[str, BlobFacts] = {}
        for batch in batches(list(dict.fromkeys(oids))):
            for row in self._connection.execute(_FACTS, {"repository": self._repository_id, "oids": batch}).all():
                found[row[0]] = BlobFacts(*row)
        return found

    def has_commit(self, oid: str) -> bool:
        """Whether the database holds this commit now; asks it every time, since a commit may be deleted for good."""
        asked = {"repository": self._repository_id, "oid": oid}
        return self._connection.execute(_HAS_COMMIT, asked).first() is not None

    def commit(self, oid: str) -> CommitFacts:
        """Return what a commit states.

        Raises:
            GitObjectError: if there is none of this oid, or it is no commit.
        """
        item = self.read(oid)
        if item.kind != "commit":
            raise GitObjectError(f"this is a {item.kind} where a commit is expected", place=oid)
        return decode_commit(item.data)

    def tree(self, oid: str) -> tuple[TreeEntry, ...]:
        """Return the entries of one folder. Raises `GitObjectError`."""
        return read_tree(self, oid)


def write(connection: Connection, repository_id: int, objects: Mapping[str, GitObject], now_ms: int) -> None:
    """Insert objects, by oid; those that are there already stay as they are.

    Blobs that are LFS pointers are entered as such, so that listings need not read them.
    """
    # In one order, so that two writers of the same objects wait for each other instead of dead-locking.
    rows = [_row(repository_id, oid, item, now_ms) for oid, item in sorted(objects.items())]
    for part in batches(rows):
        connection.execute(insert_into(connection, git_object).on_conflict_do_nothing(), part)


_READ = select(git_object.c.oid, git_object.c.kind, git_object.c.data).where(
    git_object.c.repository_id == bindparam("repository"), git_object.c.oid.in_(bindparam("oids", expanding=True))
)
_FACTS = (
    select(
        git_object.c.oid,
        git_object.c.size_bytes,
        git_object.c.lfs_sha256,
        git_object.c.lfs_size_bytes,
        content.c.xet_hash,
    )
    .outerjoin(content, content.c.sha256 == git_object.c.lfs_sha256)
    .where(
        git_object.c.repository_id == bindparam("repository"),
        git_object.c.oid.in_(bindparam("oids", expanding=True)),
        git_object.c.kind == "blob",
    )
)
_HAS_COMMIT = select(git_object.c.oid).where(
    and_(
        git_object.c.repository_id == bindparam("repository"),
        git_object.c.oid == bindparam("oid"),
        git_object.c.kind == "commit",
    )
)

_CACHES: CachePerDatabase[GitObject] = CachePerDatabase(CACHE_BYTES)


def _row(repository_id: int, oid: str, item: GitObject, now_ms: int) -> dict[str, object]:
    pointer = parse_pointer(item.data) if item.kind == "blob" else None
    return {
        "repository_id": repository_id,
        "oid": oid,
        "kind": item.kind,
        "size_bytes": len(item.data),
        "lfs_sha256": pointer.sha256 if pointer else None,
        "lfs_size_bytes": pointer.size_bytes if pointer else None,
        "data": item.data,
        "created_ms": now_ms,
    }
