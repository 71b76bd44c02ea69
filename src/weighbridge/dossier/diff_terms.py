"""What changed between two releases in what may be done with them, and in how open they are."""

from collections.abc import Iterator

from weighbridge.dossier.difference import Change, differ, listed
from weighbridge.dossier.recorded import recorded_openness, recorded_terms
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.compare import threshold_words
from weighbridge.terms.fact import FIELDS, Activity
from weighbridge.terms.terms import ORDER, Terms

_MOF_CLASSES = ("", "III", "II", "I")
_RATINGS = ("closed", "partial", "open")
_OSAID = {True: "met", False: "not met"}


def terms_changes(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    """Yield what changed in licence, parents and terms.

    Raises:
        InputError: if the terms of a record have another shape.
    """
    yield from differ("terms", "The licence", a.license, b.license)
    yield from _parents(a, b)
    before, after = recorded_terms(a), recorded_terms(b)
    if before is None and after is None:
        return
    if before is None or after is None:
        resolved = ("not resolved", "resolved") if before is None else ("resolved", "not resolved")
        text = "Only one of the two states the terms of its chain: they cannot be compared."
        yield Change(area="terms", text=text, before=resolved[0], after=resolved[1])
        return
    yield from differ("terms", "The licence expression in force", before.expression, after.expression)
    yield from _permissions(before, after)
    yield from _limits(before, after)
    yield from differ("terms", "The required beginning of the name", before.name_prefix, after.name_prefix)


def _parents(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    def facts(record: ReleaseRecord) -> dict[str, dict[str, str]]:
        return {
            str(parent["ref"]): {key: str(parent.get(key) or "") for key in ("relation", "license", "digest")}
            for parent in record.parents
        }

    before, after = facts(a), facts(b)
    yield from listed("terms", "The parent", before, after)
    for ref in (ref for ref in before if ref in after):
        for key, words in (("relation", "relation"), ("license", "licence"), ("digest", "digest")):
            yield from differ("terms", f"The {words} of the parent {ref!r}", before[ref][key], after[ref][key])


def _permissions(before: Terms, after: Terms) -> Iterator[Change]:
    for activity in Activity:
        old, new = before.permissions[activity], after.permissions[activity]
        if old.answer is new.answer:
            continue
        reasons = next((ground.reason for ground in new.grounds if ground.reason), "")
        text = (
            f"Permission to {_WORDS[activity]}: {old.answer} became {new.answer}{f' ({reasons})' if reasons else ''}."
        )
        worse = ORDER.index(new.answer) > ORDER.index(old.answer)
        yield Change(area="terms", text=text, before=str(old.answer), after=str(new.answer), worse=worse)


_WORDS = {
    Activity.USE: "use it",
    Activity.COMMERCIAL: "use it commercially",
    Activity.MODIFY: "modify it",
    Activity.REDISTRIBUTE: "redistribute it",
    Activity.HOST: "host it",
    Activity.TRAIN_ON_OUTPUTS: "train other models on its outputs",
}


def _limits(before: Terms, after: Terms) -> Iterator[Change]:
    for what, items in (
        ("The threshold", _thresholds),
        ("The forbidden field of use", _fields),
        ("The limit of territory", _territories),
        ("The duty", _duties),
        ("The conflict", _conflicts),
        ("The open question", _unknowns),
    ):
        yield from listed("terms", what, items(before), items(after), added_is_worse=True)


def _thresholds(terms: Terms) -> list[str]:
    return [f"{threshold_words(item.fact)} ({item.licence})" for item in terms.thresholds]


def _fields(terms: Terms) -> list[str]:
    # By field and not by licence: what another licence forbids just as well did not become allowed.
    return [FIELDS.get(item.fact.id, item.fact.id) for item in terms.fields]


def _territories(terms: Terms) -> list[str]:
    return [
        f"{item.fact.applies_to} in {', '.join(item.fact.regions)}"
        f"{' for ' + ', '.join(item.fact.modalities) if item.fact.modalities else ''} ({item.licence})"
        for item in terms.territories
    ]


def _duties(terms: Terms) -> list[str]:
    return [f"{item.duty.kind}: {item.duty.text} ({item.licence})" for item in terms.duties]


def _conflicts(terms: Terms) -> list[str]:
    return [item.message for item in terms.conflicts]


def _unknowns(terms: Terms) -> list[str]:
    return [f"{item.message} ({item.work})" for item in terms.unknowns]


def openness_changes(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    """Yield what changed in how open a release is, by each scheme.

    Raises:
        InputError: if what a record states about it has another shape.
    """
    before, after = recorded_openness(a), recorded_openness(b)
    if before is None and after is None:
        return
    if before is None or after is None:
        states = ("not assessed", "assessed") if before is None else ("assessed", "not assessed")
        text = "Only one of the two states how open it is: that cannot be compared."
        yield Change(area="openness", text=text, before=states[0], after=states[1])
        return
    classes = (before.mof_class, after.mof_class)
    worse = _MOF_CLASSES.index(classes[1]) < _MOF_CLASSES.index(classes[0])
    shown = [f"class {name}" if name else "no class" for name in classes]
    yield from differ("openness", "The class of the Model Openness Framework", *shown, worse=worse)
    yield from listed(
        "openness",
        "Missing for the next class of the Model Openness Framework, the component",
        [item.component for item in before.mof_missing_next],
        [item.component for item in after.mof_missing_next],
    )
    yield from differ(
        "openness", "The Open Source AI Definition", _OSAID[before.osaid_met], _OSAID[after.osaid_met],
        worse=before.osaid_met and not after.osaid_met,
    )  # fmt: skip
    labels = [label or "no label" for label in (before.g7_label, after.g7_label)]
    yield from differ("openness", "The G7 label", *labels)
    for dimension, rating in after.eu_index.items():
        old = before.eu_index.get(dimension, "")
        known = old in _RATINGS and rating in _RATINGS
        worse_rating = _RATINGS.index(rating) < _RATINGS.index(old) if known else None
        yield from differ("openness", f"The European index' rating of {dimension}", old, rating, worse=worse_rating)
