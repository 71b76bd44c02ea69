"""A checkpoint folder: which files it holds, which of them are its weights, and what their headers state."""

import os
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from weighbridge.checkpoint import gguf, safetensors
from weighbridge.checkpoint.document import parse_object
from weighbridge.checkpoint.tensor import TensorEntry, quoted
from weighbridge.checkpoint.walk import Report, list_files, open_inside, raise_problem, read_prefix, unreadable
from weighbridge.checkpoint.weights import INDEX_NAME, check_index, check_split, select_weights, split_siblings
from weighbridge.errors import CheckpointError, HeaderError

__all__ = ["Checkpoint", "Inspection", "inspect", "list_files"]

CONFIG_NAME = "config.json"
MAX_CONFIG_BYTES = 10_000_000
MAX_INDEX_BYTES = 64_000_000
MAX_PROBLEMS = 1000

_MAX_CONFIG_DEPTH = 64
_MAX_CONFIG_VALUES = 2_000_000
_FIRST_GGUF_BYTES = 4 << 20

Format = Literal["safetensors", "gguf"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A sound checkpoint: every header was parsed and agrees with its file and the index. No weight was read.

    Attributes:
        root: absolute path of the folder (of the parent folder, where a single file was opened).
        format: what the weight files are.
        files: every regular file, relative POSIX paths in code-point order.
        weight_files: those that hold its tensors, in code-point order; always directly in `root`.
        tensors: by name in code-point order; names are unique over all weight files.
        config: the parsed `config.json`, {} if there is none.
        metadata: for each weight file the safetensors `__metadata__` or the GGUF key-values.
    """

    root: Path
    format: Format
    files: tuple[str, ...]
    weight_files: tuple[str, ...]
    tensors: tuple[TensorEntry, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Read the headers of a checkpoint: a folder, or a single `.safetensors` or `.gguf` file.

        One file of a split GGUF stands for all of them.

        Raises:
            UnsupportedFormatError: if there are no weights that can be read here, only pickles for instance.
            UnsafePathError: if a link or an index leads out of the folder.
            HeaderError: if a header is malformed or contradicts its file.
            CheckpointError: if anything else is wrong: the first problem found.
        """
        scan = _Scan(root, raise_problem)
        scan.run()
        return cls(**scan.fields())

    def tensor(self, name: str) -> TensorEntry:
        """Return a tensor by name.

        Raises:
            CheckpointError: if there is none of that name.
        """
        index = bisect_left(self.tensors, name, key=lambda tensor: tensor.name)
        if index == len(self.tensors) or self.tensors[index].name != name:
            raise CheckpointError(f"there is no tensor {quoted(name)}", place=str(self.root))
        return self.tensors[index]

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(tensor.parameters for tensor in self.tensors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything that could be found out about a folder or file.

    Attributes:
        checkpoint: what `Checkpoint.open` returns; None if it would raise.
        files: every regular file that was reached.
        problems: everything that is wrong, in the order found; empty if and only if there is a checkpoint.
    """

    checkpoint: Checkpoint | None
    files: tuple[str, ...]
    problems: tuple[CheckpointError, ...]


def inspect(root: Path) -> Inspection:
    """Open a checkpoint and collect all problems instead of raising the first."""
    problems: list[CheckpointError] = []

    def keep(problem: CheckpointError) -> None:
        if len(problems) >= MAX_PROBLEMS:
            raise CheckpointError(f"there are more than {MAX_PROBLEMS:,} problems; no more are listed", place=str(root))
        problems.append(problem)

    scan = _Scan(root, keep)
    try:
        scan.run()
    except CheckpointError as problem:
        problems.append(problem)
    checkpoint = None if problems else Checkpoint(**scan.fields())
    return Inspection(checkpoint=checkpoint, files=scan.files, problems=tuple(problems))


class _Scan:
    """One reading of a folder. What lets the rest be read goes to `report`, what does not is raised."""

    def __init__(self, root: Path, report: Report) -> None:
        self.given = root
        self.report = report
        self.root = root
        self.files: tuple[str, ...] = ()
        self.format: Format = "safetensors"
        self.weight_files: tuple[str, ...] = ()
        self.tensors: list[TensorEntry] = []
        self.config: Mapping[str, Any] = {}
        self.metadata: dict[str, Mapping[str, Any]] = {}

    def fields(self) -> dict[str, Any]:
        """Return the fields of the checkpoint."""
        return {
            "root": self.root,
            "format": self.format,
            "files": self.files,
            "weight_files": self.weight_files,
            "tensors": tuple(sorted(self.tensors, key=lambda tensor: tensor.name)),
            "config": self.config,
            "metadata": dict(self.metadata),
        }

    def run(self) -> None:
        """Find the files, then the weights, then read every header."""
        self._list()
        self.format, self.weight_files = select_weights(self.files, self._magic, place=str(self.given))
        unread = {file for file in self.weight_files if not self._guarded(partial(self._header, file))}
        self._unique()
        if INDEX_NAME in self.files and self.format == "safetensors":
            index = self._guarded(lambda: self._json(INDEX_NAME, MAX_INDEX_BYTES, safetensors.MAX_TENSORS * 4))
            if index is not None:
                check_index(index, self.weight_files, self.tensors, unread, self.report)
        if self.format == "gguf":
            check_split(self.weight_files, self.metadata, self.report)
        if CONFIG_NAME in self.files:
            self.config = self._guarded(lambda: self._json(CONFIG_NAME, MAX_CONFIG_BYTES, _MAX_CONFIG_VALUES)) or {}

    def _list(self) -> None:
        try:
            real = Path(os.path.realpath(self.given, strict=True))
        except OSError as cause:
            raise unreadable(cause, str(self.given)) from cause
        if real.is_dir():
            self.root = real
            self.files = list_files(real, report=self.report)
        else:
            self.root = Path(os.path.realpath(self.given.absolute().parent))
            try:
                self.files = split_siblings(self.given.name, lambda: os.listdir(self.root))  # noqa: PTH208
            except OSError as cause:
                raise unreadable(cause, str(self.root)) from cause

    def _magic(self, file: str) -> bytes:
        descriptor = open_inside(self.root, file)
        try:
            return read_prefix(descriptor, 8, place=file)
        finally:
            os.close(descriptor)

    def _header(self, file: str) -> bool:
        """Read a weight file's header; True, so that a caller knows it from a failure."""
        descriptor = open_inside(self.root, file)
        try:
            size = os.fstat(descriptor).st_size
            tensors: Sequence[TensorEntry]
            if self.format == "safetensors":
                start = read_prefix(descriptor, safetensors.LENGTH_BYTES, place=file)
                length = safetensors.header_bytes(start, size, file=file)
                header = safetensors.parse_header(read_prefix(descriptor, length, place=file), size, file=file)
                self.metadata[file], tensors = header.metadata, header.tensors
            else:
                self.metadata[file], tensors = _read_gguf(descriptor, size, file)
        finally:
            os.close(descriptor)
        self.tensors.extend(tensors)
        return True

    def _json(self, file: str, most_bytes: int, most_values: int) -> Mapping[str, Any]:
        descriptor = open_inside(self.root, file)
        try:
            data = read_prefix(descriptor, most_bytes + 1, place=file)
        finally:
            os.close(descriptor)
        if len(data) > most_bytes:
            raise CheckpointError(f"the file is larger than {most_bytes:,} bytes", place=file)
        return parse_object(data, place=file, max_depth=_MAX_CONFIG_DEPTH, max_values=most_values)

    def _unique(self) -> None:
        """Require that no name is in two files (each file was checked by itself)."""
        seen: dict[str, TensorEntry] = {}
        for tensor in self.tensors:
            other = seen.setdefault(tensor.name, tensor)
            if other.file != tensor.file:
                self.report(
                    HeaderError(
                        f"the tensor is also in {other.file}",
                        place=f"{tensor.file}: tensor {quoted(tensor.name)}",
                        hint="If the folder holds several models, name the file of one, or give each a folder.",
                    )
                )
                return

    def _guarded(self, read: Callable[[], _T]) -> _T | None:
        try:
            return read()
        except CheckpointError as problem:
            self.report(problem)
            return None


def _read_gguf(descriptor: int, size: int, file: str) -> tuple[Mapping[str, Any], Sequence[TensorEntry]]:
    """Read as much of the file as its header takes."""
    length = _FIRST_GGUF_BYTES
    while True:
        try:
            header = gguf.parse_header(read_prefix(descriptor, min(length, size), place=file), size, file=file)
            return header.metadata, header.tensors
        except gguf.CutOffError:
            if length >= gguf.MAX_HEADER_BYTES:
                raise HeaderError(f"the header takes more than {gguf.MAX_HEADER_BYTES:,} bytes", place=file) from None
            length *= 8
