"""Finds repositories: filters, orders and pages, among those that the caller may know of.

Pages go on behind the last row that was seen (its value in the order, and its number), so that a list of a million
repositories costs the same at its end as at its beginning, and does not shift while somebody reads it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, false, literal, or_, select, true, tuple_

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import SEEING
from weighbridge.hub.database.schema import account, repository, repository_tag
from weighbridge.hub.http.refusal import bad_request
from weighbridge.hub.repositories.find import COLUMNS, Repository, of_row

MAX_TERMS: Final = 32
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMBT]?)")
_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}

ORDERS: Final[Mapping[str, Any]] = {
    "lastModified": repository.c.modified_ms,
    "downloads": repository.c.downloads,
    "likes": repository.c.likes,
    "trendingScore": repository.c.likes,
    # Numbers are given in the order of creation.
    "createdAt": repository.c.id,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody looks for.

    Attributes:
        kind: `model`, `dataset` or `space`.
        tags: every one of which must be there.
        author: the owner's name; empty for any.
        search: words, each of which must occur in the full name.
        pipeline_tag: empty for any.
        gated: None for any.
        least_parameters: None for no bound.
        most_parameters: None for no bound.
        sort: one of `ORDERS`.
        ascending: the smallest or oldest first.
        limit: rows of a page.
        after: value and number of the last row seen; None to begin.
    """

    kind: str
    tags: tuple[str, ...] = ()
    author: str = ""
    search: tuple[str, ...] = ()
    pipeline_tag: str = ""
    gated: bool | None = None
    least_parameters: int | None = None
    most_parameters: int | None = None
    sort: str = "lastModified"
    ascending: bool = False
    limit: int = 1000
    after: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if len(self.tags) + len(self.search) > MAX_TERMS:
            raise bad_request(f"At most {MAX_TERMS} filters and words are looked for at once.")
        if self.sort not in ORDERS:
            raise bad_request(f"Invalid sort parameter: choose one of {', '.join(ORDERS)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of repositories, and where the next one begins; None at the end."""

    repositories: tuple[Repository, ...]
    after: tuple[int, int] | None


def search(connection: Connection, caller: Caller, asked: Question) -> Found:
    """Return a page of what the caller looks for."""
    order = ORDERS[asked.sort]
    key = (order,) if order is repository.c.id else (order, repository.c.id)
    statement = select(*COLUMNS).join(account, account.c.id == repository.c.owner_id)
    statement = _filtered(statement, asked).where(visible_to(caller))
    if asked.after is not None:
        last = asked.after[-len(key) :]
        behind = (
            tuple_(*key) > tuple_(*map(literal, last))
            if asked.ascending
            else tuple_(*key) < tuple_(*map(literal, last))
        )
        statement = statement.where(behind)
    statement = statement.order_by(*(column.asc() if asked.ascending else column.desc() for column in key))
    rows = [of_row(row) for row in connection.execute(statement.limit(asked.limit + 1))]
    page = tuple(rows[: asked.limit])
    return Found(repositories=page, after=_position(page[-1], asked.sort) if len(rows) > asked.limit else None)


def visible_to(caller: Caller) -> ColumnElement[bool]:
    """Return the condition that a repository (joined with its owner's account) may be known to the caller."""
    public = repository.c.visibility == "public"
    if caller.is_anonymous:
        return public
    if caller.is_admin:
        member: ColumnElement[bool] = true()
    else:
        member = repository.c.owner_id.in_([caller.user_id, *(org_id for org_id, _ in caller.orgs)])
    return or_(public, and_(member, _by_token(caller)))


def parameters_between(text: str) -> tuple[int | None, int | None]:
    """Return the bounds that `min:6B,max:128B` states.

    Raises:
        Refusal: 400 for anything else.
    """
    bounds: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.strip().partition(":")
        match = _SIZE.fullmatch(size.strip().upper())
        if name not in ("min", "max") or match is None or len(match[1]) > 15:
            raise bad_request("'num_parameters' has the form min:6B,max:128B.")
        bounds[name] = min(int(float(match[1]) * _FACTORS[match[2]]), 2**62)
    return bounds.get("min"), bounds.get("max")


def _filtered(statement: Select[Any], asked: Question) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = [repository.c.kind == asked.kind]
    for tag in asked.tags:
        tagged = select(repository_tag.c.repository_id).where(repository_tag.c.tag == tag)
        conditions.append(repository.c.id.in_(tagged))
    if asked.author:
        owner = select(account.c.id).where(account.c.name_key == asked.author.lower()).scalar_subquery()
        conditions.append(repository.c.owner_id == owner)
    conditions += (repository.c.name_key.contains(word.lower(), autoescape=True) for word in asked.search)
    if asked.pipeline_tag:
        conditions.append(repository.c.pipeline_tag == asked.pipeline_tag)
    if asked.gated is not None:
        conditions.append(repository.c.gated != "" if asked.gated else repository.c.gated == "")
    if asked.least_parameters is not None:
        conditions.append(repository.c.parameters >= asked.least_parameters)
    if asked.most_parameters is not None:
        conditions.append(repository.c.parameters <= asked.most_parameters)
    return statement.where(*conditions)


def _by_token(caller: Caller) -> ColumnElement[bool]:
    """What a token lets its user see, as `accounts.permission` says for one repository."""
    if caller.grant in ("read", "write"):
        return true()
    seeing = [scope for scope in caller.scopes if scope.permissions & SEEING]
    owners = [
        and_(account.c.kind == scope.entity_type, account.c.name_key == scope.entity_name.lower())
        for scope in seeing
        if scope.entity_type in ("user", "org")
    ]
    named = [
        and_(repository.c.kind == scope.entity_type, repository.c.name_key == scope.entity_name.lower())
        for scope in seeing
        if scope.entity_type not in ("user", "org")
    ]
    return or_(false(), *owners, *named)


def _position(last: Repository, sort: str) -> tuple[int, int]:
    value = {
        "lastModified": last.modified_ms,
        "downloads": last.downloads,
        "likes": last.likes,
        "trendingScore": last.likes,
        "createdAt": last.id,
    }[sort]
    return value, last.id
