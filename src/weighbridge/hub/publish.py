"""Let versions into a hub: decide again, then publish all that was asked for, or nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from weighbridge.dossier.evidence import Evidence
from weighbridge.errors import RefusedError
from weighbridge.gate.decide import decide
from weighbridge.gate.policy import Policy
from weighbridge.gate.verdict import Verdict
from weighbridge.hub.catalogue import PublishedVersion, StagedVersion
from weighbridge.hub.port import Further, Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A version that asks to be let in, with the evidence about it."""

    staged: StagedVersion
    evidence: Evidence


def publish(
    hub: Hub,
    candidates: Sequence[Candidate],
    policy: Policy,
    *,
    now: datetime,
    page: Callable[[Mapping[str, PublishedVersion]], str],
    further: Further | None = None,
) -> str:
    """Publish all of `candidates`; return the id of the hub's state. Arguments as those of `Hub.publish`.

    The releaser's verdict is advice: the hub decides again on the evidence, and checks that it is about the bytes
    that are to be published.

    Raises:
        RefusedError: if one of them does not pass, or its evidence is about other bytes. Nothing is published then.
        HubError: if the hub cannot be written to.
    """
    for candidate in candidates:
        admit(candidate, policy, now=now)
    return hub.publish([candidate.staged for candidate in candidates], page=page, further=further)


def admit(candidate: Candidate, policy: Policy, *, now: datetime) -> None:
    """Return if a policy lets a version in, by evidence that is about its bytes.

    Raises:
        RefusedError: if not.
    """
    verdict = decide(candidate.evidence, policy, now=now)
    if not verdict.passed:
        raise _refusal(candidate.staged.name, verdict)
    if not _covers(candidate):
        raise RefusedError(
            f"the evidence about {candidate.staged.name} is about other bytes than those to be published",
            hint="Weigh these bytes again.",
        )


def _refusal(name: str, verdict: Verdict) -> RefusedError:
    if not verdict.refusals:
        return RefusedError(f"the hub does not let {name} in: {verdict.reason}", hint="Give the stage rules.")
    first = verdict.refusals[0]
    return RefusedError(f"the hub does not let {name} in: {first.rule}: {first.reason}", hint=first.remedy)


def _covers(candidate: Candidate) -> bool:
    """Say whether the evidence's subject is what remains of the version without its dossier."""
    dossier = [str(path) for path in candidate.staged.record.get("dossier_files", ())]
    return candidate.staged.manifest.without(*dossier).digest == candidate.evidence.subject
