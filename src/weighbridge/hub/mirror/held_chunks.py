"""Which chunks of the source's xorbs are here, and where.

An answer of the source names chunks by its own xorbs and their numbers, never by their hashes. They are found here

* where a xorb of the same name was brought into the repository whole,
* by a file that the repository holds already: the source says how *it* puts that file together, and the same file has
  the same chunks here and there, one by one,
* among what was fetched a moment ago, or is being fetched.

Only what the repository itself holds is looked at: a source that names the chunks of somebody else's file must send
them. Whatever is found is a guess until the whole file has its Xet hash and its SHA-256: a source that lies only makes
a file that is refused.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weighbridge.hub.content.terms import Term
from weighbridge.hub.mirror.source_plan import SourceTerm
from weighbridge.hub.xet.xorb import MAX_XORB_CHUNKS

MAX_CHUNKS: Final = 16 * 1024 * 1024
"""So many chunks are known at once at most: 128 MiB, for a terabyte of files."""

_SHIFT: Final = 14
# For each chunk: where it is (0 and more), that nothing is known of it, or which job will bring it (-2 and less).
_UNKNOWN: Final = -1


class Run(NamedTuple):
    """Chunks that lie one behind the other in a xorb here."""

    xorb: str
    first: int
    end: int


class HeldChunks:
    """Maps chunks of the source's xorbs to chunks of xorbs here. Not for several threads at once."""

    def __init__(self) -> None:
        self._places: dict[str, NDArray[np.int64]] = {}
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._room = MAX_CHUNKS

    def learn(self, xorb: str, first: int, runs: Iterable[Run]) -> None:
        """Know that the source's chunks from `first` on are these, one after another."""
        where = np.concatenate([np.zeros(0, np.int64), *map(self._codes, runs)])
        end = min(first + len(where), MAX_XORB_CHUNKS)
        held = self._room_for(xorb, end)
        if held is not None:
            held[first:end] = where[: end - first]

    def expect(self, xorb: str, first: int, end: int, job: int) -> None:
        """Know that a job will bring those of these chunks of which nothing is known yet."""
        held = self._room_for(xorb, end)
        if held is not None:
            part = held[first:end]
            part[part == _UNKNOWN] = _code_of(job)

    def forget(self, xorb: str, first: int, end: int, job: int) -> None:
        """Know no more that the job will bring them."""
        part = self._places.get(xorb, np.zeros(0, np.int64))[first:end]
        part[part == _code_of(job)] = _UNKNOWN

    def learn_file(self, terms: Iterable[SourceTerm], here: Iterable[Term]) -> bool:
        """Know the chunks of a file that is here, by how the source and this hub put it together.

        Returns whether they can be the same file: they have equally many chunks.
        """
        stated, runs = list(terms), [Run(term.xorb, term.first_chunk, term.end_chunk) for term in here]
        if sum(t.end - t.first for t in stated) != sum(run.end - run.first for run in runs):
            return False
        waiting = iter(runs)
        rest: Run | None = None
        for term in stated:
            needed, found = term.end - term.first, []
            while needed:
                run = rest or next(waiting)
                part = Run(run.xorb, run.first, min(run.end, run.first + needed))
                rest = Run(run.xorb, part.end, run.end) if part.end < run.end else None
                needed -= part.end - part.first
                found.append(part)
            self.learn(term.xorb, term.first, found)
        return True

    def knows(self, xorb: str, first: int, end: int) -> bool:
        """Whether all these chunks are here."""
        held = self._places.get(xorb)
        return held is not None and len(held) >= end and bool((held[first:end] > _UNKNOWN).all())

    def jobs(self, xorb: str, first: int, end: int) -> frozenset[int] | None:
        """Return the jobs that bring what is not here of these chunks; None if of some nothing is known."""
        held = self._places.get(xorb)
        if held is None or len(held) < end or bool((held[first:end] == _UNKNOWN).any()):
            return None
        codes = held[first:end]
        return frozenset(_code_of(code) for code in np.unique(codes[codes < _UNKNOWN]).tolist())

    def find(self, xorb: str, first: int, end: int) -> Iterator[Run]:
        """Yield where chunks that it `knows` are."""
        codes = self._places[xorb][first:end]
        cuts = (np.flatnonzero(np.diff(codes) != 1) + 1).tolist()
        for start, stop in zip([0, *cuts], [*cuts, len(codes)], strict=True):
            number, chunk = divmod(int(codes[start]), 1 << _SHIFT)
            yield Run(self._names[number], chunk, chunk + stop - start)

    def _room_for(self, xorb: str, end: int) -> NDArray[np.int64] | None:
        """Return what is known of a xorb, long enough; None if that would be too much to keep."""
        held = self._places.get(xorb, np.zeros(0, np.int64))
        more = end - len(held)
        if more <= 0:
            return held
        if more > self._room:
            return None
        self._room -= more
        grown = self._places[xorb] = np.concatenate([held, np.full(more, _UNKNOWN, dtype=np.int64)])
        return grown

    def _codes(self, run: Run) -> NDArray[np.int64]:
        number = self._numbers.get(run.xorb)
        if number is None:
            number = self._numbers[run.xorb] = len(self._names)
            self._names.append(run.xorb)
        return (number << _SHIFT) + np.arange(run.first, run.end, dtype=np.int64)


def _code_of(job: int) -> int:
    """Return what stands for a job, and for that the job again."""
    return -2 - job
