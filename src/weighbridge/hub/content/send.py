"""Sends files: the kernel does where there is a whole file on this disk, nginx where it stands before, else we do.

Files are what strangers wrote. They are sent so that no browser runs them: as text or as bytes, never guessed at, in a
sandbox.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import web

from weighbridge.errors import WeighbridgeError
from weighbridge.hub.content.content import Content
from weighbridge.hub.content.read import blocks, whole_file
from weighbridge.hub.http.ranges import is_current, is_refused, wanted_range
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.http.route import Stream
from weighbridge.hub.server import HubServer
from weighbridge.hub.store.materialised import CacheError

WAIT_BYTES: Final = 64 * 1024 * 1024
"""A file up to this size is put together before it is sent; a larger one is sent from its chunks meanwhile."""

_AT_ONCE = 2
_LOG = logging.getLogger("weighbridge.hub.send")
_FILLING: set[str] = set()

BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How a file is sent.

    Attributes:
        etag: its strong entity tag, without quotes.
        file_name: what a browser calls it; empty for nothing in particular.
        as_download: whether a browser saves it instead of showing it.
        content_type: `BYTES` or `TEXT`.
        headers: further headers.
    """

    etag: str
    file_name: str = ""
    as_download: bool = False
    content_type: str = BYTES
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> dict[str, str]:
        """Return every header that does not depend on the range."""
        named = {
            "ETag": f'"{self.etag}"',
            "Accept-Ranges": "bytes",
            "Content-Type": self.content_type,
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cross-Origin-Resource-Policy": "same-origin",
            # What one may read, another may not; and a branch moves.
            "Cache-Control": "private, no-cache",
            **self.headers,
        }
        if self.file_name:
            named["Content-Disposition"] = disposition(self.file_name, as_download=self.as_download)
        return named


def disposition(file_name: str, *, as_download: bool = False) -> str:
    """Return the header `Content-Disposition` (RFC 6266): whatever the name holds, it stays within its quotes."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in " ._-+") else "_" for letter in file_name
    )
    encoded = quote(file_name, safe="", errors="replace")
    return f"{'attachment' if as_download else 'inline'}; filename*=UTF-8''{encoded}; filename=\"{plain}\""


async def send_bytes(request: web.Request, data: bytes, sending: Sending) -> web.StreamResponse:
    """Answer GET or HEAD with a file that is in memory."""
    span = _span(request, sending, len(data))
    if isinstance(span, web.StreamResponse):
        return span
    response = _response(sending, span, len(data))
    await response.prepare(request)
    if request.method != "HEAD":
        await response.write(data[span[0] : span[1]])
    await response.write_eof()
    return response


async def send_content(request: web.Request, stream: Stream, held: Content, sending: Sending) -> web.StreamResponse:
    """Answer GET or HEAD with a large file, or the range of it that was asked for."""
    span = _span(request, sending, held.size_bytes)
    if isinstance(span, web.StreamResponse):
        return span
    response = _response(sending, span, held.size_bytes)
    start, end = span[0], span[1]
    if request.method == "HEAD" or start == end:
        await response.prepare(request)
        await response.write_eof()
        return response
    hub = stream.call.hub
    try:
        path = await _whole(stream, held, end - start)
    except CacheError as error:
        # A full disk, say, keeps nobody from reading what is stored.
        _LOG.warning("a file is sent from its chunks: %s", error)
        path = None
    if path is not None and hub.settings.x_accel:
        return _by_nginx(hub, path, sending)
    descriptor = None if path is None else await stream.work(opened, path)
    if descriptor is not None:
        await by_kernel(request, response, descriptor, start, end)
    else:
        await _from_chunks(request, stream, response, held, start, end)
    return response


def _span(request: web.Request, sending: Sending, size: int) -> tuple[int, int, bool] | web.StreamResponse:
    """Return the bytes to send, and whether that is a range; or the response, where conditions decide it."""
    if is_refused(request.headers, sending.etag):
        raise Refusal(412, "The file is another one by now.")
    if is_current(request.headers, sending.etag):
        headers = sending.all_headers()
        del headers["Content-Type"]
        return web.Response(status=304, headers=headers)
    found = wanted_range(request.headers, sending.etag, size)
    return (0, size, False) if found is None else (*found, True)


def _response(sending: Sending, span: tuple[int, int, bool], size: int) -> web.StreamResponse:
    start, end, is_range = span
    headers = sending.all_headers()
    if is_range:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response = web.StreamResponse(status=206 if is_range else 200, headers=headers)
    response.content_length = end - start
    return response


def _by_nginx(hub: HubServer, path: Path, sending: Sending) -> web.Response:
    """Return the response that an nginx before this server replaces by the file; it sees to the range itself."""
    inside = f"{hub.settings.x_accel}/cache/{path.parent.name}/{path.name}"
    headers = {**sending.all_headers(), "X-Accel-Redirect": inside}
    return web.Response(status=200, headers=headers)


async def by_kernel(request: web.Request, response: web.StreamResponse, descriptor: int, start: int, end: int) -> None:
    """Let the kernel send bytes `[start, end)` of an open file, which is closed, as the body of a response.

    Raises:
        ConnectionError, TimeoutError: if the client is gone, or takes nothing.
    """
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        await response.prepare(request)
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        await asyncio.get_running_loop().sendfile(request.transport, file, start, end - start)
    await response.write_eof()


async def _from_chunks(
    request: web.Request, stream: Stream, response: web.StreamResponse, held: Content, start: int, end: int
) -> None:
    data = blocks(stream.call.hub, held, start, end)
    # The first block is fetched before the status is sent: what cannot be read is answered as an error then.
    block = await stream.work(_next, data)
    await response.prepare(request)
    try:
        while block is not None:
            await response.write(block)
            block = await stream.work(_next, data)
    except WeighbridgeError as error:
        _LOG.error("a file was sent in part only: %s", error)
        # The status is sent already: that the file is not whole can only be said by ending the connection.
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the file could not be read to its end") from error
    await response.write_eof()


def _next(data: Iterator[bytes]) -> bytes | None:
    return next(data, None)


async def _whole(stream: Stream, held: Content, count: int) -> Path | None:
    """Return the whole file if it is here, or soon: the rest of a large one is put together behind the request."""
    hub = stream.call.hub
    path: Path | None = await stream.work(hub.cache.path, held.sha256)
    if path is not None or not hub.cache.fits(held.size_bytes):
        return path
    if held.size_bytes <= WAIT_BYTES:
        return await asyncio.get_running_loop().run_in_executor(_workers(small=True), whole_file, hub, held)
    # Whoever reads a header only is no reason to put a file of many gigabytes together.
    if 2 * count >= held.size_bytes and held.sha256 not in _FILLING and len(_FILLING) < _AT_ONCE:
        _FILLING.add(held.sha256)
        _workers(small=False).submit(_fill, hub, held)
    return None


def _fill(hub: HubServer, held: Content) -> None:
    try:
        whole_file(hub, held)
    except WeighbridgeError as error:
        _LOG.warning("a file was not put together: %s", error)
    finally:
        _FILLING.discard(held.sha256)


@cache
def _workers(*, small: bool) -> ThreadPoolExecutor:
    # Apart, so that whoever asks for a small file does not wait until one of many gigabytes is put together.
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix=f"hub-fill-{'small' if small else 'large'}")


def opened(path: Path) -> int | None:
    """Return a descriptor to read the file by; None if there is none (any more)."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
