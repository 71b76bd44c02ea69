"""Does it do what its evaluations say: the rules that we require, and measuring again (question 15)."""

from collections.abc import Iterator
from datetime import datetime

from weighbridge.adopt.check.answer import Exhibit, Point, failed, note, unknown
from weighbridge.adopt.check.questions_origin import vouched
from weighbridge.adopt.check.subject import Subject
from weighbridge.adopt.check.use import OurUse
from weighbridge.dossier.evidence import Evidence
from weighbridge.dossier.release import RELEASE_NAME, ReleaseRecord
from weighbridge.evidence.record import Comparison, Measurement
from weighbridge.gate.decide import decide
from weighbridge.gate.policy import Policy
from weighbridge.gate.stage import Stage
from weighbridge.gate.verdict import Outcome as RuleOutcome

_MOST_DIFFERENCE = 0.005
"""Two engines, or two builds of one, differ in the third decimal of a perplexity on the same text and weights."""


def evaluations_hold(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 15: do the evaluations meet what we require, and reproduce on our sample?"""
    yield from _required_evidence(subject, use, now)
    yield from _reproduced(subject, use)


def _required_evidence(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Decide our own rules on the record's measurements: the publisher's verdict is not read."""
    rules = use.required.evidence
    if not rules:
        return
    if subject.record is None:
        remedy = "Measure it yourself, or ask the publisher for a record."
        yield unknown(f"You require evidence ({len(rules)} rules), and there is no record of any.", remedy=remedy)
        return
    evidence = _evidence(subject.record)
    if isinstance(evidence, str):
        yield failed(f"Its evidence contradicts itself: {evidence}.", Exhibit(place=RELEASE_NAME))
        return
    for item in decide(evidence, Policy(stage=Stage.TRUSTED, rules=rules), now=now).answers:
        exhibit = Exhibit(place=f"{RELEASE_NAME}: {item.rule}", text=_figure(item.value, item.unit))
        if item.outcome is RuleOutcome.MET:
            yield vouched(subject, f"{item.rule}: {item.reason}", exhibit)
        elif item.outcome is RuleOutcome.NOT_MET:
            yield failed(
                f"{item.rule}: {item.reason}", exhibit, remedy="Take a version that meets it, or ask for less."
            )
        else:
            yield unknown(f"{item.rule}: {item.reason}", exhibit, remedy="Measure it yourself, or ask the publisher.")


def _evidence(record: ReleaseRecord) -> Evidence | str:
    try:
        return Evidence(
            name=record.reference,
            subject=record.subject,
            source=record.source_digest,
            measurements=record.measurements,
            audits=record.audits,
        )
    except ValueError as error:
        return str(error)


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.6g}{'' if unit in ('', '1') else f' {unit}'}"


def _reproduced(subject: Subject, use: OurUse) -> Iterator[Point]:
    sample = subject.sample
    if sample is None:
        reason = "You name no sample of your own, so nothing was measured again."
        yield unknown(reason, remedy=f"State `sample` in {use.place}: JSON lines with `id` and `text`.")
        return
    exhibit = Exhibit(place=sample.place, text=sample.digest)
    if sample.problem:
        yield unknown(f"Nothing was measured on your sample: {sample.problem}.", exhibit, remedy=sample.command)
        return
    ours = next((m for m in sample.measurements if _plain_perplexity(m)), None)
    if ours is None:
        yield unknown("Measuring on your sample gave no perplexity.", exhibit)
        return
    stated = next((m for m in _stated(subject) if _plain_perplexity(m) and m.data == sample.digest), None)
    text = f"perplexity {ours.value:.6g} on your sample"
    if stated is None:
        yield unknown(
            f"We measured {text}; its record states no figure for this text, so there is nothing to compare with.",
            exhibit,
            remedy="Judge the figure yourself, and waive this if it serves you.",
        )
        return
    difference = abs(ours.value / stated.value - 1)
    if difference <= _MOST_DIFFERENCE:
        yield vouched(subject, f"We measured {text}, the record states {stated.value:.6g}: it reproduces.", exhibit)
    else:
        reason = f"We measured {text}, the record states {stated.value:.6g}: {difference:.2%} apart."
        yield failed(reason, exhibit, remedy="Do not rely on its figures, and tell the publisher.")
    if stated.interval is not None:
        low, high = stated.interval.low, stated.interval.high
        yield note(f"The record's interval for texts like these is {low:.4g} to {high:.4g}.")


def _stated(subject: Subject) -> tuple[Measurement, ...]:
    return subject.record.measurements if subject.record else ()


def _plain_perplexity(item: Measurement) -> bool:
    return item.measure == "perplexity" and item.comparison is Comparison.ABSOLUTE and item.value > 0
