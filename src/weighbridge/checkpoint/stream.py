"""Tensors streamed one at a time out of a mapped file."""

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from weighbridge.checkpoint.tensor import TensorEntry, quoted
from weighbridge.checkpoint.walk import open_regular, unreadable
from weighbridge.errors import ChangedError, CheckpointError

BLOCK_BYTES = 4 << 20


class TensorFile:
    """One weight file, mapped read-only. A context manager.

    Pages are given back to the system behind each block, so that the resident memory stays near the block size
    however large the file is. Views stay valid until the file is closed, and as long as nobody truncates it:
    the length is looked at before each block, but a truncation in between ends the process (SIGBUS), as with any
    map. Read folders that others write to with `weighbridge.checkpoint.read` first.
    """

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            CheckpointError: if it is not a readable regular file.
        """
        self._place = path.name
        self._descriptor = open_regular(path, place=str(path))
        self.size_bytes = os.fstat(self._descriptor).st_size
        self._map: mmap.mmap | None = None
        try:
            if self.size_bytes:
                self._map = mmap.mmap(self._descriptor, self.size_bytes, prot=mmap.PROT_READ)
                self._map.madvise(mmap.MADV_SEQUENTIAL)
        except ValueError as cause:
            os.close(self._descriptor)
            raise ChangedError("the file became shorter while it was being opened", place=str(path)) from cause
        except OSError as cause:
            os.close(self._descriptor)
            raise unreadable(cause, str(path)) from cause
        self._view = memoryview(self._map) if self._map is not None else memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the file; where views of it are still held, it goes when the last of them does."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        self._view.release()
        if self._map is not None:
            with contextlib.suppress(BufferError):
                self._map.close()

    def blocks(self, entry: TensorEntry, block_bytes: int = BLOCK_BYTES) -> Iterator[memoryview]:
        """Yield the bytes of a tensor in order, `block_bytes` at a time (the last may be shorter), without copying.

        Raises:
            CheckpointError: if the tensor lies outside the file.
            ChangedError: if the file has become shorter.
        """
        for start in range(0, entry.size_bytes, block_bytes):
            with self.block(entry, start, block_bytes) as block:
                yield block

    @contextlib.contextmanager
    def block(self, entry: TensorEntry, start: int, block_bytes: int = BLOCK_BYTES) -> Iterator[memoryview]:
        """Lend the bytes of a tensor from `start` on; their pages are given back when the `with` block is left.

        Blocks may be lent to several threads at once. Work on each inside its own `with`: pages that are touched after
        they were given back stay resident.

        Raises:
            CheckpointError: if the tensor lies outside the file.
            ChangedError: if the file has become shorter.
        """
        if entry.end > self.size_bytes:
            raise CheckpointError(
                f"its bytes end at {entry.end:,}, but the file at {self.size_bytes:,}",
                place=f"{self._place}: tensor {quoted(entry.name)}",
            )
        self._check_length()
        first, last = entry.offset + start, min(entry.offset + start + block_bytes, entry.end)
        yield self._view[first:last]
        self._give_back(first, last)

    def whole(self, entry: TensorEntry) -> memoryview:
        """Return a read-only view of all bytes of a tensor, without copying.

        Raises:
            CheckpointError: as `blocks`.
        """
        return next(self.blocks(entry, max(entry.size_bytes, 1)), memoryview(b""))

    def _check_length(self) -> None:
        if os.fstat(self._descriptor).st_size < self.size_bytes:
            raise ChangedError("the file became shorter while it was being read", place=self._place)

    def _give_back(self, start: int, end: int) -> None:
        if self._map is None or self._descriptor < 0:
            return
        first = start - start % mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, first, end - first)
