"""What the schema has against a use file, in words that help, at the line and column where it is."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from weighbridge.errors import InputError
from weighbridge.shell.yaml_document import Document, Trail

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

MAX_ERRORS = 50
_HINT = "docs/how-to/check-before-you-adopt.md shows a whole use file; leave out what you do not know."
_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
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


@cache
def _validator() -> "Draft202012Validator":
    from jsonschema import Draft202012Validator

    return Draft202012Validator(use_schema())


def schema_errors(document: Document) -> Iterator[UseFileError]:
    """Yield everything that the schema has against `document`."""
    for error in _validator().iter_errors(document.value):
        yield from _explain(_nearest(error), document)


def _nearest(error: "ValidationError") -> "ValidationError":
    """Return what a choice of shapes really has against a value of one of them."""
    if error.validator == "oneOf" and error.context:
        inner = [e for e in error.context if e.validator not in ("type", "required")]
        return inner[0] if len(inner) == 1 else error
    return error


def _explain(error: "ValidationError", document: Document) -> Iterator[UseFileError]:
    trail: Trail = tuple(error.absolute_path)
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, Mapping) else {}
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        allowed = schema.get("properties", {})
        patterns = [re.compile(pattern) for pattern in schema.get("patternProperties", {})]
        for key in error.instance:
            if key not in allowed and not any(pattern.search(key) for pattern in patterns):
                message = f"unknown key {shown(key)}{did_you_mean(key, allowed)}"
                hint = f"Allowed here: {', '.join(allowed)}{' and months such as 2024-08' if patterns else ''}."
                yield UseFileError(message, place=document.place((*trail, key), key=True), hint=hint)
    else:
        yield UseFileError(_sentence(error, schema, trail), place=document.place(trail))


def _sentence(error: "ValidationError", schema: Mapping[str, Any], trail: Trail) -> str:
    name = next((f"`{item}`" for item in reversed(trail) if isinstance(item, str)), "the use file")
    limit: Any = error.validator_value
    value: Any = error.instance
    match error.validator:
        case "type":
            return f"{name} must be {_TYPES[limit]}, not {shown(value)}"
        case "enum":
            options = [str(option) for option in limit]
            return f"{name} must be one of {', '.join(options)}, not {shown(value)}{did_you_mean(str(value), options)}"
        case "required" | "dependentRequired":
            needed = (
                limit if isinstance(limit, list) else [k for key, more in limit.items() if key in value for k in more]
            )
            missing = [key for key in needed if key not in value]
            return f"{name} lacks {', '.join(f'`{key}`' for key in missing)}"
        case "minimum" | "maximum":
            side = "at least" if error.validator == "minimum" else "at most"
            return f"{name} must be {side} {limit}, not {shown(value)}"
        case "uniqueItems":
            return f"{name} holds one entry twice"
    return f"{name} cannot be {shown(value)}. {schema.get('description', '')}".strip()


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
