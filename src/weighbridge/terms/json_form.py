"""Frozen dataclasses as JSON and back, strictly: every key known, every value of its declared type."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Any

_MAX_SHOWN = 80


def encode(value: object) -> Any:
    """Return `value` as what `json.dumps` takes: dataclasses become objects of their fields, tuples lists."""
    if isinstance(value, StrEnum):
        return str(value)
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    fields = dataclasses.fields(typing.cast(Any, value))
    return {field.name: encode(getattr(value, field.name)) for field in fields}


def decode(kind: Any, value: object, *, place: str) -> Any:
    """Return what `encode` wrote of a `kind`.

    Args:
        kind: `str`, `int`, `bool`, `date`, a `StrEnum`, a dataclass, `X | None`, `tuple[X, ...]` or `Mapping[K, V]`.
        value: what `json.loads` made of it.
        place: where it stands, for errors.

    Raises:
        ValueError: on an unknown or missing key, a value of another type, or one that an enumeration lacks.
    """
    origin = typing.get_origin(kind)
    if origin is tuple:
        (item_kind, _) = typing.get_args(kind)
        items = enumerate(_exact(list, value, place))
        return tuple(decode(item_kind, item, place=f"{place}[{position}]") for position, item in items)
    if origin is not None and issubclass(origin, Mapping):
        key_kind, item_kind = typing.get_args(kind)
        pairs = _exact(dict, value, place).items()
        return {decode(key_kind, k, place=place): decode(item_kind, v, place=f"{place}.{k:.80}") for k, v in pairs}
    if isinstance(kind, types.UnionType):
        return None if value is None else decode(typing.get_args(kind)[0], value, place=place)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, place)
    return _scalar(kind, value, place)


def _scalar(kind: Any, value: object, place: str) -> Any:
    if kind in (str, int, bool):
        return _exact(kind, value, place)
    try:
        return date.fromisoformat(_exact(str, value, place)) if kind is date else kind(_exact(str, value, place))
    except ValueError as error:
        raise ValueError(f"{place}: {value!r:.80} is no {kind.__name__}") from error


def _record(kind: Any, value: object, place: str) -> Any:
    given = _exact(dict, value, place)
    hints, needed = _shape(kind)
    if unknown := next((key for key in given if key not in hints), None):
        raise ValueError(f"{place}: unknown key {unknown!r:.80}")
    if missing := next((key for key in needed if key not in given), None):
        raise ValueError(f"{place}: {missing!r} is missing")
    return kind(**{key: decode(hints[key], item, place=f"{place}.{key}") for key, item in given.items()})


@functools.cache
def _shape(kind: Any) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the types of a dataclass's fields, and the names of those without a default."""
    needed = tuple(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    )
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}, needed


def _exact(kind: type[Any], value: object, place: str) -> Any:
    # A bool is an int to `isinstance`, which is not meant.
    if type(value) is not kind:
        raise ValueError(f"{place}: expected {kind.__name__}, found {value!r:.{_MAX_SHOWN}}")
    return value
