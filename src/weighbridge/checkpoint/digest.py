"""Digests beside the reading: SHA-256 in a thread of its own, and further hashes in the same pass."""

import hashlib
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...


class HashingThread:
    """Feeds blocks to a hash in the order in which they are submitted.

    Take a buffer from `buffer`, fill it, `submit` it: from then on it belongs to the thread until `buffer` gives
    it out again. `close` waits for everything that was submitted.
    """

    def __init__(self, state: "_Hash | hashlib._Hash", buffers: tuple[memoryview, ...]) -> None:
        self._state = state
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._filled: SimpleQueue[tuple[memoryview, memoryview] | None] = SimpleQueue()
        for buffer in buffers:
            self._free.put(buffer)
        self._thread = Thread(target=self._run, name="sha256", daemon=True)
        self._thread.start()

    def buffer(self) -> memoryview:
        """Return a buffer that nobody reads any more; waits for one."""
        return self._free.get()

    def submit(self, buffer: memoryview, block: memoryview) -> None:
        """Hash `block`, a part of `buffer`."""
        self._filled.put((buffer, block))

    def close(self) -> None:
        """Wait until everything is hashed. The hash object may be used again afterwards."""
        if self._thread.is_alive():
            self._filled.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (item := self._filled.get()) is not None:
            buffer, block = item
            self._state.update(block)
            self._free.put(buffer)


class FileDigests:
    """A `BlockVisitor` that hashes every file it sees with a second algorithm, in the pass that reads them anyway.

    Args:
        algorithm: `blake3` or `blake2b`.
    """

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._states: dict[str, Any] = {}

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        """Hash one block; blocks of a file come in order."""
        if offset == 0:
            self._states[file] = self._new()
        self._states[file].update(block)

    def hexdigest(self, file: str) -> str:
        """Return the digest of a file, lower-case hexadecimal. A file that was never visited is empty."""
        state = self._states.get(file) or self._new()
        return str(state.hexdigest())

    def _new(self) -> Any:
        if self._algorithm == "blake3":
            from blake3 import blake3

            return blake3()
        return hashlib.new(self._algorithm)
