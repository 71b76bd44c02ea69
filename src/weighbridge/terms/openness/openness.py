"""How open a release is, recomputed from what lies in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from weighbridge.terms.json_form import decode
from weighbridge.terms.openness import european_index, g7, mof, osaid
from weighbridge.terms.openness.component import CLASSES, KINDS, Part
from weighbridge.terms.openness.european_index import Rating
from weighbridge.terms.openness.g7 import Label
from weighbridge.terms.openness.mof import Missing
from weighbridge.terms.openness.osaid import Item
from weighbridge.terms.openness.state import Cover, State, states
from weighbridge.terms.registry import Registry, registry

RULES = 1
"""Which edition of the rules a statement was computed by. A later edition still reads the earlier ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A part that does not lie in the release: where it is said to be, and under which licence. Nobody looked at it."""

    component: str
    place: str
    license: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {"component": self.component, "place": self.place, "license": self.license}


@dataclass(frozen=True, slots=True, kw_only=True)
class Openness:
    """How open a release is, by each scheme, with the reasons.

    Attributes:
        mof_class: `I`, `II`, `III`, or empty for none, of what lies in the release.
        mof_class_as_stated: the class if all that is stated elsewhere were there as stated; not checked.
        mof_missing: for each class what is missing for it; nothing for those that are reached.
        components: the state of every component, in the order of the framework.
        stated_elsewhere: what does not lie in the release.
        osaid: the checklist of the Open Source AI Definition, answered.
        g7: the label of the G7 Vision, and why it is no better one.
        g7_as_stated: the same if all that is stated elsewhere were there as stated; not checked.
        eu_ratings: the dimensions of the European index.
        warnings: what a reader should know about how licences were counted.
    """

    mof_class: str
    mof_class_as_stated: str
    mof_missing: Mapping[str, tuple[Missing, ...]]
    components: tuple[State, ...]
    stated_elsewhere: tuple[Stated, ...]
    osaid: tuple[Item, ...]
    g7: Label
    g7_as_stated: Label
    eu_ratings: tuple[Rating, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def mof_next(self) -> str:
        """The class after the one that is reached; empty after I."""
        return mof.next_class(self.mof_class)

    @property
    def mof_missing_next(self) -> tuple[Missing, ...]:
        """What is missing for the next class."""
        return self.mof_missing.get(self.mof_next, ())

    @property
    def osaid_met(self) -> bool:
        """Whether every line of the checklist is met. Unknown is not met."""
        return osaid.met(self.osaid)

    @property
    def g7_label(self) -> str:
        """The label of what lies in the release; empty for none."""
        return self.g7.label

    @property
    def eu_index(self) -> Mapping[str, str]:
        """The rating of every dimension of the European index."""
        return {item.dimension: item.rating for item in self.eu_ratings}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        return {
            "rules": RULES,
            "mof_class": self.mof_class,
            "mof_class_as_stated": self.mof_class_as_stated,
            "mof_missing": {name: [item.to_json() for item in items] for name, items in self.mof_missing.items()},
            "components": [item.to_json() for item in self.components],
            "stated_elsewhere": [item.to_json() for item in self.stated_elsewhere],
            "osaid": [item.to_json() for item in self.osaid],
            "osaid_met": self.osaid_met,
            "g7_label": self.g7_label,
            "g7": self.g7.to_json(),
            "g7_as_stated": self.g7_as_stated.to_json(),
            "eu_index": dict(self.eu_index),
            "eu_ratings": [item.to_json() for item in self.eu_ratings],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes. What it says is somebody's statement; `assess` computes.

        Raises:
            ValueError: if it has another shape, or its parts contradict each other.
        """
        try:
            read = cls(
                mof_class=_class(data["mof_class"]),
                mof_class_as_stated=_class(data["mof_class_as_stated"]),
                mof_missing=_decoded(Mapping[str, tuple[Missing, ...]], data, "mof_missing"),
                components=_decoded(tuple[State, ...], data, "components"),
                stated_elsewhere=_decoded(tuple[Stated, ...], data, "stated_elsewhere"),
                osaid=_decoded(tuple[Item, ...], data, "osaid"),
                g7=_label(data, "g7"),
                g7_as_stated=_label(data, "g7_as_stated"),
                eu_ratings=_decoded(tuple[Rating, ...], data, "eu_ratings"),
                warnings=_decoded(tuple[str, ...], data, "warnings"),
            )
        except KeyError as error:
            raise ValueError(f"not a statement of openness: {error}") from error
        _check(read)
        derived = read.to_json()
        if any(data.get(name) != derived[name] for name in ("rules", "osaid_met", "g7_label", "eu_index")):
            raise ValueError("not a statement of openness: its verdicts do not follow from its answers")
        return read


def assess(
    parts: Iterable[Part],
    *,
    license_of_release: str,
    licenses_by_type: Mapping[str, str] | None = None,
    bases: Sequence[str] = (),
    complete: bool = True,
    known: Registry | None = None,
) -> Openness:
    """Recompute how open a release is.

    Args:
        parts: what lies in the release, and what is only stated.
        license_of_release: SPDX expression or name of its licence; empty if it has none.
        licenses_by_type: licences that cover all components of a type (`code`, `data`, `document`).
        bases: names of the models that the weights descend from.
        complete: whether parts are all that the publisher shows; see `european_index.ratings`.
        known: the licences that are known by name; those that ship with this version if None.
    """
    given = tuple(parts)
    licences = registry() if known is None else known
    cover = Cover(distribution=license_of_release, by_type=licenses_by_type or {})
    found = states(given, cover, licences)
    stated = states((replace(part, in_release=True) for part in given), cover, licences)
    return Openness(
        mof_class=mof.mof_class(found),
        mof_class_as_stated=mof.mof_class(stated),
        mof_missing=mof.all_missing(found),
        components=tuple(found.values()),
        stated_elsewhere=tuple(
            Stated(component=part.kind, place=part.place, license=part.license) for part in given if not part.in_release
        ),
        osaid=osaid.checklist(found, stated),
        g7=g7.label(found),
        g7_as_stated=g7.label(stated),
        eu_ratings=european_index.ratings(found, stated, bases=bases, complete=complete),
        warnings=tuple(dict.fromkeys(text for item in found.values() for text in item.warnings)),
    )


def _class(value: object) -> str:
    if value not in ("", *CLASSES):
        raise ValueError(f"not a statement of openness: {value!r} is no class")
    return str(value)


def _decoded(kind: Any, data: Mapping[str, Any], name: str) -> Any:
    return decode(kind, data[name], place=f"not a statement of openness: {name}")


def _label(data: Mapping[str, Any], name: str) -> Label:
    read: Label = _decoded(Label, data, name)
    if read.label not in ("", *g7.LABELS):
        raise ValueError(f"not a statement of openness: {read.label!r} is no label")
    return read


def _check(read: Openness) -> None:
    """Refuse a statement whose verdicts are not what its own components come to."""
    found = {item.component: item for item in read.components}
    if tuple(found) != KINDS or len(read.components) != len(KINDS):
        raise ValueError("not a statement of openness: its components are not those of the framework")
    if any(item.open and not item.present for item in read.components):
        raise ValueError("not a statement of openness: a component is open that is not there")
    computed = (mof.mof_class(found), mof.all_missing(found), g7.label(found))
    if computed != (read.mof_class, read.mof_missing, read.g7):
        raise ValueError("not a statement of openness: its verdicts do not follow from its components")
