"""Tokenizer files: only known parts in known forms, tokens that agree with each other, and none that carries a message.

The parts of `tokenizer.json` are those of the library tokenizers 0.22. A tokenizer decides what a model reads and what
people read of it, so parts that rewrite words are said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weighbridge.evidence.audit.files.hidden_text import hidden_characters
from weighbridge.evidence.audit.files.seen import Seen, hostile, shown, suspect, unknown
from weighbridge.evidence.audit.files.template_kind import is_wordy, words
from weighbridge.evidence.audit.files.template_wording import instructs, is_prose, sentences
from weighbridge.evidence.audit.files.tokenizer_words import inspect_words, is_unseen
from weighbridge.evidence.record import Severity

_KNOWN: Mapping[str, frozenset[str]] = {
    "model": words("BPE Unigram WordLevel WordPiece"),
    "normalizer": words(
        """BertNormalizer ByteLevel Lowercase NFC NFD NFKC NFKD Nmt Precompiled Prepend Replace Sequence Strip
        StripAccents"""
    ),
    "pre_tokenizer": words(
        """BertPreTokenizer ByteLevel CharDelimiterSplit Digits FixedLength Metaspace Punctuation Sequence Split
        UnicodeScripts Whitespace WhitespaceSplit"""
    ),
    "post_processor": words("BertProcessing ByteLevel RobertaProcessing Sequence TemplateProcessing"),
    "decoder": words("BPEDecoder ByteFallback ByteLevel CTC Fuse Metaspace Replace Sequence Strip WordPiece"),
}
_TOP = frozenset(_KNOWN) | words("version truncation padding added_tokens")
_ADDED = words("id content single_word lstrip rstrip normalized special")
MAX_EXPRESSION, MAX_PARTS, MAX_ADDED = 4_000, 200, 200_000
MAX_TOKEN_CHARACTERS = 1_000
_NESTED = re.compile(r"\((?:[^()\\\[]|\\.|\[(?:[^\]\\]|\\.)*\])*[+*}](?:[^()\\]|\\.)*\)(?:[+*](?!\+)|\{\d+,\}(?!\+))")
_MESSAGES = 5


def inspect_tokenizer(document: Mapping[str, Any]) -> Iterator[Seen]:
    """Yield what in a parsed `tokenizer.json` is not of the known form, or is more than a tokenizer needs."""
    for key in sorted(document.keys() - _TOP)[:_MESSAGES]:
        yield unknown("tokenizer-part", f"it has a member that tokenizers have not: {shown(str(key))}", f"/{key[:80]}")
    for name, known in _KNOWN.items():
        yield from _part(document.get(name), known, f"/{name}", MAX_PARTS)
    model = document.get("model")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    added = document.get("added_tokens")
    if isinstance(model, Mapping):
        yield from _vocabulary(model)
    if isinstance(added, list):
        yield from inspect_added(added, _numbered(vocabulary), "/added_tokens")
    elif added is not None:
        yield unknown("tokenizer-part", "its added tokens are no list", "/added_tokens")
    yield from _inserted(document.get("post_processor"), added)


def _numbered(vocabulary: Any) -> Mapping[str, Any]:
    """Return the numbers of ordinary tokens: those of a Unigram model are their places in its list."""
    if isinstance(vocabulary, list):
        pairs = (item[0] if isinstance(item, list) and item else None for item in vocabulary)
        return {word: number for number, word in enumerate(pairs) if isinstance(word, str)}
    return vocabulary if isinstance(vocabulary, Mapping) else {}


def _part(value: Any, known: frozenset[str], place: str, left: int) -> Iterator[Seen]:
    if value is None:
        return
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind is None and place == "/model" and isinstance(value, Mapping) and "vocab" in value:
        return  # As written before models had a type.
    if not isinstance(kind, str) or kind not in known:
        yield unknown("tokenizer-part", f"it has a part of a kind that is not known: {shown(str(kind))}", place)
        return
    if kind == "Replace":
        yield from _replaces(value, place)
    expression = value.get("pattern")
    text = expression.get("Regex") if isinstance(expression, Mapping) else None
    if isinstance(text, str):
        yield from _expression(text, place)
    for inner in ("normalizers", "pretokenizers", "processors", "decoders"):
        parts = value.get(inner)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            if number >= left:
                yield unknown("tokenizer-part", "it has more parts than tokenizers have", place)
                return
            yield from _part(part, known, f"{place}/{inner}/{number}"[:200], left // 2)


def _replaces(value: Mapping[str, Any], place: str) -> Iterator[Seen]:
    pattern = value.get("pattern")
    old = next(iter(pattern.values()), "") if isinstance(pattern, Mapping) else pattern
    new = value.get("content", "")
    if is_wordy(re.sub(r"\\.|\[:?\w+:?\]|<0x[0-9A-F]{2}>", "", str(old))) or is_wordy(str(new)):
        message = f"it replaces words before or after the model: {shown(str(old))} by {shown(str(new))}"
        yield suspect("tokenizer-rewrites", message, place)


def _expression(text: str, place: str) -> Iterator[Seen]:
    if len(text) > MAX_EXPRESSION:
        yield unknown("expression-too-long", f"a regular expression of {len(text):,} characters", place)
    elif _NESTED.search(text):
        message = "a regular expression repeats a repetition, so that some texts take it for ever"
        yield suspect("slow-expression", message, place)


def _vocabulary(model: Mapping[str, Any]) -> Iterator[Seen]:
    vocabulary, merges = model.get("vocab"), model.get("merges")
    if isinstance(vocabulary, Mapping):
        numbers = list(vocabulary.values())
        if not all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers):
            yield unknown("vocabulary", "a token has no number", "/model/vocab")
        elif len(set(numbers)) != len(numbers):
            yield suspect("vocabulary", "two tokens have the same number", "/model/vocab")
        if isinstance(merges, list):
            yield from _merges(merges, vocabulary)
        yield from inspect_words(vocabulary, "/model/vocab")
    elif isinstance(vocabulary, list):
        if not all(
            isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], int | float)
            for item in vocabulary
        ):
            yield unknown("vocabulary", "a token is no pair of a text and its score", "/model/vocab")
        yield from inspect_words((item[0] for item in vocabulary if isinstance(item, list) and item), "/model/vocab")
    elif vocabulary is not None:
        yield unknown("vocabulary", "the vocabulary is none", "/model/vocab")


def _merges(merges: Sequence[Any], vocabulary: Mapping[str, Any]) -> Iterator[Seen]:
    strange = 0
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            yield unknown("merges", "a merge is no pair of tokens", "/model/merges")
            return
        strange += pair[0] not in vocabulary or pair[1] not in vocabulary
    if strange:
        message = f"{strange:,} merges are of tokens that the vocabulary does not have"
        yield unknown("merges", message, "/model/merges", Severity.LOW)


def inspect_added(added: Sequence[Any], vocabulary: Mapping[str, Any], place: str) -> Iterator[Seen]:
    """Yield what is remarkable about added tokens: objects of `tokenizer.json`, or plain texts.

    Args:
        added: the tokens.
        vocabulary: the numbers of ordinary tokens, where they are known.
        place: where they stand.
    """
    told: dict[str, int] = {}
    # An added token may be one of the ordinary ones, but then under its own number.
    numbers = {number: word for word, number in vocabulary.items() if isinstance(number, int)}
    for position, token in enumerate(added[:MAX_ADDED]):
        where = f"{place}/{position}"
        content = token.get("content") if isinstance(token, Mapping) else token
        if not isinstance(content, str):
            yield unknown("added-token", "an added token has no text", where)
            return
        special = isinstance(token, Mapping) and token.get("special") is True
        if is_unseen(content) and (special or len(content) > 1):
            told["hidden-token"] = told.get("hidden-token", 0) + 1
            if told["hidden-token"] <= _MESSAGES:
                yield suspect("hidden-token", "an added token has no character that can be seen", where)
        for seen in (*_token(content, where), *_number(token, content, vocabulary, numbers, where)):
            told[seen.rule] = told.get(seen.rule, 0) + 1
            if told[seen.rule] <= _MESSAGES:
                yield seen


def _token(content: str, where: str) -> Iterator[Seen]:
    if len(content) > MAX_TOKEN_CHARACTERS:
        yield suspect("added-token", f"an added token has {len(content):,} characters", where)
        return
    for seen in hidden_characters(content, where, template=True):
        # Fillers of some scripts and marks of byte order are tokens of their own in several vocabularies.
        if seen.rule not in ("control-character", "unseen-character") or len(content) > 2:
            yield Seen(seen.rule, seen.standing, seen.severity, f"an added token: {seen.message}", where)
    if "://" in content or (is_prose(content) and any(instructs(sentence) for sentence in sentences(content))):
        yield suspect("added-token", f"an added token holds an address or tells something: {shown(content)}", where)
    elif is_prose(content) and len(content) > 60:
        yield unknown("added-token", f"an added token is a sentence: {shown(content)}", where, Severity.LOW)


def _number(
    token: Any, content: str, vocabulary: Mapping[str, Any], numbers: dict[int, str], where: str
) -> Iterator[Seen]:
    if not isinstance(token, Mapping):
        return
    if strange := token.keys() - _ADDED:
        yield unknown("added-token", f"an added token has a member that is not known: {shown(min(strange))}", where)
    number = token.get("id")
    if not isinstance(number, int) or isinstance(number, bool):
        if "id" in token:
            yield unknown("added-token", "the number of an added token is none", where)
        return
    if numbers.setdefault(number, content) != content:
        yield suspect("added-token", "an added token has the number of another token", where)
    usual = vocabulary.get(content)
    if isinstance(usual, int) and usual != number:
        yield suspect("added-token", "an added token has another number than in the vocabulary", where)


def _inserted(processor: Any, added: Any) -> Iterator[Seen]:
    """Look at what a post-processor puts around each text: special tokens, a few, and nothing else."""
    if not isinstance(processor, Mapping):
        return
    parts = processor.get("processors") if processor.get("type") == "Sequence" else [processor]
    special = (
        {token.get("content") for token in added if isinstance(token, Mapping)} if isinstance(added, list) else set()
    )
    for part in parts if isinstance(parts, list) else ():
        pieces = part.get("single") if isinstance(part, Mapping) and part.get("type") == "TemplateProcessing" else None
        inserted = [
            item["SpecialToken"].get("id")
            for item in (pieces if isinstance(pieces, list) else ())
            if isinstance(item, Mapping) and isinstance(item.get("SpecialToken"), Mapping)
        ]
        if len(inserted) > 8:
            yield suspect("tokenizer-inserts", f"it puts {len(inserted)} tokens into every text", "/post_processor")
        elif special and (strange := [token for token in inserted if token not in special]):
            message = f"it puts a token into every text that is no special one: {shown(str(strange[0]))}"
            yield suspect("tokenizer-inserts", message, "/post_processor")


def inspect_vocabulary(document: Mapping[str, Any]) -> Iterator[Seen]:
    """Yield what is wrong with a `vocab.json` or `added_tokens.json`: it is an object of tokens and their numbers."""
    yield from inspect_words(document, "")
    numbers = list(document.values())
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        yield unknown("vocabulary", "a token has no number")
    elif len(set(numbers)) != len(numbers):
        yield suspect("vocabulary", "two tokens have the same number")
    if any(number < 0 for number in numbers if isinstance(number, int)):
        yield hostile("vocabulary", "a token has a negative number", "", Severity.HIGH)
