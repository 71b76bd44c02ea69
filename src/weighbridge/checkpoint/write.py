"""Files written whole or not at all, with their digest taken on the way."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from weighbridge.checkpoint.digest import HashingThread
from weighbridge.checkpoint.manifest import FileEntry
from weighbridge.checkpoint.safetensors import build_header, tensor_bytes
from weighbridge.checkpoint.tensor import quoted
from weighbridge.errors import WorkspaceError

_PIECE_BYTES = 1 << 20
_PIECES_IN_FLIGHT = 4

_HINTS = {
    errno.ENOSPC: "Free some disk space, or choose another folder, and run the command again; finished work is kept.",
    errno.EDQUOT: "Free some of your disk quota, or choose another folder, and run the command again.",
    errno.EFBIG: "The file is larger than this file system or your limit allows; choose another folder.",
    errno.EACCES: "Give yourself permission to write there, or choose another folder.",
    errno.EPERM: "Give yourself permission to write there, or choose another folder.",
    errno.EROFS: "The file system is read-only; choose another folder.",
}


class AtomicFile:
    """A file that appears under its name complete, or not at all. A context manager.

    Bytes go to a hidden temporary file in the same folder; `close` makes them durable (fsync of file and folder)
    and renames. Leaving the context by an error, or without `close`, removes the temporary file.
    """

    def __init__(self, path: Path) -> None:
        """Create the temporary file.

        Raises:
            WorkspaceError: if the folder is missing, full or not writable.
        """
        self.path = path
        self.size_bytes = 0
        self._temporary = path.with_name(f".{path.name[:200]}.{os.urandom(6).hex()}.tmp")
        self._state = hashlib.sha256()
        self._hashing: HashingThread | None = None
        self._closed = False
        with _translated(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._temporary, flags, 0o666)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes. They may be reused as soon as this returns.

        Raises:
            WorkspaceError: if the disk is full or writing fails.
        """
        view = memoryview(data)
        if not view.nbytes:
            return
        view = view.cast("B")
        for start in range(0, len(view), _PIECE_BYTES):
            piece = view[start : start + _PIECE_BYTES]
            self._hash(piece)
            with _translated(self.path):
                done = 0
                while done < len(piece):
                    done += os.write(self._descriptor, piece[done:])
        self.size_bytes += len(view)

    def close(self) -> FileEntry:
        """Make the file durable under its name and return its entry; the path is the bare file name.

        Raises:
            WorkspaceError: if that fails; nothing is left then.
        """
        if self._hashing is not None:
            self._hashing.close()
        try:
            with _translated(self.path):
                os.fsync(self._descriptor)
                os.replace(self._temporary, self.path)  # noqa: PTH105  # named like the rename(2) that it is
                sync_folder(self.path.parent)
        except WorkspaceError:
            self.discard()
            raise
        self._closed = True
        os.close(self._descriptor)
        return FileEntry(path=PurePosixPath(self.path.name), size_bytes=self.size_bytes, sha256=self._state.hexdigest())

    def discard(self) -> None:
        """Remove the temporary file; does nothing after `close`."""
        if self._closed:
            return
        self._closed = True
        if self._hashing is not None:
            self._hashing.close()
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def _hash(self, piece: memoryview) -> None:
        """Hash full pieces in a thread (from a copy, as the caller's buffer changes), small ones at once."""
        if self._hashing is None:
            if len(piece) < _PIECE_BYTES:
                self._state.update(piece)
                return
            buffers = tuple(memoryview(bytearray(_PIECE_BYTES)) for _ in range(_PIECES_IN_FLIGHT))
            self._hashing = HashingThread(self._state, buffers)
        buffer = self._hashing.buffer()
        block = buffer[: len(piece)]
        block[:] = piece
        self._hashing.submit(buffer, block)


class SafetensorsWriter:
    """Writes one safetensors file, tensor by tensor in the declared order. A context manager.

    ::

        with SafetensorsWriter(path, [("a", "F32", (2, 3))], {"format": "pt"}) as writer:
            writer.write("a", blocks)
            entry = writer.close()

    Without `close`, or after an error, nothing is left on disk.
    """

    def __init__(
        self, path: Path, tensors: Sequence[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]
    ) -> None:
        """Start the file.

        Raises:
            ValueError: if the declaration is unsound (see `build_header`).
            WorkspaceError: if the file cannot be created.
        """
        header = build_header(tensors, metadata)
        self._pending = [(name, tensor_bytes(dtype, shape)) for name, dtype, shape in reversed(tensors)]
        self._file = AtomicFile(path)
        try:
            self._file.write(header)
        except WorkspaceError:
            self._file.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.discard()

    def write(self, name: str, blocks: Iterable[memoryview | bytes]) -> None:
        """Write the next declared tensor, whose bytes are those of `blocks` in order.

        Raises:
            ValueError: if it is not the next one, or the bytes are more or fewer than declared.
            WorkspaceError: if writing fails.
        """
        if not self._pending or self._pending[-1][0] != name:
            expected = quoted(self._pending[-1][0]) if self._pending else "none"
            raise ValueError(f"tensor {quoted(name)} is out of order; the next one declared is {expected}")
        _, size = self._pending.pop()
        written = 0
        for block in blocks:
            written += memoryview(block).nbytes
            if written > size:
                break
            self._file.write(block)
        if written != size:
            raise ValueError(f"tensor {quoted(name)} was declared with {size:,} bytes, but given other than that")

    def close(self) -> FileEntry:
        """Finish the file and return its entry; the path is the bare file name.

        Raises:
            ValueError: if declared tensors were not written.
            WorkspaceError: if the file cannot be made durable.
        """
        if self._pending:
            raise ValueError(f"{len(self._pending)} declared tensors were not written")
        return self._file.close()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: after a crash it has either its old bytes or all of the new ones.

    Raises:
        WorkspaceError: if the disk is full or the folder not writable; nothing is left then.
    """
    with AtomicFile(path) as file:
        file.write(data)
        file.close()


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as cause:
        raise WorkspaceError(
            f"cannot be written: {cause.strerror or cause}",
            place=str(path),
            hint=_HINTS.get(cause.errno or 0, "Choose another folder."),
        ) from cause
