"""Finds verbatim copies of sampled byte regions at any alignment, at a small part of the cost of hashing.

Method: a rolling comparison at every byte would cost as much as hashing several times over. Instead, each region of
72 bytes gives the `8 * step` words of 8 bytes that start in it one after another, and a scan looks only at one in
`step` of the aligned words of a file. Wherever a copy of the region lies, exactly one of its words falls on that
lattice. This is the sampling argument of winnowing (Schleimer, Wilkerson and Aiken, SIGMOD 2003), turned around: the
sought side is dense and the searched side is sparse, so the cost of the scan falls with `step`.
"""

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]

REGION_BYTES = 72
"""Length of a region; a copy counts only where all of it matches."""

MAX_REGIONS = 1 << 18
MAX_ANCHORS = 1 << 21
_MIN_DISTINCT = 4
_HITS_AT_ONCE = 4096
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_FURTHER_MULTIPLIER = np.uint64(0xC2B2AE3D27D4EB4F)
_MASK_SHIFT = np.uint64(34)
_MASK_PICK = np.uint64(1023)
# 3 distinct bits of 64: a first one, one 1 to 31 places on, one 34 to 49 places on.
_MASKS = np.array(
    [
        1 << first | 1 << (first + 1 + 2 * n) % 64 | 1 << (first + 34 + n * 5 % 16) % 64
        for n in range(16)
        for first in range(64)
    ],
    dtype=np.uint64,
)

# Odd, one for each of the nine words of a region: powers of one odd number modulo 2**64.
_FINGERPRINT_MULTIPLIERS = np.array([pow(0x9E3779B97F4A7C15, n, 1 << 64) for n in range(1, 10)], dtype=np.uint64)


def is_diverse(rows: Bytes) -> npt.NDArray[np.bool_]:
    """Say for each row (n, length >= 8) whether every 8 consecutive bytes of it hold at least 4 distinct values.

    Runs of zeros, short cycles and small integers fail: they occur everywhere and would prove nothing.
    """
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(rows, 8, axis=1), axis=2)
    distinct = (windows[:, :, 1:] != windows[:, :, :-1]).sum(axis=2, dtype=np.uint8)
    return np.asarray((distinct >= _MIN_DISTINCT - 1).all(axis=1))


def aligned(data: Bytes) -> Bytes:
    """Return `data` (n,) itself if its memory starts on an 8-byte boundary, otherwise a copy that does."""
    return data if data.__array_interface__["data"][0] % 8 == 0 else data.copy()


def gather(data: Bytes, starts: Positions, length: int) -> Bytes:
    """Return the windows `data[start:start + length]` as rows (n, length)."""
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(data, length)[starts])


class WordFilter:
    """A set of words behind a Bloom filter: says quickly where a word may be in the set.

    The filter is blocked (Putze, Sanders and Singler, 2007): a word sets 3 bits of one 64-bit line, so that a look-up
    costs one access to memory. About one word in 100 that is not in the set passes; a table and a search decide.
    """

    def __init__(self, words: Words) -> None:
        """Keep the distinct `words`, in order, as `self.words`."""
        self.words: Words = np.unique(words)
        lines = min(18, max(10, (len(self.words) // 5).bit_length()))
        self._shift = np.uint64(64 - lines)
        hashed = self.words * _MULTIPLIER
        self._lines = np.zeros(1 << lines, dtype=np.uint64)
        masks = _MASKS[(hashed >> _MASK_SHIFT) & _MASK_PICK]
        np.bitwise_or.at(self._lines, (hashed >> self._shift).astype(np.int64), masks)
        self._further_shift = np.uint64(64 - (lines + 4))
        self._further = np.zeros(1 << (lines + 4), dtype=np.bool_)
        self._further[(self.words * _FURTHER_MULTIPLIER) >> self._further_shift] = True
        self._local = threading.local()

    @property
    def size_bytes(self) -> int:
        """Memory that the tables take."""
        return self.words.nbytes + self._lines.nbytes + self._further.nbytes

    def among(self, words: Words) -> tuple[Positions, Positions]:
        """Return where in `words` (any stride) a member stands, and which member (index into `self.words`)."""
        if not len(words) or not len(self.words):
            return _NONE, _NONE
        hashed, line, mask, passed = self._scratch(len(words))
        np.multiply(words, _MULTIPLIER, out=hashed)
        np.right_shift(hashed, self._shift, out=mask)
        np.take(self._lines, mask.view(np.int64), mode="clip", out=line)
        np.right_shift(hashed, _MASK_SHIFT, out=hashed)
        np.bitwise_and(hashed, _MASK_PICK, out=hashed)
        np.take(_MASKS, hashed.view(np.int64), mode="clip", out=mask)
        np.bitwise_and(line, mask, out=line)
        np.equal(line, mask, out=passed)
        where = np.flatnonzero(passed)
        return self.exactly(words[where], where)

    def exactly(self, found: Words, where: Positions) -> tuple[Positions, Positions]:
        """Keep those of the words `found` (at positions `where`) that are in the set; return positions and members."""
        keep = self._further[(found * _FURTHER_MULTIPLIER) >> self._further_shift]
        where, found = where[keep], found[keep]
        if not len(self.words):
            return _NONE, _NONE
        member = np.minimum(np.searchsorted(self.words, found), len(self.words) - 1)
        keep = self.words[member] == found
        return where[keep], member[keep]

    def _scratch(self, length: int) -> tuple[Words, Words, Words, npt.NDArray[np.bool_]]:
        """Buffers of this thread: allocating them anew for every block would fault their pages in again."""
        held: tuple[Words, ...] | None = getattr(self._local, "scratch", None)
        if held is None or len(held[0]) < length:
            held = tuple(np.empty(length, np.uint64) for _ in range(4))
            self._local.scratch = held
        first, second, third, flags = (buffer[:length] for buffer in held)
        return first, second, third, flags.view(np.bool_)[:length]


_NONE: Positions = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class RegionHits:
    """Where regions were found: `starts[i]` (byte position) is a copy of region `regions[i]`."""

    starts: Positions
    regions: Positions


class AnchorTable:
    """The words of a set of regions, ready to scan blocks. Safe to use from several threads."""

    def __init__(self, regions: Bytes, *, most_anchors: int = MAX_ANCHORS) -> None:
        """Index `regions`, rows (n, 72) of diverse bytes. Equal rows count as one: the first is reported.

        The lattice is the coarsest (8, 4, 2 or 1 words) that needs no more than `most_anchors`.

        Raises:
            ValueError: if there are more than `MAX_REGIONS`.
        """
        if len(regions) > MAX_REGIONS:
            raise ValueError(f"at most {MAX_REGIONS} regions, not {len(regions)}")
        self.step = next(step for step in (8, 4, 2, 1) if 8 * step * len(regions) <= most_anchors or step == 1)
        self._regions = np.ascontiguousarray(regions)
        prints, self._first = np.unique(_fingerprints(self._regions), return_index=True)
        self._prints: Words = prints
        words, shifts = _anchors(self._regions[self._first], 8 * self.step)
        self._filter = WordFilter(words)
        self._begin = np.append(np.searchsorted(words, self._filter.words), len(words))
        self._shifts = shifts

    @property
    def anchors(self) -> int:
        """How many pairs of word and position in a region are searched for."""
        return len(self._shifts)

    @property
    def size_bytes(self) -> int:
        """Memory that regions, words and tables take."""
        held = (self._regions, self._first, self._prints, self._begin, self._shifts)
        return self._filter.size_bytes + sum(array.nbytes for array in held)

    def find(self, data: Bytes) -> RegionHits:
        """Find every copy of a region that lies wholly inside `data`, whose memory must be `aligned`."""
        if len(data) < REGION_BYTES or not len(self._regions):
            return RegionHits(_NONE, _NONE)
        words = data[: len(data) // 8 * 8].view(np.uint64)[:: self.step]
        where, member = self._filter.among(words)
        if not len(where):
            return RegionHits(_NONE, _NONE)
        parts = [
            self._verify(data, where[i : i + _HITS_AT_ONCE], member[i : i + _HITS_AT_ONCE])
            for i in range(0, len(where), _HITS_AT_ONCE)
        ]
        return RegionHits(
            np.concatenate([part.starts for part in parts]), np.concatenate([part.regions for part in parts])
        )

    def _verify(self, data: Bytes, where: Positions, member: Positions) -> RegionHits:
        """Compare whole regions. The work a hit is bounded by the number of shifts, not by that of regions."""
        index, counts = expand(self._begin[member], self._begin[member + 1])
        starts = np.repeat(where * (8 * self.step), counts) - self._shifts[index]
        starts = np.unique(starts)
        starts = starts[(starts >= 0) & (starts <= len(data) - REGION_BYTES)]
        windows = gather(data, starts, REGION_BYTES)
        prints = _fingerprints(windows)
        near = np.minimum(np.searchsorted(self._prints, prints), len(self._prints) - 1)
        region = self._first[near]
        same = (self._prints[near] == prints) & (self._regions[region] == windows).all(axis=1)
        return RegionHits(starts[same], region[same])


def expand(begin: Positions, end: Positions) -> tuple[Positions, Positions]:
    """Return the concatenation of the ranges `[begin[i], end[i])`, and the length of each."""
    counts = end - begin
    before = np.cumsum(counts) - counts
    return np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(before - begin, counts), counts


def _fingerprints(rows: Bytes) -> Words:
    """Hash rows (n, 72) to 64 bits each; only ever a shortcut to an exact comparison."""
    mixed = rows.view(np.uint64) * _FINGERPRINT_MULTIPLIERS
    return np.asarray(np.bitwise_xor.reduce(mixed ^ (mixed >> np.uint64(29)), axis=1))


def _anchors(regions: Bytes, count: int) -> tuple[Words, npt.NDArray[np.uint8]]:
    """Return pairs of (word, its position in the region), sorted by word; equal pairs are mostly dropped."""
    if not len(regions):
        return np.empty(0, np.uint64), np.empty(0, np.uint8)
    words = np.concatenate([np.ascontiguousarray(regions[:, i : i + 8]).view(np.uint64)[:, 0] for i in range(count)])
    shifts = np.repeat(np.arange(count, dtype=np.uint8), len(regions))
    order = np.argsort(words)
    words, shifts = words[order], shifts[order]
    fresh = np.ones(len(words), dtype=np.bool_)
    fresh[1:] = (words[1:] != words[:-1]) | (shifts[1:] != shifts[:-1])
    return words[fresh], shifts[fresh]
