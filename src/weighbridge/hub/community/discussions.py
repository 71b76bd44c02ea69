"""Discussions and pull requests as threads of events: opened, commented on, renamed, closed.

Whoever may see and read a repository may discuss it. An event is never taken away; a comment may be edited by its
author, and hidden, which erases its text for good. Whoever adds to a thread holds the repository's row, so numbers of
threads and positions of events have no gaps and no doubles.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.community.thread_limits import check_room, check_stranger, size_of
from weighbridge.hub.database.schema import account, discussion, discussion_event, repository
from weighbridge.hub.http.refusal import Refusal, bad_request, conflict, forbidden
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.front_matter import clean

MAX_TITLE_CHARACTERS: Final = 250
MAX_COMMENT_CHARACTERS: Final = 65_536
MAX_EVENTS: Final = 5_000
_MAX_COMMITS: Final = 4 * MAX_EVENTS
MAX_EDITS: Final = 20
"""So many former texts of a comment are kept; the first edits go first."""

OPEN: Final = ("open", "draft")
CLOSED: Final = ("closed", "merged")
STATUSES: Final = {"all": (*OPEN, *CLOSED), "open": OPEN, "closed": CLOSED}
TYPES: Final = ("all", "discussion", "pull_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A discussion or a pull request: a row of the table `discussion`, with its author's name (None if deleted)."""

    number: int
    title: str
    status: str
    is_pull_request: bool
    target: str
    author_id: int | None
    author_name: str | None
    merge_commit: str | None
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a thread; `type` is comment, status-change, title-change or commit, and says what `data` holds."""

    id: str
    type: str
    author_id: int | None
    author_name: str | None
    created_ms: int
    data: Mapping[str, Any]


def open_thread(
    connection: Connection,
    repo: Repository,
    caller: Caller,
    *,
    title: str,
    description: str,
    now_ms: int,
    status: str = "open",
    target: str = "",
) -> int:
    """Open a discussion (with a `target`, a pull request) and return its number.

    The caller holds the repository's row, and was found to be allowed to discuss.

    Raises:
        Refusal: 409 for somebody who may not write and has opened too many.
    """
    check_stranger(connection, repo, caller)
    counter = select(repository.c.next_discussion).where(repository.c.id == repo.id)
    number = int(connection.execute(counter).scalar_one())
    connection.execute(update(repository).where(repository.c.id == repo.id).values(next_discussion=number + 1))
    values = {
        "repository_id": repo.id,
        "number": number,
        "title": title,
        "status": status,
        "is_pull_request": bool(target),
        "author_id": caller.user_id,
        "created_ms": now_ms,
    }
    connection.execute(insert(discussion).values(**values, **({"target": target} if target else {})))
    add_event(connection, repo, number, "comment", caller, {"content": description}, now_ms=now_ms)
    return number


def find_thread(connection: Connection, repo: Repository, number: int) -> Thread:
    """Return a thread of the repository.

    Raises:
        Refusal: 404 if there is none of this number.
    """
    statement = _THREADS.where(discussion.c.repository_id == repo.id, discussion.c.number == number)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise Refusal(404, f"There is no discussion {number} here.")
    return Thread(**row._mapping)


def page(
    connection: Connection, repo: Repository, *, author: str | None, type_: str, status: str, skip: int, limit: int
) -> tuple[int, tuple[Thread, ...]]:
    """Return how many threads match, and those behind the first `skip`, the newest first."""
    matching: ColumnElement[bool] = discussion.c.repository_id == repo.id
    if status != "all":
        matching &= discussion.c.status.in_(STATUSES[status])
    if type_ != "all":
        matching &= discussion.c.is_pull_request == (type_ == "pull_request")
    if author is not None:
        named = select(account.c.id).where(account.c.name_key == clean(author).lower())
        matching &= discussion.c.author_id.in_(named)
    count = connection.execute(select(func.count()).select_from(discussion).where(matching)).scalar_one()
    rows = connection.execute(_THREADS.where(matching).order_by(discussion.c.number.desc()).offset(skip).limit(limit))
    return int(count), tuple(Thread(**row._mapping) for row in rows)


def events_of(connection: Connection, repo: Repository, number: int) -> tuple[Event, ...]:
    """Return the events of a thread in the order in which they came."""
    here = (discussion_event.c.repository_id == repo.id) & (discussion_event.c.number == number)
    rows = connection.execute(_EVENTS.where(here).order_by(discussion_event.c.position))
    return tuple(_event(row) for row in rows)


def add_event(
    connection: Connection,
    repo: Repository,
    number: int,
    type_: str,
    caller: Caller,
    data: Mapping[str, Any],
    *,
    now_ms: int,
) -> Event:
    """Add an event at the end of a thread; the caller holds the repository's row.

    Raises:
        Refusal: 409 if the thread is full.
    """
    if type_ == "comment":
        check_room(connection, repo, number, more_bytes=size_of(data))
    here = (discussion_event.c.repository_id == repo.id) & (discussion_event.c.number == number)
    position = connection.execute(select(func.coalesce(func.max(discussion_event.c.position) + 1, 0)).where(here))
    at = int(position.scalar_one())
    # Commits still go into a full thread: they must not be stopped by talk. And it can always be closed.
    if (at >= MAX_EVENTS and type_ == "comment") or (at >= _MAX_COMMITS and type_ == "commit"):
        raise conflict(f"A discussion has at most {at:,} events: open a new one.")
    if at >= MAX_EVENTS and type_ in ("title-change", "status-change"):
        may(connection, caller, repo, Access.WRITE)
    event_id = secrets.token_hex(12)
    row = {"id": event_id, "repository_id": repo.id, "number": number, "position": at, "type": type_}
    connection.execute(
        insert(discussion_event).values(**row, author_id=caller.user_id, created_ms=now_ms, data=dict(data))
    )
    return Event(
        id=event_id,
        type=type_,
        author_id=caller.user_id,
        author_name=caller.name,
        created_ms=now_ms,
        data=data,
    )


def rename(
    connection: Connection, repo: Repository, caller: Caller, thread: Thread, title: str, *, now_ms: int
) -> Event:
    """Give a thread another title: its author may, and who may write.

    Raises:
        Refusal: 403.
    """
    check_author(connection, repo, caller, thread.author_id)
    _set(connection, repo, thread.number, title=title)
    data = {"from": thread.title, "to": title}
    return add_event(connection, repo, thread.number, "title-change", caller, data, now_ms=now_ms)


def change_status(
    connection: Connection, repo: Repository, caller: Caller, thread: Thread, status: str, *, now_ms: int
) -> Event:
    """Open or close a thread: its author may, and who may write. A draft becomes a pull request by being opened.

    Raises:
        Refusal: 403; 409 if it is merged, or has that status.
    """
    check_author(connection, repo, caller, thread.author_id)
    if thread.status == "merged":
        raise conflict("A merged pull request stays as it is.")
    if thread.status == status:
        raise conflict(f"The discussion is already {status}.")
    _set(connection, repo, thread.number, status=status)
    return add_event(connection, repo, thread.number, "status-change", caller, {"status": status}, now_ms=now_ms)


def mark_merged(
    connection: Connection, repo: Repository, caller: Caller, thread: Thread, data: Mapping[str, Any], *, now_ms: int
) -> Event:
    """Note that a pull request is merged; `data` names `merge_commit`, and what was merged onto what."""
    _set(connection, repo, thread.number, status="merged", merge_commit=data["merge_commit"])
    merged = {"status": "merged", **data}
    return add_event(connection, repo, thread.number, "status-change", caller, merged, now_ms=now_ms)


def find_comment(connection: Connection, repo: Repository, number: int, event_id: str) -> Event:
    """Return a comment of a thread.

    Raises:
        Refusal: 404.
    """
    mine = (discussion_event.c.repository_id == repo.id) & (discussion_event.c.number == number)
    is_comment = (discussion_event.c.id == clean(event_id)) & (discussion_event.c.type == "comment")
    row = connection.execute(_EVENTS.where(mine, is_comment)).one_or_none()
    if row is None:
        raise Refusal(404, "There is no such comment here.")
    return _event(row)


def edit(
    connection: Connection,
    repo: Repository,
    caller: Caller,
    number: int,
    comment: Event,
    content: str,
    *,
    now_ms: int,
) -> Event:
    """Replace the text of a comment of the thread `number`: its author may, nobody else.

    Raises:
        Refusal: 403; 409 if it is hidden, or the thread full.
    """
    if caller.user_id is None or comment.author_id != caller.user_id:
        raise forbidden("Only its author may edit a comment.")
    if comment.data.get("hidden"):
        raise conflict("A hidden comment cannot be edited.")
    before = {"content": comment.data["content"], "edited_ms": comment.data.get("edited_ms", comment.created_ms)}
    history = [*comment.data.get("history", ()), before][-MAX_EDITS:]
    data = {"content": content, "edited_ms": now_ms, "history": history}
    check_room(connection, repo, number, more_bytes=size_of(data) - size_of(comment.data))
    return _changed(connection, comment, data)


def hide(connection: Connection, repo: Repository, caller: Caller, comment: Event) -> Event:
    """Erase the text of a comment, former ones too: its author may, and who may write.

    Raises:
        Refusal: 403.
    """
    check_author(connection, repo, caller, comment.author_id)
    return _changed(connection, comment, {"content": "", "hidden": True, "hidden_by": caller.name})


def check_author(connection: Connection, repo: Repository, caller: Caller, author_id: int | None) -> None:
    """Return if the caller is the author, or may write to the repository.

    Raises:
        Refusal: 403.
    """
    if caller.user_id is None or author_id != caller.user_id:
        may(connection, caller, repo, Access.WRITE)


def title_of(value: object) -> str:
    """Return the title of a thread, on one line.

    Raises:
        Refusal: 400 if it is none.
    """
    title = " ".join(clean(value).split()) if isinstance(value, str) else ""
    if not title or len(title) > MAX_TITLE_CHARACTERS:
        raise bad_request(f"A discussion has a title of 1 to {MAX_TITLE_CHARACTERS} characters.")
    return title


def content_of(value: object) -> str:
    """Return the text of a comment.

    Raises:
        Refusal: 400 if it is none.
    """
    content = clean(value) if isinstance(value, str) else ""
    if not content.strip() or len(content) > MAX_COMMENT_CHARACTERS:
        raise bad_request(f"A comment has 1 to {MAX_COMMENT_CHARACTERS:,} characters.")
    return content


_THREADS = select(
    *(discussion.c[name] for name in Thread.__dataclass_fields__ if name != "author_name"),
    account.c.name.label("author_name"),
).outerjoin(account, account.c.id == discussion.c.author_id)
_EVENTS = select(
    *(discussion_event.c[name] for name in Event.__dataclass_fields__ if name != "author_name"),
    account.c.name.label("author_name"),
).outerjoin(account, account.c.id == discussion_event.c.author_id)


def _event(row: Any) -> Event:
    return Event(**row._mapping)


def _set(connection: Connection, repo: Repository, number: int, **values: object) -> None:
    here = (discussion.c.repository_id == repo.id) & (discussion.c.number == number)
    connection.execute(update(discussion).where(here).values(**values))


def _changed(connection: Connection, comment: Event, data: dict[str, Any]) -> Event:
    connection.execute(update(discussion_event).where(discussion_event.c.id == comment.id).values(data=data))
    return Event(
        id=comment.id,
        type=comment.type,
        author_id=comment.author_id,
        author_name=comment.author_name,
        created_ms=comment.created_ms,
        data=data,
    )
