"""From the header `Authorization` to a `Caller`."""

import base64
import binascii
import hashlib
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, select

from weighbridge.hub.accounts.caller import Caller, Scope
from weighbridge.hub.database.schema import account, membership, token
from weighbridge.hub.http.refusal import unauthenticated

_MAX_HEADER = 4096


def secret_of(authorization: str) -> str:
    """Return the token that the header carries: as bearer, or as the password that git sends; empty for none.

    Raises:
        Refusal: 401 for a header of another form.
    """
    if not authorization:
        return ""
    scheme, _, rest = authorization[:_MAX_HEADER].partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError) as error:
            raise unauthenticated("The header Authorization cannot be read.") from error
    raise unauthenticated("Authorization must be a bearer token.")


def caller_of(connection: Connection, secret: str, *, now_ms: int) -> Caller:
    """Return who holds the token; `Caller.anonymous` for none.

    Raises:
        Refusal: 401 for a token that is unknown, expired or revoked, or whose user is disabled.
    """
    if not secret:
        return Caller.anonymous
    # A header may hold bytes that are no UTF-8; they belong to no token.
    digest = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
    return _identified(connection, _BY_SECRET, digest, now_ms)


def caller_of_token(connection: Connection, token_id: int, *, now_ms: int) -> Caller:
    """Return who holds the token of this id: for what the hub itself issued in that token's name.

    Raises:
        Refusal: 401 as `caller_of`.
    """
    return _identified(connection, _BY_ID, token_id, now_ms)


# Made once: for queries as small as these, putting them together costs more than asking them.
_HELD = select(token, account.c.name.label("user_name"), account.c.is_admin, account.c.disabled_ms).join(
    account, account.c.id == token.c.user_id
)
_BY_SECRET = _HELD.where(token.c.secret_sha256 == bindparam("which"))
_BY_ID = _HELD.where(token.c.id == bindparam("which"))
_ROLES = select(membership.c.org_id, membership.c.role).where(membership.c.user_id == bindparam("user_id"))


def _identified(connection: Connection, statement: Select[Any], which: str | int, now_ms: int) -> Caller:
    row = connection.execute(statement, {"which": which}).one_or_none()
    if row is None or row.revoked_ms is not None or row.disabled_ms is not None:
        # In these very words: at any other 401 over HTTPS huggingface_hub says that the repository is not there.
        raise unauthenticated("Invalid credentials in Authorization header")
    if row.expires_ms is not None and row.expires_ms <= now_ms:
        raise unauthenticated("Your access token has expired.")
    orgs = connection.execute(_ROLES, {"user_id": row.user_id})
    return _caller(row, tuple((org, role) for org, role in orgs))


def _caller(row: Row[Any], orgs: tuple[tuple[int, str], ...]) -> Caller:
    return Caller(
        user_id=row.user_id,
        name=row.user_name,
        is_admin=row.is_admin,
        orgs=orgs,
        token_id=row.id,
        token_name=row.name,
        grant=row.role,
        scopes=tuple(
            Scope(entity_type=s["type"], entity_name=s["name"], permissions=frozenset(s["permissions"]))
            for s in row.scopes
        ),
    )
