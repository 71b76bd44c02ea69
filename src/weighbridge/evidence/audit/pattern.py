"""Finds many exact byte strings at any alignment without looking at every byte of a weight file.

A string of 15 bytes or more covers an aligned word of 8 bytes wherever it lies, one of 7 or more an aligned word of 4.
Nearly all that is sought is ASCII and nearly all that is searched is weights, so a few vector operations that ask
"can all bytes of this word belong to a sought string?" discard more than nine words in ten before anything is looked
up. Words that remain are looked up exactly, and only then are whole strings compared.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from weighbridge.evidence.audit.anchors import Bytes, Positions, WordFilter, expand, gather

MIN_PATTERN_BYTES = 6
MAX_PATTERN_BYTES = 1024
_WIDE_FROM = 15
_NARROW_FROM = 7
_EXPAND_AT_ONCE = 1 << 16
_TOP_BITS = 0x8080808080808080
_ONES = 0x01010101


class _Index:
    """Which words of `width` bytes to look for, and which patterns each may belong to, at which distance."""

    def __init__(self, patterns: Sequence[bytes], members: Sequence[int], width: int, phases: int) -> None:
        usage = Counter(
            patterns[member][at : at + width] for member in members for at in range(len(patterns[member]) - width + 1)
        )
        rows = [
            (_rarest(patterns[member], width, phase, phases, usage), member)
            for member in members
            for phase in range(phases)
        ]
        words = np.array([int.from_bytes(patterns[m][at : at + width], "little") for at, m in rows], dtype=np.uint64)
        order = np.argsort(words, kind="stable")
        self.width = width
        self.deltas = np.array([rows[i][0] for i in order], dtype=np.int64)
        self.members = np.array([rows[i][1] for i in order], dtype=np.int64)
        self.filter = WordFilter(words)
        self._begin = np.append(np.searchsorted(words[order], self.filter.words), len(words))
        used = b"".join(patterns[m][at : at + width] for at, m in rows)
        self.low, self.high = (min(used), max(used)) if used else (127, 0)

    def __bool__(self) -> bool:
        return bool(len(self.members))

    @property
    def ascii(self) -> bool:
        """Whether every byte of every sought word is ASCII."""
        return self.high < 128

    def candidates(self, where: Positions, word: Positions) -> Iterator[tuple[Positions, Positions]]:
        """Yield (start, pattern) for words found at the byte positions `where`, a bounded number at a time."""
        counts = self._begin[word + 1] - self._begin[word]
        groups = (np.cumsum(counts) // _EXPAND_AT_ONCE) if len(counts) else counts
        for group in np.unique(groups):
            chosen = groups == group
            index, repeats = expand(self._begin[word[chosen]], self._begin[word[chosen] + 1])
            yield np.repeat(where[chosen], repeats) - self.deltas[index], self.members[index]


def _rarest(pattern: bytes, width: int, phase: int, phases: int, usage: Counter[bytes]) -> int:
    """Choose which word of the pattern stands for a phase: plain ASCII, shared by few patterns, of many values."""
    return min(
        range(phase, len(pattern) - width + 1, phases),
        key=lambda at: (
            not pattern[at : at + width].isascii(),
            usage[pattern[at : at + width]],
            -len(set(pattern[at : at + width])),
        ),
    )


class PatternTable:
    """A set of byte strings of 6 to 1024 bytes, ready to scan blocks. Safe to use from several threads."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        """Index `patterns`.

        Raises:
            ValueError: if one is shorter or longer than can be searched.
        """
        if any(not MIN_PATTERN_BYTES <= len(pattern) <= MAX_PATTERN_BYTES for pattern in patterns):
            raise ValueError(f"patterns must have {MIN_PATTERN_BYTES} to {MAX_PATTERN_BYTES} bytes")
        self._patterns = tuple(patterns)
        wide = [i for i, pattern in enumerate(patterns) if len(pattern) >= _WIDE_FROM]
        narrow = [i for i, pattern in enumerate(patterns) if len(pattern) < _WIDE_FROM]
        shortest = min((len(patterns[i]) for i in narrow), default=_NARROW_FROM)
        self._grid = 4 if shortest >= _NARROW_FROM else 2
        self._wide = _Index(patterns, wide, 8, 8)
        self._narrow = _Index(patterns, narrow, 4, self._grid)
        self._lengths = np.array([len(pattern) for pattern in patterns], dtype=np.int64)
        self._heads = _edge(patterns, slice(None, 4))
        self._tails = _edge(patterns, slice(-4, None))
        self._local = threading.local()

    @property
    def size_bytes(self) -> int:
        """Memory that words and tables take, without the patterns themselves."""
        return sum(
            index.filter.size_bytes + index.deltas.nbytes + index.members.nbytes for index in (self._wide, self._narrow)
        )

    def find(self, data: Bytes) -> list[tuple[int, int]]:
        """Return (start, index of the pattern) of every occurrence wholly inside `data` (its memory `aligned`)."""
        if not self._patterns:
            return []
        whole = data[: len(data) // 8 * 8].view(np.uint64)
        if not self._narrow:
            hits = self._wide_hits(data, whole, self._plausible_wide(whole) if self._wide.ascii else None)
        elif not (self._wide.ascii and self._narrow.ascii):
            hits = self._wide_hits(data, whole, None)
            for phase in range(0, 4, self._grid):
                hits += self._narrow_hits(data, phase, None)
        else:
            plausible = self._plausible(data)
            # A wide word is plausible where both its halves are.
            first = plausible[:-1][(plausible[:-1] % 2 == 0) & (np.diff(plausible) == 1)]
            hits = self._wide_hits(data, whole, first // 2)
            hits += self._narrow_hits(data, 0, plausible)
            if self._grid == 2:
                hits += self._narrow_hits(data, 2, self._plausible(data[2:]))
        return sorted(set(hits))

    def _wide_hits(self, data: Bytes, view: npt.NDArray[np.uint64], where: Positions | None) -> list[tuple[int, int]]:
        if not self._wide or not len(view):
            return []
        found = self._wide.filter.among(view) if where is None else self._wide.filter.exactly(view[where], where)
        return self._hits(data, self._wide, found[0] * 8, found[1])

    def _narrow_hits(self, data: Bytes, phase: int, where: Positions | None) -> list[tuple[int, int]]:
        part = data[phase:]
        view = part[: len(part) // 4 * 4].view(np.uint32)
        if where is None:
            found = self._narrow.filter.among(view.astype(np.uint64))
        else:
            found = self._narrow.filter.exactly(view[where].astype(np.uint64), where)
        return self._hits(data, self._narrow, found[0] * 4 + phase, found[1])

    def _hits(self, data: Bytes, index: _Index, where: Positions, word: Positions) -> list[tuple[int, int]]:
        return [hit for pair in index.candidates(where, word) for hit in self._verify(data, *pair)]

    def _plausible_wide(self, view: npt.NDArray[np.uint64]) -> Positions:
        """Return which words are all ASCII: one in 256 of random ones."""
        masked, _, verdict = self._scratch(view.nbytes)
        words = masked[: view.nbytes].view(np.uint64)
        np.bitwise_and(view, np.uint64(_TOP_BITS), out=words)
        np.equal(words, np.uint64(0), out=verdict[: len(view)])
        return np.flatnonzero(verdict[: len(view)])

    def _plausible(self, data: Bytes) -> Positions:
        """Return which words of 4 bytes have every byte in [low, high], the range of all bytes of sought words.

        Per byte, `b - low` or `b + 127 - high` has its top bit set exactly where b is outside; borrows and carries
        arise only from bytes that are outside themselves, so they spoil nothing.
        """
        low, high = min(self._wide.low, self._narrow.low), max(self._wide.high, self._narrow.high)
        view = data[: len(data) // 4 * 4].view(np.uint32)
        below, above, verdict = self._scratch(view.nbytes)
        under, over, inside = (
            below[: view.nbytes].view(np.uint32),
            above[: view.nbytes].view(np.uint32),
            verdict[: len(view)],
        )
        np.subtract(view, np.uint32(_ONES * low), out=under)
        np.add(view, np.uint32(_ONES * (127 - high)), out=over)
        np.bitwise_or(under, over, out=under)
        np.bitwise_and(under, np.uint32(_TOP_BITS & 0xFFFFFFFF), out=under)
        np.equal(under, np.uint32(0), out=inside)
        return np.flatnonzero(inside)

    def _verify(self, data: Bytes, starts: Positions, members: Positions) -> list[tuple[int, int]]:
        lengths = self._lengths[members]
        inside = (starts >= 0) & (starts + lengths <= len(data))
        starts, members, lengths = starts[inside], members[inside], lengths[inside]
        if not len(starts):
            return []
        same = gather(data, starts, 4).view(np.uint32)[:, 0] == self._heads[members]
        starts, members, lengths = starts[same], members[same], lengths[same]
        same = gather(data, starts + lengths - 4, 4).view(np.uint32)[:, 0] == self._tails[members]
        return [
            (start, member)
            for start, member, length in zip(
                starts[same].tolist(), members[same].tolist(), lengths[same].tolist(), strict=True
            )
            if data[start : start + length].tobytes() == self._patterns[member]
        ]

    def _scratch(self, size: int) -> tuple[Bytes, Bytes, npt.NDArray[np.bool_]]:
        held: tuple[Bytes, Bytes, npt.NDArray[np.bool_]] | None = getattr(self._local, "scratch", None)
        if held is None or len(held[0]) < size:
            whole = -(-size // 8) * 8
            held = (np.empty(whole, np.uint8), np.empty(whole, np.uint8), np.empty(whole // 4, np.bool_))
            self._local.scratch = held
        return held


def _edge(patterns: Sequence[bytes], part: slice) -> npt.NDArray[np.uint32]:
    return np.array([int.from_bytes(pattern[part], "little") for pattern in patterns], dtype=np.uint32)
