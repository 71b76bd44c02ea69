"""A verification summary (VSA): that somebody checked a version against their policy, when, and with which result.

A VSA knows PASSED and FAILED only. What could not be answered has not passed, so it fails here; the extension field
`ANSWERS_FIELD` keeps the difference, and who waived what until when.

Format: https://slsa.dev/spec/v1.0/verification_summary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from weighbridge.dossier.statement import manifest_subject, statement, timestamp

PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
ANSWERS_FIELD = "https://weighbridge.dev/vsa/answers/v1"
"""Extension fields are named by URIs."""

PASSED_LEVEL = "WEIGHBRIDGE_CHECK_PASSED"
"""The one level that a check verifies. It is no SLSA level: those are about how something was built."""

OUTCOMES = ("pass", "fail", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """That somebody takes an answer other than `pass` upon themselves.

    Attributes:
        by: who.
        until: the last moment that it holds for; with its time zone.
        why: in a sentence.
    """

    by: str
    until: datetime
    why: str = ""

    def __post_init__(self) -> None:
        if not self.by.strip() or self.until.tzinfo is None:
            raise ValueError("a waiver names who gives it, and until when, with a time zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedAnswer:
    """One question of a check.

    Attributes:
        question: the question, or its stable id.
        outcome: one of `OUTCOMES`.
        reasons: why, a sentence each.
        waiver: who accepts it although it did not pass; None if nobody.
    """

    question: str
    outcome: str
    reasons: tuple[str, ...] = ()
    waiver: Waiver | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"{self.outcome!r} is not one of {', '.join(OUTCOMES)}")

    def passes(self, now: datetime) -> bool:
        """Return whether it passed, or is waived at `now`."""
        return self.outcome == "pass" or (self.waiver is not None and now <= self.waiver.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Something that was read for the check, or that it was made by: a policy, an attestation.

    Attributes:
        uri: where or what it is.
        sha256: of its bytes.
    """

    uri: str
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return a resource descriptor."""
        return {"uri": self.uri, "digest": {"sha256": self.sha256}}


def vsa_statement(
    *,
    subjects: Sequence[Mapping[str, Any]],
    resource_uri: str,
    verifier_id: str,
    policy: Document,
    answers: Sequence[CheckedAnswer],
    inputs: Sequence[Document] = (),
    now: datetime,
) -> dict[str, Any]:
    """Return the summary of a check.

    Args:
        subjects: what was checked: `statement.file_subjects(manifest)`, or `version_subject`.
        resource_uri: where it was found, or its package URL.
        verifier_id: URI of whoever checked.
        policy: what it was checked against, such as the use file.
        answers: every question that was asked.
        inputs: every attestation that was read for it.
        now: when, with its time zone.

    Raises:
        ValueError: if no question was asked, a URI is missing, or `now` has no time zone.
    """
    if not (resource_uri and verifier_id and policy.uri):
        raise ValueError("a verification summary names its verifier, its resource and its policy")
    if not answers:
        raise ValueError("a check without questions verifies nothing")
    passed = all(answer.passes(now) for answer in answers)
    predicate = {
        "verifier": {"id": verifier_id},
        "timeVerified": timestamp(now),
        "resourceUri": resource_uri,
        "policy": policy.to_json(),
        "inputAttestations": [item.to_json() for item in inputs],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [PASSED_LEVEL if passed else "FAILED"],
        ANSWERS_FIELD: [_answer(answer) for answer in answers],
    }
    return statement(subjects, PREDICATE_TYPE, predicate)


def version_subject(reference: str, digest: str) -> dict[str, Any]:
    """Return a version as the subject of a summary, by the digest of its manifest."""
    return manifest_subject(reference, digest)


def _answer(answer: CheckedAnswer) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "question": answer.question,
        "outcome": answer.outcome,
        "reasons": list(answer.reasons),
    }
    if answer.waiver is not None:
        waiver = answer.waiver
        stated["waiver"] = {"by": waiver.by, "until": timestamp(waiver.until), "why": waiver.why}
    return stated
