"""Which files a commit holds: the answer behind every read by hash, remembered because commits never change."""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from weighbridge.hub.content.terms import Content
from weighbridge.hub.database.schema import bucket_file, git_object
from weighbridge.hub.git.objects import EMPTY_TREE_OID, oid_of
from weighbridge.hub.git.pointer import LfsPointer, encode_pointer
from weighbridge.hub.repositories.bounded_cache import CachePerDatabase
from weighbridge.hub.repositories.find import Repository

CACHE_BYTES: Final = 24 * 1024 * 1024
"""Eight bytes a file: those of three million files in all."""
_READ_BATCH: Final = 64
_ENTRY: Final = re.compile(rb"(40000|1\d{5}) [^\0]+\0(.{20})", re.DOTALL)
_TREE: Final = re.compile(rb"tree ([0-9a-f]{40})\n")

Prefixes = NDArray[np.uint64]


def reaches(connection: Connection, repo: Repository, commit: str, wanted: Content) -> bool:
    """Say whether the commit (of a bucket: its present state) holds the file."""
    if repo.kind == "bucket":
        kept = select(bucket_file.c.path).where(
            bucket_file.c.repository_id == repo.id, bucket_file.c.sha256 == wanted.sha256
        )
        return connection.execute(kept.limit(1)).first() is not None
    if not commit:
        return False
    # A pointer has one spelling only, so the file's blob has one oid. Its first 64 bits tell it from the repository's
    # other files; only who may write there, and so read all of it, could make two that agree.
    pointer = encode_pointer(LfsPointer(sha256=wanted.sha256, size_bytes=wanted.size_bytes))
    prefix = np.uint64(int(oid_of("blob", pointer)[:16], 16))
    held = _files_of(connection, repo.id, commit)
    at = int(np.searchsorted(held, prefix))
    return at < len(held) and bool(held[at] == prefix)


def entries(tree: bytes) -> Iterator[tuple[bool, bytes]]:
    """Yield for each entry of a stored tree whether it is a folder, and its oid of 20 bytes."""
    for mode, oid in _ENTRY.findall(tree):
        yield mode == b"40000", oid


def read_data(connection: Connection, repository_id: int, oids: list[str]) -> Iterator[tuple[str, str, bytes]]:
    """Yield oid, kind and bytes of those objects that are there, a few at a time."""
    for start in range(0, len(oids), _READ_BATCH):
        part = oids[start : start + _READ_BATCH]
        rows = connection.execute(
            select(git_object.c.oid, git_object.c.kind, git_object.c.data).where(
                git_object.c.repository_id == repository_id, git_object.c.oid.in_(part)
            )
        )
        for oid, kind, data in rows:
            yield oid, kind, bytes(data)


def _files_of(connection: Connection, repository_id: int, commit: str) -> Prefixes:
    cache = _CACHES.of(connection)
    found = cache.get((repository_id, commit))
    if found is None:
        found = _walked(connection, repository_id, commit)
        cache.put((repository_id, commit), found, found.nbytes)
    return found


def _walked(connection: Connection, repository_id: int, commit: str) -> Prefixes:
    """Return the first 64 bits of the oids of all files of a commit, in order."""
    waiting: list[str] = []
    for _, _, data in read_data(connection, repository_id, [commit]):
        waiting.extend(match[1].decode() for match in [_TREE.match(data)] if match)
    seen = {EMPTY_TREE_OID, *waiting}
    parts: list[bytes] = []
    while waiting:
        below: dict[str, None] = {}
        for _, _, data in read_data(connection, repository_id, waiting):
            files = []
            for is_folder, oid in entries(data):
                if is_folder:
                    below[oid.hex()] = None
                else:
                    files.append(oid[:8])
            parts.append(b"".join(files))
        waiting = [oid for oid in below if oid not in seen]
        seen.update(waiting)
    return np.unique(np.frombuffer(b"".join(parts), dtype=">u8").astype(np.uint64))


_CACHES: CachePerDatabase[Prefixes] = CachePerDatabase(CACHE_BYTES)
