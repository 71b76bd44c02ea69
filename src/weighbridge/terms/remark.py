"""The chain rules that stop nothing: what to know about a chain, and what nobody knows."""

from collections.abc import Iterable, Iterator

from weighbridge.terms.chain import Relation
from weighbridge.terms.fact import Activity, Answer, DutyKind, Licence
from weighbridge.terms.force import Bond, Force, answer_of, is_limited, is_share_alike
from weighbridge.terms.registry import Registry
from weighbridge.terms.terms import Conflict, Obligation, Remark

_MATTERING = (Activity.USE, Activity.COMMERCIAL, Activity.MODIFY, Activity.REDISTRIBUTE)
"""What every release and every adopter needs an answer for; of the others only whoever hosts or distils."""


def warnings(force: Force, under_adapter: Iterable[tuple[Bond, Conflict]]) -> tuple[Remark, ...]:
    """Return the warnings, sorted. `under_adapter` are bases whose licence an adapter declares to differ from."""
    found = [*_data(force), *_code(force), *_flow_down(force), *_services(force)]
    for bond, conflict in under_adapter:
        message = (
            f"{conflict.first.work} is an adapter and may be under {conflict.first.licence} itself, but put together "
            f"with {conflict.second.work} it is under {bond.leaf.id}, too"
        )
        found.append(Remark(rule="adapter-differs", message=message, work=conflict.second.work))
    return _sorted(found)


def _data(force: Force) -> Iterator[Remark]:
    works = force.chain.by_ref()
    for ref in sorted(force.lineage.data):
        for leaf in force.read(works[ref].license).leaves:
            if leaf.licence is None:
                continue
            unsettled = "whether weights are an adaptation of what they were trained on is not settled"
            if answer_of(leaf.licence, Activity.COMMERCIAL) is Answer.NO:
                message = f"the data {ref} is for non-commercial use ({leaf.id}); {unsettled}"
                yield Remark(rule="non-commercial-data", message=message, work=ref)
            if is_share_alike(leaf.licence):
                message = f"the data {ref} asks that adaptations go under {leaf.id}; {unsettled}"
                yield Remark(rule="share-alike-data", message=message, work=ref)


def _code(force: Force) -> Iterator[Remark]:
    works = force.chain.by_ref()
    restricted = [bond for bond in force.bonds if bond.leaf.licence is not None and is_limited(bond.leaf.licence)]
    for ref in sorted(force.lineage.code) if restricted else ():
        for leaf in force.read(works[ref].license).leaves:
            if leaf.licence is not None and leaf.licence.no_further_restrictions:
                message = (
                    f"the code {ref} ({leaf.id}) forbids further restrictions, and the weights are restricted by "
                    f"{restricted[0].leaf.id}: keep them separate works, each under its own licence"
                )
                yield Remark(rule="separate-works", message=message, work=ref)


def _flow_down(force: Force) -> Iterator[Remark]:
    for bond, licence in _known(force.bonds):
        forbidden = sorted({limit.id for limit in licence.fields if limit.flow_down})
        asked = any(duty.kind is DutyKind.FLOW_DOWN for duty in licence.duties)
        if forbidden or asked:
            what = ", ".join(forbidden) or "its limits of use"
            message = f"{licence.id} forbids fields of use that recipients have to be bound to, too: {what}"
            yield Remark(rule="prohibited-field-flow-down", message=message, work=bond.ground().work)


def _services(force: Force) -> Iterator[Remark]:
    for bond, licence in _known(force.bonds):
        if licence.hosting_is_distribution.answer is Answer.YES:
            message = f"{licence.id} counts a service over a network as distribution, with all its duties"
            yield Remark(rule="network-service", message=message, work=bond.ground().work)


def unknowns(force: Force, duties: Iterable[Obligation], registry: Registry) -> tuple[Remark, ...]:
    """Return what is not known, sorted."""
    found = [Remark(rule=item.rule, message=item.message, work=item.work) for item in force.unsettled]
    found += [*_unpinned(force), *_unconnected(force), *_unclear(force), *_unclear_outputs(force)]
    found += _missing_texts(force, duties, registry)
    return _sorted(found)


def _unpinned(force: Force) -> Iterator[Remark]:
    relevant = force.lineage.relevant - {force.chain.root}
    for work in force.chain.works:
        if work.ref in relevant and not work.digest:
            message = f"{work.ref} is named without a digest, so nobody can tell which bytes are meant: pin it"
            yield Remark(rule="not-pinned", message=message, work=work.ref)


def _unconnected(force: Force) -> Iterator[Remark]:
    for work in force.chain.works:
        if work.ref not in force.lineage.reached:
            message = f"{work.ref} is listed, but no edge says how {force.chain.root} descends from it"
            yield Remark(rule="unclear-fact", message=message, work=work.ref)


def _unclear(force: Force) -> Iterator[Remark]:
    for bond, licence in _known(force.bonds):
        unclear = [activity for activity in _MATTERING if answer_of(licence, activity) is Answer.UNKNOWN]
        if unclear:
            message = f"whether {licence.id} allows this is not known here: {', '.join(unclear)}. Read its text"
            yield Remark(rule="unclear-fact", message=message, work=bond.ground().work)


def _unclear_outputs(force: Force) -> Iterator[Remark]:
    for bond, licence in _known(force.outputs):
        if answer_of(licence, Activity.TRAIN_ON_OUTPUTS) is Answer.UNKNOWN:
            message = f"whether {licence.id} allows to train other models on outputs is not known here"
            yield Remark(rule="unclear-fact", message=message, work=bond.ground().work)
        elif licence.distilled_is_derivative.answer is Answer.UNKNOWN and carries_on(licence):
            message = (
                f"{licence.id} does not say whether a model trained on outputs is a derivative that stays under it"
            )
            yield Remark(rule="unclear-fact", message=message, work=bond.ground().work)


def carries_on(licence: Licence) -> bool:
    """Say whether it matters that something is a derivative: it would be bound to more than notices."""
    return is_limited(licence) or is_share_alike(licence) or "licence" in licence.derivative_keeps


def _missing_texts(force: Force, duties: Iterable[Obligation], registry: Registry) -> Iterator[Remark]:
    works = force.chain.by_ref()
    asking = {item.licence for item in duties if item.duty.kind is DutyKind.SHIP_LICENCE}
    in_force = {bond.leaf.id for bond in force.bonds}
    for bond, licence in _known((*force.bonds, *force.outputs)):
        if registry.text(licence) is None and not any(works[ref].license_text for ref in bond.works):
            # Nobody can tell what a text asks for that nobody has.
            if licence.id in asking or licence.id in in_force:
                message = f"the text of {licence.id} neither came along nor is archived here: supply it"
                yield Remark(rule="missing-text", message=message, work=bond.ground().work)
        elif licence.needs_copyright and licence.id in asking:
            for ref in bond.inherited:
                if not works[ref].license_text:
                    message = (
                        f"the copyright line of {ref} ({licence.id}) has to be kept, but its text did not come along"
                    )
                    yield Remark(rule="missing-text", message=message, work=ref)


def separate_relation(force: Force, ref: str) -> Relation:
    """Return how a work that is not in the weights stands to them."""
    return Relation.CODE if ref in force.lineage.code else Relation.TRAIN_DATA


def _known(bonds: Iterable[Bond]) -> Iterator[tuple[Bond, Licence]]:
    for bond in bonds:
        if bond.leaf.licence is not None:
            yield bond, bond.leaf.licence


def _sorted(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    return tuple(sorted(set(remarks), key=lambda remark: (remark.rule, remark.work, remark.message)))
