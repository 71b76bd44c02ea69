"""A proxy in front of a hub that changes what passes: how a lying hub, or somebody on the way, looks to a client."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

_DROPPED = {"content-length", "transfer-encoding", "connection", "content-encoding", "keep-alive"}

Change = Callable[[str, bytes], bytes]


@dataclass(slots=True, kw_only=True)
class FlippingProxy:
    """Where it answers, what it saw (`GET /path`, and the tokens), and what it does to the body of an answer to a path.

    `refused` paths (a part of them) are answered with 404, `cut` ones lose their connection after half of the body,
    once each; `redirect` maps a part of a path to where it is sent instead, `answers` to a body that it answers itself.
    """

    endpoint: str = ""
    change: Change = lambda _, body: body
    seen: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    redirect: dict[str, str] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)

    def count(self, part: str) -> int:
        return sum(part in line for line in self.seen)


@contextmanager
def flipping_proxy(target: str) -> Iterator[FlippingProxy]:
    """Run one on a free port of loopback until the block ends."""
    proxy = FlippingProxy()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        proxy.seen.append(f"{request.method} {request.path_qs}")
        proxy.tokens.append(request.headers.get("Authorization", ""))
        if any(part in request.path for part in proxy.refused):
            return web.Response(status=404, text="no")
        for part, body in proxy.answers.items():
            if part in request.path:
                return web.Response(body=body)
        for part, location in proxy.redirect.items():
            if part in request.path:
                return web.Response(status=302, headers={"Location": location})
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        async with (
            aiohttp.ClientSession(auto_decompress=True) as session,
            session.request(
                request.method,
                target + request.raw_path,
                data=await request.read(),
                headers=headers,
                allow_redirects=False,
            ) as answered,
        ):
            body = proxy.change(request.path, await answered.read())
            kept = {name: value for name, value in answered.headers.items() if name.lower() not in _DROPPED}
            hit = next((part for part in proxy.cut if part in request.path), None)
            if hit is None:
                return web.Response(status=answered.status, body=body, headers=kept)
            proxy.cut.remove(hit)
            response = web.StreamResponse(status=answered.status, headers={**kept, "Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            assert request.transport is not None
            request.transport.close()
            return response

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, name="flipping-proxy", daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
