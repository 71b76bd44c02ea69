"""Whether a file is what its entry in a shard claims: recomputed from verified xorbs, never trusted.

What is proved: each term names chunks that its xorb has, with that many bytes; whoever wrote the shard knows the hashes
of these chunks; together they make the file's Xet hash. What is not: the SHA-256, which no chunk hash implies. Whoever
wants to rely on it must read the file's bytes and hash them (see `each_chunk`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from weighbridge.hub.xet.errors import ShardError
from weighbridge.hub.xet.merkle import MerkleTree, range_hash, to_hex
from weighbridge.hub.xet.shard import FileEntry, XorbEntry
from weighbridge.hub.xet.xorb import XorbIndex

# A tebibyte of chunks of the usual 64 KiB: about 15 seconds of one core.
MAX_FILE_CHUNKS: Final = 1 << 24

_KEPT_INDEXES: Final = 64

Lookup = Callable[[bytes], XorbIndex | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """A file whose terms were found true. `sha256` is still only claimed."""

    hash: bytes
    size_bytes: int
    chunk_count: int
    xorbs: frozenset[bytes]
    sha256: str | None


def check_file(file: FileEntry, lookup: Lookup, *, max_chunks: int = MAX_FILE_CHUNKS) -> CheckedFile:
    """Recompute everything that can be from the indexes of its xorbs; raise `ShardError` where it differs.

    `lookup` returns the index of a xorb by its hash (32 bytes), None if it is not there or not to be seen; the latest
    64 answers are kept. Memory: these (at most 20 MiB), and a few hundred KiB.
    """
    place = f"file {to_hex(file.hash)}"
    if (count := file.chunk_count) > max_chunks:
        raise ShardError(f"it names {count} chunks; at most {max_chunks} are checked", place=place)
    tree = MerkleTree()
    find = lru_cache(maxsize=_KEPT_INDEXES)(lookup)
    for number, term in enumerate(file.terms):
        where = f"{place}, term {number}"
        if (index := find(term.xorb)) is None:
            raise ShardError(f"xorb {to_hex(term.xorb)} is not here", place=where)
        if term.end > len(index):
            raise ShardError(f"chunk {term.end - 1} is beyond the {len(index)} of its xorb", place=where)
        if index.raw_bytes_of(term.first, term.end) != term.raw_bytes:
            raise ShardError(f"its chunks do not have the {term.raw_bytes} bytes that it states", place=where)
        hashes = index.hashes_of(term.first, term.end)
        if range_hash(hashes) != file.range_hash(number):
            raise ShardError("its verification hash is not that of its chunks", place=where)
        tree.extend(hashes, index.raw_lengths_of(term.first, term.end))
    if (found := tree.file_hash()) != file.hash:
        raise ShardError(f"its chunks make file {to_hex(found)}", place=place)
    return CheckedFile(
        hash=found, size_bytes=tree.total_bytes, chunk_count=tree.count, xorbs=file.xorbs, sha256=file.sha256
    )


def check_xorb(xorb: XorbEntry, lookup: Lookup) -> XorbIndex:
    """Compare what a shard says of a xorb with its verified index; return that or raise `ShardError`."""
    place = f"xorb {to_hex(xorb.hash)}"
    if (index := lookup(xorb.hash)) is None:
        raise ShardError("it was not uploaded before the shard that describes it", place=place)
    if xorb.hashes != index.hashes or not np.array_equal(xorb.raw_lengths, index.raw_lengths):
        raise ShardError("its chunks are not those that the shard lists", place=place)
    return index
