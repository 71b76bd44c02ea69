"""The parts of a plan in which the publisher speaks: who they are, data sets, components, statements."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from weighbridge.dossier.disclosure import Component, DataSet, Disclosure, Publisher
from weighbridge.dossier.duty import known_fields
from weighbridge.shell.plan.complaint import did_you_mean, shown
from weighbridge.shell.plan.model import PublishedPart
from weighbridge.shell.yaml_document import Trail

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


class Reader(Protocol):
    """What a reader of a plan offers: to note errors, and to resolve paths."""

    def refuse(self, trail: Trail, message: str, *, hint: str = "", key: bool = False) -> None: ...

    def path(self, text: str, trail: Trail) -> Path: ...


def read_disclosure(written: Mapping[str, Any], reader: Reader) -> tuple[Disclosure, tuple[PublishedPart, ...]]:
    """Return what the publisher states, and which files and folders go into the release with it."""
    published: list[PublishedPart] = []
    data = tuple(_data(item, number, reader, published) for number, item in enumerate(written.get("data", ())))
    components = tuple(
        _component(item, number, reader, published) for number, item in enumerate(written.get("components", ()))
    )
    names = [item.name for item in data]
    for number, name in enumerate(names):
        if name in names[:number]:
            reader.refuse(("data", number, "name"), f"two data sets are named {name!r}")
    targets = [part.path for part in published]
    for number, part in enumerate(published):
        if part.path in targets[:number]:
            reader.refuse(part.trail, f"two parts of the release would be called {part.path!r}")
    known = known_fields()
    for name in written.get("statements", {}):
        if name not in known:
            message = f"no form has a field {shown(name)}{did_you_mean(name, known)}"
            hint = "`weighbridge dossier todo` lists the fields that are open."
            reader.refuse(("statements", name), message, hint=hint, key=True)
    disclosure = Disclosure(
        publisher=Publisher(**written.get("publisher", {})),
        data=data if len(set(names)) == len(names) else (),
        components=components,
        statements={name: _text(value) for name, value in written.get("statements", {}).items()},
    )
    return disclosure, tuple(published)


def _data(item: Mapping[str, Any], number: int, reader: Reader, published: list[PublishedPart]) -> DataSet:
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in item.items()}
    fields |= {name: int(fields[name]) for name in ("size_bytes", "records", "tokens") if name in fields}
    if "path" in item:
        fields["path"] = _publish(item["path"], "data", ("data", number, "path"), reader, published)
    return DataSet(**fields)


def _component(item: Mapping[str, Any], number: int, reader: Reader, published: list[PublishedPart]) -> Component:
    fields: dict[str, Any] = dict(item)
    if ("path" in item) == ("url" in item):
        message = "a component lies in the release (`path`) or elsewhere (`url`): give one of the two"
        reader.refuse(("components", number), message)
    elif "path" in item:
        trail: Trail = ("components", number, "path")
        fields["path"] = _publish(item["path"], item["kind"], trail, reader, published)
    return Component(**fields)


def _publish(text: str, folder: str, trail: Trail, reader: Reader, published: list[PublishedPart]) -> str:
    source = reader.path(text, trail)
    name = _NOT_PLAIN.sub("-", source.name).strip("-.") or "part"
    published.append(PublishedPart(source=source, path=f"{folder}/{name}", trail=trail))
    return published[-1].path


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
