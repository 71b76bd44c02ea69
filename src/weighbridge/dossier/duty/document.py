"""A duty form: its fields, whether it applies, and how it is written."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from weighbridge.dossier.duty.field import Field, FieldAnswer, OpenField, Status, answer
from weighbridge.dossier.markdown import escape
from weighbridge.dossier.release import ReleaseRecord

DUTY_SCHEMA = "https://weighbridge.dev/schema/duty/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whether a duty applies to a release.

    Attributes:
        answer: `yes`, `no` or `unknown`. Only the publisher's word or a number makes it a `no`.
        reason: why, a sentence.
        decided_by: id of the field whose statement decides.
    """

    answer: str
    reason: str
    decided_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form that a law, or the authority behind it, lays down.

    Attributes:
        path: where it lies in a dossier.
        title: its name.
        law: what asks for it.
        about: what a reader has to know, a sentence or two.
        fields: what it asks, in its order.
        headings: title of each chapter, by the first part of a field's `section`.
        scope: says whether the duty applies.
    """

    path: str
    title: str
    law: str
    about: str
    fields: tuple[Field, ...]
    headings: dict[str, str]
    scope: Callable[[ReleaseRecord], Scope]

    def answers(self, record: ReleaseRecord) -> tuple[FieldAnswer, ...]:
        """Return what `record` answers to each field that applies to it."""
        return tuple(answer(field, record) for field in self.fields if field.applies(record))

    def open_fields(self, record: ReleaseRecord) -> tuple[OpenField, ...]:
        """Return what is open; nothing where the duty does not apply."""
        if self.scope(record).answer == "no":
            return ()
        return tuple(
            OpenField(
                document=self.path,
                field=item.field.id,
                title=item.field.title,
                who=str(item.field.who),
                why=item.why,
                obligation=item.field.obligation,
            )
            for item in self.answers(record)
            if item.status is Status.OPEN
        )

    def state(self, record: ReleaseRecord) -> dict[str, Any]:
        """Return how far it is filled: its path, how many fields it has and how many are open, and if it applies."""
        scope = self.scope(record)
        return {
            "document": self.path,
            "fields": len(self.answers(record)),
            "open": len(self.open_fields(record)),
            "applies": scope.answer,
            "reason": scope.reason,
        }

    def to_json(self, record: ReleaseRecord) -> dict[str, Any]:
        """Return the filled form as a JSON form."""
        scope = self.scope(record)
        return {
            "schema": DUTY_SCHEMA,
            "title": self.title,
            "law": self.law,
            "about": self.about,
            "version": record.reference,
            "digest": record.subject,
            "applies": {"answer": scope.answer, "reason": scope.reason, "decided_by": scope.decided_by},
            "fields": [item.to_json() for item in self.answers(record)],
        }

    def json_bytes(self, record: ReleaseRecord) -> bytes:
        """Return the filled form as a JSON file for people and programs; the same record gives the same bytes."""
        return json.dumps(self.to_json(record), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"

    def markdown_bytes(self, record: ReleaseRecord) -> bytes:
        """Return the filled form as Markdown; what comes from outside is shown as it is, never as markup."""
        scope = self.scope(record)
        blocks = [
            f"# {self.title}",
            self.about,
            f"Version: {escape(record.reference)}, digest `{record.subject}`.",
            f"Asked for by: {self.law}. Applies: {scope.answer}. {escape(scope.reason)}",
        ]
        for chapter, answers in groupby(self.answers(record), key=lambda item: item.field.section.split(".")[0]):
            if heading := self.headings.get(chapter):
                blocks.append(f"## {chapter}. {heading}")
            for item in answers:
                blocks += _field_markdown(item)
        return ("\n\n".join(blocks) + "\n").encode()


def _field_markdown(item: FieldAnswer) -> list[str]:
    blocks = [f"### {item.field.section} {item.field.title}"]
    if item.value is not None:
        lines = [escape(text) for text in item.value.splitlines() if text.strip()]
        blocks.append("\n".join(f"- {text}" for text in lines) if len(lines) > 1 else "".join(lines))
        blocks.append(f"*Source: {item.source}.*")
    if item.stated:
        blocks.append(f"The publisher states: {escape(item.stated)}")
    if item.status is Status.OPEN:
        blocks.append(f"**Open**, to be filled by: {item.field.who}. {escape(item.why)} (`{item.field.id}`)")
    return blocks
