"""What the parameters of a request say, in the several ways in which clients write them."""

import base64
import binascii
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from weighbridge.hub.http.refusal import bad_request
from weighbridge.hub.http.route import Call

MAX_CURSOR_CHARACTERS: Final = 4096
_TRUE = {"true", "1", "yes", "on"}


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
    if not text.lstrip("-").isdecimal() or len(text) > 18:
        raise bad_request(f"{name!r} is a whole number.")
    return min(max(int(text), least), most)


def cursor_of(call: Call) -> Any:
    """Return what `cursor` carries, or None.

    Raises:
        Refusal: 400 if it is nothing that `next_page` made.
    """
    text = call.query.get("cursor")
    if text is None:
        return None
    try:
        if len(text) > MAX_CURSOR_CHARACTERS:
            raise ValueError
        return orjson.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, binascii.Error) as error:
        raise bad_request("'cursor' is nothing that this hub gave out.") from error


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
