"""The metadata of somebody's model card: the YAML block that a `README.md` begins with, read bounded."""

from collections.abc import Mapping
from typing import Any

from weighbridge.errors import InputError
from weighbridge.shell.yaml_document import MAX_BYTES, Kind, read_document

_CARD = Kind(
    noun="the metadata of a card",
    error=InputError,
    hint="The card's metadata is not read; ask its publisher to correct it.",
)
_FENCE = b"---"


def card_metadata(data: bytes, *, place: str) -> Mapping[str, Any]:
    """Return the metadata that a card states; empty if it has no such block.

    Args:
        data: the bytes of `README.md`, or as many of them as were read.
        place: its name, for errors.

    Raises:
        InputError: if there is a block that cannot be read; `place` is `file:line:column`.
    """
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    if not lines or lines[0].strip() != _FENCE:
        return {}
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == _FENCE), None)
    if end is None:
        raise InputError("the metadata at its head never ends", place=f"{place}:1:1", hint=_CARD.hint)
    block = b"".join(lines[1:end])
    if len(block) > MAX_BYTES:
        raise InputError(f"the metadata of a card has at most {MAX_BYTES:,} bytes", place=place, hint=_CARD.hint)
    value = read_document(block, file=place, kind=_CARD, first_line=2).value
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError("the metadata of a card is a mapping", place=f"{place}:2:1", hint=_CARD.hint)
    return value


def stated_licence(metadata: Mapping[str, Any]) -> str:
    """Return the licence that a card's metadata states: `license_name` where `license` only says `other`."""
    licence = metadata.get("license")
    if isinstance(licence, list):
        licence = " AND ".join(str(item) for item in licence if isinstance(item, str))
    name = metadata.get("license_name")
    if isinstance(name, str) and name.strip() and str(licence).lower() in ("other", "none", ""):
        return name.strip()
    return licence.strip() if isinstance(licence, str) and licence.lower() != "other" else ""
