"""Whole files, kept for a while in a local folder, so that the kernel can send what the store holds in pieces."""

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from weighbridge.errors import DigestMismatchError
from weighbridge.hub.blob import make_folder
from weighbridge.hub.store.disk import disk_errors
from weighbridge.hub.store.partial import PartialFile, PartialFolder
from weighbridge.hub.store.port import ByteStoreError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_RESERVATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class CacheError(ByteStoreError):
    """The cache cannot be used. Nothing is lost by that: what it holds can be read from the store."""


class CacheWriter:
    """Takes the bytes of one file and hashes them on their way."""

    def __init__(self, partial: PartialFile, target: Path, *, size_bytes: int) -> None:
        self._partial = partial
        self._target = target
        self._left = size_bytes
        self._state = hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        """Append the bytes.

        Raises:
            DigestMismatchError: if they are more than was said.
            CacheError: if the disk fails.
        """
        self._left -= memoryview(data).nbytes
        if self._left < 0:
            raise DigestMismatchError("the file is longer than its record says", place=str(self._target))
        self._state.update(data)
        with _cache_errors(self._target):
            self._partial.write(data)

    def finish(self) -> None:
        """Give the file its name.

        Raises:
            DigestMismatchError: if the bytes are not those of the name.
            CacheError: if the disk fails.
        """
        if self._left or self._state.hexdigest() != self._target.name:
            raise DigestMismatchError(
                f"the bytes have the SHA-256 {self._state.hexdigest()}, and {self._left} are missing",
                place=str(self._target),
            )
        with _cache_errors(self._target):
            self._partial.move(self._target)


@dataclass(frozen=True, slots=True)
class _Kept:
    used_ns: int
    size_bytes: int
    path: Path


class FileCache:
    """Files under their SHA-256, at most `budget_bytes` of them; the one not used for longest leaves first.

    Several processes may share the folder. A file that leaves while it is sent is sent to its end: open it at once, and
    be ready for its absence (`FileNotFoundError`) between `path` and the opening.

    Args:
        folder: the cache's own; made when first written to.
        budget_bytes: for finished and unfinished files together.
    """

    def __init__(self, folder: Path, *, budget_bytes: int) -> None:
        self._folder = folder.absolute()
        self._budget_bytes = budget_bytes
        self._partials = PartialFolder(self._folder, self._folder / ".partial")

    def fits(self, size_bytes: int) -> bool:
        """Say whether a file of this size can be kept at all."""
        return size_bytes <= self._budget_bytes

    def path(self, sha256: str) -> Path | None:
        """Return the file if it is here, and count it as used now."""
        target = self._target(sha256)
        try:
            os.utime(target)
        except FileNotFoundError:
            return None
        except OSError as error:
            # A read-only disk still serves what it has.
            if error.errno not in (errno.EROFS, errno.EPERM, errno.EACCES):
                with _cache_errors(target):
                    raise
        return target

    @contextmanager
    def writer(self, sha256: str, size_bytes: int) -> Iterator[CacheWriter]:
        """Make room for a file and take its bytes; it has its name when the block ends, if they are the right ones.

        Raises:
            DigestMismatchError: if length or SHA-256 are not as said; nothing is kept.
            CacheError: if the disk fails, or the file is larger than the budget.
        """
        target = self._target(sha256)
        if not self.fits(size_bytes):
            raise CacheError(
                f"a file of {size_bytes} bytes is larger than the whole cache ({self._budget_bytes} bytes)",
                place=str(self._folder),
                hint="Give the cache a larger budget; until then such files are put together anew for each request.",
            )
        with _cache_errors(target):
            partial = self._reserve(size_bytes)
        with partial:
            taken = CacheWriter(partial, target, size_bytes=size_bytes)
            yield taken
            taken.finish()

    def evict(self, *, room_bytes: int = 0) -> int:
        """Remove leavings of processes that died, then the files least lately used until the budget holds.

        Args:
            room_bytes: how much of the budget to keep free.

        Returns:
            The bytes that were removed; nothing that is being written is among them.

        Raises:
            CacheError: if the disk fails.
        """
        with _cache_errors(self._folder), self._alone():
            return self._evict(room_bytes)

    def _reserve(self, size_bytes: int) -> PartialFile:
        with self._alone():
            self._evict(size_bytes)
            partial = self._partials.create()
            try:
                _allocate(partial.descriptor, size_bytes)
            except BaseException:
                partial.__exit__(None, None, None)
                raise
        return partial

    def _evict(self, room_bytes: int) -> int:
        self._partials.sweep()
        # In this order: a file that is finished meanwhile is counted twice, and never left out.
        unfinished = self._partials.size_bytes()
        kept = sorted(self._kept(), key=lambda file: (file.used_ns, file.path))
        total = sum(file.size_bytes for file in kept) + unfinished
        removed = 0
        for file in kept:
            if total - removed + room_bytes <= self._budget_bytes:
                break
            file.path.unlink(missing_ok=True)
            removed += file.size_bytes
        return removed

    def _kept(self) -> Iterator[_Kept]:
        for shelf in tuple(self._folder.iterdir()):
            if len(shelf.name) != 2:
                continue
            with os.scandir(shelf) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if _SHA256.fullmatch(entry.name) and stat.S_ISREG(status.st_mode):
                            yield _Kept(status.st_mtime_ns, status.st_size, Path(entry.path))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep two processes from making and taking the same room."""
        make_folder(self._folder)
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _target(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise ByteStoreError("this is no SHA-256", place=repr(sha256[:80]))
        return self._folder / sha256[:2] / sha256


def _allocate(descriptor: int, size_bytes: int) -> None:
    """Take the room at once, so that a full disk is noticed before the work, and others see what is taken."""
    if not size_bytes:
        return
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
    except OSError as error:
        if error.errno not in _NO_RESERVATION:
            raise


def _cache_errors(place: Path) -> AbstractContextManager[None]:
    return disk_errors(str(place), CacheError)
