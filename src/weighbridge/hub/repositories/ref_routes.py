"""Branches, tags and other refs, the log of commits, and histories squashed to one commit."""

import html
from typing import Any, Final

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.git.history import Commit, HistoryTooLongError, history_page
from weighbridge.hub.git.objects import MissingObjectError
from weighbridge.hub.http.refusal import bad_request, revision_not_found
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.repositories import refs
from weighbridge.hub.repositories.author import author_of
from weighbridge.hub.repositories.commit import commit_tree
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.query import flag, many, next_link, number
from weighbridge.hub.repositories.times import iso_of

PAGE: Final = 50
MAX_PAGE: Final = 1000
_GROUPS = {
    "refs/heads/": "branches",
    "refs/tags/": "tags",
    "refs/convert/": "converts",
    "refs/pr/": "pullRequests",
}


def list_refs(call: Call, kind: str) -> Reply:
    """List branches, tags and, where `include_prs` asks, pull requests."""
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        listed = refs.list_refs(connection, repo.id)
    groups: dict[str, list[dict[str, str]]] = {name: [] for name in _GROUPS.values()}
    for each in listed:
        for prefix, group in _GROUPS.items():
            if each.name.startswith(prefix):
                short = each.name if group == "pullRequests" else each.name.removeprefix(prefix)
                groups[group].append({"name": short, "ref": each.name, "targetCommit": each.commit_oid})
    if not flag(call, "include_prs"):
        del groups["pullRequests"]
    return Reply(body=groups)


def create_branch(call: Call, kind: str) -> Reply:
    """Make a branch at `startingPoint`, by default at the head of `main`."""
    asked = call.document().get("startingPoint")
    start = "main" if asked is None else asked
    if not isinstance(start, str):
        raise bad_request("'startingPoint' is a branch, a tag or a commit.")
    with call.hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.WRITE, lock=True)
        refs.create_branch(connection, repo, call.parts["branch"], start, now_ms=call.hub.now_ms())
    return Reply(body={})


def delete_branch(call: Call, kind: str) -> Reply:
    """Delete a branch, but never `main`."""
    with call.hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.WRITE, lock=True)
        refs.delete_branch(connection, repo, call.parts["branch"])
    return Reply(body={})


def create_tag(call: Call, kind: str) -> Reply:
    """Tag the revision that the path names: `{tag, message}`."""
    asked = call.document()
    tag, message = asked.get("tag"), asked.get("message") or ""
    if not isinstance(tag, str) or not isinstance(message, str):
        raise bad_request("'tag' is the name of the tag, 'message' a text.")
    with call.hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.WRITE, lock=True)
        refs.create_tag(
            connection,
            repo,
            tag,
            call.parts["revision"],
            message=message,
            author=author_of(call.caller),
            now_ms=call.hub.now_ms(),
        )
    return Reply(body={})


def delete_tag(call: Call, kind: str) -> Reply:
    """Delete a tag."""
    with call.hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.WRITE, lock=True)
        refs.delete_tag(connection, repo, call.parts["revision"])
    return Reply(body={})


def commits(call: Call, kind: str) -> Reply:
    """List the commits that a revision leads to, newest first: page `p`, `limit` to a page."""
    page = number(call, "p", default=0, least=0, most=10**9)
    limit = number(call, "limit", default=PAGE, least=1, most=MAX_PAGE)
    revision = call.parts["revision"]
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        commit_oid = refs.resolve(connection, repo, revision)
        reader = DatabaseObjects(connection, repo.id)
        try:
            found = history_page(reader, commit_oid, skip=page * limit, limit=limit)
        except HistoryTooLongError as error:
            raise bad_request(f"{error.message}.") from error
        except MissingObjectError as error:
            raise revision_not_found(revision) from error
    formatted = "formatted" in many(call, "expand")
    headers = next_link(call, {"p": str(page + 1)}) if found.more else {}
    return Reply(body=[_commit(commit, formatted) for commit in found.commits], headers=headers)


def squash(call: Call, kind: str) -> Reply:
    """Replace a branch's history by one commit of the same files: `{message}`."""
    asked = call.document().get("message")
    branch = call.parts["branch"]
    message = asked if isinstance(asked, str) and asked.strip() else f"Super-squash branch '{branch}'"
    with call.hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.WRITE, lock=True)
        name = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        if not name.startswith("refs/heads/"):
            raise bad_request(f"Only branches are squashed, and {branch!r} is none.")
        now = refs.lookup(connection, repo.id, name)
        if now is None:
            raise revision_not_found(branch)
        title, _, rest = message.strip().partition("\n")
        commit_tree(
            connection,
            call.hub,
            repo,
            name,
            DatabaseObjects(connection, repo.id).commit(now.commit_oid).tree,
            parents=(),
            expected=now.oid,
            author=author_of(call.caller),
            title=title,
            message=rest,
        )
    return Reply(body={})


def _commit(commit: Commit, formatted: bool) -> dict[str, Any]:
    facts = commit.facts
    told: dict[str, Any] = {
        "id": commit.oid,
        "title": facts.title,
        "message": facts.message,
        "authors": [{"user": facts.author.name, "avatar": ""}],
        "date": iso_of(facts.committed_at),
    }
    if formatted:
        message = html.escape(facts.message).replace("\n", "<br>")
        told["formatted"] = {"title": html.escape(facts.title), "message": f"<p>{message}</p>" if message else ""}
    return told


ROUTES = (
    *for_kinds("GET", "/{owner}/{name}/refs", list_refs),
    *for_kinds("GET", "/{owner}/{name}/commits/{revision}", commits),
    *for_kinds("POST", "/{owner}/{name}/branch/{branch}", create_branch),
    *for_kinds("DELETE", "/{owner}/{name}/branch/{branch}", delete_branch),
    *for_kinds("POST", "/{owner}/{name}/tag/{revision}", create_tag),
    *for_kinds("DELETE", "/{owner}/{name}/tag/{revision}", delete_tag),
    *for_kinds("POST", "/{owner}/{name}/super-squash/{branch}", squash),
)
