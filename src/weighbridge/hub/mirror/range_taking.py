"""Chunks of another hub's xorb on their way in: unpacked within bounds, hashed, and stored as they came.

They keep their boundaries and their packed bytes: nothing is cut or packed again. What of them is stored here already
is referred to. A range that is a whole xorb, nothing of which was here, becomes a xorb of the same name.
"""

import numpy as np

from weighbridge.hub.content.content import add_xorb
from weighbridge.hub.content.known_chunks import KnownChunks
from weighbridge.hub.mirror.errors import LyingSourceError
from weighbridge.hub.mirror.held_chunks import Run
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.chunk import HEADER_BYTES, PLAIN, Buffer, ChunkHeader, Unpacker, read_header, write_header
from weighbridge.hub.xet.errors import XorbError
from weighbridge.hub.xet.merkle import chunk_hash, to_hex, xorb_hash
from weighbridge.hub.xet.xorb import MAX_XORB_BYTES, XorbIndex


class RangeTaking:
    """Takes the bytes of one range of chunks, block by block. Holds them, at most 64 MiB, until `finish`."""

    def __init__(self, hub: HubServer, repository_id: int, *, chunk_count: int, place: str) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._expected = chunk_count
        self._place = place
        self._stored = KnownChunks(hub)
        self._unpacker = Unpacker()
        self._pending = bytearray()
        self._data = bytearray()
        self._hashes: list[bytes] = []
        self._lengths: list[int] = []
        self._ends: list[int] = []
        self._runs: list[Run] = []
        self._count = 0
        self.fed_bytes = 0
        self.raw_bytes = 0

    def feed(self, block: Buffer) -> None:
        """Take the next bytes.

        Raises:
            LyingSourceError: if they are no chunks.
        """
        self.fed_bytes += len(block)
        self._pending += block
        at = 0
        try:
            with memoryview(self._pending) as view:
                while len(view) - at >= HEADER_BYTES:
                    header = read_header(view, at, place=f"{self._place}, chunk {self._count}")
                    end = at + HEADER_BYTES + header.packed_bytes
                    if end > len(view):
                        break
                    self._take(header, view[at:end])
                    at = end
        except XorbError as error:
            raise LyingSourceError(error.message, place=error.place) from error
        del self._pending[:at]

    def finish(self) -> tuple[Run, ...]:
        """Store what is new; return where all chunks of the range are, one after another.

        Raises:
            LyingSourceError: if they are not as many as was said.
            ByteStoreError: if the store fails.
        """
        if self._pending or self._count != self._expected:
            raise LyingSourceError(f"{self._count} chunks came for {self._expected}", place=self._place)
        name = self._store() if self._ends else ""
        return tuple(Run(run.xorb or name, run.first, run.end) for run in self._runs)

    def _take(self, header: ChunkHeader, serialised: memoryview) -> None:
        if self._count == self._expected:
            raise XorbError("there are more chunks than was said", place=self._place)
        raw = self._unpacker.unpack(header, serialised[HEADER_BYTES:], place=f"{self._place}, chunk {self._count}")
        digest = chunk_hash(raw)
        found = self._stored.find(digest, is_first=self._count == 0)
        if found is not None:
            self._append(Run(found.xorb, found.chunk, found.chunk + 1))
        else:
            if header.packed_bytes > header.raw_bytes:
                # Nobody packs so that it takes more room; what would fit is no more than one whole xorb either way.
                serialised = memoryview(write_header(PLAIN, len(raw), len(raw)) + bytes(raw))
            self._data += serialised
            self._hashes.append(digest)
            self._lengths.append(len(raw))
            self._ends.append(len(self._data))
            self._append(Run("", len(self._ends) - 1, len(self._ends)))
        self._count += 1
        self.raw_bytes += len(raw)

    def _append(self, run: Run) -> None:
        last = self._runs[-1] if self._runs else None
        if last is not None and last.xorb == run.xorb and last.end == run.first:
            self._runs[-1] = Run(last.xorb, last.first, run.end)
        else:
            self._runs.append(run)

    def _store(self) -> str:
        hashes = b"".join(self._hashes)
        index = XorbIndex(
            hash=xorb_hash(hashes, self._lengths),
            hashes=hashes,
            raw_lengths=np.array(self._lengths, dtype="<u4"),
            ends=np.array(self._ends, dtype="<u4"),
        )
        assert index.serialised_bytes <= MAX_XORB_BYTES, "a range is no longer than a xorb"
        add_xorb(self._hub, self._repository_id, index, memoryview(self._data))
        return to_hex(index.hash)
