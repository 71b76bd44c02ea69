"""Two questions of the EU's AI Act that an adopter asks: is the model exempt as open source, and do we become provider?

Rules: Regulation (EU) 2024/1689, Articles 51(2), 53(2) and 54(6), recitals 102 to 104; Commission Guidelines of 18 July
2025 on the scope of the obligations for providers of general-purpose AI models, sections 3.2 and 4. The Guidelines are
indicative. The exemption lifts Article 53(1)(a) and (b) and Article 54; copyright policy and summary remain.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from weighbridge.dossier.duty.evidence import flop_number
from weighbridge.dossier.duty.field import yes_or_no
from weighbridge.dossier.duty.freedom import free_licence
from weighbridge.dossier.recorded import recorded_terms
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.terms import Terms

SYSTEMIC_FLOP = 1e25
"""Above this, high-impact capabilities are presumed (Article 51(2))."""

PROVIDER_SHARE = 1 / 3
"""Whoever modifies a model with more than this part of its training computation becomes provider (Guidelines, 3.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition: `pass`, `fail` or `unknown`, and why."""

    name: str
    outcome: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What the conditions come to: `fail` if one fails, `unknown` if one is unknown, else `pass`."""

    conditions: tuple[Condition, ...]

    @property
    def outcome(self) -> str:
        """The worst of the conditions; `unknown` of none."""
        found = {condition.outcome for condition in self.conditions}
        return "fail" if "fail" in found else "pass" if found == {"pass"} else "unknown"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, a sentence for each condition that decides the outcome."""
        return tuple(condition.reason for condition in self.conditions if condition.outcome == self.outcome)


def exemption_eu_of(record: ReleaseRecord) -> Assessment:
    """Return whether the open-source exemption of Article 53(2) holds for a release, as far as its record tells.

    Raises:
        InputError: if the record's terms have another shape.
    """
    verdict = record.decision
    opened = True if verdict is not None and verdict.passed and verdict.stage == "open" else None
    family = str(record.architecture.get("family") or "unknown")
    return exemption_eu(
        recorded_terms(record),
        record.disclosure.statements,
        weights_public=opened,
        architecture_public=True if family != "unknown" else None,
        usage_public=True if record.texts.intended_use.strip() else None,
    )


def exemption_eu(
    terms: Terms | None,
    statements: Mapping[str, str],
    *,
    weights_public: bool | None,
    architecture_public: bool | None,
    usage_public: bool | None,
) -> Assessment:
    """Return whether the open-source exemption of Article 53(2) holds; each condition with its reason.

    Args:
        terms: of the whole chain; None if they are not known.
        statements: of the publisher, by field id; `training.compute_flop` and `model.monetised` are read.
        weights_public: whether anybody can obtain the weights; None if that is not known.
        architecture_public: whether the architecture is described publicly.
        usage_public: whether it is publicly described how to use it.
    """
    return Assessment(
        conditions=(
            _free_licence(terms),
            _public("weights", "the weights", weights_public),
            _public("architecture", "information on the architecture", architecture_public),
            _public("usage", "information on usage", usage_public),
            _systemic_risk(statements),
            _monetised(statements),
        )
    )


def provider_by_modification(share: float | None, *, modifies: bool | None = True) -> Assessment:
    """Return whether a modification leaves whoever makes it without the duties of a provider (`pass`), or not (`fail`).

    Args:
        share: computation of the modification, as a part of that of the original model's training; where the latter
            is not known, of 1e23 FLOP (1e25 for a model with systemic risk), as the Guidelines say.
        modifies: whether the model is modified at all; None if that is not known.

    Raises:
        ValueError: if `share` is negative or no number.
    """
    if share is not None and not share >= 0:
        raise ValueError(f"a share of computation cannot be {share}")
    if modifies is False:
        outcome, reason = "pass", "The model is not modified."
    elif share is None:
        outcome, reason = "unknown", "How much computation the modification takes, next to the original, is not stated."
    elif share > PROVIDER_SHARE:
        outcome = "fail"
        reason = f"The modification takes {share * 100:.3g} % of the original computation, more than a third."
    else:
        outcome = "pass"
        reason = f"The modification takes {share * 100:.3g} % of the original computation, not more than a third."
    return Assessment(conditions=(Condition(name="modification", outcome=outcome, reason=reason),))


def _free_licence(terms: Terms | None) -> Condition:
    outcome, reason = free_licence(terms)
    return Condition(name="licence", outcome=outcome, reason=reason)


def _public(name: str, what: str, known: bool | None) -> Condition:
    outcome, reason = {
        True: ("pass", f"Anybody can obtain {what}."),
        False: ("fail", f"Not everybody can obtain {what}."),
        None: ("unknown", f"Whether anybody can obtain {what} is not known."),
    }[known]
    return Condition(name=name, outcome=outcome, reason=reason)


def _systemic_risk(statements: Mapping[str, str]) -> Condition:
    flop = flop_number(statements.get("training.compute_flop", ""))
    if flop is None:
        outcome, reason = "unknown", "The computation of its training is not stated as one number."
    elif flop > SYSTEMIC_FLOP:
        outcome, reason = "fail", f"Systemic risk is presumed: {flop:.2g} FLOP of training are more than 1e25."
    else:
        outcome, reason = "pass", f"The stated {flop:.2g} FLOP of training are not more than 1e25."
    return Condition(name="systemic-risk", outcome=outcome, reason=reason)


def _monetised(statements: Mapping[str, str]) -> Condition:
    stated = yes_or_no(statements.get("model.monetised", ""))
    outcome, reason = {
        True: ("fail", "The publisher states that it is paid for."),
        False: ("pass", "The publisher states that it is not paid for."),
        None: ("unknown", "Whether it is paid for is not stated (`model.monetised`)."),
    }[stated]
    return Condition(name="monetisation", outcome=outcome, reason=reason)
