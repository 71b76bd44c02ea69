"""How a text differs from the archived licence that is nearest to it, word by word."""

import difflib
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.terms.recognise import MAX_TEXT_BYTES, normalise
from weighbridge.terms.registry import archived, registry

_WORD = re.compile(r"\S+")
_SHINGLE = 4
_MAX_WORDS = 20_000
_MAX_CHANGES = 200
_RELATED = 0.3
"""Share of four-word runs in common, below which two texts are not called related."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A place where two texts differ.

    Attributes:
        line: line in the text that was given, from 1.
        archived: the words of the archived text there; empty if words were added.
        found: the words of the given text there; empty if words were left out.
    """

    line: int
    archived: str
    found: str

    def to_json(self) -> dict[str, object]:
        """Return a JSON form."""
        return {"line": self.line, "archived": self.archived, "found": self.found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The archived text that is most like a given one.

    Attributes:
        licence_id: whose text it is.
        similarity: share of four-word runs that the two have in common, 0 to 1.
        changes: where they differ, in order; at most 200.
        more: whether there are further ones.
    """

    licence_id: str
    similarity: float
    changes: tuple[Change, ...]
    more: bool = False

    def to_json(self) -> dict[str, object]:
        """Return a JSON form."""
        return {
            "licence": self.licence_id,
            "similarity": round(self.similarity, 4),
            "changes": [change.to_json() for change in self.changes],
            "more": self.more,
        }


def nearest(text: str) -> Nearest | None:
    """Return the archived licence text that is most like `text`, and where they differ.

    Case, white space and the style of quotation marks do not count as a difference of place, but are compared as they
    are. Says nothing about what the text permits: a single word can turn a permission into its contrary.

    Args:
        text: content of a licence file.

    Returns:
        None if no archived text has three tenths of its four-word runs in common with it, or it is too long to compare
        (1 MiB, 20,000 words).
    """
    if len(text) > MAX_TEXT_BYTES:
        return None
    words, lines = _words(text)
    if not words or len(words) > _MAX_WORDS:
        return None
    runs = _runs(words)
    best, licence_id = max((_likeness(runs, known), licence_id) for licence_id, known, _ in _known())
    if best < _RELATED:
        return None
    expected = next(words for known_id, _, words in _known() if known_id == licence_id)
    changes = _changes(expected, words, lines)
    return Nearest(
        licence_id=licence_id,
        similarity=best,
        changes=tuple(changes[:_MAX_CHANGES]),
        more=len(changes) > _MAX_CHANGES,
    )


@functools.cache
def _known() -> tuple[tuple[str, frozenset[int], tuple[str, ...]], ...]:
    """Return id, hashed four-word runs and words of every archived licence text; one licence for a shared text."""
    files = {licence.text_file: licence.id for licence in reversed(registry().all) if licence.text_file}
    return tuple(
        (licence_id, _runs(words), words)
        for file, licence_id in files.items()
        for words in [tuple(_words(archived(file))[0])]
    )


def _words(text: str) -> tuple[list[str], list[int]]:
    """Return the words, as they are compared, and the line of each."""
    words, lines = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        for word in _WORD.findall(normalise(line)):
            words.append(word)
            lines.append(number)
    return words, lines


def _runs(words: Sequence[str]) -> frozenset[int]:
    lower = [word.lower() for word in words]
    return frozenset(hash(tuple(lower[start : start + _SHINGLE])) for start in range(max(1, len(lower) - _SHINGLE + 1)))


def _likeness(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)


def _changes(expected: Sequence[str], found: Sequence[str], lines: Sequence[int]) -> list[Change]:
    """Compare what lies between the words that both begin and end with: that is all `difflib` has to look at."""
    start = _common(expected, found)
    tail = _common(expected[start:][::-1], found[start:][::-1])
    old, new = expected[start : len(expected) - tail], found[start : len(found) - tail]
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=len(old) * len(new) > 4_000_000)
    changes = []
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag != "equal":
            place = min(start + new_from, len(lines) - 1)
            changes.append(
                Change(
                    line=lines[place],
                    archived=" ".join(old[old_from:old_to]),
                    found=" ".join(new[new_from:new_to]),
                )
            )
    return changes


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many words the two begin with in common."""
    pairs = zip(one, other, strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
