"""Packing chunks into xorbs, for files that do not come through a Xet client: LFS, imports, mirrors."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from weighbridge.hub.xet.chunk import HEADER_BYTES, MAX_CHUNK_BYTES, Buffer, pack, write_header
from weighbridge.hub.xet.errors import XorbError
from weighbridge.hub.xet.merkle import chunk_hash, xorb_hash
from weighbridge.hub.xet.xorb import MAX_XORB_CHUNKS, XorbIndex

# Raw bytes and all headers together: the serialised form is never longer, whatever packs.
_ROOM_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedXorb:
    """A finished xorb: its index and its serialised bytes, without a footer."""

    index: XorbIndex
    data: bytes


class XorbWriter:
    """Collects chunks into xorbs of at most 64 MiB and 8,192 chunks. Holds one, twice while closing it."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._hashes: list[bytes] = []
        self._lengths: list[int] = []
        self._ends: list[int] = []
        self._room = _ROOM_BYTES

    def __len__(self) -> int:
        """Return how many chunks wait in the open xorb: the number that the next one gets if it still fits."""
        return len(self._ends)

    def add(self, data: Buffer, *, hash_: bytes | None = None) -> PackedXorb | None:
        """Append a chunk of 1 byte to 128 KiB; return the xorb that had to be closed to make room, if any.

        After that the chunk is number `len(writer) - 1` of the open xorb. `hash_` spares hashing it again.
        """
        if not 0 < len(data) <= MAX_CHUNK_BYTES:
            raise XorbError(f"a chunk holds 1 to {MAX_CHUNK_BYTES} bytes, not {len(data)}", place="xorb writer")
        needed = HEADER_BYTES + len(data)
        full = self.finish() if needed > self._room or len(self) == MAX_XORB_CHUNKS else None
        scheme, packed = pack(data)
        # Copied if it is a view: the caller may use its buffer again.
        self._parts += (write_header(scheme, len(packed), len(data)), bytes(packed))
        self._size += HEADER_BYTES + len(packed)
        self._hashes.append(chunk_hash(data) if hash_ is None else hash_)
        self._lengths.append(len(data))
        self._ends.append(self._size)
        self._room -= needed
        return full

    def finish(self) -> PackedXorb | None:
        """Close the open xorb and return it; nothing if it is empty. The writer can go on with the next one."""
        if not self._ends:
            return None
        hashes = b"".join(self._hashes)
        index = XorbIndex(
            hash=xorb_hash(hashes, self._lengths),
            hashes=hashes,
            raw_lengths=np.array(self._lengths, dtype="<u4"),
            ends=np.array(self._ends, dtype="<u4"),
        )
        xorb = PackedXorb(index=index, data=b"".join(self._parts))
        self._reset()
        return xorb


def write_xorbs(chunks: Iterable[Buffer]) -> Iterator[PackedXorb]:
    """Pack chunks in their order; yield each xorb as it fills, and the last."""
    writer = XorbWriter()
    for chunk in chunks:
        if full := writer.add(chunk):
            yield full
    if last := writer.finish():
        yield last
