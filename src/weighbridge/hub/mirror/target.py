"""The repository that something is mirrored into: found, or made as one that nobody sees yet."""

from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from weighbridge.errors import InputError
from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.database.schema import account, former_name, repository
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.name import split_full_name

OPERATOR: Final = Caller(user_id=0, name="operator", is_admin=True, grant="write")
"""Whoever runs commands on the hub itself may do everything; nobody's account has the number 0."""

MIRROR: Final = "mirror"
"""The entry in a repository's settings that says where it comes from."""


def target_of(connection: Connection, kind: str, full_name: str, *, lock: bool = True) -> Repository | None:
    """Return the repository of this name, or None."""
    try:
        return find(connection, OPERATOR, kind, full_name, Access.ADMIN, lock=lock)
    except Refusal:
        return None


def target(connection: Connection, kind: str, full_name: str, *, now_ms: int) -> Repository:
    """Return the repository of this name; make it, private and without a commit, if there is none.

    Raises:
        InputError: if it cannot be called so, or its owner is not on this hub.
    """
    found = target_of(connection, kind, full_name)
    if found is not None:
        return found
    try:
        owner, name = split_full_name(full_name)
    except Refusal as refusal:
        raise InputError(
            refusal.message, place=full_name[:200], hint="Give another name by --to OWNER/NAME."
        ) from refusal
    holder = connection.execute(select(account).where(account.c.name_key == owner.lower())).one_or_none()
    if holder is None:
        raise InputError(
            f"this hub has neither a user nor an organisation {owner!r}",
            place=full_name,
            hint=f"Make it with `weighbridge hub org add {owner}`, or put the repository elsewhere by --to OWNER/NAME.",
        )
    _insert(connection, kind, holder, f"{holder.name}/{name}", now_ms)
    return find(connection, OPERATOR, kind, f"{holder.name}/{name}", Access.ADMIN, lock=True)


def note(connection: Connection, repository_id: int, **values: Any) -> None:
    """Change columns of a repository's row, which the transaction holds."""
    connection.execute(update(repository).where(repository.c.id == repository_id).values(**values))


def _insert(connection: Connection, kind: str, holder: Any, full_name: str, now_ms: int) -> None:
    row = {
        "kind": kind,
        "owner_id": holder.id,
        "full_name": full_name,
        "name_key": full_name.lower(),
        "visibility": "private",
        "created_ms": now_ms,
        "modified_ms": now_ms,
        "creator_id": holder.id if holder.kind == "user" else None,
        "settings": {MIRROR: {"pending": True}},
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(repository).values(**row))
    except IntegrityError:
        return  # somebody else made it a moment ago
    connection.execute(
        delete(former_name).where(former_name.c.kind == kind, former_name.c.name_key == full_name.lower())
    )
