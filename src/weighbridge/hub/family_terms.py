"""What may be done with a family, and how open it is, in the few lines that its page has for it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from weighbridge.dossier.front_matter import effective_license
from weighbridge.dossier.openness_words import G7, MOF, OSAID, g7_verdict, mof_verdict, osaid_verdict
from weighbridge.dossier.recorded import recorded_openness, recorded_terms
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.dossier.terms_words import QUESTIONS, amount_text, field_words, region_words
from weighbridge.hub.family import Family
from weighbridge.terms.fact import Activity, Answer, DutyKind, Effect
from weighbridge.terms.terms import Terms

_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that is said of some versions.

    Attributes:
        versions: whom it is about; empty for all versions of the family.
        parts: what is said, a phrase each.
    """

    versions: Sequence[str]
    parts: Sequence[str]


def terms_rows(family: Family) -> list[tuple[str, list[Line]]]:
    """Return title and lines of what the page says about terms and openness; nothing for a family of no versions.

    Raises:
        InputError: if the terms or the openness of a record have another shape.
    """
    records = [view.record for view in family.versions]
    rows = (("Licence", _licence), ("Limits", _limits), ("To show", _shown), ("Openness", _openness))
    return [(title, _grouped(records, say)) for title, say in rows] if records else []


def _grouped(records: Sequence[ReleaseRecord], say: Callable[[ReleaseRecord], Iterable[str]]) -> list[Line]:
    said: dict[tuple[str, ...], list[str]] = {}
    for record in records:
        said.setdefault(tuple(say(record)), []).append(record.version)
    return [Line(parts=parts, versions=() if len(said) == 1 else names) for parts, names in said.items()]


def _licence(record: ReleaseRecord) -> Iterator[str]:
    yield effective_license(record)
    if record.terms is None:
        yield "as the publisher states it"


def _limits(record: ReleaseRecord) -> Iterator[str]:
    terms = recorded_terms(record)
    if terms is None:
        yield "not resolved"
        return
    limits = [*_refused(terms), *_sizes(terms), *_places(terms), *_fields(terms)]
    yield from limits or ["none of use, size or place"]
    if count := len(terms.unknowns):
        yield f"{count} thing{'s' * (count != 1)} not known, on the card"


def _refused(terms: Terms) -> Iterator[str]:
    for answer, words in ((Answer.NO, "not allowed"), (Answer.UNKNOWN, "not known whether allowed")):
        named = [QUESTIONS[a].partition(":")[0] for a in Activity if terms.permissions[a].answer is answer]
        if named:
            yield f"{words}: {', '.join(named)}"


def _sizes(terms: Terms) -> Iterator[str]:
    for item in terms.strictest():
        if item.fact.effect is Effect.NEEDS_LICENCE:
            yield f"at most {amount_text(item)}{' in commercial use' if item.fact.commercial_only else ''}"


def _places(terms: Terms) -> Iterator[str]:
    for item in terms.territories:
        who = "not for whoever is seated in" if item.fact.applies_to == "seat" else "not in"
        kinds = f" ({', '.join(item.fact.modalities)})" if item.fact.modalities else ""
        yield f"{who} {region_words(item.fact.regions)}{kinds}{'' if item.sure else ', not settled whether here'}"


def _fields(terms: Terms) -> Iterator[str]:
    named = list(dict.fromkeys(field_words(item.fact.id, item.fact.text) for item in terms.fields))
    if named:
        more = f"; and {len(named) - _FEW} more, on the card" if len(named) > _FEW else ""
        yield f"forbidden uses: {'; '.join(named[:_FEW])}{more}"
    if terms.absent_policies:
        yield "a policy of which no copy is kept may forbid more"


def _shown(record: ReleaseRecord) -> Iterator[str]:
    terms = recorded_terms(record)
    if terms is None:
        yield "not resolved"
        return
    above = sorted({x.duty.text for x in terms.duties if x.duty.kind is DutyKind.BADGE and x.duty.above_threshold})
    found = [
        *(f"“{text}”" for text in terms.badges),
        *(f"“{text}” above its threshold" for text in above),
        *([f"names of models made from it begin with “{terms.name_prefix}”"] if terms.name_prefix else []),
    ]
    yield from found or ["no badge and no name"]


def _openness(record: ReleaseRecord) -> Iterator[str]:
    openness = recorded_openness(record)
    if openness is None:
        yield "not computed"
        return
    yield f"{MOF}: {mof_verdict(openness.mof_class)}"
    yield f"{OSAID}: {osaid_verdict(openness)}"
    yield f"{G7}: {g7_verdict(openness.g7_label)}"
