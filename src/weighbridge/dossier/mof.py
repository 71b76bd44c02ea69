"""`mof.yml`: the release in the format of the Model Openness Framework's evaluator.

Format: schema/mof_schema.json of https://github.com/lfai/model_openness_tool. The evaluator takes every component that
is listed for included and trusts the licence beside it. Therefore only what lies in the release is listed, each with
the licence in effect on it, `unlicensed` where it has none.
"""

import re
from collections.abc import Mapping
from typing import Any

from weighbridge.dossier.front_matter import yaml_lines
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.errors import InputError
from weighbridge.terms.chain import WEIGHT_RELATIONS
from weighbridge.terms.openness.component import component
from weighbridge.terms.openness.openness import Openness
from weighbridge.terms.openness.standing import standing
from weighbridge.terms.openness.state import State
from weighbridge.terms.registry import registry

MOF_NAME = "mof.yml"

_FRAMEWORK = {"name": "Model Openness Framework", "version": "1.0", "date": "2024-12-15"}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def mof_yaml(record: ReleaseRecord, *, released: str = "") -> bytes:
    """Return `mof.yml` of a release.

    Args:
        record: its record, with how open it is.
        released: the day of the release, ISO 8601; the day on which the gate decided if empty.

    Raises:
        InputError: if the record does not say how open it is, or there is no day.
        ValueError: if what it says is no statement of openness.
    """
    if record.openness is None:
        raise InputError("the record does not say how open the release is", hint="Recompute it, and write it again.")
    openness = Openness.from_json(record.openness)
    data = {"framework": _FRAMEWORK, "release": _release(record, openness, _day(record, released))}
    heading = (
        f"# Written by Weighbridge {_printable(record.weighbridge_version)} from what lies in the release. "
        f"{_class(openness.mof_class)}\n"
    )
    return (heading + "\n".join(yaml_lines(data)) + "\n").encode("utf-8")


def _release(record: ReleaseRecord, openness: Openness, day: str) -> dict[str, Any]:
    """Return the section `release`. What the evaluator asks for and nobody states is empty, as in its own files."""
    publisher, bases = record.disclosure.publisher, [p for p in record.parents if p.get("relation") in WEIGHT_RELATIONS]
    return {
        "name": record.version,
        "version": _size(record.architecture),
        "date": day,
        "license": {"distribution": {"name": _spelt(record.license), "path": "LICENSE"}},
        "type": "",
        "architecture": "",
        "origin": ", ".join(dict.fromkeys(str(parent["ref"]) for parent in bases)),
        "producer": publisher.name or record.model.rsplit("/", 1)[0],
        "contact": publisher.contact or record.texts.contact,
        "components": [_component(state) for state in openness.components if state.present],
    }


def _component(state: State) -> dict[str, str]:
    kind = component(state.component)
    return {
        "name": kind.name,
        "description": kind.description,
        # The evaluator reads one name a component, and counts what it does not know as closed.
        "license": " AND ".join(state.licenses),
        "component_path": ", ".join(state.places),
    }


def _spelt(licence: str) -> str:
    return standing(licence, registry()).license


def _size(architecture: Mapping[str, Any]) -> str:
    count = architecture.get("parameters")
    return f"{count} parameters" if isinstance(count, int) and not isinstance(count, bool) else ""


def _day(record: ReleaseRecord, released: str) -> str:
    decision = record.decision
    stated = released or (decision.decided_at if decision else "")
    if not (match := _DATE.match(stated)):
        raise InputError("there is no day of release", hint="Give the day as 2026-11-22, or let the gate decide first.")
    return match[0]


def _class(reached: str) -> str:
    return f"What lies in it reaches class {reached}." if reached else "What lies in it reaches no class."


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())
