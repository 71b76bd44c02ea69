"""The metadata of somebody's model card: the YAML block that a `README.md` begins with, read bounded."""

from collections.abc import Mapping
from typing import Any

from weighbridge.errors import InputError
from weighbridge.shell.yaml_document import MAX_BYTES, Kind, read_document
from weighbridge.terms.registry import registry

_CARD = Kind(
    noun="the metadata of a card",
    error=InputError,
    hint="The card's metadata is not read; ask its publisher to correct it.",
)
_FENCE = b"---"
_NAMES_NOTHING = frozenset({"", "other", "unknown", "none", "noassertion", "n/a"})
_BRACKETS = frozenset("()")

UNREADABLE = "LicenseRef-unreadable"
"""What a card's licence is taken for if it is no text: a licence that nobody knows."""


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


def says_nothing(licence: str) -> bool:
    """Say whether a text stands where a licence is asked for and names none, such as `other`."""
    return licence.strip().lower() in _NAMES_NOTHING


def stated_licence(metadata: Mapping[str, Any]) -> str:
    """Return the licence that a card's metadata states: `license_name` where `license` only says `other`.

    Empty if it states none; `UNREADABLE` for what is no text, so that nothing laxer is taken for it.
    """
    licence = _joined(metadata.get("license"))
    name = metadata.get("license_name")
    named = name.strip() if isinstance(name, str) and not says_nothing(name) else ""
    if says_nothing(licence):
        return named
    # The hub only looks at the name beside `other`; a reader would take another name for another licence.
    return licence if not named or _same(licence, named) else UNREADABLE


def _same(first: str, second: str) -> bool:
    known, other = registry().get(first), registry().get(second)
    return first.lower() == second.lower() or (known is not None and known == other)


def _joined(licence: object) -> str:
    """Return the licences of a list as one expression: all of them hold, whatever each of them is."""
    items = licence if isinstance(licence, list) else [licence]
    if licence is None or not items:
        return ""
    if len(items) == 1:
        return items[0].strip() if isinstance(items[0], str) else UNREADABLE
    # A bracket of an item's own could close the one that is put round it here.
    texts = [item.strip() for item in items if isinstance(item, str) and not _BRACKETS & {*item}]
    if len(texts) < len(items) or "" in texts:
        return UNREADABLE
    return " AND ".join(f"({text})" if len(text.split()) > 1 else text for text in texts)
