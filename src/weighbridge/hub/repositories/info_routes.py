"""A repository's description, its files, and whether the caller may read or write it."""

from typing import Any

from sqlalchemy import Connection

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.git.objects import MissingObjectError
from weighbridge.hub.http.refusal import repo_not_found, revision_not_found
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.repositories import downloads, weights
from weighbridge.hub.repositories.describe import NOT_SCANNED, View, check_expand, expanded, full
from weighbridge.hub.repositories.facts import is_measured
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.query import flag, names_to_expand
from weighbridge.hub.repositories.refs import resolve

_MEASURED = {"safetensors", "gguf"}


def info(call: Call, kind: str) -> Reply:
    """Describe a repository, at the revision that the path names or at the head of `main`."""
    names = check_expand(kind, names_to_expand(call))
    told = _told(call, kind, names)
    if isinstance(told, Repository):
        weights.measure(call.hub, told.id)
        told = _told(call, kind, names, measured=True)
    return Reply(body=told)


def _told(call: Call, kind: str, names: tuple[str, ...], *, measured: bool = False) -> Any:
    """Return the description; only the repository, if its weights must be looked into first and were not."""
    revision = call.parts.get("revision")
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        if not (measured or is_measured(repo.settings)) and (not names or _MEASURED.intersection(names)):
            return repo
        view = _view(connection, repo, revision, blobs=flag(call, "blobs"))
        try:
            told = expanded(view, names) if names else full(view)
        except MissingObjectError as error:
            # Files were deleted for good, with the history that had them.
            raise revision_not_found(revision or "main") from error
    if flag(call, "securityStatus"):
        told["securityRepoStatus"] = NOT_SCANNED
    if revision is not None:
        downloads.count(call, repo)
    return told


def may_read(call: Call, kind: str) -> Reply:
    """Say by the status whether the caller may read the files."""
    return _checked(call, kind, Access.READ)


def may_write(call: Call, kind: str) -> Reply:
    """Say by the status whether the caller may change the files."""
    return _checked(call, kind, Access.WRITE)


def no_owner(call: Call, kind: str) -> Reply:
    """Refuse a name without an owner, which some clients still ask for: this hub has none."""
    raise repo_not_found(anonymous=call.caller.is_anonymous)


def _checked(call: Call, kind: str, access: Access) -> Reply:
    with call.hub.database.read() as connection:
        find(connection, call.caller, kind, name_in(call), access)
    return Reply(body={})


def _view(connection: Connection, repo: Repository, revision: str | None, *, blobs: bool) -> View:
    if revision is None:
        return View(connection=connection, repo=repo, sha=repo.head, modified_ms=repo.modified_ms, blobs=blobs)
    sha = resolve(connection, repo, revision)
    modified_ms = repo.modified_ms
    if sha != repo.head:
        committed = DatabaseObjects(connection, repo.id).commit(sha).committed_at
        modified_ms = int(committed.timestamp() * 1000)
    return View(connection=connection, repo=repo, sha=sha, modified_ms=modified_ms, blobs=blobs)


ROUTES = (
    *for_kinds("GET", "/{owner}/{name}", info),
    *for_kinds("GET", "/{owner}/{name}/revision/{revision}", info),
    *for_kinds("GET", "/{owner}/{name}/auth-check", may_read),
    *for_kinds("GET", "/{owner}/{name}/auth-check/write", may_write),
    *for_kinds("GET", "/{name}", no_owner),
    *for_kinds("GET", "/{name}/revision/{revision}", no_owner),
    *for_kinds("GET", "/{name}/tree/{revision}", no_owner),
)
