"""`weighbridge hub user|token|org`."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from weighbridge.shell.cli.hub_options import add_hub_options, opened
from weighbridge.shell.cli.output import print_json, print_lines, print_table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from weighbridge.hub.accounts.caller import Scope

_DAY_MS = 24 * 3600 * 1000
_MOST_DAYS = 36_500

_ACTIONS = {
    "user": ("add", "list", "disable", "enable", "remove"),
    "token": ("add", "list", "revoke"),
    "org": ("add", "list", "remove", "members", "set-role", "remove-member"),
}


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the actions of this verb."""
    actions = parser.add_subparsers(dest="action", metavar="|".join(_ACTIONS[verb]), required=True)
    for name in _ACTIONS[verb]:
        action = actions.add_parser(name)
        add_hub_options(action)
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document")
        _OPTIONS.get((verb, name), _named)(action)


def _named(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")


def _nothing(_: argparse.ArgumentParser) -> None: ...


def _user_add(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("--full-name", default="")
    parser.add_argument("--email", default="")
    parser.add_argument("--admin", action="store_true", help="may do everything on this hub")


def _token_add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER")
    parser.add_argument("--name", default="token", help="what it is for")
    parser.add_argument("--role", choices=("read", "write", "fineGrained"), default="read", help="(default: read)")
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="TYPE:NAME:PERMISSION,…",
        help="for fineGrained, such as model:alice/m:repo.content.read,discussion.write; may be repeated",
    )
    parser.add_argument("--days", type=float, help="expires after so many days (default: never)")


def _token_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", nargs="?")


def _token_revoke(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=int, metavar="ID", help="as `token list` shows it")


def _org_role(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("user", metavar="USER")
    parser.add_argument("role", metavar="ROLE", choices=("read", "contributor", "write", "admin"))


def _org_member(parser: argparse.ArgumentParser) -> None:
    _named(parser)
    parser.add_argument("user", metavar="USER")


_OPTIONS: dict[tuple[str, str], Callable[[argparse.ArgumentParser], None]] = {
    ("user", "add"): _user_add,
    ("user", "list"): _nothing,
    ("token", "add"): _token_add,
    ("token", "list"): _token_list,
    ("token", "revoke"): _token_revoke,
    ("org", "list"): _nothing,
    ("org", "set-role"): _org_role,
    ("org", "remove-member"): _org_member,
}


def run(options: argparse.Namespace) -> int:
    """Do it and print the result."""
    hub = opened(options, make=options.action == "add" and options.hub_verb != "token")
    act = {"user": _user, "token": _token, "org": _org}[options.hub_verb]
    with hub.database.write() as connection:
        document = act(connection, options, hub.now_ms())
    if options.json:
        print_json(document)
    elif "rows" in document:
        rows = document["rows"]
        columns = list(rows[0]) if rows else ["nothing yet"]
        print_table(options.hub_verb, columns, [[str(value) for value in row.values()] for row in rows])
    else:
        print_lines(f"{name}: {value}" for name, value in document.items())
    return 0


def _user(connection: "Connection", options: argparse.Namespace, now_ms: int) -> dict[str, Any]:
    from weighbridge.hub.accounts.register import accounts, add_account, disable, remove_account

    match options.action:
        case "add":
            who = {"full_name": options.full_name, "email": options.email, "is_admin": options.admin}
            add_account(connection, options.name, "user", now_ms=now_ms, **who)
        case "list":
            listed = accounts(connection, "user")
            return {
                "rows": [
                    {
                        "name": user.name,
                        "full name": user.full_name,
                        "email": user.email,
                        "admin": user.is_admin,
                        "disabled": user.disabled_ms is not None,
                    }
                    for user in listed
                ]
            }
        case "remove":
            remove_account(connection, options.name, "user")
        case action:
            disable(connection, options.name, now_ms=now_ms if action == "disable" else None)
    return {"user": options.name, "done": options.action}


def _token(connection: "Connection", options: argparse.Namespace, now_ms: int) -> dict[str, Any]:
    from weighbridge.hub.accounts.register import add_token, revoke_token, tokens

    match options.action:
        case "add":
            expires = None if options.days is None else now_ms + _milliseconds(options.days)
            scopes = tuple(map(_scope, options.scope))
            secret = add_token(
                connection, options.user, options.name, options.role, now_ms=now_ms, scopes=scopes, expires_ms=expires
            )
            return {"token": secret, "note": "shown this once, kept nowhere"}
        case "revoke":
            revoke_token(connection, options.id, now_ms=now_ms)
            return {"token": options.id, "done": "revoke"}
    return {
        "rows": [
            {
                "id": token.id,
                "user": token.user_name,
                "name": token.name,
                "role": token.role,
                "ends": f"…{token.ending}",
                "made": _day(token.created_ms),
                "expires": _day(token.expires_ms),
                "revoked": _day(token.revoked_ms),
            }
            for token in tokens(connection, options.user)
        ]
    }


def _org(connection: "Connection", options: argparse.Namespace, now_ms: int) -> dict[str, Any]:
    from weighbridge.hub.accounts.register import accounts, add_account, find_account, members, remove_account, set_role

    match options.action:
        case "add":
            add_account(connection, options.name, "org", now_ms=now_ms)
        case "list":
            return {"rows": [{"name": org.name, "full name": org.full_name} for org in accounts(connection, "org")]}
        case "members":
            org = find_account(connection, options.name, "org")
            return {"rows": [{"user": user, "role": role} for user, role in members(connection, org.id)]}
        case "remove":
            remove_account(connection, options.name, "org")
        case action:
            set_role(connection, options.name, options.user, options.role if action == "set-role" else None)
    return {"org": options.name, "done": options.action}


def _scope(text: str) -> "Scope":
    from weighbridge.errors import InputError
    from weighbridge.hub.accounts.caller import Scope

    parts = text.split(":")
    if len(parts) != 3 or not all(parts):
        raise InputError("this is no scope", place=f"--scope {text}", hint="Give TYPE:NAME:PERMISSION,PERMISSION…")
    return Scope(entity_type=parts[0], entity_name=parts[1], permissions=frozenset(parts[2].split(",")))


def _milliseconds(days: float) -> int:
    from weighbridge.errors import InputError

    if not 0 < days <= _MOST_DAYS:
        raise InputError("this is no number of days", place=f"--days {days}", hint="Give 30, or 0.5; at most 36500.")
    return int(days * _DAY_MS)


def _day(milliseconds: int | None) -> str:
    return "" if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
