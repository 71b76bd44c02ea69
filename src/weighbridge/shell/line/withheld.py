"""What a plan holds back, seen three ways: for the search, for the public, and inside the house."""

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.derive.make import Made
from weighbridge.derive.withhold import Selection
from weighbridge.dossier.release import HeldBackPart, HeldBackSummary
from weighbridge.evidence.audit.held_back import HeldBack, Piece
from weighbridge.shell.plan.model import HeldBack as HeldBackPlan
from weighbridge.shell.plan.model import WithheldFiles, WithheldTensors

MIN_STRING = 6
"""Shorter values (booleans, small numbers) are no secrets and occur everywhere."""


def held_back(source: Checkpoint, selection: Selection, scrubbed: Sequence[tuple[str, str]]) -> HeldBack:
    """Return what must not occur in any version.

    Names are only those that a plan withholds: `README.md` is left behind, too, but every version has its own.
    """
    files = [*selection.withheld_files, *selection.left_files]
    pieces = [*_tensor_pieces(source, selection.withheld_tensors), *(_file_piece(source, file) for file in files)]
    names = [tensor.name for tensor in selection.withheld_tensors] + list(selection.withheld_files)
    values = {value for value in _values(source, scrubbed) if len(value) >= MIN_STRING}
    return HeldBack(pieces=tuple(pieces), names=tuple(names), strings=tuple(sorted(values)))


def kept_pieces(source: Checkpoint, selection: Selection) -> tuple[Piece, ...]:
    """Return what goes into a version: content that is both kept and held back is no secret."""
    return (*_tensor_pieces(source, selection.tensors), *(_file_piece(source, file) for file in selection.files))


def summary(plan: Sequence[HeldBackPlan], source: Checkpoint, made: Made) -> HeldBackSummary:
    """Return what the public may know: the plan's own words for each part, with counts and sizes, never a name."""
    parts = [_part(item, source, made) for item in plan]
    return HeldBackSummary(parts=tuple(parts), left_out_files=len(made.selection.left_files))


def _part(item: HeldBackPlan, source: Checkpoint, made: Made) -> HeldBackPart:
    if isinstance(item, WithheldTensors):
        kind = "tensors"
        sizes = [t.size_bytes for t in made.selection.withheld_tensors if fnmatchcase(t.name, item.pattern)]
    elif isinstance(item, WithheldFiles):
        kind = "files"
        files = [file for file in made.selection.withheld_files if fnmatchcase(file, item.pattern)]
        sizes = [(source.root / file).stat().st_size for file in files]
    else:
        kind = "metadata"
        sizes = [len(value.encode("utf-8", "surrogatepass")) for value in _values(source, made.scrubbed)]
    return HeldBackPart(description=item.public_name, kind=kind, count=len(sizes), size_bytes=sum(sizes))


def stems(patterns: Sequence[str], selection: Selection) -> Iterator[str]:
    """Yield what withheld tensors have in common, `reward_head` of `reward_head.*`, unless kept tensors have it, too.

    People write it into a card where they would never write a whole tensor name.
    """
    for pattern in patterns:
        stem = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rstrip("./_-")
        if len(stem) >= MIN_STRING and not any(tensor.name.startswith(stem) for tensor in selection.tensors):
            yield stem


def _tensor_pieces(source: Checkpoint, tensors: Sequence[Any]) -> Iterator[Piece]:
    for tensor in tensors:
        yield Piece(
            kind="tensor",
            label=tensor.name,
            path=source.root / tensor.file,
            offset=tensor.offset,
            size_bytes=tensor.size_bytes,
        )


def _file_piece(source: Checkpoint, file: str) -> Piece:
    path = source.root / file
    return Piece(kind="file", label=file, path=path, offset=0, size_bytes=path.stat().st_size)


def _values(source: Checkpoint, scrubbed: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the text of every JSON member that was removed, and of the headers' metadata, which never goes out."""
    documents: dict[str, Any] = {}
    for file, pointer in scrubbed:
        if file not in documents:
            documents[file] = json.loads((source.root / file).read_bytes())
        yield from _texts(_resolve(documents[file], pointer))
    for values in source.metadata.values():
        yield from (value for key, value in values.items() if key != "format" and isinstance(value, str))


def _resolve(document: Any, pointer: str) -> Any:
    """Follow a JSON pointer (RFC 6901)."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
