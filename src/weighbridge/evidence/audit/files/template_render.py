"""What a chat template really writes: it is rendered in a sandbox, on conversations that could wake it.

Only templates are rendered whose work and length are known from their syntax tree to be bounded (`Reading.bounded`),
and then in Jinja's immutable sandbox, with a budget of steps and of characters besides. Two things are looked at.
Whatever is written beside what was said must not depend on what was said; and each sentence of it must be known.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from weighbridge.evidence.audit.files.seen import Seen, hostile, shown, suspect, unknown
from weighbridge.evidence.audit.files.template import Reading, extensions
from weighbridge.evidence.audit.files.template_kind import CALENDAR
from weighbridge.evidence.audit.files.template_probe import (
    SHAPES,
    TOOL,
    Conversation,
    as_if_said,
    plain,
    skeleton,
    waiting,
)
from weighbridge.evidence.audit.files.template_wording import instructs, is_known, sentences
from weighbridge.evidence.record import Severity

if TYPE_CHECKING:
    from jinja2 import Template

MAX_STEPS = 200_000
MAX_CHARACTERS = 1 << 20
_MARK = re.compile("<[|/\uff5c]{0,2}[\\w\u2581|\uff5c-]{1,40}[|\uff5c]?>|\\[/?[A-Z_]{1,40}\\]")
# Who answers, as templates without marks say it: `### Response:`, `GPT4 Correct Assistant:`.
_HEADING = re.compile(
    r"(?:(?:the|gpt4|correct|code|ai|final|name) ){0,3}(?:assistant|response|answer|model|bot|ai)"
    r"(?: (?:assistant|response))?"
)
_WORD = re.compile(r"[^\W_]+")
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


class _ExhaustedError(Exception):
    """A template wants more steps or characters than a conversation needs."""


class Renderer:
    """One template, ready to be rendered; see `render`.

    Args:
        source: a template that was read and found bounded.

    Raises:
        jinja2.TemplateError: if it cannot be compiled.
    """

    def __init__(self, source: str) -> None:
        self._steps = 0
        self._template = self._compiled(source)

    def render(self, conversation: Conversation, *, answer: bool = True) -> str | None:
        """Return what the template writes, or None where it refuses the conversation or fails on it."""
        from jinja2 import TemplateError

        self._steps = MAX_STEPS
        length, parts = 0, []
        try:
            for part in self._template.generate(**_context(conversation) | {"add_generation_prompt": answer}):
                length += len(part)
                if length > MAX_CHARACTERS:
                    return None
                parts.append(part)
        except (TemplateError, _ExhaustedError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError):
            return None
        except (RecursionError, MemoryError):
            return None
        return "".join(parts)

    def _compiled(self, source: str) -> "Template":
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        spend = self._spend

        class Counting(ImmutableSandboxedEnvironment):
            """A sandbox that counts what it is asked for."""

            def getattr(self, obj: Any, attribute: str) -> Any:
                spend()
                return super().getattr(obj, attribute)

            def getitem(self, obj: Any, argument: Any) -> Any:
                spend()
                return super().getitem(obj, argument)

            def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
                spend()
                return super().call(context, obj, *args, **kwargs)

        counting = Counting(trim_blocks=True, lstrip_blocks=True, extensions=extensions())
        counting.filters["tojson"] = _to_json
        try:
            return counting.from_string(source)
        except (SyntaxError, RecursionError, MemoryError, ValueError) as cause:
            # What Jinja makes of a `break` outside of loops is no Python.
            raise TemplateError("it cannot be compiled") from cause

    def _spend(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise _ExhaustedError


def behaviour(source: str, reading: Reading) -> Iterator[Seen]:
    """Yield what rendering shows about a template that was read before.

    Args:
        source: the template.
        reading: what reading it gave; nothing is rendered unless it is bounded.
    """
    if not reading.bounded:
        return
    from jinja2 import TemplateError

    try:
        renderer = Renderer(source)
    except TemplateError:
        yield unknown("template-unparsable", "the chat template cannot be compiled")
        return
    base = {shape: plain(shape) for shape in SHAPES}
    written = {shape: text for shape, talk in base.items() if (text := renderer.render(talk)) is not None}
    if not written:
        yield unknown("template-renders-nothing", "the chat template refuses every conversation that it was tried with")
        return
    yield from _dropped(renderer, written, base)
    yield from _late(written, base)
    shape = next((shape for shape in ("suau", "uau", "su", "u") if shape in written), next(iter(written)))
    yield from _woken(renderer, reading, shape)
    yield from _dated(renderer, shape, written[shape])
    yield from _assembled(written, base, reading)
    yield from _begun(renderer, written, base)


def _dropped(renderer: Renderer, written: Mapping[str, str], base: Mapping[str, Conversation]) -> Iterator[Seen]:
    for shape, text in written.items():
        talk = base[shape]
        missing = {who for who, content in zip(shape, talk.contents, strict=True) if content not in text} - {"a"}
        if missing and (other := renderer.render(plain(shape, parts=True))) is not None:
            missing &= {who for who, content in zip(shape, talk.contents, strict=True) if content not in other}
        if missing:
            whose = "a user says" if "u" in missing else "a system message says"
            yield suspect("template-drops-text", f"the chat template leaves out what {whose}", "", Severity.LOW)
            return


def _late(written: Mapping[str, str], base: Mapping[str, Conversation]) -> Iterator[Seen]:
    """Look for words that only a longer conversation gets."""
    early = {w for shape, text in written.items() if len(shape) <= 3 for w in _words(skeleton(text, base[shape]))}
    for shape, text in written.items():
        late = [word for word in _words(skeleton(text, base[shape])) if word not in early]
        if len(shape) > 3 and early and len(late) > 1:
            message = f"the chat template adds a text once a conversation is longer: {shown(' '.join(late))}"
            yield hostile("template-poisoned", message)
            return


def _woken(renderer: Renderer, reading: Reading, shape: str) -> Iterator[Seen]:
    """Say each word that it may be waiting for, and look for words that it writes only then."""
    plainly = plain(shape)
    usual = renderer.render(plainly)
    differs = False
    for talk in waiting(shape, reading.literals):
        text = renderer.render(talk)
        if text is None or usual is None:
            continue
        expected = as_if_said(usual, plainly, talk)
        differs = differs or text != expected
        new = _new_words(text, expected, talk)
        if len(new) > 1:
            told = shown(" ".join(new))
            message = f"the chat template waits for a word in a message ({shown(talk.word)}) and then adds: {told}"
            yield hostile("template-poisoned", message)
            return
    if differs and any(seen.rule == "template-trigger" for seen in reading.seen):
        message = "what the chat template writes around messages depends on words in them"
        yield suspect("template-depends-on-words", message)


def _new_words(text: str, expected: str, talk: Conversation) -> list[str]:
    """Return the words of `text` that are more than expected and that nobody said, in order."""
    said = {word for content in talk.contents for word in _words(content)}
    left = Counter(_words(expected))
    new: list[str] = []
    for word in _words(text):
        left[word] -= 1
        if left[word] < 0 and word not in said:
            new.append(word)
    return new


def _words(text: str) -> list[str]:
    return _WORD.findall(_MARK.sub(" ", text).casefold())


def _dated(renderer: Renderer, shape: str, now: str) -> Iterator[Seen]:
    """Look for words that are written from some year on only; the names of days and months come and go."""
    usual = {word for word in _words(now) if not word.isdigit()} | CALENDAR
    for year in (2024, 2031, 2038):
        text = renderer.render(plain(shape, year=year)) or ""
        new = [word for word in _words(text) if word not in usual and not word.isdigit()]
        if len(new) > 1:
            message = f"the chat template adds a text from some date on: {shown(' '.join(new))}"
            yield hostile("template-poisoned", message)
            return


def _assembled(written: Mapping[str, str], base: Mapping[str, Conversation], reading: Reading) -> Iterator[Seen]:
    """Look for sentences that tell the model something and stand in no one text of the template."""
    told = [sentence for text in reading.prints for sentence in sentences(text) if instructs(sentence)]
    for shape, text in written.items():
        for sentence in sentences(skeleton(text, base[shape])):
            if instructs(sentence) and not any(own in sentence for own in told):
                message = f"the chat template puts together a text that tells the model what to do: {shown(sentence)}"
                yield suspect("template-instruction", message)
                return


def _begun(renderer: Renderer, written: Mapping[str, str], base: Mapping[str, Conversation]) -> Iterator[Seen]:
    """Look for words that it puts into the answer, as if the model had begun to say them."""
    for shape, text in written.items():
        if not shape.endswith("u"):
            continue
        behind = text.rpartition(base[shape].contents[-1])[2]
        without = renderer.render(base[shape], answer=False)
        same = _same(text, without or "")
        # What it adds for the answer alone; where it always adds it, what stands behind the last mark.
        tail = text[same:] if without is not None and without != text else _MARK.split(behind)[-1]
        begun = [item for item in sentences(tail) if not is_known(item) and not _HEADING.fullmatch(item)]
        if begun:
            message = f"the chat template puts words into the answer of the model: {shown(begun[0])}"
            yield suspect("template-prefill", message)
            return


def _same(one: str, other: str) -> int:
    """Return how many characters two texts begin with together."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _context(conversation: Conversation) -> dict[str, Any]:
    from jinja2 import TemplateError

    def raise_exception(message: str = "") -> None:
        raise TemplateError(str(message)[:200])

    def strftime_now(form: str) -> str:
        return datetime(conversation.year, 6, 15, 12, tzinfo=UTC).strftime(form)

    tools = [dict(TOOL)] if conversation.tools else None
    context: dict[str, Any] = {
        "messages": conversation.messages(),
        "tools": tools,
        "add_generation_prompt": True,
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
    }
    return context | {name: f"<|{name[:3]}|>" for name in _TOKENS}


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent if isinstance(indent, int) else None, default=str)


def differences(source: str, other: str) -> str:
    """Return how two bounded templates differ in what they write: a sentence of only one, or just the shape.

    Returns:
        Empty if they write the same in every conversation that was tried; `?` if one of them cannot be rendered.
    """
    from jinja2 import TemplateError

    try:
        renderers = Renderer(source), Renderer(other)
    except TemplateError:
        return "?"
    rendered = 0
    for shape in SHAPES:
        for tools in (False, True):
            talk = plain(shape, tools=tools)
            left, right = (renderer.render(talk) for renderer in renderers)
            rendered += left is not None
            if left == right:
                continue
            extra = set(sentences(left or "")) ^ set(sentences(right or ""))
            return shown(min(extra)) if extra else f"in a conversation of {len(shape)} turns"
    return "" if rendered else "?"
