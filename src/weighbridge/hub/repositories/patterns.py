"""Which files `.gitattributes` sends to large-file storage, and which ones `.gitignore` leaves out.

Patterns are git's (gitignore(5), gitattributes(5)): without a slash they match a name at any depth, with one they match
from the root; `*` and `?` stay within a segment, `**` stands for any number of them. They come from strangers: their
number and size are bounded, and no pattern takes more than a time that grows with its length times the path's.
"""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_PATTERNS_BYTES: Final = 64 * 1024
MAX_PATTERNS: Final = 500
_MAX_PATTERN_CHARACTERS: Final = 1024
_MAX_SEGMENTS: Final = 64
_ANY_DEPTH: Final = "**"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, its segments ready to match; None is `**`. `anywhere`: it has no slash and matches names."""

    segments: tuple[re.Pattern[str] | None, ...]
    anywhere: bool
    folders_only: bool = False

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the path, as its segments, is what the pattern describes."""
        if self.anywhere:
            segment = self.segments[0]
            return segment is None or segment.match(path[-1]) is not None
        # Which prefixes of the pattern match the path so far: one pass, whatever the number of `**`.
        end = len(self.segments)
        alive = self._beyond({0})
        for name in path:
            following: set[int] = set()
            for at in alive - {end}:
                segment = self.segments[at]
                if segment is None:
                    # What `folder/**` ends with stands for something in the folder, never for nothing.
                    following.update((at, end) if at == end - 1 else (at,))
                elif segment.match(name):
                    following.add(at + 1)
            if not following:
                return False
            alive = self._beyond(following)
        return end in alive

    def _beyond(self, alive: set[int]) -> set[int]:
        """Add the states behind each `**` but the last, which may stand for nothing."""
        reached = set(alive)
        for at in alive:
            while at < len(self.segments) - 1 and self.segments[at] is None:
                at += 1
                reached.add(at)
        return reached


@dataclass(frozen=True, slots=True)
class Attributes:
    """The lines of `.gitattributes` that say something of the attribute `filter`, in their order."""

    rules: tuple[tuple[Pattern, str | None], ...]

    def filter_of(self, path: str) -> str | None:
        """Return the filter (`lfs`), the empty text where a line takes it away, None where no line speaks of it."""
        segments = path.split("/")
        for pattern, value in reversed(self.rules):
            if pattern.matches(segments):
                return value
        return None


@dataclass(frozen=True, slots=True)
class Ignore:
    """The lines of `.gitignore`, in their order; the flag says whether a line takes back (`!`)."""

    rules: tuple[tuple[Pattern, bool], ...]

    def ignores(self, path: str) -> bool:
        """Whether the file is left out; what lies in a folder that is left out cannot be taken back."""
        segments = path.split("/")
        return any(self._decided(segments[:depth], depth < len(segments)) for depth in range(1, len(segments) + 1))

    def _decided(self, segments: list[str], is_folder: bool) -> bool:
        for pattern, takes_back in reversed(self.rules):
            if (is_folder or not pattern.folders_only) and pattern.matches(segments):
                return not takes_back
        return False


@lru_cache(maxsize=64)
def attributes(text: str) -> Attributes:
    """Return what `.gitattributes` says; lines that make no sense say nothing, as with git."""
    rules: list[tuple[Pattern, str | None]] = []
    for line in _lines(text):
        words = line.split()
        if not words or words[0].startswith(("#", "!", "[attr]")):
            continue
        value = _filter_value(words[1:])
        pattern = _pattern(words[0]) if value is not None else None
        if pattern is not None and not pattern.folders_only:
            rules.append((pattern, value))
    return Attributes(tuple(rules))


@lru_cache(maxsize=64)
def ignore(text: str) -> Ignore:
    """Return what `.gitignore` says."""
    rules: list[tuple[Pattern, bool]] = []
    for line in _lines(text):
        line = line if line.endswith("\\ ") else line.rstrip()
        takes_back = line.startswith("!")
        if not line or line.startswith("#"):
            continue
        pattern = _pattern(line.removeprefix("!"))
        if pattern is not None:
            rules.append((pattern, takes_back))
    return Ignore(tuple(rules))


def _lines(text: str) -> list[str]:
    return text[:MAX_PATTERNS_BYTES].splitlines()[:MAX_PATTERNS]


def _filter_value(words: list[str]) -> str | None:
    value: str | None = None
    for word in words:
        if word in ("-filter", "!filter"):
            value = ""
        elif word.startswith("filter="):
            value = word.removeprefix("filter=")
    return value


def _pattern(text: str) -> Pattern | None:
    folders_only = text.endswith("/")
    trimmed = text.removesuffix("/")
    anywhere = "/" not in trimmed
    segments = trimmed.removeprefix("/").split("/")
    if not trimmed or len(text) > _MAX_PATTERN_CHARACTERS or len(segments) > _MAX_SEGMENTS or "" in segments:
        return None
    try:
        compiled = tuple(None if segment == _ANY_DEPTH else _segment(segment) for segment in segments)
    except re.error:
        return None
    return Pattern(compiled, anywhere, folders_only)


def _segment(glob: str) -> re.Pattern[str]:
    # Translated patterns commit to each `*` in turn (atomic groups), so they never go back over what they matched.
    escaped = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], glob)
    return re.compile(fnmatch.translate(escaped.replace("[^", "[!")))
