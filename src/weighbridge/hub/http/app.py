"""The web application: receives requests, calls the features, words their answers.

Functions of features run in a pool of threads; the event loop only moves bytes.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import IO, Any

import orjson
from aiohttp import web
from sqlalchemy import text

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.identify import caller_of, secret_of
from weighbridge.hub.http.address import own_address
from weighbridge.hub.http.limit import RequestLimit
from weighbridge.hub.http.metrics import metrics
from weighbridge.hub.http.observe import BEGUN, CALLER, alive, observed
from weighbridge.hub.http.outage import OUTAGES, outage, reason
from weighbridge.hub.http.refusal import Refusal, bad_request
from weighbridge.hub.http.route import Call, Reply, Route, Stream, StreamRoute
from weighbridge.hub.http.stream import receive, waiting_body
from weighbridge.hub.server import HubServer

_LOG = logging.getLogger("weighbridge.hub")

_READERS = 2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_MOST_OF_A_MESSAGE = 1000


def build_app(hub: HubServer, routes: Iterable[Route | StreamRoute], *, threads: int = 8) -> web.Application:
    """Return the application of one server process.

    Args:
        hub: what it serves.
        routes: in the order in which paths are tried.
        threads: how many functions may wait for the database, the store or each other at once.
    """
    # SQLite answers at once: more threads would only take the interpreter's lock from each other. Readers have
    # a pool of their own, so that reading goes on while all others wait to write.
    reading = ThreadPoolExecutor(_READERS if hub.database.is_sqlite else threads, thread_name_prefix="hub-read")
    # No limit of the framework's: every route reads its own body up to its own limit.
    proxies = hub.settings.proxies
    limit = RequestLimit(hub.settings.requests_per_window, hub.settings.window_seconds, proxies=proxies)
    app = web.Application(client_max_size=0, middlewares=[observed(limit, refused, proxies), _refusals])
    pool = ThreadPoolExecutor(threads, thread_name_prefix="hub")
    for route in routes:
        used = reading if route.method == "GET" else pool
        handler = _plain(hub, used, route) if isinstance(route, Route) else _streaming(hub, pool, route)
        if route.method == "GET":
            app.router.add_get(route.path, handler, allow_head=True)
        else:
            app.router.add_route(route.method, route.path, handler)

    app.router.add_get("/metrics", metrics(hub, reading))
    app.router.add_get("/health/live", alive)
    app.router.add_get("/health/ready", _readiness(hub, pool))

    async def _close(_: web.Application) -> None:
        for each in (reading, pool):
            each.shutdown(wait=False, cancel_futures=True)

    app.on_cleanup.append(_close)
    app.on_response_prepare.append(_begins)
    return app


def _readiness(hub: HubServer, pool: ThreadPoolExecutor) -> Handler:
    def look() -> None:
        with hub.database.read() as connection:
            connection.execute(text("SELECT 1"))

    async def ready(_: web.Request) -> web.StreamResponse:
        await asyncio.get_running_loop().run_in_executor(pool, look)
        return web.json_response({"status": "ready"})

    return ready


def _plain(hub: HubServer, pool: ThreadPoolExecutor, route: Route) -> Handler:
    def work(request: web.Request, body: IO[bytes] | None) -> Reply:
        if body is not None:
            body.seek(0)
        return route.answer(_call(hub, request, b"" if body is None else body.read(), route))

    async def handle(request: web.Request) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        if not request.can_read_body:
            return _response(await loop.run_in_executor(pool, work, request, None))
        with waiting_body() as body:
            await receive(request, body, limit=route.max_body_bytes)
            reply = await loop.run_in_executor(pool, work, request, body)
        return _response(reply)

    return handle


def _streaming(hub: HubServer, pool: ThreadPoolExecutor, route: StreamRoute) -> Handler:
    async def work(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        call = functools.partial(function, *arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(pool, call)

    async def handle(request: web.Request) -> web.StreamResponse:
        call = await work(_call, hub, request, b"", route)
        return await route.answer(request, Stream(call=call, work=work))

    return handle


def _call(hub: HubServer, request: web.Request, body: bytes, route: Route | StreamRoute) -> Call:
    if not all(map(_is_text, (*request.match_info.values(), *request.query.keys(), *request.query.values()))):
        raise bad_request("An address holds no NUL, and is UTF-8.")
    secret = "" if route.own_authority else secret_of(request.headers.get("Authorization", ""))
    caller = Caller.anonymous
    if secret:
        with hub.database.read() as connection:
            caller = caller_of(connection, secret, now_ms=hub.now_ms())
    request[CALLER] = caller.name
    return Call(
        hub=hub,
        caller=caller,
        parts=request.match_info,
        query=request.query,
        headers=request.headers,
        body=body,
        base_url=hub.settings.public_url or own_address(request),
        raw_path_qs=request.raw_path,
    )


def _is_text(part: str) -> bool:
    """Whether a database and a header can hold it: no NUL, no half of a character."""
    try:
        return "\0" not in part and bool(part.encode() or True)
    except UnicodeEncodeError:
        return False


def _response(reply: Reply) -> web.Response:
    if reply.body is None:
        return web.Response(status=reply.status, headers=reply.headers)
    if isinstance(reply.body, bytes):
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    headers = {"Content-Type": "application/json; charset=utf-8", **reply.headers}
    return web.Response(status=reply.status, headers=headers, body=orjson.dumps(reply.body))


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return refused(refusal)
    except web.HTTPException as error:
        return refused(Refusal(error.status, error.reason, headers=_kept(error)))
    except (ConnectionError, TimeoutError):
        raise  # of the client's connection
    except OUTAGES as error:
        _LOG.error("%s %s: %s", request.method, request.path, reason(error))
        if BEGUN in request:
            # Its status is sent: that the rest will not come can only be said by ending the connection.
            raise ConnectionResetError("an answer was sent in part only") from error
        return refused(outage(error))


async def _begins(request: web.Request, _: web.StreamResponse) -> None:
    request[BEGUN] = True


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {name: error.headers[name] for name in ("Allow", "Location") if name in error.headers}


def refused(refusal: Refusal) -> web.Response:
    """Return the response that carries the refusal."""
    # The client ends the sentence of a 403 itself.
    said = refusal.message.removesuffix(".") if refusal.status == HTTPStatus.FORBIDDEN else refusal.message
    # It may quote what the client sent: a control character would end the connection instead of the sentence.
    message = "".join(letter if letter.isprintable() else "?" for letter in " ".join(said[:_MOST_OF_A_MESSAGE].split()))
    headers = {"X-Error-Message": message.encode("ascii", "replace").decode(), **refusal.headers}
    if refusal.code:
        headers["X-Error-Code"] = refusal.code
    headers["Content-Type"] = "application/json; charset=utf-8"
    return web.Response(
        status=refusal.status,
        headers=headers,
        body=orjson.dumps({"error": _writable(said), **refusal.extra}),
    )
