"""What the small files of a folder say: its record, card, licences, bills of materials and headers."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weighbridge.adopt.check.subject import BomFile, LicenceFile
from weighbridge.checkpoint.architecture import UNKNOWN_FAMILY, describe
from weighbridge.checkpoint.document import parse_object
from weighbridge.checkpoint.folder import Checkpoint, inspect
from weighbridge.dossier.bom_reader import MAX_BOM_BYTES, read_bom
from weighbridge.dossier.disclosure import Disclosure
from weighbridge.dossier.release import RELEASE_NAME, ReleaseRecord, read_release
from weighbridge.errors import CheckpointError, HeaderError, InputError, UnsupportedFormatError
from weighbridge.shell.card_reader import card_metadata, says_nothing, stated_licence
from weighbridge.shell.check.capture import Capture, is_bom_name, names_licence
from weighbridge.terms.agreement import Stated
from weighbridge.terms.json_form import decode
from weighbridge.terms.recognise import recognise

CARD_NAME = "README.md"
_LICENCE_KEYS = ("general.license", "license")
_MAX_DEPTH, _MAX_VALUES = 64, 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What the headers of a folder's weights state.

    Attributes:
        format: `safetensors`, `gguf`, or empty.
        family: name of the architecture; `unknown` if not known.
        metadata: key-values of weight files whose headers are good, by file.
        config: the parsed `config.json`.
        problems: what is wrong with headers, index or configuration.
        unread: why there are no weights that can be read here; empty if there are.
    """

    format: str = ""
    family: str = UNKNOWN_FAMILY
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unread: str = ""


def read_weights(root: Path, files: Sequence[str]) -> Weights:
    """Read every header of a folder; several GGUF files that are models of their own are read one by one."""
    inspection = inspect(root)
    if inspection.checkpoint is not None:
        return _of([inspection.checkpoint], ())
    alone = [name for name in files if name.endswith(".gguf") and "/" not in name]
    if len(alone) > 1 and not any(name.endswith(".safetensors") for name in files):
        each = [inspect(root / name) for name in alone]
        problems = [problem for found in each for problem in found.problems]
        return _of([found.checkpoint for found in each if found.checkpoint], problems)
    return _of([], inspection.problems)


def _of(checkpoints: Sequence[Checkpoint], problems: Sequence[CheckpointError]) -> Weights:
    # What leaves the folder or is no file was seen already; here only headers and configuration count.
    wrong = [p for p in problems if isinstance(p, HeaderError) or p.place.startswith(("config.json", "model."))]
    unread = next((p.message for p in problems if isinstance(p, UnsupportedFormatError)), "")
    families = [describe(item).family for item in checkpoints]
    return Weights(
        format=checkpoints[0].format if checkpoints else "",
        family=families[0] if families else UNKNOWN_FAMILY,
        metadata={name: values for item in checkpoints for name, values in item.metadata.items()},
        config=checkpoints[0].config if checkpoints else {},
        problems=tuple(dict.fromkeys(str(problem) for problem in wrong)),
        unread=unread,
    )


def read_record(capture: Capture, files: Sequence[str]) -> tuple[ReleaseRecord | None, str]:
    """Return the release record, and why it cannot be read."""
    if RELEASE_NAME not in files:
        return None, ""
    data = capture.text(RELEASE_NAME)
    if data is None:
        return None, "it is larger than a record is"
    try:
        # Strictly first: two keys of one name could tell two readers two things.
        parse_object(data, place=RELEASE_NAME, max_depth=_MAX_DEPTH, max_values=_MAX_VALUES)
        record = read_release(data, place=RELEASE_NAME)
        _check_shape(record)
    except (InputError, ValueError) as error:
        return None, error.message if isinstance(error, InputError) else str(error)
    return record, ""


def _check_shape(record: ReleaseRecord) -> None:
    """Require of what the record's own reader lets be that it has the shape which everything behind it expects.

    Raises:
        ValueError: if it has not.
    """
    decode(Disclosure, record.disclosure.to_json(), place="disclosure")
    for parent in record.parents:
        if not all(isinstance(value, str) for value in parent.values()):
            raise ValueError("a parent is stated by texts")
    for step in record.recipe:
        if not isinstance(step["step"], str):
            raise ValueError("a step of the recipe is named by a text")
    if not isinstance(record.architecture, Mapping) or not isinstance(record.source_architecture, Mapping):
        raise ValueError("the architecture is no object")
    for stated in (record.terms, record.openness):
        if stated is not None and not isinstance(stated, Mapping):
            raise ValueError("terms and openness are objects")


def read_card(capture: Capture, files: Sequence[str]) -> tuple[Mapping[str, Any] | None, str]:
    """Return the card's metadata, and why it cannot be read."""
    if CARD_NAME not in files:
        return None, ""
    data = capture.text(CARD_NAME)
    if data is None:
        return None, "it is larger than a card is"
    try:
        return card_metadata(data, place=CARD_NAME), ""
    except InputError as error:
        return None, str(error).rstrip(".")


def read_licences(capture: Capture, unsafe: Mapping[str, str]) -> tuple[LicenceFile, ...]:
    """Return every licence and notice file: those in the root first, of them those that were recognised.

    Args:
        capture: what was kept of the files.
        unsafe: what is no regular file inside the folder, by its path, and why: its text is not known either.
    """
    found = [_licence(capture, path) for path in capture.files if names_licence(path)]
    found += [
        LicenceFile(path=path, text="", recognition=recognise(b""), notice=_is_notice(path), problem=message)
        for path, message in unsafe.items()
        if names_licence(path) and path not in capture.files
    ]
    return tuple(sorted(found, key=lambda x: ("/" in x.path, x.recognition.licence_id is None, x.path)))


def _licence(capture: Capture, path: str) -> LicenceFile:
    data = capture.text(path)
    problem = ""
    if data is None:
        problem = "it is larger than a licence is" if path in capture.too_large else "it is no plain text"
    text, found = (data or b"").decode("utf-8", "replace"), recognise(data or b"")
    # Whatever it is called: what is a licence word for word is no notice.
    notice = _is_notice(path) and found.licence_id is None
    return LicenceFile(path=path, text=text, recognition=found, notice=notice, problem=problem)


def _is_notice(path: str) -> bool:
    """Say whether a file is a notice, which states no terms and is held against none; NOTICE-LICENSE is not."""
    return path.rpartition("/")[2].upper().partition(".")[0] in ("NOTICE", "NOTICES")


def read_boms(capture: Capture, files: Sequence[str]) -> tuple[BomFile, ...]:
    """Return every bill of materials."""
    return tuple(_bom(capture.text(path), path) for path in files if is_bom_name(path.rpartition("/")[2]))


def _bom(data: bytes | None, path: str) -> BomFile:
    if data is None:
        return BomFile(path=path, bom=None, problem=f"it has more than {MAX_BOM_BYTES:,} bytes")
    try:
        return BomFile(path=path, bom=read_bom(data, place=path))
    except InputError as error:
        return BomFile(path=path, bom=None, problem=error.message)


def read_json(capture: Capture, path: str) -> Mapping[str, Any] | None:
    """Return a small JSON object; None if there is none that can be read."""
    data = capture.text(path)
    if data is None:
        return None
    try:
        return parse_object(data, place=path, max_depth=_MAX_DEPTH, max_values=_MAX_VALUES)
    except CheckpointError:
        return None


def statements(
    record: ReleaseRecord | None,
    card: Mapping[str, Any] | None,
    metadata: Mapping[str, Mapping[str, Any]],
    licences: Sequence[LicenceFile],
    boms: Sequence[BomFile],
) -> Iterator[Stated]:
    """Yield every place that states a licence of the model itself, the one that counts most first."""
    found = _statements(record, card, metadata, licences, boms)
    return (item for item in found if not says_nothing(item.license))


def _statements(
    record: ReleaseRecord | None,
    card: Mapping[str, Any] | None,
    metadata: Mapping[str, Mapping[str, Any]],
    licences: Sequence[LicenceFile],
    boms: Sequence[BomFile],
) -> Iterator[Stated]:
    if record is not None:
        yield Stated(place=RELEASE_NAME, license=record.license)
    if card and (stated := stated_licence(card)):
        yield Stated(place=CARD_NAME, license=stated)
    for file, values in sorted(metadata.items()):
        for key in _LICENCE_KEYS:
            value, name = values.get(key), values.get(f"{key}.name")
            if isinstance(value, str) and not says_nothing(value):
                yield Stated(place=f"{file}: {key}", license=value.strip())
            elif isinstance(name, str):
                yield Stated(place=f"{file}: {key}.name", license=name.strip())
    for item in licences:
        if "/" not in item.path and not item.notice and item.recognition.licence_id:
            yield Stated(place=item.path, license=item.recognition.licence_id)
    for bom in boms:
        subject = bom.bom.subject if bom.bom else None
        for licence in subject.licences if subject else ():
            if licence.kind != "concluded":
                yield Stated(place=bom.path, license=licence.stated)


def total_bytes(root: Path) -> int | None:
    """Return how many bytes there are to read, for progress; None if that cannot be told."""
    try:
        return sum(path.lstat().st_size for path in root.rglob("*"))
    except OSError:
        return None


def folder_name(root: Path) -> str:
    """Return a folder's own name as a text that can be printed."""
    name = os.path.realpath(root).rpartition("/")[2] or "folder"
    return "".join(char if char.isprintable() else "?" for char in name)[:200]
