"""Results of steps, kept by what they depend on.

A result is built in a folder of its own under a temporary name, and gets its final name by one rename when its record
has reached the disk: a result that has its name is complete, whenever the work was killed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.checkpoint.read import read_folder
from weighbridge.checkpoint.walk import list_files
from weighbridge.checkpoint.write import write_bytes
from weighbridge.errors import CheckpointError, WorkspaceError

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

    def get(self, key: str) -> Derived | None:
        """Return a finished result, or None. One that is damaged, or whose files have changed since, counts as absent.

        A file whose size and times are as they were is taken to be as it was. Another time (a hard link or a copy of
        the folder makes one) has the bytes read again.
        """
        folder = self.root / key
        files = folder / _FILES
        try:
            record = json.loads((folder / _RECORD).read_bytes())
            manifest, facts = Manifest.from_json(record["manifest"]), dict(record["facts"])
            paths = tuple(str(entry.path) for entry in manifest)
            if record["sha256"] != _digest(manifest, facts) or list_files(files) != paths:
                return None
            stamps = {path: _stamp(files / path) for path in paths}
            suspects = [path for path in paths if stamps[path] != record["stamps"].get(path)]
            if suspects:
                if read_folder(files, suspects) != manifest.without(*set(paths).difference(suspects)):
                    return None
                with suppress(WorkspaceError):  # on a full disk they are read again next time
                    _keep_record(folder, manifest, facts, stamps)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, CheckpointError):
            return None
        return Derived(key=key, folder=files, manifest=manifest, reused=True, facts=facts)

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
            _keep_record(temporary, manifest, facts, {str(e.path): _stamp(files / e.path) for e in manifest})
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


def _keep_record(folder: Path, manifest: Manifest, facts: Mapping[str, Any], stamps: Mapping[str, list[int]]) -> None:
    record = {
        "manifest": manifest.to_json(),
        "facts": dict(facts),
        "sha256": _digest(manifest, facts),
        "stamps": dict(stamps),
    }
    write_bytes(folder / _RECORD, json.dumps(record, indent=1).encode())


def _digest(manifest: Manifest, facts: Mapping[str, Any]) -> str:
    """Return what tells that a record was damaged."""
    return hashlib.sha256(json.dumps([manifest.to_json(), dict(facts)], sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> list[int]:
    """Return size and times; nobody can set the last one, the change time, back."""
    status = path.lstat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
