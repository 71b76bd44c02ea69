"""The label of a release in the words of the G7 Vision on AI openness.

Source: G7 Vision on AI Openness Opportunities and Shared Language, Paris, 29 May 2026
(https://g7.utoronto.ca/ict/260529-vision.html). Every label asks for deployment code beside the weights; weights alone
have none. That a release is free of charge is taken for granted: nothing in it says otherwise.
"""

from dataclasses import dataclass
from typing import Any

from weighbridge.terms.openness.component import UNLICENSED
from weighbridge.terms.openness.state import State, States

OPEN_DATA = "Open Source AI with Open Data"
OPEN_SOURCE = "Open Source AI"
OPEN_WEIGHTS = "Open Weights AI"
WEIGHTS_AVAILABLE = "Weights Available AI"
LABELS = (WEIGHTS_AVAILABLE, OPEN_WEIGHTS, OPEN_SOURCE, OPEN_DATA)
"""From the least to the most open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label, one of `LABELS` or empty, and why it is no better one."""

    label: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {"label": self.label, "why": self.why}


def label(found: States) -> Label:
    """Return the label that weights, deployment code, training code and training data come to."""
    weights, code = found["model-parameters-final"], found["inference-code"]
    for part in (weights, code):
        if not part.present:
            return Label(label="", why=part.why)
        if not _licensed(part):
            return Label(label="", why=part.why or f"what {part.license} allows is not known here")
    closed = [part for part in (weights, code) if not part.open_source]
    if closed:
        why = "; ".join(part.why or f"{part.component}: {part.license} is no open-source licence" for part in closed)
        return Label(label=WEIGHTS_AVAILABLE, why=why)
    return _open_source(found["training-code"], found["datasets"])


def _open_source(training: State, data: State) -> Label:
    if not training.open_source:
        return Label(
            label=OPEN_WEIGHTS, why=training.why or f"training code: {training.license} is no open-source licence"
        )
    if data.open:
        return Label(label=OPEN_DATA, why="")
    # "Open Source AI" without the data asks that sharing them is impossible, by law or technically.
    return Label(label=OPEN_WEIGHTS, why=f"{data.why}; that it cannot be shared, by law or technically, is not shown")


def _licensed(part: State) -> bool:
    return part.known and UNLICENSED not in part.licenses
