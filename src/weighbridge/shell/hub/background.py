"""What a hub does between requests: counts downloads and parameters, keeps its cache small, collects garbage."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from weighbridge.hub.http.outage import OUTAGES, reason
from weighbridge.hub.server import HubServer

_LOG = logging.getLogger("weighbridge.hub.background")
_COUNT_SECONDS = 5
_COLLECT_SECONDS = 3600


def background(hub: HubServer) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what aiohttp runs beside the application."""

    async def beside(_: web.Application) -> AsyncIterator[None]:
        jobs = [
            asyncio.create_task(_every(_COUNT_SECONDS, lambda: _count(hub))),
            asyncio.create_task(_every(_COUNT_SECONDS, lambda: _measure(hub))),
            asyncio.create_task(_every(_COLLECT_SECONDS, lambda: _collect(hub))),
        ]
        yield
        for job in jobs:
            job.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await job
        await asyncio.to_thread(_count, hub)

    return beside


async def _every(seconds: float, job: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(job)
        except OUTAGES as error:
            # The next turn tries again; requests go on meanwhile.
            _LOG.error("%s", reason(error))
        except Exception:  # noqa: BLE001 - what fails once must not end the job for as long as the server runs
            _LOG.exception("a job in the background failed")


def _count(hub: HubServer) -> None:
    from weighbridge.hub.repositories.downloads import flush

    flush(hub)


def _measure(hub: HubServer) -> None:
    from weighbridge.hub.repositories.weights import measure_waiting

    measure_waiting(hub)


def _collect(hub: HubServer) -> None:
    from weighbridge.hub.content.collect import collect
    from weighbridge.hub.database.lease import leased

    hub.cache.evict()
    with leased(hub.database, "collect", holder=secrets.token_hex(8), now_ms=hub.now_ms) as ours:
        if ours:
            found = collect(hub, grace_seconds=hub.settings.grace_seconds)
            _LOG.info("garbage collection: %s", found)
