"""What a gate may ask about beside numbers: signatures of people, time in a stage, parents, published versions."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from weighbridge.dossier.evidence import Evidence, Standing
from weighbridge.gate.rule import MeasureRule
from weighbridge.hub.catalogue import PublishedVersion
from weighbridge.shell.gate.records import SignedRecords
from weighbridge.shell.plan.model import Plan

HISTORY = "history"
"""Key of a catalogue's record: the stages that the version's bytes entered, and when."""


def with_circumstances(
    evidence: Evidence, plan: Plan, signed: SignedRecords, catalogue: Mapping[str, PublishedVersion]
) -> Evidence:
    """Return `evidence` with what people signed about it, and with what the hub knew before this release."""
    versus = {rule.versus for rule in plan.policy.rules if isinstance(rule, MeasureRule) and rule.versus}
    subjects = {name: catalogue[name].record.get("subject") for name in sorted(versus & catalogue.keys())}
    history = history_of(catalogue.get(evidence.name))
    if history and (history[-1].stage, history[-1].subject) == (plan.stage, evidence.subject):
        history = history[:-1]  # this very release, an earlier time: it decides as it did then
    return replace(
        signed.join(evidence),
        history=history,
        parents=tuple(parent.digest for parent in plan.parents if parent.digest and not parent.of),
        published={name: subject for name, subject in subjects.items() if isinstance(subject, str)},
    )


def history_of(entry: PublishedVersion | None) -> tuple[Standing, ...]:
    """Return the stages that a catalogue's entry went through; none where it does not say so."""
    written: Any = entry.record.get(HISTORY, ()) if entry is not None else ()
    try:
        return tuple(Standing.from_json(item) for item in written)
    except (ValueError, KeyError, TypeError):
        return ()


def entered(entry: PublishedVersion | None, now: Standing) -> list[dict[str, Any]]:
    """Return the history of an entry, with `now` behind it unless it says the same as the last one."""
    history = history_of(entry)
    last = history[-1] if history else None
    same = last is not None and (last.stage, last.subject) == (now.stage, now.subject)
    return [standing.to_json() for standing in (history if same else (*history, now))]
