"""Find what is wrong with the stored files of a version. Two names of the same bytes are read once."""

from collections.abc import Iterator
from pathlib import Path

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.hub.blob import BlobFolder, sha256_of

Hashes = dict[tuple[int, int], tuple[str, int]]
"""SHA-256 and size of what was read so far, by device and inode."""


def damage(root: Path, folder: Path, manifest: Manifest, blobs: BlobFolder, hashes: Hashes) -> Iterator[str]:
    """Yield a line for each file of a version, or blob behind it, that is not as its manifest states.

    Args:
        root: the hub; paths in the lines are relative to it.
        folder: the version as a folder.
        manifest: what it must hold.
        blobs: where the bytes are stored.
        hashes: what was read so far; what is read now is added.
    """
    expected = {str(entry.path) for entry in manifest}
    for extra in sorted(_files_below(folder) - expected):
        yield f"{extra} does not belong to it"
    for entry in manifest:
        for path in (blobs.path_of(entry.sha256), folder / entry.path):
            if fault := _fault(path, (entry.sha256, entry.size_bytes), hashes):
                yield f"{entry.path}: {path.relative_to(root)} {fault}"


def _fault(path: Path, expected: tuple[str, int], hashes: Hashes) -> str:
    """Say what is wrong with a stored file; empty if nothing is."""
    try:
        found = path.stat()
        key = (found.st_dev, found.st_ino)
        if key not in hashes:
            hashes[key] = sha256_of(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if hashes[key] == expected else f"is damaged: its SHA-256 is {hashes[key][0]}"


def _files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}
