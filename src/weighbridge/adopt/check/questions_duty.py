"""What laws ask, and what was tested: the EU's AI Act, California, worst-case tuning (questions 13, 14 and 16)."""

from collections.abc import Iterator
from datetime import datetime

from weighbridge.adopt.check.answer import Exhibit, Outcome, Point, failed, not_asked, note, passed, unknown
from weighbridge.adopt.check.questions_origin import believed
from weighbridge.adopt.check.subject import Subject
from weighbridge.adopt.check.use import OurUse
from weighbridge.dossier.disclosure import Disclosure
from weighbridge.dossier.duty import (
    FORM_NAME,
    FORMS,
    POLICY_NAME,
    SUMMARY_NAME,
    Assessment,
    Form,
    exemption_eu,
    provider_by_modification,
)
from weighbridge.dossier.duty.field import yes_or_no
from weighbridge.dossier.release import RELEASE_NAME, ReleaseRecord

WORST_CASE = "safety.worst_case_fine_tuning"
"""The statement in which a publisher says whether worst-case fine-tuning was tested, and by whom."""

_FORMS = {form.path: form for form in FORMS}
_CALIFORNIA = ("us/ab2013.json", "us/sb53.json")
_OUTCOMES = {"pass": Outcome.PASS, "fail": Outcome.FAIL, "unknown": Outcome.UNKNOWN}


def european_duties(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 13: does the EU's exemption hold, are summary and policy there, and do we become provider?"""
    if use.in_eu is False:
        yield not_asked("Neither you nor your users are in the European Union, by the use file.")
        return
    if use.in_eu is None:
        yield note("Whether you or your users are in the European Union is not stated: taken as yes.")
    yield from _exemption(subject)
    for name in (SUMMARY_NAME, POLICY_NAME):
        yield _form(subject, _FORMS[name])
    assessed = provider_by_modification(use.fine_tune_share, modifies=use.use.fine_tunes)
    remedy = "State `fine_tune` (and `fine_tune_compute_share`) in the use file."
    yield from _conditions(assessed, "Whether we become provider", remedy=remedy)


def _exemption(subject: Subject) -> Iterator[Point]:
    record = believed(subject)
    form = _FORMS[FORM_NAME]
    if record is not None and (scope := form.scope(record)).answer == "no":
        yield passed(f"The duties of a general-purpose model do not apply. {scope.reason}")
        return
    assessed = _assess(subject, record)
    if assessed.outcome != "fail":
        yield from _conditions(assessed, "The open-source exemption (Article 53(2))", remedy="Ask the publisher.")
        return
    # Without the exemption the publisher owes whoever builds on it the documentation; that is what counts then.
    for reason in assessed.reasons:
        yield note(f"The open-source exemption (Article 53(2)) does not hold: {reason}")
    yield _form(subject, form)


def _assess(subject: Subject, record: ReleaseRecord | None) -> Assessment:
    """Assess by the terms that were recomputed here, and not by those that the record states."""
    statements = record.disclosure.statements if record else Disclosure().statements
    verdict = record.decision if record else None
    return exemption_eu(
        subject.terms,
        statements,
        weights_public=True if verdict is not None and verdict.passed and verdict.stage == "open" else None,
        architecture_public=True if subject.family != "unknown" else None,
        usage_public=True if record is not None and record.texts.intended_use.strip() else None,
    )


def _without_record(subject: Subject, reason: str) -> str:
    """Say so where there is a record that does not count."""
    return f"{reason} Nobody that you trust vouches for what its {RELEASE_NAME} says." if subject.record else reason


def _conditions(assessed: Assessment, what: str, *, remedy: str) -> Iterator[Point]:
    for condition in assessed.conditions:
        outcome = _OUTCOMES[condition.outcome]
        advice = "" if outcome is Outcome.PASS else remedy
        yield Point(outcome=outcome, reason=f"{what}: {condition.reason}", remedy=advice)


def _form(subject: Subject, form: Form) -> Point:
    """Say whether a form is there, and complete as far as the record tells."""
    there = form.path in subject.paths
    exhibit = Exhibit(place=form.path, text=form.law)
    record = believed(subject)
    if record is None:
        words = "is there, and no record says whether it is complete" if there else "is not there"
        reason = _without_record(subject, f"{form.title} {words}.")
        return unknown(reason, exhibit, remedy=f"Ask the publisher for {form.path}.")
    scope = form.scope(record)
    if scope.answer == "no":
        return passed(f"{form.title} is not owed. {scope.reason}", exhibit)
    if not there:
        point = failed if scope.answer == "yes" else unknown
        reason = f"{form.title} is not there. {scope.reason}"
        return point(reason, exhibit, remedy=f"Ask the publisher for {form.path}.")
    open_ = form.open_fields(record)
    if not open_:
        return passed(f"{form.title} is there, and every field is filled.", exhibit)
    count = f"{len(open_)} of {len(form.answers(record))} fields open"
    fields = tuple(Exhibit(place=item.field, text=f"{item.title}: {item.why}") for item in open_)
    return unknown(f"{form.title} is there with {count}.", *fields, remedy="Ask the publisher to fill them.")


def californian_duties(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 14: are the items of California's AB 2013 and SB 53 there?"""
    if use.in_us is False:
        yield not_asked("Neither you nor your users are in the United States, by the use file.")
        return
    if use.in_us is None:
        yield note("Whether you or your users are in the United States is not stated: taken as yes.")
    for name in _CALIFORNIA:
        yield _form(subject, _FORMS[name])


def worst_case_tested(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 16: was fine-tuning by somebody with bad intent tested, and by whom?"""
    record = believed(subject)
    if record is None:
        reason = _without_record(subject, "Nothing says whether it was tested.")
        yield unknown(reason, remedy="Ask the publisher, or test it yourself.")
        return
    stated = record.disclosure.statements.get(WORST_CASE, "").strip()
    exhibit = Exhibit(place=f"{RELEASE_NAME}: {WORST_CASE}", text=stated[:500])
    answer = yes_or_no(stated)
    if answer is None:
        reason = "The publisher does not state whether fine-tuning with bad intent was tested, nor by whom."
        yield unknown(reason, remedy=f"Ask the publisher (the statement `{WORST_CASE}`), or test it yourself.")
    elif answer:
        yield passed(f"The publisher states: {stated[:500]}. Nobody here checked it.", exhibit)
    else:
        yield failed(
            f"The publisher states that it was not tested: {stated[:500]}", exhibit, remedy="Test it yourself."
        )
    outside = record.disclosure.statements.get("safety.third_parties", "").strip()
    if outside:
        yield note(f"Who evaluated it from outside, as the publisher states: {outside[:500]}")
