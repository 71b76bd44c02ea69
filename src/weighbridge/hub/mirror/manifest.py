"""The front of a bundle: what it holds, signed; everything behind it is checked against this.

A bundle, numbers little-endian::

    "WBBUNDLE1" LF and six NUL                     16 bytes
    u32 length, and so many bytes                  a Sigstore bundle around an in-toto statement: the manifest
    repositories, objects, contents, xorbs         sections; the manifest states size and SHA-256 of each
    bytes                                          the xorbs of the table `xorbs`, one after another

The bytes need no SHA-256 of their own: the table names each xorb by the Merkle root of its chunks, and that is what is
recomputed. So a manifest is written before any of the large bytes were read, and a bundle is verified in one pass, with
the memory of one chunk.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from weighbridge.dossier.envelope import MAX_ATTESTATION_BYTES, seal, unseal
from weighbridge.dossier.signature import Signer, Verifier
from weighbridge.dossier.statement import statement
from weighbridge.errors import VerificationError
from weighbridge.hub.mirror.errors import BundleError, TruncatedBundleError

MAGIC: Final = b"WBBUNDLE1\n" + bytes(6)
PREDICATE_TYPE: Final = "https://weighbridge.dev/attestation/hub-bundle/v1"
SECTIONS: Final = ("repositories", "objects", "contents", "xorbs")
MAX_SIZE: Final = 2**50

_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a bundle: its length in bytes, and the SHA-256 of these bytes."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle holds.

    Attributes:
        made_ms: when the exporting hub was read, in milliseconds since 1970.
        hub: which hub that was: 64 hexadecimal digits that say nothing else.
        sections: the four of `SECTIONS`, in that order.
        xorb_bytes: length of the xorbs together.
    """

    made_ms: int
    hub: str
    sections: tuple[Section, ...]
    xorb_bytes: int

    def __post_init__(self) -> None:
        if len(self.sections) != len(SECTIONS):
            raise BundleError(f"a bundle has the sections {', '.join(SECTIONS)}")

    def offset_of(self, name: str, start: int) -> int:
        """Return where a section begins, if the first one begins at `start`; `bytes` lies behind the last."""
        at = SECTIONS.index(name) if name in SECTIONS else len(SECTIONS)
        return start + sum(section.size_bytes for section in self.sections[:at])

    def end(self, start: int) -> int:
        """Return how long the whole bundle is, if the first section begins at `start`."""
        return self.offset_of("bytes", start) + self.xorb_bytes

    def section(self, name: str) -> Section:
        """Return a section by its name."""
        return self.sections[SECTIONS.index(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A manifest whose signature is good, and where in the file the first section begins."""

    manifest: Manifest
    start: int


def write_front(manifest: Manifest, signer: Signer) -> bytes:
    """Return the bytes before the first section; the same ones for the same manifest and key."""
    subjects = [
        {"name": name, "digest": {"sha256": section.sha256}}
        for name, section in zip(SECTIONS, manifest.sections, strict=True)
    ]
    predicate = {
        "madeMs": manifest.made_ms,
        "hub": manifest.hub,
        "sizes": [section.size_bytes for section in manifest.sections],
        "xorbBytes": manifest.xorb_bytes,
    }
    envelope = seal(statement(subjects, PREDICATE_TYPE, predicate), signer)
    return MAGIC + _LENGTH.pack(len(envelope)) + envelope


def read_front(source: BinaryIO, verifier: Verifier, *, place: str) -> Front:
    """Read the front, the signature before anything else.

    Raises:
        VerificationError: if it is no bundle, signed by somebody else or not at all, or its manifest makes no sense.
    """
    head = source.read(len(MAGIC) + _LENGTH.size)
    if head[: len(MAGIC)] != MAGIC[: len(head)] or not head:
        raise BundleError("this is no bundle of a hub", place=f"{place}, byte 0")
    if len(head) < len(MAGIC) + _LENGTH.size:
        raise _short(place, len(head), len(MAGIC) + _LENGTH.size)
    length: int = _LENGTH.unpack(head[len(MAGIC) :])[0]
    if length > MAX_ATTESTATION_BYTES:
        raise BundleError(f"its manifest would have {length} bytes", place=f"{place}, byte {len(MAGIC)}")
    envelope = source.read(length)
    if len(envelope) < length:
        raise _short(place, len(head) + len(envelope), len(head) + length)
    stated = unseal(envelope, verifier, predicate_type=PREDICATE_TYPE, place=place)
    return Front(manifest=_manifest(stated, place), start=len(head) + length)


def check_length(front: Front, held_bytes: int, *, place: str) -> None:
    """Raise `TruncatedBundleError` or `BundleError` unless a file of `held_bytes` bytes is the whole bundle."""
    total = front.manifest.end(front.start)
    if held_bytes < total:
        raise TruncatedBundleError(place=place, held_bytes=held_bytes, total_bytes=total)
    if held_bytes > total:
        raise BundleError(f"{held_bytes - total} bytes follow its end", place=f"{place}, byte {total}")


def hub_name(secret: bytes) -> str:
    """Return how a hub is named in its bundles: it tells hubs apart, and nothing about the secret."""
    return hashlib.sha256(b"weighbridge hub name\0" + secret).hexdigest()


def _short(place: str, held: int, needed: int) -> TruncatedBundleError:
    return TruncatedBundleError(place=place, held_bytes=held, total_bytes=needed)


def _manifest(stated: Mapping[str, Any], place: str) -> Manifest:
    try:
        subjects, predicate = stated["subject"], stated["predicate"]
        names = tuple(subject["name"] for subject in subjects)
        digests = [subject["digest"]["sha256"] for subject in subjects]
        sizes, hub = predicate["sizes"], predicate["hub"]
        numbers = [predicate["madeMs"], predicate["xorbBytes"], *sizes]
    except (KeyError, TypeError) as error:
        raise VerificationError("its manifest lacks something", place=place) from error
    sound = all(type(number) is int and 0 <= number <= MAX_SIZE for number in numbers)
    if names != SECTIONS or len(sizes) != len(SECTIONS) or not sound:
        raise VerificationError("its manifest states sections that no bundle has", place=place)
    if not all(isinstance(text, str) and len(text) == 64 and text.isalnum() for text in (hub, *digests)):
        raise VerificationError("its manifest states a digest that is none", place=place)
    sections = tuple(Section(size_bytes=size, sha256=text) for size, text in zip(sizes, digests, strict=True))
    return Manifest(made_ms=numbers[0], hub=hub, sections=sections, xorb_bytes=numbers[1])
