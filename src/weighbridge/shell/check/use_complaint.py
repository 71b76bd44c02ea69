"""What the schema has against a use file, in words that help, at the line and column where it is.

Reads the part of JSON Schema (draft 2020-12) that `use.schema.json` uses. The package `jsonschema` does not say where
in a choice of shapes a value went wrong, and takes longer to import than a small check takes.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

from weighbridge.errors import InputError
from weighbridge.shell.yaml_document import Document, Trail

MAX_ERRORS = 50
_HINT = "docs/how-to/check-before-you-adopt.md shows a whole use file; leave out what you do not know."
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "object": ((dict,), "a mapping"),
    "array": ((list,), "a list"),
    "string": ((str,), "text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
}


class UseFileError(InputError):
    """The use file is wrong: the first error in its order; `others` holds the rest. `place` is `file:line:column`."""

    hint = _HINT

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(message, place=place, hint=hint)
        self.others: tuple[UseFileError, ...] = ()


def use_schema() -> dict[str, Any]:
    """Return the published JSON Schema (draft 2020-12) of a use file."""
    text = resources.files("weighbridge.adopt.check").joinpath("use.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def schema_errors(document: Document) -> Iterator[UseFileError]:
    """Yield everything that the schema has against `document`."""
    schema = use_schema()
    return _Checker(document, schema["$defs"]).check(document.value, schema, ())


class _Checker:
    def __init__(self, document: Document, definitions: Mapping[str, Any]) -> None:
        self.document = document
        self.definitions = definitions

    def check(self, value: Any, schema: Mapping[str, Any], trail: Trail) -> Iterator[UseFileError]:
        """Yield what `schema` has against `value`; what is inside a value of the wrong type is not looked at."""
        if "$ref" in schema:
            schema = self.definitions[schema["$ref"].rpartition("/")[2]]
        if "type" in schema and not _is(value, schema["type"]):
            yield self.wrong(trail, f"must be {_TYPES[schema['type']][1]}, not {shown(value)}")
            return
        if isinstance(value, dict):
            yield from self.mapping(value, schema, trail)
        elif isinstance(value, list) and "items" in schema:
            yield from self.listed(value, schema, trail)
        elif isinstance(value, str):
            yield from self.text(value, schema, trail)
        elif "minimum" in schema and isinstance(value, int | float) and value < schema["minimum"]:
            yield self.wrong(trail, f"must be at least {schema['minimum']}, not {shown(value)}")
        elif "maximum" in schema and isinstance(value, int | float) and value > schema["maximum"]:
            yield self.wrong(trail, f"must be at most {schema['maximum']}, not {shown(value)}")
        yield from self.choice(value, schema, trail)

    def mapping(self, value: Mapping[str, Any], schema: Mapping[str, Any], trail: Trail) -> Iterator[UseFileError]:
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for key, item in value.items():
            inner = known.get(key) or next((s for pattern, s in patterns.items() if re.search(pattern, key)), None)
            if inner is not None:
                yield from self.check(item, inner, (*trail, key))
            elif schema.get("additionalProperties") is False:
                message = f"unknown key {shown(key)}{did_you_mean(key, known)}"
                hint = f"Allowed here: {', '.join(known)}{' and months such as 2024-08' if patterns else ''}."
                yield UseFileError(message, place=self.document.place((*trail, key), key=True), hint=hint)
        needed = [*schema.get("required", ())]
        for key, others in schema.get("dependentRequired", {}).items():
            needed += others if key in value else ()
        if missing := [key for key in dict.fromkeys(needed) if key not in value]:
            yield self.wrong(trail, f"lacks {', '.join(f'`{key}`' for key in missing)}")
        if len(value) < schema.get("minProperties", 0):
            yield self.wrong(trail, "is empty")

    def listed(self, value: list[Any], schema: Mapping[str, Any], trail: Trail) -> Iterator[UseFileError]:
        for number, item in enumerate(value[: schema["maxItems"]]):
            yield from self.check(item, schema["items"], (*trail, number))
            if schema.get("uniqueItems") and item in value[:number]:
                yield self.wrong((*trail, number), f"names {shown(item)} twice")
        if len(value) > schema["maxItems"]:
            yield self.wrong(trail, f"has {len(value):,} entries; at most {schema['maxItems']} are allowed")

    def text(self, value: str, schema: Mapping[str, Any], trail: Trail) -> Iterator[UseFileError]:
        if "enum" in schema:
            if value not in schema["enum"]:
                options = ", ".join(schema["enum"])
                near = did_you_mean(value, schema["enum"])
                yield self.wrong(trail, f"must be one of {options}, not {shown(value)}{near}")
            return
        fits = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 20)
        if not fits or not re.search(schema.get("pattern", ""), value):
            yield self.wrong(trail, f"cannot be {shown(value)}. {schema.get('description', '')}".strip())

    def choice(self, value: Any, schema: Mapping[str, Any], trail: Trail) -> Iterator[UseFileError]:
        """One of several shapes: of the ones that this value is meant to have, say what is wrong."""
        shapes = schema.get("oneOf", ())
        if not shapes:
            return
        each = [list(self.check(value, shape, trail)) for shape in shapes]
        if sum(not errors for errors in each) == 1:
            return
        meant = [e for e, shape in zip(each, shapes, strict=True) if "type" in shape and _is(value, shape["type"])]
        if len(meant) == 1 and meant[0]:
            yield from meant[0]
        else:
            yield self.wrong(trail, f"cannot be {shown(value)}. {schema.get('description', '')}".strip())

    def wrong(self, trail: Trail, message: str) -> UseFileError:
        name = next((f"`{item}`" for item in reversed(trail) if isinstance(item, str)), "the use file")
        return UseFileError(f"{name} {message}", place=self.document.place(trail))


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind][0])


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return "; did you mean X?" for the option that is closest to `word`, or an empty text."""
    by_lower = {option.lower(): option for option in options}
    close = difflib.get_close_matches(word.lower()[:100], by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def shown(value: object) -> str:
    """Return a value for a message, cut short."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = "empty" if value is None else repr(value[:61] if isinstance(value, str) else value)
    return text if len(text) <= 64 else f"{text[:60]}…"
