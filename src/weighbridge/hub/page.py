"""The page of a family: one self-contained HTML file that asks the network for nothing."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from typing import TYPE_CHECKING

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
from weighbridge.evidence.record import Audit, Comparison
from weighbridge.hub.chart import strip
from weighbridge.hub.family import Family, VersionView, source_bytes, state
from weighbridge.hub.family_chart import quality_charts, tick_size
from weighbridge.hub.family_terms import terms_rows

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["Family", "VersionView", "render_page"]

_FIRST_LIMIT = re.compile(r"\b(no higher|no lower|at most|at least)\b(?P<rest>[^;]*)")


def render_page(family: Family) -> str:
    """Return the HTML of `family`; the same family gives the same bytes.

    All text is escaped on output, and a content security policy lets nothing but the page's own script run.

    Raises:
        InputError: if the terms or the openness of a record have another shape.
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
    environment.filters |= {"size": _size, "count": _count, "number": number_text, "when": _when, "code": _code}
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
        charts=quality_charts(family),
        methods=_methods(family),
        terms=terms_rows(family),
    )


def _asset(name: str) -> str:
    return resources.files("weighbridge.hub").joinpath("templates", name).read_text(encoding="utf-8")


def _code(text: str) -> "Markup":
    """Return `text` escaped, what stands between backticks set as code."""
    from markupsafe import Markup, escape

    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def _size(value: object) -> str:
    return size_text(float(value)) if isinstance(value, int | float) else "not known"


def _count(value: object) -> str:
    return count_text(float(value)) if isinstance(value, int | float) else "not known"


# Hero


def _hero_facts(family: Family) -> list[tuple[str, str, str]]:
    """Return label, figure and note of the few numbers that sum the family up."""
    architecture = family.source.get("architecture") or {}
    published = [view for view in family.versions if view.published]
    refused = sum(state(view)[0] == "refused" for view in family.versions)
    note = f"{refused} refused by the gate" if refused else "none refused by the gate"
    held = family.held_back
    facts = [
        ("Internal model", _size(source_bytes(family)), f"{_count(architecture.get('parameters'))} parameters"),
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
    return "in 1 part" if len(held.parts) == 1 else f"in {len(held.parts)} parts"


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
    known = [_size(source_bytes(family)), _count(facts.get("parameters")), _size(facts.get("load_bytes"))]
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
    audits: Sequence[tuple[str, str, str, tuple[Sequence[str], Sequence[str]]]]
    run: Sequence[Command]
    verify: Sequence[Command]


_TONES = {"met": ("met", "✓"), "not met": ("refused", "✕"), "not measured": ("unknown", "?")}


def _shown(view: VersionView, index: int) -> _Version:
    record = view.record
    tone, icon, words = state(view)
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
        state=words,
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


def _audit(audit: Audit) -> tuple[str, str, str, tuple[Sequence[str], Sequence[str]]]:
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
        return tick_size(limit)
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
