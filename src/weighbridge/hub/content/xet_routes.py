"""The routes of the byte server: tokens under `/api`, everything else under `/cas`.

Protocol: xet-core `openapi/cas.openapi.yaml` and `cas_client/remote_client.rs` (hf_xet 1.8).
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiohttp import web

from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.content import dedup, grants, reconstruction
from weighbridge.hub.content.send import by_kernel, opened
from weighbridge.hub.content.shards import ShardDesk
from weighbridge.hub.content.xet_epoch import MARK, mark_of
from weighbridge.hub.content.xet_token import XetScope, XetToken, admit, is_signed, issue, still_may
from weighbridge.hub.content.xorbs import XorbDesk
from weighbridge.hub.http.refusal import Refusal, forbidden
from weighbridge.hub.http.route import Call, Reply, Route, Stream, StreamRoute, get
from weighbridge.hub.repositories.find import KINDS, Repository, find
from weighbridge.hub.repositories.refs import resolve
from weighbridge.hub.store.port import ByteStoreError, checked_key

_LOG: Final = logging.getLogger("weighbridge.hub.xet")
_NO_REVISION: Final = "None"
_MAX_TELEMETRY_BYTES: Final = 256 * 1024
_BLOCK_BYTES: Final = 1024 * 1024


def token(call: Call) -> Reply:
    """GET …/xet-{read,write}-token[/{revision}]."""
    hub, revision = call.hub, call.parts.get("revision", _NO_REVISION)
    scope = _scope(call, revision)
    with hub.database.read() as connection:
        name = f"{call.parts['namespace']}/{call.parts['name']}"
        repo = find(connection, call.caller, KINDS[call.parts["kind"]], name, scope.access)
        may(connection, call.caller, repo, Access.READ)
        commit = ""
        if repo.kind != "bucket":
            try:
                commit = _head(repo) if revision == _NO_REVISION else resolve(connection, repo, revision)
            except Refusal:
                # What is written to need not exist yet.
                if not scope.uploads:
                    raise
    expires_s = hub.now_ms() // 1000 + hub.settings.token_seconds
    stated = XetToken(
        token_id=call.caller.token_id, repository_id=repo.id, commit=commit, scope=scope, expires_s=expires_s
    )
    text = issue(hub.secret, stated)
    address = f"{call.base_url}/cas/{mark_of(hub, repo.id, call.caller.token_id)}"
    return Reply(
        body={"accessToken": text, "exp": expires_s, "casUrl": address},
        headers={
            "X-Xet-Cas-Url": address,
            "X-Xet-Access-Token": text,
            "X-Xet-Token-Expiration": str(expires_s),
            "Cache-Control": "no-store",
        },
    )


def _scope(call: Call, revision: str) -> XetScope:
    if call.parts["scope"] == "read":
        return XetScope.READ
    proposes = revision.startswith("refs/pr/") or call.query.get("create_pr") in ("1", "true", "True")
    return XetScope.PROPOSE if proposes and call.parts["kind"] != "buckets" else XetScope.WRITE


def _head(repo: Repository) -> str:
    return repo.head or ""


def telemetry(call: Call) -> Reply:
    """POST …/v1/telemetry: taken and thrown away."""
    with call.hub.database.read() as connection:
        admit(connection, call, upload=False)
    return Reply(status=204)


class _Desks:
    """What one process needs to receive uploads: made in its event loop, once."""

    def __init__(self) -> None:
        self.xorbs = XorbDesk()
        self.shards = ShardDesk()


_DESKS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Desks] = WeakKeyDictionary()


def _desks() -> _Desks:
    loop = asyncio.get_running_loop()
    if loop not in _DESKS:
        _DESKS[loop] = _Desks()
    return _DESKS[loop]


async def upload_xorb(request: web.Request, stream: Stream) -> web.StreamResponse:
    """POST …/v1/xorbs/{prefix}/{hash}."""
    return await _desks().xorbs.upload(request, stream)


async def upload_shard_1(request: web.Request, stream: Stream) -> web.StreamResponse:
    """POST …/v1/shards."""
    return await _desks().shards.version_1(request, stream)


async def upload_shard_2(request: web.Request, stream: Stream) -> web.StreamResponse:
    """POST …/v2/shards."""
    return await _desks().shards.version_2(request, stream)


async def send_bytes(request: web.Request, stream: Stream) -> web.StreamResponse:
    """GET …/bytes/{key}?range=…: the range that the address was signed for, and no other."""
    call = stream.call
    key, start, end = _opened(call)
    path: Path | None = await stream.work(_lies_at, call, key)
    if path is not None and call.hub.settings.x_accel:
        # nginx sees to the range itself; `bytes` is the store's folder in the hub's.
        inside = f"{call.hub.settings.x_accel}/bytes/{key}"
        return web.Response(headers={"X-Accel-Redirect": inside, "Content-Type": "application/octet-stream"})
    if path is not None:
        return await _send_part(request, stream, path, start, end)
    return await _pass_on(request, stream, key, start, end)


def _opened(call: Call) -> tuple[str, int, int]:
    """Return key and range of the address.

    Raises:
        Refusal: 403, upon which clients ask for a new address.
    """
    key, query = call.parts["key"], call.query
    try:
        low, _, high = query.get("range", "").partition("-")
        start, last, expires = int(low), int(high), int(query.get("expires", ""))
        by, of = int(query.get("by", "")), int(query.get("of", ""))
        checked_key(key)
    except (ValueError, ByteStoreError) as error:
        raise forbidden("This address is not signed.") from error
    if not is_signed(
        call.hub.secret, query.get("signature", ""), reconstruction.BYTES, key, start, last + 1, expires, by, of
    ):
        raise forbidden("This address is not signed.")
    if expires * 1000 <= call.hub.now_ms():
        raise forbidden("This address has expired.")
    # Whoever sends the bytes must have no choice: a condition that fails would open the whole xorb.
    asked = [value for name, value in call.headers.items() if name.lower() == "range"]
    if asked != [f"bytes={start}-{last}"] or "If-Range" in call.headers:
        raise forbidden("This address opens one range of bytes, which the request must name, without a condition.")
    return key, start, last + 1


def _lies_at(call: Call, key: str) -> Path | None:
    """Return where the bytes lie on this disk, to whom they were promised and who may still read them.

    Raises:
        Refusal: as `xet_token.still_may`.
    """
    token_id, repository_id = int(call.query["by"]) or None, int(call.query["of"])
    with call.hub.database.read() as connection:
        still_may(connection, token_id, repository_id, (Access.READ,), now_ms=call.hub.now_ms())
    return call.hub.store.local_path(key)


async def _send_part(request: web.Request, stream: Stream, path: Path, start: int, end: int) -> web.StreamResponse:
    # Not by the framework's own response for files: it logs a client who stops reading as a fault of ours.
    descriptor: int | None = await stream.work(opened, path)
    size = -1 if descriptor is None else os.fstat(descriptor).st_size
    if descriptor is None or size < end:
        if descriptor is not None:
            os.close(descriptor)
        # Collected since the address was given, or lost by the disk: whoever runs the hub should look.
        _LOG.warning(
            "bytes are not there, or not all of them: %s; `weighbridge hub verify` says whether any should", path
        )
        raise Refusal(404, "These bytes are no longer there.")
    response = _partial(start, end, size)
    if request.method == "HEAD":
        os.close(descriptor)
        await response.prepare(request)
        await response.write_eof()
    else:
        await by_kernel(request, response, descriptor, start, end)
    return response


def _partial(start: int, end: int, size: int) -> web.StreamResponse:
    response = web.StreamResponse(status=206)
    response.content_type = "application/octet-stream"
    response.content_length = end - start
    response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return response


async def _pass_on(request: web.Request, stream: Stream, key: str, start: int, end: int) -> web.StreamResponse:
    store = stream.call.hub.store
    size: int | None = await stream.work(store.size, key)
    if size is None or size < end:
        raise Refusal(404, "These bytes are no longer there.")
    response = _partial(start, end, size)
    blocks = await stream.work(store.open_blocks, key, block_bytes=_BLOCK_BYTES, start=start, end=end)
    await response.prepare(request)
    while (block := await stream.work(next, blocks, None)) is not None:
        await response.write(block)
    await response.write_eof()
    return response


def _plain(method: str, path: str, answer: Callable[[Call], Reply], *, limit: int = 0) -> Route:
    return Route(method=method, path=f"{_BASE}{path}", answer=answer, max_body_bytes=limit, own_authority=True)


def _streamed(
    method: str, path: str, answer: Callable[[web.Request, Stream], Awaitable[web.StreamResponse]]
) -> StreamRoute:
    return StreamRoute(method=method, path=f"{_BASE}{path}", answer=answer, own_authority=True)


_NAMED: Final = "/api/{kind:models|datasets|spaces|buckets}/{namespace}/{name}/xet-{scope:read|write}-token"
_BASE: Final = f"/cas/{{mark:{MARK}}}"
_XORB: Final = "{prefix:default}/{hash}"

ROUTES: tuple[Any, ...] = (
    get(_NAMED, token),
    get(f"{_NAMED}/{{revision:.+}}", token),
    _plain("POST", f"/v1/xorb-grants/{_XORB}", grants.grant, limit=4096),
    _streamed("POST", f"/v1/xorb-commits/{_XORB}/grant/{{grant}}", grants.commit),
    _streamed("POST", f"/v1/xorbs/{_XORB}", upload_xorb),
    _streamed("POST", "/v2/shards", upload_shard_2),
    _streamed("POST", "/v1/shards", upload_shard_1),
    _streamed("POST", "/shards", upload_shard_1),
    _plain("GET", "/v2/reconstructions/{hash}", reconstruction.version_2),
    _plain("GET", "/v1/reconstructions/{hash}", reconstruction.version_1),
    _plain("GET", "/v1/chunks/{prefix:default|default-merkledb}/{hash}", dedup.query),
    # The client takes the host of the byte server's address and leaves the rest of it out.
    Route(
        method="POST",
        path="/v1/telemetry",
        answer=telemetry,
        max_body_bytes=_MAX_TELEMETRY_BYTES,
        own_authority=True,
    ),
    StreamRoute(method="GET", path="/cas/bytes/{key:.+}", answer=send_bytes, own_authority=True),
)
