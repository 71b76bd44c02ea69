"""Whether each component is there and open: what every scheme of openness is computed from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from weighbridge.terms.openness.component import UNLICENSED, WHOLE_SETS, Component, Part, components
from weighbridge.terms.openness.standing import Standing, standing
from weighbridge.terms.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What licenses cover parts that state none of their own.

    Attributes:
        distribution: licence of the whole release; empty if it has none.
        by_type: licence of all components of a type, before that of the release.
    """

    distribution: str
    by_type: Mapping[str, str] = field(default_factory=dict)

    def of(self, part: Part, kind: Component) -> str:
        """Return the licence in effect: the part's own, else its type's, else the release's, else none."""
        return part.license or self.by_type.get(kind.type) or self.distribution or UNLICENSED


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One component of a release.

    Attributes:
        component: its id.
        present: whether all of it lies in the release.
        open: whether it is there and every licence in effect on it is open.
        open_source, osi: the same for open-source licences, and for OSI-approved ones.
        fits: whether every licence in effect is written for its type.
        known: whether every licence in effect is known by name.
        licenses: the licences in effect, each once; none if it is not there.
        places: where its parts lie.
        why: why it does not count; empty if it does.
        warnings: what a reader should know about how its licences were counted.
    """

    component: str
    present: bool
    open: bool
    open_source: bool = False
    osi: bool = False
    fits: bool = False
    known: bool = False
    licenses: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    why: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def license(self) -> str:
        """The licences in effect, as words."""
        return ", ".join(self.licenses)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        data = {name: getattr(self, name) for name in self.__slots__}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            TypeError, KeyError: if it has another shape.
        """
        return cls(**{**data, **{name: tuple(data[name]) for name in ("licenses", "places", "warnings")}})


States = Mapping[str, State]
"""The state of every component, by its id."""


def states(parts: Iterable[Part], cover: Cover, registry: Registry) -> States:
    """Say of each component whether it is there and open.

    Only parts that lie in the release count. To see what would count if all that is stated were there, hand in the
    same parts with `in_release` set.
    """
    by_kind: dict[str, list[Part]] = {}
    for part in parts:
        by_kind.setdefault(part.kind, []).append(part)
    return {kind.id: _state(kind, by_kind.get(kind.id, ()), cover, registry) for kind in components()}


def _state(kind: Component, parts: Sequence[Part], cover: Cover, registry: Registry) -> State:
    here = [part for part in parts if part.in_release]
    if absent := _absent(kind, parts, here):
        return State(component=kind.id, present=False, open=False, why=absent, places=tuple(p.place for p in here))
    found = [standing(cover.of(part, kind), registry) for part in here]
    return State(
        component=kind.id,
        present=True,
        open=all(item.open for item in found),
        open_source=all(item.open_source for item in found),
        osi=all(item.osi for item in found),
        fits=all(kind.type in item.types for item in found),
        known=all(item.known for item in found),
        licenses=tuple(dict.fromkeys(item.license for item in found)),
        places=tuple(part.place for part in here),
        why=_why(kind, here, found),
        warnings=_warnings(kind, found),
    )


def _absent(kind: Component, parts: Sequence[Part], here: Sequence[Part]) -> str:
    """Say why a component is not there; empty if it is."""
    elsewhere = [part.place for part in parts if not part.in_release]
    if here and not (elsewhere and kind.id in WHOLE_SETS):
        return ""
    if not elsewhere:
        return f"no {kind.short} in the release"
    stated = ", ".join(place for place in elsewhere if place) or "elsewhere"
    if here:
        return f"not all {kind.short} in the release: {stated} is only stated, not checked"
    return f"no {kind.short} in the release; stated elsewhere, not checked: {stated}"


def _why(kind: Component, here: Sequence[Part], found: Sequence[Standing]) -> str:
    reasons = (f"{part.place or kind.short}: {item.why}" for part, item in zip(here, found, strict=True) if item.why)
    return "; ".join(dict.fromkeys(reasons))


def _warnings(kind: Component, found: Sequence[Standing]) -> tuple[str, ...]:
    wrong = [
        f"{kind.name}: {item.license} is open, but not written for {kind.type}"
        for item in found
        if item.open and kind.type not in item.types
    ]
    return tuple(dict.fromkeys([*wrong, *(f"{kind.name}: {text}" for item in found for text in item.warnings)]))
