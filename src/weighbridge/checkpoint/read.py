"""One pass over the bytes of a folder: every file hashed, and shown to visitors while it is in the cache."""

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from threading import Event, Lock, Semaphore
from typing import Protocol

from weighbridge.checkpoint.digest import HashingThread
from weighbridge.checkpoint.manifest import FileEntry, Manifest
from weighbridge.checkpoint.nonfinite import NonFinite, NonFiniteCounter
from weighbridge.checkpoint.walk import check_inside, list_files, open_regular, unreadable
from weighbridge.errors import ChangedError

__all__ = ["BLOCK_BYTES", "OVERLAP_BYTES", "BlockVisitor", "NonFinite", "NonFiniteCounter", "read_folder"]

BLOCK_BYTES = 1 << 20
"""Still in the cache when the visitors look at it behind the hash, and large against the cost of a call."""

OVERLAP_BYTES = 4096

_BUFFERS = 4
"""Of one worker: one being read into or visited, the others waiting to be hashed."""


def usable_threads() -> int:
    """Return how many cores this process may use; only Linux knows it better than the number of cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class BlockVisitor(Protocol):
    """Looks at bytes as they stream past."""

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        """Look at one block of a file.

        Called in order of offset within a file, from worker threads: different files come concurrently. Keep no
        view: the memory is used again.

        Args:
            file: relative POSIX path.
            offset: byte offset of `block` in the file.
            block: the bytes; never empty.
            overlap: the up to `OVERLAP_BYTES` bytes that precede `block`; empty at the start of a file.
        """


def read_folder(
    root: Path,
    files: Sequence[str] | None = None,
    *,
    visitors: Sequence[BlockVisitor] = (),
    threads: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Manifest:
    """Read files once: SHA-256 of each, and every visitor over every block.

    The largest files are read first, one a thread. Threads that have no file to read help to hash the others', so
    that reading and visiting overlap with hashing there. Memory is bounded by some 4 MiB a thread.

    Args:
        root: the folder.
        files: relative paths; None means all that `list_files` finds.
        visitors: see `BlockVisitor`.
        threads: how many threads; None means one for each core this process may use.
        on_bytes: called after each block with its length in bytes, one call at a time.

    Raises:
        UnsafePathError: if a path leaves the folder.
        ChangedError: if a file changed while it was being read.
        CheckpointError: if a file cannot be read.
    """
    names = list_files(root) if files is None else tuple(dict.fromkeys(files))
    threads = threads or usable_threads()
    work = _Pass(root, names, visitors, threads, on_bytes)
    workers = max(min(threads, len(names)), 1)
    if workers == 1:
        work.run()
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="read") as pool:
            running = [pool.submit(work.run) for _ in range(workers)]
            try:
                for worker in running:
                    worker.result()
            finally:
                # On an error or an interrupt the others must not read on to the end of their files.
                work.stop.set()
    return Manifest.of(work.entries)


class _Pass:
    """What the workers of one `read_folder` share."""

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        visitors: Sequence[BlockVisitor],
        threads: int,
        on_bytes: Callable[[int], None] | None,
    ) -> None:
        self.root = os.path.realpath(root)
        self.visitors = visitors
        self.on_bytes = on_bytes
        self.entries: list[FileEntry] = []
        self.stop = Event()
        self._lock = Lock()
        paths = {name: check_inside(self.root, name) for name in names}
        self._queue = deque(sorted(paths.items(), key=lambda item: (-_size(item[1]), item[0])))
        self._helpers = Semaphore(max(threads - max(min(threads, len(names)), 1), 0))

    def run(self) -> None:
        """Read files until none is left; then this thread's core is free to help the others."""
        buffers = tuple(memoryview(bytearray(OVERLAP_BYTES + BLOCK_BYTES)) for _ in range(_BUFFERS))
        try:
            while not self.stop.is_set():
                try:
                    name, path = self._queue.popleft()
                except IndexError:
                    break
                self.entries.append(self._read(name, path, buffers))
        except BaseException:
            self.stop.set()
            raise
        finally:
            self._helpers.release()

    def _read(self, name: str, path: str, buffers: tuple[memoryview, ...]) -> FileEntry:
        descriptor = open_regular(path, place=name)
        try:
            before = os.fstat(descriptor)
            state = hashlib.sha256()
            self._blocks(name, descriptor, before.st_size, state, buffers)
            _check_unchanged(before, descriptor, path, name)
        finally:
            os.close(descriptor)
        return FileEntry(path=PurePosixPath(name), size_bytes=before.st_size, sha256=state.hexdigest())

    def _blocks(
        self, name: str, descriptor: int, size: int, state: "hashlib._Hash", buffers: tuple[memoryview, ...]
    ) -> None:
        helper: HashingThread | None = None
        previous = buffer = buffers[0]
        try:
            for position in range(0, size, BLOCK_BYTES):
                if self.stop.is_set():
                    return
                if helper is None and size - position > BLOCK_BYTES and self._helpers.acquire(blocking=False):
                    # The buffer of the block before comes last: its end is copied into the next one.
                    helper = HashingThread(state, (*buffers[1:], buffers[0]))
                if helper is not None:
                    buffer = helper.buffer()
                length = min(BLOCK_BYTES, size - position)
                kept = min(OVERLAP_BYTES, position)
                buffer[OVERLAP_BYTES - kept : OVERLAP_BYTES] = previous[len(previous) - kept :]
                block = buffer[OVERLAP_BYTES : OVERLAP_BYTES + length]
                _fill(descriptor, block, position, name)
                if helper is not None:
                    helper.submit(buffer, block)
                else:
                    state.update(block)
                self._show(name, position, block, buffer[OVERLAP_BYTES - kept : OVERLAP_BYTES])
                previous = buffer
        finally:
            if helper is not None:
                helper.close()
                self._helpers.release()

    def _show(self, name: str, position: int, block: memoryview, overlap: memoryview) -> None:
        for visitor in self.visitors:
            visitor.visit(name, position, block.toreadonly(), overlap.toreadonly())
        if self.on_bytes is not None:
            with self._lock:
                self.on_bytes(len(block))


def _fill(descriptor: int, block: memoryview, position: int, name: str) -> None:
    """Read exactly `block` from `position`; unlike a map, a file that shrank is an error here, not a signal."""
    done = 0
    while done < len(block):
        try:
            count = os.preadv(descriptor, [block[done:]], position + done)
        except OSError as cause:
            raise unreadable(cause, name) from cause
        if not count:
            raise ChangedError("the file became shorter while it was being read", place=name)
        done += count


def _check_unchanged(before: os.stat_result, descriptor: int, path: str, name: str) -> None:
    """By descriptor: was it written to? By path: was it removed, or another file put in its place?"""
    try:
        unchanged = _identity(before) == _identity(os.fstat(descriptor)) == _identity(os.stat(path))  # noqa: PTH116
    except OSError:
        unchanged = False
    if not unchanged:
        raise ChangedError("the file changed while it was being read", place=name)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns


def _size(path: str) -> int:
    """Return a file's size for scheduling; 0 where opening it will tell what is wrong."""
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0
