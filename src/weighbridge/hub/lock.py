"""One publisher at a time: an advisory lock on a file that says who holds it."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weighbridge.errors import HubError

_POLL_SECONDS = 0.05
_MAX_NOTE_BYTES = 512


@contextmanager
def held_lock(path: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold the lock on `path`, which is created if need be. The kernel frees it when its holder dies.

    Raises:
        HubError: if another process holds it for longer than `wait_seconds`; names that process and its machine.
        OSError: if the file cannot be opened or written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _acquire(descriptor, path, time.monotonic() + wait_seconds)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            # flock, not lockf: it also keeps two threads of one process apart.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, _MAX_NOTE_BYTES, 0).decode("utf-8", "replace").strip()
                raise HubError(
                    f"somebody else is publishing to this hub: {holder or 'an unknown process'}",
                    place=str(path),
                    hint="Wait until it is done and publish again; nothing was changed.",
                ) from None
        time.sleep(_POLL_SECONDS)
