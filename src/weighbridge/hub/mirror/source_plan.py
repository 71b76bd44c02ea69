"""How another hub says that a large file is put together, read from its answer and bounded.

Nothing of it is believed: the chunks that come are hashed, and so is the file that they make. What is checked here is
that the answer can be followed at all, within the size that was asked for. Form: version 1 of xet-core's `cas_types`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from weighbridge.hub.mirror.errors import SourceError
from weighbridge.hub.xet.chunk import HEADER_BYTES, MAX_CHUNK_BYTES
from weighbridge.hub.xet.errors import HashTextError
from weighbridge.hub.xet.file_check import MAX_FILE_CHUNKS
from weighbridge.hub.xet.merkle import from_hex, to_hex
from weighbridge.hub.xet.xorb import MAX_XORB_BYTES, MAX_XORB_CHUNKS

MAX_TERMS: Final = 500_000
MAX_URL_CHARACTERS: Final = 8192
# Ranges may be wider than what the terms need of them, but not without end.
_SLACK_BYTES: Final = 1024 * 1024
# Ranges of one xorb do not overlap, or hardly: whoever states many that do shall not make every look-up slow.
_LOOKED_AT: Final = 8


@dataclass(frozen=True, slots=True)
class SourceTerm:
    """Chunks `[first, end)` of a xorb of the source, which are `raw_bytes` of the file."""

    xorb: str
    first: int
    end: int
    raw_bytes: int


@dataclass(frozen=True, slots=True)
class SourceRange:
    """Where chunks `[first, end)` of a xorb can be fetched: bytes `[start, stop)` behind an address."""

    xorb: str
    first: int
    end: int
    url: str
    start: int
    stop: int

    @property
    def key(self) -> tuple[str, int, int]:
        """What it is, whatever its address."""
        return self.xorb, self.first, self.end


class SourcePlan:
    """What a file is made of at the source, in order, and where each part can be fetched."""

    def __init__(self, terms: tuple[SourceTerm, ...], ranges: Mapping[str, tuple[SourceRange, ...]]) -> None:
        self.terms = terms
        self._ranges = ranges

    def range_of(self, term: SourceTerm) -> SourceRange | None:
        """Return a range that holds all chunks of the term, the narrowest of those that begin shortly before it."""
        ranges = self._ranges.get(term.xorb, ())
        stop = bisect_right(ranges, term.first, key=lambda each: each.first)
        offered = (each for each in ranges[max(0, stop - _LOOKED_AT) : stop] if term.end <= each.end)
        return min(offered, key=lambda each: each.end - each.first, default=None)

    def same_range(self, wanted: SourceRange) -> SourceRange | None:
        """Return the same chunks at the address that they have now."""
        return next((r for r in self._ranges.get(wanted.xorb, ()) if r.key == wanted.key), None)


def read_plan(stated: Any, *, size_bytes: int, place: str) -> SourcePlan:
    """Read the answer about a whole file of `size_bytes`.

    Raises:
        SourceError: if it makes no sense, or names more than such a file can need.
    """
    try:
        if stated["offset_into_first_range"] != 0 or len(stated["terms"]) > MAX_TERMS:
            raise ValueError("it does not begin with the file, or has too many parts")
        terms = tuple(_term(row) for row in stated["terms"])
        ranges = {
            _hash(name): tuple(sorted((_range(_hash(name), row) for row in rows), key=lambda each: each.first))
            for name, rows in stated["fetch_info"].items()
        }
        if sum(map(len, ranges.values())) > MAX_TERMS:
            raise ValueError("too many ranges")
    except (KeyError, TypeError, ValueError, AttributeError, HashTextError) as error:
        raise SourceError(f"it does not say how a large file is put together: {error}", place=place) from error
    if sum(term.raw_bytes for term in terms) != size_bytes:
        raise SourceError(f"the parts that it names do not have the {size_bytes:,} bytes of the file", place=place)
    if sum(term.end - term.first for term in terms) > MAX_FILE_CHUNKS:
        raise SourceError(f"a file of more than {MAX_FILE_CHUNKS:,} chunks", place=place)
    return SourcePlan(terms, ranges)


def check_fetched(ranges: Iterable[SourceRange], *, size_bytes: int, place: str) -> None:
    """Raise `SourceError` if these ranges are far more than a file of `size_bytes` can need."""
    if sum(each.stop - each.start for each in ranges) > 2 * size_bytes + _SLACK_BYTES:
        raise SourceError(f"it would send far more than the {size_bytes:,} bytes of the file", place=place)


def _term(row: Mapping[str, Any]) -> SourceTerm:
    first, end = _chunks(row["range"])
    raw = _number(row["unpacked_length"], most=(end - first) * MAX_CHUNK_BYTES)
    if raw < end - first:
        raise ValueError("a part is shorter than its chunks are many")
    return SourceTerm(_hash(row["hash"]), first, end, raw)


def _range(xorb: str, row: Mapping[str, Any]) -> SourceRange:
    first, end = _chunks(row["range"])
    start = _number(row["url_range"]["start"], most=MAX_XORB_BYTES)
    stop = _number(row["url_range"]["end"], most=MAX_XORB_BYTES) + 1
    url = row["url"]
    if not isinstance(url, str) or len(url) > MAX_URL_CHARACTERS:
        raise ValueError("an address that is none")
    if stop - start < (end - first) * (HEADER_BYTES + 1) or stop > MAX_XORB_BYTES:
        raise ValueError("a range that its chunks do not fit")
    return SourceRange(xorb, first, end, url, start, stop)


def _chunks(stated: Mapping[str, Any]) -> tuple[int, int]:
    first, end = _number(stated["start"], most=MAX_XORB_CHUNKS), _number(stated["end"], most=MAX_XORB_CHUNKS)
    if first >= end:
        raise ValueError("a part without chunks")
    return first, end


def _number(value: Any, *, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError("a number out of bounds")
    return value


def _hash(text: Any) -> str:
    return to_hex(from_hex(text if isinstance(text, str) else ""))
