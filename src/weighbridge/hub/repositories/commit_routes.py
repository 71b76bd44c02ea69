"""POST /api/{kind}/{owner}/{name}/commit/{revision}: a commit as clients of the Hugging Face API send it."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import IO, Final

from aiohttp import web
from sqlalchemy import Connection

from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.community.pull_requests import PULL_REQUESTS, may_push, note_commit, open_pull_request, ref_of
from weighbridge.hub.git.history import Commit
from weighbridge.hub.git.paths import RefNameError, check_ref
from weighbridge.hub.http.refusal import bad_request, revision_not_found
from weighbridge.hub.http.route import Call, Stream, StreamRoute
from weighbridge.hub.http.stream import document, pour
from weighbridge.hub.repositories.author import author_of
from weighbridge.hub.repositories.commit import hold_head, make_commit
from weighbridge.hub.repositories.commit_changes import changes_of
from weighbridge.hub.repositories.commit_request import CommitReader, CommitRequest
from weighbridge.hub.repositories.find import GIT_KINDS, Repository, find
from weighbridge.hub.repositories.kind_routes import name_in
from weighbridge.hub.repositories.name import page_url
from weighbridge.hub.repositories.refs import Ref, lookup, resolve

_AT_ONCE: Final = 3
"""So many commits are made at once by a process; each holds a line, which may be a file of `max_regular_bytes`."""

_BLOCK_BYTES: Final = 1024 * 1024


async def commit(request: web.Request, stream: Stream, kind: str) -> web.Response:
    """Take the body, which waits on disk until it is complete, and make the commit."""
    call = stream.call
    await stream.work(_check, call, kind)
    with tempfile.TemporaryFile() as spool:
        await pour(request, stream, spool.write, limit=call.hub.settings.max_commit_bytes)
        made = asyncio.get_running_loop().run_in_executor(_desk(), _commit, call, kind, spool)
        return document(await made)


@cache
def _desk() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="hub-commit")


def _commit_ref(revision: str) -> str:
    """Return the full name of the ref that a commit to `revision` moves.

    Raises:
        Refusal: 400 for what cannot be moved by a commit, 404 for what is no name of a ref.
    """
    name = revision if revision.startswith("refs/") else f"refs/heads/{revision}"
    try:
        check_ref(name)
    except RefNameError as error:
        raise revision_not_found(revision) from error
    if not name.startswith(("refs/heads/", PULL_REQUESTS)):
        raise bad_request("A commit goes to a branch or a pull request.")
    return name


def _check(call: Call, kind: str) -> None:
    """Refuse what is refused for any body, before it is read."""
    with call.hub.database.read() as connection:
        target_of(connection, call, kind)


def target_of(connection: Connection, call: Call, kind: str) -> tuple[Repository, Ref | None]:
    """Return the repository and the ref that the path names, which the caller may commit to or propose a change of.

    The ref is None for `main` of a repository without a commit.

    Raises:
        Refusal: as `find` and `may_push`; 404 for a ref that does not exist.
    """
    repo, ref_name = _repository(connection, call, kind, lock=False)
    ref = lookup(connection, repo.id, ref_name)
    if ref is None and repo.head is not None:
        raise revision_not_found(call.parts["revision"])
    return repo, ref


def _repository(connection: Connection, call: Call, kind: str, *, lock: bool) -> tuple[Repository, str]:
    repo = find(connection, call.caller, kind, name_in(call), Access.SEE, lock=lock)
    ref_name = _commit_ref(call.parts["revision"])
    if _opens_pull_request(call):
        may(connection, call.caller, repo, Access.DISCUSS)
        may(connection, call.caller, repo, Access.READ)
    else:
        may_push(connection, call.caller, repo, ref_name)
    return repo, ref_name


def _commit(call: Call, kind: str, spool: IO[bytes]) -> dict[str, object]:
    settings = call.hub.settings
    spool.seek(0)
    with CommitReader(max_body_bytes=settings.max_commit_bytes, max_file_bytes=settings.max_regular_bytes) as body:
        while block := spool.read(_BLOCK_BYTES):
            body.feed(block)
        return _made(call, kind, body)


def _made(call: Call, kind: str, body: CommitReader) -> dict[str, object]:
    wanted = body.finish()
    if not wanted.title.strip():
        raise bad_request("The summary of a commit is not empty.")
    with call.hub.database.write() as connection:
        repo, ref_name = _repository(connection, call, kind, lock=True)
        number = _pull_request(connection, call, repo, ref_name, wanted) if _opens_pull_request(call) else None
        if number is not None:
            ref_name = ref_of(number)
        made = _apply(connection, call, repo, ref_name, body, wanted)
    return _answer(call, repo, made, number)


def _apply(
    connection: Connection, call: Call, repo: Repository, ref_name: str, body: CommitReader, wanted: CommitRequest
) -> Commit:
    # Checked before anything is written: whoever is late learns it without his files being stored.
    base = hold_head(connection, repo, ref_name, parent=wanted.parent)
    changes = changes_of(connection, repo, body, wanted.operations, base=base, now_ms=call.hub.now_ms())
    made = make_commit(
        connection,
        call.hub,
        repo,
        ref_name,
        changes,
        author=author_of(call.caller),
        title=wanted.title,
        message=wanted.description,
        parent=wanted.parent,
    )
    if made.oid != base:
        note_commit(connection, repo, call.caller, ref_name, made, now_ms=call.hub.now_ms())
    return made


def _pull_request(connection: Connection, call: Call, repo: Repository, target: str, wanted: CommitRequest) -> int:
    base = resolve(connection, repo, wanted.parent) if wanted.parent else hold_head(connection, repo, target)
    if base is None:
        raise bad_request("A repository without a commit takes no pull requests: commit to it first.")
    return open_pull_request(
        connection,
        repo,
        call.caller,
        title=wanted.title,
        description=wanted.description,
        base=base,
        target=target,
        now_ms=call.hub.now_ms(),
    )


def _opens_pull_request(call: Call) -> bool:
    return call.query.get("create_pr", "") in ("1", "true")


def _answer(call: Call, repo: Repository, made: Commit, number: int | None) -> dict[str, object]:
    address = page_url(call.base_url, repo.kind, repo.full_name)
    answer: dict[str, object] = {
        "success": True,
        "commitUrl": f"{address}/commit/{made.oid}",
        "commitOid": made.oid,
        "hookOutput": "",
    }
    if number is not None:
        answer["pullRequestUrl"] = f"{address}/discussions/{number}"
    return answer


ROUTES = tuple(
    StreamRoute(
        method="POST", path=f"/api/{plural}/{{owner}}/{{name}}/commit/{{revision}}", answer=partial(commit, kind=kind)
    )
    for plural, kind in GIT_KINDS.items()
)
