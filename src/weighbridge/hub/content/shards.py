"""A shard on its way in: every file that it describes is recomputed from bytes that are here, and entered.

A file may use chunks of a xorb that its repository brought, or that the user may read in another one; which chunks, the
shard must prove to know. What is only claimed, the SHA-256, is computed by reading the file's bytes, unless that was
done for the same file before.
"""

import asyncio
import hashlib
import logging
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import IO, Any, Final

import orjson
from aiohttp import web
from sqlalchemy import Connection, select

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.ahead import ahead
from weighbridge.hub.content.content import Content, MissingContentError, Term, add_contents
from weighbridge.hub.content.xet_token import Bearer, admit, allowed, repository_of
from weighbridge.hub.content.xorbs import refused
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import content, content_owner, content_xorb, xorb, xorb_owner
from weighbridge.hub.http.outage import OUTAGES, outage, reason
from weighbridge.hub.http.refusal import Refusal, too_large
from weighbridge.hub.http.route import Call, Stream
from weighbridge.hub.http.stream import document, pour
from weighbridge.hub.repositories.bounded_cache import BoundedCache
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.chunk import Buffer
from weighbridge.hub.xet.errors import ShardError, XetError
from weighbridge.hub.xet.file_check import CheckedFile, check_file, check_xorb
from weighbridge.hub.xet.merkle import to_hex
from weighbridge.hub.xet.shard import MAX_SHARD_BYTES, FileEntry, Shard, read_shard
from weighbridge.hub.xet.xorb import XorbIndex, each_chunk

MAX_SHARDS: Final = 2
"""So many shards are taken in at once by a process; each may hold 64 MiB."""

MAX_TERMS: Final = 500_000
_HASHED_AT_ONCE: Final = 2
_UNPACKED_AHEAD: Final = 2
_PIECE_BYTES: Final = 2 * 1024 * 1024
_INDEX_BYTES: Final = 32 * 1024 * 1024
_MAX_REPOSITORIES: Final = 200
_FRAME_SECONDS: Final = 1.0
_MEMORY_BYTES: Final = 64 * 1024
_NO_ROOM: Final = 507
_LOG: Final = logging.getLogger("weighbridge.hub.shards")

_STALE: Final = " (If the client remembers an upload that is gone, delete its folder HF_XET_CACHE and upload again.)"

Tell = Callable[[int, int], None]


class ShardDesk:
    """Receives shards for one process: `POST …/v1/shards` and `…/v2/shards`."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(MAX_SHARDS)

    async def version_1(self, request: web.Request, stream: Stream) -> web.StreamResponse:
        """Answer once all is entered."""
        bearer, spool = await self._received(request, stream)
        async with self._room:
            job, _ = self._begun(stream.call, bearer, spool)
            return document({"result": int(await job)})

    async def version_2(self, request: web.Request, stream: Stream) -> web.StreamResponse:
        """Answer at once with a line of JSON every second, and say in the last one how it went."""
        bearer, spool = await self._received(request, stream)
        async with self._room:
            job, done = self._begun(stream.call, bearer, spool)
            # What is wrong is said in the stream: of an error status, the client shows the number alone.
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            response.enable_chunked_encoding()
            await response.prepare(request)
            while not (await asyncio.wait((job,), timeout=_FRAME_SECONDS))[0]:
                await _line(response, {"type": "validating", "verified": done[0], "total": done[1]})
            await _line(response, _end(job))
            await response.write_eof()
            return response

    async def _received(self, request: web.Request, stream: Stream) -> tuple[Bearer, IO[bytes]]:
        """Receive the body on a disk: a client that sends slowly takes nobody's room."""
        bearer = await stream.work(_admitted, stream.call)
        spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115 - `_begun` closes it
        try:
            await pour(request, stream, spool.write, limit=MAX_SHARD_BYTES)
        except BaseException:
            spool.close()
            raise
        return bearer, spool

    def _begun(self, call: Call, bearer: Bearer, spool: IO[bytes]) -> tuple[asyncio.Future[bool], list[int]]:
        done = [0, 0]

        def tell(verified: int, total: int) -> None:
            done[:] = verified, total

        loop = asyncio.get_running_loop()
        return loop.run_in_executor(_shard_pool(), _accepted, call, bearer, spool, tell), done


async def _line(response: web.StreamResponse, value: dict[str, Any]) -> None:
    await response.write(orjson.dumps(value) + b"\n")


def _end(job: asyncio.Future[bool]) -> dict[str, Any]:
    error = job.exception()
    if error is None:
        return {"type": "result"}
    if isinstance(error, Refusal) and error.status < 500:
        return {"type": "error", "message": error.message, "retryable": False}
    if isinstance(error, OUTAGES):
        _LOG.error("a shard was not taken in: %s", reason(error))
        error = outage(error)
    if isinstance(error, Refusal):
        return {"type": "error", "message": error.message, "retryable": error.status != _NO_ROOM}
    raise error


def _admitted(call: Call) -> Bearer:
    with call.hub.database.read() as connection:
        return admit(connection, call, upload=True)


@cache
def _shard_pool() -> ThreadPoolExecutor:
    # Apart from the pool of requests: a file of a terabyte takes a quarter of an hour to hash.
    return ThreadPoolExecutor(MAX_SHARDS, thread_name_prefix="hub-shard")


@cache
def _hash_pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_HASHED_AT_ONCE, thread_name_prefix="hub-sha256")


_OWN = threading.local()


def _unpacking() -> ThreadPoolExecutor:
    """Return the one thread that unpacks for this one, which hashes.

    More than one are slower than one: each waits for the interpreter's lock after every few microseconds of work.
    """
    if not hasattr(_OWN, "pool"):
        _OWN.pool = ThreadPoolExecutor(1, thread_name_prefix="hub-unpack")
    pool: ThreadPoolExecutor = _OWN.pool
    return pool


def _accepted(call: Call, bearer: Bearer, spool: IO[bytes], tell: Tell) -> bool:
    with spool:
        spool.seek(0)
        body = spool.read()
    try:
        return accept(call.hub, bearer, body, tell=tell)
    except (XetError, MissingContentError) as error:
        answer = refused(error)
        answer.message += _STALE
        raise answer from error


def accept(hub: HubServer, bearer: Bearer, body: bytes, *, tell: Tell) -> bool:
    """Verify everything that the shard says of files, enter them, and say whether any was new.

    Raises:
        XetError: if it is malformed, or says what is not so.
        MissingContentError: if a xorb was collected meanwhile.
        Refusal: 413 for too many terms at once.
        ByteStoreError: if the store fails.
    """
    shard = read_shard(body)
    if sum(map(len, shard.files)) > MAX_TERMS:
        raise too_large(f"A shard may name {MAX_TERMS:,} terms at most.")
    with hub.database.read() as connection:
        usable = usable_xorbs(connection, bearer, _named(shard))
    indexes = _Indexes(hub, usable)
    for entry in shard.xorbs:
        check_xorb(entry, indexes.find)
    checked = [check_file(file, indexes.find) for file in shard.files]
    made = _hashed(hub, shard.files, checked, tell)
    with hub.database.write() as connection:
        return add_contents(connection, bearer.repo.id, made, now_ms=hub.now_ms()) > 0


def _named(shard: Shard) -> set[str]:
    return {to_hex(name) for file in shard.files for name in file.xorbs} | {to_hex(entry.hash) for entry in shard.xorbs}


def usable_xorbs(connection: Connection, bearer: Bearer, names: Collection[str]) -> set[str]:
    """Return those of the xorbs that the bearer's repository has, or another one that its user may read."""
    found: set[str] = set()
    may_read: dict[int, bool] = {bearer.repo.id: True}
    for part in batches(sorted(names)):
        found |= _in_repository(connection, bearer.repo.id, part)
        for name, repository_id in _elsewhere(connection, [name for name in part if name not in found]):
            if repository_id not in may_read and len(may_read) < _MAX_REPOSITORIES:
                repo = repository_of(connection, repository_id)
                may_read[repository_id] = repo is not None and allowed(connection, bearer.caller, repo, Access.READ)
            if may_read.get(repository_id):
                found.add(name)
    return found


def _in_repository(connection: Connection, repository_id: int, names: Collection[str]) -> set[str]:
    brought = select(xorb_owner.c.hash).where(xorb_owner.c.repository_id == repository_id, xorb_owner.c.hash.in_(names))
    used = (
        select(content_xorb.c.xorb)
        .join(content_owner, content_owner.c.sha256 == content_xorb.c.sha256)
        .where(content_owner.c.repository_id == repository_id, content_xorb.c.xorb.in_(names))
    )
    return {*connection.execute(brought).scalars(), *connection.execute(used).scalars()}


def _elsewhere(connection: Connection, names: Collection[str]) -> Iterable[tuple[str, int]]:
    if not names:
        return
    brought = select(xorb_owner.c.hash, xorb_owner.c.repository_id).where(xorb_owner.c.hash.in_(names))
    used = (
        select(content_xorb.c.xorb, content_owner.c.repository_id)
        .distinct()
        .join(content_owner, content_owner.c.sha256 == content_xorb.c.sha256)
        .where(content_xorb.c.xorb.in_(names))
    )
    for statement in (brought, used):
        yield from ((row[0], row[1]) for row in connection.execute(statement))


class _Indexes:
    """The indexes of the xorbs that may be used, read when asked for; the last ones are kept."""

    def __init__(self, hub: HubServer, usable: set[str]) -> None:
        self._hub = hub
        self._usable = usable
        self._kept: BoundedCache[XorbIndex] = BoundedCache(_INDEX_BYTES)

    def find(self, hash_: bytes) -> XorbIndex | None:
        name = to_hex(hash_)
        if name not in self._usable:
            return None
        found = self._kept.get(name)
        if found is None:
            with self._hub.database.read() as connection:
                packed = connection.execute(select(xorb.c.chunks).where(xorb.c.hash == name)).scalar_one_or_none()
            if packed is None:
                return None
            found = XorbIndex.from_bytes(packed)
            self._kept.put(name, found, len(packed))
        return found


def _hashed(hub: HubServer, files: Collection[FileEntry], checked: list[CheckedFile], tell: Tell) -> list[Content]:
    """Return the files with their SHA-256: as it was computed before, or by reading them."""
    names = [to_hex(file.hash) for file in checked]
    with hub.database.read() as connection:
        before = _known(connection, names)
    total = sum(file.size_bytes for file in checked)
    done = 0
    made: list[Content] = []
    waiting: list[Future[Content]] = []
    for name, file, entry in zip(names, checked, files, strict=True):
        kept = before.get(name)
        terms = _terms(entry)
        if kept is not None and file.sha256 in (None, kept):
            made.append(Content(sha256=kept, xet_hash=name, size_bytes=file.size_bytes, terms=terms))
            done += file.size_bytes
        else:
            waiting.append(_hash_pool().submit(_read, hub, name, file, terms))
    try:
        for job in waiting:
            tell(done, total)
            made.append(job.result())
            done += made[-1].size_bytes
    finally:
        for job in waiting:
            job.cancel()
    return made


def _known(connection: Connection, names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in batches(dict.fromkeys(names)):
        statement = select(content.c.xet_hash, content.c.sha256).where(content.c.xet_hash.in_(part))
        found.update((xet_hash, sha256) for xet_hash, sha256 in connection.execute(statement))
    return found


def _terms(entry: FileEntry) -> tuple[Term, ...]:
    return tuple(Term(to_hex(term.xorb), term.first, term.end, term.raw_bytes) for term in entry.terms)


def _read(hub: HubServer, name: str, file: CheckedFile, terms: tuple[Term, ...]) -> Content:
    state = hashlib.sha256()
    jobs = (
        partial(_unpacked, hub, key, index.byte_range(first, end))
        for key, index, term in _placed(hub, terms)
        for first, end in _pieces(index, term)
    )
    for chunks in ahead(_unpacking(), jobs, depth=_UNPACKED_AHEAD):
        for chunk in chunks:
            state.update(chunk)
    sha256 = state.hexdigest()
    if file.sha256 is not None and sha256 != file.sha256:
        raise ShardError(f"its bytes have the SHA-256 {sha256}, not {file.sha256}", place=f"file {name}")
    return Content(sha256=sha256, xet_hash=name, size_bytes=file.size_bytes, terms=terms)


def _unpacked(hub: HubServer, key: str, span: tuple[int, int]) -> list[Buffer]:
    # The chunks were verified when they came in, a moment ago: only their bytes are wanted now.
    return list(each_chunk(hub.store.read_range(key, *span)))


def _placed(hub: HubServer, terms: Iterable[Term]) -> Iterator[tuple[str, XorbIndex, Term]]:
    found: tuple[str, str, XorbIndex] | None = None
    for term in terms:
        if found is None or found[0] != term.xorb:
            with hub.database.read() as connection:
                row = connection.execute(select(xorb.c.key, xorb.c.chunks).where(xorb.c.hash == term.xorb)).first()
            if row is None:
                raise MissingContentError("a xorb was collected meanwhile", place=term.xorb)
            found = (term.xorb, row.key, XorbIndex.from_bytes(row.chunks))
        yield found[1], found[2], term


def _pieces(index: XorbIndex, term: Term) -> Iterator[tuple[int, int]]:
    """Cut a term into runs of chunks of a few MiB each."""
    first, held = term.first_chunk, 0
    for at, length in enumerate(index.raw_lengths_of(term.first_chunk, term.end_chunk).tolist(), term.first_chunk):
        held += length
        if held >= _PIECE_BYTES or at + 1 == term.end_chunk:
            yield first, at + 1
            first, held = at + 1, 0
