"""Whether the licence text that came along with a work is that of the licence which the work states."""

import re

from weighbridge.terms.expression import Expression
from weighbridge.terms.recognise import recognise
from weighbridge.terms.registry import Registry

_INDEX_LINE = re.compile(
    r"  - [\w.+ ()-]+: (?:THIRD_PARTY/[A-Za-z0-9.+-]+\.txt"
    r"|its text did not come along; ask the publisher of the work for it)|      \S+"
)
_INDEX_HEAD = re.compile(r"\S+ is under these licences:\Z")
_INDEX_LEAD = "Each text, and what of the model it comes from:"


def difference(stated: Expression, text: str, registry: Registry) -> str:
    """Return in what way `text` is not that of a stated licence; empty if it is, or none is archived.

    Of several stated licences the text may be that of any one. An exception adds to the text of its licence, which is
    then no archived one.

    Args:
        stated: the licence as read.
        text: what came along.
        registry: the licences that are known.
    """
    if any(leaf.licence is None or registry.text(leaf.licence) is None for leaf in stated.leaves):
        return ""
    found = recognise(text)
    if not {leaf.id for leaf in stated.leaves}.isdisjoint(found.candidates):
        return ""
    if len(stated.leaves) > 1 and _is_index(text, stated.text):
        return ""
    return f"that of {found.licence_id}, not of {stated.text}" if found.licence_id else f"not that of {stated.text}"


def _is_index(text: str, expression: str) -> bool:
    """Whether a LICENSE says nothing but which licences there are and where their texts lie, as `papers` writes it."""
    first, *lines = [line.rstrip() for line in text.splitlines() if line.strip()] or [""]
    if not _INDEX_HEAD.match(first) or lines[:2] != [f"    {expression}", _INDEX_LEAD]:
        return False
    return all(map(_INDEX_LINE.fullmatch, lines[2:]))
