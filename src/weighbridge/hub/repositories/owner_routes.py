"""Overviews of users and organisations: what they own, as the caller may see it, and who belongs to whom."""

from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, func, select

from weighbridge.hub.database.schema import account, discussion, membership, repository, repository_like
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.http.route import Call, Reply, get
from weighbridge.hub.repositories.query import behind_number, next_page
from weighbridge.hub.repositories.search import visible_to
from weighbridge.hub.repositories.times import iso

PAGE: Final = 1000


def user(call: Call) -> Reply:
    """Describe a user."""
    with call.hub.database.read() as connection:
        found = _account(connection, call.parts["name"], "user")
        told = {
            **_person(found),
            **_owned(connection, call, found.id),
            "numLikes": _count(connection, call, repository_like, repository_like.c.user_id == found.id),
            "numDiscussions": _count(connection, call, discussion, discussion.c.author_id == found.id),
            "numFollowers": 0,
            "numFollowing": 0,
            "numPapers": 0,
            "numUpvotes": 0,
            "isFollowing": False,
            "isPro": False,
            "createdAt": iso(found.created_ms),
            "orgs": _orgs(connection, found.id),
        }
    return Reply(body=told)


def organisation(call: Call) -> Reply:
    """Describe an organisation."""
    with call.hub.database.read() as connection:
        found = _account(connection, call.parts["name"], "org")
        told = {
            **_organisation(found),
            **_owned(connection, call, found.id),
            "numUsers": _members(connection, found.id),
            "numFollowers": 0,
            "isVerified": False,
            "isFollowing": False,
        }
    return Reply(body=told)


def members(call: Call) -> Reply:
    """List the members of an organisation."""
    after = behind_number(call)
    with call.hub.database.read() as connection:
        found = _account(connection, call.parts["name"], "org")
        rows = connection.execute(
            select(account)
            .join(membership, membership.c.user_id == account.c.id)
            .where(membership.c.org_id == found.id, account.c.id > after)
            .order_by(account.c.id)
            .limit(PAGE + 1)
        ).all()
    headers = next_page(call, rows[PAGE - 1].id) if len(rows) > PAGE else {}
    return Reply(body=[_person(row) for row in rows[:PAGE]], headers=headers)


def nobody(call: Call, kind: str) -> Reply:
    """List followers: this hub has no following, so none."""
    with call.hub.database.read() as connection:
        _account(connection, call.parts["name"], kind)
    return Reply(body=[])


def _account(connection: Connection, name: str, kind: str) -> Row[Any]:
    row = connection.execute(
        select(account).where(account.c.name_key == name.lower(), account.c.kind == kind)
    ).one_or_none()
    if row is None:
        raise Refusal(404, f"There is no {'user' if kind == 'user' else 'organisation'} {name!r}.")
    return row


def _person(row: Row[Any]) -> dict[str, Any]:
    return {
        "_id": f"{row.id:024x}",
        "user": row.name,
        "fullname": row.full_name or row.name,
        "avatarUrl": "",
        "type": "user",
    }


def _organisation(row: Row[Any]) -> dict[str, Any]:
    return {
        "_id": f"{row.id:024x}",
        "name": row.name,
        "fullname": row.full_name or row.name,
        "avatarUrl": "",
        "type": "org",
    }


def _owned(connection: Connection, call: Call, owner_id: int) -> dict[str, int]:
    rows = connection.execute(
        select(repository.c.kind, func.count())
        .join(account, account.c.id == repository.c.owner_id)
        .where(repository.c.owner_id == owner_id, visible_to(call.caller))
        .group_by(repository.c.kind)
    )
    counts = {kind: number for kind, number in rows}  # noqa: C416 - rows are not pairs to mypy
    return {
        "numModels": counts.get("model", 0),
        "numDatasets": counts.get("dataset", 0),
        "numSpaces": counts.get("space", 0),
    }


def _orgs(connection: Connection, user_id: int) -> list[dict[str, Any]]:
    rows = connection.execute(
        select(account)
        .join(membership, membership.c.org_id == account.c.id)
        .where(membership.c.user_id == user_id)
        .order_by(account.c.name_key)
    )
    return [_organisation(row) for row in rows]


def _count(connection: Connection, call: Call, table: Table, condition: ColumnElement[bool]) -> int:
    """Count rows that belong to repositories which the caller may know of."""
    counted = (
        select(func.count())
        .select_from(table)
        .join(repository, repository.c.id == table.c.repository_id)
        .join(account, account.c.id == repository.c.owner_id)
        .where(condition, visible_to(call.caller))
    )
    return int(connection.execute(counted).scalar_one())


def _members(connection: Connection, org_id: int) -> int:
    counted = select(func.count()).select_from(membership).where(membership.c.org_id == org_id)
    return int(connection.execute(counted).scalar_one())


ROUTES = (
    get("/api/users/{name}/overview", user),
    get("/api/users/{name}/followers", partial(nobody, kind="user")),
    get("/api/users/{name}/following", partial(nobody, kind="user")),
    get("/api/organizations/{name}/overview", organisation),
    get("/api/organizations/{name}/members", members),
    get("/api/organizations/{name}/followers", partial(nobody, kind="org")),
)
