"""Does it do what its evaluations say: the rules that we require, and measuring again (question 15)."""

from collections.abc import Iterator
from datetime import datetime

from weighbridge.adopt.check.answer import Exhibit, Point, failed, note, unknown
from weighbridge.adopt.check.questions_origin import vouched
from weighbridge.adopt.check.subject import Subject
from weighbridge.adopt.check.use import OurUse
from weighbridge.evidence.record import Comparison, Measurement

_MOST_DIFFERENCE = 0.005
"""Two engines, or two builds of one, differ in the third decimal of a perplexity on the same text and weights."""


def evaluations_hold(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 15: do the evaluations meet what we require, and reproduce on our sample?"""
    if use.required.evidence:
        from weighbridge.adopt.check.required_evidence import evidence_meets

        yield from evidence_meets(use.required.evidence, subject, now)
    yield from _reproduced(subject, use)


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
