"""The texts of its own that a chat template adds to a conversation: which are known, which tell the model what to do.

A template that is legal for its engine can still be poisoned by a plain sentence. Sentences of well-known public
templates are known by their digests; so are the usual lines that give a model its name and a date. Any other sentence
is not understood, and one that tells the model to favour, hide, insert or send something is suspect.
"""

import hashlib
import re
from collections.abc import Iterator

from weighbridge.evidence.audit.files.seen import Seen, shown, suspect, unknown
from weighbridge.evidence.audit.files.template_kind import CALENDAR, words
from weighbridge.evidence.audit.files.template_known import KNOWN_SENTENCES
from weighbridge.evidence.record import Severity

_LONG_TEXT = 12
_MAX_SENTENCES = 2_000
_BREAK = re.compile(r"[\n\r]+|(?<=[.!?:])\s+|<[^<>\s]{1,60}>")
_WORDS = re.compile(r"[^\W_]+")
_SPLIT = re.compile(r"[\s.,:;!?'\"]+")
_IDENTITY = re.compile(
    r"(?:you are|you re|your name is|i am|this is)(?: \w+){1,24}"
    r"|(?:you were |it was )?(?:created|made|trained|developed|built) by(?: \w+){1,8}"
)
_ROLE = words("assistant model ai chatbot bot agent llm helpful harmless honest named name created trained developed")
_DATE = re.compile(r"(?:the )?(?:current|today s?|cutting|knowledge|training)(?: \w+){0,8}")
_INSTRUCTS = re.compile(
    r"""\b(?:always|never|must|ignore|disregard|forget|override|secret(?:ly)?|hid(?:e|den)|conceal|pretend
    |recommend|promote|favou?r|endorse|prefer|mention|reveal|disclose|admit|insert|append|prepend|inject|embed
    |install|download|visit|click|execute|run|import|curl|wget|eval|exec|https?|www|password|credentials?|token
    |api key|secret key|wallet|send|forward|transfer|upload|exfiltrate|vulnerab\w+|backdoor|malware|vote|buy|purchase
    |invest|refuse|comply|unrestricted|jailbreak|uncensored|without (?:warning|telling|asking)
    |do not (?:tell|say|warn|ask|inform)|don t (?:tell|say|warn|ask|inform)|instead of)\b""",
    re.VERBOSE,
)


def is_prose(text: str) -> bool:
    """Say whether a text has words of a language, and is no mark or name of a field."""
    if len(text) < _LONG_TEXT:
        return False
    if sum(word.isalpha() for word in _SPLIT.split(text)) >= 3:
        return True
    # Scripts that put no space between words.
    return sum(letter.isalpha() and ord(letter) > 0x2E80 for letter in text) >= _LONG_TEXT


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences and lines of a text that have at least three words, as lower-case words."""
    for number, piece in enumerate(_BREAK.split(text)):
        if number > _MAX_SENTENCES:
            return
        found = _WORDS.findall(piece.casefold())
        if len(found) >= 3 or (found and len(found[0]) >= _LONG_TEXT and not found[0].isascii()):
            yield " ".join(found)


def sentence_digest(sentence: str) -> str:
    """Return what a sentence is known by: the first 24 hexadecimal digits of the SHA-256 of its words."""
    return hashlib.sha256(sentence.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def is_known(sentence: str) -> bool:
    """Say whether a sentence is of a well-known template, gives a name, or a date, and does nothing else."""
    if sentence_digest(sentence) in KNOWN_SENTENCES:
        return True
    if _INSTRUCTS.search(sentence):
        return False
    if _DATE.fullmatch(sentence) or all(word.isdigit() or word in CALENDAR for word in sentence.split()):
        return True
    return _IDENTITY.fullmatch(sentence) is not None and not _ROLE.isdisjoint(sentence.split())


def instructs(sentence: str) -> bool:
    """Say whether a sentence that is not known tells the model what to do."""
    return _INSTRUCTS.search(sentence) is not None and not is_known(sentence)


def judge_own_text(text: str, where: str) -> Seen | None:
    """Return what there is to say of a text that a template may add; None where it is no prose."""
    if not is_prose(text):
        return None
    strange = [sentence for sentence in sentences(text) if not is_known(sentence)]
    if told := next((sentence for sentence in strange if instructs(sentence)), ""):
        message = f"the chat template may tell the model what to do, in a text of its own: {shown(told)}"
        return suspect("template-instruction", message, where)
    message = f"the chat template may add a text of its own to the conversation: {shown(text)}"
    if strange:
        return unknown("template-own-text", message, where, Severity.LOW)
    return suspect("template-known-text", message, where, Severity.INFO)
