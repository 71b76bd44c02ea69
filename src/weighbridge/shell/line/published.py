"""What goes into a release beside the weights: code, reports and data that the plan names, hashed and searched once."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from weighbridge.checkpoint.manifest import FileEntry
from weighbridge.checkpoint.walk import list_files
from weighbridge.dossier.croissant import RecordField
from weighbridge.errors import CheckpointError, InputError
from weighbridge.shell.line.audit import Auditor
from weighbridge.shell.line.derive import DerivedVersion
from weighbridge.shell.plan.model import Plan, PublishedPart

MAX_FILES = 10_000
_MAX_RECORD_BYTES = 1 << 20
_TYPES: Mapping[type, str] = {str: "text", int: "integer", float: "float", bool: "boolean"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file of a component or data set.

    Attributes:
        source: where it lies.
        entry: what it is called in the release.
        fields: the fields of its records, if they are JSON lines.
    """

    source: Path
    entry: FileEntry
    fields: tuple[RecordField, ...] = ()


def read_published(plan: Plan, auditor: Auditor, version: DerivedVersion) -> tuple[PublishedFile, ...]:
    """Hash every published file, and search it for what is held back.

    Raises:
        InputError: if one cannot be read, or there are too many.
        RefusedError: if one of them holds something that is held back.
    """
    files = tuple(file for part in plan.published for file in _read(plan, part, auditor, version))
    if len(files) > MAX_FILES:
        raise InputError(f"a release has at most {MAX_FILES:,} files beside the weights, not {len(files):,}")
    return files


def check_published(plan: Plan) -> None:
    """Require that everything which the plan publishes is there.

    Raises:
        InputError: naming the first that is not.
    """
    for part in plan.published:
        if not os.path.lexists(part.source):
            raise InputError(f"there is no {part.source}", place=plan.place(*part.trail), hint="Correct this path.")


def _read(plan: Plan, part: PublishedPart, auditor: Auditor, version: DerivedVersion) -> Iterator[PublishedFile]:
    whole = part.source.is_dir()
    root = part.source if whole else part.source.parent
    try:
        names = list_files(root) if whole else (part.source.name,)
        if not names:
            raise InputError("the folder is empty", place=plan.place(*part.trail), hint="Leave it out, or fill it.")
        manifest = auditor.read_clean(f"{part.source}, which the plan publishes,", root, names, version)
    except CheckpointError as error:
        where = plan.place(*part.trail)
        raise InputError(f"{error.place}: {error.message}", place=where, hint=error.hint) from error
    for entry in manifest:
        name = f"{part.path}/{entry.path}" if whole else part.path
        moved = FileEntry(path=PurePosixPath(name), size_bytes=entry.size_bytes, sha256=entry.sha256)
        yield PublishedFile(source=root / entry.path, entry=moved, fields=_fields(root / entry.path))


def _fields(path: Path) -> tuple[RecordField, ...]:
    """Return the fields that the first record of a JSONL file has, with their types."""
    if path.suffix != ".jsonl":
        return ()
    with path.open("rb") as file:
        line = file.readline(_MAX_RECORD_BYTES)
    try:
        record = json.loads(line)
        return tuple(RecordField(name=name, type=_TYPES[type(value)]) for name, value in record.items())
    except (ValueError, KeyError, AttributeError, RecursionError):
        # Records of another shape can be described by their publisher; here nothing is guessed about them.
        return ()
