"""What can be wrong with the metadata about a hub's versions.

::

    VerificationError
    └── TrustError                metadata is not what was promised (exit code 1)
        ├── StaleMetadataError    it has expired: nobody renewed it, or somebody withholds what is newer
        ├── RolledBackError       it is older than what was seen before, or mixes old with new
        ├── ForgedMetadataError   it is not signed by the keys that the trusted root names
        └── AlteredMetadataError  bytes are damaged, cut short, too many, or not what is signed
    HubError
    └── NoMetadataError           there is none, or it cannot be reached: nothing is known
"""

from collections.abc import Iterator
from contextlib import contextmanager

from weighbridge.errors import HubError, VerificationError


class TrustError(VerificationError):
    """Metadata about a hub's versions is not what was promised."""

    hint = "Take no version from this hub for now, and ask its publisher on another way what happened."


class StaleMetadataError(TrustError):
    """Metadata has expired."""

    hint = (
        "The publisher renews it with `weighbridge status --refresh --hub DIR`. If they did, your copy or mirror of "
        "the hub is held back: take a fresh one from its source."
    )


class RolledBackError(TrustError):
    """Metadata is older than what was seen before, or mixes old with new."""

    hint = "Somebody serves an old copy of the hub. Take a fresh one from its source, or ask its publisher."


class ForgedMetadataError(TrustError):
    """Metadata is not signed by the keys that the trusted root names."""

    hint = "Check that the trusted root belongs to this hub; if it does, do not use the hub, and tell the publisher."


class AlteredMetadataError(TrustError):
    """Bytes are damaged, cut short, too many, or not what is signed."""

    hint = "Take a fresh copy of the hub; if it still differs, tell the publisher."


class NoMetadataError(HubError):
    """There is no metadata, or it cannot be reached: nothing is known about the hub's versions."""

    hint = "Check the address. Hubs of Weighbridge before 0.2 have none; its publisher can release again."


@contextmanager
def trust_errors(place: str) -> Iterator[None]:
    """Raise what python-tuf raises as one of the errors above."""
    from tuf.api import exceptions
    from tuf.api.serialization import DeserializationError

    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise StaleMetadataError(f"the hub's metadata is out of date: {error}", place=place) from error
    except exceptions.BadVersionNumberError as error:
        raise RolledBackError(f"the hub's metadata goes back in time: {error}", place=place) from error
    except exceptions.UnsignedMetadataError as error:
        raise ForgedMetadataError(f"the hub's metadata has no valid signature: {error}", place=place) from error
    except (exceptions.LengthOrHashMismatchError, exceptions.DownloadLengthMismatchError) as error:
        raise AlteredMetadataError(f"the hub's metadata was altered: {error}", place=place) from error
    except DeserializationError as error:
        raise AlteredMetadataError("the hub's metadata is damaged: it cannot be read", place=place) from error
    except exceptions.RepositoryError as error:
        # What is left: a newer snapshot that leaves out what an older one listed, or metadata of the wrong type.
        raise RolledBackError(f"the hub's metadata does not fit together: {error}", place=place) from error
    except exceptions.DownloadHTTPError as error:
        raise NoMetadataError(f"metadata is missing: {error}", place=place) from error
    except exceptions.DownloadError as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise NoMetadataError(f"metadata cannot be reached: {error}{cause}", place=place) from error
