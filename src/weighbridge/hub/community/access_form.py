"""What a gated repository asks of whoever wants to read it: fields and terms, as its card states them.

The card's members are those of the Hub: `extra_gated_fields` (a label and a type each) and `extra_gated_prompt`, the
text of the terms. Which text somebody agreed to is kept as its SHA-256 and the commit that had it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from weighbridge.hub.http.refusal import bad_request, conflict
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.front_matter import clean

MAX_FIELDS: Final = 50
MAX_ANSWER_CHARACTERS: Final = 2000
MAX_LABEL_CHARACTERS: Final = 500
TERMS_SHA256: Final = "terms_sha256"
TERMS_COMMIT: Final = "terms_commit"
_TYPES = ("text", "checkbox", "country", "date_picker", "select")
# What the Hub fills in by where a request comes from: it is not asked for, and not kept here.
_UNASKED = "ip_location"
_YES = ("true", "on", "1", "yes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A question: its label, its type (one of `_TYPES`) and, of a choice, what may be chosen."""

    label: str
    kind: str
    options: tuple[str, ...] = ()

    def check(self, answer: object) -> str | bool:
        """Return the answer as it is kept.

        Raises:
            Refusal: 400 if it is missing or is none to this question.
        """
        if self.kind == "checkbox":
            if answer is True or (isinstance(answer, str) and answer.strip().lower() in _YES):
                return True
            raise bad_request(f"{self.label!r} must be agreed to.")
        if not isinstance(answer, str) or not answer.strip():
            raise bad_request(f"{self.label!r} is required.")
        text = clean(answer.strip())
        if len(text) > MAX_ANSWER_CHARACTERS:
            raise bad_request(f"{self.label!r} has at most {MAX_ANSWER_CHARACTERS:,} characters.")
        if self.kind == "select" and text not in self.options:
            raise bad_request(f"{self.label!r} is one of: {', '.join(self.options)[:1000]}.")
        if self.kind == "date_picker" and not _is_date(text):
            raise bad_request(f"{self.label!r} is a date of the form 2024-12-31.")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessForm:
    """What a repository asks.

    Attributes:
        fields: its questions, in the card's order.
        prompt: the text of the terms; empty for none.
        terms_sha256: of the prompt in UTF-8; empty for none.
        commit: the head that the card was read from.
    """

    fields: tuple[Field, ...]
    prompt: str
    terms_sha256: str
    commit: str

    def answered(self, given: Mapping[str, object]) -> dict[str, Any]:
        """Return what is kept of the answers: those to the card's questions, and which terms were agreed to.

        Raises:
            Refusal: 400 for an answer that is missing or wrong; 409 if other terms than today's were agreed to.
        """
        kept: dict[str, Any] = {field.label: field.check(given.get(field.label)) for field in self.fields}
        agreed = given.get(TERMS_SHA256)
        if agreed not in (None, "", self.terms_sha256):
            raise conflict("The terms have changed since: read them again.", terms_sha256=self.terms_sha256)
        if self.terms_sha256:
            kept |= {TERMS_SHA256: self.terms_sha256, TERMS_COMMIT: self.commit}
        return kept


def form_of(repo: Repository) -> AccessForm:
    """Return what the repository's card asks; nonsense in a card is left out."""
    stated = repo.card.get("extra_gated_fields")
    prompt = repo.card.get("extra_gated_prompt")
    prompt = prompt if isinstance(prompt, str) else ""
    fields = list(map(_field, stated.items())) if isinstance(stated, Mapping) else []
    return AccessForm(
        fields=tuple(field for field in fields if field is not None)[:MAX_FIELDS],
        prompt=prompt,
        terms_sha256=hashlib.sha256(prompt.encode()).hexdigest() if prompt else "",
        commit=repo.head or "",
    )


def _field(stated: tuple[str, object]) -> Field | None:
    label, kind = stated
    if not label.strip() or len(label) > MAX_LABEL_CHARACTERS or label in (TERMS_SHA256, TERMS_COMMIT):
        return None
    if isinstance(kind, Mapping):
        options = kind.get("options")
        chosen = tuple(filter(None, map(_option, options))) if isinstance(options, list) else ()
        return Field(label=label, kind="select", options=chosen) if chosen else None
    if kind == _UNASKED:
        return None
    return Field(label=label, kind=kind if isinstance(kind, str) and kind in _TYPES and kind != "select" else "text")


def _option(stated: object) -> str:
    value = stated.get("value", stated.get("label")) if isinstance(stated, Mapping) else stated
    return value if isinstance(value, str) else ""


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
