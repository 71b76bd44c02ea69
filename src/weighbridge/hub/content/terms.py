"""What a large file is made of: runs of chunks of xorbs, as values and packed for a row."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from weighbridge.errors import HubError
from weighbridge.hub.xet.merkle import HASH_BYTES, from_hex, to_hex

_FORM: Final = 1
_HEAD: Final = struct.Struct("<BII")


class ContentError(HubError):
    """The database says of a file what cannot be. `place` names it."""

    hint = "Run `weighbridge hub verify`: it names what is damaged and which revisions it touches."


@dataclass(frozen=True, slots=True)
class Term:
    """A run of chunks of one xorb, which is a stretch of a file.

    Attributes:
        xorb: its hash.
        first_chunk: counted from 0 in the xorb.
        end_chunk: the first chunk that is no longer part of it.
        raw_bytes: length of the stretch.
    """

    xorb: str
    first_chunk: int
    end_chunk: int
    raw_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A large file.

    Attributes:
        sha256: of its bytes.
        xet_hash: of its chunks.
        size_bytes: of the file.
        terms: what it is made of, in order; none if it is empty.
    """

    sha256: str
    xet_hash: str
    size_bytes: int
    terms: tuple[Term, ...]

    @property
    def xorbs(self) -> frozenset[str]:
        """The xorbs that it needs."""
        return frozenset(term.xorb for term in self.terms)


def pack_terms(terms: Sequence[Term]) -> bytes:
    """Return the terms as bytes: the xorbs' hashes once each, then four 32-bit numbers a term."""
    xorbs = {name: at for at, name in enumerate(dict.fromkeys(term.xorb for term in terms))}
    rows = np.array([(xorbs[t.xorb], t.first_chunk, t.end_chunk, t.raw_bytes) for t in terms], dtype="<u4")
    return _HEAD.pack(_FORM, len(xorbs), len(terms)) + b"".join(from_hex(name) for name in xorbs) + rows.tobytes()


def unpack_terms(data: bytes) -> tuple[Term, ...]:
    """Return the terms that `pack_terms` wrote.

    Raises:
        ContentError: for anything else.
    """
    form, xorb_count, term_count = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (0, 0, 0)
    start = _HEAD.size + xorb_count * HASH_BYTES
    if form != _FORM or len(data) != start + term_count * 16:
        raise ContentError("the list of a file's chunks cannot be read")
    names = tuple(to_hex(data[at : at + HASH_BYTES]) for at in range(_HEAD.size, start, HASH_BYTES))
    rows = np.frombuffer(data, dtype="<u4", offset=start).reshape(-1, 4)
    if len(rows) and int(rows[:, 0].max()) >= xorb_count:
        raise ContentError("the list of a file's chunks cannot be read")
    return tuple(Term(names[at], first, end, size) for at, first, end, size in rows.tolist())
