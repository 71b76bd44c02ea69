"""All that was measured and audited about one version: what a gate decides on."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from weighbridge.evidence.record import Audit, Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Records about one version, with what they may be compared against.

    On construction every measure has at most one record for the same subject, comparison and baseline, and every
    audit at most one for the same subject: of two answers to one question, a gate would have to pick one, and whoever
    takes records away could change which. Measure a second data set under a name of its own.

    Attributes:
        name: the version's name, `owner/name`.
        subject: digest of the version's manifest. Records about another subject may be present; no rule counts them.
        source: digest of the internal model's manifest, the only baseline that a rule accepts.
        measurements: numbers; what was not measured is absent, never zero.
        audits: the audits that ran to their end, with what they found.
    """

    name: str
    subject: str
    source: str
    measurements: tuple[Measurement, ...]
    audits: tuple[Audit, ...]

    def __post_init__(self) -> None:
        _refuse_repeated((f"{m.measure} ({m.comparison})", m.subject, m.baseline) for m in self.measurements)
        _refuse_repeated((f"audit {a.probe}", a.subject, None) for a in self.audits)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        return {
            "name": self.name,
            "subject": self.subject,
            "source": self.source,
            "measurements": [measurement.to_json() for measurement in self.measurements],
            "audits": [audit.to_json() for audit in self.audits],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            ValueError: if it has another shape.
        """
        try:
            return cls(
                name=str(data["name"]),
                subject=str(data["subject"]),
                source=str(data["source"]),
                measurements=tuple(Measurement.from_json(item) for item in data["measurements"]),
                audits=tuple(Audit.from_json(item) for item in data["audits"]),
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not evidence: {error}") from error


def _refuse_repeated(keys: Iterable[tuple[str, str, str | None]]) -> None:
    for (label, subject, _), count in Counter(keys).items():
        if count > 1:
            raise ValueError(f"{count} records of {label} about {subject[:12]}: at most one may count")
