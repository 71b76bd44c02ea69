"""Routes of Git LFS: batches, uploads whole and in parts, downloads."""

from functools import partial

from aiohttp import web

from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.content import lfs, lfs_upload
from weighbridge.hub.content.content import Content, owned
from weighbridge.hub.content.send import Sending, send_content
from weighbridge.hub.http.refusal import Refusal, entry_not_found, unprocessable
from weighbridge.hub.http.route import Call, Reply, Route, Stream, StreamRoute
from weighbridge.hub.http.stream import document
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.name import PREFIXES

MAX_BATCH_BYTES = 1024 * 1024
_JSON = {"Content-Type": lfs.MEDIA_TYPE}
_ASK = {"WWW-Authenticate": 'Basic realm="hub"', "LFS-Authenticate": 'Basic realm="hub"'}


def asking_git(refusal: Refusal) -> Refusal:
    """Return the refusal as git and git-lfs read it: they send a password when asked for one, and show `message`."""
    if refusal.status == 401:
        refusal.headers.update(_ASK)
    refusal.extra.setdefault("message", refusal.message)
    return refusal


def batch(call: Call, *, kind: str) -> Reply:
    """Answer which files are to be sent, or from where they may be fetched."""
    try:
        wanted = call.document()
        # A download writes nothing, so it need not wait for those who do.
        scope = call.hub.database.write if wanted.get("operation") == "upload" else call.hub.database.read
        with scope() as connection:
            repo = find(connection, call.caller, kind, _name(call), Access.SEE)
            may(connection, call.caller, repo, lfs.access_of(wanted))
            # The answer says which files are there already.
            may(connection, call.caller, repo, Access.READ)
            return Reply(body=lfs.batch(connection, call, repo, wanted), headers=_JSON)
    except Refusal as refusal:
        raise asking_git(refusal) from None


def verify(call: Call, *, kind: str) -> Reply:
    """Say whether the repository holds a file of this SHA-256 and size."""
    try:
        stated = call.document()
        sha256, size = stated.get("oid"), stated.get("size")
        with call.hub.database.read() as connection:
            repo = find(connection, call.caller, kind, _name(call), Access.DISCUSS)
            may(connection, call.caller, repo, Access.READ)
            found = owned(connection, repo.id, sha256) if isinstance(sha256, str) else None
        if found is None:
            raise Refusal(404, "This repository has no such file.")
        if found.size_bytes != size:
            raise unprocessable(f"The file has {found.size_bytes} bytes.")
    except Refusal as refusal:
        raise asking_git(refusal) from None
    return Reply(body={"oid": sha256, "size": size}, headers=_JSON)


def locks(call: Call, *, kind: str) -> Reply:
    """Say that files cannot be locked here, in the words that git-lfs understands as just that."""
    with call.hub.database.read() as connection:
        find(connection, call.caller, kind, _name(call), Access.SEE)
    raise asking_git(Refusal(501, "This hub has no locks: files are changed by commits."))


async def put(request: web.Request, stream: Stream) -> web.Response:
    """Receive a file, or a part of one."""
    permit = await _permitted(stream, "put")
    if permit.part:
        tag = await lfs_upload.take_part(request, stream, permit)
        return web.Response(status=200, headers={"ETag": f'"{tag}"'})
    made = await lfs_upload.take_whole(request, stream, permit)
    return web.Response(status=200, headers={"ETag": f'"{made.sha256}"'})


async def complete(request: web.Request, stream: Stream) -> web.Response:
    """Make a file of its parts."""
    permit = await _permitted(stream, "complete")
    made = await lfs_upload.complete(request, stream, permit)
    return document({"success": True, "oid": made.sha256, "size": made.size_bytes}, headers=_JSON)


async def fetch(request: web.Request, stream: Stream) -> web.StreamResponse:
    """Send a file to whoever has its address."""
    permit = lfs.permit_of(stream.call, "get")
    held = await stream.work(_content, stream.call, permit)
    return await send_content(request, stream, held, Sending(etag=held.sha256))


async def _permitted(stream: Stream, verb: str) -> lfs.Permit:
    """Return what the address allows, before its body is received; it is asked again before anything is kept."""
    permit = lfs.permit_of(stream.call, verb)
    await stream.work(lfs_upload.still_permitted, stream.call, permit)
    return permit


def _content(call: Call, permit: lfs.Permit) -> Content:
    with call.hub.database.read() as connection:
        lfs.check_permit(connection, call, permit)
        found = owned(connection, permit.repository_id, permit.sha256)
    if found is None:
        raise entry_not_found(permit.sha256, commit="")
    return found


def _name(call: Call) -> str:
    return f"{call.parts['owner']}/{call.parts['name']}"


def _of_kind(kind: str, prefix: str) -> tuple[Route, ...]:
    base = f"/{prefix}{{owner}}/{{name}}.git/info/lfs"
    answers = {"/objects/batch": batch, "/objects/verify": verify}
    posts = tuple(
        Route(method="POST", path=base + path, answer=partial(answer, kind=kind), max_body_bytes=MAX_BATCH_BYTES)
        for path, answer in answers.items()
    )
    refused = tuple(
        Route(
            method=method, path=f"{base}/locks{path}", answer=partial(locks, kind=kind), max_body_bytes=MAX_BATCH_BYTES
        )
        for method, path in (("GET", ""), ("POST", ""), ("POST", "/verify"), ("POST", "/{id}/unlock"))
    )
    return (*posts, *refused)


ROUTES: tuple[Route | StreamRoute, ...] = (
    StreamRoute(method="PUT", path="/api/lfs/put/{repository}/{sha256}", answer=put, own_authority=True),
    StreamRoute(method="POST", path="/api/lfs/complete/{repository}/{sha256}", answer=complete, own_authority=True),
    StreamRoute(method="GET", path="/api/lfs/get/{repository}/{sha256}", answer=fetch, own_authority=True),
    *(route for kind, prefix in PREFIXES.items() if kind != "bucket" for route in _of_kind(kind, prefix)),
)
