"""Metadata that must not get out: an audit of texts, headers and configurations, and a scrubber for JSON."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from weighbridge.checkpoint.document import parse_object
from weighbridge.errors import CheckpointError
from weighbridge.evidence.audit.leak_rule import KEY_RULES, NEEDED_KEYS, VALUE_RULES, KeyRule, ValueRule
from weighbridge.evidence.record import Audit, Finding

__all__ = ["KEY_RULES", "PROBE", "PROBE_VERSION", "VALUE_RULES", "Scrubbed", "audit_leaks", "matches", "scrub_json"]

PROBE = "metadata-leak"
PROBE_VERSION = "2"

BLOCK_CHARACTERS = 1 << 20
_OVERLAP_CHARACTERS = 4096
MAX_FINDINGS_A_FILE = 50
_MAX_DEPTH = 64
_MAX_INNER = 2
_MAX_JSON_VALUES = 4_000_000
_MAX_POINTER = 200

# Vocabularies: hundreds of thousands of fragments that come from the tokenizer's training, not from the run.
_SKIPPED_POINTERS = ("/model/vocab", "/model/merges")
_SKIPPED_GGUF_KEYS = frozenset({"tokenizer.ggml.tokens", "tokenizer.ggml.merges"})


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A member that was taken out of a JSON document.

    Attributes:
        pointer: where it was (RFC 6901).
        value: what it was; for internal use only.
        rule: identifier of the rule, or `plan` where an extra pattern of the plan named the key.
    """

    pointer: str
    value: Any
    rule: str


@dataclass(frozen=True, slots=True)
class Match:
    """A rule's match in a text, in characters."""

    rule: ValueRule
    start: int
    text: str


def matches(text: str, rules: Sequence[ValueRule] = VALUE_RULES) -> Iterator[Match]:
    """Yield what `rules` find in `text`, which is searched in blocks of a million characters."""
    for base in range(0, max(len(text), 1), BLOCK_CHARACTERS):
        start = max(base - _OVERLAP_CHARACTERS, 0)
        block = text[start : base + BLOCK_CHARACTERS]
        lowered = block.lower()
        at_end = base + BLOCK_CHARACTERS >= len(text)
        for rule in rules:
            if not any(guard in lowered for guard in rule.guards):
                continue
            for found in re.finditer(rule.expression, block):
                # A match near a block's end is left to the next block, which sees all of it.
                if start and found.start() < _OVERLAP_CHARACTERS // 2:
                    continue
                if not at_end and found.start() >= len(block) - _OVERLAP_CHARACTERS // 2:
                    continue
                shown = found.group().rstrip(". ")
                if rule.benign is None or not re.search(rule.benign, shown.lower()):
                    yield Match(rule, start + found.start(), shown)


def audit_leaks(files: Mapping[str, bytes | str], metadata: Mapping[str, Mapping[str, Any]], subject: str) -> Audit:
    """Search the texts and headers of a version for what gives away people, machines, runs and keys.

    Args:
        files: path to content of every text-like file; bytes are read as UTF-8, undecodable ones replaced. Names that
            end in `.json` are also searched key by key, less the vocabulary of a tokenizer.
        metadata: weight file to safetensors `__metadata__` or GGUF key-values; token lists are left out.
        subject: digest of the version.
    """
    search = _Search(subject)
    for file, content in sorted(files.items()):
        search.file(file, content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    for file, values in sorted(metadata.items()):
        search.document({key: value for key, value in values.items() if key not in _SKIPPED_GGUF_KEYS}, file)
    return Audit(
        probe=PROBE,
        probe_version=PROBE_VERSION,
        subject=subject,
        findings=tuple(search.findings),
        coverage={**search.counts, "headers": len(metadata), "rules": len(VALUE_RULES) + len(KEY_RULES)},
    )


def scrub_json(value: Any, extra_key_globs: Sequence[str] = ()) -> tuple[Any, tuple[Scrubbed, ...]]:
    """Return `value` without the members that a rule or one of `extra_key_globs` objects to, and what was removed.

    Members of objects are removed whole. A text inside a list cannot go without moving its neighbours, so the member
    that holds the list goes. What a loader needs (architecture, tokenizer and template fields) stays as it is: the
    audit reports it if it leaks.
    """
    removed: list[Scrubbed] = []
    return _scrubbed(value, "", tuple(extra_key_globs), removed), tuple(removed)


def _scrubbed(value: Any, pointer: str, globs: tuple[str, ...], removed: list[Scrubbed]) -> Any:
    if isinstance(value, list):
        return [_scrubbed(item, f"{pointer}/{index}", globs, removed) for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    clean: dict[str, Any] = {}
    for key, item in value.items():
        below = f"{pointer}/{_escaped(key)}"
        rule = None if key in NEEDED_KEYS else _planned(key, below, globs) or _objection(key, item)
        if rule:
            removed.append(Scrubbed(below, item, rule))
        elif below in _SKIPPED_POINTERS:
            clean[key] = item
        else:
            clean[key] = _scrubbed(item, below, globs, removed)
    return clean


def _planned(key: str, pointer: str, globs: tuple[str, ...]) -> str | None:
    dotted = pointer[1:].replace("/", ".")
    return "plan" if any(fnmatchcase(key, glob) or fnmatchcase(dotted, glob) for glob in globs) else None


def _objection(key: str, item: Any) -> str | None:
    """Return the rule by which a member has to go, or None."""
    rule: KeyRule | ValueRule | None = _key_rule(key, item)
    if rule is None:
        texts = chain((key,), _texts_of(item))
        rule = next((match.rule for text in texts for match in matches(text)), None)
    return rule.id if rule else None


def _texts_of(item: Any) -> Iterator[str]:
    """Yield the texts of a member that are not members themselves: it, or those in its lists."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, list):
        for inner in item:
            yield from _texts_of(inner)


def _key_rule(key: str, item: Any) -> KeyRule | None:
    """Return the first key rule that the member breaks. Empty values tell nothing."""
    if item is None or item is False or item in ("", [], {}, ()):
        return None
    lowered = key.rsplit(".", 1)[-1].lower()
    for rule in KEY_RULES:
        if any(fnmatchcase(lowered, glob) for glob in rule.globs) and (
            rule.value is None or (isinstance(item, str) and re.search(rule.value, item))
        ):
            return rule
    return None


class _Search:
    """Findings and counts of one audit."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.findings: list[Finding] = []
        self.counts = dict.fromkeys(
            ("files", "bytes_read", "bytes_searched_as_text", "members_searched", "findings_not_listed"), 0
        )

    def file(self, file: str, content: bytes) -> None:
        """Search a file: key by key if it is a JSON object, otherwise as text."""
        self.counts["files"] += 1
        self.counts["bytes_read"] += len(content)
        document = _parse(content, file) if file.endswith(".json") else None
        if document is not None:
            self.document(document, file)
            return
        self.counts["bytes_searched_as_text"] += len(content)
        self._list(self._in_text(content.decode("utf-8", "replace"), file))

    def document(self, document: Mapping[str, Any], file: str) -> None:
        """Search a parsed document or the key-values of a header."""
        found = self._in_document(document, file)
        self._list(iter(sorted(found, key=lambda finding: (-finding.severity, finding.place, finding.rule))))

    def _list(self, found: Iterator[Finding]) -> None:
        for number, finding in enumerate(found):
            if number < MAX_FINDINGS_A_FILE:
                self.findings.append(finding)
            else:
                self.counts["findings_not_listed"] += 1

    def _in_text(self, text: str, file: str) -> Iterator[Finding]:
        breaks: list[int] | None = None
        for match in matches(text):
            if breaks is None:
                breaks = [found.start() for found in re.finditer("\n", text)]
            yield self._finding(match.rule, f"{file}, line {bisect_right(breaks, match.start) + 1}")

    def _in_document(self, document: Mapping[str, Any], file: str) -> Iterator[Finding]:
        pending: list[tuple[str, Any]] = [("", document)]
        while pending:
            pointer, value = pending.pop()
            if pointer in _SKIPPED_POINTERS:
                continue
            self.counts["members_searched"] += 1
            place = f"{file}, {pointer[:_MAX_POINTER]}"
            if isinstance(value, Mapping):
                for number, (key, item) in enumerate(value.items()):
                    leaks = list(matches(str(key)))
                    # A key that leaks must not be repeated in the places of what is below it.
                    below = f"{pointer}/{f'(member {number})' if leaks else _escaped(str(key))}"
                    pending.append((below, item))
                    rule = _key_rule(str(key), item)
                    broken: list[KeyRule | ValueRule] = [match.rule for match in leaks] + ([rule] if rule else [])
                    for each in broken:
                        yield self._finding(each, f"{file}, {below[:_MAX_POINTER]}")
            elif isinstance(value, list | tuple):
                pending += [
                    (f"{pointer}/{i}", item) for i, item in enumerate(value) if not isinstance(item, int | float)
                ]
            elif isinstance(value, str):
                for match in matches(value):
                    yield self._finding(match.rule, place)
                inner = _parse(value.encode("utf-8", "surrogatepass"), file) if value.startswith("{") else None
                if inner is not None and pointer.count("#") < _MAX_INNER:
                    pending.append((f"{pointer}#", inner))

    def _finding(self, rule: ValueRule | KeyRule, place: str) -> Finding:
        # The dossier is public: a message says what kind of thing stands where, and never repeats it.
        return Finding(
            rule=f"{PROBE}/{rule.id}",
            severity=rule.severity,
            message=f"{rule.why} stands here" if isinstance(rule, ValueRule) else f"{rule.why} is recorded here",
            subject=self.subject,
            place=place,
            probe=PROBE,
            probe_version=PROBE_VERSION,
        )


def _parse(content: bytes, file: str) -> Mapping[str, Any] | None:
    """Return the JSON object, or None where it is none or exceeds its bounds: then it is searched as text."""
    try:
        return parse_object(content, place=file, max_depth=_MAX_DEPTH, max_values=_MAX_JSON_VALUES)
    except CheckpointError:
        return None


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
