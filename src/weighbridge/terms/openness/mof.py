"""The class of a release in the Model Openness Framework, and what is missing for each class.

Method: M. White et al., The Model Openness Framework, arXiv:2403.13784, as its evaluator implements it
(https://github.com/lfai/model_openness_tool at 8b5d30e): class III asks for 6 components, II for 10, I for 14, each
there and under an open licence. A research paper takes the place of the technical report.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.terms.openness.component import CLASSES, required
from weighbridge.terms.openness.state import States

_REPORT, _PAPER = "technical-report", "research-paper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A component that a class asks for and that does not count, and why."""

    component: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {"component": self.component, "why": self.why}


def missing(found: States, mof_class: str) -> tuple[Missing, ...]:
    """Return what is missing for a class, with what is missing for the classes before it."""
    lacks = [item.id for item in required(mof_class) if not found[item.id].open]
    if found[_PAPER].open:
        lacks = [item for item in lacks if item != _REPORT]
    return tuple(Missing(component=item, why=found[item].why) for item in lacks)


def progress(found: States, mof_class: str) -> tuple[int, int]:
    """Return how many of the components that a class asks for count, and how many it asks for.

    A paper fills the place of a report that is missing; class I, which asks for both, then asks for 13.
    """
    asked = len(required(mof_class))
    if mof_class == "I" and found[_PAPER].open and not found[_REPORT].open:
        asked -= 1
    return asked - len(missing(found, mof_class)), asked


def mof_class(found: States) -> str:
    """Return `I`, `II`, `III`, or an empty text for a release that is in no class."""
    reached = ""
    for name in CLASSES:
        if missing(found, name):
            break
        reached = name
    return reached


def all_missing(found: States) -> Mapping[str, tuple[Missing, ...]]:
    """Return what is missing for each class; nothing for those that are reached."""
    return {name: missing(found, name) for name in CLASSES}


def next_class(reached: str) -> str:
    """Return the class after `reached`; empty after I."""
    order = ("", *CLASSES, "")
    return order[order.index(reached) + 1] if reached in CLASSES else CLASSES[0]
