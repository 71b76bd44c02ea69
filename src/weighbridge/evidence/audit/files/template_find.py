"""Where chat templates stand, and one look at each: read, rendered where that is safe, and compared with its kin."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.evidence.audit.files.seen import Seen, suspect, unknown
from weighbridge.evidence.record import Severity

MAX_TEMPLATES = 64
"""In one file."""


def template_digest(source: str) -> str:
    """Return what a template is known by: 32 hexadecimal digits of its SHA-256, without white space around it."""
    text = source.replace("\r\n", "\n").strip()
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def inspect_template(source: str, place: str = "") -> Iterator[Seen]:
    """Yield what there is to say of one chat template.

    Args:
        source: the template.
        place: where it stands in its file; empty if it is the file.
    """
    from weighbridge.evidence.audit.files.template_known import KNOWN_TEMPLATES

    if (name := KNOWN_TEMPLATES.get(template_digest(source))) is not None:
        yield suspect("template-known", f"the chat template is the public one of {name}", place, Severity.INFO)
        return
    from weighbridge.evidence.audit.files.template import read_template
    from weighbridge.evidence.audit.files.template_render import behaviour

    reading = read_template(source, place)
    yield from reading.seen
    for seen in behaviour(source, reading):
        yield Seen(seen.rule, seen.standing, seen.severity, seen.message, place)


def named_templates(document: object) -> dict[str, str]:
    """Return the chat templates of a configuration by where they stand: one text, a list of named ones, or an object.

    The template called `default`, and the only one, stand at `chat_template`.
    """
    value = document.get("chat_template") if isinstance(document, dict) else None
    if isinstance(value, str):
        return {"chat_template": value}
    if isinstance(value, dict):
        value = [{"name": name, "template": text} for name, text in value.items()]
    found: dict[str, str] = {}
    for number, item in enumerate(value[:MAX_TEMPLATES] if isinstance(value, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("template"), str):
            name = str(item.get("name", ""))[:40]
            found["chat_template" if name == "default" else f"chat_template {number} {name!r}"] = item["template"]
    return found


def metadata_templates(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the chat templates among the key-values of a GGUF header, or of safetensors metadata, by key."""
    return {
        key: value
        for key, value in metadata.items()
        if isinstance(value, str)
        and ("chat_template" in key or (key == "tokenizer.chat.template") or ("{%" in value and "message" in value))
    }


def disagreement(templates: Mapping[str, str]) -> Iterator[Seen]:
    """Say where the default templates of one release differ in what they write.

    Args:
        templates: place (file, and where in it) to template.
    """
    places = sorted(templates)[:MAX_TEMPLATES]
    for place in places[1:]:
        first = places[0]
        if templates[first].strip() == templates[place].strip():
            continue
        yield from _differing(templates[first], templates[place], f"{first} and {place}")


def _differing(one: str, other: str, places: str) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.template import MAX_TEMPLATE_CHARACTERS, read_template
    from weighbridge.evidence.audit.files.template_render import differences

    what = "which one counts depends on the loader"
    if max(len(one), len(other)) > MAX_TEMPLATE_CHARACTERS or not all(
        read_template(text).bounded for text in (one, other)
    ):
        message = f"{places} hold different chat templates: {what}"
        yield unknown("templates-differ", message)
        return
    how = differences(one, other)
    if how:
        detail = "" if how == "?" else f", and they write different things ({how})"
        yield suspect("templates-differ", f"{places} hold different chat templates{detail}: {what}")
        return
    message = f"{places} hold chat templates that differ in their text and write the same"
    yield suspect("templates-reworded", message, "", Severity.INFO)
