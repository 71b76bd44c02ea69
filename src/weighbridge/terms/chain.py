"""The chain of works that a model descends from: works, and typed edges from each to what it was made of."""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from weighbridge.errors import InputError
from weighbridge.terms.fact import Source
from weighbridge.terms.json_form import decode, encode
from weighbridge.terms.licence import Relation

__all__ = ["WEIGHT_RELATIONS", "Chain", "ChainError", "Edge", "Relation", "Work"]

WEIGHT_RELATIONS = frozenset({Relation.FINETUNE, Relation.ADAPTER, Relation.QUANTISE, Relation.MERGE})
"""Relations in which the child's weights contain, or were computed from, the parent's."""

UNKNOWN_MODALITY = "unknown"
"""Stands among the modalities of a work of which nothing shows that it has no others."""

MAX_WORKS = 10_000
MAX_EDGES = 50_000
MAX_LICENCES = 500
"""Different names of licences in one chain: every rule looks at each of them."""

MAX_REF = 400
MAX_LICENCE_NAME = 2_000
MAX_LICENCE_TEXT = 1 << 20
MAX_NOTICE = 1 << 18
_MAX_FEW = 64
_MAX_SHOWN_CYCLE = 8
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_MODALITY = re.compile(r"[a-z][a-z0-9-]{0,39}\Z")


class ChainError(InputError):
    """The works and edges given are no chain: they run in a circle, or name what is not there."""

    hint = "List every work once, and let each edge lead from a model to what it was made of."


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A model, data set or program in the chain.

    Attributes:
        ref: its name, for example `owner/model`; unique in the chain.
        license: SPDX expression or name, as its publisher states it; empty if not stated.
        digest: SHA-256 of its manifest, 64 hexadecimal digits; empty if it is not pinned.
        modalities: what it takes or gives, such as `text`, `image`; `UNKNOWN_MODALITY` if there may be more.
        license_text: the licence text that came along with it; None if none came.
        notice: the NOTICE that came along; empty if none came.
        use_policies: policies that its licence includes, as they were archived for this work.

    Raises:
        ChainError: if one of them has no sound form.
    """

    ref: str
    license: str = ""
    digest: str = ""
    modalities: tuple[str, ...] = ("text",)
    license_text: str | None = None
    notice: str = ""
    use_policies: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        _check_ref(self.ref)
        if len(self.license) > MAX_LICENCE_NAME:
            raise ChainError(f"a licence of more than {MAX_LICENCE_NAME:,} characters", place=self.ref)
        if self.digest and not _DIGEST.match(self.digest):
            raise ChainError(f"{self.digest!r:.80} is no SHA-256 of 64 lower-case digits", place=self.ref)
        if len(self.modalities) > _MAX_FEW or not all(map(_MODALITY.match, self.modalities)):
            raise ChainError("the modalities are no short list of words such as `text`, `image`", place=self.ref)
        if len(self.license_text or "") > MAX_LICENCE_TEXT or len(self.notice) > MAX_NOTICE:
            raise ChainError("its licence text or NOTICE is too long to be one", place=self.ref)
        if len(self.use_policies) > _MAX_FEW:
            raise ChainError(f"more than {_MAX_FEW} use policies", place=self.ref)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`child` was made from, with or beside `parent`."""

    child: str
    parent: str
    relation: Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A model with everything that it descends from. Whoever holds one knows that it has no cycle.

    Attributes:
        root: ref of the model that it is about.
        works: every work once, the root among them.
        edges: how they are related.

    Raises:
        ChainError: if a ref is unknown, a work is given twice, edges run in a circle, or there are too many.
    """

    root: str
    works: tuple[Work, ...]
    edges: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        if len(self.works) > MAX_WORKS or len(self.edges) > MAX_EDGES:
            raise ChainError(f"more than {MAX_WORKS:,} works or {MAX_EDGES:,} edges")
        refs: set[str] = set()
        for work in self.works:
            if work.ref in refs:
                raise ChainError(f"the work {work.ref!r} is given twice", place=work.ref)
            refs.add(work.ref)
        if len({work.license for work in self.works}) > MAX_LICENCES:
            raise ChainError(f"more than {MAX_LICENCES} different licences are stated", place=self.root)
        for ref, whose in self._named():
            if ref not in refs:
                raise ChainError(f"{whose} is {ref!r:.400}, which is not among the works", place=f"{ref:.400}")
        if cycle := _cycle(self.edges):
            raise ChainError(f"the chain runs in a cycle: {_arrows(cycle)}", place=cycle[0])

    def _named(self) -> Iterable[tuple[str, str]]:
        yield self.root, "the root"
        for edge in self.edges:
            yield edge.child, f"the child of a {edge.relation} edge"
            yield edge.parent, f"the {edge.relation} parent of {edge.child}"

    def by_ref(self) -> Mapping[str, Work]:
        """Return every work by its ref."""
        return {work.ref: work for work in self.works}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        form = encode(self)
        assert isinstance(form, dict)
        return form

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            ChainError: if it has another shape, or is no sound chain.
        """
        try:
            chain: Self = decode(cls, data, place="chain")
        except ValueError as error:
            raise ChainError(f"not a chain: {error}") from error
        return chain


def _check_ref(ref: str) -> None:
    if not ref.strip() or len(ref) > MAX_REF or not ref.isprintable():
        raise ChainError(f"{ref!r:.80} is no name of a work: printable, at most {MAX_REF} characters")


def _cycle(edges: Iterable[Edge]) -> tuple[str, ...]:
    """Return the refs along one cycle, its first again at the end; empty if there is none.

    Works without children are taken away until none is left (Kahn 1962); what remains lies on or above a cycle.
    """
    parents: dict[str, set[str]] = {}
    children: dict[str, int] = {}
    for child, parent in {(edge.child, edge.parent) for edge in edges}:
        parents.setdefault(child, set()).add(parent)
        parents.setdefault(parent, set())
        children[parent] = children.get(parent, 0) + 1
    free = deque(ref for ref in parents if not children.get(ref))
    while free:
        for parent in parents.pop(free.popleft()):
            children[parent] -= 1
            if not children[parent]:
                free.append(parent)
    return _walk(_with_children_only(parents)) if parents else ()


def _with_children_only(parents: Mapping[str, set[str]]) -> Mapping[str, str]:
    """Return one child for every ref that is left: walking from child to child must come round."""
    child_of: dict[str, str] = {}
    for child in sorted(parents):
        for parent in parents[child]:
            child_of.setdefault(parent, child)
    return child_of


def _walk(child_of: Mapping[str, str]) -> tuple[str, ...]:
    seen: dict[str, int] = {}
    path: list[str] = []
    ref = min(child_of)
    while ref not in seen:
        seen[ref] = len(path)
        path.append(ref)
        ref = child_of[ref]
    ring = path[seen[ref] :][::-1]
    first = ring.index(min(ring))
    return (*ring[first:], *ring[:first], ring[first])


def _arrows(cycle: tuple[str, ...]) -> str:
    shown = cycle if len(cycle) <= _MAX_SHOWN_CYCLE else (*cycle[: _MAX_SHOWN_CYCLE - 2], "…", cycle[-1])
    return " -> ".join(shown)
