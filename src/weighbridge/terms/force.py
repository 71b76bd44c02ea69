"""Which licences are in force for a model, through which works: what every chain rule looks at."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from weighbridge.errors import InputError
from weighbridge.terms.chain import WEIGHT_RELATIONS, Chain
from weighbridge.terms.companion import difference
from weighbridge.terms.expression import Expression, Leaf, join, keeps, parse, unreadable
from weighbridge.terms.fact import Activity, Answer, Category, DutyKind, Licence
from weighbridge.terms.lineage import Lineage, trace
from weighbridge.terms.registry import Registry
from weighbridge.terms.terms import ORDER, Ground, strictest_answer

DERIVATIVE = (Answer.YES, Answer.CONDITIONAL)
"""Answers to "is a model trained on outputs a derivative?" with which the terms are carried on."""

_MAX_NAMED = 3
_COPYLEFT = (Category.SHARE_ALIKE, Category.COPYLEFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bond:
    """A licence with the works that bring it in.

    Attributes:
        leaf: the licence, perhaps an unknown one.
        works: refs, sorted; the root among them if it declares the licence.
        inherited: those that are not the root.
        composed: whether it covers the root's own files, and not only a base under an adapter.
    """

    leaf: Leaf
    works: tuple[str, ...]
    inherited: tuple[str, ...]
    composed: bool = True

    def ground(self, *, section: str = "", quote: str = "", reason: str = "") -> Ground:
        """Return a ground that names this licence and the work it was inherited from."""
        work = (self.inherited or self.works)[0]
        return Ground(licence=self.leaf.id, work=work, section=section, quote=quote, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A work whose licence is not known or has another text, or whose choice of licences nobody made.

    Attributes:
        work: its ref.
        rule: `unknown-licence`, `unclear-fact` or `text-differs`.
        message: what is not known, and what to do.
        licence: as stated.
        binds: whether every permission is unknown because of it, and no bond says so.
    """

    work: str
    rule: str
    message: str
    licence: str
    binds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Force:
    """Everything that the rules look at.

    Attributes:
        chain: as given.
        lineage: how its works reach the root.
        declared: what the root declares.
        bonds: licences in force for the weights, sorted.
        outputs: licences of the teachers, which bind by their facts about outputs only.
        unsettled: what is not known, sorted by work.
        expression: in force, as SPDX writes it.
        read: reads the licence that a work states.
    """

    chain: Chain
    lineage: Lineage
    declared: Expression
    bonds: tuple[Bond, ...]
    outputs: tuple[Bond, ...]
    unsettled: tuple[Unsettled, ...]
    expression: str
    read: Callable[[str], Expression]

    def declared_ground(self, *, reason: str = "") -> Ground:
        """Return a ground that names what the root declares."""
        return Ground(licence=self.declared.text, work=self.chain.root, reason=reason)


def is_share_alike(licence: Licence) -> bool:
    """Say whether adaptations have to go under the same licence."""
    return licence.category in _COPYLEFT or any(duty.kind is DutyKind.SHARE_ALIKE for duty in licence.duties)


def is_limited(licence: Licence) -> bool:
    """Say whether a derivative stays bound to limits that recipients have to accept."""
    return (
        any(limit.flow_down for limit in licence.fields)
        or any(duty.kind is DutyKind.FLOW_DOWN for duty in licence.duties)
        or "use-limits" in licence.derivative_keeps
        or answer_of(licence, Activity.COMMERCIAL) is Answer.NO
        or ("licence" in licence.derivative_keeps and bool(licence.thresholds or licence.territories))
    )


def answer_of(licence: Licence | None, activity: Activity) -> Answer:
    """Return what `licence` answers; UNKNOWN for no licence."""
    permission = licence.permissions.get(activity) if licence else None
    return permission.answer if permission else Answer.UNKNOWN


def weigh(chain: Chain, declared: str, registry: Registry) -> Force:
    """Find the licences in force. Linear in the works of `chain`; every name is read once."""
    return _Scale(chain=chain, lineage=trace(chain), stated=declared, registry=registry).weigh()


@dataclass(slots=True, kw_only=True)
class _Scale:
    """Collects what `weigh` returns."""

    chain: Chain
    lineage: Lineage
    stated: str
    registry: Registry
    known: dict[str, Expression] = field(default_factory=dict)
    unsettled: list[Unsettled] = field(default_factory=list)
    parts: list[Expression] = field(default_factory=list)
    children: dict[str, list[str]] = field(default_factory=dict)

    def read(self, text: str) -> Expression:
        """Return what `text` states; a name that follows no grammar becomes an unknown licence."""
        if text not in self.known:
            try:
                self.known[text] = parse(text, self.registry)
            except InputError:
                self.known[text] = unreadable(text)
        return self.known[text]

    def weigh(self) -> Force:
        works = self.chain.by_ref()
        for edge in self.chain.edges:
            if edge.relation in WEIGHT_RELATIONS and edge.child in self.lineage.weights:
                self.children.setdefault(edge.parent, []).append(works[edge.child].license)
        declared = self.read(self.stated)
        chosen = _least_restrictive(declared)
        self.parts.append(declared)
        self._note_unknown(self.chain.root, chosen, binds=False)
        inherited = self._inherited({ref: works[ref].license for ref in self.lineage.weights}, declared, chosen)
        outputs = self._outputs({ref: works[ref].license for ref in self.lineage.teachers}, binds=True)
        distant = self._outputs({ref: works[ref].license for ref in self.lineage.distant}, binds=False)
        beside = self.lineage.data | self.lineage.code
        for ref in sorted(beside - self.lineage.weights - self.lineage.teachers - self.lineage.distant):
            self._note_unknown(ref, _least_restrictive(self.read(works[ref].license)), binds=False)
        self._compare_texts(declared)
        derived = _derivatives(outputs, distant)
        self.parts += [Expression(text=leaf.expression, branches=((leaf,),)) for leaf, _ in derived.values()]
        return Force(
            chain=self.chain,
            lineage=self.lineage,
            declared=declared,
            bonds=self._bonds(chosen, inherited, derived),
            outputs=tuple(_output_bond(leaf, refs) for _, (leaf, refs) in sorted(outputs.items())),
            unsettled=tuple(sorted(set(self.unsettled), key=lambda item: (item.work, item.rule, item.message))),
            expression=join(self.parts),
            read=self.read,
        )

    def _inherited(
        self, licences: Mapping[str, str], declared: Expression, chosen: tuple[Leaf, ...]
    ) -> dict[str, tuple[Leaf, set[str]]]:
        found: dict[str, tuple[Leaf, set[str]]] = {}
        for ref, stated in sorted(licences.items()):
            expression = self.read(stated)
            branch = self._pick(ref, expression, declared, chosen)
            if branch is None:
                self.parts.append(expression)
                self.unsettled.append(_open_choice(ref, expression))
                continue
            self.parts += [Expression(text=leaf.expression, branches=((leaf,),)) for leaf in branch]
            self._note_unknown(ref, branch, binds=False)
            _collect(found, ref, branch)
        return found

    def _outputs(self, licences: Mapping[str, str], *, binds: bool) -> dict[str, tuple[Leaf, set[str]]]:
        found: dict[str, tuple[Leaf, set[str]]] = {}
        for ref, stated in sorted(licences.items()):
            # Whoever asks a model for its outputs may take the licence that suits best.
            branch = _least_restrictive(self.read(stated))
            self._note_unknown(ref, branch, binds=binds)
            _collect(found, ref, branch)
        return found

    def _pick(
        self, ref: str, expression: Expression, declared: Expression, chosen: tuple[Leaf, ...]
    ) -> tuple[Leaf, ...] | None:
        """Return the alternative of a parent that was taken; None if nobody says which."""
        if len(expression.branches) == 1:
            return expression.branches[0]
        if all(_covered(expression, branch) for branch in declared.branches):
            return _covered(expression, chosen)
        taken = {
            _text(_covered(expression, branch)): _covered(expression, branch)
            for stated in self.children.get(ref, ())
            for branch in self.read(stated).branches
        }
        return next(iter(taken.values())) if len(taken) == 1 else None

    def _note_unknown(self, ref: str, branch: Iterable[Leaf], *, binds: bool) -> None:
        if unknown := [leaf for leaf in branch if leaf.licence is None]:
            self.unsettled.append(_unknown(ref, unknown, binds=binds))

    def _compare_texts(self, declared: Expression) -> None:
        """Note every work whose text is not that of the licence it states: nobody knows which of them holds."""
        binding = {self.chain.root} | self.lineage.weights | self.lineage.teachers
        for work in self.chain.works:
            own = work.ref == self.chain.root
            if work.license_text and (own or work.ref in self.lineage.relevant):
                stated = declared if own else self.read(work.license)
                if how := difference(stated, work.license_text, self.registry):
                    self.unsettled.append(_other_text(work.ref, how, stated, binds=work.ref in binding))

    def _bonds(
        self,
        chosen: tuple[Leaf, ...],
        inherited: Mapping[str, tuple[Leaf, set[str]]],
        derived: Mapping[str, tuple[Leaf, set[str]]],
    ) -> tuple[Bond, ...]:
        leaves = {leaf.expression: leaf for leaf in chosen}
        leaves |= {name: leaf for source in (inherited, derived) for name, (leaf, _) in source.items()}
        bonds: list[Bond] = []
        for name, leaf in sorted(leaves.items(), key=lambda item: (item[1].id, item[0])):
            held = inherited[name][1] if name in inherited else set()
            learnt = derived[name][1] if name in derived else set()
            own = any(leaf.expression == name for leaf in chosen)
            bonds.append(
                Bond(
                    leaf=leaf,
                    works=tuple(sorted({*held, *learnt, *({self.chain.root} if own else ())})),
                    inherited=tuple(sorted({*held, *learnt})),
                    composed=own or bool(learnt) or not held.isdisjoint(self.lineage.composed),
                )
            )
        return tuple(bonds)


def _output_bond(leaf: Leaf, refs: set[str]) -> Bond:
    return Bond(leaf=leaf, works=tuple(sorted(refs)), inherited=tuple(sorted(refs)))


def _collect(found: dict[str, tuple[Leaf, set[str]]], ref: str, branch: Iterable[Leaf]) -> None:
    for leaf in branch:
        found.setdefault(leaf.expression, (leaf, set()))[1].add(ref)


def _derivatives(*sources: Mapping[str, tuple[Leaf, set[str]]]) -> dict[str, tuple[Leaf, set[str]]]:
    found: dict[str, tuple[Leaf, set[str]]] = {}
    for source in sources:
        for leaf, refs in source.values():
            if leaf.licence is not None and leaf.licence.distilled_is_derivative.answer in DERIVATIVE:
                for ref in refs:
                    _collect(found, ref, (leaf,))
    return found


def _covered(expression: Expression, branch: tuple[Leaf, ...]) -> tuple[Leaf, ...] | None:
    """Return the first alternative of `expression` that declaring `branch` takes; None if it takes none."""
    for alternative in expression.branches:
        if all(any(keeps(mine, theirs) for mine in branch) for theirs in alternative):
            return alternative
    return None


def _text(branch: tuple[Leaf, ...] | None) -> str:
    return " AND ".join(leaf.expression for leaf in branch or ())


def _least_restrictive(expression: Expression) -> tuple[Leaf, ...]:
    """Return the alternative that allows most; of equal ones the one with fewest limits and duties, then by name."""

    def strictness(branch: tuple[Leaf, ...]) -> tuple[int, int, str]:
        answers = (strictest_answer(answer_of(leaf.licence, a) for leaf in branch) for a in Activity)
        known = [leaf.licence for leaf in branch if leaf.licence]
        limits = sum(len(x.thresholds) + len(x.fields) + len(x.territories) + len(x.duties) for x in known)
        return sum(map(ORDER.index, answers)), limits, _text(branch)

    return min(expression.branches, key=strictness)


def _unknown(ref: str, leaves: Sequence[Leaf], *, binds: bool) -> Unsettled:
    named = [f"{leaf.stated!r:.120}" for leaf in leaves if leaf.stated]
    shown = ", ".join(named[:_MAX_NAMED]) + (f" and {len(named) - _MAX_NAMED} more" if named[_MAX_NAMED:] else "")
    if named:
        message = f"the licence {shown} of {ref} is not known to this version: read it, and have it added"
    else:
        message = f"no licence is stated for {ref}: ask its publisher"
    return Unsettled(work=ref, rule="unknown-licence", message=message, licence=shown or "not stated", binds=binds)


def _other_text(ref: str, how: str, stated: Expression, *, binds: bool) -> Unsettled:
    message = f"the text that came with {ref} is {how}: read it"
    return Unsettled(work=ref, rule="text-differs", message=message, licence=stated.text, binds=binds)


def _open_choice(ref: str, expression: Expression) -> Unsettled:
    message = f"{ref} offers a choice ({expression.text}) and nobody says which was taken: declare one of them"
    return Unsettled(work=ref, rule="unclear-fact", message=message, licence=expression.text, binds=True)
