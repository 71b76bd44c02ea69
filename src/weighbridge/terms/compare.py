"""What differs between two licences, fact by fact, and which of them grants less."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from weighbridge.terms.conflict import METRICS
from weighbridge.terms.decode import encode
from weighbridge.terms.fact import Activity, Answer, DutyKind, Licence, Threshold

_STRICTNESS = {Answer.YES: 0, Answer.CONDITIONAL: 1, Answer.NO: 2}
_WORDED = (DutyKind.BADGE, DutyKind.NAME_PREFIX, DutyKind.NOTICE_LINE)


class Stricter(StrEnum):
    """Which of two licences grants less."""

    FIRST = "first"
    SECOND = "second"
    NEITHER = "neither"
    UNCLEAR = "unclear"
    """Something is unknown, or each asks for what the other does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityComparison:
    """How two licences answer for one activity.

    Attributes:
        activity: which.
        first, second: their answers.
        stricter: which of them grants less.
        only_first, only_second: the limits and duties that bear on the activity in one of them only, in words.
    """

    activity: Activity
    first: Answer
    second: Answer
    stricter: Stricter
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactDifference:
    """A fact, other than a permission, that differs; in words."""

    fact: str
    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two licences side by side."""

    first: str
    second: str
    activities: tuple[ActivityComparison, ...]
    differences: tuple[FactDifference, ...]

    def to_json(self) -> dict[str, object]:
        """Return a JSON form."""
        document: dict[str, object] = encode(self)
        return document


def compare(first: Licence, second: Licence) -> Comparison:
    """Compare two licences.

    Of two answers `conditional`, that one grants less whose limits and duties hold all of the other's and more; where
    each has some of its own, it is unclear which does. A condition that is stated in words only counts as one of its
    own.
    """
    return Comparison(
        first=first.id,
        second=second.id,
        activities=tuple(_activity(activity, first, second) for activity in Activity),
        differences=tuple(
            FactDifference(fact=fact, first=one, second=other)
            for (fact, one), (_, other) in zip(_facts(first), _facts(second), strict=True)
            if one != other
        ),
    )


def _activity(activity: Activity, first: Licence, second: Licence) -> ActivityComparison:
    one, other = first.permissions[activity].answer, second.permissions[activity].answer
    limits, others = _limits(first, activity), _limits(second, activity)
    return ActivityComparison(
        activity=activity,
        first=one,
        second=other,
        stricter=_stricter(one, other, limits, others),
        only_first=tuple(limit for limit in limits if limit not in others),
        only_second=tuple(limit for limit in others if limit not in limits),
    )


def _stricter(one: Answer, other: Answer, limits: tuple[str, ...], others: tuple[str, ...]) -> Stricter:
    if Answer.UNKNOWN in (one, other):
        return Stricter.UNCLEAR
    if one is not other:
        return Stricter.FIRST if _STRICTNESS[one] > _STRICTNESS[other] else Stricter.SECOND
    if one is Answer.NO or set(limits) == set(others):
        return Stricter.NEITHER
    if set(limits) > set(others):
        return Stricter.FIRST
    return Stricter.SECOND if set(limits) < set(others) else Stricter.UNCLEAR


def _limits(licence: Licence, activity: Activity) -> tuple[str, ...]:
    """Return the limits and duties that bear on an activity, in words that are equal where they are."""
    permission = licence.permissions[activity]
    found = [threshold_words(threshold) for threshold in _bearing(licence, activity)]
    if licence.permissions[Activity.COMMERCIAL].answer is Answer.NO and activity is not Activity.COMMERCIAL:
        found.append("non-commercial only")
    found += [f"not for: {limit.id}" for limit in licence.fields]
    found += [
        f"not by {limit.applies_to} in {', '.join(limit.regions)}"
        + (f", for {', '.join(limit.modalities)}" if limit.modalities else "")
        for limit in licence.territories
    ]
    found += [
        f"{duty.kind}: {duty.text}" if duty.kind in _WORDED else str(duty.kind)
        for duty in licence.duties
        if activity in duty.on
    ]
    if not found and permission.answer is Answer.CONDITIONAL:
        found.append(permission.reason)
    return tuple(dict.fromkeys(found))


def _bearing(licence: Licence, activity: Activity) -> Iterable[Threshold]:
    for threshold in licence.thresholds:
        if threshold.commercial_only and activity is not Activity.COMMERCIAL:
            continue
        if not threshold.activities or activity in threshold.activities:
            yield threshold


def threshold_words(threshold: Threshold) -> str:
    """Return a threshold in words."""
    what = f"the duty {threshold.duty!r}" if threshold.duty else "a licence of its own"
    whose = threshold.actor.replace("-", " ")
    amount = f"{threshold.above:,} {METRICS[threshold.metric]}"
    return f"above {amount} of the {whose}: {what}; measured: {threshold.measured}"


def _facts(licence: Licence) -> tuple[tuple[str, str], ...]:
    """Return the facts other than permissions, in words, in one order for every licence."""
    return (
        ("category", str(licence.category)),
        ("thresholds", "; ".join(map(threshold_words, licence.thresholds)) or "none"),
        ("fields not allowed", ", ".join(dict.fromkeys(limit.id for limit in licence.fields)) or "none"),
        (
            "use limits bind recipients",
            "yes" if any(limit.flow_down for limit in licence.fields) else "no",
        ),
        (
            "territories left out",
            "; ".join(f"{limit.applies_to}: {', '.join(limit.regions)}" for limit in licence.territories) or "none",
        ),
        ("duties", ", ".join(sorted({str(duty.kind) for duty in licence.duties})) or "none"),
        ("badges", "; ".join(duty.text for duty in licence.duties if duty.kind is DutyKind.BADGE) or "none"),
        ("name prefix", "; ".join(duty.text for duty in licence.duties if duty.kind is DutyKind.NAME_PREFIX) or "none"),
        ("patents", f"{licence.patent.answer}: {licence.patent.text}"),
        ("termination", f"{licence.termination.answer}: {licence.termination.text}"),
        ("hosting is distribution", str(licence.hosting_is_distribution.answer)),
        ("a distilled model is a derivative", str(licence.distilled_is_derivative.answer)),
        ("forbids further restrictions", "yes" if licence.no_further_restrictions else "no"),
        ("a derivative keeps", ", ".join(licence.derivative_keeps) or "nothing"),
        ("OSI-approved", "yes" if licence.osi_approved else "no"),
        ("FSF-libre", "yes" if licence.fsf_libre else "no"),
    )
