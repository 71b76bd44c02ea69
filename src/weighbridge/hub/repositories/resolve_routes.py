"""Files of a revision, by path: GET and HEAD of /{owner}/{name}/resolve/{revision}/{path}, and `/raw/`.

HEAD is always answered here and with 200: clients follow a redirect of HEAD within one origin and then miss what only
this answer states, the commit and the file's hashes.
"""

from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from aiohttp import web
from sqlalchemy import Connection

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.content import Content, owned
from weighbridge.hub.content.send import BYTES, TEXT, Sending, send_bytes, send_content
from weighbridge.hub.git.objects import MissingObjectError
from weighbridge.hub.git.paths import GitPathError
from weighbridge.hub.git.walk import find as find_entry
from weighbridge.hub.http.refusal import entry_not_found, revision_not_found
from weighbridge.hub.http.route import Call, Stream, StreamRoute
from weighbridge.hub.repositories import downloads
from weighbridge.hub.repositories.find import KINDS, Repository, find
from weighbridge.hub.repositories.kind_routes import name_in
from weighbridge.hub.repositories.name import PREFIXES
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.refs import resolve

_PLURALS = {kind: plural for plural, kind in KINDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionFile:
    """A file of a commit.

    Attributes:
        repo: the repository.
        commit: the commit's oid.
        path: from the root.
        oid: of its blob.
        data: the blob, which is the file, unless it is a pointer.
        content: what the pointer points to.
    """

    repo: Repository
    commit: str
    path: str
    oid: str
    data: bytes
    content: Content | None


def file_of(connection: Connection, repo: Repository, revision: str, path: str, *, follow: bool = True) -> RevisionFile:
    """Return a file of a revision; the caller of this was found to be allowed to read it.

    Args:
        connection: reads.
        repo: the repository.
        revision: a branch, tag, ref or commit.
        path: from the root.
        follow: whether a pointer stands for what it points to, or for itself.

    Raises:
        Refusal: 404 with the code `RevisionNotFound` or `EntryNotFound`.
    """
    commit = resolve(connection, repo, revision)
    missing = entry_not_found(path, commit=commit)
    reader = DatabaseObjects(connection, repo.id)
    try:
        entry = find_entry(reader, reader.commit(commit).tree, path)
    except GitPathError as error:
        raise missing from error
    except MissingObjectError as error:
        raise revision_not_found(revision) from error
    if entry is None or entry.is_folder:
        raise missing
    facts = reader.blobs((entry.oid,)).get(entry.oid)
    content: Content | None = None
    if follow and facts is not None and facts.lfs_sha256 is not None:
        content = owned(connection, repo.id, facts.lfs_sha256)
        if content is None:
            raise missing
    data = b"" if content else reader.read(entry.oid).data
    return RevisionFile(repo=repo, commit=commit, path=entry.path, oid=entry.oid, data=data, content=content)


async def resolved(request: web.Request, stream: Stream, kind: str) -> web.StreamResponse:
    """Send a file, large or small."""
    found: RevisionFile = await stream.work(_look, stream.call, kind, True)
    sending = _sending(stream.call, found)
    if found.content is not None:
        return await send_content(request, stream, found.content, sending)
    return await send_bytes(request, found.data, sending)


async def raw(request: web.Request, stream: Stream, kind: str) -> web.StreamResponse:
    """Send a file as Git has it: of a large one, its pointer."""
    found: RevisionFile = await stream.work(_look, stream.call, kind, False)
    return await send_bytes(request, found.data, _sending(stream.call, found))


def _look(call: Call, kind: str, follow: bool) -> RevisionFile:
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.READ)
        found = file_of(connection, repo, call.parts["revision"], call.parts["path"], follow=follow)
    downloads.count(call, repo)
    return found


def _sending(call: Call, found: RevisionFile) -> Sending:
    headers = {"X-Repo-Commit": found.commit}
    etag, content = found.oid, found.content
    if content is not None:
        etag = content.sha256
        headers |= {"X-Linked-Size": str(content.size_bytes), "X-Linked-Etag": f'"{etag}"'}
    # An empty file has no chunks: there is nothing that a Xet client could ask for.
    if content is not None and content.size_bytes:
        name = quote(found.repo.full_name)
        route = f"{call.base_url}/api/{_PLURALS[found.repo.kind]}/{name}/xet-read-token/{found.commit}"
        headers |= {
            "X-Xet-Hash": content.xet_hash,
            "X-Xet-Refresh-Route": route,
            "Link": f'<{route}>; rel="xet-auth"',
        }
    return Sending(
        etag=etag,
        file_name=found.path.rpartition("/")[2],
        as_download=call.query.get("download", "") in ("1", "true"),
        content_type=TEXT if content is None else BYTES,
        headers=headers,
    )


ROUTES = tuple(
    StreamRoute(
        method="GET",
        path=f"/{prefix}{{owner}}/{{name}}/{verb}/{{revision}}/{{path:.+}}",
        answer=partial(answer, kind=kind),
    )
    for kind, prefix in PREFIXES.items()
    if kind != "bucket"
    for verb, answer in (("resolve", resolved), ("raw", raw))
)
