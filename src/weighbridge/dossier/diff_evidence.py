"""What changed between two releases in what was measured, audited and decided."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set

from weighbridge.dossier.difference import Change, differ, listed
from weighbridge.dossier.figure import NOT_MEASURED, measure_words, measurement_text, percent_text
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.evidence.record import Comparison, Measurement

_Key = tuple[str, Comparison, str]

# Whether more of a measure is better (True) or worse (False); of one that is not here nobody knows.
_MORE_IS_BETTER: Mapping[str, bool] = {
    "perplexity": False,
    "KL divergence": False,
    "top-1 agreement": True,
    "peak memory": False,
    "reading speed (prefill)": True,
    "writing speed (decode)": True,
    "size": False,
}
_OUTCOMES = ("not measured", "not met", "met")
_COMPARED = {
    Comparison.ABSOLUTE: "",
    Comparison.RATIO: " as a ratio to the internal model",
    Comparison.DIFFERENCE: " as a difference from the internal model",
}


def evidence_changes(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    """Yield what changed in measurements, audits and the verdict."""
    counts = (Counter((item.measure, item.comparison) for item in record.measurements) for record in (a, b))
    several = {key for count in counts for key, times in count.items() if times > 1}
    before, after = _by_measure(a, several), _by_measure(b, several)
    for key in dict.fromkeys((*before, *after)):
        yield from _measurement(key, before.get(key), after.get(key))
    yield from _audits(a, b)
    yield from _verdict(a, b)


def _by_measure(record: ReleaseRecord, several: Set[tuple[str, Comparison]]) -> dict[_Key, Measurement]:
    """Return the measurements by measure and comparison; of one that either release has `several` of, by data too."""
    return {
        (m.measure, m.comparison, f"{m.data} {m.baseline}" if (m.measure, m.comparison) in several else ""): m
        for m in record.measurements
    }


def _measurement(key: _Key, before: Measurement | None, after: Measurement | None) -> Iterator[Change]:
    words = measure_words(key[0])
    name = f"{words[0].upper()}{words[1:]}{_COMPARED[key[1]]}"
    if before is None or after is None:
        # Whoever loses a number knows less: that is worse, whatever the number was.
        text = f"{name} is measured now." if before is None else f"{name} is no longer measured."
        states = [NOT_MEASURED if item is None else measurement_text(item) for item in (before, after)]
        yield Change(area="evidence", text=text, before=states[0], after=states[1], worse=after is None)
        return
    shown = (_shown(before), _shown(after))
    if before.value == after.value and shown[0] == shown[1]:
        return
    if why := _incomparable(before, after):
        text, worse = f"{name} cannot be compared: {why}.", None
    else:
        text, worse = _compared(name, words, before, after)
    yield Change(area="evidence", text=text, before=shown[0], after=shown[1], worse=worse)


def _shown(item: Measurement) -> str:
    confidence = f" at {percent_text(item.interval.confidence)}" if item.interval else ""
    return f"{measurement_text(item)}{confidence}"


def _incomparable(before: Measurement, after: Measurement) -> str:
    """Return why two numbers do not measure the same thing; empty if they do."""
    if before.unit != after.unit:
        return f"the units differ ({before.unit} and {after.unit})"
    if before.data != after.data:
        return "they were measured on different data"
    if (before.probe, before.probe_version) != (after.probe, after.probe_version):
        probes = (f"{item.probe} {item.probe_version}" for item in (before, after))
        return f"they were measured by different probes ({' and '.join(probes)})"
    if before.baseline != after.baseline:
        return "they are relative to different internal models"
    return ""


def _compared(name: str, words: str, before: Measurement, after: Measurement) -> tuple[str, bool | None]:
    sampled = before.n is not None or after.n is not None
    if before.interval and after.interval:
        if before.interval.low <= after.interval.high and after.interval.low <= before.interval.high:
            return f"{name}: no difference that the intervals show.", None
        proof = ", beyond their intervals"
    elif sampled:
        return f"{name} differs, but without intervals for both nobody can say how much of that is chance.", None
    else:
        proof = ""
    if before.value == after.value:
        return f"{name} is the same; its interval differs.", None
    rose = after.value > before.value
    better_up = _MORE_IS_BETTER.get(words)
    worse = None if better_up is None else rose is not better_up
    judged = "" if worse is None else ", which is worse" if worse else ", which is better"
    return f"{name} {'rose' if rose else 'fell'}{proof}{judged}.", worse


def _audits(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    before = {audit.probe: audit for audit in a.audits}
    after = {audit.probe: audit for audit in b.audits}
    yield from listed("evidence", "The audit", before, after, added_is_worse=False)
    for probe in (probe for probe in before if probe in after):
        old = [f"{f.severity.label}: {f.message} ({f.place})" for f in before[probe].findings]
        new = [f"{f.severity.label}: {f.message} ({f.place})" for f in after[probe].findings]
        yield from listed("evidence", f"The finding of the audit {probe}", old, new, added_is_worse=True)


def _verdict(a: ReleaseRecord, b: ReleaseRecord) -> Iterator[Change]:
    old, new = a.decision, b.decision
    if old is None or new is None:
        states = ["no verdict" if v is None else _passed(v.passed, v.stage) for v in (old, new)]
        yield from differ("evidence", "The verdict of the gate", *states, worse=None)
        return
    states = [_passed(verdict.passed, verdict.stage) for verdict in (old, new)]
    worse = old.passed and not new.passed if old.stage == new.stage else None
    yield from differ("evidence", "The verdict of the gate", *states, worse=worse)
    before = {answer.rule: answer.outcome for answer in old.answers}
    after = {answer.rule: answer.outcome for answer in new.answers}
    # A rule less is an easier gate.
    yield from listed("evidence", "The rule of the gate", before, after, added_is_worse=False)
    for rule in (rule for rule in before if rule in after):
        judged = _OUTCOMES.index(after[rule]) < _OUTCOMES.index(before[rule])
        yield from differ("evidence", f"The answer to the rule {rule!r}", before[rule], after[rule], worse=judged)


def _passed(passed: bool, stage: str) -> str:
    return f"{'passed' if passed else 'refused'} for the stage {stage}"
