"""The page of a family: one self-contained HTML file that asks the network for nothing."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.dossier.card import Command, run_commands, verify_commands
from weighbridge.dossier.figure import (
    NOT_MEASURED,
    count_text,
    coverage_text,
    find,
    items_text,
    measurement_text,
    number_text,
    percent_text,
    recipe_text,
    size_text,
    step_parameters,
    unit_words,
    value_text,
)
from weighbridge.dossier.release import AnswerView, HeldBackSummary, ReleaseRecord, VerdictView
from weighbridge.evidence.record import Comparison, Measurement
from weighbridge.hub.chart import Axis, Point, Reference, scatter, strip

if TYPE_CHECKING:
    from markupsafe import Markup

_FIRST_LIMIT = re.compile(r"\b(no higher|no lower|at most|at least)\b(?P<rest>[^;]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionView:
    """One version on the page.

    Attributes:
        record: what its dossier states.
        published: whether the hub holds it.
        path: its folder, relative to the page; empty if it was not published.
        reused: whether its bytes were taken from an earlier run.
    """

    record: ReleaseRecord
    published: bool
    path: str = ""
    reused: bool = False

    def __post_init__(self) -> None:
        if self.path:
            relative_path(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Everything that the page shows.

    Attributes:
        model: `owner/family`.
        title, summary: the releaser's words.
        source: facts of the internal model: `digest`, `architecture` (JSON form), `size_bytes`; each may be absent.
        versions: published and refused ones, in the order in which to show them.
        held_back: what no version contains.
        key_fingerprint: of the publisher's public key; empty if nothing is signed.
        generated_with: for example `Weighbridge 0.1.0`.
    """

    model: str
    title: str
    summary: str = ""
    source: Mapping[str, Any] = field(default_factory=dict)
    versions: tuple[VersionView, ...] = ()
    held_back: HeldBackSummary = field(default_factory=HeldBackSummary)
    key_fingerprint: str = ""
    generated_with: str = ""


def render_page(family: Family) -> str:
    """Return the HTML of `family`; the same family gives the same bytes.

    All text is escaped on output, and a content security policy lets nothing but the page's own script run.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("weighbridge.hub", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": _size, "count": _count, "number": number_text, "when": _when}
    script = _asset("page.js")
    return environment.get_template("release.html.j2").render(
        family=family,
        style=Markup(_asset("page.css")),  # noqa: S704  # ships with the package
        script=Markup(script),  # noqa: S704  # ships with the package
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        facts=_hero_facts(family),
        columns=_COLUMNS,
        source_row=_source_row(family),
        versions=[_shown(view, index) for index, view in enumerate(family.versions)],
        charts=_charts(family),
        methods=_methods(family),
    )


def _asset(name: str) -> str:
    return resources.files("weighbridge.hub").joinpath("templates", name).read_text(encoding="utf-8")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(value: object) -> str:
    return size_text(float(value)) if isinstance(value, int | float) else "not known"


def _count(value: object) -> str:
    return count_text(float(value)) if isinstance(value, int | float) else "not known"


# Hero


def _hero_facts(family: Family) -> list[tuple[str, str, str]]:
    """Return label, figure and note of the few numbers that sum the family up."""
    architecture = family.source.get("architecture") or {}
    published = [view for view in family.versions if view.published]
    refused = sum(_state(view)[0] == "refused" for view in family.versions)
    note = f"{refused} refused by the gate" if refused else "none refused by the gate"
    held = family.held_back
    facts = [
        ("Internal model", _size(_source_bytes(family)), f"{_count(architecture.get('parameters'))} parameters"),
        ("Held back", size_text(held.size_bytes), _held_words(held)),
        ("Open versions", f"{len(published)} of {len(family.versions)}", note),
    ]
    if published:
        smallest = min(published, key=lambda view: view.record.manifest.size_bytes).record
        ratio = find(smallest, "perplexity", Comparison.RATIO)
        words = f"perplexity ratio {measurement_text(ratio)}" if ratio else f"quality {NOT_MEASURED}"
        facts.append(("Smallest open version", size_text(smallest.manifest.size_bytes), words))
    return facts


def _held_words(held: HeldBackSummary) -> str:
    if not held.parts:
        return "nothing named in the plan"
    return "in 1 part, absent from every version" if len(held.parts) == 1 else f"in {len(held.parts)} parts"


def _source_bytes(family: Family) -> float | None:
    size = family.source.get("size_bytes") or (family.source.get("architecture") or {}).get("load_bytes")
    return float(size) if isinstance(size, int | float) else None


# Family table

_COLUMNS = (
    ("Size", ""),
    ("Parameters", ""),
    ("Memory to load", ""),
    ("Memory per 1,000 tokens", ""),
    ("Perplexity ratio", "to the internal model; 1 is equal, more is worse"),
    ("KL divergence, nats", "a token; 0 is equal"),
    ("Top-1 agreement", "share of positions with the same first choice"),
    ("Decode, tokens/s", "tokens written per second"),
)


def _source_row(family: Family) -> list[str]:
    facts = family.source.get("architecture") or {}
    known = [_size(_source_bytes(family)), _count(facts.get("parameters")), _size(facts.get("load_bytes"))]
    return [*known, _size(facts.get("cache_bytes_per_1000_tokens")), "1", "0", "100 %", ""]


def _version_row(record: ReleaseRecord) -> list[str]:
    facts = record.architecture
    return [
        size_text(record.manifest.size_bytes),
        _count(facts.get("parameters")),
        _size(facts.get("load_bytes")),
        _size(facts.get("cache_bytes_per_1000_tokens")),
        measurement_text(find(record, "perplexity", Comparison.RATIO)),
        measurement_text(find(record, "kl_divergence")).replace(" nats", ""),
        measurement_text(find(record, "top1_agreement")),
        measurement_text(find(record, "decode_speed")).replace(" tokens/s", ""),
    ]


# Versions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    view: AnswerView
    icon: str
    tone: str
    shown: str
    limit: str
    strip: "Markup"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    key: str
    record: ReleaseRecord
    published: bool
    reused: bool
    path: str
    tone: str
    icon: str
    state: str
    row: Sequence[str]
    decision: VerdictView | None
    explanation: str
    answers: Sequence[_Answer]
    recipe: Sequence[tuple[str, str]]
    audits: Sequence[tuple[str, str, str, Sequence[str]]]
    run: Sequence[Command]
    verify: Sequence[Command]


_TONES = {"met": ("met", "✓"), "not met": ("refused", "✕"), "not measured": ("unknown", "?")}


def _state(view: VersionView) -> tuple[str, str, str]:
    """Return tone, icon and words of where a version stands."""
    decision = view.record.decision
    if decision is None:
        return "unknown", "?", "not decided"
    if not decision.passed:
        return "refused", "✕", "refused"
    return ("met", "✓", f"{decision.stage}") if view.published else ("unknown", "?", "passed, not published")


def _shown(view: VersionView, index: int) -> _Version:
    record = view.record
    tone, icon, state = _state(view)
    decision = record.decision
    folder = view.path or f"./{record.version}"
    return _Version(
        key=f"version-{index + 1}",
        record=record,
        published=view.published,
        reused=view.reused,
        path=view.path,
        tone=tone,
        icon=icon,
        state=state,
        row=_version_row(record),
        decision=decision,
        explanation=_explanation(decision, published=view.published),
        answers=[_answer(answer) for answer in decision.answers] if decision else [],
        recipe=[(recipe_text(step), step_parameters(step)) for step in record.recipe],
        audits=[_audit(audit) for audit in record.audits],
        run=run_commands(record, folder=folder) if view.published else (),
        verify=verify_commands(record, folder=folder) if view.published else (),
    )


def _explanation(decision: VerdictView | None, *, published: bool) -> str:
    if decision is None:
        return "No gate has looked at this version yet."
    total = len(decision.answers)
    unmet = sum(answer.outcome != "met" for answer in decision.answers)
    if not total:
        return "The stage has no rules, and a stage without rules lets nothing pass."
    if decision.passed:
        rules = "Its one rule is" if total == 1 else f"All {total} rules are"
        return f"{rules} met for the stage {decision.stage}{'.' if published else ', but it was not published.'}"
    verb = "is" if unmet == 1 else "are"
    return f"{unmet} of {total} rules {verb} not met for the stage {decision.stage}, so it stays in."


def _audit(audit: Any) -> tuple[str, str, str, Sequence[str]]:
    found = len(audit.findings)
    tone, words = ("met", "nothing found") if not found else ("refused", f"{found} finding{'s' if found > 1 else ''}")
    return tone, f"{audit.probe} {audit.probe_version}", words, coverage_text(audit.coverage)


def _answer(answer: AnswerView) -> _Answer:
    from markupsafe import Markup

    tone, icon = _TONES[answer.outcome]
    if answer.value is None or answer.limit is None:
        shown = value_text(answer.value, answer.unit) if answer.value is not None else ""
        return _Answer(view=answer, icon=icon, tone=tone, shown=shown, limit="", strip=Markup())
    shown = value_text(answer.value, answer.unit, answer.interval)
    upper = is_upper(answer.rule)
    limit = f"{'at most' if upper else 'at least'} {limit_text(answer.limit, answer.unit)}"
    # A ratio is perfect at 1; what else has an upper limit (divergence, size, time) counts up from 0.
    origin = (1.0 if "times the source" in answer.rule else 0.0) if upper and answer.limit > 0 else None
    drawn = strip(
        value=answer.value,
        low=answer.interval.low if answer.interval else None,
        high=answer.interval.high if answer.interval else None,
        limit=answer.limit,
        upper=upper,
        tone=tone,
        origin=origin,
        words=f"{shown}; limit {limit}; {answer.outcome}",
    )
    return _Answer(view=answer, icon=icon, tone=tone, shown=shown, limit=limit, strip=Markup(drawn))  # noqa: S704  # escaped by `strip`


def limit_text(limit: float, unit: str) -> str:
    """Return a limit as a person wrote it: `1.10`, `0.10 nats`, `200 MB`, not with made-up digits."""
    if unit in ("B", "byte", "bytes"):
        return _tick_size(limit)
    factor, tail = (100.0, " %") if unit == "fraction" else (1.0, "" if unit in ("", "1") else f" {unit_words(unit)}")
    shown = limit * factor
    places = 0 if shown == round(shown) else 2 if shown == round(shown, 2) else None
    return number_text(shown, places=places) + tail


def _when(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = " UTC" if moment.utcoffset() == timedelta(0) else f" {moment:%z}" if moment.tzinfo else ""
    return f"{moment.day} {moment:%B %Y, %H:%M}{zone}"


def is_upper(rule: str) -> bool:
    """Say whether the limit that a rule's text states first is an upper one.

    A difference below the source reads the other way round: "at least 0.01 below" allows what is smaller.
    """
    found = _FIRST_LIMIT.search(rule)
    if found is None:
        return True
    flipped = re.match(r"[^,]*\bbelow the source", found["rest"]) is not None
    return (found[1] in ("at most", "no higher")) != flipped


# Charts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    """One measure against size, drawn for a wide and for a narrow screen."""

    caption: str
    wide: "Markup"
    narrow: "Markup"


_LOGARITHMIC_FROM = 4.0
"""Sizes that span more than this factor are drawn by logarithm, or the small versions would lie on one heap."""


def _charts(family: Family) -> list[_Chart]:
    """Return a chart of each measure that at least one version has."""
    return [
        chart
        for measure, comparison, title, axis_title, level in (
            ("perplexity", Comparison.RATIO, "Perplexity ratio", "perplexity ÷ internal model’s", 1.0),
            ("kl_divergence", None, "KL divergence", "KL divergence, nats", None),
        )
        if (chart := _chart(family, measure, comparison, title, axis_title, level)) is not None
    ]


def _chart(
    family: Family, measure: str, comparison: Comparison | None, title: str, axis_title: str, level: float | None
) -> _Chart | None:
    pairs = [(view, find(view.record, measure, comparison)) for view in family.versions]
    measured = [(view, item) for view, item in pairs if item is not None]
    if not measured:
        return None
    names = _short_names([view.record.version for view, _ in measured])
    points = [_point(view, item, name) for (view, item), name in zip(measured, names, strict=True)]
    values = [point.y for point in points]
    # A ratio is compared with 1, which a straight axis shows honestly until one version is several times worse.
    logarithmic = min(values) > 0 and (level is None or max(values) > _LOGARITHMIC_FROM)
    source = _source_bytes(family)
    sizes = [float(view.record.manifest.size_bytes) for view in family.versions] + ([source] if source else [])
    x_logarithmic = min(sizes) > 0 and max(sizes) > _LOGARITHMIC_FROM * min(sizes)
    x_axis = Axis(
        title=f"size{' (logarithmic)' if x_logarithmic else ''}", tick_text=_tick_size, logarithmic=x_logarithmic
    )
    y_axis = Axis(
        title=f"{axis_title} (logarithmic)" if logarithmic else axis_title, tick_text=_tick, logarithmic=logarithmic
    )
    reference = None if level is None else Reference(name="internal model", y=level, x=source)

    def drawn(variant: str, width: int, height: int) -> "Markup":
        from markupsafe import Markup

        key = f"{measure.replace('_', '-')}-{variant}"
        drawing = scatter(
            points,
            key=key,
            title=f"{title} against size",
            x_axis=x_axis,
            y_axis=y_axis,
            reference=reference,
            x_also=sizes,
            width=width,
            height=height,
        )
        return Markup(drawing)  # noqa: S704  # `scatter` escapes every text

    absent = len(pairs) - len(measured)
    zero = "" if level is not None else " The internal model would be 0, below the axis." if logarithmic else ""
    missing = f" {absent} of {len(pairs)} versions: {NOT_MEASURED}." if absent else ""
    return _Chart(
        caption=f"{title} against size; lower is closer to the internal model.{zero}{missing}",
        wide=drawn("wide", 560, 380),
        narrow=drawn("narrow", 344, 340),
    )


def _tick(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".")


def _tick_size(size_bytes: float) -> str:
    """Return a size for a tick: no decimals that say nothing."""
    return re.sub(r"\.0+(?= )", "", size_text(size_bytes)) if size_bytes else "0"


def _point(view: VersionView, item: Measurement, name: str) -> Point:
    record = view.record
    shown = measurement_text(item)
    return Point(
        name=name,
        x=float(record.manifest.size_bytes),
        y=item.value,
        low=item.interval.low if item.interval else None,
        high=item.interval.high if item.interval else None,
        passed=_state(view)[0] != "refused",
        detail=f"{record.version}: {size_text(record.manifest.size_bytes)}, {shown}, {_state(view)[2]}",
    )


def _short_names(names: Sequence[str]) -> list[str]:
    """Return the names less the words that all begin with, as long as something is left of each."""
    split = [name.split("-") for name in names]
    shared = 0
    while len(split) > 1 and all(len(words) > shared + 1 and words[shared] == split[0][shared] for words in split):
        shared += 1
    return ["-".join(words[shared:]) for words in split]


# Method


def _methods(family: Family) -> list[str]:
    """Return a sentence for each way in which something was measured, each once."""
    sentences: dict[str, None] = {}
    for view in family.versions:
        for item in view.record.measurements:
            parts = [f"{item.probe} (version {item.probe_version})"]
            if items := items_text(item):
                parts.append(items)
            if item.interval:
                parts.append(f"{percent_text(item.interval.confidence)} intervals by {item.interval.method}")
            if item.seed is not None:
                parts.append(f"seed {item.seed}")
            if item.data:
                parts.append(f"data {item.data[:12]}…")
            sentences.setdefault(", ".join(parts) + ".")
    return list(sentences)
