"""`/api/whoami-v2`: who a token belongs to and what it may do."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.database.schema import account, membership, token
from weighbridge.hub.http.refusal import unauthenticated
from weighbridge.hub.http.route import Call, Reply, get


def whoami(call: Call) -> Reply:
    """Answer with the caller's account, organisations and token."""
    if call.caller.is_anonymous:
        raise unauthenticated("Invalid user token.")
    with call.hub.database.read() as connection:
        return Reply(body=_described(connection, call.caller))


def _described(connection: Connection, caller: Caller) -> dict[str, Any]:
    user = connection.execute(select(account).where(account.c.id == caller.user_id)).one()
    used = connection.execute(select(token).where(token.c.id == caller.token_id)).one()
    access: dict[str, Any] = {
        "displayName": used.name,
        "role": used.role,
        "createdAt": datetime.fromtimestamp(used.created_ms / 1000, UTC).isoformat(),
    }
    if used.role == "fineGrained":
        access["fineGrained"] = {"canReadGatedRepos": True, "global": [], "scoped": _scoped(caller)}
    return {
        "type": "user",
        "id": str(user.id),
        "name": user.name,
        "fullname": user.full_name or user.name,
        "email": user.email,
        "emailVerified": bool(user.email),
        "isPro": False,
        "canPay": False,
        "periodEnd": None,
        "avatarUrl": "",
        "orgs": _orgs(connection, caller),
        "auth": {"type": "access_token", "accessToken": access},
    }


def _scoped(caller: Caller) -> list[dict[str, Any]]:
    return [
        {"entity": {"type": scope.entity_type, "name": scope.entity_name}, "permissions": sorted(scope.permissions)}
        for scope in caller.scopes
    ]


def _orgs(connection: Connection, caller: Caller) -> list[dict[str, Any]]:
    statement = (
        select(account.c.id, account.c.name, account.c.full_name, membership.c.role)
        .join(membership, membership.c.org_id == account.c.id)
        .where(membership.c.user_id == caller.user_id)
        .order_by(account.c.name_key)
    )
    return [
        {
            "type": "org",
            "id": str(row.id),
            "name": row.name,
            "fullname": row.full_name or row.name,
            "email": None,
            "canPay": False,
            "isEnterprise": False,
            "avatarUrl": "",
            "roleInOrg": row.role,
        }
        for row in connection.execute(statement)
    ]


ROUTES = (get("/api/whoami-v2", whoami),)
