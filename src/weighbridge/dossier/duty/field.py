"""What a duty form asks, and what a release answers: every field is either filled, with its source, or open."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from weighbridge.dossier.release import ReleaseRecord

_NO_ANSWER = frozenset(
    {"", "?", "-", "–", "…", "...", "unknown", "not known", "tbd", "tba", "todo", "to do", "fixme", "xxx"}
)
_YES = ("yes", "true")
_NO = ("no", "false")


class Who(StrEnum):
    """Who has to fill a field that is open."""

    LEGAL = "publisher, legal"
    DATA = "data team"
    TRAINING = "training team"
    SECURITY = "security"


class Source(StrEnum):
    """Where the value of a field comes from."""

    MEASURED = "measured"
    """From the bytes of the version, or from a measurement of them."""
    PUBLISHER = "publisher"
    """From what the publisher states; nobody checked it."""
    TERMS = "terms"
    """From the licences along the chain of parents."""


class Status(StrEnum):
    """Whether a field is answered in full."""

    FILLED = "filled"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a release says about a field.

    Attributes:
        value: the text; lines where it speaks of several things.
        missing: what it leaves open, a sentence each; empty where the answer is complete.
    """

    value: str
    missing: tuple[str, ...] = ()


Fill = Callable[[ReleaseRecord], Known | None]
"""Finds the answer in a record; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing that a form asks.

    Attributes:
        id: stable; the key under which a publisher states the answer. Forms that ask the same share it.
        title: what is asked, short.
        section: its number in the form.
        who: who has to fill it.
        obligation: the article, section or clause that asks for it.
        ask: what to write, a sentence.
        fill: finds the answer in the record; None if only a statement can give it.
        source: where `fill` takes it from.
        applies: whether the form asks it of this release at all.
    """

    id: str
    title: str
    section: str
    who: Who
    obligation: str
    ask: str
    fill: Fill | None = None
    source: Source = Source.PUBLISHER
    applies: Callable[[ReleaseRecord], bool] = lambda record: True


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldAnswer:
    """What a release answers to a field.

    Attributes:
        field: the field.
        status: `filled` only if nothing of it is open.
        value: the answer as far as it is known; None if nothing is.
        source: where `value` comes from; None if there is none.
        why: what is missing; empty if filled.
        stated: what the publisher states besides, where `value` is measured or follows from licences.
    """

    field: Field
    status: Status
    value: str | None = None
    source: Source | None = None
    why: str = ""
    stated: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        form = {
            "id": self.field.id,
            "section": self.field.section,
            "title": self.field.title,
            "value": self.value,
            "status": str(self.status),
            "source": None if self.source is None else str(self.source),
            "who": str(self.field.who),
            "obligation": self.field.obligation,
        }
        extra = {"why": self.why, "stated": self.stated}
        return form | {name: text for name, text in extra.items() if text}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenField:
    """A field that somebody has to fill.

    Attributes:
        document: path of the form in the dossier.
        field: the field's id, the key of the statement that fills it.
        title: what is asked.
        who: who has to fill it.
        why: what is missing.
        obligation: what asks for it.
    """

    document: str
    field: str
    title: str
    who: str
    why: str
    obligation: str = ""

    def to_json(self) -> dict[str, str]:
        """Return a JSON form."""
        return {name: getattr(self, name) for name in ("document", "field", "title", "who", "why", "obligation")}


def statement(record: ReleaseRecord, field_id: str) -> str:
    """Return what the publisher states about a field; empty where that is nothing, or says that it is not known."""
    text = record.disclosure.statements.get(field_id, "").strip()
    return "" if text.lower().rstrip(".!") in _NO_ANSWER or text.lower() in _NO_ANSWER else text


def says(record: ReleaseRecord, field_id: str) -> bool | None:
    """Return what a statement that begins with yes or no says; None if it does not, or there is none."""
    return yes_or_no(statement(record, field_id))


def stated_words(record: ReleaseRecord, field_id: str) -> str:
    """Return a statement as a reason: somebody's words, not a finding."""
    return f"The publisher states: {statement(record, field_id).rstrip('.')}."


def yes_or_no(text: str) -> bool | None:
    """Return whether `text` begins with yes or no; None if it does not."""
    words = text.lower().split(maxsplit=1)
    first = words[0].rstrip(".,:;!") if words else ""
    return True if first in _YES else False if first in _NO else None


def answer(field: Field, record: ReleaseRecord) -> FieldAnswer:
    """Return what `record` answers to `field`.

    What is measured, or follows from licences, stands before what is stated: a statement about it is kept beside it.
    A statement of the publisher's about the very field stands before what is put together from their list of data.
    """
    stated = statement(record, field.id)
    known = field.fill(record) if field.fill else None
    firm = known is not None and field.source is not Source.PUBLISHER
    if known is not None and not known.missing and (firm or not stated):
        return FieldAnswer(
            field=field, status=Status.FILLED, value=known.value, source=field.source, stated=stated if firm else ""
        )
    if stated:
        return FieldAnswer(field=field, status=Status.FILLED, value=stated, source=Source.PUBLISHER)
    if known is not None:
        why = " ".join(known.missing)
        return FieldAnswer(field=field, status=Status.OPEN, value=known.value, source=field.source, why=why)
    return FieldAnswer(field=field, status=Status.OPEN, why=field.ask)
