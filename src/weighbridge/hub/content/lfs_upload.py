"""Bytes of LFS uploads: each body waits on a disk until it is complete, then it is stored as a part or taken in.

No client holds a thread or much memory while it sends, however slowly. Taking files in is work for the processor: as
many at once as there is memory for, the others wait their turn.
"""

import asyncio
import json
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import IO, Any, TypeVar

from aiohttp import web
from sqlalchemy import delete, insert

from weighbridge.hub.content.content import Content, own, owned
from weighbridge.hub.content.ingest import ingest
from weighbridge.hub.content.lfs import PART_BYTES, Permit, check_permit, part_key
from weighbridge.hub.database.schema import upload
from weighbridge.hub.http.refusal import Refusal, bad_request, unprocessable
from weighbridge.hub.http.route import Call, Stream
from weighbridge.hub.http.stream import blocks
from weighbridge.hub.server import HubServer
from weighbridge.hub.store.port import BLOCK_BYTES, MissingObjectError

AT_ONCE = 2
DAY_MS = 24 * 3600 * 1000
_MEMORY_BYTES = 64 * 1024
_TAKEN_BYTES = 256 * 1024
_MAX_COMPLETION_BYTES = 256 * 1024
_TAG = re.compile(r'"?([0-9a-f]{32})"?\Z')
_Made = TypeVar("_Made")


async def take_whole(request: web.Request, stream: Stream, permit: Permit) -> Content:
    """Receive a whole file, and return it.

    Raises:
        Refusal: 422 if it is not what the permit names; 413, 408 as `stream.blocks`.
    """
    hub = stream.call.hub
    if permit.size_bytes <= PART_BYTES:
        with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as spool:
            await _spool(request, stream, spool, permit.size_bytes)
            return await work_hard(_ingest, stream.call, permit, _each_block(spool), small=True)
    # A client that cannot send parts gets its file cut into parts here, so that no temporary file is large.
    cut = replace(permit, upload=secrets.token_hex(16), part_bytes=PART_BYTES)
    keys: list[str] = []
    await stream.work(_begin, hub, cut)
    try:
        await _cut(request, stream, cut, keys)
        return await work_hard(_ingest, stream.call, permit, _stored(hub, keys))
    finally:
        await asyncio.shield(asyncio.ensure_future(stream.work(_clear, hub, cut, keys)))


async def take_part(request: web.Request, stream: Stream, permit: Permit) -> str:
    """Receive one part, and return the tag under which the completion names it."""
    hub, tag = stream.call.hub, secrets.token_hex(16)
    with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as spool:
        await _spool(request, stream, spool, permit.body_bytes)
        await stream.work(still_permitted, stream.call, permit)
        await stream.work(hub.store.write, part_key(permit, tag), _each_block(spool))
    return tag


async def complete(request: web.Request, stream: Stream, permit: Permit) -> Content:
    """Make one file of the parts that the body lists, and return it.

    Raises:
        Refusal: 400 for a list that does not name every part; 422 if the parts are not the file.
    """
    hub = stream.call.hub
    body = b"".join([block async for block in blocks(request, limit=_MAX_COMPLETION_BYTES)])
    held: Content | None = await stream.work(_held, hub, permit)
    if held is not None:
        return held  # a completion whose answer was lost is sent again
    keys = [
        part_key(replace(permit, verb="put", part=number), tag) for number, tag in enumerate(_tags(body, permit), 1)
    ]
    made = await work_hard(_ingest, stream.call, permit, _stored(hub, keys))
    await stream.work(_clear, hub, permit, keys)
    return made


async def work_hard(function: Callable[..., _Made], *arguments: Any, small: bool = False) -> _Made:
    """Run a function that needs the processor and memory for long; few of them run at once, large and small apart."""
    return await asyncio.get_running_loop().run_in_executor(_workers(small), partial(function, *arguments))


@cache
def _workers(small: bool) -> ThreadPoolExecutor:
    # Apart, so that a small file does not wait until one of many gigabytes is taken in.
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"hub-ingest-{'small' if small else 'large'}")


async def _spool(request: web.Request, stream: Stream, spool: IO[bytes], size: int) -> None:
    received = 0
    async for block in blocks(request, limit=size, block_bytes=_TAKEN_BYTES):
        received += len(block)
        await stream.work(spool.write, block)
        del block  # not to be held while the next one is waited for
    if received != size:
        raise unprocessable(f"The body has {received:,} bytes, not the {size:,} that were announced.")
    spool.seek(0)


async def _cut(request: web.Request, stream: Stream, permit: Permit, keys: list[str]) -> None:
    hub, received = stream.call.hub, 0
    pending = blocks(request, limit=permit.size_bytes)
    rest = b""
    ended = False
    while not ended:
        with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as spool:
            held = len(rest)
            await stream.work(spool.write, rest)
            rest, ended = b"", True
            async for block in pending:
                room = permit.part_bytes - held
                await stream.work(spool.write, block[:room])
                held += min(len(block), room)
                if held == permit.part_bytes:
                    rest, ended = block[room:], False
                    break
            received += held
            if held:
                spool.seek(0)
                key = part_key(replace(permit, part=len(keys) + 1), secrets.token_hex(16))
                keys.append(key)
                await stream.work(hub.store.write, key, _each_block(spool))
    if received != permit.size_bytes:
        raise unprocessable(f"The body has {received:,} bytes, not the {permit.size_bytes:,} that were announced.")


def _ingest(call: Call, permit: Permit, data: Iterator[bytes]) -> Content:
    still_permitted(call, permit)
    try:
        return ingest(call.hub, permit.repository_id, data, sha256=permit.sha256, size_bytes=permit.size_bytes)
    except MissingObjectError as error:
        raise bad_request("A part of this upload is not there: send the file again.") from error


def still_permitted(call: Call, permit: Permit) -> None:
    """Return if whoever asked for the address may still use it. Raises `Refusal` as `lfs.check_permit`."""
    with call.hub.database.read() as connection:
        check_permit(connection, call, permit)


def _held(hub: HubServer, permit: Permit) -> Content | None:
    with hub.database.read() as connection:
        found = owned(connection, permit.repository_id, permit.sha256)
    if found is not None:
        with hub.database.write() as connection:
            own(connection, permit.repository_id, permit.sha256, now_ms=hub.now_ms())
    return found


def _begin(hub: HubServer, permit: Permit) -> None:
    """Name the parts that will come, so that a collection under way lets them be."""
    now_ms = hub.now_ms()
    row = {"id": permit.upload, "kind": "lfs", "repository_id": permit.repository_id, "hash": permit.sha256}
    times = {"created_ms": now_ms, "expires_ms": max(permit.expires_s * 1000, now_ms + DAY_MS)}
    with hub.database.write() as connection:
        connection.execute(insert(upload).values(**row, size_bytes=permit.size_bytes, **times, state={}))


def _clear(hub: HubServer, permit: Permit, keys: list[str]) -> None:
    with hub.database.write() as connection:
        connection.execute(delete(upload).where(upload.c.id == permit.upload))
    hub.store.delete(keys)


def _tags(body: bytes, permit: Permit) -> list[str]:
    """Return the tag of each part, in order."""
    try:
        stated = json.loads(body)
        parts = {part["partNumber"]: _TAG.match(part["etag"]) for part in stated["parts"]}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise bad_request("A completion lists parts, each with partNumber and etag.") from error
    if stated.get("oid") != permit.sha256 or set(parts) != set(range(1, permit.parts + 1)):
        raise bad_request(f"A completion names the file and its {permit.parts} parts, each once.")
    tags = [found[1] for _, found in sorted(parts.items()) if found is not None]
    if len(tags) != permit.parts:
        raise Refusal(400, "An etag is not one that this hub gave.")
    return tags


def _stored(hub: HubServer, keys: list[str]) -> Iterator[bytes]:
    for key in keys:
        yield from hub.store.open_blocks(key, block_bytes=BLOCK_BYTES)


def _each_block(spool: IO[bytes]) -> Iterator[bytes]:
    while block := spool.read(BLOCK_BYTES):
        yield block
