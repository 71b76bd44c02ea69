"""The report of a check for a terminal: the verdict first, then each question with why and what would change it."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from weighbridge.adopt.check.answer import Answer, Outcome, Point
from weighbridge.adopt.check.check import GROUPS, Report
from weighbridge.dossier.figure import size_text
from weighbridge.dossier.status import utc_text

if TYPE_CHECKING:
    from rich.text import Text

_MARKS = {
    Outcome.PASS: ("✓", "green"),
    Outcome.FAIL: ("✗", "bold red"),
    Outcome.UNKNOWN: ("?", "yellow"),
    Outcome.NOT_ASKED: ("–", "dim"),
    None: ("·", "dim"),
}
_PIPED_WIDTH = 120
_MAX_POINTS = 12
_MAX_TEXT = 400


def print_report(report: Report, *, everything: bool = False) -> None:
    """Print it on standard output.

    Args:
        report: what to print.
        everything: notes and what passed, too, with what each rests on.
    """
    from rich.console import Console, Group
    from rich.padding import Padding

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    lines = _lines(report, everything)
    console.print(Group(*(Padding(text, (0, 0, 0, indent)) for indent, text in lines)))


def _lines(report: Report, everything: bool) -> Iterator[tuple[int, "Text"]]:
    mark, style = _MARKS[report.outcome]
    yield 0, _text((f"{mark} {str(report.outcome).upper()}  ", style), (report.sentence, "bold"))
    subject = report.subject
    size = size_text(float(subject.manifest.size_bytes))
    yield 2, _text((f"{subject.place}, {len(subject.manifest.entries)} files, {size}", "dim"))
    yield 2, _text((f"digest {subject.manifest.digest}", "dim"))
    yield 2, _text((f"for {report.use.place}, {utc_text(report.checked_at)}", "dim"))
    for group in GROUPS:
        members = [item for item in report.answers if item.question.group == group]
        yield 0, _text(("", ""))
        yield 0, _text((group, "bold underline"))
        for item in members:
            yield from _answer(item, everything)
    yield 0, _text(("", ""))
    yield 0, _text((_counts(report), "bold"))


def _answer(item: Answer, everything: bool) -> Iterator[tuple[int, "Text"]]:
    mark, style = _MARKS[item.counts_as]
    waived = f"  waived by {item.waiver.by} until {utc_text(item.waiver.until)}" if item.waiver else ""
    yield 0, _text((f" {mark} ", style), (f"{item.question.number:>2}  {item.question.text}", ""), (waived, "yellow"))
    shown = [point for point in item.points if everything or _is_telling(point, item)]
    for point in shown[: None if everything else _MAX_POINTS]:
        yield from _point(point, everything)
    if not everything and len(shown) > _MAX_POINTS:
        yield 7, _text((f"and {len(shown) - _MAX_POINTS} more (--all lists them)", "dim"))
    for remedy in item.remedies[: None if everything else 3]:
        yield 7, _text(("next: ", "bold"), (_short(remedy), ""))


def _is_telling(point: Point, item: Answer) -> bool:
    if item.outcome in (Outcome.FAIL, Outcome.UNKNOWN):
        return point.outcome in (Outcome.FAIL, Outcome.UNKNOWN)
    return point.outcome is item.outcome


def _point(point: Point, everything: bool) -> Iterator[tuple[int, "Text"]]:
    mark, style = _MARKS[point.outcome]
    yield 7, _text((f"{mark} ", style), (_short(point.reason), "dim" if point.outcome is None else ""))
    for exhibit in point.exhibits if everything else ():
        words = f"{exhibit.place}: {exhibit.text}" if exhibit.text else exhibit.place
        yield 11, _text((_short(words), "dim"))


def _counts(report: Report) -> str:
    found = [item.counts_as for item in report.answers]
    waived = sum(item.waiver is not None for item in report.answers)
    words = [f"{found.count(kind)} {words}" for kind, words in _WORDS.items() if found.count(kind)]
    return ", ".join(words) + (f"; {waived} of the passed by a waiver" if waived else "")


_WORDS = {
    Outcome.FAIL: "failed",
    Outcome.UNKNOWN: "unknown",
    Outcome.PASS: "passed",
    Outcome.NOT_ASKED: "not asked",
}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else f"{line[: _MAX_TEXT - 1]}…"


def _text(*parts: tuple[str, str]) -> "Text":
    """As `Text`: names come from outside, and "[/b]" in one is a name, not markup; nothing steers the terminal."""
    from rich.text import Text

    text = Text()
    for words, style in parts:
        text.append("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words), style=style)
    return text
