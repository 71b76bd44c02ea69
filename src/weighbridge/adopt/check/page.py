"""The report of a check as one HTML file: no script, nothing from the network, every text escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from weighbridge.adopt.check.answer import Answer, Outcome, Point
from weighbridge.adopt.check.check import GROUPS, Report
from weighbridge.dossier.figure import size_text
from weighbridge.dossier.status import utc_text
from weighbridge.terms.permit import badges_for, duties_for

_TONES = {
    Outcome.PASS: ("met", "✓", "pass"),
    Outcome.FAIL: ("refused", "✕", "fail"),
    Outcome.UNKNOWN: ("unknown", "?", "unknown"),
    Outcome.NOT_ASKED: ("idle", "–", "not asked"),
}
_NOTE = ("idle", "·", "note")
_VERDICTS = {
    Outcome.PASS: "Take it into use",
    Outcome.FAIL: "Do not take it into use",
    Outcome.UNKNOWN: "Not yet: facts are missing",
}
_MAX_POINTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPoint:
    """A point as the page shows it."""

    tone: str
    icon: str
    words: str
    point: Point


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """An answer as the page shows it."""

    tone: str
    icon: str
    words: str
    answer: Answer
    points: tuple[ShownPoint, ...]
    notes: tuple[ShownPoint, ...]
    waived: str


def render_report(report: Report) -> str:
    """Return the page of `report`; the same report gives the same bytes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("weighbridge.adopt.check", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = resources.files("weighbridge.adopt.check").joinpath("templates", "check.css").read_text(encoding="utf-8")
    shown = [_shown(item) for item in report.answers]
    tone, icon, words = _TONES[report.outcome]
    return environment.get_template("check.html.j2").render(
        report=report,
        subject=report.subject,
        style=Markup(style),  # noqa: S704  # ships with the package
        tone=tone,
        icon=icon,
        words=words,
        verdict=_VERDICTS.get(report.outcome, str(report.outcome)),
        groups=[(name, [item for item in shown if item.answer.question.group == name]) for name in GROUPS],
        counts=_counts(report.answers),
        answers=shown,
        facts=_facts(report),
        plans=_plans(report),
        badges=badges_for(report.subject.terms, report.use.use) if report.subject.terms else (),
        duties=duties_for(report.subject.terms, report.use.use) if report.subject.terms else (),
    )


def _shown(item: Answer) -> ShownAnswer:
    tone, icon, words = _TONES[item.counts_as]
    points = [_point(point) for point in item.points[:_MAX_POINTS]]
    waived = ""
    if item.waiver is not None:
        waived = f"Unknown, waived by {item.waiver.by} until {utc_text(item.waiver.until)}: {item.waiver.reason}"
    return ShownAnswer(
        tone=tone,
        icon=icon,
        words="waived" if item.waiver else words,
        answer=item,
        points=tuple(point for point in points if point.point.outcome is not None),
        notes=tuple(point for point in points if point.point.outcome is None),
        waived=waived,
    )


def _point(point: Point) -> ShownPoint:
    tone, icon, words = _NOTE if point.outcome is None else _TONES[point.outcome]
    return ShownPoint(tone=tone, icon=icon, words=words, point=point)


def _counts(answers: Sequence[Answer]) -> list[tuple[str, str, int, str]]:
    """Return tone, icon, number and words for each outcome."""
    found = [item.counts_as for item in answers]
    words = {Outcome.FAIL: "failed", Outcome.UNKNOWN: "unknown", Outcome.PASS: "passed", Outcome.NOT_ASKED: "not asked"}
    return [(*_TONES[kind][:2], found.count(kind), text) for kind, text in words.items()]


def _facts(report: Report) -> list[tuple[str, str]]:
    subject = report.subject
    size = size_text(float(subject.manifest.size_bytes))
    facts = [
        ("Asked for", subject.reference),
        ("Found in", subject.place),
        ("Revision", subject.revision),
        ("Files", f"{len(subject.manifest.entries)}, {size}"),
        ("Digest", subject.manifest.digest),
        ("Signed by", subject.signature.signer),
        ("Format", f"{subject.format}, {subject.family}" if subject.format else ""),
        ("Terms, recomputed", subject.terms.expression if subject.terms else "not known"),
        ("Checked", utc_text(report.checked_at)),
        ("Use file", f"{report.use.place}, SHA-256 {report.use.sha256}"),
    ]
    return [(label, text) for label, text in facts if text]


def _plans(report: Report) -> list[tuple[str, str]]:
    """Return what we stated about ourselves; what was left out reads as not stated."""
    use = report.use.use
    amounts = ", ".join(f"{amount:,} {str(metric).replace('_', ' ')}" for metric, amount in use.amounts.items())
    return [
        ("Purpose", use.purpose or "not stated"),
        ("Commercial", _yes(use.commercial)),
        ("Sensitive fields", "not stated" if use.fields is None else ", ".join(use.fields) or "none"),
        ("Size", amounts or "not stated"),
        ("Seat", use.seat or "not stated"),
        ("Territories", "not stated" if use.territories is None else ", ".join(use.territories) or "none"),
        ("Fine-tune", _yes(use.fine_tunes)),
        ("Distil", _yes(use.distils)),
        ("Host", _yes(use.hosts)),
        ("Redistribute", _yes(use.redistributes)),
    ]


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not stated"}[value]
