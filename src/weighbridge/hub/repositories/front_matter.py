"""The YAML at the head of a README: what a repository says of itself.

Written by strangers: bounded before it is built, without aliases (a few lines of which unfold to gigabytes), without
tags, and with only the values that JSON has. Words like `no` and `on` stay words, as on the Hub, so that Norwegian
stays a language.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

MAX_BYTES: Final = 256 * 1024
_MAX_EVENTS = 20_000
_MAX_DEPTH = 24
_MAX_INTEGER = 2**53
_FENCE = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)(?:\r?\n|\A)---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """Reads the values of YAML 1.2's core: `true` and `false` are the only booleans, and dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in _DROPPED]
    for _DROPPED in (("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"),)
    for first, rules in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")


def split(text: str) -> tuple[str, str]:
    """Return the front matter, without its fences, and the text after it; the front matter may be empty."""
    found = _FENCE.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def parse(text: str) -> Mapping[str, Any]:
    """Return the front matter of a README as values of JSON; an empty mapping if there is none that can be read."""
    matter, _ = split(text)
    if not matter or len(matter) > MAX_BYTES or not _is_small(matter):
        return {}
    try:
        value = yaml.load(matter, Loader=_Loader)  # noqa: S506 - derived from the safe loader
        kept = _json(value)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _is_small(matter: str) -> bool:
    depth = 0
    try:
        for count, event in enumerate(yaml.parse(matter, Loader=_Loader)):
            if isinstance(event, yaml.events.AliasEvent) or count > _MAX_EVENTS:
                return False
            depth += isinstance(event, yaml.events.CollectionStartEvent)
            depth -= isinstance(event, yaml.events.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                return False
    except (yaml.YAMLError, ValueError, RecursionError):
        return False
    return True


def _json(value: object) -> object:
    match value:
        case bool() | None:
            return value
        case str():
            return clean(value)
        case int():
            return value if abs(value) <= _MAX_INTEGER else str(value)
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [_json(item) for item in value]
        case dict():
            return {clean(str(key)): _json(item) for key, item in value.items()}
        case _:
            return None


def clean(text: str) -> str:
    """Return the text without what JSON and PostgreSQL cannot keep: NUL and halves of characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
