"""What could run: the audit `file-security`, made here of every file that lies there (question 12)."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from weighbridge.adopt.check.answer import Exhibit, Outcome, Point, note, passed, unknown, worst
from weighbridge.adopt.check.subject import Subject
from weighbridge.adopt.check.use import OurUse
from weighbridge.checkpoint.manifest import Manifest
from weighbridge.dossier.release import RELEASE_NAME
from weighbridge.dossier.statement import timestamp
from weighbridge.evidence.audit.files.probe import PROBE
from weighbridge.evidence.audit.files.seen import Standing
from weighbridge.evidence.record import Audit, Finding, Severity

_MAX_POINTS = 200
_SHOWN = 8
_SECRET = "secret-"  # noqa: S105  # how the names of rules about secrets begin
_SHOWN_ONLY = frozenset({"template-own-text"})
"""What is not understood for want of a judge of taste: a text that the template adds, which the note repeats."""

_DISCLOSED = frozenset({"code", "code-deeds", "build-file"})
"""What code that the publisher discloses as part of the work (its training, say) may be: nothing loads it by itself."""

_LOOKED_AT: Mapping[str, tuple[str, str]] = {
    "files": ("file", "files"),
    "tensors": ("tensor", "tensors"),
    "members": ("member of an archive", "members of archives"),
    "pickles": ("pickle", "pickles"),
}
"""One and many of what the audit's coverage counts."""

_READ_IT = "Read it before anybody runs it, or leave it out."
_ODD_BYTES = "Look at its bytes, and tell the publisher."
_NO_CODE = "Load it without trust_remote_code, or take a model that your tools know by themselves."
_NEVER_LOAD = "Obtain a copy without it (weights as safetensors or GGUF hold no code), and never load it."
_REMEDIES: Mapping[str, str] = {
    "template-attack": "Do not load this model: its template was made to attack whoever does. Tell the publisher.",
    "template-poisoned": "Do not load this model: its template changes what is said in it. Tell the publisher.",
    "template": "Read it, or replace it by a template that you wrote.",
    "custom-code": _NO_CODE,
    "foreign-import": _NO_CODE,
    "loadable-code": _NO_CODE,
    _SECRET: "Do not use it, and tell the publisher, who did not mean to let it out.",
    "hidden": _ODD_BYTES,
    "unseen": _ODD_BYTES,
    "look-alike": _ODD_BYTES,
    "unparsable": "Tell the publisher.",
    "weights-": "Obtain the file again; if it stays so, do not load it and tell the publisher.",
    "pickle-": _NEVER_LOAD,
    "torch": _NEVER_LOAD,
    "keras-": _NEVER_LOAD,
    "tensorflow-": _NEVER_LOAD,
    "onnx-": _NEVER_LOAD,
    "program": _NEVER_LOAD,
    "disguised": "Do not open it, and tell the publisher.",
    "polyglot": "Do not open it, and tell the publisher.",
    "link": "Obtain a copy that holds the real file.",
}
"""By how the name of a rule begins; the first that fits counts."""


def what_runs(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 12: does it hold anything that runs, or a template that does more than format messages?

    What is hostile fails, and so does code that loaders would run. What is suspect or not understood is unknown. The
    publisher's own audit is shown and decides nothing.
    """
    judged = _judged(subject)
    telling = [outcome for outcome, _ in judged if outcome is not None]
    yield from (_point(outcome, finding) for outcome, finding in judged[:_MAX_POINTS])
    if more := [outcome for outcome, _ in judged[_MAX_POINTS:]]:
        grave = [outcome for outcome in more if outcome is not None]
        reason = f"{len(more):,} more things were found than are listed."
        yield Point(outcome=worst(grave) if grave else None, reason=reason)
    if unlisted := subject.audit.coverage.get("findings_not_listed", 0):
        yield unknown(f"In single files {unlisted:,} more things were found than are kept.", remedy=_READ_IT)
    looked = _looked_at(subject.audit)
    if telling or unlisted:
        yield note(f"Looked at: {looked}.")
    else:
        yield passed(f"Nothing in it runs by itself, and every part was understood: {looked}.")
    if subject.unread:
        yield note(f"Its architecture is not read here: {subject.unread}.")
    yield from _publishers_word(subject)


def holds_what_runs(subject: Subject) -> bool:
    """Say whether anything in it would run code: then nothing of it is loaded."""
    return any(outcome_of(finding) is Outcome.FAIL for finding in subject.audit.findings)


def outcome_of(finding: Finding) -> Outcome | None:
    """Return what a finding of the audit comes to for whoever would load the model; None for a note.

    A note is what is suspect and of low severity, and what is for information. A secret is grave for its owner; it
    runs nothing.
    """
    standing, rule = _standing(finding)
    runs = standing == Standing.SUSPECT and finding.severity >= Severity.HIGH and not rule.startswith(_SECRET)
    if standing == Standing.HOSTILE or runs:
        return Outcome.FAIL
    quiet = standing == Standing.SUSPECT or rule in _SHOWN_ONLY
    if finding.severity is Severity.INFO or (finding.severity is Severity.LOW and quiet):
        return None
    return Outcome.UNKNOWN


def own_audit(subject: Subject, digest: str, *, now: datetime) -> Audit | None:
    """Return what our audit says about the files of the release's record, as a record about them; or None.

    It is None unless just these bytes lie there. The audit was made in this check, thus `now`.

    Args:
        subject: what was audited: these files, and what lies beside them.
        digest: of a manifest: that of every file there, or that of the record.
        now: when.
    """
    if digest == subject.manifest.digest:
        return replace(subject.audit, measured_at=timestamp(now))
    within = {str(entry.path) for entry in subject.record.manifest} if subject.record else set()
    if Manifest.of(entry for entry in subject.manifest if str(entry.path) in within).digest != digest:
        return None
    files = frozenset(str(entry.path) for entry in subject.manifest)
    found = (f for f in subject.audit.findings if _file(f, files) in within)
    about = tuple(replace(finding, subject=digest) for finding in found)
    return replace(subject.audit, subject=digest, findings=about, measured_at=timestamp(now))


def _judged(subject: Subject) -> list[tuple[Outcome | None, Finding]]:
    """Return every finding with what it comes to here, what decides first."""
    parts = subject.record.disclosure.components if subject.record else ()
    named = [item.path.rstrip("/") for item in parts if item.path.rstrip("/")]
    files = frozenset(str(entry.path) for entry in subject.manifest) if named else frozenset()
    judged = []
    for finding in subject.audit.findings:
        disclosed = named and _standing(finding)[1] in _DISCLOSED and _lies_in(_file(finding, files), named)
        judged.append((None if disclosed else outcome_of(finding), finding))
    order = (Outcome.FAIL, Outcome.UNKNOWN, None)
    return sorted(judged, key=lambda pair: (order.index(pair[0]), -pair[1].severity, pair[1].place, pair[1].rule))


def _lies_in(file: str, named: Iterable[str]) -> bool:
    return any(file == name or file.startswith(f"{name}/") for name in named)


def _standing(finding: Finding) -> tuple[str, str]:
    """Return the standing and the short name of a finding's rule; see `weighbridge.evidence.audit.files.seen`."""
    standing, _, rule = finding.rule.removeprefix(f"{PROBE}/").partition("/")
    return standing, rule


def _point(outcome: Outcome | None, finding: Finding) -> Point:
    _, rule = _standing(finding)
    # A name that is no text (undecodable bytes) must still be printable.
    place = finding.place.encode("utf-8", "backslashreplace").decode("utf-8")
    said = f"{place}: {finding.message.rstrip('.')}"
    if outcome is None and rule in _DISCLOSED:
        said += "; the publisher discloses it as part of the work, and nothing loads it by itself"
    remedy = next((text for start, text in _REMEDIES.items() if rule.startswith(start)), _READ_IT) if outcome else ""
    exhibit = Exhibit(place=place, text=finding.rule)
    return Point(outcome=outcome, reason=f"{said}.", remedy=remedy, exhibits=(exhibit,))


def _file(finding: Finding, files: Container[str]) -> str:
    """Return the file of a finding's place, which is a file alone or followed by a comma and where in it."""
    name = finding.place
    while name and name not in files:
        name = name.rpartition(", ")[0]
    return name


def _looked_at(audit: Audit) -> str:
    """Return what was looked at, in numbers."""
    counts = ((audit.coverage.get(name, 0), words) for name, words in _LOOKED_AT.items())
    return ", ".join(f"{count:,} {words[count != 1]}" for count, words in counts if count)


def _publishers_word(subject: Subject) -> Iterator[Point]:
    """Show what the publisher's own audit came to, where the record has one."""
    for theirs in subject.record.audits if subject.record else ():
        if theirs.probe != PROBE:
            continue
        told = tuple(Exhibit(place=f.place, text=f.message) for f in theirs.findings[:_SHOWN])
        who = (
            "The publisher states under signature" if subject.signed else "Its record, for which nobody vouches, states"
        )
        count = len(theirs.findings)
        what = "nothing" if not count else f"{count:,} thing{'s' * (count != 1)}"
        yield note(
            f"{who} that its own audit ({theirs.probe} {theirs.probe_version}) found {what}; what counts is what was "
            "found here.",
            Exhibit(place=RELEASE_NAME),
            *told,
        )
