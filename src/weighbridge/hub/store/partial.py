"""Files that are not finished: each is held by a lock while it is written, so that leavings of the dead are known."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from weighbridge.hub.blob import make_folder, sync_folder

_GATE = "gate"
_MOVE_ATTEMPTS = 16
_WRITE_OUT_BYTES = 8 * 1024 * 1024


class PartialFile:
    """A file under a temporary name. It vanishes at the end of the `with` block unless it was moved to its place."""

    def __init__(self, path: Path, descriptor: int, *, root: Path) -> None:
        self._path: Path | None = path
        self._root = root
        self.descriptor = descriptor
        self._written = self._sent_out = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def write(self, data: bytes | memoryview) -> int:
        """Append all of `data` and return how many bytes that were.

        Raises:
            OSError: as the disk says.
        """
        view = memoryview(data).cast("B")
        total = len(view)
        while view:
            view = view[os.write(self.descriptor, view) :]
        self._written += total
        if self._written - self._sent_out >= _WRITE_OUT_BYTES:
            self._write_out()
        return total

    def _write_out(self) -> None:
        # The disk starts now on what `move` must wait for at the end. The advice drops clean pages only: these are not.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.descriptor, self._sent_out, self._written - self._sent_out, os.POSIX_FADV_DONTNEED)
        self._sent_out = self._written

    def move(self, target: Path) -> None:
        """Bring the bytes to the disk and give the file its name below the root, for good.

        Raises:
            OSError: as the disk says; nothing has the name then, or what had it before.
        """
        assert self._path is not None, "a file is moved once"
        os.fsync(self.descriptor)
        for attempt in range(_MOVE_ATTEMPTS):
            try:
                make_folder(target.parent)
                self._path.rename(target)
                break
            except (FileNotFoundError, FileExistsError):
                # Whoever deletes the last file of a folder takes the folder away, perhaps just now: between `mkdir`,
                # which says that it exists, and a look at what it is.
                if attempt + 1 == _MOVE_ATTEMPTS or not self._path.exists():
                    raise
        self._path = None
        for folder in (target.parent, *target.parent.parents):
            # Another process may have made a folder on the way and not yet brought it to the disk.
            with suppress(FileNotFoundError):
                sync_folder(folder)
            if folder == self._root:
                break


@dataclass(frozen=True, slots=True)
class PartialFolder:
    """The unfinished files of one root, in a folder of their own on the same file system.

    Attributes:
        root: below which finished files get their names.
        folder: the unfinished ones.
    """

    root: Path
    folder: Path

    def create(self) -> PartialFile:
        """Open a new file, empty and locked.

        Raises:
            OSError: if the folder may not be written.
        """
        make_folder(self.folder)
        path = self.folder / secrets.token_hex(12)
        with self._gate(fcntl.LOCK_SH):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return PartialFile(path, descriptor, root=self.root)

    def sweep(self, *, older_than_ns: int | None = None) -> int:
        """Remove the files that no process holds any more, and return how many.

        Args:
            older_than_ns: touch only those written last before this time (nanoseconds since 1970).

        Raises:
            OSError: if the folder may not be written.
        """
        removed = 0
        with self._gate(fcntl.LOCK_EX):
            for path in tuple(self.folder.iterdir()):
                if path.name != _GATE:
                    removed += _remove_abandoned(path, older_than_ns)
        return removed

    def size_bytes(self) -> int:
        """Return what the unfinished files occupy."""
        total = 0
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):
                total += path.lstat().st_size
        return total

    @contextmanager
    def _gate(self, mode: int) -> Iterator[None]:
        """Keep sweepers out between a file's creation and its lock."""
        make_folder(self.folder)
        descriptor = os.open(self.folder / _GATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, mode)
            yield
        finally:
            os.close(descriptor)


def _remove_abandoned(path: Path, older_than_ns: int | None) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        if older_than_ns is not None and os.fstat(descriptor).st_mtime_ns >= older_than_ns:
            return 0
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except (BlockingIOError, FileNotFoundError):
        # It is being written, or has just got its name.
        return 0
    finally:
        os.close(descriptor)
    return 1
