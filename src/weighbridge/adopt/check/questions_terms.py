"""What may be done with it: agreement of licences, our use, derivatives, notices (questions 5, 7, 8 and 9)."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from weighbridge.adopt.check.answer import Exhibit, Outcome, Point, failed, not_asked, note, passed, unknown
from weighbridge.adopt.check.licence_index import is_index
from weighbridge.adopt.check.questions_origin import licence_texts, vouched
from weighbridge.adopt.check.subject import LicenceFile, Subject
from weighbridge.adopt.check.use import OurUse
from weighbridge.dossier.recorded import recorded_terms
from weighbridge.dossier.release import RELEASE_NAME
from weighbridge.errors import InputError
from weighbridge.terms.agreement import Stated, disagreements
from weighbridge.terms.conflict import begins_with
from weighbridge.terms.expression import parse
from weighbridge.terms.fact import DutyKind
from weighbridge.terms.papers import papers
from weighbridge.terms.permit import Ruling, badges_for, duties_for, permit
from weighbridge.terms.terms import Ground

_OUTCOMES = {"pass": Outcome.PASS, "fail": Outcome.FAIL, "unknown": Outcome.UNKNOWN}
_ABOUT_US = ("use", "commercial")
_PLANS = ("modify", "train-on-outputs", "host", "redistribute")
_WORDS = {
    "use": "Using it",
    "commercial": "Commercial use",
    "modify": "Fine-tuning it",
    "train-on-outputs": "Training other models on its outputs",
    "host": "Hosting it",
    "redistribute": "Handing it out",
}
_KEYS = {"modify": "fine_tune", "train-on-outputs": "distil", "host": "host", "redistribute": "redistribute"}
_NOT_KNOWN = "none of the licences known here, word for word"
_SHOWN = 12


def licences_agree(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 5: do card, header, LICENSE and BOM agree, with each other and with what is inherited?"""
    for item in subject.statements:
        yield note(f"{item.place} states {item.license[:200]}.", Exhibit(place=item.place, text=item.license[:200]))
    found = disagreements(_compared(subject), known=subject.registry)
    for clash in found[:_SHOWN]:
        places = (Exhibit(place=clash.first), Exhibit(place=clash.second))
        point = failed if clash.sure else unknown
        yield point(f"{clash.message}.", *places, remedy="Ask the publisher which of them holds, in writing.")
    if not subject.statements:
        yield unknown("Nothing states a licence.", remedy="Without a licence nothing is allowed. Ask the publisher.")
    elif not found:
        names = ", ".join(item.place for item in subject.statements[:_SHOWN])
        one = len(subject.statements) == 1
        yield passed(f"Only {names} states a licence." if one else f"They agree: {names}.")
    yield from _unread(subject)
    for conflict in subject.terms.conflicts if subject.terms else ():
        texts = tuple(_exhibit(ground) for ground in (conflict.first, conflict.second))
        remedy = "The publisher cannot grant more than they hold: the stricter terms bind you. Tell the publisher."
        yield failed(f"{conflict.message}.", *texts, remedy=remedy)


def _compared(subject: Subject) -> tuple[Stated, ...]:
    """Return the statements that have to agree.

    What a signed record's own terms consist of may be stated alone where they are recomputed to the same: a publisher
    declares one licence, and inherits the others.
    """
    record, terms = subject.record, subject.terms
    stated = subject.statements
    if not subject.signed or record is None or terms is None or not stated:
        return stated
    recorded = recorded_terms(record)
    if recorded is None or recorded.expression != terms.expression or " OR " in terms.expression:
        return stated
    names = {*terms.expression.split(" AND ")}
    known = [(item, subject.registry.get(item.license)) for item in stated]
    others = (item for item, licence in known if licence is None or licence.expression not in names)
    return (Stated(place=RELEASE_NAME, license=terms.expression), *others)


def _unread(subject: Subject) -> Iterator[Point]:
    if subject.card_problem:
        yield unknown(f"The card's metadata cannot be read: {subject.card_problem}.", remedy="Tell the publisher.")
    for file in subject.boms:
        if file.problem:
            yield unknown(f"The bill of materials cannot be read: {file.problem}.", Exhibit(place=file.path))
    for item in _not_recognised(subject):
        reason = f"{item.path} was not read: {item.problem}." if item.problem else f"{item.path} is {_NOT_KNOWN}."
        yield unknown(reason, _file(subject, item), remedy=_read_it(item))
    yield from _of_other_licences(subject)


def _of_other_licences(subject: Subject) -> Iterator[Point]:
    """Yield the texts in folders that are of a licence which nothing states: what is under it is not known."""
    accounted = _accounted(subject)
    for item in licence_texts(subject):
        ids = {item.recognition.licence_id, *item.recognition.candidates} - {None}
        if "/" in item.path and ids and ids.isdisjoint(accounted):
            name = item.recognition.licence_id
            reason = f"{item.path} is the text of {name}, and nothing says what of the model is under it."
            yield unknown(reason, _file(subject, item), remedy=f"Ask the publisher what of it is under {name}.")


def _accounted(subject: Subject) -> set[str]:
    """Return the licences in force, and those that the record states of code and data beside the weights."""
    found = set(subject.terms.licences) if subject.terms else set()
    stated = [item.expression for item in subject.terms.separate] if subject.terms else []
    if subject.record is not None:
        stated += [item.license for item in subject.record.disclosure.data]
        stated += [item.license for item in subject.record.disclosure.components]
    for text in stated:
        try:
            found |= {leaf.id for leaf in parse(text, subject.registry).leaves}
        except InputError:
            continue  # What cannot be read accounts for nothing.
    return found


def _not_recognised(subject: Subject) -> tuple[LicenceFile, ...]:
    """Return the files that may state terms which are not known here."""
    texts = (item for item in licence_texts(subject) if item.recognition.licence_id is None)
    return tuple(item for item in texts if not is_index(subject, item))


def _not_settled(subject: Subject) -> Iterator[Point]:
    """Yield what keeps an answer by the terms from being yes: texts beside them that may say something else.

    So does a record that nobody vouches for: without it, nothing would be known of what the ancestors allow.
    """
    inherited = subject.chain is not None and len(subject.chain.works) > 1
    if subject.record is not None and inherited and not subject.signed:
        reason = f"Which licences its ancestors are under is what its {RELEASE_NAME} states."
        yield vouched(subject, reason, Exhibit(place=RELEASE_NAME))
    for item in _not_recognised(subject):
        why = f"it was not read, {item.problem}" if item.problem else f"it is {_NOT_KNOWN}"
        reason = f"What {item.path} says of it is not known: {why}."
        yield unknown(reason, _file(subject, item), remedy=_read_it(item))
    yield from _of_other_licences(subject)


def _file(subject: Subject, item: LicenceFile) -> Exhibit:
    entry = subject.manifest.get(item.path)
    return Exhibit(place=item.path, text=f"SHA-256 {entry.sha256}" if entry else "")


def _read_it(item: LicenceFile) -> str:
    detect = "" if item.problem else f", or see what was changed: weighbridge licence detect {item.path}"
    return f"Read it{detect}"


def may_we_use(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 7: may we use it: commercially, at our size, in our country and field?"""
    if subject.terms is None:
        yield _no_terms(subject)
        return
    ancestors = len(subject.chain.works) - 1 if subject.chain else 0
    count = f"{ancestors} stated ancestor{'s' * (ancestors != 1)}" if ancestors else "no stated ancestor"
    yield note(f"The terms are recomputed, with {count}: {subject.terms.expression or 'no licence'}.")
    for ruling in permit(subject.terms, use.use):
        if ruling.question in _ABOUT_US:
            yield from _ruling(ruling, use)
    yield from _unknown_facts(subject)
    yield from _not_settled(subject)


def _ruling(ruling: Ruling, use: OurUse) -> Iterator[Point]:
    words = _WORDS[ruling.question]
    if not ruling.asked:
        yield note(f"Not planned: {words.lower()} would be answered {ruling.outcome}.")
        return
    exhibits = tuple(_exhibit(ground) for ground in ruling.grounds[:_SHOWN])
    for reason in ruling.reasons or (f"{words} is allowed.",):
        remedy = "" if ruling.outcome == "pass" else _remedy(reason, use)
        yield Point(outcome=_OUTCOMES[ruling.outcome], reason=reason, remedy=remedy, exhibits=exhibits)
        exhibits = ()


def _remedy(reason: str, use: OurUse) -> str:
    if "tate " in reason:
        return f"Fill it in in {use.place}."
    return "Ask the licensor for a licence of your own, change what you plan, or take another model."


def _unknown_facts(subject: Subject) -> Iterator[Point]:
    terms = subject.terms
    assert terms is not None
    for remark in terms.unknowns:
        # What is not pinned is question 6, what does not come along question 9; permissions name the rest themselves.
        if remark.rule == "unknown-licence":
            remedy = f"Find out the licence of {remark.work}."
            yield unknown(_sentence(remark.message), Exhibit(place=remark.work), remedy=remedy)
    for remark in terms.warnings:
        yield note(_sentence(remark.message), Exhibit(place=remark.work))


def may_we_build(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 8: may we fine-tune, distil, host and redistribute it, and under which name?"""
    if subject.terms is None:
        yield _no_terms(subject)
        return
    rulings = {ruling.question: ruling for ruling in permit(subject.terms, use.use)}
    planned = [rulings[name] for name in _PLANS if rulings[name].asked]
    if not planned:
        yield not_asked("You plan none of it: no fine-tuning, distilling, hosting or redistribution.")
    for name in _PLANS:
        ruling = rulings[name]
        yield from _ruling(ruling, use)
        if ruling.asked and _stated(use, name) is None:
            key = _KEYS[name]
            text = f"Whether you plan this is not stated: `{key}` in the use file."
            yield unknown(text, remedy=f"State `{key}` in {use.place}.")
    yield from _name(subject, use)
    if planned:
        yield from _not_settled(subject)


def _stated(use: OurUse, name: str) -> bool | None:
    plans: Mapping[str, bool | None] = {
        "modify": use.use.fine_tunes,
        "train-on-outputs": use.use.distils,
        "host": use.use.hosts,
        "redistribute": use.use.redistributes,
    }
    return plans[name]


def _name(subject: Subject, use: OurUse) -> Iterator[Point]:
    assert subject.terms is not None
    prefix = subject.terms.name_prefix
    derives = use.use.fine_tunes is not False or use.use.distils is not False
    # Licences that ask for a name ask for it where the model is distributed or made available, as by a service.
    if not prefix or not derives or (use.use.redistributes is False and use.use.hosts is False):
        return
    if not use.name_as:
        remedy = f"State the name as `name_as` in {use.place}."
        yield unknown(f"The name of a derivative has to begin with {prefix!r}, and yours is not stated.", remedy=remedy)
    elif not begins_with(use.name_as.rpartition("/")[2], prefix):
        remedy = f"Call it for example {prefix.replace(' ', '-')}-{use.name_as.rpartition('/')[2]}."
        yield failed(f"{use.name_as} does not begin with {prefix!r}, which the licence asks for.", remedy=remedy)
    else:
        yield passed(f"{use.name_as} begins with {prefix!r}, as the licence asks.")


def what_must_ship(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 9: which notices and badges must ship? `notices` writes them."""
    if subject.terms is None:
        yield _no_terms(subject)
        return
    for missing in (remark for remark in subject.terms.unknowns if remark.rule == "missing-text"):
        remedy = f"Get the licence text of {missing.work} from its publisher."
        reason = _sentence(missing.message)
        yield unknown(reason, Exhibit(place=missing.work), remedy=remedy)
    for open_ in (remark for remark in subject.terms.unknowns if remark.rule == "unknown-licence"):
        reason = f"What {open_.work} asks to ship is not known: {open_.message}."
        yield unknown(reason, Exhibit(place=open_.work), remedy=f"Find out the licence of {open_.work}.")
    yield from _not_settled(subject)
    if not licence_texts(subject):
        reason = "No licence text came along: whose copyright and which notices have to be kept is not known."
        yield unknown(reason, remedy="Ask the publisher for the LICENSE and NOTICE of the model.")
    try:
        files = notices(subject, use)
    except InputError as error:
        yield unknown(f"The notices cannot be written: {error.message}.", Exhibit(place=error.place), remedy=error.hint)
        return
    names = ", ".join(files)
    yield passed(f"These go along with it: {names}.", *(Exhibit(place=path) for path in files))
    for badge in badges_for(subject.terms, use.use):
        yield note(f"Show prominently: {badge}")
    for item in duties_for(subject.terms, use.use):
        if item.duty.kind not in (DutyKind.BADGE,):
            place = f"{item.licence}, section {item.duty.clause.section}" if item.duty.clause.section else item.licence
            yield note(f"{item.duty.text}", Exhibit(place=place, text=item.duty.clause.quote))


def notices(subject: Subject, use: OurUse) -> Mapping[str, bytes]:
    """Return the files to ship with the model, or with what is built on it, by path; empty if its terms are not known.

    Raises:
        InputError: if no text of a licence is there to be shipped.
    """
    if subject.terms is None or subject.chain is None:
        return {}
    own = next((item for item in licence_texts(subject) if "/" not in item.path), None)
    text = own.text if own and len(subject.terms.licences) == 1 else None
    return papers(
        subject.terms,
        subject.chain,
        subject.registry,
        model=use.name_as or subject.chain.root,
        title=subject.record.texts.title if subject.record else "",
        license_text="" if own and is_index(subject, own) else text or None,
    )


def _no_terms(subject: Subject) -> Point:
    return unknown(f"Its terms are not known: {subject.chain_problem}.", remedy="Ask the publisher.")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def _exhibit(ground: Ground) -> Exhibit:
    section = f", section {ground.section}" if ground.section else ""
    return Exhibit(place=f"{ground.licence}{section} ({ground.work})", text=ground.quote)
