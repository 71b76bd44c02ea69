"""The forms that laws ask a publisher to fill, as data; what of them a release fills, and who fills the rest.

None of this is legal advice: a form says what is asked and by which clause, so that a lawyer can check it.
"""

from collections.abc import Mapping

from weighbridge.dossier.duty.assess import (
    Assessment,
    Condition,
    exemption_eu,
    exemption_eu_of,
    provider_by_modification,
)
from weighbridge.dossier.duty.california import AB2013, AB2013_NAME, SB53, SB53_NAME
from weighbridge.dossier.duty.document import Form, Scope
from weighbridge.dossier.duty.eu_form import FORM, FORM_NAME
from weighbridge.dossier.duty.eu_summary import POLICY, POLICY_NAME, SUMMARY, SUMMARY_NAME
from weighbridge.dossier.duty.field import Field, FieldAnswer, OpenField, Source, Status, Who
from weighbridge.dossier.release import ReleaseRecord

__all__ = (
    "AB2013_NAME",
    "FORMS",
    "FORM_NAME",
    "POLICY_NAME",
    "SB53_NAME",
    "SUMMARY_NAME",
    "Assessment",
    "Condition",
    "Field",
    "FieldAnswer",
    "Form",
    "OpenField",
    "Scope",
    "Source",
    "Status",
    "Who",
    "ab2013",
    "copyright_policy",
    "duty_files",
    "eu_form",
    "exemption_eu",
    "exemption_eu_of",
    "known_fields",
    "provider_by_modification",
    "sb53",
    "todo",
    "training_summary",
)

FORMS: tuple[Form, ...] = (FORM, SUMMARY, POLICY, AB2013, SB53)
"""Every form that Weighbridge writes, in the order of the dossier."""

EXTRA_FIELDS: Mapping[str, str] = {
    "model.monetised": "Whether the model, or access or support that it needs, is paid for. Begin with yes or no.",
    "support.window": "State until when the version is looked after, and what happens then.",
    "safety.worst_case_fine_tuning": "State who fine-tuned it with bad intent, how, and what came of it; or: nobody.",
}
"""Statements that no form asks, but an assessment or a paper does: id and what to write."""


def eu_form(record: ReleaseRecord) -> bytes:
    """Return `eu/model_documentation_form.json`; the same record gives the same bytes, as of every form.

    Raises:
        InputError: if the record's terms have another shape (all forms).
    """
    return FORM.json_bytes(record)


def training_summary(record: ReleaseRecord) -> bytes:
    """Return `eu/training_summary.md`."""
    return SUMMARY.markdown_bytes(record)


def copyright_policy(record: ReleaseRecord) -> bytes:
    """Return `eu/copyright_policy.md`."""
    return POLICY.markdown_bytes(record)


def ab2013(record: ReleaseRecord) -> bytes:
    """Return `us/ab2013.json`."""
    return AB2013.json_bytes(record)


def sb53(record: ReleaseRecord) -> bytes:
    """Return `us/sb53.json`."""
    return SB53.json_bytes(record)


def duty_files(record: ReleaseRecord) -> dict[str, bytes]:
    """Return every form by its path in the dossier.

    Raises:
        InputError: if the record's terms have another shape.
    """
    return {
        form.path: form.json_bytes(record) if form.path.endswith(".json") else form.markdown_bytes(record)
        for form in FORMS
    }


def todo(record: ReleaseRecord) -> tuple[OpenField, ...]:
    """Return what is open in every form that applies, or may apply, form by form.

    A field that several forms share is listed with each; one statement fills them all.

    Raises:
        InputError: if the record's terms have another shape.
    """
    return tuple(item for form in FORMS for item in form.open_fields(record))


def known_fields() -> Mapping[str, str]:
    """Return the ids that a publisher's statements may have, each with what to write."""
    return {field.id: field.ask for form in FORMS for field in form.fields} | dict(EXTRA_FIELDS)
