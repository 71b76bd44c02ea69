"""Our own rules about evidence, held against what is recorded and what we audited ourselves (question 15)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from weighbridge.adopt.check.answer import Exhibit, Point, failed, note, passed, unknown
from weighbridge.adopt.check.questions_files import own_audit
from weighbridge.adopt.check.questions_origin import vouched
from weighbridge.adopt.check.subject import Subject
from weighbridge.dossier.evidence import Evidence
from weighbridge.dossier.release import RELEASE_NAME
from weighbridge.evidence.record import Audit
from weighbridge.gate.decide import answers_to
from weighbridge.gate.rule import FILE_SECURITY, AuditRule, ProbeRule, Rule
from weighbridge.gate.stage import Stage
from weighbridge.gate.verdict import Answer
from weighbridge.gate.verdict import Outcome as RuleOutcome

_CIRCUMSTANCES = ("approvals", "history", "parents", "published")


def evidence_meets(rules: Sequence[Rule], subject: Subject, now: datetime) -> Iterator[Point]:
    """Decide our own rules on what is recorded and on our own audit: the publisher's verdict is not believed."""
    if subject.record is None:
        yield note(f"There is no record of evidence: your {len(rules)} rules are held against our own audit alone.")
    ours = own_audit(subject, _digest(subject), now=now)
    evidence = _evidence(subject, ours)
    if isinstance(evidence, str):
        yield failed(f"Its evidence contradicts itself: {evidence}.", Exhibit(place=RELEASE_NAME))
        return
    for rule in rules:
        for item in answers_to(rule, evidence, _stage(subject), now=now):
            yield _met_or_not(item, subject, own=ours is not None and _asks_our_audit(rule))


def _met_or_not(item: Answer, subject: Subject, *, own: bool) -> Point:
    reason = f"{item.rule}: {item.reason}"
    place = "this check" if own else RELEASE_NAME
    exhibit = Exhibit(place=f"{place}: {item.rule}", text=_figure(item.value, item.unit))
    if item.outcome is RuleOutcome.MET:
        return passed(reason, exhibit) if own else vouched(subject, reason, exhibit)
    if item.outcome is RuleOutcome.NOT_MET:
        return failed(reason, exhibit, remedy="Take a version that meets it, or ask for less.")
    return unknown(reason, exhibit, remedy="Measure it yourself, or ask the publisher.")


def _asks_our_audit(rule: Rule) -> bool:
    """Say whether a rule is about nothing but what we audited ourselves, so that nobody has to vouch for it."""
    return isinstance(rule, AuditRule | ProbeRule) and rule.probe == FILE_SECURITY


def _stage(subject: Subject) -> Stage:
    """Return the stage that approvals were given for: the one that the record's verdict is about."""
    decision = subject.record.decision if subject.record else None
    return Stage(decision.stage) if decision is not None and decision.stage in tuple(Stage) else Stage.TRUSTED


def _digest(subject: Subject) -> str:
    """Return the digest that evidence is about: of what the record calls its files, or of all that lie there."""
    return subject.record.subject if subject.record else subject.manifest.digest


def _evidence(subject: Subject, ours: Audit | None) -> Evidence | str:
    """Return the record's evidence, with our own audit in the place of the publisher's; or what is wrong with it.

    The publisher's waivers waive the publisher's rules, and none of ours.
    """
    record, digest = subject.record, _digest(subject)
    stated = record.audits if record else ()
    audits = [item for item in stated if ours is None or item.probe != FILE_SECURITY]
    known = (record.verdict or {}).get("circumstances") if record else None
    try:
        return Evidence.from_json(
            {
                **({key: known[key] for key in _CIRCUMSTANCES if key in known} if isinstance(known, Mapping) else {}),
                "name": record.reference if record else subject.name,
                "subject": digest,
                "source": record.source_digest if record else "",
                "measurements": [item.to_json() for item in record.measurements] if record else [],
                "audits": [item.to_json() for item in (*audits, *((ours,) if ours else ()))],
            }
        )
    except ValueError as error:
        return str(error)


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.6g}{'' if unit in ('', '1') else f' {unit}'}"
