"""What the parameters of a request say, in the several ways in which clients write them."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from weighbridge.hub.http.refusal import Refusal, bad_request
from weighbridge.hub.http.route import Call
from weighbridge.hub.repositories.front_matter import clean

MAX_CURSOR_CHARACTERS: Final = 4096
_TRUE = {"true", "1", "yes", "on"}
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_LARGEST: Final = 2**63 - 1
"""What a column of whole numbers holds."""


def flag(call: Call, name: str) -> bool:
    """Return whether the parameter is given and says yes; Python clients write `True`, others `true` or `1`."""
    return call.query.get(name, "").lower() in _TRUE


def many(call: Call, name: str) -> list[str]:
    """Return the values of a parameter that may occur several times, with or without `[]` after its name."""
    return [*call.query.getall(name, []), *call.query.getall(f"{name}[]", [])]


def names_to_expand(call: Call) -> list[str]:
    """Return the properties that `expand` names."""
    return [name for value in many(call, "expand") for name in value.split(",") if name]


def number(call: Call, name: str, *, default: int, least: int, most: int) -> int:
    """Return a whole number, brought into its bounds.

    Raises:
        Refusal: 400 if it is none.
    """
    text = call.query.get(name)
    if text is None:
        return default
    if not _WHOLE.fullmatch(text):
        raise bad_request(f"{name!r} is a whole number.")
    return min(max(int(text), least), most)


def cursor_of(call: Call) -> Any:
    """Return what `cursor` carries, or None. Anybody may have made it: whoever uses it looks at what it is.

    Raises:
        Refusal: 400 if it carries nothing.
    """
    text = call.query.get("cursor")
    if text is None:
        return None
    try:
        if len(text) > MAX_CURSOR_CHARACTERS:
            raise ValueError
        return orjson.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, binascii.Error) as error:
        raise foreign_cursor() from error


def behind_number(call: Call) -> int:
    """Return the number of the row that a list goes on behind; 0 at its beginning.

    Raises:
        Refusal: 400 if `cursor` carries no such number.
    """
    cursor = cursor_of(call)
    if cursor is None:
        return 0
    if not is_row_number(cursor):
        raise foreign_cursor()
    return int(cursor)


def behind_text(call: Call) -> str:
    """Return the text that a list goes on behind; empty at its beginning.

    Raises:
        Refusal: 400 if `cursor` carries no text, or one that no database looks for.
    """
    cursor = cursor_of(call)
    if cursor is None:
        return ""
    if not isinstance(cursor, str) or clean(cursor) != cursor:
        raise foreign_cursor()
    return cursor


def is_row_number(value: object) -> bool:
    """Whether the value can be in a column of whole numbers that are never negative."""
    return type(value) is int and 0 <= value <= _LARGEST


def foreign_cursor() -> Refusal:
    """Return the answer to a `cursor` that this hub cannot have made for this list."""
    return bad_request("'cursor' is nothing that this hub gave out for this list.")


def next_page(call: Call, cursor: object) -> dict[str, str]:
    """Return the header that leads to the page behind `cursor`: the same request, with it."""
    packed = base64.urlsafe_b64encode(orjson.dumps(cursor)).decode()
    return next_link(call, {"cursor": packed})


def next_link(call: Call, changed: dict[str, str]) -> dict[str, str]:
    """Return the header that leads to the same request with these parameters."""
    path, _, query = call.raw_path_qs.partition("?")
    kept: Iterable[tuple[str, str]] = (
        pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in changed
    )
    return {"Link": f'<{call.base_url}{path}?{urlencode([*kept, *changed.items()])}>; rel="next"'}
