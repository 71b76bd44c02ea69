"""Xorbs: up to 8,192 chunks in a row, named by the Merkle root of their hashes. Reading trusts nothing.

Every chunk is unpacked within bounds and hashed; the name is recomputed. A footer after the chunks, which some
clients write, says nothing that is not recomputed here: it is skipped, and storage keeps the chunk part alone.
Source: hub-docs `docs/xet/xorb.md`.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from weighbridge.hub.xet.chunk import HEADER_BYTES, MAX_CHUNK_BYTES, Buffer, ChunkHeader, Unpacker, read_header
from weighbridge.hub.xet.errors import XorbError
from weighbridge.hub.xet.merkle import HASH_BYTES, chunk_hash, to_hex, xorb_hash

MAX_XORB_CHUNKS: Final = 8192
# The reference client cuts at 64 MiB of raw bytes: where nothing packs, the headers of its chunks come on top.
MAX_XORB_BYTES: Final = 64 * 1024 * 1024 + MAX_XORB_CHUNKS * HEADER_BYTES
MAX_FOOTER_BYTES: Final = 512 * 1024

_FOOTER_MARK: Final = b"XETBLOB"
_INDEX_MARK: Final = b"WXI1"
# Long enough that handing a run to another thread costs nothing beside its work.
_RUN_BYTES: Final = 1024 * 1024

Numbers: TypeAlias = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class XorbIndex:
    """What is known of a xorb once each of its chunks was hashed: 40 bytes a chunk when stored.

    `hashes` are the chunk hashes joined (32 bytes each), `raw_lengths` the bytes of each chunk, `ends` the offset in
    the serialised xorb at which each chunk ends (its header counted). Chunk ranges are half open, `[first, end)`.
    """

    hash: bytes
    hashes: bytes
    raw_lengths: Numbers
    ends: Numbers

    def __post_init__(self) -> None:
        count = len(self.ends)
        if not 0 < count <= MAX_XORB_CHUNKS:
            raise XorbError(f"a xorb has 1 to {MAX_XORB_CHUNKS} chunks, not {count}", place=self.place)
        if len(self.raw_lengths) != count or len(self.hashes) != count * HASH_BYTES or len(self.hash) != HASH_BYTES:
            raise XorbError("its hashes, lengths and offsets differ in number", place=self.place)

    def __len__(self) -> int:
        return len(self.ends)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, XorbIndex) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.hash)

    @property
    def place(self) -> str:
        """Name the xorb in messages."""
        return f"xorb {self.hash.hex() if len(self.hash) != HASH_BYTES else to_hex(self.hash)}"

    @property
    def chunk_count(self) -> int:
        """How many chunks it has, as `len`."""
        return len(self.ends)

    @property
    def serialised_bytes(self) -> int:
        """Length of the chunk part, which is all that storage keeps."""
        return int(self.ends[-1])

    @property
    def raw_bytes(self) -> int:
        """Length of all chunks unpacked."""
        return int(self.raw_lengths.sum(dtype=np.uint64))

    @property
    def raw_offsets(self) -> NDArray[np.uint64]:
        """Where each chunk starts among the raw bytes, and the end: one number more than chunks."""
        return np.concatenate([np.zeros(1, np.uint64), np.cumsum(self.raw_lengths, dtype=np.uint64)])

    def chunk_hash(self, chunk: int) -> bytes:
        """Return the hash of one chunk."""
        return self.hashes_of(chunk, chunk + 1)

    def hashes_of(self, first: int, end: int) -> bytes:
        """Return the joined hashes of chunks `[first, end)`."""
        self._check(first, end)
        return self.hashes[first * HASH_BYTES : end * HASH_BYTES]

    def raw_lengths_of(self, first: int, end: int) -> Numbers:
        """Return the raw length in bytes of each chunk of `[first, end)`."""
        self._check(first, end)
        return self.raw_lengths[first:end]

    def raw_bytes_of(self, first: int, end: int) -> int:
        """Return how many raw bytes chunks `[first, end)` hold."""
        return int(self.raw_lengths_of(first, end).sum(dtype=np.uint64))

    def byte_range(self, first: int, end: int) -> tuple[int, int]:
        """Return where chunks `[first, end)` lie in the serialised xorb: start and stop, stop exclusive."""
        self._check(first, end)
        return (int(self.ends[first - 1]) if first else 0), int(self.ends[end - 1])

    def _check(self, first: int, end: int) -> None:
        if not 0 <= first < end <= len(self):
            raise XorbError(f"chunks {first} to {end} are not in a xorb of {len(self)}", place=self.place)

    def to_bytes(self) -> bytes:
        """Return the form for a database: 36 bytes and 40 a chunk."""
        numbers = np.concatenate([self.raw_lengths, self.ends]).astype("<u4").tobytes()
        return _INDEX_MARK + self.hash + self.hashes + numbers

    @classmethod
    def from_bytes(cls, data: bytes) -> "XorbIndex":
        """Read what `to_bytes` wrote, without copying. Raises `XorbError`; does not hash again."""
        start = len(_INDEX_MARK) + HASH_BYTES
        count, rest = divmod(len(data) - start, HASH_BYTES + 8)
        if data[: len(_INDEX_MARK)] != _INDEX_MARK or rest or not 0 < count <= MAX_XORB_CHUNKS:
            raise XorbError("these bytes are not the index of a xorb", place="stored xorb index")
        numbers = np.frombuffer(data, dtype="<u4", offset=start + count * HASH_BYTES)
        steps = np.diff(numbers[count:].astype(np.int64), prepend=0)
        if steps.min() <= HEADER_BYTES or not 0 < numbers[:count].min() <= numbers[:count].max() <= MAX_CHUNK_BYTES:
            raise XorbError("lengths and offsets of the index contradict one another", place="stored xorb index")
        return cls(
            hash=data[len(_INDEX_MARK) : start],
            hashes=data[start : start + count * HASH_BYTES],
            raw_lengths=numbers[:count],
            ends=numbers[count:],
        )


class XorbReader:
    """Takes an upload block by block and verifies each chunk as soon as it is complete.

    Holds at most one incomplete chunk (256 KiB) and the index. With an `executor`, runs of chunks within one block are
    unpacked and hashed side by side: feed it blocks of several MiB. Raises `XorbError` at the first thing amiss.
    """

    def __init__(self, *, expected: bytes, executor: Executor | None = None) -> None:
        self._expected = expected
        self._place = f"xorb {to_hex(expected)}"
        self._executor = executor
        self._pending = bytearray()
        self._needed = HEADER_BYTES
        self._footer_bytes = -1
        self._hashes: list[bytes] = []
        self._lengths: list[int] = []
        self._ends: list[int] = []

    @property
    def serialised_bytes(self) -> int:
        """Length of the chunks read so far: what lies beyond at the end is a footer, not to be stored."""
        return self._ends[-1] if self._ends else 0

    def feed(self, block: Buffer) -> None:
        """Take the next bytes of the upload."""
        if self._footer_bytes >= 0:
            self._skip(len(block))
            return
        with memoryview(block) as view:
            done = self._complete(view) if self._pending else 0
            if self._pending:
                return
            if self._footer_bytes < 0:
                done += self._take(view[done:])
            if self._footer_bytes < 0:
                self._pending += view[done:]
            else:
                self._skip(len(view) - done)

    def _complete(self, view: memoryview) -> int:
        """Give the chunk that waits what it lacks, and take it once it is whole; return how many bytes it took.

        So a block is copied at its ends alone.
        """
        done = 0
        while self._pending and done < len(view):
            lacking = self._needed - len(self._pending)
            self._pending += view[done : done + lacking]
            done += min(lacking, len(view) - done)
            if len(self._pending) == self._needed:
                pending, self._pending = self._pending, bytearray()
                with memoryview(pending) as whole:
                    # Of a header alone nothing is taken; now the length of its chunk is known.
                    rest = self._take(whole)
                    if self._footer_bytes < 0:
                        self._pending += whole[rest:]
                    else:
                        self._skip(len(whole) - rest)
        return done

    def finish(self) -> XorbIndex:
        """Say that the upload is over; return its index if it is what its name says."""
        if self._pending:
            raise XorbError("the upload ends inside a chunk", place=self._chunk_place())
        if not self._ends:
            raise XorbError("the upload holds no chunk", place=self._place)
        index = XorbIndex(
            hash=xorb_hash(b"".join(self._hashes), self._lengths),
            hashes=b"".join(self._hashes),
            raw_lengths=np.array(self._lengths, dtype="<u4"),
            ends=np.array(self._ends, dtype="<u4"),
        )
        if index.hash != self._expected:
            raise XorbError(f"its chunks make xorb {to_hex(index.hash)}", place=self._place)
        return index

    def _chunk_place(self, ahead: int = 0) -> str:
        return f"{self._place}, chunk {len(self._ends) + ahead}"

    def _skip(self, count: int) -> None:
        self._footer_bytes += count
        if self._footer_bytes > MAX_FOOTER_BYTES:
            raise XorbError(f"its footer is longer than {MAX_FOOTER_BYTES} bytes", place=self._place)

    def _take(self, view: memoryview) -> int:
        """Verify the complete chunks of `view`; return where the first incomplete one starts."""
        found: list[tuple[int, ChunkHeader]] = []
        at, before = 0, self.serialised_bytes
        while len(view) - at >= HEADER_BYTES:
            if bytes(view[at : at + len(_FOOTER_MARK)]) == _FOOTER_MARK:
                self._footer_bytes = 0
                break
            if len(self._ends) + len(found) == MAX_XORB_CHUNKS:
                raise XorbError(f"it has more than {MAX_XORB_CHUNKS} chunks", place=self._place)
            header = read_header(view, at, place=self._chunk_place(len(found)))
            if before + at + HEADER_BYTES + header.packed_bytes > MAX_XORB_BYTES:
                raise XorbError(f"it is longer than {MAX_XORB_BYTES} bytes", place=self._place)
            self._needed = HEADER_BYTES + header.packed_bytes
            if len(view) - at < self._needed:
                break
            found.append((at, header))
            at += self._needed
            self._needed = HEADER_BYTES
        self._hashes += self._digests(view, found)
        self._lengths += [header.raw_bytes for _, header in found]
        self._ends += [before + start + HEADER_BYTES + header.packed_bytes for start, header in found]
        return at

    def _digests(self, view: memoryview, found: list[tuple[int, ChunkHeader]]) -> list[bytes]:
        number = len(self._ends)
        if self._executor is None:
            return _digest_run(view, found, number, self._place)
        runs = _runs(found)
        numbers = [number + sum(map(len, runs[:at])) for at in range(len(runs))]
        jobs = [
            self._executor.submit(_digest_run, view, run, first, self._place)
            for run, first in zip(runs, numbers, strict=True)
        ]
        try:
            return [digest for job in jobs for digest in job.result()]
        finally:
            # The view is released by the caller: no job may still read it.
            for job in jobs:
                if not job.cancel():
                    job.exception()


def _runs(found: list[tuple[int, ChunkHeader]]) -> list[list[tuple[int, ChunkHeader]]]:
    runs: list[list[tuple[int, ChunkHeader]]] = []
    room = 0
    for chunk in found:
        if room <= 0:
            runs.append([])
            room = _RUN_BYTES
        runs[-1].append(chunk)
        room -= chunk[1].raw_bytes
    return runs


def _digest_run(view: memoryview, found: list[tuple[int, ChunkHeader]], number: int, place: str) -> list[bytes]:
    unpacker = Unpacker()
    digests = []
    for ahead, (at, header) in enumerate(found):
        start = at + HEADER_BYTES
        packed = view[start : start + header.packed_bytes]
        digests.append(chunk_hash(unpacker.unpack(header, packed, place=f"{place}, chunk {number + ahead}")))
    return digests


def read_xorb(data: Buffer | Iterable[Buffer], *, expected: bytes, executor: Executor | None = None) -> XorbIndex:
    """Verify an uploaded xorb, whole or in blocks, and return its index.

    `expected` is the hash (32 bytes) that the upload is named by. The chunk part ends at `serialised_bytes` of the
    index; what follows was a footer. Memory: the blocks' own, and one chunk. Raises `XorbError`.
    """
    reader = XorbReader(expected=expected, executor=executor)
    for block in (data,) if isinstance(data, bytes | bytearray | memoryview) else data:
        reader.feed(block)
    return reader.finish()


def each_chunk(data: Buffer, *, index: XorbIndex | None = None, first: int = 0) -> Iterator[Buffer]:
    """Unpack the serialised chunks in `data` one by one, which must end with a whole chunk.

    With an `index`, `data` starts with its chunk `first`, and each chunk is hashed and compared: bytes that a disk
    damaged raise `XorbError` instead of being served. A plain chunk is a view of `data`.
    """
    unpacker = Unpacker()
    view = memoryview(data)
    at, number = 0, first
    name = index.place if index else "serialised chunks"
    while at < len(view):
        place = f"{name}, chunk {number}"
        if len(view) - at < HEADER_BYTES:
            raise XorbError("the bytes end inside a chunk", place=place)
        header = read_header(view, at, place=place)
        start, at = at + HEADER_BYTES, at + HEADER_BYTES + header.packed_bytes
        if at > len(view):
            raise XorbError("the bytes end inside a chunk", place=place)
        raw = unpacker.unpack(header, view[start:at], place=place)
        if index and chunk_hash(raw) != index.chunk_hash(number):
            raise XorbError("its bytes differ from its hash", place=place)
        yield raw
        number += 1


def decode_chunks(data: Buffer, *, index: XorbIndex | None = None, first: int = 0) -> bytes:
    """Unpack a contiguous range of serialised chunks (at most one xorb) into their raw bytes, as `each_chunk` does."""
    if len(data) > MAX_XORB_BYTES:
        raise XorbError(f"a range of one xorb has at most {MAX_XORB_BYTES} bytes", place="serialised chunks")
    return b"".join(each_chunk(data, index=index, first=first))
