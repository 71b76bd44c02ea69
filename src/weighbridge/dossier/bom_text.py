"""What the bills of materials share: licence expressions, addresses and times in forms that their schemas accept.

Everything here was written by somebody else: what does not fit a format's field is left to one that takes any text.
"""

import functools
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.registry import Registry

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://weighbridge.dev/bom")

MODEL_RELATIONS = ("finetune", "adapter", "quantise", "merge", "distil")
DATA_RELATIONS = ("train-data", "eval-only")
CODE_RELATIONS = ("code",)

_MAX_EXPRESSION = 4000
_TOKEN = re.compile(r"\s*([()]|[A-Za-z0-9.:+-]+)")
_OPERATORS = ("AND", "OR", "WITH")
_LICENSE_REF = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+\Z")
_ADDRESS = re.compile(
    r"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::\d{1,5})?"
    r"(?:[/?#](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
    r"(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)?\Z"
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedLicence:
    """A licence as somebody stated it, and what it is in SPDX terms.

    Attributes:
        stated: their words.
        expression: valid SPDX licence expression that says the same; empty where there is none.
        refs: the `LicenseRef-…` that occur in `expression`, each once.
    """

    stated: str
    expression: str
    refs: tuple[str, ...] = ()


def read_licence(text: object, licences: Registry) -> StatedLicence | None:
    """Return what `text` states, or None if it states nothing.

    An SPDX expression counts as one; a name that `licences` knows reads as the expression of that licence.
    """
    if not isinstance(text, str) or not (stated := text.strip()):
        return None
    expression = spdx_expression(stated)
    if not expression and (known := licences.get(stated)) is not None:
        expression = spdx_expression(known.expression)
    found = (word.strip("()") for word in expression.split())
    refs = tuple(dict.fromkeys(word for word in found if _LICENSE_REF.match(word)))
    return StatedLicence(stated=stated, expression=expression, refs=refs)


def spdx_expression(text: str) -> str:
    """Return `text` as an SPDX licence expression with canonical identifiers, or an empty text if it is none.

    Grammar: SPDX 3.0.1, annex B. Identifiers are those of the list that ships with `license_expression`.
    """
    words: list[str] = []
    depth, position, operand_next = 0, 0, True
    if len(text) > _MAX_EXPRESSION:
        return ""
    text = text.strip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return ""
        word, position = match.group(1), match.end()
        if word == "(":
            depth += 1
            valid = operand_next
        elif word == ")":
            depth -= 1
            valid = not operand_next and depth >= 0
        elif operand_next:
            word = _identifier(word, exception=bool(words) and words[-1] == "WITH")
            valid, operand_next = bool(word), False
        else:
            word = word.upper()
            valid, operand_next = word in _OPERATORS and (word != "WITH" or words[-1] != ")"), True
        if not valid or (words and word == "(" and words[-1] == "WITH"):
            return ""
        words.append(word)
    return "" if operand_next or depth else " ".join(words).replace("( ", "(").replace(" )", ")")


def _identifier(word: str, *, exception: bool) -> str:
    """Return the canonical form of one licence or exception identifier; empty if it is not on the list."""
    from license_expression import ExpressionError, LicenseSymbol  # type: ignore[import-untyped]  # it ships no types

    if _LICENSE_REF.match(word):
        return "" if exception else word
    if word.upper() in _OPERATORS or ":" in word:
        return ""
    licensing = _spdx_list()
    for base, suffix in ((word, ""), (word.removesuffix("+"), word[-1:])):
        try:
            symbol = licensing.parse(base)
        except ExpressionError:
            continue
        if not isinstance(symbol, LicenseSymbol) or symbol.key not in licensing.known_symbols:
            continue
        # Only retired spellings of the same licence: other aliases guess ("gpl" for any version of it).
        same = {base.lower(), f"{base.lower()}-only", f"{base.lower().removesuffix('+')}-or-later"}
        if symbol.key.lower() in same and bool(symbol.is_exception) is exception:
            return str(symbol.key) + suffix
    return ""


@functools.cache
def _spdx_list() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def licence_reference(stated: str) -> str:
    """Return a `LicenseRef-…` for a licence that has no SPDX name, the same for the same words."""
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", stated)[:40].strip("-") or "licence"
    return f"LicenseRef-weighbridge-stated-{slug}-{sha256_text(stated)[:12]}"


def concluded_expression(record: ReleaseRecord) -> str:
    """Return the expression that the chain of parents resolved to; empty where it was not resolved."""
    return text_of(record.terms or {}, "expression")


def sha256_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, lone surrogates included."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_sha256(text: object) -> bool:
    """Say whether `text` is a lower-case hexadecimal SHA-256."""
    return isinstance(text, str) and _SHA256.match(text) is not None


def text_of(data: Mapping[str, Any], key: str) -> str:
    """Return the text under `key`, without white space around it; empty where there is none."""
    value = data.get(key)
    return value.strip() if isinstance(value, str) else ""


def count_of(data: Mapping[str, Any], key: str) -> int | None:
    """Return the whole number under `key`, or None."""
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def web_address(text: str) -> str:
    """Return `text` if it is a plain HTTP address; anything else, one with a user name among them, is empty."""
    address = text.strip()
    return address if len(address) <= 2000 and _ADDRESS.match(address) else ""


def email_address(text: str) -> str:
    """Return `text` if it is a plain electronic mail address, else an empty text."""
    address = text.strip()
    return address if len(address) <= 254 and _EMAIL.match(address) else ""


def moment_text(moment: datetime) -> str:
    """Return a moment in UTC to the second, as in `2026-11-16T09:30:00Z`.

    Raises:
        ValueError: if it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decided_at(record: ReleaseRecord) -> datetime | None:
    """Return when the gate decided about the record; None where it did not, or did not say when."""
    decision = record.decision
    try:
        moment = datetime.fromisoformat(decision.decided_at if decision else "")
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def bom_bytes(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON that people can read, too: sorted keys, two spaces, UTF-8.

    Lone surrogates, which UTF-8 cannot say, become U+FFFD.

    Raises:
        ValueError: if it holds a NaN or an infinity.
    """
    text = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub("\ufffd", text).encode("utf-8") + b"\n"
