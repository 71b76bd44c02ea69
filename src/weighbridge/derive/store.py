"""Results of steps, kept by what they depend on.

A result is built in a folder of its own under a temporary name, and gets its final name by one rename when its record
has reached the disk: a result that has its name is complete, whenever the work was killed.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.checkpoint.manifest import FileEntry, Manifest
from weighbridge.checkpoint.read import read_folder
from weighbridge.checkpoint.write import write_bytes
from weighbridge.errors import WorkspaceError

_RECORD = "derivation.json"
_FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """The files that a step made.

    Attributes:
        key: what the step depends on, as one digest.
        folder: where the files lie.
        manifest: their names, sizes and digests.
        reused: that nothing had to be done.
        facts: what the step reported about its work.
    """

    key: str
    folder: Path
    manifest: Manifest
    reused: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


Make = Callable[[Path], tuple[Manifest | None, Mapping[str, Any]]]
"""Fills the folder; returns its manifest if it hashed while writing, and facts to record."""


class DerivationStore:
    """Results of steps below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def sweep(self) -> None:
        """Remove what a killed run left half-done. Only the holder of the work folder's lock may call this."""
        for leftover in self.root.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def get(self, key: str) -> Derived | None:
        """Return a finished result, or None. A result whose files have changed since counts as absent."""
        folder = self.root / key
        try:
            record = json.loads((folder / _RECORD).read_bytes())
            manifest = Manifest.from_json(record["manifest"])
        except (FileNotFoundError, ValueError, KeyError):
            return None
        if not _untouched(folder / _FILES, manifest, record.get("stamps", {})):
            return None
        return Derived(key=key, folder=folder / _FILES, manifest=manifest, reused=True, facts=record["facts"])

    def get_or_make(self, key: str, make: Make) -> Derived:
        """Return the result named `key`; call `make` with an empty folder if there is none yet.

        Raises:
            WorkspaceError: if the folder cannot be written to; what `make` raises passes through. Nothing half-done
                remains under the key.
        """
        if found := self.get(key):
            return found
        temporary = self.root / f".{key}.{os.getpid()}"
        try:
            files = temporary / _FILES
            shutil.rmtree(temporary, ignore_errors=True)
            files.mkdir(parents=True)
            manifest, facts = make(files)
            manifest = manifest or read_folder(files)
            record = {"manifest": manifest.to_json(), "facts": dict(facts), "stamps": _stamps(files, manifest)}
            write_bytes(temporary / _RECORD, json.dumps(record, indent=1).encode())
            shutil.rmtree(self.root / key, ignore_errors=True)
            temporary.rename(self.root / key)
        except OSError as error:
            raise WorkspaceError(
                f"cannot keep a derived version: {error.strerror or error}",
                place=str(error.filename or self.root),
                hint="Free some space or choose another folder with --work; what is finished stays and is used again.",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return Derived(key=key, folder=self.root / key / _FILES, manifest=manifest, reused=False, facts=facts)


def _stamps(folder: Path, manifest: Manifest) -> dict[str, int]:
    return {str(entry.path): (folder / entry.path).stat().st_mtime_ns for entry in manifest}


def _untouched(folder: Path, manifest: Manifest, stamps: Mapping[str, int]) -> bool:
    """Say whether sizes and times are as recorded; where only a time differs, the bytes decide."""
    try:
        suspects = [entry for entry in manifest if _suspect(folder, entry, stamps)]
        if any((folder / entry.path).stat().st_size != entry.size_bytes for entry in suspects):
            return False
    except OSError:
        return False
    names = [str(entry.path) for entry in suspects]
    return not names or read_folder(folder, names) == Manifest.of(suspects)


def _suspect(folder: Path, entry: FileEntry, stamps: Mapping[str, int]) -> bool:
    status = (folder / entry.path).stat()
    return status.st_size != entry.size_bytes or status.st_mtime_ns != stamps.get(str(entry.path))
