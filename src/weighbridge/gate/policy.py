"""What a stage asks of a version: rules as frozen values, written as in a release plan.

======================================================  ==============================================================
a rule in a plan                                        is met if
======================================================  ==============================================================
``{measure: kl_divergence, at_most: 0.1}``              the number itself is within the limit
``{measure: rate, versus: source, at_most: 0.02}``      the difference from the source is (`at_most_difference` too)
``{measure: perplexity, versus: source,                 the ratio to the source is
at_most_ratio: 1.10, confidence: 0.95}``
``{no_findings: high}``                                 the named audits ran (`audits`, by default ``[held-back]``) and
                                                        no audit of these bytes found anything of that severity or worse
``{audit: held-back}``                                  that audit ran to its end; with ``no_findings: info`` also that
                                                        it found nothing at all
======================================================  ==============================================================

Every rule is about exact bytes: records about another subject, or against another baseline, do not count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Self

from weighbridge.evidence.record import Comparison, Severity
from weighbridge.gate.stage import GUARDED, Stage
from weighbridge.gate.wording import measure_rule_text

HELD_BACK = "held-back"
"""Name of the audit that proves that what is held back is absent."""

SOURCE = "source"

LIMITS = ("at_most", "at_least", "at_most_ratio", "at_least_ratio", "at_most_difference", "at_least_difference")


class Bound(NamedTuple):
    """A limit with its side and the comparison that it applies to."""

    upper: bool
    limit: float
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRule:
    """A measurement must lie within a limit, and so must its interval.

    Attributes:
        measure: name of the measure, for example `perplexity`.
        versus: `source` to compare with the internal model; None for the number itself.
        at_most, at_least, at_most_ratio, at_least_ratio, at_most_difference, at_least_difference: exactly one is
            given. `at_most`/`at_least` together with `versus` limit the difference.
        confidence: the interval must have been made at this confidence or a higher one. A two-sided interval whose
            far end is within a one-sided limit is the cautious reading: the true error rate is half of that.
        minimum_n: fewest samples that count; a number that is exact (no `n`) always has enough.
        probe_versions: versions of the probe that count; empty for any.
    """

    measure: str
    versus: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    at_most_ratio: float | None = None
    at_least_ratio: float | None = None
    at_most_difference: float | None = None
    at_least_difference: float | None = None
    confidence: float = 0.95
    minimum_n: int | None = None
    probe_versions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = [name for name in LIMITS if getattr(self, name) is not None]
        if not self.measure:
            raise ValueError("a rule must name its measure")
        if len(given) != 1:
            stated = " and ".join(given) if given else "none"
            raise ValueError(f"a rule about a measure needs exactly one limit ({', '.join(LIMITS)}), not {stated}")
        if self.versus not in (None, SOURCE):
            raise ValueError(f"`versus` can only be {SOURCE!r}, not {self.versus!r}")
        if given[0].endswith(("_ratio", "_difference")) and self.versus is None:
            raise ValueError(f"`{given[0]}` compares two models: add `versus: {SOURCE}`")
        limit = float(getattr(self, given[0]))
        if not abs(limit) < float("inf"):
            raise ValueError(f"`{given[0]}` must be a finite number, not {limit}")
        if given[0].endswith("_ratio") and limit <= 0:
            raise ValueError(f"`{given[0]}` must be above zero, not {limit}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"`confidence` must lie between 0 and 1 (0.95 is 95 %), not {self.confidence}")
        if self.minimum_n is not None and self.minimum_n < 1:
            raise ValueError(f"`minimum_n` must be at least 1, not {self.minimum_n}")

    @property
    def bound(self) -> Bound:
        """The one limit, with the comparison that it applies to."""
        name = next(name for name in LIMITS if getattr(self, name) is not None)
        if name.endswith("_ratio"):
            comparison = Comparison.RATIO
        else:
            comparison = Comparison.DIFFERENCE if self.versus else Comparison.ABSOLUTE
        return Bound(upper=name.startswith("at_most"), limit=float(getattr(self, name)), comparison=comparison)

    @property
    def text(self) -> str:
        """The rule as a person would say it."""
        bound = self.bound
        return measure_rule_text(
            self.measure, bound.comparison, bound.limit, bound.upper, self.confidence, self.minimum_n
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form that a plan has."""
        written = {field.name: getattr(self, field.name) for field in fields(self)}
        written["probe_versions"] = list(self.probe_versions) or None
        return {name: value for name, value in written.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class NoFindingsRule:
    """No audit of these bytes found anything at `severity` or worse, and those in `audits` ran.

    Findings of audits that are not named count too, but only a named audit is missed when its record is absent.
    """

    severity: Severity
    audits: tuple[str, ...] = (HELD_BACK,)

    def __post_init__(self) -> None:
        if not self.audits or not all(self.audits):
            raise ValueError("`audits` must name at least one audit: finding nothing without looking is no evidence")

    @property
    def text(self) -> str:
        """The rule as a person would say it."""
        return f"no finding of severity {self.severity.label} or worse; audited for {', '.join(self.audits)}"

    def to_json(self) -> dict[str, Any]:
        """Return the form that a plan has."""
        return {"no_findings": self.severity.label, "audits": list(self.audits)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRule:
    """The audit `probe` ran to its end on these exact bytes.

    Attributes:
        probe: name of the audit.
        no_findings: the audit must also have found nothing of this severity or worse; None to let any finding pass.
        probe_versions: versions of the audit that count; empty for any.
    """

    probe: str
    no_findings: Severity | None = None
    probe_versions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.probe:
            raise ValueError("a rule about an audit must name it")

    @property
    def text(self) -> str:
        """The rule as a person would say it."""
        ran = f"the audit {self.probe} ran to its end"
        if self.no_findings is None:
            return ran
        what = (
            "nothing" if self.no_findings is Severity.INFO else f"nothing of severity {self.no_findings.label} or worse"
        )
        return f"{ran} and found {what}"

    def to_json(self) -> dict[str, Any]:
        """Return the form that a plan has."""
        written: dict[str, Any] = {"audit": self.probe}
        if self.no_findings is not None:
            written["no_findings"] = self.no_findings.label
        if self.probe_versions:
            written["probe_versions"] = list(self.probe_versions)
        return written


Rule = MeasureRule | NoFindingsRule | AuditRule

PROVEN_ABSENT = AuditRule(probe=HELD_BACK, no_findings=Severity.INFO)
"""The default rule of every open policy: what is held back was searched for in these bytes, and is not there."""


_KEYS = {
    "measure": ("measure", "versus", *LIMITS, "confidence", "minimum_n", "probe_versions"),
    "audit": ("audit", "no_findings", "probe_versions"),
    "no_findings": ("no_findings", "audits"),
}
"""The keys of each kind of rule in a plan; the first that is there decides which kind it is."""


def rule_from_json(data: Mapping[str, Any]) -> Rule:
    """Read one rule in the form that a plan has.

    Raises:
        ValueError: if it is no rule; the message says what is wrong in the plan's own words.
    """
    try:
        written = dict(data)
        kind = next((kind for kind in _KEYS if kind in written), None)
        if kind is None:
            raise ValueError(f"a rule starts with one of {', '.join(f'`{kind}`' for kind in _KEYS)}")
        strange = [key for key in written if key not in _KEYS[kind]]
        if strange:
            raise ValueError(f"`{strange[0]}` does not belong in a rule about `{kind}`")
        for name in ("probe_versions", "audits"):
            if name in written:
                written[name] = _names(written[name])
        if "no_findings" in written:
            written["severity"] = Severity.parse(written.pop("no_findings"))
        if kind == "measure":
            return MeasureRule(**written)
        if kind == "audit":
            severity, versions = written.get("severity"), written.get("probe_versions", ())
            return AuditRule(probe=written["audit"], no_findings=severity, probe_versions=versions)
        return NoFindingsRule(**written)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not a rule: {error}") from error


def _names(value: Iterable[str]) -> tuple[str, ...]:
    names = () if isinstance(value, str) else tuple(value)
    if isinstance(value, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"expected a list of names, not {value!r}")
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules that guard one stage; all must be met.

    A policy without rules refuses everything. A policy for the open stage that has rules always begins with
    `PROVEN_ABSENT`, whether it was written or not: whoever holds an open `Policy` knows that it is asked.
    """

    stage: Stage
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        if self.stage not in GUARDED:
            raise ValueError(f"a policy guards one of {', '.join(GUARDED)}, not {self.stage}")
        if self.stage is Stage.OPEN and self.rules and PROVEN_ABSENT not in self.rules:
            object.__setattr__(self, "rules", (PROVEN_ABSENT, *self.rules))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        return {"stage": str(self.stage), "rules": [rule.to_json() for rule in self.rules]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            ValueError: if it has another shape.
        """
        try:
            return cls(stage=Stage(data["stage"]), rules=tuple(rule_from_json(item) for item in data["rules"]))
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a policy: {error}") from error
