"""`git clone` and `git fetch` over HTTP. Git cannot push here: a push would go past what a commit is checked for."""

import io
import logging
import tempfile
from functools import partial
from typing import IO

from aiohttp import web

from weighbridge.errors import InputError
from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.lfs_routes import asking_git
from weighbridge.hub.git.upload_pack import (
    ADVERTISEMENT_TYPE,
    MAX_REQUEST_BYTES,
    RESULT_TYPE,
    UploadPackError,
    advertise_refs,
    peeled_tags,
    plain_body,
    upload_pack,
)
from weighbridge.hub.http.refusal import Refusal, bad_request, forbidden
from weighbridge.hub.http.route import Call, Reply, Route, Stream, StreamRoute
from weighbridge.hub.http.stream import receive, waiting_body
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.kind_routes import name_in
from weighbridge.hub.repositories.name import PREFIXES
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.refs import MAIN, list_refs

_BLOCK_BYTES = 1024 * 1024
_MEMORY_BYTES = 64 * 1024
_GZIP = b"\x1f\x8b"
_NO_PUSH = "This hub takes no pushes from git: upload through its API, for example with `hf upload`."
_FRESH = {"Cache-Control": "no-cache"}
_LOG = logging.getLogger("weighbridge.hub.git")


def info_refs(call: Call, *, kind: str) -> Reply:
    """List the refs, for a clone or a fetch."""
    service = call.query.get("service", "")
    if service == "git-receive-pack":
        return _shown(forbidden(_NO_PUSH))
    if service != "git-upload-pack":
        raise bad_request("Only git's smart protocol is spoken here: use git 1.6.6 or later.")
    try:
        with call.hub.database.read() as connection:
            repo = find(connection, call.caller, kind, name_in(call), Access.READ)
            refs = {ref.name: ref.oid for ref in list_refs(connection, repo.id)}
            peeled = peeled_tags(DatabaseObjects(connection, repo.id), refs)
    except Refusal as refusal:
        return _shown(refusal)
    body = advertise_refs(refs, MAIN, peeled=peeled)
    return Reply(body=body, headers={**_FRESH, "Content-Type": ADVERTISEMENT_TYPE})


def receive_pack(call: Call, *, kind: str) -> Reply:
    """Refuse a push, in one sentence that git shows."""
    return _shown(forbidden(_NO_PUSH))


def _shown(refusal: Refusal) -> Reply:
    # Git shows a refusal to its user if it is plain text, and as it is: nothing in it may steer a terminal.
    told = "".join(letter for letter in asking_git(refusal).message if letter.isprintable()) + "\n"
    code = {"X-Error-Code": refusal.code} if refusal.code else {}
    headers = {**refusal.headers, **code, "Content-Type": "text/plain; charset=utf-8"}
    return Reply(status=refusal.status, body=told.encode("utf-8", "replace"), headers=headers)


async def fetch(request: web.Request, stream: Stream, kind: str) -> web.StreamResponse:
    """Send the objects that the client lacks; they wait on the disk, so that a slow client holds no transaction."""
    with tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES) as spool:
        with waiting_body() as body:
            await receive(request, body, limit=MAX_REQUEST_BYTES)
            await stream.work(_pack, stream.call, kind, body, spool)
        response = web.StreamResponse(headers={**_FRESH, "Content-Type": RESULT_TYPE})
        response.content_length = spool.tell()
        spool.seek(0)
        await response.prepare(request)
        while block := await stream.work(spool.read, _BLOCK_BYTES):
            await response.write(block)
        await response.write_eof()
    return response


def _pack(call: Call, kind: str, asked: IO[bytes], spool: IO[bytes]) -> None:
    asked.seek(0)
    body = asked.read()
    # The web framework may have unpacked the body already, and leaves the header as it was.
    encoding = "gzip" if body.startswith(_GZIP) else ""
    try:
        with call.hub.database.read() as connection:
            repo = find(connection, call.caller, kind, name_in(call), Access.READ)
            refs = {ref.name: ref.oid for ref in list_refs(connection, repo.id)}
            reader = DatabaseObjects(connection, repo.id)
            upload_pack(reader, refs, plain_body(io.BytesIO(body), encoding), lambda part: _write(spool, part))
    except Refusal as refusal:
        raise asking_git(refusal) from None
    except UploadPackError as error:
        _LOG.info("a request of git was refused: %s", error)
    except InputError as error:
        _LOG.warning("git could not be answered: %s", error)


def _write(spool: IO[bytes], part: bytes) -> None:
    spool.write(part)


def _of_kind(kind: str, base: str) -> tuple[Route | StreamRoute, ...]:
    return (
        Route(method="GET", path=f"{base}/info/refs", answer=partial(info_refs, kind=kind), max_body_bytes=0),
        Route(method="POST", path=f"{base}/git-receive-pack", answer=partial(receive_pack, kind=kind)),
        StreamRoute(method="POST", path=f"{base}/git-upload-pack", answer=partial(fetch, kind=kind)),
    )


# With `.git` first: a name without it would swallow it.
ROUTES: tuple[Route | StreamRoute, ...] = tuple(
    route
    for ending in (".git", "")
    for kind, prefix in PREFIXES.items()
    if kind != "bucket"
    for route in _of_kind(kind, f"/{prefix}{{owner}}/{{name}}{ending}")
)
