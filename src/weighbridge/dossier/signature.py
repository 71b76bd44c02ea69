"""The signature over a version's files, in the format of OpenSSF Model Signing v1.0 (OMS).

`model.sig` is a Sigstore bundle v0.3 that holds a DSSE envelope, which holds an in-toto statement, which lists every
file with its digest. It is signed with a bare key, with a key that a certificate chain vouches for, or by Sigstore for
an identity. What is written here is what the `model_signing` tool reads; `signature_reader` reads what either wrote.
Sources: https://github.com/ossf/model-signing-spec (predicate, root digest, verification material) and
https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md (pre-authentication encoding).
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.errors import InputError

SIGNATURE_NAME = "model.sig"
MAX_BUNDLE_BYTES = 64 * 1024 * 1024

BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

HASH_TYPES: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "sha256": re.compile(r"[0-9a-f]{64}\Z"),
        "blake3": re.compile(r"[0-9a-f]{64}\Z"),
        "blake2b": re.compile(r"[0-9a-f]{128}\Z"),
    }
)
"""The file hashes of the specification's algorithm registry, and what a digest of each looks like."""


class Signer(Protocol):
    """Holds a private key."""

    @property
    def public_key_pem(self) -> bytes:
        """The public half: PEM, SubjectPublicKeyInfo."""

    def sign(self, message: bytes) -> bytes:
        """Return a signature over `message` (for elliptic curves: ASN.1 DER)."""


@runtime_checkable
class CertifiedSigner(Signer, Protocol):
    """A signer whose key is vouched for by certificates, which go into the bundle."""

    @property
    def certificate_chain(self) -> tuple[bytes, ...]:
        """DER certificates: the signer's own first, then each that vouches for the one before."""


@runtime_checkable
class BundleSigner(Protocol):
    """Signs a whole statement by a service (Sigstore), which adds its own proofs to the bundle."""

    def sign_statement(self, payload: bytes) -> bytes:
        """Return a Sigstore bundle whose DSSE envelope holds exactly `payload`."""


class SignatureVerifier(Protocol):
    """Holds the public key that the adopter expects."""

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if `signature` over `message` was made with the paired private key.

        Raises:
            VerificationError: if it was not.
        """


@runtime_checkable
class KeyHolder(Protocol):
    """A verifier that can say which key it holds; then the key that a bundle names must be that one."""

    @property
    def public_key_pem(self) -> bytes:
        """The public key: PEM, SubjectPublicKeyInfo."""


@runtime_checkable
class CertificateVerifier(Protocol):
    """Holds the root certificates that the adopter trusts."""

    def verify_certified(self, chain: tuple[bytes, ...], message: bytes, signature: bytes) -> None:
        """Return if the key of the first certificate made `signature` over `message`, and a root vouches for it.

        Args:
            chain: DER certificates as they stand in the bundle, the signer's own first.

        Raises:
            VerificationError: if not.
        """


@runtime_checkable
class BundleVerifier(Protocol):
    """Knows the identity that the adopter expects, and the keys of the service that vouches for it (Sigstore)."""

    def verify_bundle(self, bundle: bytes) -> bytes:
        """Return the payload of the bundle's envelope once everything about it was found good.

        Raises:
            VerificationError: if anything is not.
        """


Verifier = SignatureVerifier | CertificateVerifier | BundleVerifier
"""How an adopter says whom to trust: a key, the roots of a public key infrastructure, or an identity."""


def pre_authentication_encoding(payload: bytes) -> bytes:
    """Return the bytes that a DSSE v1 signature over an in-toto `payload` covers."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def key_hint(public_key_pem: bytes) -> str:
    """Return how a bundle names its key: the SHA-256 of the PEM text, in hexadecimal."""
    return hashlib.sha256(public_key_pem).hexdigest()


def sign_files(
    digests: Mapping[str, str],
    *,
    name: str,
    signer: Signer | BundleSigner,
    ignored: Sequence[str] = (SIGNATURE_NAME,),
    hash_type: str = "sha256",
) -> bytes:
    """Return the bundle that signs `digests`: relative path to lower-case hexadecimal digest.

    Args:
        digests: every file of the version except those below `ignored`.
        name: name of the model; for people, nothing is decided by it.
        signer: the key, with or without certificates, or a service.
        ignored: paths (files or folders) that the signature states not to cover.
        hash_type: which of `HASH_TYPES` the digests are.

    Raises:
        InputError: if there is no file to sign, a path is unsafe or ignored, or a digest is not one.
    """
    if not digests:
        raise InputError("there is no file to sign", place=name)
    for path, digest in digests.items():
        relative_path(path)
        if not HASH_TYPES[hash_type].match(digest):
            raise InputError(f"{digest!r} is not a {hash_type} in lower-case hexadecimal", place=path)
        if any(PurePosixPath(path).is_relative_to(other) for other in ignored):
            raise InputError("the file is on the list of what the signature ignores", place=path)
    statement = _statement(digests, name=name, ignored=ignored, hash_type=hash_type)
    return sign_statement(json.dumps(statement, indent=2).encode(), signer)


def sign_statement(payload: bytes, signer: Signer | BundleSigner) -> bytes:
    """Return a Sigstore bundle over an in-toto statement: the signature, and what it takes to verify it."""
    if isinstance(signer, BundleSigner):
        return signer.sign_statement(payload)
    signature = signer.sign(pre_authentication_encoding(payload))
    bundle = {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {**_material(signer), "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def signer_id(signer: Signer | BundleSigner) -> str:
    """Return a text that differs for every signer whose bundles would differ; for keeping what was signed."""
    if isinstance(signer, BundleSigner):
        return "by a service"
    chain = signer.certificate_chain if isinstance(signer, CertifiedSigner) else ()
    return " ".join([key_hint(signer.public_key_pem), *(hashlib.sha256(item).hexdigest() for item in chain)])


def _material(signer: Signer) -> dict[str, Any]:
    if isinstance(signer, CertifiedSigner):
        chain = [{"rawBytes": base64.b64encode(item).decode()} for item in signer.certificate_chain]
        return {"x509CertificateChain": {"certificates": chain}}
    return {"publicKey": {"hint": key_hint(signer.public_key_pem)}}


def _statement(digests: Mapping[str, str], *, name: str, ignored: Sequence[str], hash_type: str) -> dict[str, Any]:
    # model_signing sorts by path components: `sub/b` comes before `sub.a/c`, which plain text order would turn round.
    ordered = sorted(digests, key=lambda path: PurePosixPath(path).parts)
    serialization: dict[str, Any] = {"method": "files", "hash_type": hash_type, "allow_symlinks": False}
    if ignored:
        serialization["ignore_paths"] = list(ignored)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root_digest([digests[path] for path in ordered])}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": serialization,
            "resources": [{"name": path, "algorithm": hash_type, "digest": digests[path]} for path in ordered],
        },
    }


def root_digest(digests: Sequence[str]) -> str:
    """Return the SHA-256 over the digests' bytes: the specification's root digest, whatever hash the files have."""
    return hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()
