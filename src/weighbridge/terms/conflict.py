"""The chain rules that two texts can break together. Each returns conflicts that name both."""

import re
from collections.abc import Iterable, Iterator

from weighbridge.terms.expression import Leaf, keeps
from weighbridge.terms.fact import Activity, Answer, Clause, DutyKind, Licence, Metric, TerritoryLimit, Threshold
from weighbridge.terms.force import Bond, Force, answer_of, is_limited, is_share_alike
from weighbridge.terms.lineage import holders
from weighbridge.terms.terms import Conflict, Ground, Obligation, strictest_answer
from weighbridge.terms.territory import EU_CODES, country

METRICS = {
    Metric.MONTHLY_USERS: "monthly users",
    Metric.ANNUAL_REVENUE_USD: "US dollars of annual revenue",
    Metric.MONTHLY_REVENUE_USD: "US dollars of monthly revenue",
}

_EXEMPTS = re.compile(r"\b(excluding|except|exempt|other than|apart from)\b", re.IGNORECASE)
_MAX_ADVICE = 500
_JOINABLE = (frozenset({"GPL-3.0", "AGPL-3.0"}),)
"""Share-alike licences whose texts allow one combined work (section 13 of both)."""


def more_permissive(force: Force) -> Iterator[tuple[Bond, Conflict]]:
    """Yield every inherited licence that the declared one loosens or drops, with the conflict."""
    for bond in force.bonds:
        licence = bond.leaf.licence
        if licence is None or not bond.inherited:
            continue
        for branch in force.declared.branches:
            if any(keeps(mine, bond.leaf) for mine in branch):
                continue
            if found := next(_loosened(branch, licence), None):
                yield bond, _loosening(force, bond, *found)
                break


def forbidden_derivatives(force: Force) -> Iterator[Conflict]:
    """Yield the licences in force that allow no derivative at all."""
    for bond in force.bonds:
        licence = bond.leaf.licence
        if licence is None or not bond.inherited or answer_of(licence, Activity.MODIFY) is not Answer.NO:
            continue
        permission = licence.permissions[Activity.MODIFY]
        ground = bond.ground(
            section=permission.clause.section, quote=permission.clause.quote, reason="derivatives are forbidden"
        )
        message = (
            f"{force.chain.root} is derived from {ground.work}, whose licence {licence.id} allows no derivatives: "
            "leave it out, or obtain a licence of its own"
        )
        yield Conflict(rule="more-permissive", message=message, first=force.declared_ground(), second=ground)


def _loosening(force: Force, bond: Bond, reason: str, clause: Clause) -> Conflict:
    second = bond.ground(section=clause.section, quote=clause.quote, reason=reason)
    where = f" (section {clause.section})" if clause.section else ""
    message = (
        f"{force.chain.root} declares {force.declared.text}, but {second.work} is under {bond.leaf.id}: "
        f"{reason}{where}. Declare {_advice(force)}"
    )
    return Conflict(rule="more-permissive", message=message, first=force.declared_ground(), second=second)


def _advice(force: Force) -> str:
    if len(force.expression) > _MAX_ADVICE:
        return "every licence that is inherited"
    return force.expression


def _loosened(branch: tuple[Leaf, ...], licence: Licence) -> Iterator[tuple[str, Clause]]:
    """Yield (what declaring `branch` would loosen, the clause) for a licence that `branch` does not name."""
    if "licence" in licence.derivative_keeps or is_share_alike(licence):
        yield "a derivative has to stay under it", _keeping_clause(licence)
    known = [leaf.licence for leaf in branch if leaf.licence is not None]
    if len(known) < len(branch):
        return  # What an unknown licence allows is unknown, and said so elsewhere.
    for activity in Activity:
        declared = strictest_answer(answer_of(mine, activity) for mine in known)
        if answer_of(licence, activity) is Answer.NO and declared in (Answer.YES, Answer.CONDITIONAL):
            permission = licence.permissions[activity]
            yield permission.reason or f"it forbids: {activity}", permission.clause
    yield from _dropped_limits(known, licence)


def _dropped_limits(known: list[Licence], licence: Licence) -> Iterator[tuple[str, Clause]]:
    kept_fields = {limit.id for mine in known for limit in mine.fields}
    for limit in licence.fields:
        if limit.id not in kept_fields:
            yield f"its limit of use would be dropped: {limit.text.rstrip('.')}", limit.clause
    for threshold in licence.thresholds:
        if not any(_as_strict(mine, threshold) for other in known for mine in other.thresholds):
            amount = f"{threshold.above:,} {METRICS[threshold.metric]}"
            yield f"its limit of {amount} would be dropped", threshold.clause
    for territory in licence.territories:
        if not any(_as_wide(mine, territory) for other in known for mine in other.territories):
            yield f"its limit of territory would be dropped: {', '.join(territory.regions)}", territory.clause
    if "use-limits" in licence.derivative_keeps and not any("use-limits" in mine.derivative_keeps for mine in known):
        yield "its limits of use have to bind every recipient", _keeping_clause(licence)


def _as_strict(mine: Threshold, theirs: Threshold) -> bool:
    same = (mine.metric, mine.effect, mine.measured_on) == (theirs.metric, theirs.effect, theirs.measured_on)
    return same and mine.above <= theirs.above


def _as_wide(mine: TerritoryLimit, theirs: TerritoryLimit) -> bool:
    def countries(regions: Iterable[str]) -> set[str]:
        return {code for region in regions for code in (EU_CODES if region == "EU" else {country(region)})}

    modalities = not mine.modalities or (bool(theirs.modalities) and {*theirs.modalities} <= {*mine.modalities})
    return mine.applies_to == theirs.applies_to and modalities and countries(theirs.regions) <= countries(mine.regions)


def _keeping_clause(licence: Licence) -> Clause:
    """Return the clause that a derivative is bound by, as far as a duty names one."""
    wanted = (DutyKind.SHARE_ALIKE, DutyKind.FLOW_DOWN, DutyKind.SHIP_LICENCE)
    duties = sorted((duty for duty in licence.duties if duty.kind in wanted), key=lambda duty: wanted.index(duty.kind))
    return duties[0].clause if duties else Clause()


def further_restrictions(force: Force) -> Iterator[Conflict]:
    """Yield the pairs of a licence that forbids further restrictions and one whose limits bind recipients."""
    known = _one_each(force.bonds)
    for open_bond, free in known:
        for bond, limited in known:
            if not free.no_further_restrictions or limited.id == free.id or not is_limited(limited):
                continue
            if limited.no_further_restrictions and is_share_alike(limited) and is_share_alike(free):
                continue  # The rule about two share-alike licences says it.
            first, second = open_bond.ground(reason="forbids further restrictions"), _limit_ground(bond, limited)
            message = (
                f"{free.id} ({first.work}) forbids further restrictions, and {limited.id} ({second.work}) restricts "
                "what recipients may do: one work cannot be handed out under both. Leave one of them out"
            )
            yield Conflict(rule="further-restrictions", message=message, first=first, second=second)


def _one_each(bonds: Iterable[Bond]) -> list[tuple[Bond, Licence]]:
    """Return one bond for every known licence, so that a thousand exceptions to one make no million pairs."""
    found: dict[str, tuple[Bond, Licence]] = {}
    for bond in bonds:
        if bond.leaf.licence is not None:
            found.setdefault(bond.leaf.id, (bond, bond.leaf.licence))
    return list(found.values())


def _limit_ground(bond: Bond, licence: Licence) -> Ground:
    clauses = [limit.clause for limit in licence.fields if limit.flow_down]
    clauses += [duty.clause for duty in licence.duties if duty.kind is DutyKind.FLOW_DOWN]
    if answer_of(licence, Activity.COMMERCIAL) is Answer.NO:
        clauses.append(licence.permissions[Activity.COMMERCIAL].clause)
    clause = next(iter(clauses), Clause())
    return bond.ground(section=clause.section, quote=clause.quote, reason="its limits bind recipients")


def share_alike(force: Force) -> Iterator[Conflict]:
    """Yield the pairs of different share-alike licences in force."""
    bonds = [bond for bond, licence in _one_each(force.bonds) if is_share_alike(licence)]
    for position, first in enumerate(bonds):
        for second in bonds[position + 1 :]:
            if _compatible(first.leaf, second.leaf):
                continue
            message = (
                f"{first.leaf.id} ({first.ground().work}) and {second.leaf.id} ({second.ground().work}) each ask that "
                "the whole goes under their own text: leave one of them out"
            )
            grounds = [_share_ground(bond) for bond in (first, second)]
            yield Conflict(rule="share-alike", message=message, first=grounds[0], second=grounds[1])


def _share_ground(bond: Bond) -> Ground:
    clause = _keeping_clause(bond.leaf.licence) if bond.leaf.licence else Clause()
    return bond.ground(section=clause.section, quote=clause.quote, reason="adaptations go under the same licence")


def _compatible(first: Leaf, second: Leaf) -> bool:
    families = frozenset(re.sub(r"(-only|-or-later|\+)$", "", leaf.expression) for leaf in (first, second))
    return keeps(first, second) or keeps(second, first) or families in _JOINABLE


def outputs_forbidden(force: Force) -> Iterator[Conflict]:
    """Yield the teachers whose licence forbids training other models on their outputs."""
    for bond in force.outputs:
        licence = bond.leaf.licence
        if licence is None or answer_of(licence, Activity.TRAIN_ON_OUTPUTS) is not Answer.NO:
            continue
        permission = licence.permissions[Activity.TRAIN_ON_OUTPUTS]
        guilty = _students(force, bond, exempt=bool(_EXEMPTS.search(f"{permission.clause.quote} {permission.reason}")))
        if guilty is None:
            continue
        student, teacher = guilty
        clause = permission.clause
        reason = permission.reason or "outputs must not train other models"
        second = Ground(licence=licence.id, work=teacher, section=clause.section, quote=clause.quote, reason=reason)
        where = f" (section {clause.section})" if clause.section else ""
        message = (
            f"{student} was trained on outputs of {teacher}, whose licence {licence.id} forbids that{where}: {reason}. "
            "Train on outputs of another model, or obtain a licence of its own"
        )
        first = Ground(licence=force.declared.text, work=student, reason="trained on the outputs")
        yield Conflict(rule="outputs-forbidden", message=message, first=first, second=second)


def _students(force: Force, bond: Bond, *, exempt: bool) -> tuple[str, str] | None:
    """Return the first (student, teacher) that `bond` forbids; with `exempt`, its own derivatives may learn.

    What the root merely declares makes it no derivative: only weights that it was made from do.
    """
    own = {*bond.works, *(ref for b in force.bonds if b.leaf.id == bond.leaf.id for ref in b.inherited)}
    family = holders(force.chain, lambda ref: ref in own)
    for student, teacher in force.lineage.taught:
        if teacher in family and not (exempt and student in family):
            return student, teacher
    return None


def name_prefix(force: Force, duties: Iterable[Obligation], model_name: str) -> tuple[str, tuple[Conflict, ...]]:
    """Return the prefix that names need, and the conflicts: two that collide, or a name without it.

    A model that is made from none under such a licence keeps its own name; the prefix is for what is made from it.
    """
    made = {bond.leaf.id for bond in (*force.bonds, *force.outputs) if bond.inherited}
    asked = [item for item in duties if item.duty.kind is DutyKind.NAME_PREFIX]
    binding = [item for item in asked if item.licence in made]
    needed = sorted(binding or asked, key=lambda item: (-len(item.duty.text), item.duty.text, item.licence))
    if not needed:
        return "", ()
    longest = needed[0]
    clashing = tuple(
        _prefix_clash(longest, item) for item in needed[1:] if not begins_with(longest.duty.text, item.duty.text)
    )
    if clashing:
        return "", clashing[:1]
    name = model_name.rpartition("/")[2]
    if not binding or not name or begins_with(name, longest.duty.text):
        return longest.duty.text, ()
    lacking = Ground(licence=force.declared.text, work=force.chain.root, reason=f"the name is {name!r:.200}")
    ground = _duty_ground(longest)
    message = (
        f"the name {name!r:.200} has to begin with {longest.duty.text!r}, as {longest.licence} asks (section "
        f"{ground.section or 'not given'}): rename it to {longest.duty.text}-{name:.200}"
    )
    return longest.duty.text, (Conflict(rule="name-prefix", message=message, first=lacking, second=ground),)


def _prefix_clash(first: Obligation, second: Obligation) -> Conflict:
    message = (
        f"the name has to begin with {first.duty.text!r} ({first.licence}) and with {second.duty.text!r} "
        f"({second.licence}): no name can. Leave one of the works out"
    )
    return Conflict(rule="name-prefix", message=message, first=_duty_ground(first), second=_duty_ground(second))


def _duty_ground(item: Obligation) -> Ground:
    clause = item.duty.clause
    reason = f"names begin with {item.duty.text!r}"
    return Ground(licence=item.licence, work=item.works[0], section=clause.section, quote=clause.quote, reason=reason)


def begins_with(name: str, prefix: str) -> bool:
    """Say whether `name` begins with `prefix`; names of models have hyphens where texts have spaces."""

    def plain(text: str) -> str:
        return re.sub(r"[\s_]+", "-", text)

    return plain(name).startswith(plain(prefix))
