"""Reads `model.sig`: nothing of it is believed before the signature over its exact bytes is found good."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.dossier.signature import (
    BUNDLE_MEDIA_TYPE,
    HASH_TYPES,
    MAX_BUNDLE_BYTES,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    BundleVerifier,
    CertificateVerifier,
    KeyHolder,
    SignatureVerifier,
    Verifier,
    key_hint,
    pre_authentication_encoding,
    root_digest,
)
from weighbridge.errors import UnsafePathError, VerificationError

# The outer bundle is not authenticated and holds a handful of values; base64 needs none of these characters.
_MAX_BUNDLE_VALUES = 4096
_MAX_CERTIFICATES = 16
_WAYS = {
    "publicKey": ("a bare key", "Verify it with the publisher's public key: --key PEM."),
    "x509CertificateChain": (
        "a key that certificates vouch for",
        "Verify it with the root certificates that you trust: --certificates PEM.",
    ),
    "certificate": (
        "an identity that Sigstore vouches for",
        "Verify it with the identity that you expect: --identity NAME --issuer URL.",
    ),
}


class ShardSignatureError(VerificationError):
    """A good signature over shards of files, which other code has to compare with the files.

    Attributes:
        hash_type: hash of the shards, as signed.
        shard_bytes: size of a shard, as signed.
    """

    hint = "Verify it with `weighbridge verify DIR --key PEM`, which asks model-signing (extra `sigstore`)."

    def __init__(self, *, place: str, hash_type: str, shard_bytes: int) -> None:
        super().__init__("it signs shards of files, not whole files", place=place)
        self.hash_type = hash_type
        self.shard_bytes = shard_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedFiles:
    """What a good signature covers.

    Attributes:
        hash_type: which of `HASH_TYPES` the digests are.
        digests: relative path to lower-case hexadecimal digest.
    """

    hash_type: str
    digests: Mapping[str, str]


def read_signature(bundle: bytes, verifier: Verifier, *, place: str) -> SignedFiles:
    """Return what `bundle` signs, once its signature is found good.

    The statement is parsed only after the signature over its exact bytes has been verified.

    Args:
        bundle: the bytes of `model.sig`, at most 64 MiB.
        verifier: whom to trust.
        place: the file, for messages.

    Raises:
        VerificationError: if the bundle is malformed, signed by somebody else or in another way than `verifier` can
            tell, altered, or uses a method other than digests of whole files.
    """
    reader = _Reader(place)
    return reader.statement(read_statement(bundle, verifier, place=place))


def read_statement(bundle: bytes, verifier: Verifier, *, place: str) -> Mapping[str, Any]:
    """Return the in-toto statement in `bundle`, once its signature is found good. Arguments as of `read_signature`.

    Raises:
        VerificationError: if the bundle is malformed, altered, or signed by somebody else or in another way than
            `verifier` can tell.
    """
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise VerificationError(f"the signature is larger than {MAX_BUNDLE_BYTES} bytes", place=place)
    if sum(bundle.count(mark) for mark in (b",", b"{", b"[")) > _MAX_BUNDLE_VALUES:
        raise VerificationError("this is not a signature bundle: it holds too many values", place=place)
    reader = _Reader(place)
    outer = reader.parse(bundle)
    if (media_type := outer.get("mediaType")) != BUNDLE_MEDIA_TYPE:
        raise VerificationError(f"its mediaType is {media_type!r}, expected {BUNDLE_MEDIA_TYPE!r}", place=place)
    try:
        payload = _verified_payload(reader, bundle, outer, verifier)
    except VerificationError as error:
        error.place = error.place or place
        raise
    return reader.parse(payload)


def _verified_payload(reader: "_Reader", bundle: bytes, outer: dict[str, Any], verifier: Verifier) -> bytes:
    """Return the payload, verified in the way in which the bundle was signed."""
    payload, signature = reader.envelope(outer)
    material = reader.an_object(outer.get("verificationMaterial"), "verificationMaterial")
    message = pre_authentication_encoding(payload)
    if "publicKey" in material and not isinstance(verifier, CertificateVerifier | BundleVerifier):
        reader.check_key(material, verifier)
        verifier.verify(message, signature)
        return payload
    if "x509CertificateChain" in material and isinstance(verifier, CertificateVerifier):
        verifier.verify_certified(reader.certificates(material), message, signature)
        return payload
    if "certificate" in material and isinstance(verifier, BundleVerifier):
        if verifier.verify_bundle(bundle) != payload:
            raise reader.wrong("the statement that was verified is not the one in its envelope")
        return payload
    found = next((name for name in _WAYS if name in material), "")
    raise reader.wrong(
        f"it was signed with {_WAYS[found][0]}" if found else "it holds nothing to verify it with",
        hint=_WAYS[found][1] if found else "",
    )


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

    def check_key(self, material: dict[str, Any], verifier: SignatureVerifier) -> None:
        hint = self.an_object(material["publicKey"], "verificationMaterial.publicKey").get("hint")
        # Bundles from before key hints carry none; then the signature alone decides.
        if hint and isinstance(verifier, KeyHolder) and hint != (expected := key_hint(verifier.public_key_pem)):
            raise self.wrong(
                f"it was signed with another key: the bundle names {str(hint)[:64]}, the key given is {expected}",
                hint="Use the public key of whoever published these files, from a source that you trust.",
            )

    def certificates(self, material: dict[str, Any]) -> tuple[bytes, ...]:
        where = "verificationMaterial.x509CertificateChain"
        chain = self.a_list(self.an_object(material["x509CertificateChain"], where).get("certificates"), where)
        if not 1 <= len(chain) <= _MAX_CERTIFICATES:
            raise self.wrong(f"it holds {len(chain)} certificates, expected 1 to {_MAX_CERTIFICATES}")
        return tuple(self.base64(self.an_object(item, where).get("rawBytes"), where) for item in chain)

    def statement(self, statement: Mapping[str, Any]) -> SignedFiles:
        for key, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
            if statement.get(key) != expected:
                raise self.wrong(f"its {key} is {statement.get(key)!r}, expected {expected!r}")
        predicate = self.an_object(statement.get("predicate"), "predicate")
        hash_type = self.hash_type(self.an_object(predicate.get("serialization"), "predicate.serialization"))
        files: dict[str, str] = {}
        for index, item in enumerate(self.a_list(predicate.get("resources"), "predicate.resources")):
            path, digest = self.resource(self.an_object(item, f"predicate.resources[{index}]"), hash_type)
            if path in files:
                raise self.wrong(f"it lists {path!r} twice")
            files[path] = digest
        if not files:
            raise self.wrong("it signs no file")
        self.check_root_digest(statement, root_digest(tuple(files.values())))
        return SignedFiles(hash_type=hash_type, digests=MappingProxyType(files))

    def hash_type(self, serialization: dict[str, Any]) -> str:
        method, hash_type = serialization.get("method"), serialization.get("hash_type")
        if method == "shards" and (size := _shard_bytes(serialization.get("shard_size"))):
            raise ShardSignatureError(place=self.place, hash_type=str(hash_type), shard_bytes=size)
        if method != "files":
            raise self.wrong(
                f"it uses the method {method!r}; whole files can be verified here",
                hint="Verify this one with `model_signing verify`, or ask the publisher to sign whole files.",
            )
        if not isinstance(hash_type, str) or hash_type not in HASH_TYPES:
            raise self.wrong(f"its hash is {hash_type!r}, expected one of {', '.join(HASH_TYPES)}")
        return hash_type

    def resource(self, resource: dict[str, Any], hash_type: str) -> tuple[str, str]:
        path, digest = resource.get("name"), resource.get("digest")
        if not isinstance(path, str):
            raise self.wrong("it lists a file without a name")
        try:
            relative_path(path)
        except UnsafePathError as error:
            raise self.wrong(f"it lists an unsafe name: {error.message}") from error
        if resource.get("algorithm") != hash_type or not isinstance(digest, str):
            raise self.wrong(f"the digest of {path!r} is no {hash_type}: {resource.get('algorithm')!r} {digest!r}")
        if not HASH_TYPES[hash_type].match(digest):
            raise self.wrong(f"the digest of {path!r} is no {hash_type} in lower-case hexadecimal: {digest!r}")
        return path, digest

    def check_root_digest(self, statement: Mapping[str, Any], expected: str) -> None:
        subjects = self.a_list(statement.get("subject"), "subject")
        if len(subjects) != 1:
            raise self.wrong(f"it has {len(subjects)} subjects, expected exactly one")
        subject = self.an_object(subjects[0], "subject[0]")
        stated = self.an_object(subject.get("digest"), "subject[0].digest").get("sha256")
        if stated != expected:
            raise self.wrong(f"its root digest is {stated!r} but its files make {expected!r}")


def _shard_bytes(size: object) -> int:
    """Return the size of a shard; 0 if that is none. The tool of the field writes it as a fraction."""
    text = str(size).removesuffix(".0")
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return result


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
