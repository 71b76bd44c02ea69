"""What a caller may do to a repository: one table, one function.

Three things must agree: what the user is to the owner, what their token allows, and, for reading, the repository's
gate. Whoever may not even know of a repository is told that there is none.
"""

from enum import Enum
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.database.schema import access_request, repository
from weighbridge.hub.http.refusal import GATED_REPO, Refusal, forbidden, repo_not_found, unauthenticated
from weighbridge.hub.repositories.name import PREFIXES

if TYPE_CHECKING:
    from weighbridge.hub.repositories.find import Repository


class Access(Enum):
    """What somebody wants to do to a repository."""

    SEE = "see"  # that it is there, its names, sizes and settings
    READ = "read"  # what its files say
    DISCUSS = "discuss"  # comment, open a pull request
    WRITE = "write"  # commit, branch, tag
    ADMIN = "admin"  # settings, move, delete, decide on access requests


# What a role in the organisation that owns a repository allows; the owner of a personal one counts as its admin.
_BY_ROLE = {
    "read": {Access.SEE, Access.READ, Access.DISCUSS},
    "contributor": {Access.SEE, Access.READ, Access.DISCUSS},
    # As on the Hub: who may write to an organisation's repositories also makes, renames and deletes them.
    "write": set(Access),
    "admin": set(Access),
}

_BY_SCOPE = {
    "repo.content.read": {Access.SEE, Access.READ},
    "repo.write": {Access.SEE, Access.READ, Access.DISCUSS, Access.WRITE, Access.ADMIN},
    "repo.access.read": {Access.SEE},
    "discussion.write": {Access.SEE, Access.DISCUSS},
}

SEEING = frozenset(scope for scope, allowed in _BY_SCOPE.items() if Access.SEE in allowed)
"""The scopes of a fine-grained token by which its user sees a repository."""


def may(connection: Connection, caller: Caller, repo: "Repository", access: Access) -> None:
    """Return if the caller may do this.

    Raises:
        Refusal: as `repositories.find.find` says.
    """
    role = role_in(connection, caller, repo)
    allowed = _by_token(caller, repo)
    if repo.visibility == "private" and not (role and Access.SEE in allowed):
        raise repo_not_found(anonymous=caller.is_anonymous)
    if access is Access.SEE:
        return
    if access is Access.READ:
        if repo.visibility == "private" and access not in allowed:
            raise _beyond_token(caller, access)
        _may_read(connection, caller, repo, member=bool(role) and access in allowed)
        return
    if caller.is_anonymous:
        raise unauthenticated()
    if access not in allowed:
        raise _beyond_token(caller, access)
    if access is Access.DISCUSS:
        return
    if access not in _BY_ROLE.get(role, ()):
        raise forbidden(f"You need the role of {access.value} for {repo.full_name}.")


def role_in(connection: Connection, caller: Caller, repo: "Repository") -> str:
    """Return the caller's role for this repository: one of `_BY_ROLE`, or nothing."""
    if caller.is_anonymous:
        return ""
    if caller.is_admin or caller.user_id == repo.owner_id:
        return "admin"
    role = dict(caller.orgs).get(repo.owner_id, "")
    if role == "contributor" and created_by(connection, repo.id) == caller.user_id:
        return "write"
    return role


def created_by(connection: Connection, repository_id: int) -> int | None:
    """Return the account that made the repository."""
    found: int | None = connection.execute(
        select(repository.c.creator_id).where(repository.c.id == repository_id)
    ).scalar_one_or_none()
    return found


def may_create(caller: Caller, owner_id: int, owner_name: str) -> None:
    """Return if the caller may make repositories of this owner.

    Raises:
        Refusal: 401 or 403.
    """
    if caller.is_anonymous:
        raise unauthenticated()
    scopes = [s for s in caller.scopes if s.entity_type in ("user", "org") and _same(s.entity_name, owner_name)]
    granted = caller.grant == "write" or any("repo.write" in s.permissions for s in scopes)
    if not granted:
        raise forbidden(f"Your token {caller.token_name!r} does not allow writing to {owner_name}.")
    if caller.is_admin or caller.user_id == owner_id:
        return
    if dict(caller.orgs).get(owner_id) not in ("contributor", "write", "admin"):
        raise forbidden(f"You don't have the rights to create a repository under the namespace {owner_name!r}.")


def _beyond_token(caller: Caller, access: Access) -> Refusal:
    return forbidden(f"Your token {caller.token_name!r} does not allow this: it needs the right to {access.value}.")


def _by_token(caller: Caller, repo: "Repository") -> set[Access]:
    if caller.grant == "write":
        return set(Access)
    if caller.grant == "read":
        return {Access.SEE, Access.READ}
    names = {repo.kind: repo.full_name, repo.owner_kind: repo.owner_name}
    allowed: set[Access] = set()
    for scope in caller.scopes:
        if _same(scope.entity_name, names.get(scope.entity_type, "")):
            allowed.update(*(_BY_SCOPE.get(permission, set()) for permission in scope.permissions))
    return allowed


def _may_read(connection: Connection, caller: Caller, repo: "Repository", *, member: bool) -> None:
    if not repo.gated or member:
        return
    ask = f"Access to {repo.kind} {repo.full_name} is restricted."
    if caller.is_anonymous:
        raise Refusal(401, f"{ask} You must have access to it and be authenticated: log in.", code=GATED_REPO)
    status = connection.execute(
        select(access_request.c.status).where(
            access_request.c.repository_id == repo.id, access_request.c.user_id == caller.user_id
        )
    ).scalar_one_or_none()
    if status == "accepted":
        if caller.grant == "fineGrained" and Access.READ not in _by_token(caller, repo):
            raise Refusal(403, f"{ask} Your fine-grained token does not cover it.", code=GATED_REPO)
        return
    said = {
        None: f"Ask for it with a POST to /{PREFIXES[repo.kind]}{repo.full_name}/ask-access.",
        "pending": "Your request to access it is awaiting a review by its authors.",
        "rejected": "Your request to access it has been rejected by its authors.",
    }
    raise Refusal(403, f"{ask} {said[status]}", code=GATED_REPO)


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
