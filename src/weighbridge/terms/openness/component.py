"""The components of a model release, as the Model Openness Framework lists them, and the parts that fill them."""

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

CLASSES = ("III", "II", "I")
"""The classes of the framework, from the least to the most complete; each asks for all that the ones before it ask."""

TYPES = ("code", "data", "document")

UNLICENSED = "unlicensed"
"""The licence of a part that has none, whatever the rest of the release is under; the evaluator's own word."""

WHOLE_SETS = ("datasets", "evaluation-data")
"""Components that are only there when each of their named parts is: half of the data is not the data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component of the framework.

    Attributes:
        id: what Weighbridge calls it, such as `training-code`.
        name: what the evaluator's files call it.
        type: one of `TYPES`.
        mof_class: the class that asks for it first, one of `CLASSES`.
        required: whether that class requires it.
        short: what reports call it, as it stands in a sentence.
        description: one line, for `mof.yml`.
    """

    id: str
    name: str
    type: str
    mof_class: str
    required: bool
    short: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something that fills a component.

    Attributes:
        kind: id of the component, one of `KINDS`.
        license: SPDX expression or name; empty where none is stated for this part, `UNLICENSED` where it has none.
        in_release: whether it lies in the release. What does not is only stated, and nobody looked at it.
        place: path in the release, or where it is said to be.
    """

    kind: str
    license: str = ""
    in_release: bool = True
    place: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _by_id():
            raise ValueError(f"{self.kind!r} is no component: one of {', '.join(KINDS)}")


def load(file: str) -> dict[str, Any]:
    """Return one of this package's data files."""
    return tomllib.loads(resources.files(__package__).joinpath(file).read_text(encoding="utf-8"))


@functools.cache
def components() -> tuple[Component, ...]:
    """Return every component, in the order of the classes."""
    return tuple(
        Component(mof_class=item.pop("class"), **item)
        for item in (dict(c) for c in load("components.toml")["component"])
    )


@functools.cache
def _by_id() -> dict[str, Component]:
    return {component.id: component for component in components()}


def component(kind: str) -> Component:
    """Return the component whose id is `kind`.

    Raises:
        KeyError: if there is none.
    """
    return _by_id()[kind]


KINDS = tuple(item.id for item in components())
"""The ids of all components."""


def required(mof_class: str) -> tuple[Component, ...]:
    """Return what a class requires, with what the classes before it require: 6, 10 and 14 components."""
    asked = CLASSES[: CLASSES.index(mof_class) + 1]
    return tuple(item for item in components() if item.required and item.mof_class in asked)
