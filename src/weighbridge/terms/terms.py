"""What may be done with a model and what must be done for it, given everything that it descends from: the values.

`weighbridge.terms.resolve` makes them. Every one names the licence, the work and the clause that it rests on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from weighbridge.errors import InputError
from weighbridge.terms.fact import Activity, Answer, Duty, FieldLimit, Metric, TerritoryLimit, Threshold
from weighbridge.terms.json_form import decode, encode
from weighbridge.terms.licence import Relation

ORDER = (Answer.YES, Answer.CONDITIONAL, Answer.UNKNOWN, Answer.NO)
"""Answers from the most to the least permissive: of several, the last one holds."""


def strictest_answer(answers: Iterable[Answer]) -> Answer:
    """Return the least permissive of `answers`; YES of none."""
    return max(answers, key=ORDER.index, default=Answer.YES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where something comes from.

    Attributes:
        licence: id of the licence, or the name that was stated if it is not known.
        work: ref of the work that brings it in; of several, the first by name.
        section, quote: the clause; empty where the text is silent.
        reason: one sentence.
    """

    licence: str
    work: str
    section: str = ""
    quote: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The answer to one activity: the least permissive of all licences, and where it comes from."""

    answer: Answer
    grounds: tuple[Ground, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedThreshold:
    """A threshold in force.

    Attributes:
        fact: the threshold.
        licence: id of its licence.
        steward: whom to ask for another licence; empty if not known.
        works: refs of the works that bring it in.
    """

    fact: Threshold
    licence: str
    steward: str
    works: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedField:
    """A forbidden field of use in force; attributes as of `AppliedThreshold`."""

    fact: FieldLimit
    licence: str
    steward: str
    works: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedTerritory:
    """A limit of territory in force; attributes as of `AppliedThreshold`.

    Attributes:
        sure: False where the limit is about modalities that only the derivative has, and not what it was made from.
    """

    fact: TerritoryLimit
    licence: str
    steward: str
    works: tuple[str, ...]
    sure: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentPolicy:
    """A use policy that a licence in force includes, at `url`, and of which no copy is archived here."""

    licence: str
    url: str
    works: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """A duty in force, the licence that asks for it, and the works that bring it in."""

    duty: Duty
    licence: str
    works: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Two texts that cannot both be kept.

    Attributes:
        rule: id of the rule, such as `more-permissive`.
        message: what collides and what to do, in words.
        first, second: the two.
    """

    rule: str
    message: str
    first: Ground
    second: Ground


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """A warning, or something unknown, about one work."""

    rule: str
    message: str
    work: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Separate:
    """A work beside the weights, whose licence does not join theirs: code, or data that they were trained on."""

    work: str
    relation: Relation
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputTerms:
    """What applies to models that are trained on this model's outputs.

    Attributes:
        granted: whether that is allowed.
        duties: what it brings about.
        follows: ids of the licences that such a model keeps, as it counts as a derivative.
        unsettled: ids of the licences whose text does not say whether it does.
    """

    granted: Granted
    duties: tuple[Obligation, ...] = ()
    follows: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms of one model.

    Attributes:
        model: ref of the model.
        expression: SPDX expression in force: the AND of everything inherited and declared.
        licences: ids of the licences in force, sorted; an unknown one by its expression.
        permissions: one for every activity.
        thresholds, fields, territories: limits in force.
        absent_policies: policies that bind and that nobody has here, so that further fields may be forbidden.
        duties: what has to be done; `duties_on` selects.
        conflicts: what cannot be kept together.
        warnings, unknowns: what to know, and what nobody knows; neither is a conflict.
        name_prefix: what names of derivatives have to begin with, the model's own too if it is one; empty if nothing,
            or if two collide.
        badges: words to show prominently whatever the use; those above a threshold are in `duties` only.
        hosting_is_distribution: whether serving the model counts as handing it out under a licence in force.
        output_terms: what applies to models trained on its outputs.
        separate: works whose licences do not join.
    """

    model: str
    expression: str
    licences: tuple[str, ...]
    permissions: Mapping[Activity, Granted]
    output_terms: OutputTerms
    thresholds: tuple[AppliedThreshold, ...] = ()
    fields: tuple[AppliedField, ...] = ()
    territories: tuple[AppliedTerritory, ...] = ()
    absent_policies: tuple[AbsentPolicy, ...] = ()
    duties: tuple[Obligation, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    warnings: tuple[Remark, ...] = ()
    unknowns: tuple[Remark, ...] = ()
    name_prefix: str = ""
    badges: tuple[str, ...] = ()
    hosting_is_distribution: Answer = Answer.UNKNOWN
    separate: tuple[Separate, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing collides. Says nothing about what is unknown."""
        return not self.conflicts

    def duties_on(self, *activities: Activity) -> tuple[Obligation, ...]:
        """Return the duties that any of `activities` brings about."""
        return tuple(obligation for obligation in self.duties if not {*obligation.duty.on}.isdisjoint(activities))

    def strictest(self) -> tuple[AppliedThreshold, ...]:
        """Return, for every metric, actor, measuring date and effect, the threshold with the smallest amount."""
        best: dict[tuple[Metric, str, date | None, str], AppliedThreshold] = {}
        for item in sorted(self.thresholds, key=lambda item: (item.fact.above, item.licence)):
            fact = item.fact
            best.setdefault((fact.metric, fact.actor, fact.measured_on, f"{fact.effect} {fact.duty}"), item)
        return tuple(item for item in self.thresholds if item in best.values())

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        form = encode(self)
        assert isinstance(form, dict)
        return form

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the form that `to_json` writes.

        Raises:
            InputError: if it has another shape, or an activity is not answered.
        """
        try:
            terms: Self = decode(cls, data, place="terms")
        except ValueError as error:
            raise InputError(f"not the terms of a model: {error}", hint="Obtain the record again.") from error
        if missing := next((activity for activity in Activity if activity not in terms.permissions), None):
            raise InputError(f"not the terms of a model: {missing} is not answered", hint="Obtain the record again.")
        return terms
