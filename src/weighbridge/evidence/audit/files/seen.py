"""What an inspector saw in a file, before it becomes a finding."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from weighbridge.evidence.audit.files.view import FileView, FolderView
from weighbridge.evidence.record import Severity

_MAX_SHOWN = 120


class Standing(StrEnum):
    """How sure it is that something is wrong. A policy may choose by it."""

    HOSTILE = "hostile"
    """It does, or asks a loader to do, what no model needs: run a command, leave its folder, hide a program."""

    SUSPECT = "suspect"
    """Legitimate models rarely hold it, and attacks often do."""

    NOT_UNDERSTOOD = "not-understood"
    """It could not be read to its end, or holds what is not known here: nobody can say that it is harmless."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing seen in a file.

    Attributes:
        rule: name of the rule, `[a-z0-9-]+`; a finding's rule is `file-security/<standing>/<rule>`.
        standing: hostile, suspect or not understood.
        severity: how bad it is. Hostile things are HIGH or CRITICAL, suspect ones MEDIUM; what is not understood is
            MEDIUM, and HIGH inside a weights file that loaders would open.
        message: what was seen, in a sentence. Public: it repeats no secret and no text of strangers at length.
        where: where in the file (member, byte, line, key); empty for the file as a whole.
    """

    rule: str
    standing: Standing
    severity: Severity
    message: str
    where: str = ""


Inspector = Callable[[FileView, FolderView], Iterator[Seen]]
"""Reads one file and says what it saw; never executes, never raises about what is in the file."""


def hostile(rule: str, message: str, where: str = "", severity: Severity = Severity.CRITICAL) -> Seen:
    """Return something hostile."""
    return Seen(rule, Standing.HOSTILE, severity, message, where)


def suspect(rule: str, message: str, where: str = "", severity: Severity = Severity.MEDIUM) -> Seen:
    """Return something suspect."""
    return Seen(rule, Standing.SUSPECT, severity, message, where)


def unknown(rule: str, message: str, where: str = "", severity: Severity = Severity.MEDIUM) -> Seen:
    """Return something that is not understood."""
    return Seen(rule, Standing.NOT_UNDERSTOOD, severity, message, where)


def within(member: str, found: Iterable[Seen]) -> Iterator[Seen]:
    """Yield what was seen in a member of a container, with the member's name before its place."""
    for seen in found:
        yield replace(seen, where=f"{member}, {seen.where}" if seen.where else member)


def shown(text: str) -> str:
    """Return a text as a message shows it: on one line, quoted, and cut."""
    line = " ".join(text.split())
    return repr(line if len(line) <= _MAX_SHOWN else f"{line[: _MAX_SHOWN - 1]}…")
