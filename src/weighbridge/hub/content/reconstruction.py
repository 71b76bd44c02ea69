"""How a file is put together, told to a client: terms, and addresses of exactly the byte ranges that they need.

Answers of versions 1 and 2 as in xet-core's `cas_types`. Every address opens one range, so a client never has to ask
for several in one request, which object stores do not answer.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import Connection, select

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.content import Content, ContentError, Term, owned_by_xet_hash
from weighbridge.hub.content.reach import reaches
from weighbridge.hub.content.xet_token import Bearer, admit, allowed, sign
from weighbridge.hub.content.xorbs import hash_of
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import xorb
from weighbridge.hub.http.refusal import Refusal, bad_request
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.xet.merkle import to_hex
from weighbridge.hub.xet.xorb import XorbIndex

BYTES: Final = "bytes"
_RANGE: Final = re.compile(r"bytes=(\d{1,19})-(\d{1,19})?")
_XORBS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Chunks `[first_chunk, end_chunk)` of a xorb, which lie at bytes `[start, end)` of the object under `key`."""

    xorb: str
    key: str
    first_chunk: int
    end_chunk: int
    start: int
    end: int


def version_1(call: Call) -> Reply:
    """GET …/v1/reconstructions/{hash}."""
    bearer, skipped, terms, fetches = _plan(call)
    info: dict[str, list[dict[str, Any]]] = {}
    for fetch in fetches:
        found = {
            "range": {"start": fetch.first_chunk, "end": fetch.end_chunk},
            "url": address(call, bearer, fetch),
            "url_range": {"start": fetch.start, "end": fetch.end - 1},
        }
        info.setdefault(fetch.xorb, []).append(found)
    return Reply(body={"offset_into_first_range": skipped, "terms": _told(terms), "fetch_info": info})


def version_2(call: Call) -> Reply:
    """GET …/v2/reconstructions/{hash}."""
    bearer, skipped, terms, fetches = _plan(call)
    xorbs: dict[str, list[dict[str, Any]]] = {}
    for fetch in fetches:
        chunks = {"start": fetch.first_chunk, "end": fetch.end_chunk}
        found = {"chunks": chunks, "bytes": {"start": fetch.start, "end": fetch.end - 1}}
        xorbs.setdefault(fetch.xorb, []).append({"url": address(call, bearer, fetch), "ranges": [found]})
    return Reply(body={"offset_into_first_range": skipped, "terms": _told(terms), "xorbs": xorbs})


def address(call: Call, bearer: Bearer, fetch: Fetch) -> str:
    """Return a URL that opens these bytes and no others, for a while: of the store itself, or of this server.

    One of this server's is good for as long as the bearer's token and their permission to read the repository.
    """
    hub = call.hub
    if hub.settings.redirect_downloads:
        direct = hub.store.signed_get(fetch.key, seconds=hub.settings.url_seconds, byte_range=(fetch.start, fetch.end))
        if direct is not None:
            return direct
    expires = hub.now_ms() // 1000 + hub.settings.url_seconds
    by, of = bearer.token.token_id or 0, bearer.repo.id
    signature = sign(hub.secret, BYTES, fetch.key, fetch.start, fetch.end, expires, by, of)
    query = f"range={fetch.start}-{fetch.end - 1}&expires={expires}&by={by}&of={of}&signature={signature}"
    return f"{call.base_url}/cas/{BYTES}/{fetch.key}?{query}"


def _plan(call: Call) -> tuple[Bearer, int, tuple[Term, ...], tuple[Fetch, ...]]:
    name = to_hex(hash_of(call))
    wanted = _range(call.headers.get("Range", ""))
    with call.hub.database.read() as connection:
        bearer = admit(connection, call, upload=False)
        found = _readable(connection, bearer, name)
        if wanted is not None and wanted[0] >= found.size_bytes:
            raise Refusal(416, f"The file has {found.size_bytes} bytes.")
        start, end = wanted or (0, found.size_bytes)
        skipped, terms = _between(found.terms, start, min(end, found.size_bytes))
        return bearer, skipped, terms, tuple(_fetches(connection, terms))


def _readable(connection: Connection, bearer: Bearer, name: str) -> Content:
    found = owned_by_xet_hash(connection, bearer.repo.id, name)
    # Whoever writes here may read all that the repository holds, and so what was just uploaded.
    writes = bearer.token.scope.uploads and allowed(connection, bearer.caller, bearer.repo, Access.WRITE)
    if found is not None and not writes and not reaches(connection, bearer.repo, bearer.token.commit, found):
        found = None
    if found is None:
        raise Refusal(404, "This revision has no such file.")
    return found


def _range(header: str) -> tuple[int, int] | None:
    if not header:
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        raise bad_request("The header Range must name one range of bytes.")
    start, end = int(match[1]), int(match[2]) + 1 if match[2] else 1 << 63
    if start >= end:
        raise bad_request("The header Range must name one range of bytes.")
    return start, end


def _between(terms: tuple[Term, ...], start: int, end: int) -> tuple[int, tuple[Term, ...]]:
    """Return the terms that hold bytes `[start, end)` of the file, and how far into the first of them it begins."""
    begins = accumulate((term.raw_bytes for term in terms), initial=0)
    touched = [
        (begin, term)
        for begin, term in zip(begins, terms, strict=False)
        if begin < end and begin + term.raw_bytes > start
    ]
    return (start - touched[0][0] if touched else 0), tuple(term for _, term in touched)


def _told(terms: Iterable[Term]) -> list[dict[str, Any]]:
    return [
        {
            "hash": term.xorb,
            "unpacked_length": term.raw_bytes,
            "range": {"start": term.first_chunk, "end": term.end_chunk},
        }
        for term in terms
    ]


def _fetches(connection: Connection, terms: tuple[Term, ...]) -> Iterator[Fetch]:
    """Yield what must be fetched, once for all terms that share chunks or lie side by side in a xorb."""
    wanted: dict[str, list[tuple[int, int]]] = {}
    for term in terms:
        wanted.setdefault(term.xorb, []).append((term.first_chunk, term.end_chunk))
    # A few indexes at a time: each is up to 320 KiB.
    for names in batches(wanted, _XORBS_AT_ONCE):
        rows = connection.execute(select(xorb.c.hash, xorb.c.key, xorb.c.chunks).where(xorb.c.hash.in_(names)))
        found = {row.hash: row for row in rows}
        for name in names:
            if name not in found:
                raise ContentError("a xorb of a file is not there", place=name)
            index = XorbIndex.from_bytes(found[name].chunks)
            for first, end in _merged(wanted[name]):
                low, high = index.byte_range(first, end)
                yield Fetch(xorb=name, key=found[name].key, first_chunk=first, end_chunk=end, start=low, end=high)


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first, last = -1, -1
    for start, end in sorted(ranges):
        if start > last:
            if last > first:
                yield first, last
            first, last = start, end
        else:
            last = max(last, end)
    yield first, last
