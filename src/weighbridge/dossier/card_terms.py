"""What a model card says about the licence and about openness, from what the record resolved and recomputed."""

from collections.abc import Collection, Iterator, Sequence

from weighbridge.dossier import terms_words as words
from weighbridge.dossier.markdown import bullets, escape, table
from weighbridge.dossier.openness_words import stated_sentence, verdict_rows
from weighbridge.dossier.recorded import recorded_openness, recorded_terms
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.errors import InputError
from weighbridge.terms.expression import parse
from weighbridge.terms.papers import THIRD_PARTY, USE_POLICY
from weighbridge.terms.registry import registry
from weighbridge.terms.terms import Terms

_MAX_LISTED = 24


def license_section(record: ReleaseRecord, papers: Collection[str]) -> list[str]:
    """Return the blocks of the section on the licence.

    Raises:
        InputError: if the record's terms have another shape.
    """
    terms = recorded_terms(record)
    if terms is None:
        return [*_as_stated(record), _where(papers)]
    return [*_in_force(record, terms), *_allowed(terms), *_limits(terms), _where(papers)]


def _as_stated(record: ReleaseRecord) -> Iterator[str]:
    yield f"{escape(record.license)}, as the publisher states it."
    stated = {str(parent.get("license") or "not stated") for parent in record.parents}
    if stated - {record.license}:
        names = ", ".join(escape(name) for name in sorted(stated))
        yield f"It descends from models under other terms ({names}), which may add duties."


def _in_force(record: ReleaseRecord, terms: Terms) -> Iterator[str]:
    declared = "" if _same(record.license, terms) else f" Declared alone: {escape(record.license)}."
    yield (
        f"**{escape(terms.expression)}**: what the publisher declares and what the model inherits, together.{declared} "
        "What follows was read from the licence texts, each point with its licence and clause. It is no legal advice; "
        "the texts decide."
    )
    named = [f"{name} ({known.name})" for name in terms.licences if (known := registry().get(name))]
    if terms.licences != (terms.expression,) and named:
        yield f"By the names used here: {escape('; '.join(words.shortened(named)))}."
    if terms.conflicts:
        yield "**Its terms collide, so it must not be published:**"
        yield _list([words.sentence(item.message) for item in terms.conflicts])


def _same(declared: str, terms: Terms) -> bool:
    try:
        return parse(declared, registry()).text == terms.expression
    except InputError:
        return declared == terms.expression


def _allowed(terms: Terms) -> Iterator[str]:
    rows = [(escape(question), answer, escape(why) or "–") for question, answer, why in words.permission_rows(terms)]
    yield table(("May you …", "Answer", "Why"), rows)


def _limits(terms: Terms) -> Iterator[str]:
    for title, sentences in (
        ("Other terms above a size:", words.threshold_sentences(terms)),
        ("Places without rights:", words.territory_sentences(terms)),
        ("Forbidden uses:", words.field_sentences(terms)),
        ("What has to be shown, shipped and done:", words.duty_sentences(terms)),
        ("To know besides:", words.remark_sentences(terms)),
        ("Not known:", words.unknown_sentences(terms)),
    ):
        if sentences:
            yield f"{title}\n\n{_list(sentences)}"


def _list(sentences: Sequence[str]) -> str:
    return bullets(words.shortened(sentences, _MAX_LISTED))


def _where(papers: Collection[str]) -> str:
    more = [
        f"{what} in `{folder}/`"
        for folder, what in ((THIRD_PARTY, "texts of inherited licences"), (USE_POLICY, "policies that they include"))
        if any(path.startswith(f"{folder}/") for path in papers)
    ]
    return f"The licence is in `LICENSE`, notices are in `NOTICE`{''.join(f', {item}' for item in more)}."


def openness_section(record: ReleaseRecord) -> list[str]:
    """Return the blocks of the section on openness.

    Raises:
        InputError: if what the record says about it has another shape.
    """
    openness = recorded_openness(record)
    if openness is None:
        return ["How open this release is was not computed."]
    rows = [(scheme, escape(verdict), escape(why) or "–") for scheme, verdict, why in verdict_rows(openness)]
    stated = stated_sentence(openness)
    return [
        "Recomputed from what lies in this release and the licence of each part; nobody's claim counts.",
        table(("By", "Verdict", "Why not more"), rows),
        *([escape(stated)] if stated else []),
    ]
