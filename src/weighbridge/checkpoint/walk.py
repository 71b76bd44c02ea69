"""Which files a folder holds, and opening them without leaving it."""

import os
import stat
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.checkpoint.tensor import quoted
from weighbridge.errors import CheckpointError, UnsafePathError

MAX_FILES = 100_000
"""Entries (files, folders, links) that a walk looks at before it gives up."""

MAX_FOLDER_DEPTH = 64

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_LINK_HINT = (
    "Put the real file inside the folder (for a Hugging Face cache: download with `local_dir`, which copies files)."
)

Report = Callable[[CheckpointError], None]
"""Takes a problem: raises it, or keeps it so that more can be found."""


def raise_problem(problem: CheckpointError) -> None:
    """A `Report` that stops at the first problem."""
    raise problem


def list_files(root: Path, *, report: Report = raise_problem) -> tuple[str, ...]:
    """Return every regular file under `root`: relative POSIX paths in code-point order.

    Symbolic links are followed while they stay inside `root`.

    Raises:
        UnsafePathError: if a link leaves the folder, or a name is no plain path.
        CheckpointError: if a link is broken or loops, an entry is no regular file (a pipe, a device, a socket),
            something cannot be read, or there are more than `MAX_FILES` entries.
    """
    walk = _Walk(root, report)
    walk.folder("", (), 0)
    return tuple(sorted(walk.files))


class _Walk:
    def __init__(self, root: Path, report: Report) -> None:
        self.root = os.path.realpath(root)
        self.report = report
        self.files: list[str] = []
        self.entries = 0

    def folder(self, prefix: str, above: tuple[str, ...], depth: int) -> None:
        """Walk the folder `prefix` ("" or ending in "/"); `above` are the real paths that lead to it."""
        path = os.path.join(self.root, prefix)  # noqa: PTH118  # a str is what scandir and realpath work on
        real = os.path.realpath(path)
        if real in above:
            return self.report(CheckpointError("this symbolic link leads to a folder that holds it", place=prefix))
        if depth > MAX_FOLDER_DEPTH:
            return self.report(CheckpointError(f"folders nest more than {MAX_FOLDER_DEPTH} deep", place=prefix[:200]))
        try:
            with os.scandir(path) as entries:
                few = islice(entries, MAX_FILES + 1 - min(self.entries, MAX_FILES))
                found = sorted(((entry.name, entry) for entry in few), key=lambda pair: pair[0])
        except OSError as cause:
            return self.report(unreadable(cause, prefix or self.root))
        for name, entry in found:
            self.entries += 1
            if self.entries > MAX_FILES:
                if self.entries == MAX_FILES + 1:
                    self.report(CheckpointError(f"the folder holds more than {MAX_FILES:,} files", place=self.root))
                return None
            self.entry(entry, prefix + name, (*above, real), depth)
        return None

    def entry(self, entry: os.DirEntry[str], relative: str, above: tuple[str, ...], depth: int) -> None:
        try:
            relative_path(relative)
            if entry.is_symlink():
                check_inside(self.root, relative)
            mode = entry.stat().st_mode
        except FileNotFoundError:
            return self.report(CheckpointError("the symbolic link leads to nothing", place=relative))
        except OSError as cause:
            return self.report(unreadable(cause, relative))
        except UnsafePathError as problem:
            # The message repeats the name, escaped; the folder that holds it is where to look.
            place = problem.place or os.path.dirname(relative) or self.root  # noqa: PTH120
            return self.report(UnsafePathError(problem.message, place=place, hint=problem.hint))
        if stat.S_ISDIR(mode):
            return self.folder(relative + "/", above, depth + 1)
        if not stat.S_ISREG(mode):
            return self.report(not_regular(relative))
        self.files.append(relative)
        return None


def check_inside(root: str, relative: str) -> str:
    """Return the real path of `relative`, which must lie under the real path `root`.

    Raises:
        UnsafePathError: if it is no plain path, or symbolic links lead it out of `root`.
    """
    relative_path(relative)
    real = os.path.realpath(os.path.join(root, relative))  # noqa: PTH118
    if os.path.commonpath((root, real)) != root:
        raise UnsafePathError("a symbolic link leads out of the folder", place=relative, hint=_LINK_HINT)
    return real


def open_inside(root: Path, relative: str) -> int:
    """Open the regular file `relative` of `root` for reading and return its descriptor.

    Never waits (a pipe without a writer would).

    Raises:
        UnsafePathError: if the path leaves the folder.
        CheckpointError: if there is no such file, it is not regular or cannot be read.
    """
    return open_regular(check_inside(os.path.realpath(root), relative), place=relative)


def open_regular(path: str | Path, *, place: str) -> int:
    """Open a regular file for reading and return its descriptor.

    Raises:
        CheckpointError: if there is none, it is a folder, pipe, device or socket, or cannot be read.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError as cause:
        raise unreadable(cause, place) from cause
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise not_regular(place)
    return descriptor


def read_prefix(descriptor: int, length: int, *, place: str) -> bytes:
    """Return the first `length` bytes of a file, fewer where it ends before.

    Raises:
        CheckpointError: if reading fails.
    """
    parts: list[bytes] = []
    position = 0
    try:
        while position < length:
            part = os.pread(descriptor, length - position, position)
            if not part:
                break
            parts.append(part)
            position += len(part)
    except OSError as cause:
        raise unreadable(cause, place) from cause
    return b"".join(parts)


def unreadable(cause: OSError, place: str) -> CheckpointError:
    """Translate an operating system's error about reading `place`."""
    if isinstance(cause, FileNotFoundError):
        return CheckpointError("there is no such file or folder", place=place, hint="Check the path.")
    if isinstance(cause, PermissionError):
        return CheckpointError("no permission to read it", place=place, hint="Give yourself read permission.")
    return CheckpointError(f"cannot be read: {cause.strerror or cause}", place=place)


def not_regular(place: str) -> CheckpointError:
    """Return the error about something that is no regular file."""
    return CheckpointError(
        f"{quoted(place)} is a pipe, device, socket or folder, not a regular file",
        place=place,
        hint="Remove it from the folder.",
    )
