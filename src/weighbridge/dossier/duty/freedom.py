"""Whether the terms of a chain are those of a free and open-source licence, as Article 53(2) of the AI Act means it.

Recital 102 of Regulation (EU) 2024/1689: free to access, use, modify and distribute; credit and equal terms may be
asked for. Commission Guidelines of 18 July 2025, section 4: limits to research, to non-commercial use, to numbers of
users or to fields of use disqualify.
"""

from weighbridge.terms.fact import Activity, Answer, DutyKind
from weighbridge.terms.terms import Terms

_FREEDOMS = (Activity.USE, Activity.COMMERCIAL, Activity.MODIFY, Activity.REDISTRIBUTE)

# Crediting the authors and keeping the terms do not make a licence less free.
_HARMLESS_DUTIES = (
    DutyKind.SHIP_LICENCE,
    DutyKind.SHIP_NOTICE,
    DutyKind.NOTICE_LINE,
    DutyKind.CHANGE_NOTICE,
    DutyKind.ATTRIBUTION,
    DutyKind.SHARE_ALIKE,
    DutyKind.SOURCE,
)
_UNCLEAR = ("unknown-licence", "text-differs", "unclear-fact")


def free_licence(terms: Terms | None) -> tuple[str, str]:
    """Return `pass`, `fail` or `unknown`, and why in a sentence; what is not known is never a `pass`."""
    if terms is None:
        return "unknown", "The terms of the chain are not known."
    if terms.conflicts:
        return "fail", f"The licences contradict each other: {terms.conflicts[0].message}"
    if limits := _limits(terms):
        return "fail", f"The licence is not free and open source: {'; '.join(limits)}."
    for answer, outcome, words in (
        (Answer.NO, "fail", "forbids"),
        (Answer.UNKNOWN, "unknown", "does not clearly allow"),
    ):
        if found := [activity.value for activity in _FREEDOMS if terms.permissions[activity].answer is answer]:
            return outcome, f"{terms.expression} {words}: {', '.join(found)}."
    if unclear := [item.message for item in terms.unknowns if item.rule in _UNCLEAR]:
        return "unknown", unclear[0]
    if odd := [item.duty.text for item in terms.duties if item.duty.kind not in _HARMLESS_DUTIES]:
        return "unknown", f"{terms.expression} asks for more than credit and equal terms: {odd[0]}"
    return "pass", f"{terms.expression} allows use, change and distribution without limits of field, size or place."


def _limits(terms: Terms) -> tuple[str, ...]:
    """Return the limits that disqualify: fields, sizes of users or revenue, places."""
    sizes = [f"{item.licence} limits {item.fact.metric} above {item.fact.above:,}" for item in terms.thresholds]
    fields = [f"{item.licence} limits the field {item.fact.id}" for item in terms.fields]
    places = [f"{item.licence} grants nothing in {', '.join(item.fact.regions)}" for item in terms.territories]
    return tuple(dict.fromkeys((*sizes, *fields, *places)))
