"""A hub that says yes to an upload and throws it away: what the client itself takes, against any server.

`python -m benchmarks._discarding_hub` prints its address and serves until it is stopped.
"""

import asyncio
import sys

from aiohttp import web


async def _discard(request: web.Request) -> web.Response:
    while await request.content.readany():
        pass
    return web.json_response(
        {
            "was_inserted": True,
            "result": 1,
            "commitUrl": f"{_own(request)}/operator/large/commit/0",
            "commitOid": "0" * 40,
        }
    )


async def _token(request: web.Request) -> web.Response:
    told = {"accessToken": "x", "exp": 2**32, "casUrl": _own(request)}
    headers = {"X-Xet-Cas-Url": _own(request), "X-Xet-Access-Token": "x", "X-Xet-Token-Expiration": str(2**32)}
    return web.json_response(told, headers=headers)


async def _preupload(request: web.Request) -> web.Response:
    files = (await request.json())["files"]
    return web.json_response(
        {"files": [{"path": file["path"], "uploadMode": "lfs", "shouldIgnore": False} for file in files]}
    )


async def _create(request: web.Request) -> web.Response:
    return web.json_response({"url": f"{_own(request)}/operator/large"})


async def _no(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(status=404)


def _own(request: web.Request) -> str:
    return f"http://{request.host}"


async def _serve() -> None:
    app = web.Application(client_max_size=0)
    repository = "/api/models/{owner}/{name}"
    app.router.add_post("/v1/xorbs/default/{hash}", _discard)
    app.router.add_post("/v1/shards", _discard)
    app.router.add_post(f"{repository}/commit/main", _discard)
    app.router.add_get(f"{repository}/xet-write-token/main", _token)
    app.router.add_post(f"{repository}/preupload/main", _preupload)
    app.router.add_post("/api/repos/create", _create)
    app.router.add_route("*", "/{path:.*}", _no)
    runner = web.AppRunner(app, access_log=None, read_bufsize=1024 * 1024)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
