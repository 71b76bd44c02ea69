"""Likes: given and taken back, and who likes what."""

from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.database.insert import insert_into
from weighbridge.hub.database.schema import account, repository, repository_like
from weighbridge.hub.http.refusal import Refusal, unauthenticated
from weighbridge.hub.http.route import Call, Reply, get
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.query import behind_number, next_page
from weighbridge.hub.repositories.search import visible_to
from weighbridge.hub.repositories.times import iso

PAGE: Final = 1000


def like(call: Call, kind: str) -> Reply:
    """Let the caller like a repository; doing it twice is doing it once."""
    return _set(call, kind, liked=True)


def unlike(call: Call, kind: str) -> Reply:
    """Take the caller's like back."""
    return _set(call, kind, liked=False)


def likers(call: Call, kind: str) -> Reply:
    """List who likes a repository."""
    after = behind_number(call)
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        rows = connection.execute(
            select(account.c.id, account.c.name, account.c.full_name)
            .join(repository_like, repository_like.c.user_id == account.c.id)
            .where(repository_like.c.repository_id == repo.id, account.c.id > after)
            .order_by(account.c.id)
            .limit(PAGE + 1)
        ).all()
    shown = [
        {"user": row.name, "fullname": row.full_name or row.name, "avatarUrl": "", "type": "user"}
        for row in rows[:PAGE]
    ]
    return Reply(body=shown, headers=next_page(call, rows[PAGE - 1].id) if len(rows) > PAGE else {})


def liked_by(call: Call) -> Reply:
    """List what a user likes, of what the caller may see."""
    after = behind_number(call)
    with call.hub.database.read() as connection:
        user_id = connection.execute(
            select(account.c.id).where(account.c.name_key == call.parts["user"].lower(), account.c.kind == "user")
        ).scalar_one_or_none()
        if user_id is None:
            raise Refusal(404, f"There is no user {call.parts['user']!r}.")
        rows = connection.execute(
            select(repository.c.id, repository.c.kind, repository.c.full_name, repository_like.c.created_ms)
            .join(repository_like, repository_like.c.repository_id == repository.c.id)
            .join(account, account.c.id == repository.c.owner_id)
            .where(repository_like.c.user_id == user_id, repository.c.id > after, visible_to(call.caller))
            .order_by(repository.c.id)
            .limit(PAGE + 1)
        ).all()
    shown = [
        {"createdAt": iso(row.created_ms), "repo": {"name": row.full_name, "type": row.kind}} for row in rows[:PAGE]
    ]
    return Reply(body=shown, headers=next_page(call, rows[PAGE - 1].id) if len(rows) > PAGE else {})


def _set(call: Call, kind: str, *, liked: bool) -> Reply:
    if call.caller.user_id is None:
        raise unauthenticated()
    with call.hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.DISCUSS, lock=True)
        row = {"repository_id": repo.id, "user_id": call.caller.user_id, "created_ms": call.hub.now_ms()}
        if liked:
            connection.execute(insert_into(connection, repository_like).on_conflict_do_nothing(), row)
        else:
            connection.execute(
                delete(repository_like).where(
                    repository_like.c.repository_id == repo.id, repository_like.c.user_id == call.caller.user_id
                )
            )
        _count(connection, repo.id)
    return Reply(body={})


def _count(connection: Connection, repository_id: int) -> None:
    likes = select(func.count()).where(repository_like.c.repository_id == repository_id).scalar_subquery()
    connection.execute(update(repository).where(repository.c.id == repository_id).values(likes=likes))


ROUTES = (
    *for_kinds("POST", "/{owner}/{name}/like", like),
    *for_kinds("DELETE", "/{owner}/{name}/like", unlike),
    *for_kinds("GET", "/{owner}/{name}/likers", likers),
    get("/api/users/{user}/likes", liked_by),
)
