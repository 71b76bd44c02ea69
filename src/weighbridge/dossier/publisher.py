"""The publisher's own word that a set of files is their release, detached from the files that it is about.

An in-toto release v0.1 names the release and binds the manifest of everything that was signed, and the signature
itself. A copy of the files can therefore be checked against it wherever it was found, and a second version under the
same name is seen.

Format: https://github.com/in-toto/attestation/blob/main/spec/predicates/release.md.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.dossier.signature import SIGNATURE_NAME
from weighbridge.dossier.statement import MANIFEST_DIGEST, manifest_subject, statement
from weighbridge.errors import VerificationError

PREDICATE_TYPE = "https://in-toto.io/attestation/release/v0.1"
PUBLISHER_NAME = "publisher.intoto.json"
"""Name of the envelope. It lies beside a version, never among its signed files."""

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PURL = re.compile(r"pkg:[a-z][a-z0-9.+-]*/[^@?#\s]+@[^@?#\s]+(\?[^#\s]*)?\Z")


def package_url(reference: str, digest: str) -> str:
    """Return `pkg:generic/OWNER/NAME@DIGEST`: a version is its bytes, so its digest is the version.

    Format: https://github.com/package-url/purl-spec.
    """
    path = "/".join(_percent_encoded(part) for part in reference.split("/"))
    return f"pkg:generic/{path}@{digest}"


def _percent_encoded(text: str) -> str:
    return "".join(chr(byte) if chr(byte) in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def publisher_statement(
    reference: str, signed: Manifest, signature: bytes, *, purl: str = "", release_id: str = ""
) -> dict[str, Any]:
    """Return the statement that `signed`, under `signature`, is the release `reference`.

    Args:
        reference: `owner/version`.
        signed: every file that the signature covers; not the signature itself.
        signature: the bytes of `model.sig`.
        purl: package URL with a version; by default that of `package_url`.
        release_id: an identifier that stays the same from version to version, such as `owner/family`.

    Raises:
        ValueError: if the manifest is empty or holds the signature, or the package URL names no version.
    """
    if not signed.entries or signed.get(SIGNATURE_NAME) is not None:
        raise ValueError("the manifest must hold the signed files, and not the signature")
    purl = purl or package_url(reference, signed.digest)
    if not _PURL.match(purl):
        raise ValueError(f"{purl!r} is no package URL with a version")
    predicate = {"purl": purl} | ({"releaseId": release_id} if release_id else {})
    subjects = [
        manifest_subject("manifest", signed.digest),
        {"name": SIGNATURE_NAME, "digest": {"sha256": hashlib.sha256(signature).hexdigest()}},
    ]
    return statement(subjects, PREDICATE_TYPE, predicate)


def check_publisher(stated: Mapping[str, Any], signed: Manifest, signature: bytes, *, place: str) -> str:
    """Return the package URL under which the publisher released exactly these files.

    Args:
        stated: the statement, out of its envelope (`envelope.unseal`).
        signed: the files at hand, without the signature.
        signature: the bytes of `model.sig` at hand.
        place: names the attestation in errors.

    Raises:
        VerificationError: if it is about other files or another signature, or names no release.
    """
    expected = {
        ("manifest", MANIFEST_DIGEST): signed.digest,
        (SIGNATURE_NAME, "sha256"): hashlib.sha256(signature).hexdigest(),
    }
    found: dict[tuple[str, str], object] = {}
    subjects = stated.get("subject")
    for subject in subjects if isinstance(subjects, list) else ():
        digests = subject.get("digest") if isinstance(subject, dict) else None
        for algorithm, digest in digests.items() if isinstance(digests, dict) else ():
            found[str(subject.get("name")), str(algorithm)] = digest
    for (name, algorithm), digest in expected.items():
        if found.get((name, algorithm)) != digest:
            raise VerificationError(
                f"the publisher attests another {name}: {found.get((name, algorithm))!r}, here it is {digest}",
                place=place,
                hint="These are not the files that the publisher released under this name. Download them again.",
            )
    predicate = stated.get("predicate")
    purl = predicate.get("purl") if isinstance(predicate, dict) else None
    if not isinstance(purl, str) or not _PURL.match(purl):
        raise VerificationError(f"it names no release: {purl!r}", place=place)
    return purl
