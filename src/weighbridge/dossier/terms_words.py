"""The terms of a model in plain sentences, for people: no markup, each with the licence and clause it rests on."""

from collections.abc import Iterable, Iterator, Sequence

from weighbridge.terms.fact import FIELDS, Activity, Answer, Duty, DutyKind, Effect, Metric
from weighbridge.terms.terms import AppliedTerritory, AppliedThreshold, Ground, Obligation, Terms

MAX_LISTED = 8
"""A card names at most so many of one kind, and how many more there are; the record holds them all."""

QUESTIONS = {
    Activity.USE: "use it",
    Activity.COMMERCIAL: "use it commercially",
    Activity.MODIFY: "change it: fine-tune, adapt, merge, quantise",
    Activity.REDISTRIBUTE: "hand it on, also changed",
    Activity.HOST: "host it for others",
    Activity.TRAIN_ON_OUTPUTS: "train other models on what it writes",
}
ANSWERS = {
    Answer.YES: "yes",
    Answer.CONDITIONAL: "within limits",
    Answer.NO: "no",
    Answer.UNKNOWN: "not known",
}
_DOING = {
    Activity.USE: "using it",
    Activity.COMMERCIAL: "using it commercially",
    Activity.MODIFY: "changing it",
    Activity.REDISTRIBUTE: "handing it on",
    Activity.HOST: "hosting it",
    Activity.TRAIN_ON_OUTPUTS: "training other models on what it writes",
}
_ACTORS = {
    "licensee": "the licensee",
    "licensee-and-affiliates": "the licensee and its affiliates",
    "product": "the product that uses it",
}
_REGIONS = {"EU": "the European Union", "GB": "the United Kingdom", "KR": "South Korea"}
_VERBATIM = {
    DutyKind.BADGE: "Show prominently, word for word",
    DutyKind.NOTICE_LINE: "Put into a NOTICE file, word for word",
    DutyKind.NAME_PREFIX: "Begin the name with",
}
_SAID_ELSEWHERE = ("prohibited-field-flow-down", "network-service")


def permission_rows(terms: Terms) -> list[tuple[str, str, str]]:
    """Return question, answer and why for each of the six activities."""
    rows = []
    for activity, question in QUESTIONS.items():
        granted = terms.permissions[activity]
        why = list(dict.fromkeys(_ground(item) for item in granted.grounds))
        rows.append((question, ANSWERS[granted.answer], "; ".join(shortened(why, 4))))
    return rows


def _ground(item: Ground) -> str:
    # Where no clause says it, the work is what a reader has to look at.
    cite = _cite(item.licence, item.section) if item.section else ", ".join(filter(None, (item.licence, item.work)))
    return f"{item.reason} ({cite})" if item.reason else cite


def threshold_sentences(terms: Terms) -> list[str]:
    """Return a sentence for each size above which other terms apply."""
    return [_threshold(terms, item) for item in terms.thresholds]


def _threshold(terms: Terms, item: AppliedThreshold) -> str:
    fact = item.fact
    commercial = ", in commercial use" if fact.commercial_only else ""
    exempt = f" Exempt: {fact.exempt}." if fact.exempt else ""
    counted = f" Counted: {fact.measured}." if fact.measured else ""
    cite = _cite(item.licence, fact.clause.section)
    return f"Above {amount_text(item)}{commercial}: {_effect(terms, item)} ({cite}).{counted}{exempt}"


def amount_text(item: AppliedThreshold) -> str:
    """Return the amount of a threshold and whose it is."""
    fact = item.fact
    amount = {
        Metric.MONTHLY_USERS: f"{fact.above:,} monthly users",
        Metric.ANNUAL_REVENUE_USD: f"US$ {fact.above:,} of revenue a year",
        Metric.MONTHLY_REVENUE_USD: f"US$ {fact.above:,} of revenue a month",
    }[fact.metric]
    return f"{amount} of {_ACTORS.get(fact.actor, fact.actor)}"


def _effect(terms: Terms, item: AppliedThreshold) -> str:
    fact = item.fact
    if fact.effect is Effect.DUTY:
        duties = (x.duty for x in terms.duties if x.licence == item.licence and x.duty.id == fact.duty)
        return next((_lower(_do(duty)) for duty in duties), f"the duty {fact.duty} is added")
    doing = [_DOING[activity] for activity in fact.activities]
    what = f"the grant ends for {_listed(doing)}" if doing else "all rights end"
    return f"{what} unless {item.steward or 'the licensor'} grants a licence of its own"


def territory_sentences(terms: Terms) -> list[str]:
    """Return a sentence for each place where rights are not granted."""
    return [_territory(item) for item in terms.territories]


def _territory(item: AppliedTerritory) -> str:
    fact = item.fact
    places = region_words(fact.regions)
    kinds = f", for models of {_listed(fact.modalities)}" if fact.modalities else ""
    where = (
        f"No rights for whoever lives, or has its principal place of business, in {places}{kinds}"
        if fact.applies_to == "seat"
        else f"No rights to use it, hand it out or offer it in {places}{kinds}"
    )
    unsure = "" if item.sure else " Whether that binds this model is not settled."
    exempt = f" Exempt: {fact.exempt}." if fact.exempt else ""
    return f"{where} ({_cite(item.licence, fact.clause.section)}).{exempt}{unsure}"


def region_words(regions: Iterable[str]) -> str:
    """Return what the regions of a limit are called."""
    return _listed([_REGIONS.get(region, region) for region in regions])


def field_sentences(terms: Terms) -> list[str]:
    """Return a sentence for each licence with the fields of use that it forbids."""
    groups: dict[tuple[str, bool], dict[str, None]] = {}
    for item in terms.fields:
        groups.setdefault((item.licence, item.fact.flow_down), {})[field_words(item.fact.id, item.fact.text)] = None
    sentences = [
        f"{licence} forbids{' (whoever receives it has to be bound to this, too)' if flows else ''}: "
        f"{'; '.join(words)}."
        for (licence, flows), words in groups.items()
    ]
    absent = [
        f"{item.licence} includes the policy at {item.url}, of which no copy is kept here: it may forbid more."
        for item in terms.absent_policies
    ]
    return sentences + absent


def field_words(field_id: str, text: str) -> str:
    """Return what a forbidden field of use is called."""
    return FIELDS.get(field_id, text)


def duty_sentences(terms: Terms) -> list[str]:
    """Return a sentence for each thing that has to be shown, shipped or done; what is to be shown comes first."""
    merged: dict[tuple[str, str], list[str]] = {}
    for item in sorted(terms.duties, key=_rank):
        merged.setdefault((_do(item.duty), _when(item.duty)), []).append(_cite(item.licence, item.duty.clause.section))
    return [f"{what}, {when} ({'; '.join(dict.fromkeys(cites))})." for (what, when), cites in merged.items()]


def _rank(item: Obligation) -> int:
    return [*_VERBATIM, item.duty.kind].index(item.duty.kind)


def _do(duty: Duty) -> str:
    words = _VERBATIM.get(duty.kind)
    return f"{words}: “{duty.text}”" if words else duty.text.rstrip(". ")


def _when(duty: Duty) -> str:
    above = ", only above its threshold" if duty.above_threshold else ""
    return f"when {_listed([_DOING[a] for a in Activity if a in duty.on], 'or')}{above}"


def remark_sentences(terms: Terms) -> list[str]:
    """Return what else to know: what counts as handing out, works beside the weights, outputs, warnings."""
    hosting = {
        Answer.YES: "Hosting it for others counts as handing it out.",
        Answer.CONDITIONAL: "Hosting it for others counts as handing it out for some of the duties.",
        Answer.UNKNOWN: "Whether hosting it for others counts as handing it out is not known.",
    }.get(terms.hosting_is_distribution)
    outputs = terms.output_terms.follows
    return [
        *([hosting] if hosting else []),
        *([f"A model trained on what it writes stays under {_listed(outputs)}."] if outputs else []),
        *(
            f"Beside the weights, under its own licence: {x.work} ({x.relation}), {x.expression or 'not stated'}."
            for x in terms.separate
        ),
        *(sentence(x.message) for x in terms.warnings if x.rule not in _SAID_ELSEWHERE),
    ]


def unknown_sentences(terms: Terms) -> list[str]:
    """Return what nobody knows about the terms."""
    found = [sentence(item.message) for item in terms.unknowns]
    if unsettled := terms.output_terms.unsettled:
        found.append(
            f"Whether a model trained on what it writes stays under {_listed(unsettled, 'or')} is not settled."
        )
    return found


def shortened(items: Sequence[str], most: int = MAX_LISTED) -> Iterator[str]:
    """Yield `items`, or the first of them and how many more there are."""
    yield from items[:most]
    if len(items) > most:
        yield f"and {len(items) - most} more, in the release record"


def sentence(text: str) -> str:
    """Return `text` with a full stop, and a capital letter unless it begins with a name."""
    first = text.split(" ", 1)[0]
    return f"{text[:1].upper() if first.isalpha() else text[:1]}{text[1:].rstrip('.')}." if text else ""


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _cite(licence: str, section: str) -> str:
    return f"{licence}, {section}" if section else licence


def _listed(words: Iterable[str], joint: str = "and") -> str:
    """Return the words as a sentence lists them."""
    *first, last = tuple(words) or ("",)
    return f"{', '.join(first)} {joint} {last}" if first else last
