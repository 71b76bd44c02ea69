"""What a gate decided and why, as records."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from weighbridge.evidence.record import Finding, Interval
from weighbridge.gate.stage import Stage


class Outcome(StrEnum):
    """How a rule was answered. Only `MET` lets a version pass."""

    MET = "met"
    NOT_MET = "not met"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one rule.

    Attributes:
        rule: the rule as a person would say it.
        outcome: met, not met, or not measured.
        reason: why, in a sentence.
        remedy: what would change the answer; empty where the rule is met.
        value: the number that was looked at, in `unit`; None where there is none.
        unit: unit of value, interval and limit; `1` for a plain ratio.
        interval: the value's interval; None where it is exact or there is none.
        limit: the rule's limit; None where the rule has none.
        findings: what an audit found that speaks against the rule, each with its place.
    """

    rule: str
    outcome: Outcome
    reason: str
    remedy: str = ""
    value: float | None = None
    unit: str = ""
    interval: Interval | None = None
    limit: float | None = None
    findings: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        return {
            "rule": self.rule,
            "outcome": str(self.outcome),
            "reason": self.reason,
            "remedy": self.remedy,
            "value": self.value,
            "unit": self.unit,
            "interval": self.interval.to_json() if self.interval else None,
            "limit": self.limit,
            "findings": [finding.to_json() for finding in self.findings],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            ValueError: if it has another shape.
        """
        try:
            fields = dict(data)
            fields["outcome"] = Outcome(fields["outcome"])
            fields["interval"] = Interval(**fields["interval"]) if fields.get("interval") else None
            fields["findings"] = tuple(Finding.from_json(item) for item in fields.get("findings", ()))
            return cls(**fields)
        except (TypeError, KeyError) as error:
            raise ValueError(f"not an answer: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a version may enter a stage, and why: one answer a rule, in the policy's order.

    `passed` is never stored, it follows from the answers: all met, and at least one.
    """

    stage: Stage
    name: str
    subject: str
    decided_at: datetime
    answers: tuple[Answer, ...]

    @property
    def passed(self) -> bool:
        """Whether there is at least one answer and every answer is met."""
        return bool(self.answers) and all(answer.outcome is Outcome.MET for answer in self.answers)

    @property
    def refusals(self) -> tuple[Answer, ...]:
        """The answers that are not met."""
        return tuple(answer for answer in self.answers if answer.outcome is not Outcome.MET)

    @property
    def reason(self) -> str:
        """The verdict in a sentence."""
        if not self.answers:
            return f"{self.name} may not become {self.stage}: its policy has no rules, and no rules let nothing pass."
        if self.passed:
            rules = "its one rule is" if len(self.answers) == 1 else f"all {len(self.answers)} rules are"
            return f"{self.name} may become {self.stage}: {rules} met."
        return f"{self.name} may not become {self.stage}: {' '.join(answer.reason for answer in self.refusals)}"

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        return {
            "stage": str(self.stage),
            "name": self.name,
            "subject": self.subject,
            "decided_at": self.decided_at.isoformat(),
            "passed": self.passed,
            "answers": [answer.to_json() for answer in self.answers],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            ValueError: if it has another shape, or states to have passed against its own answers.
        """
        try:
            verdict = cls(
                stage=Stage(data["stage"]),
                name=str(data["name"]),
                subject=str(data["subject"]),
                decided_at=datetime.fromisoformat(data["decided_at"]),
                answers=tuple(Answer.from_json(item) for item in data["answers"]),
            )
            stated = data["passed"]
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a verdict: {error}") from error
        if stated is not verdict.passed:
            raise ValueError("not a verdict: what it says about passing contradicts its answers")
        return verdict
