"""Chunks that the store has already, found while a file is taken in.

Some chunks are on record (`dedup_chunk`: the first of each file, and one in 1,024). Where one of them comes, the
chunks of its xorb, and of the other xorbs of a file that uses it, are known from then on: a new version of a file finds
most of itself by its first chunk. Whoever sends a file has its bytes, so nothing is disclosed by finding them here.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from sqlalchemy import select

from weighbridge.hub.database.schema import content_xorb, dedup_chunk, xorb
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.merkle import HASH_BYTES, to_hex
from weighbridge.hub.xet.xorb import XorbIndex

MAX_CHUNKS = 100_000
"""That many are known at once at most, about 20 MiB; what is beyond is stored again."""

_MAX_XORBS = 256
_SAMPLED = 1024


class StoredChunk(NamedTuple):
    """Where a chunk lies: its xorb's hash, and its number there."""

    xorb: str
    chunk: int


class KnownChunks:
    """What one upload has found so far."""

    def __init__(self, hub: HubServer) -> None:
        self._hub = hub
        self._chunks: dict[bytes, StoredChunk] = {}
        self._seen: set[str] = set()

    def find(self, digest: bytes, *, is_first: bool) -> StoredChunk | None:
        """Return where the chunk lies; asks the database for chunks that may be on record."""
        found = self._chunks.get(digest)
        if found is None and (is_first or int.from_bytes(digest[24:], "little") % _SAMPLED == 0):
            self._learn(digest)
            found = self._chunks.get(digest)
        return found

    def add(self, name: str, chunks: Mapping[bytes, int]) -> None:
        """Know the chunks of a xorb, by their hash and number."""
        self._seen.add(name)
        if len(self._chunks) + len(chunks) <= MAX_CHUNKS:
            for digest, at in chunks.items():
                self._chunks.setdefault(digest, StoredChunk(name, at))

    def _learn(self, digest: bytes) -> None:
        recorded = (
            select(dedup_chunk.c.xorb)
            .join(xorb, xorb.c.hash == dedup_chunk.c.xorb)
            .where(dedup_chunk.c.chunk == to_hex(digest), xorb.c.condemned_ms.is_(None))
            .limit(1)
        )
        with self._hub.database.read() as connection:
            name = connection.execute(recorded).scalar_one_or_none()
            if name is None or name in self._seen:
                return
            user = select(content_xorb.c.sha256).where(content_xorb.c.xorb == name).limit(1)
            beside = (
                select(xorb.c.hash)
                .join(content_xorb, content_xorb.c.xorb == xorb.c.hash)
                .where(content_xorb.c.sha256 == user.scalar_subquery(), xorb.c.condemned_ms.is_(None))
                .limit(_MAX_XORBS)
            )
            names = dict.fromkeys((name, *connection.execute(beside).scalars()))
            for other in names:
                if other in self._seen or len(self._chunks) >= MAX_CHUNKS:
                    continue
                packed = connection.execute(select(xorb.c.chunks).where(xorb.c.hash == other)).scalar_one()
                self.add(other, _by_hash(XorbIndex.from_bytes(packed)))


def _by_hash(index: XorbIndex) -> dict[bytes, int]:
    hashes = np.frombuffer(index.hashes, dtype=f"V{HASH_BYTES}")
    return {bytes(index.hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]): at for at in range(len(hashes))}
