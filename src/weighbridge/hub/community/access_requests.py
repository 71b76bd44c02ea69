"""Who asked to read a gated repository, and what its authors decided. `accounts.permission` reads the same table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.community.access_form import form_of
from weighbridge.hub.database.insert import insert_into
from weighbridge.hub.database.schema import access_request, account, membership
from weighbridge.hub.http.refusal import Refusal, bad_request, forbidden, unauthenticated
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.front_matter import clean

STATUSES: Final = ("pending", "accepted", "rejected")
MAX_REASON_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """A request: who asked (`user_name`, `full_name`, `email`), how it stands, and what was answered (`fields`)."""

    id: int
    user_name: str
    full_name: str
    email: str
    status: str
    fields: Mapping[str, Any]
    reason: str
    asked_ms: int
    decided_ms: int | None


def ask(connection: Connection, caller: Caller, repo: Repository, given: Mapping[str, object], *, now_ms: int) -> str:
    """Enter the caller's request with their answers, and return its status.

    Asked again, a request that is pending or accepted keeps its status and takes the new answers, so that whoever has
    access can agree to a new text of the terms.

    Args:
        connection: a writing transaction.
        caller: who was found to be allowed to see the repository.
        repo: the repository.
        given: answers by label, and perhaps `terms_sha256`, the terms that the caller saw.
        now_ms: the time.

    Raises:
        Refusal: 401 for nobody in particular; 400 if the repository is not gated, the caller needs no request or an
            answer is missing; 403 after a rejection; 409 if the terms have changed.
    """
    if caller.is_anonymous:
        raise unauthenticated()
    if caller.grant == "fineGrained":
        raise forbidden("A fine-grained token does not agree to terms for you: ask by a read or write token.")
    _check_gated(repo)
    if _is_member(connection, int(caller.user_id or 0), repo):
        raise bad_request(f"You need no request: you have access to {repo.full_name}.")
    fields = form_of(repo).answered(given)
    status = "accepted" if repo.gated == "auto" else "pending"
    mine = (access_request.c.repository_id == repo.id) & (access_request.c.user_id == caller.user_id)
    if _inserted(connection, repo.id, int(caller.user_id or 0), status, fields, now_ms=now_ms):
        return status
    before = connection.execute(select(access_request.c.status).where(mine).with_for_update()).scalar_one()
    if before == "rejected":
        raise forbidden(f"Your request to access {repo.full_name} has been rejected by its authors.")
    # A request from before the gate opened by itself is let in like a new one.
    status = "accepted" if "accepted" in (before, status) else before
    connection.execute(update(access_request).where(mine).values(status=status, fields=fields, asked_ms=now_ms))
    return status


def standing(connection: Connection, caller: Caller, repo: Repository) -> str:
    """Return the status of the caller's own request; empty if there is none."""
    mine = (access_request.c.repository_id == repo.id) & (access_request.c.user_id == caller.user_id)
    return connection.execute(select(access_request.c.status).where(mine)).scalar_one_or_none() or ""


def page(
    connection: Connection, repo: Repository, status: str | None, *, after: int, limit: int
) -> tuple[AccessRequest, ...]:
    """Return requests of a status (None: of any) in order of their numbers, behind `after`."""
    statement = _ROWS.where(access_request.c.repository_id == repo.id, access_request.c.id > after)
    if status is not None:
        statement = statement.where(access_request.c.status == status)
    rows = connection.execute(statement.order_by(access_request.c.id).limit(limit))
    return tuple(_of(row) for row in rows)


def decide(
    connection: Connection,
    caller: Caller,
    repo: Repository,
    *,
    user: str | None,
    request_id: int | None,
    status: str,
    reason: str = "",
    now_ms: int,
) -> None:
    """Give a request another status; the caller was found to be allowed to.

    Raises:
        Refusal: 400 if the repository is not gated; 404 if there is no such user or request, or it has that status.
    """
    _check_gated(repo)
    which = access_request.c.id == request_id
    if user is not None:
        which = access_request.c.user_id == user_id_of(connection, user)
    row = connection.execute(
        select(access_request.c.id, access_request.c.status)
        .where(access_request.c.repository_id == repo.id, which)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise Refusal(404, "There is no such access request.")
    if row.status == status:
        raise Refusal(404, f"This access request is already {status}.")
    _decided(connection, caller, row.id, status, reason, now_ms=now_ms)


def grant(connection: Connection, caller: Caller, repo: Repository, user: str, *, now_ms: int) -> None:
    """Let a user in who need not have asked; the caller was found to be allowed to.

    Raises:
        Refusal: 400 if the repository is not gated or the user has access; 404 if there is no such user.
    """
    _check_gated(repo)
    user_id = user_id_of(connection, user)
    if _is_member(connection, user_id, repo):
        raise bad_request(f"{user} already has access to {repo.full_name}.")
    _inserted(connection, repo.id, user_id, "pending", {}, now_ms=now_ms)
    row = connection.execute(
        select(access_request.c.id, access_request.c.status)
        .where(access_request.c.repository_id == repo.id, access_request.c.user_id == user_id)
        .with_for_update()
    ).one()
    if row.status == "accepted":
        raise bad_request(f"{user} already has access to {repo.full_name}.")
    _decided(connection, caller, row.id, "accepted", "", now_ms=now_ms)


def user_id_of(connection: Connection, name: str) -> int:
    """Return the number of a user.

    Raises:
        Refusal: 404 if there is none of this name.
    """
    named = (account.c.name_key == name.lower()) & (account.c.kind == "user")
    # What no name holds, PostgreSQL would not even look for.
    found = connection.execute(select(account.c.id).where(named)).scalar() if clean(name) == name else None
    if found is None:
        raise Refusal(404, "There is no user of this name.")
    return int(found)


def check_manager(connection: Connection, caller: Caller, repo: Repository) -> None:
    """Return if the caller may see and decide on requests: whoever may write.

    Raises:
        Refusal: as `permission.may`; 400 if the repository is not gated.
    """
    may(connection, caller, repo, Access.WRITE)
    _check_gated(repo)


_ROWS = select(
    access_request.c.id,
    account.c.name.label("user_name"),
    account.c.full_name,
    account.c.email,
    *(access_request.c[name] for name in ("status", "fields", "reason", "asked_ms", "decided_ms")),
).join(account, account.c.id == access_request.c.user_id)


def _of(row: Row[Any]) -> AccessRequest:
    return AccessRequest(**row._mapping)


def _check_gated(repo: Repository) -> None:
    if not repo.gated:
        raise bad_request(f"{repo.full_name} is not gated.")


def _is_member(connection: Connection, user_id: int, repo: Repository) -> bool:
    if user_id == repo.owner_id:
        return True
    belongs = (membership.c.org_id == repo.owner_id) & (membership.c.user_id == user_id)
    return connection.execute(select(membership.c.role).where(belongs)).first() is not None


def _inserted(
    connection: Connection, repository_id: int, user_id: int, status: str, fields: dict[str, Any], *, now_ms: int
) -> bool:
    """Insert a request unless the user has one; say whether it is new. Two that come at once make one row."""
    row = {
        "repository_id": repository_id,
        "user_id": user_id,
        "status": status,
        "fields": fields,
        "reason": "",
        "asked_ms": now_ms,
    }
    fresh = insert_into(connection, access_request).values(**row).on_conflict_do_nothing()
    # Without this, what PostgreSQL's driver says of an INSERT is -1.
    return connection.execute(fresh.execution_options(preserve_rowcount=True)).rowcount == 1


def _decided(connection: Connection, caller: Caller, request_id: int, status: str, reason: str, *, now_ms: int) -> None:
    values = {"status": status, "reason": clean(reason) if status == "rejected" else ""}
    decided: dict[str, int | None] = {"decided_ms": None, "decided_by": None}
    if status != "pending":
        decided = {"decided_ms": now_ms, "decided_by": caller.user_id}
    connection.execute(update(access_request).where(access_request.c.id == request_id).values(**values, **decided))
