"""Tables of TOML turned into frozen dataclasses: every key known, every value of its declared type, or an error.

`encode` turns the same dataclasses into JSON.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from weighbridge.errors import InputError
from weighbridge.terms.fact import Clause

_FLATTENED = ("section", "quote")


def decode(kind: Any, value: object, *, place: str) -> Any:
    """Return `value` as `kind`: a `StrEnum`, `date`, `str`, `int`, `bool`, `tuple[X, ...]`, `X | None` or dataclass.

    A dataclass is written as a table whose keys are its field names. Its `clause` is written as the keys `section` and
    `quote` of the same table.

    Args:
        kind: the type wanted.
        value: what `tomllib` made of the file.
        place: file and key, for errors.

    Raises:
        InputError: on an unknown or missing key, a value of another type, or one that an enumeration lacks.
    """
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _tuple(typing.get_args(kind)[0], value, place)
    if origin is types.UnionType:
        (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast(type[Any], kind), value, place)
    if issubclass(kind, StrEnum):
        return _member(kind, value, place)
    # A bool is an int, and a time a date, to `isinstance`; neither is meant.
    exact = type(value) is kind and not isinstance(value, datetime)
    if not exact:
        raise InputError(f"expected {kind.__name__}, found {value!r:.80}", place=place)
    return value


def table(value: object, *, place: str) -> dict[str, object]:
    """Return `value` as a table.

    Raises:
        InputError: if it is none.
    """
    if not isinstance(value, dict):
        raise InputError(f"expected a table, found {value!r:.80}", place=place)
    return value


def _tuple(kind: Any, value: object, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise InputError(f"expected a list, found {value!r:.80}", place=place)
    return tuple(decode(kind, item, place=f"{place}[{position}]") for position, item in enumerate(value))


def _member(kind: type[StrEnum], value: object, place: str) -> StrEnum:
    if not isinstance(value, str) or value not in kind.__members__.values():
        allowed = ", ".join(kind)
        raise InputError(f"{value!r:.80} is not one of {allowed}", place=place)
    return kind(value)


def _record(kind: type[Any], value: object, place: str) -> Any:
    given = dict(table(value, place=place))
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    made: dict[str, Any] = {}
    if hints.get("clause") is Clause:
        words = {key: given.pop(key) for key in _FLATTENED if key in given}
        made["clause"] = _record(Clause, words, place)
        fields.pop("clause")
    refuse_unknown(given, fields, place=place)
    made |= {key: decode(hints[key], item, place=f"{place}.{key}") for key, item in given.items()}
    for name, field in fields.items():
        no_default = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if no_default and name not in made:
            raise InputError(f"{name!r} is missing", place=place)
    return kind(**made)


def refuse_unknown(given: Mapping[str, object], known: Mapping[str, object], *, place: str) -> None:
    """Make sure that every key is known.

    Raises:
        InputError: naming the first that is not, and those that are.
    """
    for key in given:
        if key not in known:
            raise InputError(f"unknown key {key!r}", place=place, hint=f"Known keys: {', '.join(known)}.")


def encode(value: Any) -> Any:
    """Return the JSON form of what `decode` makes: dataclasses as objects, dates as ISO 8601, tuples as lists."""
    if dataclasses.is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, StrEnum):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value
