"""Bodies that are too large to hold, taken block by block."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from aiohttp import ClientError, web

from weighbridge.hub.http.refusal import Refusal, bad_request, too_large
from weighbridge.hub.http.route import Stream

BLOCK_BYTES = 1024 * 1024
STALL_SECONDS = 60
"""For how long a client may send nothing at all."""


async def blocks(request: web.Request, *, limit: int, block_bytes: int = BLOCK_BYTES) -> AsyncIterator[bytes]:
    """Yield the body in blocks of about `block_bytes`.

    Raises:
        Refusal: 413 for a body of more than `limit` bytes, at once where its length is announced; 408 for a client that
            stalls; 400 for one that goes away.
    """
    if (request.content_length or 0) > limit:
        raise too_large(f"The body is larger than {limit:,} bytes.")
    gathered: list[bytes] = []
    held = total = 0
    while part := await _part(request):
        total += len(part)
        if total > limit:
            raise too_large(f"The body is larger than {limit:,} bytes.")
        gathered.append(part)
        held += len(part)
        if held >= block_bytes:
            yield b"".join(gathered)
            gathered, held = [], 0
    if gathered:
        yield b"".join(gathered)


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


async def _part(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await request.content.readany()
    except TimeoutError as error:
        raise Refusal(408, f"Nothing was received for {STALL_SECONDS} seconds.") from error
    except (ClientError, OSError, web.HTTPException) as error:
        raise bad_request("The body ended before it was complete.") from error
