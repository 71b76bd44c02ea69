"""The hub's bytes in a folder: a file an object, renamed into its place once it is whole and on the disk."""

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from weighbridge.hub.store.disk import disk_errors
from weighbridge.hub.store.partial import PartialFolder
from weighbridge.hub.store.port import (
    BLOCK_BYTES,
    READ_LIMIT_BYTES,
    ByteStoreError,
    MissingObjectError,
    SignedUpload,
    StoredObject,
    checked_key,
    checked_prefix,
    checked_range,
)
from weighbridge.hub.store.probe import probe

_MISSING = (FileNotFoundError, NotADirectoryError)


class FolderByteStore:
    """A `ByteStore` in a folder, which several processes may use at once. Links are not followed to files."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._partials = PartialFolder(self._root, self._root / ".partial")

    @property
    def place(self) -> str:
        """The folder."""
        return str(self._root)

    def check(self) -> None:
        """Use the folder once, which makes it if need be."""
        probe(self)

    def write(self, key: str, data: bytes | memoryview | Iterable[bytes]) -> int:
        """Store the bytes; see `ByteStore.write`."""
        target, total = self._path(key), 0
        with self._errors(key):
            partial = self._partials.create()
        with partial:
            for block in (data,) if isinstance(data, bytes | bytearray | memoryview) else data:
                with self._errors(key):
                    total += partial.write(block)
            with self._errors(key):
                partial.move(target)
        return total

    def read(self, key: str, *, limit: int = READ_LIMIT_BYTES) -> bytes:
        """Return the whole object."""
        with self._opened(key) as (descriptor, size):
            if size > limit:
                raise ByteStoreError(f"the object has {size} bytes; the limit is {limit}", place=self._where(key))
            return self._read(key, descriptor, 0, size)

    def read_range(self, key: str, start: int, end: int, *, limit: int = READ_LIMIT_BYTES) -> bytes:
        """Return the bytes from `start` up to, not including, `end`."""
        return self.read_ranges(key, ((start, end),), limit=limit)[0]

    def read_ranges(
        self, key: str, ranges: Iterable[tuple[int, int]], *, limit: int = READ_LIMIT_BYTES
    ) -> tuple[bytes, ...]:
        """Return several ranges, in their order."""
        found: list[bytes] = []
        with self._opened(key) as (descriptor, size):
            for start, end in ranges:
                limit -= checked_range(start, end, limit=limit, place=self._where(key))
                self._must_reach(key, size, end)
                found.append(self._read(key, descriptor, start, end - start))
        return tuple(found)

    def open_blocks(
        self, key: str, *, block_bytes: int = BLOCK_BYTES, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Return an iterator over the bytes from `start` to `end`."""
        with self._opened(key) as (_, size):
            stop = size if end is None else end
            checked_range(start, max(start, stop), limit=1 << 62, place=self._where(key))
            self._must_reach(key, size, max(start, stop))
        return self._blocks(key, block_bytes, start, stop)

    def _blocks(self, key: str, block_bytes: int, start: int, end: int) -> Iterator[bytes]:
        with self._opened(key) as (descriptor, _):
            for offset in range(start, end, block_bytes):
                yield self._read(key, descriptor, offset, min(block_bytes, end - offset))

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes; None if there is none."""
        path = self._path(key)
        with self._errors(key):
            try:
                status = path.lstat()
            except _MISSING:
                return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the objects, and the folders that are empty then."""
        for key in keys:
            path = self._path(key)
            with self._errors(key):
                with suppress(*_MISSING):
                    path.unlink()
                for folder in path.parents:
                    if folder == self._root or not _removed(folder):
                        break

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Return the objects whose keys begin with these whole segments."""
        prefix = checked_prefix(prefix)
        return self._walk(prefix)

    def _walk(self, prefix: str) -> Iterator[StoredObject]:
        waiting = [prefix]
        while waiting:
            below = waiting.pop()
            with self._errors(below):
                try:
                    entries = os.scandir(self._root / below)
                except _MISSING:
                    continue
            with entries:
                for entry in entries:
                    key = f"{below}/{entry.name}" if below else entry.name
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(key)
                    elif (found := self._stored(key, entry)) is not None:
                        yield found

    def _stored(self, key: str, entry: os.DirEntry[str]) -> StoredObject | None:
        with self._errors(key):
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return StoredObject(key=key, size_bytes=status.st_size, modified_ms=status.st_mtime_ns // 1_000_000)

    def sweep(self, *, older_than_seconds: int) -> int:
        """Remove the unfinished files of processes that are gone. One that is at work holds a lock, however long."""
        with self._errors(".partial"):
            return self._partials.sweep(older_than_ns=time.time_ns() - older_than_seconds * 1_000_000_000)

    def local_path(self, key: str) -> Path | None:
        """Return the object's file; None if there is none."""
        return self._path(key) if self.size(key) is not None else None

    def signed_get(self, key: str, *, seconds: int, byte_range: tuple[int, int] | None = None) -> str | None:
        """Return None: a folder has no URLs."""
        checked_key(key)
        return None

    def signed_put(
        self, key: str, *, seconds: int, size_bytes: int, checksum_crc64nvme: str | None = None
    ) -> SignedUpload | None:
        """Return None: a folder has no URLs."""
        checked_key(key)
        return None

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key)

    def _where(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _must_reach(self, key: str, size: int, end: int) -> None:
        if end > size:
            raise ByteStoreError(f"the object ends at {size}, before {end}", place=self._where(key))

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[int, int]]:
        path = self._path(key)
        with self._errors(key):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except _MISSING:
                raise MissingObjectError("there is no such object", place=self._where(key)) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise MissingObjectError("there is no such object", place=self._where(key))
            yield descriptor, status.st_size
        finally:
            os.close(descriptor)

    def _read(self, key: str, descriptor: int, offset: int, count: int) -> bytes:
        with self._errors(key):
            data = os.pread(descriptor, count, offset)
            while len(data) < count and (more := os.pread(descriptor, count - len(data), offset + len(data))):
                data += more
        self._must_reach(key, offset + len(data), offset + count)
        return data

    def _errors(self, key: str) -> AbstractContextManager[None]:
        return disk_errors(self._where(key))


def _removed(folder: Path) -> bool:
    """Take an empty folder away; say whether it is gone."""
    try:
        folder.rmdir()
    except _MISSING:
        return True
    except OSError:
        return False
    return True
