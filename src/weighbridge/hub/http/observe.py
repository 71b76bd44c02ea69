"""What whoever runs the hub sees of it: a log line of JSON for each request, metrics, health.

A log line never holds a query string or a header: both carry permissions.
"""

import errno
import functools
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from prometheus_client import Counter, Histogram

from weighbridge.hub.http.address import Network, caller_address
from weighbridge.hub.http.limit import RequestLimit
from weighbridge.hub.http.refusal import Refusal

_LOG = logging.getLogger("weighbridge.hub.request")
_SLOWEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 120)
_MAX_LOGGED_PATH = 512
_GONE = 499  # as nginx calls it

REQUESTS = Counter("weighbridge_hub_requests", "Requests answered.", ["method", "route", "status"])
SECONDS = Histogram("weighbridge_hub_request_seconds", "Time to answer.", ["route"], buckets=_SLOWEST)
SENT = Counter("weighbridge_hub_sent_bytes", "Bytes of response bodies.")
RECEIVED = Counter("weighbridge_hub_received_bytes", "Bytes of request bodies.")

CALLER = web.RequestKey("caller", str)
"""Where a request keeps the name of whoever makes it, once that is known."""

BEGUN = web.RequestKey("begun", bool)
"""Where a request keeps that its answer's head is sent: whatever goes wrong then cannot be answered any more."""

_ADMITTED = re.compile(r"/cas/(?!bytes/)")
"""Where a request that is answered well came with a good token of the byte server."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def observed(
    limit: RequestLimit, answer_refusal: Callable[[Refusal], web.Response], proxies: Sequence[Network]
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the outermost middleware: counts against the limit, gives an id, times, logs, never lets a trace out."""
    write_line = functools.partial(_line, proxies)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        request_id = secrets.token_hex(8)
        told: dict[str, str] = {}
        try:
            told = limit.take(request)
            response = await handler(request)
            if request.get(CALLER) or (response.status < 400 and _ADMITTED.match(request.path)):
                limit.trust(request)
        except Refusal as refusal:
            response = answer_refusal(refusal)
        except (ConnectionError, TimeoutError) as error:
            write_line(request, _GONE, began, request_id)
            if isinstance(error, TimeoutError) and error.errno != errno.ETIMEDOUT:
                raise
            # The client is gone, or takes nothing (which the kernel calls a time-out): nobody is there to answer, and
            # the framework would log what it is told as a fault of ours.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=_GONE)
        except Exception:  # noqa: BLE001 - the last line of defence: the client learns nothing, the log all
            _LOG.exception(json.dumps({"id": request_id, "method": request.method, "path": _path(request)}))
            response = answer_refusal(Refusal(500, f"Internal error; the hub's log has it under {request_id}."))
            if BEGUN in request and request.transport is not None:
                request.transport.abort()
        if not response.prepared:
            response.headers.update({**told, "X-Request-Id": request_id})
        write_line(request, response.status, began, request_id, response)
        return response

    return middleware


def _line(
    proxies: Sequence[Network],
    request: web.Request,
    status: int,
    began: float,
    request_id: str,
    response: web.StreamResponse | None = None,
) -> None:
    seconds = time.perf_counter() - began
    route = _route(request)
    sent = (response.content_length or 0) if response is not None and request.method != "HEAD" else 0
    REQUESTS.labels(request.method if request.method in _METHODS else "other", route, str(status)).inc()
    SECONDS.labels(route).observe(seconds)
    SENT.inc(sent)
    RECEIVED.inc(request.content_length or 0)
    if not _LOG.isEnabledFor(logging.INFO):
        return
    facts = {
        "id": request_id,
        "remote": caller_address(request, proxies),
        "user": request.get(CALLER, ""),
        "method": request.method,
        "path": _path(request),
        "status": status,
        "ms": round(seconds * 1000, 2),
        "sent_bytes": sent,
        "client": request.headers.get("User-Agent", "")[:200],
    }
    _LOG.info(json.dumps(facts))


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"))


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _path(request: web.Request) -> str:
    return request.rel_url.raw_path[:_MAX_LOGGED_PATH]


async def alive(_: web.Request) -> web.Response:
    """Answer that the process runs."""
    return web.json_response({"status": "alive"})
