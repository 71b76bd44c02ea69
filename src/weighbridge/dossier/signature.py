"""The signature over a version's files, in the format of OpenSSF Model Signing v1.0 (OMS).

`model.sig` is a Sigstore bundle v0.3 that holds a DSSE envelope, which holds an in-toto statement, which lists every
file with its SHA-256. What is written here is what `model_signing verify key` reads, and the other way round: key mode,
serialisation by files. Sources: https://github.com/ossf/model-signing-spec (predicate, root digest) and
https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md (pre-authentication encoding).
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.errors import InputError, UnsafePathError, VerificationError

SIGNATURE_NAME = "model.sig"
MAX_BUNDLE_BYTES = 64 * 1024 * 1024

BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# The outer bundle is not authenticated and holds a handful of values; base64 needs none of these characters.
_MAX_BUNDLE_VALUES = 4096


class Signer(Protocol):
    """Holds a private key."""

    @property
    def public_key_pem(self) -> bytes:
        """The public half: PEM, SubjectPublicKeyInfo."""

    def sign(self, message: bytes) -> bytes:
        """Return a signature over `message` (for elliptic curves: ASN.1 DER)."""


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


def pre_authentication_encoding(payload: bytes) -> bytes:
    """Return the bytes that a DSSE v1 signature over an in-toto `payload` covers."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def key_hint(public_key_pem: bytes) -> str:
    """Return how a bundle names its key: the SHA-256 of the PEM text, in hexadecimal."""
    return hashlib.sha256(public_key_pem).hexdigest()


def sign_files(
    digests: Mapping[str, str], *, name: str, signer: Signer, ignored: Sequence[str] = (SIGNATURE_NAME,)
) -> bytes:
    """Return the bundle that signs `digests`: relative path to lower-case hexadecimal SHA-256.

    Args:
        digests: every file of the version except those below `ignored`.
        name: name of the model; for people, nothing is decided by it.
        signer: the key.
        ignored: paths (files or folders) that the signature states not to cover.

    Raises:
        InputError: if there is no file to sign, a path is unsafe or ignored, or a digest is not one.
    """
    if not digests:
        raise InputError("there is no file to sign", place=name)
    for path, digest in digests.items():
        relative_path(path)
        if not _SHA256.match(digest):
            raise InputError(f"{digest!r} is not a SHA-256 in lower-case hexadecimal", place=path)
        if any(PurePosixPath(path).is_relative_to(other) for other in ignored):
            raise InputError("the file is on the list of what the signature ignores", place=path)
    payload = json.dumps(_statement(digests, name=name, ignored=ignored), indent=2).encode()
    signature = signer.sign(pre_authentication_encoding(payload))
    bundle = {
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_hint(signer.public_key_pem)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def _statement(digests: Mapping[str, str], *, name: str, ignored: Sequence[str]) -> dict[str, Any]:
    # model_signing sorts by path components: `sub/b` comes before `sub.a/c`, which plain text order would turn round.
    ordered = sorted(digests, key=lambda path: PurePosixPath(path).parts)
    serialization: dict[str, Any] = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    if ignored:
        serialization["ignore_paths"] = list(ignored)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root_digest([digests[path] for path in ordered])}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": serialization,
            "resources": [{"name": path, "algorithm": "sha256", "digest": digests[path]} for path in ordered],
        },
    }


def _root_digest(digests: Sequence[str]) -> str:
    return hashlib.sha256(bytes.fromhex("".join(digests))).hexdigest()


def read_signature(bundle: bytes, verifier: SignatureVerifier, *, place: str) -> Mapping[str, str]:
    """Return what `bundle` signs, relative path to SHA-256, once its signature is found good.

    The statement is parsed only after the signature over its exact bytes has been verified.

    Args:
        bundle: the bytes of `model.sig`, at most 64 MiB.
        verifier: holds the expected key.
        place: the file, for messages.

    Raises:
        VerificationError: if the bundle is malformed, signed with another key, altered, or uses a method other than
            SHA-256 over whole files.
    """
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise VerificationError(f"the signature is larger than {MAX_BUNDLE_BYTES} bytes", place=place)
    if sum(bundle.count(mark) for mark in (b",", b"{", b"[")) > _MAX_BUNDLE_VALUES:
        raise VerificationError("this is not a signature bundle: it holds too many values", place=place)
    reader = _Reader(place)
    outer = reader.parse(bundle)
    if (media_type := outer.get("mediaType")) != BUNDLE_MEDIA_TYPE:
        raise VerificationError(f"its mediaType is {media_type!r}, expected {BUNDLE_MEDIA_TYPE!r}", place=place)
    payload, signature = reader.envelope(outer)
    reader.check_key(outer, verifier)
    try:
        verifier.verify(pre_authentication_encoding(payload), signature)
    except VerificationError as error:
        error.place = error.place or place
        raise
    return reader.statement(reader.parse(payload))


class _Reader:
    """Takes parsed JSON apart; everything unexpected is a `VerificationError` at `place`."""

    def __init__(self, place: str) -> None:
        self.place = place

    def wrong(self, message: str, *, hint: str = "") -> VerificationError:
        return VerificationError(message, place=self.place, hint=hint)

    def parse(self, data: bytes) -> dict[str, Any]:
        try:
            value = json.loads(
                data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=str
            )
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"this is not a signature bundle: {error}") from error
        return self.an_object(value, "the document")

    def an_object(self, value: object, what: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.wrong(f"{what} is not a JSON object")
        return value

    def a_list(self, value: object, what: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.wrong(f"{what} is not a JSON array")
        return value

    def base64(self, value: object, what: str) -> bytes:
        if not isinstance(value, str):
            raise self.wrong(f"{what} is not text")
        try:
            return base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error) as error:
            raise self.wrong(f"{what} is not base64: {error}") from error

    def envelope(self, outer: dict[str, Any]) -> tuple[bytes, bytes]:
        if "dsseEnvelope" not in outer:
            raise self.wrong("the bundle holds no dsseEnvelope")
        envelope = self.an_object(outer["dsseEnvelope"], "dsseEnvelope")
        if envelope.get("payloadType") != PAYLOAD_TYPE:
            raise self.wrong(f"its payloadType is {envelope.get('payloadType')!r}, expected {PAYLOAD_TYPE!r}")
        signatures = self.a_list(envelope.get("signatures"), "dsseEnvelope.signatures")
        if len(signatures) != 1:
            raise self.wrong(f"the bundle holds {len(signatures)} signatures, expected exactly one")
        signature = self.an_object(signatures[0], "dsseEnvelope.signatures[0]")
        return (
            self.base64(envelope.get("payload"), "dsseEnvelope.payload"),
            self.base64(signature.get("sig"), "dsseEnvelope.signatures[0].sig"),
        )

    def check_key(self, outer: dict[str, Any], verifier: SignatureVerifier) -> None:
        material = self.an_object(outer.get("verificationMaterial"), "verificationMaterial")
        if "publicKey" not in material:
            raise self.wrong(
                f"it was not signed with a key but holds {', '.join(sorted(material)) or 'nothing'} to verify with",
                hint="Weighbridge verifies signatures made with a key. Verify this one with `model_signing verify`.",
            )
        hint = self.an_object(material["publicKey"], "verificationMaterial.publicKey").get("hint")
        # Bundles from before key hints carry none; then the signature alone decides.
        if hint and isinstance(verifier, KeyHolder) and hint != (expected := key_hint(verifier.public_key_pem)):
            raise self.wrong(
                f"it was signed with another key: the bundle names {str(hint)[:64]}, the key given is {expected}",
                hint="Use the public key of whoever published these files, from a source that you trust.",
            )

    def statement(self, statement: dict[str, Any]) -> Mapping[str, str]:
        for key, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
            if statement.get(key) != expected:
                raise self.wrong(f"its {key} is {statement.get(key)!r}, expected {expected!r}")
        predicate = self.an_object(statement.get("predicate"), "predicate")
        self.check_serialization(self.an_object(predicate.get("serialization"), "predicate.serialization"))
        files: dict[str, str] = {}
        for index, item in enumerate(self.a_list(predicate.get("resources"), "predicate.resources")):
            path, digest = self.resource(self.an_object(item, f"predicate.resources[{index}]"))
            if path in files:
                raise self.wrong(f"it lists {path!r} twice")
            files[path] = digest
        if not files:
            raise self.wrong("it signs no file")
        self.check_root_digest(statement, _root_digest(tuple(files.values())))
        return MappingProxyType(files)

    def check_serialization(self, serialization: dict[str, Any]) -> None:
        method, hash_type = serialization.get("method"), serialization.get("hash_type")
        if method != "files" or hash_type != "sha256":
            raise self.wrong(
                f"it uses method {method!r} with hash {hash_type!r}; only 'files' with 'sha256' can be verified",
                hint="Ask the publisher to sign whole files with sha256, which is the default of `model_signing sign`.",
            )

    def resource(self, resource: dict[str, Any]) -> tuple[str, str]:
        path, digest = resource.get("name"), resource.get("digest")
        if not isinstance(path, str):
            raise self.wrong("it lists a file without a name")
        try:
            relative_path(path)
        except UnsafePathError as error:
            raise self.wrong(f"it lists an unsafe name: {error.message}") from error
        if resource.get("algorithm") != "sha256" or not isinstance(digest, str) or not _SHA256.match(digest):
            raise self.wrong(f"the digest of {path!r} is not a sha256: {resource.get('algorithm')!r} {digest!r}")
        return path, digest

    def check_root_digest(self, statement: dict[str, Any], expected: str) -> None:
        subjects = self.a_list(statement.get("subject"), "subject")
        if len(subjects) != 1:
            raise self.wrong(f"it has {len(subjects)} subjects, expected exactly one")
        subject = self.an_object(subjects[0], "subject[0]")
        stated = self.an_object(subject.get("digest"), "subject[0].digest").get("sha256")
        if stated != expected:
            raise self.wrong(f"its root digest is {stated!r} but its files make {expected!r}")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
