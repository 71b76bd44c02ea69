"""Bodies that are too large to hold, taken block by block."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import IO, Any

import orjson
from aiohttp import ClientError, web

from weighbridge.hub.http.refusal import Refusal, bad_request, too_large
from weighbridge.hub.http.route import Stream

BLOCK_BYTES = 1024 * 1024
STALL_SECONDS = 60
"""For how long a client may send nothing at all."""

HELD_BYTES = 64 * 1024
"""So much of a body that is not complete is held in memory; the rest waits on the disk."""

_GATHER_SECONDS = 1.0


async def blocks(request: web.Request, *, limit: int, block_bytes: int = BLOCK_BYTES) -> AsyncIterator[bytes]:
    """Yield the body in blocks of about `block_bytes`; of a slow client's, in smaller ones.

    Raises:
        Refusal: 413 for a body of more than `limit` bytes, at once where its length is announced; 408 for a client that
            stalls; 400 for one that goes away.
    """
    if (request.content_length or 0) > limit:
        raise too_large(f"The body is larger than {limit:,} bytes.")
    gathered: list[bytes] = []
    held = total = 0
    clock = asyncio.get_running_loop().time
    began = clock()
    while (part := await _part(request, _GATHER_SECONDS if gathered else STALL_SECONDS)) != b"":
        if part is not None:
            total += len(part)
            if total > limit:
                raise too_large(f"The body is larger than {limit:,} bytes.")
            began = began if gathered else clock()
            gathered.append(part)
            held += len(part)
        # A thousand clients who stop just before a block is full must not hold a thousand blocks in memory.
        if held >= block_bytes or clock() - began >= _GATHER_SECONDS:
            block = b"".join(gathered)
            gathered, held, part = [], 0, None
            yield block
            del block
    if gathered:
        yield b"".join(gathered)


async def receive(request: web.Request, spool: IO[bytes], *, limit: int) -> None:
    """Write a body of moderate size into a file, which begins as one in memory: see `waiting_body`.

    Raises:
        Refusal: as `blocks`.
    """
    async for block in blocks(request, limit=limit, block_bytes=HELD_BYTES):
        spool.write(block)
        del block  # not to be held while the next one is waited for


def waiting_body() -> IO[bytes]:
    """Return a file for a body that is not complete yet: in memory while it is small."""
    return tempfile.SpooledTemporaryFile(max_size=HELD_BYTES)


async def pour(
    request: web.Request,
    stream: Stream,
    take: Callable[[bytes], Any],
    *,
    limit: int,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """Give the body to `take`, a blocking function, block by block; the next block arrives while one is taken.

    Raises:
        Refusal: as `blocks`; and whatever `take` raises.
    """
    working: asyncio.Future[Any] | None = None
    try:
        async for block in blocks(request, limit=limit, block_bytes=block_bytes):
            if working is not None:
                await working
            working = asyncio.ensure_future(stream.work(take, block))
            del block
        if working is not None:
            await working
    except BaseException:
        # What `take` works on is closed by our caller: it must be done with it before.
        if working is not None and not working.done():
            await asyncio.wait((working,))
        if working is not None and not working.cancelled():
            working.exception()
        raise


def document(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return the value as a response of JSON."""
    named = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return web.Response(status=status, headers=named, body=orjson.dumps(body))


async def _part(request: web.Request, seconds: float) -> bytes | None:
    """Return what has arrived, nothing at the end; None if nothing arrived for so long and that is no stall yet."""
    try:
        async with asyncio.timeout(seconds):
            return await request.content.readany()
    except TimeoutError as error:
        if seconds < STALL_SECONDS:
            return None
        raise Refusal(408, f"Nothing was received for {STALL_SECONDS} seconds.") from error
    except (ClientError, OSError, web.HTTPException) as error:
        raise bad_request("The body ended before it was complete.") from error
