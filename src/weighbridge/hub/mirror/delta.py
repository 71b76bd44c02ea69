"""Which chunks of some files another hub lacks, how they are packed for it, and what the files are made of there.

A xorb that the other hub has by the same hash is used as it is. Of the others, chunks that it has in any xorb are
referred to there; what is left is sent, a whole xorb where all its chunks are needed, else its needed chunks copied,
packed as they are, into new xorbs: so nothing is sent that belongs to other files.

Memory: about 50 bytes a chunk of the files whose xorbs the other hub lacks, some 1 MB for 1.3 GB of files.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from weighbridge.hub.content.terms import Content, Term
from weighbridge.hub.mirror.inventory import HeldXorb
from weighbridge.hub.xet.chunk import HEADER_BYTES
from weighbridge.hub.xet.merkle import HASH_BYTES, to_hex, xorb_hash
from weighbridge.hub.xet.xorb import MAX_XORB_CHUNKS, XorbIndex

# Raw bytes and headers together, as every writer of xorbs counts: the packed form is never longer.
ROOM_BYTES: Final = 64 * 1024 * 1024
_KEPT_INDEXES: Final = 64
_NOWHERE: Final = -1

Lookup = Callable[[str], XorbIndex]
Inventory = Callable[[], Iterator[HeldXorb]]
Digests = NDArray[np.bytes_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Piece:
    """Chunks `[first, end)` of a xorb of this hub, to be copied as they are stored."""

    xorb: str
    first: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentXorb:
    """A xorb that is sent: its hash, its length, its number of chunks, and what it is copied from."""

    hash: bytes
    size_bytes: int
    chunk_count: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """What is sent, and a function from a file of this hub to the same file as the other one will have it."""

    sent: tuple[SentXorb, ...]
    translate: Callable[[Content], Content]


def plan_delta(contents: Sequence[Content], lookup: Lookup, inventory: Inventory | None) -> Delta:
    """Plan what is sent of some files. The same arguments give the same plan.

    Args:
        contents: the files.
        lookup: the index of a xorb of this hub by its hash.
        inventory: reads from the beginning what the other hub has; None if it has nothing.
    """
    find = lru_cache(maxsize=_KEPT_INDEXES)(lookup)
    used = _used(contents, find)
    same = {name for held in inventory() if (name := to_hex(held.hash)) in used} if inventory else set()
    chunks = _Chunks.of({name: mask for name, mask in used.items() if name not in same}, find)
    if inventory and len(chunks.digests):
        for held in inventory():
            chunks.found_in(held)
    packer = _Packer(chunks, find)
    for name in chunks.sources:
        packer.take(name)
    packer.close()
    return Delta(sent=tuple(packer.sent), translate=lambda content: _translated(content, frozenset(same), chunks, find))


def _used(contents: Iterable[Content], find: Lookup) -> dict[str, NDArray[np.bool_]]:
    """Return for each xorb which of its chunks the files use."""
    used: dict[str, NDArray[np.bool_]] = {}
    for content in contents:
        for term in content.terms:
            if term.xorb not in used:
                used[term.xorb] = np.zeros(len(find(term.xorb)), np.bool_)
            used[term.xorb][term.first_chunk : term.end_chunk] = True
    return used


@dataclass(slots=True, kw_only=True)
class _Chunks:
    """Every chunk that must be found or sent, once, in order of hashes; and where the other hub will have it.

    `source` and `number` say where it lies here (`sources[source]`, chunk `number`), `target` and `place` where it will
    lie there (`targets[target]`, chunk `place`).
    """

    digests: Digests
    sources: tuple[str, ...]
    source: Numbers
    number: Numbers
    target: Numbers
    place: Numbers
    targets: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, used: dict[str, NDArray[np.bool_]], find: Lookup) -> "_Chunks":
        numbers = [np.flatnonzero(mask).astype(np.int64) for mask in used.values()]
        hashes = [_digests(find(name).hashes)[at] for name, at in zip(used, numbers, strict=True)]
        joined = np.concatenate(hashes) if hashes else np.empty(0, f"S{HASH_BYTES}")
        digests, first = np.unique(joined, return_index=True)
        source = np.repeat(np.arange(len(numbers), dtype=np.int64), [len(at) for at in numbers])
        number = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
        nowhere = np.full(len(digests), _NOWHERE, np.int64)
        return cls(
            digests=digests,
            sources=tuple(used),
            source=source[first],
            number=number[first],
            target=nowhere,
            place=nowhere.copy(),
        )

    def at(self, hashes: bytes) -> Numbers:
        """Return the position of each of these joined hashes; whatever is not there gets some position."""
        found = np.searchsorted(self.digests, _digests(hashes)).astype(np.int64)
        return np.minimum(found, np.int64(len(self.digests) - 1))

    def found_in(self, held: HeldXorb) -> None:
        """Note which of the chunks the other hub has in one of its xorbs."""
        at = self.at(held.hashes)
        hit = (self.digests[at] == _digests(held.hashes)) & (self.target[at] == _NOWHERE)
        if hit.any():
            self.target[at[hit]] = len(self.targets)
            self.place[at[hit]] = np.flatnonzero(hit)
            self.targets.append(to_hex(held.hash))


class _Packer:
    """Makes xorbs of the chunks that are nowhere yet."""

    def __init__(self, chunks: _Chunks, find: Lookup) -> None:
        self._chunks = chunks
        self._find = find
        self.sent: list[SentXorb] = []
        order = np.lexsort((chunks.number, chunks.source))
        order = order[chunks.target[order] == _NOWHERE]
        self._starts = np.searchsorted(chunks.source[order], np.arange(len(chunks.sources) + 1))
        self._order = order
        self._next = 0
        self._reset()

    def _reset(self) -> None:
        self._pieces: list[Piece] = []
        self._room = ROOM_BYTES
        self._members: list[int] = []

    def take(self, name: str) -> None:
        """Pack what is needed of the next source xorb."""
        at = self._order[self._starts[self._next] : self._starts[self._next + 1]]
        self._next += 1
        index = self._find(name)
        if len(at) == len(index):
            self._enter(index.hash, at)
            whole = (Piece(name, 0, len(index)),)
            self._send(index.hash, index.serialised_bytes, len(index), whole)
            return
        lengths = index.raw_lengths.astype(np.int64) + HEADER_BYTES
        for position, number in zip(at.tolist(), self._chunks.number[at].tolist(), strict=True):
            needed = int(lengths[number])
            if needed > self._room or len(self._members) == MAX_XORB_CHUNKS:
                self.close()
            self._add(name, number, position)
            self._room -= needed

    def _add(self, name: str, number: int, position: int) -> None:
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.xorb == name and last.end == number:
            self._pieces[-1] = Piece(name, last.first, number + 1)
        else:
            self._pieces.append(Piece(name, number, number + 1))
        self._members.append(position)

    def close(self) -> None:
        """Close the open xorb, if there is one."""
        if not self._members:
            return
        hashes: list[bytes] = []
        lengths: list[NDArray[Any]] = []
        size = 0
        for piece in self._pieces:
            index = self._find(piece.xorb)
            hashes.append(index.hashes_of(piece.first, piece.end))
            lengths.append(index.raw_lengths_of(piece.first, piece.end))
            start, stop = index.byte_range(piece.first, piece.end)
            size += stop - start
        name = xorb_hash(b"".join(hashes), np.concatenate(lengths))
        self._enter(name, np.array(self._members, np.int64))
        self._send(name, size, len(self._members), tuple(self._pieces))
        self._reset()

    def _enter(self, name: bytes, at: Numbers) -> None:
        self._chunks.target[at] = len(self._chunks.targets)
        self._chunks.place[at] = np.arange(len(at))
        self._chunks.targets.append(to_hex(name))

    def _send(self, name: bytes, size: int, count: int, pieces: tuple[Piece, ...]) -> None:
        self.sent.append(SentXorb(hash=name, size_bytes=size, chunk_count=count, pieces=pieces))


def _translated(content: Content, same: frozenset[str], chunks: _Chunks, find: Lookup) -> Content:
    terms: list[Term] = []
    for term in content.terms:
        for made in (term,) if term.xorb in same else _moved(term, chunks, find(term.xorb)):
            last = terms[-1] if terms else None
            if last is not None and last.xorb == made.xorb and last.end_chunk == made.first_chunk:
                terms[-1] = Term(last.xorb, last.first_chunk, made.end_chunk, last.raw_bytes + made.raw_bytes)
            else:
                terms.append(made)
    return Content(sha256=content.sha256, xet_hash=content.xet_hash, size_bytes=content.size_bytes, terms=tuple(terms))


def _moved(term: Term, chunks: _Chunks, index: XorbIndex) -> Iterator[Term]:
    """Yield a stretch of a file as terms of the xorbs that the other hub will have."""
    at = chunks.at(index.hashes_of(term.first_chunk, term.end_chunk))
    target, place = chunks.target[at], chunks.place[at]
    lengths = index.raw_lengths_of(term.first_chunk, term.end_chunk).astype(np.int64)
    breaks = np.flatnonzero((np.diff(target) != 0) | (np.diff(place) != 1)) + 1
    starts = [0, *breaks.tolist()]
    for start, stop in zip(starts, [*starts[1:], len(at)], strict=True):
        first = int(place[start])
        raw = int(lengths[start:stop].sum())
        yield Term(chunks.targets[int(target[start])], first, first + stop - start, raw)


def _digests(hashes: bytes) -> Digests:
    return np.frombuffer(hashes, dtype=f"S{HASH_BYTES}")
