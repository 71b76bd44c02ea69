"""Hashes of the Xet protocol: keyed BLAKE3 of chunks, and the Merkle tree over them that names xorbs and files.

A hash is 32 raw bytes inside the hub. As text it is four little-endian 64-bit numbers, each written as 16 hexadecimal
digits, so the digits are not those of `bytes.hex`: use `to_hex` and `from_hex` at the edge.

Source: hub-docs `docs/xet/hashing.md`; the cut rule of the tree is that of draft-denis-xet, section on Merkle trees.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from weighbridge.hub.xet.errors import HashTextError

HASH_BYTES: Final = 32
ZERO_HASH: Final = bytes(HASH_BYTES)

_DATA_KEY: Final = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY: Final = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_RANGE_KEY: Final = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

# A parent has at least 2 and at most 9 children; the third or a later child ends it where its hash says so.
_MOST_CHILDREN: Final = 9
_BATCH: Final = 8192

Lengths: TypeAlias = Sequence[int] | NDArray[np.unsignedinteger[Any]]


def to_hex(value: bytes) -> str:
    """Write a hash of 32 bytes as the 64 digits that URLs and headers carry."""
    if len(value) != HASH_BYTES:
        raise ValueError(f"a hash has {HASH_BYTES} bytes, not {len(value)}")
    return "".join(value[at : at + 8][::-1].hex() for at in range(0, HASH_BYTES, 8))


def from_hex(text: str) -> bytes:
    """Read the 64 lower-case digits of a hash; anything else raises `HashTextError`."""
    if not _HEX.fullmatch(text):
        raise HashTextError(f"{text[:80]!r} is not a hash")
    raw = bytes.fromhex(text)
    return b"".join(raw[at : at + 8][::-1] for at in range(0, HASH_BYTES, 8))


def chunk_hash(data: bytes | bytearray | memoryview) -> bytes:
    """Hash the raw bytes of a chunk. Other threads run meanwhile, if it has more than 2 KiB."""
    return blake3(data, key=_DATA_KEY).digest()


def node_hash(children: Iterable[tuple[bytes, int]]) -> bytes:
    """Hash the children of one node: their hashes and lengths in bytes."""
    lines = (f"{to_hex(hash_)} : {length}\n" for hash_, length in children)
    return blake3("".join(lines).encode(), key=_NODE_KEY).digest()


def keyed_hash(value: bytes, key: bytes) -> bytes:
    """Hash a hash under a key of 32 bytes: how a deduplication answer hides the hashes that the asker does not have."""
    return blake3(value, key=key).digest()


def range_hash(hashes: bytes | memoryview) -> bytes:
    """Hash the joined chunk hashes of one term: the proof that whoever names the term has its chunks."""
    return blake3(hashes, key=_RANGE_KEY).digest()


def xorb_hash(hashes: bytes | memoryview, lengths: Lengths) -> bytes:
    """Name a xorb by its chunks: joined chunk hashes (32 bytes each) and their raw lengths in bytes."""
    tree = MerkleTree()
    tree.extend(hashes, lengths)
    return tree.root()


def file_hash(hashes: bytes | memoryview, lengths: Lengths) -> bytes:
    """Name a file by its chunks: the root of their tree, hashed once more under a key of zeros; zeros if empty."""
    tree = MerkleTree()
    tree.extend(hashes, lengths)
    return tree.file_hash()


class MerkleTree:
    """The tree over a sequence of chunks, built as they come: memory grows with its depth, not with their number."""

    __slots__ = ("_levels", "count", "total_bytes")

    def __init__(self) -> None:
        self._levels: list[_Level] = [_Level()]
        self.count = 0
        self.total_bytes = 0

    def extend(self, hashes: bytes | memoryview, lengths: Lengths) -> None:
        """Add chunks: their joined hashes (32 bytes each) and raw lengths in bytes, of the same number."""
        sizes = np.asarray(lengths, dtype=np.uint64)
        if len(hashes) != sizes.size * HASH_BYTES:
            raise ValueError(f"{len(hashes)} bytes of hashes do not fit {sizes.size} lengths")
        self.count += sizes.size
        self.total_bytes += int(sizes.sum())
        view = memoryview(hashes)
        for first in range(0, sizes.size, _BATCH):
            part = sizes[first : first + _BATCH].tolist()
            self._add(0, bytes(view[first * HASH_BYTES : (first + len(part)) * HASH_BYTES]), part)

    def _add(self, level: int, hashes: bytes, lengths: list[int]) -> None:
        while lengths:
            if level == len(self._levels):
                self._levels.append(_Level())
            hashes, lengths = self._levels[level].add(hashes, lengths)
            level += 1

    def root(self) -> bytes:
        """Return the root over all chunks so far; zeros if there are none. More can be added only before."""
        if not self.count:
            return ZERO_HASH
        level = 0
        while level < len(self._levels):
            here = self._levels[level]
            if level + 1 == len(self._levels) and here.emitted == 0 and len(here.lengths) == 1:
                return here.hashes
            self._add(level + 1, *here.flush())
            level += 1
        raise AssertionError("a tree with chunks has a root")

    def file_hash(self) -> bytes:
        """Return the name of the file that the chunks make; zeros if there are none."""
        return keyed_hash(self.root(), ZERO_HASH) if self.count else ZERO_HASH


class _Level:
    """Nodes of one level that still wait for the end of their group."""

    __slots__ = ("emitted", "hashes", "lengths")

    def __init__(self) -> None:
        self.hashes = b""
        self.lengths: list[int] = []
        self.emitted = 0

    def add(self, hashes: bytes, lengths: list[int]) -> tuple[bytes, list[int]]:
        """Take nodes; return the parents of the groups that are complete."""
        hashes, lengths = self.hashes + hashes, self.lengths + lengths
        ends = _cuts(hashes)
        parents = _parents(hashes, lengths, ends)
        done = ends[-1] if ends else 0
        self.hashes, self.lengths = hashes[done * HASH_BYTES :], lengths[done:]
        self.emitted += len(ends)
        return parents

    def flush(self) -> tuple[bytes, list[int]]:
        """Close the last group, whatever its size; return its parent, or nothing if no node waits."""
        ends = [len(self.lengths)] if self.lengths else []
        parents = _parents(self.hashes, self.lengths, ends)
        self.emitted += len(ends)
        self.hashes, self.lengths = b"", []
        return parents


def _cuts(hashes: bytes) -> list[int]:
    """Return where groups end: after the third or a later node whose last number divides by 4, or after the ninth."""
    count = len(hashes) // HASH_BYTES
    # The last little-endian number starts at byte 24: its two lowest bits decide.
    marks = np.flatnonzero(np.frombuffer(hashes, dtype=np.uint8)[24::HASH_BYTES] & 3 == 0).tolist()
    ends: list[int] = []
    start = at = 0
    while True:
        while at < len(marks) and marks[at] < start + 2:
            at += 1
        end = min(start + _MOST_CHILDREN, marks[at] + 1 if at < len(marks) else count + _MOST_CHILDREN)
        if end > count:
            return ends
        ends.append(end)
        start = end


def _parents(hashes: bytes, lengths: list[int], ends: list[int]) -> tuple[bytes, list[int]]:
    """Hash each group of nodes as `node_hash` does, with the text of all hashes made at once."""
    if not ends:
        return b"", []
    text = np.frombuffer(hashes, dtype="<u8").byteswap().tobytes().hex()
    lines = [f"{text[at * 64 : at * 64 + 64]} : {length}\n" for at, length in enumerate(lengths[: ends[-1]])]
    starts = [0, *ends[:-1]]
    digests = [
        blake3("".join(lines[start:end]).encode(), key=_NODE_KEY).digest()
        for start, end in zip(starts, ends, strict=True)
    ]
    return b"".join(digests), [sum(lengths[start:end]) for start, end in zip(starts, ends, strict=True)]
