"""The terms and the openness that a release record states, as values."""

from weighbridge.dossier.release import RELEASE_NAME, ReleaseRecord
from weighbridge.errors import InputError
from weighbridge.terms.openness import Openness
from weighbridge.terms.terms import Terms


def recorded_terms(record: ReleaseRecord) -> Terms | None:
    """Return the terms as they were resolved when `record` was written; None if it states none.

    Raises:
        InputError: if they have another shape.
    """
    if record.terms is None:
        return None
    try:
        return Terms.from_json(record.terms)
    except InputError as error:
        raise InputError(error.message, place=f"{RELEASE_NAME} of {record.reference}", hint=error.hint) from error


def recorded_openness(record: ReleaseRecord) -> Openness | None:
    """Return how open `record` says that the release is; None if it does not say so.

    Raises:
        InputError: if that has another shape.
    """
    if record.openness is None:
        return None
    try:
        return Openness.from_json(record.openness)
    except ValueError as error:
        message = f"not a statement of openness: {error}"
        raise InputError(
            message, place=f"{RELEASE_NAME} of {record.reference}", hint="Obtain the record again."
        ) from error
