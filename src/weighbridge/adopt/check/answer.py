"""What a check asks, and what it answers: values only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from weighbridge.dossier.statement import timestamp


class Outcome(StrEnum):
    """The answer to a question."""

    PASS = "pass"  # noqa: S105  # an answer
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_ASKED = "not asked"
    """What we plan makes the question idle."""

    @property
    def exit_code(self) -> int:
        """0, 1 or 3: what the command line ends with."""
        return {Outcome.FAIL: 1, Outcome.UNKNOWN: 3}.get(self, 0)


_SEVERITY = (Outcome.NOT_ASKED, Outcome.PASS, Outcome.UNKNOWN, Outcome.FAIL)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return fail before unknown before pass; of nothing, unknown: what nobody looked at did not pass."""
    return max(outcomes, key=_SEVERITY.index, default=Outcome.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One of the seventeen.

    Attributes:
        number: 1 to 17.
        id: a word or two; waivers name it.
        group: what it belongs to in a report.
        text: the question.
    """

    number: int
    id: str
    group: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """Something that an answer rests on.

    Attributes:
        place: file, clause or digest that it can be looked up in.
        text: what stands there; empty where the place says it all.
    """

    place: str
    text: str = ""

    def to_json(self) -> dict[str, str]:
        """Return a JSON form."""
        return {"place": self.place, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing that was looked at.

    Attributes:
        outcome: what it says; None for something worth knowing that decides nothing.
        reason: why, a sentence.
        remedy: what would change it; empty where nothing has to.
        exhibits: what it rests on.
    """

    outcome: Outcome | None
    reason: str
    remedy: str = ""
    exhibits: tuple[Exhibit, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {
            "outcome": "note" if self.outcome is None else str(self.outcome),
            "reason": self.reason,
            "remedy": self.remedy,
            "evidence": [item.to_json() for item in self.exhibits],
        }


def passed(reason: str, *exhibits: Exhibit) -> Point:
    """Return a point that passes."""
    return Point(outcome=Outcome.PASS, reason=reason, exhibits=exhibits)


def failed(reason: str, *exhibits: Exhibit, remedy: str = "") -> Point:
    """Return a point that fails."""
    return Point(outcome=Outcome.FAIL, reason=reason, remedy=remedy, exhibits=exhibits)


def unknown(reason: str, *exhibits: Exhibit, remedy: str = "") -> Point:
    """Return a point that nobody can answer."""
    return Point(outcome=Outcome.UNKNOWN, reason=reason, remedy=remedy, exhibits=exhibits)


def not_asked(reason: str, *exhibits: Exhibit) -> Point:
    """Return a point that our plans make idle."""
    return Point(outcome=Outcome.NOT_ASKED, reason=reason, exhibits=exhibits)


def note(reason: str, *exhibits: Exhibit) -> Point:
    """Return something worth knowing that decides nothing."""
    return Point(outcome=None, reason=reason, exhibits=exhibits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """That somebody takes an unknown answer upon themselves.

    Attributes:
        question: number of the question.
        by: who.
        until: the last moment that it holds for, with its time zone.
        reason: why.
    """

    question: int
    by: str
    until: datetime
    reason: str

    def holds(self, now: datetime) -> bool:
        """Say whether it has not expired."""
        return now <= self.until

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {"question": self.question, "by": self.by, "until": timestamp(self.until), "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a question: its outcome is the worst of its points.

    Attributes:
        question: which.
        points: everything that was looked at, what decides first.
        waiver: who waived it; only ever there if it is unknown and the waiver holds.
    """

    question: Question
    points: tuple[Point, ...]
    waiver: Waiver | None = None

    @property
    def outcome(self) -> Outcome:
        """What was found."""
        return worst(point.outcome for point in self.points if point.outcome is not None)

    @property
    def counts_as(self) -> Outcome:
        """What it comes to for the verdict: an unknown that somebody waived counts as passed."""
        return Outcome.PASS if self.waiver is not None and self.outcome is Outcome.UNKNOWN else self.outcome

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, a sentence each: of the points that decide."""
        return tuple(dict.fromkeys(point.reason for point in self.points if point.outcome is self.outcome))

    @property
    def remedies(self) -> tuple[str, ...]:
        """What would change it."""
        telling = (point for point in self.points if point.outcome in (Outcome.FAIL, Outcome.UNKNOWN))
        return tuple(dict.fromkeys(point.remedy for point in telling if point.remedy))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {
            "number": self.question.number,
            "id": self.question.id,
            "question": self.question.text,
            "outcome": str(self.outcome),
            "counts_as": str(self.counts_as),
            "reasons": list(self.reasons),
            "remedies": list(self.remedies),
            "points": [point.to_json() for point in self.points],
            "waiver": self.waiver.to_json() if self.waiver else None,
        }


def answer(question: Question, points: Iterable[Point]) -> Answer:
    """Return the answer that points come to, those that decide first."""
    order = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS, Outcome.NOT_ASKED, None)
    return Answer(question=question, points=tuple(sorted(points, key=lambda point: order.index(point.outcome))))
