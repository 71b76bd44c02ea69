"""The bytes of a large file, put together from its chunks, each verified on its way."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from weighbridge.hub.content.ahead import ahead
from weighbridge.hub.content.content import Content, ContentError, Term
from weighbridge.hub.database.schema import xorb
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.xorb import XorbIndex, decode_chunks

PIECE_BYTES = 4 * 1024 * 1024
"""How much is decoded at once: a block of what `blocks` yields is about as large."""

_AHEAD = 2


class _Piece(NamedTuple):
    """Chunks that lie one behind the other in one xorb, and which of their bytes are wanted."""

    key: str
    xorb: XorbIndex
    first: int
    end: int
    skip: int
    take: int


def blocks(hub: HubServer, content: Content, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the bytes from `start` up to, not including, `end` (the file's end without one).

    Only the chunks that are needed are read. While one block is used, the next ones are fetched: about 20 MiB a reader.

    Raises:
        XorbError: if bytes of the store are not what they were.
        ByteStoreError: if the store fails.
    """
    stop = content.size_bytes if end is None else min(end, content.size_bytes)
    jobs = (partial(_decoded, hub, piece) for piece in _pieces(hub, content, start, stop))
    yield from ahead(_pool(), jobs, depth=_AHEAD)


def whole_file(hub: HubServer, content: Content) -> Path | None:
    """Return a local file that holds the content, made now if it is not there; None if the cache cannot hold it.

    The file may leave the cache at any time: open it at once, and call again if it is gone.

    Raises:
        XorbError, DigestMismatchError: if bytes of the store are not what they were.
        ByteStoreError: if the store or the disk fails.
    """
    found = hub.cache.path(content.sha256)
    if found is not None or not hub.cache.fits(content.size_bytes):
        return found
    with _one_at_a_time(content.sha256):
        found = hub.cache.path(content.sha256)
        if found is None:
            with hub.cache.writer(content.sha256, content.size_bytes) as writer:
                for block in blocks(hub, content):
                    writer.write(block)
            found = hub.cache.path(content.sha256)
    return found


class _Turn:
    """A lock that knows how many want it, so that it is forgotten after the last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = 0


_TURNS: dict[str, _Turn] = {}
_TURNS_LOCK = threading.Lock()


class _one_at_a_time:  # noqa: N801 - it reads as a statement
    def __init__(self, sha256: str) -> None:
        self._sha256 = sha256

    def __enter__(self) -> None:
        with _TURNS_LOCK:
            turn = _TURNS.setdefault(self._sha256, _Turn())
            turn.wanted += 1
        turn.lock.acquire()

    def __exit__(self, *_: object) -> None:
        with _TURNS_LOCK:
            turn = _TURNS[self._sha256]
            turn.wanted -= 1
            if not turn.wanted:
                with suppress(KeyError):
                    del _TURNS[self._sha256]
        turn.lock.release()


@cache
def _pool() -> ThreadPoolExecutor:
    # Made when first used: the processes of a server are forked before.
    return ThreadPoolExecutor(4, thread_name_prefix="hub-read")


def _decoded(hub: HubServer, piece: _Piece) -> bytes:
    low, high = piece.xorb.byte_range(piece.first, piece.end)
    raw = decode_chunks(hub.store.read_range(piece.key, low, high), index=piece.xorb, first=piece.first)
    return raw if piece.skip == 0 and piece.take == len(raw) else raw[piece.skip : piece.skip + piece.take]


def _pieces(hub: HubServer, content: Content, start: int, stop: int) -> Iterator[_Piece]:
    at = 0
    last: tuple[str, str, XorbIndex] | None = None
    for term in content.terms:
        low, high = max(start, at) - at, min(stop, at + term.raw_bytes) - at
        at += term.raw_bytes
        if low >= high:
            continue
        if last is None or last[0] != term.xorb:
            last = (term.xorb, *_stored(hub, content, term.xorb))
        yield from _cut(last[1], last[2], term, low, high)


def _cut(key: str, index: XorbIndex, term: Term, low: int, high: int) -> Iterator[_Piece]:
    """Cut the bytes `[low, high)` of a term into pieces of whole chunks."""
    offset, first, skipped, held = 0, term.first_chunk, 0, 0
    lengths = index.raw_lengths_of(term.first_chunk, term.end_chunk).tolist()
    for chunk, length in enumerate(lengths, term.first_chunk):
        if offset + length <= low:
            offset += length
            first, skipped = chunk + 1, offset
            continue
        offset += length
        held += length
        is_last = offset >= high
        if held >= PIECE_BYTES or is_last:
            skip = max(low - skipped, 0)
            take = min(high, offset) - skipped - skip
            yield _Piece(key, index, first, chunk + 1, skip, take)
            first, skipped, held = chunk + 1, offset, 0
        if is_last:
            return


def _stored(hub: HubServer, content: Content, name: str) -> tuple[str, XorbIndex]:
    with hub.database.read() as connection:
        row = connection.execute(select(xorb.c.key, xorb.c.chunks).where(xorb.c.hash == name)).one_or_none()
    if row is None:
        raise ContentError(f"its xorb {name} is not there", place=content.sha256)
    return row.key, XorbIndex.from_bytes(row.chunks)
