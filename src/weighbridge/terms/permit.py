"""May somebody do what they plan with a model? Terms held against a use. What is not stated is answered "unknown"."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from weighbridge.terms.conflict import METRICS
from weighbridge.terms.expression import NOT_STATED
from weighbridge.terms.fact import FIELDS, Activity, Answer, Clause, DutyKind, Effect, Threshold
from weighbridge.terms.terms import AppliedTerritory, AppliedThreshold, Ground, Obligation, Terms
from weighbridge.terms.territory import country, within
from weighbridge.terms.use import Use

PASS, FAIL, UNKNOWN = "pass", "fail", "unknown"
_ORDER = (PASS, UNKNOWN, FAIL)
_BREAKING = ("further-restrictions", "share-alike", "outputs-forbidden", "name-prefix")
"""Conflicts with which nobody can hand the model out in keeping with every text; who only declares wrongly can."""

_WORDS = {
    Activity.USE: "running the model",
    Activity.COMMERCIAL: "commercial use",
    Activity.MODIFY: "making derivatives",
    Activity.REDISTRIBUTE: "handing it out",
    Activity.HOST: "offering it as a service",
    Activity.TRAIN_ON_OUTPUTS: "training other models on its outputs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The answer to one question.

    Attributes:
        question: value of an `Activity`.
        outcome: `pass`, `fail` or `unknown`.
        reasons: sentences; what decides the outcome comes first.
        grounds: the clauses behind them.
        asked: whether the use plans it, or does not say.
    """

    question: str
    outcome: str
    reasons: tuple[str, ...]
    grounds: tuple[Ground, ...]
    asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """One thing that was looked at."""

    outcome: str
    reason: str
    ground: Ground | None = None


def permit(terms: Terms, use: Use) -> tuple[Ruling, ...]:
    """Answer all six questions, in the order of `Activity`.

    A question that the use does not plan is answered for information, with `asked` False.
    """
    planned = {
        Activity.USE: True,
        Activity.COMMERCIAL: use.commercial,
        Activity.MODIFY: use.fine_tunes,
        Activity.REDISTRIBUTE: use.redistributes,
        Activity.HOST: use.hosts,
        Activity.TRAIN_ON_OUTPUTS: use.distils,
    }
    shared = [*_seat_and_territory(terms, use), *_fields(terms, use)]
    return tuple(
        _rule(activity, [*_activity(terms, use, activity), *_thresholds(terms, use, activity), *shared], asked)
        for activity, asked in planned.items()
    )


def duties_for(terms: Terms, use: Use) -> tuple[Obligation, ...]:
    """Return the duties that `use` brings about; what it does not state counts as planned.

    A duty above a threshold is left out only where the use states that it stays within.
    """
    planned = {
        Activity.USE: True,
        Activity.COMMERCIAL: use.commercial is not False,
        Activity.MODIFY: use.fine_tunes is not False,
        Activity.REDISTRIBUTE: use.redistributes is not False,
        Activity.HOST: use.hosts is not False,
        Activity.TRAIN_ON_OUTPUTS: use.distils is not False,
    }
    if planned[Activity.HOST] and terms.hosting_is_distribution is Answer.YES:
        planned[Activity.REDISTRIBUTE] = True
    wanted = [activity for activity, yes in planned.items() if yes]
    return tuple(
        item
        for item in terms.duties_on(*wanted)
        if not item.duty.above_threshold
        or any(_measure(x.fact, use) != PASS for x in terms.thresholds if _adds(x, item))
    )


def badges_for(terms: Terms, use: Use) -> tuple[str, ...]:
    """Return the words that have to be shown prominently for `use`."""
    return tuple(sorted({x.duty.text for x in duties_for(terms, use) if x.duty.kind is DutyKind.BADGE}))


def _adds(item: AppliedThreshold, obligation: Obligation) -> bool:
    return item.licence == obligation.licence and item.fact.duty == obligation.duty.id


def _rule(activity: Activity, points: Iterable[_Point], planned: bool | None) -> Ruling:
    ordered = sorted(points, key=lambda point: -_ORDER.index(point.outcome))
    outcome = ordered[0].outcome if ordered else PASS
    # What would also be fine does not help somebody who was refused.
    telling = [point for point in ordered if outcome == PASS or point.outcome != PASS]
    return Ruling(
        question=str(activity),
        outcome=outcome,
        reasons=tuple(dict.fromkeys(point.reason for point in telling if point.reason)),
        grounds=tuple(dict.fromkeys(point.ground for point in telling if point.ground)),
        asked=planned is not False,
    )


def _activity(terms: Terms, use: Use, activity: Activity) -> Iterator[_Point]:
    yield from _granted(terms, use, activity)
    yield from _purpose(terms, use, activity)
    if activity is Activity.HOST and terms.hosting_is_distribution is Answer.YES:
        yield from _granted(terms, use, Activity.REDISTRIBUTE)
    hands_out = activity is Activity.REDISTRIBUTE or (
        activity is Activity.HOST and terms.hosting_is_distribution is Answer.YES
    )
    for conflict in terms.conflicts if hands_out else ():
        if conflict.rule in _BREAKING:
            yield _Point(outcome=UNKNOWN, reason=f"Its own papers collide: {conflict.message}.", ground=conflict.second)


def _purpose(terms: Terms, use: Use, activity: Activity) -> Iterator[_Point]:
    """What is licensed for non-commercial purposes only is not licensed for a business at all."""
    granted = terms.permissions[Activity.COMMERCIAL]
    if activity is Activity.COMMERCIAL or granted.answer is not Answer.NO or use.commercial is False:
        return
    for ground in granted.grounds:
        where = _section(ground.section)
        if use.commercial:
            reason = f"Your use is commercial, which {ground.licence} forbids{where}."
        else:
            reason = f"{ground.licence} forbids commercial use{where}: state whether yours is."
        yield _Point(outcome=FAIL if use.commercial else UNKNOWN, reason=reason, ground=ground)


def _granted(terms: Terms, use: Use, activity: Activity) -> Iterator[_Point]:
    granted = terms.permissions[activity]
    words = _WORDS[activity]
    if activity is Activity.COMMERCIAL and use.commercial is None and granted.answer is Answer.NO:
        reason = "Commercial use is forbidden: state whether yours is commercial."
        yield _Point(outcome=UNKNOWN, reason=reason, ground=granted.grounds[0] if granted.grounds else None)
        return
    outcome = {Answer.NO: FAIL, Answer.UNKNOWN: UNKNOWN}.get(granted.answer, PASS)
    verb = {FAIL: "forbids", UNKNOWN: "does not settle"}.get(outcome, "allows")
    for ground in granted.grounds:
        because = f": {ground.reason.rstrip('.')}" if ground.reason else ""
        if ground.licence == NOT_STATED:
            yield _Point(outcome=outcome, reason=f"No licence of {ground.work} settles {words}: none is stated.")
            continue
        reason = f"{ground.licence} {verb} {words}{_section(ground.section)}{because}."
        yield _Point(outcome=outcome, reason=reason, ground=ground)
    if not granted.grounds:
        yield _Point(outcome=outcome, reason="")


def _thresholds(terms: Terms, use: Use, activity: Activity) -> Iterator[_Point]:
    for item in terms.thresholds:
        fact = item.fact
        if fact.activities and activity not in fact.activities:
            continue
        exempt = _only_end_user(use) if fact.exempt else False
        if exempt:
            continue
        if fact.commercial_only and use.commercial is False and activity is not Activity.COMMERCIAL:
            continue
        outcome = _measure(fact, use)
        if fact.effect is Effect.DUTY:
            yield _duty_point(terms, item, outcome)
        elif outcome != PASS:
            unsure = outcome == FAIL and fact.commercial_only and use.commercial is None
            point = _threshold_point(item, use, UNKNOWN if unsure else outcome)
            yield point if exempt is False else _perhaps_exempt(point)


def _only_end_user(use: Use) -> bool | None:
    """Whether the use is that of an end user; None if it leaves open whether it is a licensee's as well.

    Whoever fine-tunes, hosts or hands out a model exercises rights of the licence, and is no mere end user.
    """
    if not use.end_user_only:
        return False
    rights = (use.fine_tunes, use.hosts, use.redistributes)
    return False if any(rights) else None if None in rights else True


def _perhaps_exempt(point: _Point) -> _Point:
    reason = f"{point.reason} Only end users are exempt: state whether you fine-tune, host or redistribute it."
    return _Point(outcome=UNKNOWN, reason=reason, ground=point.ground)


def _measure(fact: Threshold, use: Use) -> str:
    """Say whether `use` stays within a threshold: `pass`, `fail` or `unknown`."""
    highest = use.amounts.get(fact.metric)
    if fact.measured_on is None:
        if highest is None:
            return UNKNOWN
        return PASS if highest <= fact.above else FAIL
    months = use.amounts_in.get(fact.metric, {})
    wanted = (fact.measured_on.year, fact.measured_on.month)
    if (stated := next((n for month, n in months.items() if (month.year, month.month) == wanted), None)) is not None:
        return PASS if stated <= fact.above else FAIL
    return PASS if highest is not None and highest <= fact.above else UNKNOWN


def _threshold_point(item: AppliedThreshold, use: Use, outcome: str) -> _Point:
    fact, metric = item.fact, METRICS[item.fact.metric]
    month = f"{fact.measured_on:%B %Y}" if fact.measured_on else ""
    allowed = (
        f"the {fact.above:,} that {item.licence} allows without a licence of its own{_section(fact.clause.section)}"
    )
    amount = use.amounts.get(fact.metric)
    if month:
        stated = [n for day, n in use.amounts_in.get(fact.metric, {}).items() if f"{day:%B %Y}" == month]
        amount = stated[0] if stated else amount
    if outcome == FAIL:
        ask = f": ask {item.steward}" if item.steward else ""
        reason = f"Your {amount or 0:,} {metric}{f' in {month}' if month else ''} are more than {allowed}{ask}."
    elif month:
        reason = f"What counts is {metric} in {month}: state whether they were more than {allowed}."
    elif amount is None:
        reason = f"State your {metric}: the limit is {allowed}."
    else:
        reason = f"Your {amount:,} {metric} are more than {allowed} if your use is commercial: state that."
    return _Point(outcome=outcome, reason=reason, ground=_ground(item.licence, item.works, fact.clause, fact.measured))


def _duty_point(terms: Terms, item: AppliedThreshold, outcome: str) -> _Point:
    """A threshold that adds a duty takes no right away."""
    duty = next((x.duty for x in terms.duties if _adds(item, x)), None)
    what = duty.text if duty else item.fact.duty
    limit = f"{item.fact.above:,} {METRICS[item.fact.metric]}"
    if outcome == PASS:
        reason = f"Within {limit} {item.licence} does not ask for: {what}."
    else:
        lead = "Above" if outcome == FAIL else "If you are above"
        reason = f"{lead} {limit} {item.licence} asks for: {what}."
    ground = _ground(item.licence, item.works, item.fact.clause, item.fact.measured)
    return _Point(outcome=PASS, reason=reason, ground=ground)


def _seat_and_territory(terms: Terms, use: Use) -> Iterator[_Point]:
    for item in terms.territories:
        point = _seat(item, use) if item.fact.applies_to == "seat" else _distribution(item, use)
        if point is None:
            continue
        if point.outcome == FAIL and not item.sure:
            note = "The limit is about what the licensed model takes or gives, which only the derivative is stated to."
            point = _Point(outcome=UNKNOWN, reason=f"{point.reason} {note}", ground=point.ground)
        yield point


def _seat(item: AppliedTerritory, use: Use) -> _Point | None:
    fact = item.fact
    names = ", ".join(fact.regions)
    ground = _ground(item.licence, item.works, fact.clause, f"no rights for licensees seated in {names}")
    if use.seat is None:
        reason = f"State your seat: {item.licence} grants no rights to licensees seated in {names}."
        return _Point(outcome=UNKNOWN, reason=reason, ground=ground)
    region = within(use.seat, fact.regions)
    if not region:
        return None
    where = _section(fact.clause.section)
    exempt = _only_end_user(use) if fact.exempt else False
    if exempt:
        reason = f"{item.licence} grants no rights to licensees seated in {region}{where}, but exempts {fact.exempt}."
        return _Point(outcome=PASS, reason=reason, ground=ground)
    reason = (
        f"Your seat {country(use.seat)} lies in {region}, where {item.licence} grants no rights to licensees{where}."
    )
    point = _Point(outcome=FAIL, reason=reason, ground=ground)
    return point if exempt is False else _perhaps_exempt(point)


def _distribution(item: AppliedTerritory, use: Use) -> _Point | None:
    fact = item.fact
    names = ", ".join(fact.regions)
    ground = _ground(item.licence, item.works, fact.clause, f"no rights in {names}")
    if not use.territories:
        reason = f"State the territories of your use: {item.licence} grants no rights in {names}."
        return _Point(outcome=UNKNOWN, reason=reason, ground=ground)
    outside = sorted({country(code) for code in use.territories if within(code, fact.regions)})
    where = _section(fact.clause.section)
    if not outside:
        return _worked_on_there(item, use, ground)
    reason = f"{item.licence} grants no rights in {names}{where}, and you name {', '.join(outside)}."
    return _Point(outcome=FAIL, reason=reason, ground=ground)


def _worked_on_there(item: AppliedTerritory, use: Use, ground: Ground) -> _Point | None:
    """Territories where it goes do not say where whoever runs or changes it does so: at their seat, as a rule."""
    where, names = _section(item.fact.clause.section), ", ".join(item.fact.regions)
    if use.seat is None:
        reason = f"State your seat: {item.licence} grants no rights in {names}{where}, nor to work on it there."
        return _Point(outcome=UNKNOWN, reason=reason, ground=ground)
    if region := within(use.seat, item.fact.regions):
        reason = (
            f"Your seat {country(use.seat)} lies in {region}, where {item.licence} grants no rights{where}: "
            "whether you keep it out of there altogether is for you to find out."
        )
        return _Point(outcome=UNKNOWN, reason=reason, ground=ground)
    return None


def _fields(terms: Terms, use: Use) -> Iterator[_Point]:
    if use.fields is None:
        if licences := sorted({x.licence for x in terms.fields} | {x.licence for x in terms.absent_policies}):
            names = ", ".join(sorted({item.fact.id for item in terms.fields})) or "what its policy says"
            reason = f"State which fields your use touches; {', '.join(licences)} forbids: {names}."
            yield _Point(outcome=UNKNOWN, reason=reason)
        return
    if use.fields:
        yield from _absent_policies(terms, use.fields)
    for item in terms.fields:
        if item.fact.id in use.fields:
            what = FIELDS.get(item.fact.id, item.fact.id)
            where = _section(item.fact.clause.section)
            reason = f"Your use touches {item.fact.id} ({what}), which {item.licence} forbids{where}."
            yield _Point(
                outcome=FAIL, reason=reason, ground=_ground(item.licence, item.works, item.fact.clause, item.fact.text)
            )


def _absent_policies(terms: Terms, fields: tuple[str, ...]) -> Iterator[_Point]:
    for policy in terms.absent_policies:
        reason = (
            f"Your use touches {', '.join(fields)}, and {policy.licence} includes a policy of which no copy is here: "
            f"read {policy.url}."
        )
        yield _Point(outcome=UNKNOWN, reason=reason, ground=_ground(policy.licence, policy.works, Clause(), reason))


def _ground(licence: str, works: tuple[str, ...], clause: Clause, reason: str) -> Ground:
    return Ground(licence=licence, work=works[0], section=clause.section, quote=clause.quote, reason=reason)


def _section(section: str) -> str:
    if not section:
        return ""
    return f" (section {section})" if section[0].isdigit() else f" ({section})"
