"""Whether the metadata at the head of a card is in order: what the Hub's `validate-yaml` answers before a commit.

Errors stop the client, so only what no reader could make sense of is one: YAML that does not parse (with its line), a
licence that nobody knows, values of the wrong type. What is merely missing is a warning.
Fields: hub-docs `modelcard.md`, `datasetcard.md` and `docs/hub/spaces-config-reference.md`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import yaml

from weighbridge.dossier.front_matter import HUB_ONLY
from weighbridge.hub.repositories.front_matter import MAX_BYTES, parse, split
from weighbridge.terms.registry import OTHER, registry

EMPTY: Final = "empty or missing yaml metadata in repo card"
_MAX_ERRORS: Final = 20
_NO_LICENCE: Final = (OTHER, "unknown")
_TEXT: Final = ("pipeline_tag", "library_name", "license_name", "license_link", "pretty_name", "base_model_relation")
_TEXTS: Final = ("language", "tags", "datasets", "metrics", "base_model", "task_categories", "task_ids", "models")
_SPACE_TEXT: Final = (
    "title",
    "emoji",
    "colorFrom",
    "colorTo",
    "sdk",
    "app_file",
    "python_version",
    "short_description",
)
SDKS: Final = ("gradio", "streamlit", "docker", "static")
_FENCE = "---"


def check_card(text: str, kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is wrong with a card, and what is worth a word; each is one sentence.

    Args:
        text: all of `README.md`.
        kind: `model`, `dataset` or `space`.
    """
    matter = split(text)[0]
    if not matter and text.lstrip("\ufeff").startswith(_FENCE) and not _is_closed(text):
        return (f"the metadata begins with {_FENCE} on line 1 and has no line {_FENCE} that ends it",), ()
    if not matter.strip():
        return (), (EMPTY,)
    if len(matter) > MAX_BYTES:
        return (f"the metadata has more than {MAX_BYTES:,} characters",), ()
    if fault := _syntax(matter):
        return (fault,), ()
    card = parse(text)
    if not card:
        return ("the metadata is no mapping of names to values, or nests or repeats itself beyond all measure",), ()
    errors = [fault for _, fault in zip(range(_MAX_ERRORS), _faults(card, kind), strict=False)]
    return tuple(errors), ()


def _is_closed(text: str) -> bool:
    """Whether the block that is opened on the first line ends: it is empty then."""
    return any(line.rstrip() == _FENCE for line in text.splitlines()[1:])


def _syntax(matter: str) -> str:
    """Return why the metadata is no YAML, with the line of the file; empty if it is."""
    try:
        for event in yaml.parse(matter, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.events.AliasEvent):
                # The line of the opening `---` comes before.
                line = event.start_mark.line + 2 if event.start_mark else 2
                return f"line {line}: aliases (*name) are not supported"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 2}, column {mark.column + 1}: " if mark else ""
        return f"{where}{error.problem or error.context or 'this is no YAML'}"
    except (yaml.YAMLError, ValueError, RecursionError):
        return "the metadata is no YAML: it holds characters that are not allowed"
    return ""


def _faults(card: Mapping[str, Any], kind: str) -> Iterator[str]:
    yield from _license(card.get("license"))
    for name in _TEXT:
        yield from _must(card, name, "a string", _is_text)
    for name in _TEXTS:
        yield from _must(card, name, "a string or an array of strings", _are_texts)
    if kind == "model":
        yield from _model_index(card.get("model-index"))
    if kind == "dataset":
        yield from _must(card, "configs", "an array of objects", _are_objects)
    if kind == "space":
        for name in _SPACE_TEXT:
            yield from _must(card, name, "a string", _is_scalar if name == "python_version" else _is_text)
        sdk = card.get("sdk")
        if isinstance(sdk, str) and sdk not in SDKS:
            yield f'"sdk" must be one of [{", ".join(SDKS)}]'


def _license(stated: object) -> Iterator[str]:
    if stated is None:
        return
    names = stated if isinstance(stated, list) else [stated]
    for name in names:
        if not isinstance(name, str):
            yield '"license" must be a string'
        elif not _is_licence(name):
            yield f'"license": {name[:80]!r} is not known; use an identifier of the Hub or of SPDX, or "{OTHER}"'


def _is_licence(name: str) -> bool:
    lowered = name.strip().lower()
    return lowered in _NO_LICENCE or lowered in HUB_ONLY or registry().get(name) is not None


def _model_index(stated: object) -> Iterator[str]:
    if stated is None:
        return
    if not isinstance(stated, list):
        yield '"model-index" must be an array'
        return
    for at, model in enumerate(stated):
        place = f"model-index[{at}]"
        if not isinstance(model, dict):
            yield f'"{place}" must be an object'
            continue
        if not isinstance(model.get("name"), str):
            yield f'"{place}.name" is required'
        if not isinstance(model.get("results"), list):
            yield f'"{place}.results" must be an array'
            continue
        for number, result in enumerate(model["results"]):
            yield from _result(result, f"{place}.results[{number}]")


def _result(result: object, place: str) -> Iterator[str]:
    if not isinstance(result, dict):
        yield f'"{place}" must be an object'
        return
    for name, needed in (("task", ("type",)), ("dataset", ("name", "type"))):
        part = result.get(name)
        if not isinstance(part, dict):
            yield f'"{place}.{name}" is required'
            continue
        yield from (f'"{place}.{name}.{key}" is required' for key in needed if part.get(key) is None)
    metrics = result.get("metrics")
    if not isinstance(metrics, list):
        yield f'"{place}.metrics" is required'
        return
    for number, metric in enumerate(metrics):
        for key in ("type", "value"):
            if not isinstance(metric, dict) or metric.get(key) is None:
                yield f'"{place}.metrics[{number}].{key}" is required'


def _must(card: Mapping[str, Any], name: str, words: str, test: Callable[[object], bool]) -> Iterator[str]:
    value = card.get(name)
    if value is not None and not test(value):
        yield f'"{name}" must be {words}'


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def _are_texts(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
