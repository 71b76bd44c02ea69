"""Routes of discussions and pull requests: listed, told in full, opened, answered, merged."""

import html
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection

from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.community import discussions, pull_requests
from weighbridge.hub.community.discussions import STATUSES, TYPES, Event, Thread, content_of, title_of
from weighbridge.hub.content.xet_token import allowed
from weighbridge.hub.http.refusal import Refusal, bad_request
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.name import page_url
from weighbridge.hub.repositories.query import flag, number
from weighbridge.hub.repositories.times import iso

PAGE: Final = 50
_DRAFT: Final = "draft"


def listed(call: Call, kind: str) -> Reply:
    """List threads, the newest first: page `p`, filtered by `author`, `type` and `status`."""
    type_, status = call.query.get("type", "all"), call.query.get("status", "all")
    if type_ not in TYPES or status not in STATUSES:
        raise bad_request(f"'type' is one of {', '.join(TYPES)}, 'status' one of {', '.join(STATUSES)}.")
    start = number(call, "p", default=0, least=0, most=10**6) * PAGE
    with call.hub.database.read() as connection:
        repo = _overheard(connection, call, kind)
        author = call.query.get("author")
        count, found = discussions.page(
            connection, repo, author=author, type_=type_, status=status, skip=start, limit=PAGE
        )
    return Reply(body={"count": count, "start": start, "discussions": [_summary(repo, each) for each in found]})


def told(call: Call, kind: str) -> Reply:
    """Tell a thread with its events; of a pull request also conflicts and, where `diff` asks, what it changes."""
    with call.hub.database.read() as connection:
        repo = _overheard(connection, call, kind)
        thread = discussions.find_thread(connection, repo, _number(call))
        body = _summary(repo, thread)
        body["events"] = [_event(each) for each in discussions.events_of(connection, repo, thread.number)]
        if thread.is_pull_request:
            with_diff = flag(call, "diff") and allowed(connection, call.caller, repo, Access.READ)
            body |= _pull_request(connection, repo, thread, with_diff=with_diff)
    return Reply(body=body)


def opened(call: Call, kind: str) -> Reply:
    """Open a discussion or a pull request, which begins as a draft: `{title, description, pullRequest}`."""
    asked = call.document()
    title, description = title_of(asked.get("title")), content_of(asked.get("description"))
    now_ms = call.hub.now_ms()
    with call.hub.database.write() as connection:
        repo = _discussed(connection, call, kind)
        if not asked.get("pullRequest"):
            made = discussions.open_thread(
                connection, repo, call.caller, title=title, description=description, now_ms=now_ms
            )
        elif repo.head is None:
            raise bad_request("A repository without a commit takes no pull requests: commit to it first.")
        else:
            made = pull_requests.open_pull_request(
                connection,
                repo,
                call.caller,
                title=title,
                description=description,
                base=repo.head,
                status=_DRAFT,
                now_ms=now_ms,
            )
    url = f"{page_url(call.base_url, kind, repo.full_name)}/discussions/{made}"
    return Reply(body={"num": made, "url": url, "pullRequest": bool(asked.get("pullRequest"))})


def comment(call: Call, kind: str) -> Reply:
    """Add a comment: `{comment}`."""
    content = content_of(call.document().get("comment"))

    def add(connection: Connection, repo: Repository, thread: Thread) -> Event:
        return _comment(connection, call, repo, thread, content)

    return Reply(body={"newMessage": _event(_changed(call, kind, add))})


def title(call: Call, kind: str) -> Reply:
    """Rename: `{title}`."""
    wanted = title_of(call.document().get("title"))

    def change(connection: Connection, repo: Repository, thread: Thread) -> Event:
        return discussions.rename(connection, repo, call.caller, thread, wanted, now_ms=call.hub.now_ms())

    return Reply(body={"newTitle": _event(_changed(call, kind, change))})


def status(call: Call, kind: str) -> Reply:
    """Open or close: `{status, comment}`."""
    asked = call.document()
    wanted, said = asked.get("status"), asked.get("comment")
    if wanted not in ("open", "closed"):
        raise bad_request("'status' is open or closed.")
    content = content_of(said) if said else ""

    def change(connection: Connection, repo: Repository, thread: Thread) -> Event:
        made = discussions.change_status(connection, repo, call.caller, thread, wanted, now_ms=call.hub.now_ms())
        if content:
            _comment(connection, call, repo, thread, content)
        return made

    return Reply(body={"newStatus": _event(_changed(call, kind, change))})


def merge(call: Call, kind: str) -> Reply:
    """Merge a pull request: `{comment}`."""
    said = call.document().get("comment")
    content = content_of(said) if said else ""
    with call.hub.database.write() as connection:
        repo = _discussed(connection, call, kind)
        may(connection, call.caller, repo, Access.WRITE)
        thread = discussions.find_thread(connection, repo, _number(call))
        new_head = pull_requests.merge(connection, call.hub, repo, call.caller, thread)
        if content:
            _comment(connection, call, repo, thread, content)
    return Reply(body={"mergeCommitId": new_head})


def edit(call: Call, kind: str) -> Reply:
    """Replace the text of one's own comment: `{content}`."""
    content = content_of(call.document().get("content"))

    def change(connection: Connection, repo: Repository, thread: Thread) -> Event:
        found = discussions.find_comment(connection, repo, thread.number, call.parts["comment"])
        return discussions.edit(connection, repo, call.caller, thread.number, found, content, now_ms=call.hub.now_ms())

    return Reply(body={"updatedComment": _event(_changed(call, kind, change))})


def hide(call: Call, kind: str) -> Reply:
    """Erase the text of a comment for good."""

    def change(connection: Connection, repo: Repository, thread: Thread) -> Event:
        found = discussions.find_comment(connection, repo, thread.number, call.parts["comment"])
        return discussions.hide(connection, repo, call.caller, found)

    return Reply(body={"updatedComment": _event(_changed(call, kind, change))})


def _changed(call: Call, kind: str, change: Callable[[Connection, Repository, Thread], Event]) -> Event:
    with call.hub.database.write() as connection:
        repo = _discussed(connection, call, kind)
        return change(connection, repo, discussions.find_thread(connection, repo, _number(call)))


def _overheard(connection: Connection, call: Call, kind: str) -> Repository:
    """Return the repository to whoever may read its files, or (no gate being before it) may discuss it."""
    repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
    if repo.gated or not allowed(connection, call.caller, repo, Access.DISCUSS):
        may(connection, call.caller, repo, Access.READ)
    return repo


def _discussed(connection: Connection, call: Call, kind: str) -> Repository:
    repo = find(connection, call.caller, kind, name_in(call), Access.DISCUSS, lock=True)
    # What is gated is discussed by those who were let in: comments tell what its files say.
    if repo.gated:
        may(connection, call.caller, repo, Access.READ)
    return repo


def _comment(connection: Connection, call: Call, repo: Repository, thread: Thread, content: str) -> Event:
    return discussions.add_event(
        connection, repo, thread.number, "comment", call.caller, {"content": content}, now_ms=call.hub.now_ms()
    )


def _number(call: Call) -> int:
    text = call.parts["number"]
    if len(text) > 9:
        raise Refusal(404, "There is no such discussion here.")
    return int(text)


def _summary(repo: Repository, thread: Thread) -> dict[str, Any]:
    body: dict[str, Any] = {
        "num": thread.number,
        "title": thread.title,
        "status": thread.status,
        "isPullRequest": thread.is_pull_request,
        "createdAt": iso(thread.created_ms),
        "repo": {"name": repo.full_name, "type": repo.kind},
        "pinned": False,
        "locked": False,
    }
    return body | _by(thread.author_name)


def _pull_request(connection: Connection, repo: Repository, thread: Thread, *, with_diff: bool) -> dict[str, Any]:
    changes = pull_requests.changes_of(connection, repo, thread)
    base = {"base": thread.target}
    if thread.merge_commit is not None:
        base["mergeCommitId"] = thread.merge_commit
    body: dict[str, Any] = {"changes": base, "filesWithConflicts": list(changes.conflicts) if changes else []}
    if with_diff:
        body["diff"] = pull_requests.diff_of(connection, repo, changes) if changes else ""
    return body


def _event(event: Event) -> dict[str, Any]:
    data = _comment_data(event) if event.type == "comment" else dict(event.data)
    body = {"id": event.id, "type": event.type, "createdAt": iso(event.created_ms), "data": data}
    return body | _by(event.author_name)


def _comment_data(event: Event) -> dict[str, Any]:
    data, hidden = event.data, bool(event.data.get("hidden"))
    history = () if hidden else data.get("history", ())
    told: dict[str, Any] = {
        "edited": not hidden and "edited_ms" in data,
        "hidden": hidden,
        "latest": _text(event, "This comment has been hidden" if hidden else data["content"], data.get("edited_ms")),
        "numEdits": len(history),
        "history": [_text(event, each["content"], each["edited_ms"]) for each in history],
    }
    if hidden:
        told["hiddenBy"] = data.get("hidden_by", "")
    return told


def _text(event: Event, content: str, at_ms: int | None) -> dict[str, Any]:
    # The page's text as a browser may show it: Markdown is left to whoever renders it, and nothing in it is markup.
    rendered = "".join(f"<p>{html.escape(part)}</p>" for part in content.split("\n\n") if part.strip())
    moment = iso(event.created_ms if at_ms is None else at_ms)
    return {"raw": content, "html": rendered, "updatedAt": moment} | _by(event.author_name)


def _by(name: str | None) -> dict[str, Any]:
    return {} if name is None else {"author": {"name": name, "type": "user", "avatarUrl": ""}}


_BASE: Final = "/{owner}/{name}/discussions"
_ONE: Final = f"{_BASE}/{{number:[0-9]+}}"
# A comment has 64 Ki characters, of up to twelve bytes each in JSON.
_BODY_BYTES: Final = 1024 * 1024

ROUTES = (
    *for_kinds("GET", _BASE, listed),
    *for_kinds("POST", _BASE, opened, max_body_bytes=_BODY_BYTES),
    *for_kinds("GET", _ONE, told),
    *for_kinds("POST", f"{_ONE}/comment", comment, max_body_bytes=_BODY_BYTES),
    *for_kinds("POST", f"{_ONE}/title", title),
    *for_kinds("POST", f"{_ONE}/status", status, max_body_bytes=_BODY_BYTES),
    *for_kinds("POST", f"{_ONE}/merge", merge, max_body_bytes=_BODY_BYTES),
    *for_kinds("POST", f"{_ONE}/comment/{{comment}}/edit", edit, max_body_bytes=_BODY_BYTES),
    *for_kinds("POST", f"{_ONE}/comment/{{comment}}/hide", hide),
)
