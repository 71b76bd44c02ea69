"""`/metrics`: what Prometheus reads of the hub. Names of routes and their numbers: for whoever runs it, nobody else.

A program on this machine reads them without a token, while the hub serves only this machine. Once it has a public
address, or an nginx sends its bytes, loopback is where everybody seems to come from, and an administrator's token is
needed.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest, multiprocess

from weighbridge.hub.accounts.identify import caller_of, secret_of
from weighbridge.hub.http.address import is_from_here
from weighbridge.hub.http.observe import CALLER
from weighbridge.hub.http.refusal import forbidden, unauthenticated
from weighbridge.hub.server import HubServer


def metrics(hub: HubServer, pool: ThreadPoolExecutor) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler that answers with the metrics of all processes of this server, in Prometheus' text format."""
    is_before_strangers = bool(hub.settings.public_url or hub.settings.x_accel)

    def told(authorization: str, *, is_open: bool) -> tuple[str, bytes]:
        name = "" if is_open else _administrator(hub, authorization)
        return name, _gathered()

    async def answer(request: web.Request) -> web.Response:
        is_open = not is_before_strangers and is_from_here(request)
        authorization = request.headers.get("Authorization", "")
        loop = asyncio.get_running_loop()
        name, text = await loop.run_in_executor(pool, lambda: told(authorization, is_open=is_open))
        request[CALLER] = name
        return web.Response(body=text, content_type="text/plain")

    return answer


def _administrator(hub: HubServer, authorization: str) -> str:
    """Return whose token it is. Raises `Refusal`: 401 for none, 403 for one that is not an administrator's."""
    with hub.database.read() as connection:
        caller = caller_of(connection, secret_of(authorization), now_ms=hub.now_ms())
    if caller.is_anonymous:
        raise unauthenticated("The metrics are read by the token of an administrator.")
    if not caller.is_admin or caller.grant == "fineGrained":
        raise forbidden("The metrics are read by the token of an administrator, one for reading or writing.")
    return caller.name


def _gathered() -> bytes:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
