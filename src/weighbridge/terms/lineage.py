"""Which works reach a model, and how: by its weights, by outputs that it was trained on, as data, or as code."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from weighbridge.terms.chain import WEIGHT_RELATIONS, Chain, Relation

_Parents = Mapping[str, tuple[tuple[Relation, str], ...]]
_DATA_RELATIONS = WEIGHT_RELATIONS | {Relation.TRAIN_DATA}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Refs by how they reach the root; one work may reach it in several ways.

    Attributes:
        weights: whose weights the root's contain or were computed from.
        composed: those of `weights` that lie in the root's own files, and not only in a base under an adapter.
        taught: (student, teacher) of every training on outputs: the student is the root, of `weights`, or data.
        teachers: whose outputs it was trained on, with everything in their weights.
        distant: whose outputs the teachers were trained on, and so on.
        data: what the weights were trained on, and what that data was made of.
        code: what lies beside the weights.
        reached: everything that any edge leads to, however.
    """

    weights: frozenset[str]
    composed: frozenset[str]
    taught: tuple[tuple[str, str], ...]
    teachers: frozenset[str]
    distant: frozenset[str]
    data: frozenset[str]
    code: frozenset[str]
    reached: frozenset[str]

    @property
    def relevant(self) -> frozenset[str]:
        """Every work whose terms can matter."""
        return self.weights | self.teachers | self.distant | self.data | self.code


def trace(chain: Chain) -> Lineage:
    """Follow the edges of `chain` from its root. Linear in works and edges."""
    parents = _parents(chain)
    weights = _closure(parents, _next(parents, [chain.root], WEIGHT_RELATIONS), WEIGHT_RELATIONS)
    own = weights | {chain.root}
    data = _closure(parents, _next(parents, own, {Relation.TRAIN_DATA}), _DATA_RELATIONS)
    taught = _edges(parents, own | data, {Relation.DISTIL})
    teachers = _closure(parents, {parent for _, parent in taught}, WEIGHT_RELATIONS)
    beyond = _next(parents, teachers, {Relation.DISTIL})
    return Lineage(
        weights=frozenset(weights),
        composed=frozenset(_composed(parents, chain.root)),
        taught=tuple(sorted(taught)),
        teachers=frozenset(teachers),
        distant=frozenset(_closure(parents, beyond, WEIGHT_RELATIONS | {Relation.DISTIL})),
        data=frozenset(data),
        code=frozenset(_next(parents, own, {Relation.CODE})),
        reached=frozenset(_closure(parents, {chain.root}, frozenset(Relation))),
    )


def holders(chain: Chain, carries: Callable[[str], bool]) -> frozenset[str]:
    """Return the works that `carries` is true of, and every work made from their weights."""
    children: dict[str, list[str]] = {}
    for edge in chain.edges:
        if edge.relation in WEIGHT_RELATIONS:
            children.setdefault(edge.parent, []).append(edge.child)
    found = {work.ref for work in chain.works if carries(work.ref)}
    waiting = list(found)
    while waiting:
        new = [child for child in children.get(waiting.pop(), ()) if child not in found]
        found.update(new)
        waiting.extend(new)
    return frozenset(found)


def _parents(chain: Chain) -> _Parents:
    found: dict[str, set[tuple[Relation, str]]] = {}
    for edge in chain.edges:
        found.setdefault(edge.child, set()).add((edge.relation, edge.parent))
    return {child: tuple(sorted(edges)) for child, edges in found.items()}


def _edges(parents: _Parents, children: Iterable[str], relations: Iterable[Relation]) -> set[tuple[str, str]]:
    wanted = frozenset(relations)
    return {(child, parent) for child in children for relation, parent in parents.get(child, ()) if relation in wanted}


def _next(parents: _Parents, children: Iterable[str], relations: Iterable[Relation]) -> set[str]:
    return {parent for _, parent in _edges(parents, children, relations)}


def _closure(parents: _Parents, start: Iterable[str], relations: frozenset[Relation]) -> set[str]:
    found = set(start)
    waiting = list(found)
    while waiting:
        for relation, parent in parents.get(waiting.pop(), ()):
            if relation in relations and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def _composed(parents: _Parents, root: str) -> set[str]:
    """Return the works whose weights lie in the root's own files.

    Behind an adapter edge lies the base, which an adapter's files do not contain, unless a merge came after it.
    """
    found: set[str] = set()
    seen = {(root, False)}
    waiting = [(root, False)]
    while waiting:
        ref, merged = waiting.pop()
        for relation, parent in parents.get(ref, ()):
            if relation not in WEIGHT_RELATIONS or (relation is Relation.ADAPTER and not merged):
                continue
            found.add(parent)
            state = (parent, merged or relation is Relation.MERGE)
            if state not in seen:
                seen.add(state)
                waiting.append(state)
    return found
