"""The verification summary of a check: what others can rely on without asking again."""

from typing import Any

from weighbridge.adopt.check.answer import Answer, Outcome
from weighbridge.adopt.check.check import Report
from weighbridge.dossier.publisher import package_url
from weighbridge.dossier.release import RELEASE_NAME
from weighbridge.dossier.signature import SIGNATURE_NAME, Signer, key_hint
from weighbridge.dossier.statement import file_subjects
from weighbridge.dossier.vsa import CheckedAnswer, Document, Waiver, version_subject, vsa_statement

VERIFIER = "https://weighbridge.dev/check/v1"
"""What checked; the fragment of the id names the key of whoever had it checked."""

_READ = (SIGNATURE_NAME, RELEASE_NAME, "provenance.intoto.jsonl")


def summary_statement(report: Report, signer: Signer) -> dict[str, Any]:
    """Return the verification summary (SLSA VSA v1), to be signed by `signer`.

    It is PASSED only if the report passes. The policy is the use file, by its digest; questions that were not asked
    are left out, and everything else is stated with its reasons and waivers.
    """
    subject, use = report.subject, report.use
    name = subject.name if "/" in subject.name else f"local/{subject.name}"
    read = [*_READ, *(item.path for item in subject.boms)]
    found = {str(entry.path): entry.sha256 for entry in subject.manifest}
    return vsa_statement(
        subjects=[version_subject(name, subject.manifest.digest), *file_subjects(subject.manifest)],
        resource_uri=package_url(name, subject.manifest.digest),
        verifier_id=f"{VERIFIER}#{key_hint(signer.public_key_pem)}",
        policy=Document(uri=use.place, sha256=use.sha256),
        answers=[_checked(item) for item in report.answers if item.outcome is not Outcome.NOT_ASKED],
        inputs=[Document(uri=path, sha256=found[path]) for path in read if path in found],
        now=report.checked_at,
    )


def _checked(item: Answer) -> CheckedAnswer:
    waiver = item.waiver
    return CheckedAnswer(
        question=f"{item.question.number} {item.question.text}",
        outcome=str(item.outcome),
        reasons=item.reasons,
        waiver=Waiver(by=waiver.by, until=waiver.until, why=waiver.reason) if waiver else None,
    )
