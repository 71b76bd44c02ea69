"""Users, organisations, memberships and tokens: made, listed, changed, taken away.

Names follow the Hub's rule: letters, digits and single `-`, `_` or `.` between them, at most 96 characters.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from weighbridge.errors import InputError
from weighbridge.hub.accounts.caller import Scope
from weighbridge.hub.database.schema import account, membership, repository, token

ROLES = ("read", "contributor", "write", "admin")
TOKEN_ROLES = ("read", "write", "fineGrained")
PERMISSIONS = ("repo.content.read", "repo.write", "repo.access.read", "discussion.write", "org.read", "org.write")
ENTITIES = ("user", "org", "model", "dataset", "space", "bucket")
SECRET_LETTERS = 37
"""llama.cpp drops tokens of fewer than 34 letters without a word."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|[-_.](?=[A-Za-z0-9])){0,95}")
_ALPHABET = string.ascii_letters + string.digits
_RESERVED = re.compile(
    "admin|api|buckets|cas|datasets|docs|files|health|hub|join|kernels|login|logout|main|me|metrics"
    "|models|new|none|oauth|organizations|papers|resolve|settings|spaces|static|status|tree|uploads|v1|v2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user or an organisation; `id` is the database's."""

    id: int
    name: str
    kind: str
    full_name: str
    email: str
    is_admin: bool
    created_ms: int
    disabled_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """A token without its secret; `ending` are the secret's last four letters."""

    id: int
    user_name: str
    name: str
    role: str
    ending: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    used_ms: int | None


def add_account(
    connection: Connection,
    name: str,
    kind: str,
    *,
    now_ms: int,
    full_name: str = "",
    email: str = "",
    is_admin: bool = False,
) -> int:
    """Make a user (`kind` is `user`) or an organisation (`org`) and return its id.

    Raises:
        InputError: if the name is none, or taken.
    """
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name.lower()) or name.lower().endswith((".git", ".ipynb")):
        raise InputError(
            f"{name[:100]!r} cannot be the name of a {kind}",
            hint="Use letters, digits and single - _ . between them, at most 96, and none of the hub's own words.",
        )
    values = {"full_name": full_name[:200], "email": email[:320], "is_admin": is_admin, "created_ms": now_ms}
    try:
        with connection.begin_nested():
            made = connection.execute(
                insert(account).values(name=name, name_key=name.lower(), kind=kind, **values).returning(account.c.id)
            )
            return int(made.scalar_one())
    except IntegrityError as error:
        raise InputError(f"the name {name!r} is taken", hint="Choose another one.") from error


def find_account(connection: Connection, name: str, kind: str | None = None) -> Account:
    """Return the account of this name, whatever its case.

    Raises:
        InputError: if there is none of that kind.
    """
    row = connection.execute(select(account).where(account.c.name_key == name.lower())).one_or_none()
    if row is None or (kind and row.kind != kind):
        called = {"user": "user", "org": "organisation"}.get(kind or "", "user or organisation")
        raise InputError(
            f"there is no {called} {name!r}", hint="`weighbridge hub user list` lists users, `org list` organisations."
        )
    return _account(row)


def accounts(connection: Connection, kind: str) -> tuple[Account, ...]:
    """Return all accounts of a kind, in order of their names."""
    rows = connection.execute(select(account).where(account.c.kind == kind).order_by(account.c.name_key))
    return tuple(map(_account, rows))


def any_user(connection: Connection) -> bool:
    """Return whether this hub has a user."""
    return connection.execute(select(account.c.id).where(account.c.kind == "user").limit(1)).first() is not None


def disable(connection: Connection, name: str, *, now_ms: int | None) -> None:
    """Stop all tokens of a user from working from now on; None as time lets them work again."""
    found = find_account(connection, name, "user")
    connection.execute(update(account).where(account.c.id == found.id).values(disabled_ms=now_ms))


def remove_account(connection: Connection, name: str, kind: str) -> None:
    """Delete an account that owns nothing.

    Raises:
        InputError: if it owns repositories: they would go with it.
    """
    found = find_account(connection, name, kind)
    owned = connection.execute(
        select(func.count()).select_from(repository).where(repository.c.owner_id == found.id)
    ).scalar_one()
    if owned:
        raise InputError(
            f"{found.name} owns {owned} repositories",
            hint="Move or delete them first; `weighbridge hub user disable` stops a user at once.",
        )
    connection.execute(delete(account).where(account.c.id == found.id))


def set_role(connection: Connection, org: str, user: str, role: str | None) -> None:
    """Give a user a role in an organisation, instead of the one they have; None takes them out."""
    if role is not None and role not in ROLES:
        raise InputError(f"{role!r} is not a role", hint=f"Roles are {', '.join(ROLES)}.")
    org_id, user_id = find_account(connection, org, "org").id, find_account(connection, user, "user").id
    connection.execute(delete(membership).where(membership.c.org_id == org_id, membership.c.user_id == user_id))
    if role is not None:
        connection.execute(insert(membership).values(org_id=org_id, user_id=user_id, role=role))


def members(connection: Connection, org_id: int) -> tuple[tuple[str, str], ...]:
    """Return `(user name, role)` of an organisation's members, in order of names."""
    statement = (
        select(account.c.name, membership.c.role)
        .join(account, account.c.id == membership.c.user_id)
        .where(membership.c.org_id == org_id)
        .order_by(account.c.name_key)
    )
    return tuple((name, role) for name, role in connection.execute(statement))


def add_token(
    connection: Connection,
    user: str,
    name: str,
    role: str,
    *,
    now_ms: int,
    scopes: Sequence[Scope] = (),
    expires_ms: int | None = None,
) -> str:
    """Make a token and return its secret, which is kept nowhere.

    Raises:
        InputError: for an unknown user, role or permission.
    """
    if role not in TOKEN_ROLES:
        raise InputError(f"{role!r} is not a role of a token", hint=f"Roles are {', '.join(TOKEN_ROLES)}.")
    if (role == "fineGrained") != bool(scopes):
        raise InputError(
            "scopes belong to a fine-grained token, and it needs at least one",
            hint="Give --role fineGrained together with --scope TYPE:NAME:PERMISSION, or neither.",
        )
    for scope in scopes:
        _check_scope(scope)
    secret = "hf_" + "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_LETTERS))
    listed = [{"type": s.entity_type, "name": s.entity_name, "permissions": sorted(s.permissions)} for s in scopes]
    connection.execute(
        insert(token).values(
            user_id=find_account(connection, user, "user").id,
            name=name[:96],
            role=role,
            secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
            ending=secret[-4:],
            scopes=listed,
            created_ms=now_ms,
            expires_ms=expires_ms,
        )
    )
    return secret


def tokens(connection: Connection, user: str | None = None) -> tuple[TokenFacts, ...]:
    """Return the tokens of one user or of all."""
    columns = [token.c[name] for name in TokenFacts.__dataclass_fields__ if name != "user_name"]
    statement = select(*columns, account.c.name.label("user_name")).join(account, account.c.id == token.c.user_id)
    if user is not None:
        statement = statement.where(token.c.user_id == find_account(connection, user, "user").id)
    return tuple(TokenFacts(**row._mapping) for row in connection.execute(statement.order_by(token.c.id)))


def revoke_token(connection: Connection, token_id: int, *, now_ms: int) -> None:
    """Make a token useless from now on.

    Raises:
        InputError: if there is none of that number.
    """
    if not 0 < token_id < 1 << 63:
        raise _no_token(token_id)
    changed = connection.execute(
        update(token).where(token.c.id == token_id).values(revoked_ms=func.coalesce(token.c.revoked_ms, now_ms))
    )
    if not changed.rowcount:
        raise _no_token(token_id)


def _no_token(token_id: int) -> InputError:
    return InputError(f"there is no token {token_id}", hint="`weighbridge hub token list` lists them.")


def _check_scope(scope: Scope) -> None:
    if scope.entity_type not in ENTITIES:
        raise InputError(f"{scope.entity_type!r} cannot be in a scope", hint=f"It is one of {', '.join(ENTITIES)}.")
    if unknown := sorted(scope.permissions - set(PERMISSIONS)):
        raise InputError(f"{unknown[0]!r} is not a permission", hint=f"Permissions are {', '.join(PERMISSIONS)}.")


def _account(row: Row[tuple[object, ...]]) -> Account:
    return Account(**{name: row._mapping[name] for name in Account.__dataclass_fields__})
