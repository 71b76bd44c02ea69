"""Immutable bytes, each stored once under its SHA-256, and the small disk habits that the hub folder shares.

Nothing appears under its final name before it is whole, checked and on the disk.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from weighbridge.checkpoint.manifest import FileEntry, Manifest
from weighbridge.errors import HubError

_CHUNK_BYTES = 4 * 1024 * 1024
# The kernel's copy (a reflink where the file system has them) is not offered between some pairs of file systems.
_NO_KERNEL_COPY = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS)
_HINTS = {
    errno.ENOSPC: "Free some space on the disk and run the command again; what was there before is untouched.",
    errno.EDQUOT: "Your quota is used up; what was there before is untouched.",
    errno.EFBIG: "The disk or a limit (`ulimit -f`) does not allow files of this size.",
    errno.EACCES: "Give yourself write permission to the hub folder, or name another one.",
    errno.EPERM: "Give yourself write permission to the hub folder, or name another one.",
    errno.EROFS: "The hub folder is on a read-only file system; name another one.",
}


@contextmanager
def hub_errors(place: Path) -> Iterator[None]:
    """Raise every `OSError` as a `HubError` that names the path."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else str(place)
        raise HubError(
            f"the hub cannot use this path: {error.strerror or error}",
            place=where,
            hint=_HINTS.get(error.errno or 0, "Check the hub folder and run the command again."),
        ) from error


def make_folder(folder: Path) -> None:
    """Create the folder and those above it, each brought to the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Bring the folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def children(folder: Path) -> list[Path]:
    """Return what lies in a folder, in order of name; nothing if there is none."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def remove(path: Path) -> None:
    """Delete a file, link or whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_synced(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a new file and bring its bytes to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def sha256_of(path: Path) -> tuple[str, int]:
    """Return the SHA-256 and the size of a file, read in pieces."""
    state, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while count := file.readinto(buffer):
            state.update(buffer[:count])
            size += count
    return state.hexdigest(), size


def link_or_copy(source: Path, target: Path) -> None:
    """Give a stored file a second name, or copy it where the file system has no hard links left to give."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _copy_hashed(source, target)


@dataclass(frozen=True, slots=True)
class BlobFolder:
    """`root/ab/abcd…` holds the bytes whose SHA-256 is `abcd…`, read-only.

    Attributes:
        root: the folder of the blobs.
        incoming: a folder on the same file system for what is not finished; whoever owns it sweeps it.
    """

    root: Path
    incoming: Path

    def path_of(self, sha256: str) -> Path:
        """Return where the bytes with this digest are or would be."""
        return self.root / sha256[:2] / sha256

    def add_all(self, folder: Path, manifest: Manifest, *, move: bool = False) -> None:
        """Take in every file of `manifest` from `folder`; those already here are not copied again.

        Args:
            folder: where the files are.
            manifest: what they must be; each is checked while it enters.
            move: take a second name on the files themselves in place of copying them. The caller promises that nobody
                writes to them again. Falls back to copying across file systems.

        Raises:
            HubError: if a file is not what the manifest states.
            OSError: if the disk is full or may not be written.
        """
        make_folder(self.root)
        wanted = {entry.sha256: entry for entry in manifest if not self.path_of(entry.sha256).exists()}
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            for done in [pool.submit(self._add, folder, entry, move=move) for entry in wanted.values()]:
                done.result()
        for parent in {self.path_of(sha256).parent for sha256 in wanted}:
            sync_folder(parent)
        sync_folder(self.root)

    def _add(self, folder: Path, entry: FileEntry, *, move: bool) -> None:
        source, temporary = folder / entry.path, self.incoming / f"blob-{secrets.token_hex(8)}"
        final = self.path_of(entry.sha256)
        with hub_errors(final):
            try:
                digest, size = _take(source, temporary, move=move)
                if (digest, size) != (entry.sha256, entry.size_bytes):
                    raise HubError(
                        f"the file is not what its manifest states: SHA-256 {digest} and {size} bytes, "
                        f"expected {entry.sha256} and {entry.size_bytes} bytes",
                        place=str(source),
                        hint="It was changed after it was signed. Remove the work folder (all of it can be made again) "
                        "and release this version again.",
                    )
                final.parent.mkdir(exist_ok=True)
                temporary.rename(final)
            finally:
                temporary.unlink(missing_ok=True)


def _take(source: Path, target: Path, *, move: bool) -> tuple[str, int]:
    if move:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
        else:
            target.chmod(0o444)
            digest = sha256_of(target)
            descriptor = os.open(target, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return digest
    return _copy_hashed(source, target)


def _copy_hashed(source: Path, target: Path) -> tuple[str, int]:
    """Copy, and hash what arrived (not what was sent). The result is read-only and on the disk."""
    state, size = hashlib.sha256(), 0
    with source.open("rb", buffering=0) as reader, target.open("xb+", buffering=0) as writer:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while _copy_chunk(reader.fileno(), writer.fileno(), size):
            while count := os.preadv(writer.fileno(), [buffer], size):
                state.update(buffer[:count])
                size += count
        os.fchmod(writer.fileno(), 0o444)
        os.fsync(writer.fileno())
    return state.hexdigest(), size


def _copy_chunk(reader: int, writer: int, offset: int) -> int:
    if hasattr(os, "copy_file_range"):
        try:
            if copied := os.copy_file_range(reader, writer, _CHUNK_BYTES, offset, offset):
                return copied
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
    data = memoryview(os.pread(reader, _CHUNK_BYTES, offset))
    written = 0
    while written < len(data):
        written += os.pwrite(writer, data[written:], offset + written)
    return written
