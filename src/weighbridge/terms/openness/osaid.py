"""The components that the Open Source AI Definition 1.0 asks for.

Source: https://opensource.org/ai/open-source-ai-definition. Which components its three demands (data information, code,
parameters) come down to is the checklist of its draft 0.0.9, written in the components of the Model Openness Framework.
"""

from dataclasses import dataclass
from typing import Any

from weighbridge.terms.openness.state import State, States

MET, UNMET, UNKNOWN = "met", "unmet", "unknown"

_DATA_INFORMATION = ("datasets", "research-paper", "technical-report", "data-card")
_ASKED = (
    ("data-preprocessing-code", "code"),
    ("training-code", "code"),
    ("inference-code", "code"),
    ("supporting-libraries", "code"),
    ("model-architecture", "code"),
    ("model-parameters-final", "parameters"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of the checklist.

    Attributes:
        id: a component, or `data-information`.
        demand: `data information`, `code` or `parameters`.
        answer: `met`, `unmet` or `unknown`.
        why: what the answer rests on.
    """

    id: str
    demand: str
    answer: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {"id": self.id, "demand": self.demand, "answer": self.answer, "why": self.why}


def checklist(found: States, stated: States) -> tuple[Item, ...]:
    """Answer every line of the checklist.

    Args:
        found: what lies in the release.
        stated: the same with what is only stated counted as if it were there: what is missing here and open there
            is unknown, since nobody looked at it.
    """
    return (_data_information(found, stated), *(_line(found[name], stated[name], demand) for name, demand in _ASKED))


def met(items: tuple[Item, ...]) -> bool:
    """Say whether every line is met."""
    return all(item.answer == MET for item in items)


def _line(here: State, stated: State, demand: str) -> Item:
    # The definition wants code under OSI-approved licences, parameters under terms that leave its freedoms.
    enough = here.open_source if demand == "code" else here.open
    if enough:
        return Item(id=here.component, demand=demand, answer=MET, why=f"in the release under {here.license}")
    if here.present and here.open:
        return Item(id=here.component, demand=demand, answer=UNMET, why=f"{here.license} is no open-source licence")
    unsure = (here.present and not here.known) or (not here.present and stated.open)
    return Item(id=here.component, demand=demand, answer=UNKNOWN if unsure else UNMET, why=here.why)


def _data_information(found: States, stated: States) -> Item:
    name, demand = "data-information", "data information"
    here = [found[item] for item in _DATA_INFORMATION if found[item].open]
    if here:
        why = ", ".join(f"{item.component} under {item.license}" for item in here)
        if not found["datasets"].open:
            why += "; whether it is detailed enough to build an equivalent system takes a reader"
        return Item(id=name, demand=demand, answer=MET, why=why)
    unsure = any(stated[item].open or (found[item].present and not found[item].known) for item in _DATA_INFORMATION)
    why = "; ".join(found[item].why for item in _DATA_INFORMATION)
    return Item(id=name, demand=demand, answer=UNKNOWN if unsure else UNMET, why=why)
