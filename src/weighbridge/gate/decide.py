"""Whether a version may enter a stage: one pure function over records and rules."""

import math
from collections.abc import Iterable
from datetime import datetime

from weighbridge.dossier.evidence import Evidence
from weighbridge.evidence.record import Audit, Finding, Measurement, Severity
from weighbridge.gate.policy import AuditRule, MeasureRule, NoFindingsRule, Policy, Rule
from weighbridge.gate.verdict import Answer, Outcome, Verdict
from weighbridge.gate.wording import (
    interval_text,
    measure_name,
    more_samples,
    number,
    percent,
    quantity,
    samples_name,
    unit_suffix,
    ways_out,
)

__all__ = ["Answer", "Outcome", "Verdict", "decide"]

_FINDINGS_IN_REASON = 3


def decide(evidence: Evidence, policy: Policy, *, now: datetime) -> Verdict:
    """Say whether the version that `evidence` is about may enter the stage that `policy` guards, and why.

    Every rule is answered, in order: met, not met, or not measured. Only an all-met verdict passes; a policy without
    rules passes nothing. `now` is noted as the time of the decision and must carry its time zone.
    """
    if now.tzinfo is None:
        raise ValueError("`now` must carry its time zone")
    return Verdict(
        stage=policy.stage,
        name=evidence.name,
        subject=evidence.subject,
        decided_at=now,
        answers=tuple(_answer(rule, evidence) for rule in policy.rules),
    )


def _answer(rule: Rule, evidence: Evidence) -> Answer:
    match rule:
        case MeasureRule():
            return _answer_measure(rule, evidence)
        case NoFindingsRule():
            return _answer_no_findings(rule, evidence)
        case AuditRule():
            return _answer_audit(rule, evidence)


def _not_measured(rule: Rule, reason: str, remedy: str) -> Answer:
    return Answer(
        rule=rule.text,
        outcome=Outcome.NOT_MEASURED,
        reason=reason,
        remedy=remedy,
        limit=rule.bound.limit if isinstance(rule, MeasureRule) else None,
    )


# Measures


def _answer_measure(rule: MeasureRule, evidence: Evidence) -> Answer:
    bound = rule.bound
    # A number such as a KL divergence is about two models without being a ratio or difference of theirs.
    baselines = (evidence.source,) if rule.versus else (None, evidence.source)
    found = [m for m in evidence.measurements if m.measure == rule.measure and m.comparison is bound.comparison]
    counting = [m for m in found if m.subject == evidence.subject and m.baseline in baselines]
    if not counting:
        return _not_measured(rule, *_why_absent(rule, evidence, found))
    answers = [_answer_one(rule, measurement) for measurement in counting]
    return next((answer for answer in answers if answer.outcome is not Outcome.MET), answers[0])


def _answer_one(rule: MeasureRule, measurement: Measurement) -> Answer:
    unfit = _why_unfit(rule, measurement)
    return _not_measured(rule, *unfit) if unfit else _weigh(rule, measurement)


def _why_absent(rule: MeasureRule, evidence: Evidence, found: list[Measurement]) -> tuple[str, str]:
    name = measure_name(rule.measure)
    versus = " against the source" if rule.versus else ""
    remedy = f"Add what measures {rule.measure} to `weigh` in the plan, and weigh again."
    if not found:
        return f"{_sentence(name)} was not measured{versus}.", remedy
    if all(m.subject != evidence.subject for m in found):
        return f"{_sentence(name)} was measured on other bytes than this version's.", "Weigh this version again."
    return f"{_sentence(name)} was compared with another model than the source.", "Weigh again against the source."


def _why_unfit(rule: MeasureRule, measurement: Measurement) -> tuple[str, str] | None:
    """Say why a measurement cannot answer the rule, with the remedy; None if it can."""
    name, interval = _sentence(measure_name(rule.measure)), measurement.interval
    what = samples_name(rule.measure)
    if rule.probe_versions and measurement.probe_version not in rule.probe_versions:
        made_by = f"{measurement.probe} in version {measurement.probe_version}"
        return (
            f"{name} was measured by {made_by}; the rule knows {', '.join(rule.probe_versions)}.",
            "Weigh again with a version that the rule knows, or add this one to the rule.",
        )
    ends = (interval.low, interval.high) if interval else ()
    if not all(math.isfinite(number_) for number_ in (measurement.value, *ends)):
        return (
            f"{name} came out as {measurement.value}, which is no number.",
            "Look into the version: its output is broken.",
        )
    if measurement.n is None and interval is None:
        return None
    if measurement.n is not None and measurement.n < (rule.minimum_n or 1):
        return (
            f"{name} rests on {measurement.n:,} {what}; the rule asks for at least {rule.minimum_n or 1:,}.",
            f"Weigh on more data: at least {rule.minimum_n or 1:,} {what}.",
        )
    if measurement.n is None and rule.minimum_n is not None:
        return f"{name} does not say how many {what} it rests on.", "Weigh again with a probe that states n."
    if interval is None:
        return f"{name} is sampled but has no interval.", "Weigh again with a probe that states an interval."
    if interval.confidence < rule.confidence:
        return (
            f"The interval of {measure_name(rule.measure)} was made at {percent(interval.confidence)}; "
            f"the rule asks for {percent(rule.confidence)}.",
            f"Weigh again at {percent(rule.confidence)}, or lower the rule's `confidence`.",
        )
    return None


def _weigh(rule: MeasureRule, measurement: Measurement) -> Answer:
    bound, value, interval = rule.bound, measurement.value, measurement.interval
    near = value
    if interval is not None:
        near = max(value, interval.high) if bound.upper else min(value, interval.low)
    met = near <= bound.limit if bound.upper else near >= bound.limit
    inside = value <= bound.limit if bound.upper else value >= bound.limit
    outcome = Outcome.MET if met else Outcome.NOT_MET
    remedy = ""
    if not met and inside and measurement.n is not None:
        remedy = more_samples(rule.measure, measurement.n, value, near, bound.limit)
    elif not met:
        remedy = ways_out(rule.measure, bound.upper, near)
    return Answer(
        rule=rule.text,
        outcome=outcome,
        reason=_measure_reason(rule, measurement, met=met, inside=inside),
        remedy=remedy,
        value=value,
        unit=measurement.unit,
        interval=interval,
        limit=bound.limit,
    )


def _measure_reason(rule: MeasureRule, measurement: Measurement, *, met: bool, inside: bool) -> str:
    bound = rule.bound
    unit = unit_suffix(rule.measure) or ("" if measurement.unit == "1" else f" {measurement.unit}")
    value = quantity(measurement.value, bound.comparison, unit, apart_from=bound.limit)
    spread = f" ({interval_text(measurement.interval)})" if measurement.interval else ""
    limit = number(bound.limit)
    if met:
        judgement = f"{'within' if bound.upper else 'at or above'} the limit of {limit}"
    elif inside:
        judgement = f"but the interval crosses the limit of {limit}"
    else:
        judgement = f"{'above' if bound.upper else 'below'} the limit of {limit}"
    return f"{_sentence(measure_name(rule.measure))} is {value}{spread}, {judgement}."


# Audits


def _answer_no_findings(rule: NoFindingsRule, evidence: Evidence) -> Answer:
    audits = {audit.probe: audit for audit in evidence.audits if audit.subject == evidence.subject}
    against = _findings(audits.values(), rule.severity)
    if against:
        return _found(rule, against)
    for probe in rule.audits:
        unfit = _why_no_audit(probe, audits.get(probe), ())
        if unfit:
            return _not_measured(rule, *unfit)
    looked = ", ".join(sorted(audits))
    return Answer(
        rule=rule.text,
        outcome=Outcome.MET,
        reason=f"The audits that ran ({looked}) found nothing of severity {rule.severity.label} or worse.",
    )


def _answer_audit(rule: AuditRule, evidence: Evidence) -> Answer:
    audit = next((a for a in evidence.audits if a.probe == rule.probe and a.subject == evidence.subject), None)
    unfit = _why_no_audit(rule.probe, audit, rule.probe_versions)
    if unfit or audit is None:
        return _not_measured(rule, *(unfit or ("", "")))
    against = _findings([audit], rule.no_findings) if rule.no_findings is not None else ()
    if against:
        return _found(rule, against)
    clean = " and found nothing" if not audit.findings else ""
    return Answer(
        rule=rule.text, outcome=Outcome.MET, reason=f"The audit {rule.probe} ran to its end on these bytes{clean}."
    )


def _why_no_audit(probe: str, audit: Audit | None, versions: tuple[str, ...]) -> tuple[str, str] | None:
    if audit is None:
        return f"The audit {probe} did not run to its end on these bytes.", "Weigh this version again."
    if versions and audit.probe_version not in versions:
        return (
            f"The audit {probe} ran in version {audit.probe_version}; the rule knows {', '.join(versions)}.",
            "Audit again with a version that the rule knows, or add this one to the rule.",
        )
    if not audit.coverage:
        return f"The audit {probe} does not say what it looked at.", "Audit again: finding nothing needs coverage."
    return None


def _findings(audits: Iterable[Audit], severity: Severity) -> tuple[Finding, ...]:
    found = [finding for audit in audits for finding in audit.findings if finding.severity >= severity]
    return tuple(sorted(found, key=lambda f: (-f.severity, f.probe, f.place, f.rule, f.message)))


def _found(rule: NoFindingsRule | AuditRule, findings: tuple[Finding, ...]) -> Answer:
    shown = "; ".join(
        f"{f.place}: {f.message.rstrip('.')} ({f.severity.label})" for f in findings[:_FINDINGS_IN_REASON]
    )
    hidden = len(findings) - _FINDINGS_IN_REASON
    count = "There is one finding" if len(findings) == 1 else f"There are {len(findings)} findings"
    return Answer(
        rule=rule.text,
        outcome=Outcome.NOT_MET,
        reason=f"{count}: {shown}{f'; and {hidden} more' if hidden > 0 else ''}.",
        remedy=" ".join(dict.fromkeys(_REMEDIES.get(finding.probe, _LEFT_IN) for finding in findings)),
        findings=findings,
    )


_LEFT_IN = (
    "Withhold what was found with `hold_back` in the plan, or remove it from the internal model, and release again."
)
_REMEDIES = {
    "terms": "Supply what is missing with the parent (`license`, `license_file`, `notice_file`, `digest`), or correct "
    "what states another licence.",
}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
