"""The folder in which a weighing keeps its scores, one file a document, so that a killed one goes on."""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from weighbridge.errors import WorkspaceError
from weighbridge.evidence.evaluate.engine import EngineFacts

_RUN = "run.json"
Arrays = Mapping[str, npt.NDArray[Any]]


class ScoreFolder:
    """Scores of one model over one list of documents. Every file appears whole or not at all.

    Args:
        path: the folder; made if it is absent.

    Raises:
        WorkspaceError: if it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(path, error) from error

    def read_scores(self, index: int, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]] | None:
        """Return the named arrays of a document; None if they are not there or not readable."""
        try:
            with np.load(self._scores(index), allow_pickle=False) as stored:
                return {name: stored[name] for name in names}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None

    def write_scores(self, index: int, arrays: Arrays) -> None:
        """Keep the arrays of a document.

        Raises:
            WorkspaceError: if the folder is full or not writable.
        """
        with self._replacing(self._scores(index)) as file:
            np.savez(file, allow_pickle=False, **arrays)

    def write_log_probabilities(
        self, index: int, shape: tuple[int, int], blocks: Iterator[npt.NDArray[np.float32]]
    ) -> None:
        """Keep log-probabilities of `shape` [positions, vocabulary], given a few rows at a time.

        Raises:
            WorkspaceError: if the folder is full or not writable.
        """
        # Written, not mapped: a full disk is then an error and not a SIGBUS.
        with self._replacing(self._log_probabilities(index)) as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype="<f4").data)

    def open_log_probabilities(self, index: int, shape: tuple[int, int]) -> npt.NDArray[np.float32] | None:
        """Return the mapped log-probabilities of a document; None if they are not there in this shape."""
        try:
            stored = np.load(self._log_probabilities(index), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return stored if stored.shape == shape and stored.dtype == np.float32 else None

    def damaged(self, index: int) -> WorkspaceError:
        """Return the error for log-probabilities that are no longer what was written."""
        place = self._log_probabilities(index)
        return WorkspaceError(
            "the stored predictions of the internal model are damaged or gone",
            place=str(place),
            hint=f"Remove the folder {self.path} and run the command again.",
        )

    def read_run(self, *numbers: str) -> dict[str, Any] | None:
        """Return what `write_run` kept; None if the weighing did not come to its end, or the record is damaged.

        Args:
            numbers: keys of numbers, or lists of numbers, that must be there beside what is known of the engine.
        """
        try:
            run = json.loads((self.path / _RUN).read_bytes())
            EngineFacts.from_json(run["engine"])
            for key in numbers:
                np.asarray(run[key], dtype=np.float64)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return run if isinstance(run, dict) else None

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Keep what is known about the whole run, which also says that it came to its end.

        Raises:
            WorkspaceError: if the folder is full or not writable.
        """
        with self._replacing(self.path / _RUN) as file:
            file.write(json.dumps(run, sort_keys=True).encode("utf-8"))

    def _scores(self, index: int) -> Path:
        return self.path / f"{index:06}.npz"

    def _log_probabilities(self, index: int) -> Path:
        return self.path / f"{index:06}.npy"

    @contextmanager
    def _replacing(self, path: Path) -> Iterator[IO[bytes]]:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                yield file
            temporary.replace(path)
        except OSError as error:
            raise _unusable(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """Return how much may still be written beside `path`."""
    facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize


def _unusable(path: Path, error: OSError) -> WorkspaceError:
    return WorkspaceError(
        f"cannot be written: {error.strerror or error}",
        place=str(path),
        hint="Free some space, or choose a work folder that you may write to.",
    )
