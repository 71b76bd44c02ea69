"""The terms of a model, from the licences of everything that it descends from. None of it is legal advice.

Permissions intersect, obligations unite, thresholds are all kept. Weights pass their licence on; outputs pass on only
what a licence says about outputs; data and code stay works of their own.
"""

from collections.abc import Iterable, Iterator, Mapping

from weighbridge.terms.chain import UNKNOWN_MODALITY, WEIGHT_RELATIONS, Chain
from weighbridge.terms.conflict import (
    forbidden_derivatives,
    further_restrictions,
    more_permissive,
    name_prefix,
    outputs_forbidden,
    share_alike,
)
from weighbridge.terms.fact import Activity, Answer, Duty, DutyKind
from weighbridge.terms.force import DERIVATIVE, Bond, Force, answer_of, weigh
from weighbridge.terms.registry import Registry
from weighbridge.terms.remark import carries_on, separate_relation, unknowns, warnings
from weighbridge.terms.terms import (
    AbsentPolicy,
    AppliedField,
    AppliedTerritory,
    AppliedThreshold,
    Conflict,
    Granted,
    Ground,
    Obligation,
    OutputTerms,
    Separate,
    Terms,
    strictest_answer,
)

__all__ = ["Terms", "resolve"]

_HOSTING = (Answer.YES, Answer.CONDITIONAL, Answer.UNKNOWN, Answer.NO)
"""Of several licences the one that binds a service most is what counts."""


def resolve(chain: Chain, *, declared: str, registry: Registry, model_name: str) -> Terms:
    """Return the terms of the root of `chain`. The order of works and edges makes no difference.

    Args:
        chain: everything that it descends from.
        declared: the licence that its publisher declares: an SPDX expression, or a name that cards use.
        registry: the licences that are known.
        model_name: the name under which it is published, with or without its owner.
    """
    force = weigh(chain, declared, registry)
    duties = _duties(force)
    looser = tuple(more_permissive(force))
    prefix, prefix_conflicts = name_prefix(force, duties, model_name)
    conflicts = [conflict for bond, conflict in looser if bond.composed]
    for rule in (forbidden_derivatives, further_restrictions, share_alike, outputs_forbidden):
        conflicts += rule(force)
    conflicts += prefix_conflicts
    return Terms(
        model=chain.root,
        expression=force.expression,
        licences=tuple(sorted({bond.leaf.id for bond in force.bonds})),
        permissions={activity: _granted(force, activity) for activity in Activity},
        output_terms=_output_terms(force, duties),
        thresholds=_thresholds(force),
        fields=_fields(force),
        territories=_territories(force),
        absent_policies=_absent_policies(force),
        duties=duties,
        conflicts=_in_order(conflicts),
        warnings=warnings(force, [(bond, conflict) for bond, conflict in looser if not bond.composed]),
        unknowns=unknowns(force, duties, registry),
        name_prefix=prefix,
        badges=_badges(duties),
        hosting_is_distribution=_hosting(force),
        separate=_separate(force),
    )


def _granted(force: Force, activity: Activity) -> Granted:
    found: list[tuple[Answer, Ground]] = []
    for bond in force.bonds:
        permission = bond.leaf.licence.permissions.get(activity) if bond.leaf.licence else None
        if permission is None:
            reason = "the licence is not known to this version" if bond.leaf.stated else "no licence is stated"
            found.append((Answer.UNKNOWN, bond.ground(reason=reason)))
        else:
            clause = permission.clause
            ground = bond.ground(section=clause.section, quote=clause.quote, reason=permission.reason)
            found.append((permission.answer, ground))
        if activity is Activity.REDISTRIBUTE and bond.inherited:
            found += _unshareable(bond)
    open_ = (item for item in force.unsettled if item.binds)
    found += [(Answer.UNKNOWN, Ground(licence=x.licence, work=x.work, reason=x.message)) for x in open_]
    answer = strictest_answer(answer for answer, _ in found)
    grounds = {ground for stated, ground in found if stated is answer}
    return Granted(
        answer=answer, grounds=tuple(sorted(grounds, key=lambda g: (g.licence, g.work, g.section, g.reason)))
    )


def _unshareable(bond: Bond) -> Iterator[tuple[Answer, Ground]]:
    """Yield a refusal if the licence of a parent allows no derivative, which is what would be handed out."""
    if bond.leaf.licence and answer_of(bond.leaf.licence, Activity.MODIFY) is Answer.NO:
        permission = bond.leaf.licence.permissions[Activity.MODIFY]
        clause = permission.clause
        yield Answer.NO, bond.ground(section=clause.section, quote=clause.quote, reason=permission.reason)


def _duties(force: Force) -> tuple[Obligation, ...]:
    found: dict[tuple[str, Duty], set[str]] = {}
    for bond in force.bonds:
        for duty in bond.leaf.licence.duties if bond.leaf.licence else ():
            found.setdefault((bond.leaf.id, duty), set()).update(bond.works)
    for bond in force.outputs:
        for duty in bond.leaf.licence.duties if bond.leaf.licence else ():
            if Activity.TRAIN_ON_OUTPUTS in duty.on:
                found.setdefault((bond.leaf.id, duty), set()).update(bond.works)
    return tuple(
        Obligation(duty=duty, licence=licence, works=tuple(sorted(works)))
        for (licence, duty), works in sorted(found.items(), key=lambda item: (item[0][0], item[0][1].id))
    )


def _badges(duties: Iterable[Obligation]) -> tuple[str, ...]:
    shown = (item.duty for item in duties if item.duty.kind is DutyKind.BADGE)
    return tuple(sorted({duty.text for duty in shown if not duty.above_threshold}))


def _thresholds(force: Force) -> tuple[AppliedThreshold, ...]:
    return tuple(
        AppliedThreshold(fact=fact, licence=bond.leaf.id, steward=licence.steward, works=bond.works)
        for bond in force.bonds
        if (licence := bond.leaf.licence)
        for fact in licence.thresholds
    )


def _fields(force: Force) -> tuple[AppliedField, ...]:
    return tuple(
        AppliedField(fact=fact, licence=bond.leaf.id, steward=licence.steward, works=bond.works)
        for bond in force.bonds
        if (licence := bond.leaf.licence)
        for fact in licence.fields
    )


def _territories(force: Force) -> tuple[AppliedTerritory, ...]:
    modalities = {work.ref: frozenset(work.modalities) for work in force.chain.works}
    found: list[AppliedTerritory] = []
    for bond in force.bonds:
        licence = bond.leaf.licence
        for fact in licence.territories if licence else ():
            wanted = frozenset(fact.modalities)
            sure = not wanted or any(wanted & modalities[ref] for ref in _origins(force, bond))
            possible = wanted | {UNKNOWN_MODALITY}
            if sure or any(possible & modalities[ref] for ref in (*bond.works, force.chain.root)):
                steward = licence.steward if licence else ""
                found.append(
                    AppliedTerritory(fact=fact, licence=bond.leaf.id, steward=steward, works=bond.works, sure=sure)
                )
    return tuple(found)


def _absent_policies(force: Force) -> tuple[AbsentPolicy, ...]:
    found: list[AbsentPolicy] = []
    for bond in force.bonds:
        policies = [x for x in bond.leaf.licence.sources if x.what == "use-policy"] if bond.leaf.licence else []
        if policies and not any(policy.file for policy in policies):
            found.append(AbsentPolicy(licence=bond.leaf.id, url=policies[0].url, works=bond.works))
    return tuple(found)


def _origins(force: Force, bond: Bond) -> frozenset[str]:
    """Return the works that a licence came from first: those that inherit it from no other."""
    held = frozenset(bond.inherited or bond.works)
    heirs = {e.child for e in force.chain.edges if e.relation in WEIGHT_RELATIONS and e.parent in held}
    return held - heirs


def _hosting(force: Force) -> Answer:
    answers = [
        bond.leaf.licence.hosting_is_distribution.answer if bond.leaf.licence else Answer.UNKNOWN
        for bond in force.bonds
    ]
    return min(answers, key=_HOSTING.index, default=Answer.UNKNOWN)


def _output_terms(force: Force, duties: Iterable[Obligation]) -> OutputTerms:
    known = [bond.leaf.licence for bond in force.bonds if bond.leaf.licence is not None]
    unsettled = {
        licence.id
        for licence in known
        if licence.distilled_is_derivative.answer is Answer.UNKNOWN
        and carries_on(licence)
        and answer_of(licence, Activity.TRAIN_ON_OUTPUTS) is not Answer.NO
    }
    return OutputTerms(
        granted=_granted(force, Activity.TRAIN_ON_OUTPUTS),
        duties=tuple(item for item in duties if Activity.TRAIN_ON_OUTPUTS in item.duty.on),
        follows=tuple(sorted({x.id for x in known if x.distilled_is_derivative.answer in DERIVATIVE})),
        unsettled=tuple(sorted(unsettled)),
    )


def _separate(force: Force) -> tuple[Separate, ...]:
    licences: Mapping[str, str] = {work.ref: work.license for work in force.chain.works}
    return tuple(
        Separate(work=ref, relation=separate_relation(force, ref), expression=force.read(licences[ref]).text)
        for ref in sorted((force.lineage.data | force.lineage.code) - force.lineage.weights)
    )


def _in_order(conflicts: Iterable[Conflict]) -> tuple[Conflict, ...]:
    return tuple(sorted(set(conflicts), key=lambda c: (c.rule, c.first.licence, c.second.licence, c.message)))
