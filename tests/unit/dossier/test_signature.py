import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.dossier.signature import (
    MAX_BUNDLE_BYTES,
    KeyHolder,
    key_hint,
    pre_authentication_encoding,
    sign_files,
)
from weighbridge.dossier.signature_reader import read_signature
from weighbridge.errors import InputError, UnsafePathError, VerificationError
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


class HashSigner:
    """A keyed hash in place of a signature: fast, and any change of the message shows."""

    public_key_pem = b"-----BEGIN PUBLIC KEY-----\nfake\n-----END PUBLIC KEY-----\n"

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha256(b"key" + message).digest()

    def verify(self, message: bytes, signature: bytes) -> None:
        if signature != self.sign(message):
            raise VerificationError("the signature does not match")


KEY = HashSigner()


def read(bundle: bytes) -> dict[str, str]:
    return dict(read_signature(bundle, KEY, place="m/model.sig").digests)


def a_bundle(statement: Callable[[dict[str, Any]], object] = lambda _: None, payload: bytes | None = None) -> bytes:
    """A well-signed bundle whose statement was changed before it was signed."""
    made = json.loads(sign_files({"a": A, "b": B}, name="m", signer=KEY))
    parsed = json.loads(base64.b64decode(made["dsseEnvelope"]["payload"]))
    statement(parsed)
    data = json.dumps(parsed).encode() if payload is None else payload
    made["dsseEnvelope"]["payload"] = base64.b64encode(data).decode()
    signature = KEY.sign(pre_authentication_encoding(data))
    made["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(made).encode()


def test_what_was_signed_is_read_back_in_the_order_of_path_components() -> None:
    digests = {"sub.a/c": C, "sub/b": B, "a": A}
    assert list(read(sign_files(digests, name="m", signer=KEY)).items()) == [("a", A), ("sub/b", B), ("sub.a/c", C)]


def test_the_statement_has_the_form_of_the_specification() -> None:
    bundle = json.loads(sign_files({"b": B, "a": A}, name="acme", signer=KEY))
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": key_hint(KEY.public_key_pem)}, "tlogEntries": []}
    assert json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"])) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "acme", "digest": {"sha256": hashlib.sha256(bytes.fromhex(A + B)).hexdigest()}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": ["model.sig"],
            },
            "resources": [
                {"name": "a", "algorithm": "sha256", "digest": A},
                {"name": "b", "algorithm": "sha256", "digest": B},
            ],
        },
    }


def test_the_signature_covers_the_dsse_encoding_of_the_specification() -> None:
    assert pre_authentication_encoding(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


@pytest.mark.parametrize(
    ("digests", "error"),
    [
        ({}, InputError),
        ({"a": A.upper()}, InputError),
        ({"a": A[:-1]}, InputError),
        ({"../a": A}, UnsafePathError),
        ({"/a": A}, UnsafePathError),
        ({"model.sig": A}, InputError),
        ({"model.sig/inside": A}, InputError),
    ],
)
def test_signing_refuses_what_could_not_be_verified(digests: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        sign_files(digests, name="m", signer=KEY)


def test_every_flipped_bit_of_a_bundle_is_refused_except_in_names_on_which_nothing_rests() -> None:
    bundle = sign_files({"a": A, "b": B}, name="m", signer=KEY)
    names = (b"hint", b"tlogEntries", b"keyid")
    harmless = {bundle.index(name) + offset for name in names for offset in range(len(name))}
    for index in range(len(bundle)):
        for bit in (1, 0x20):
            altered = bundle[:index] + bytes([bundle[index] ^ bit]) + bundle[index + 1 :]
            if index in harmless:
                assert read(altered) == {"a": A, "b": B}
                continue
            with pytest.raises(VerificationError) as caught:
                read(altered)
            assert caught.value.place == "m/model.sig"


SET = dict.__setitem__


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: SET(s, "_type", "https://in-toto.io/Statement/v0.1"), "_type"),
        (lambda s: SET(s, "predicateType", "https://model_signing/Digests/v0.1"), "predicateType"),
        (lambda s: SET(s, "subject", []), "0 subjects"),
        (lambda s: SET(s, "subject", s["subject"] * 2), "2 subjects"),
        (lambda s: SET(s["subject"][0], "digest", {"sha256": A}), "root digest"),
        (lambda s: SET(s["subject"][0], "digest", {"sha512": A}), "root digest"),
        (lambda s: s["predicate"]["resources"].reverse(), "root digest"),
        (lambda s: s["predicate"]["resources"].clear(), "signs no file"),
        (lambda s: SET(s["predicate"]["resources"][1], "name", "a"), "twice"),
        (lambda s: SET(s["predicate"]["resources"][0], "name", "../a"), "unsafe name"),
        (lambda s: SET(s["predicate"]["resources"][0], "name", "/etc/passwd"), "unsafe name"),
        (lambda s: SET(s["predicate"]["resources"][0], "name", "a\nb"), "unsafe name"),
        (lambda s: SET(s["predicate"]["resources"][0], "name", 1), "without a name"),
        (lambda s: SET(s["predicate"]["resources"][0], "algorithm", "blake3"), "no sha256"),
        (lambda s: SET(s["predicate"]["resources"][0], "digest", "AA" * 32), "no sha256"),
        (lambda s: SET(s["predicate"], "resources", {}), "not a JSON array"),
        (lambda s: SET(s, "predicate", []), "not a JSON object"),
        (lambda s: SET(s["predicate"]["serialization"], "hash_type", "md5"), "its hash is 'md5'"),
        (lambda s: SET(s["predicate"]["serialization"], "hash_type", "blake3"), "no blake3"),
        (lambda s: SET(s["predicate"]["serialization"], "method", "shards"), "whole files can be verified here"),
    ],
)
def test_a_well_signed_statement_that_states_something_else_is_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(VerificationError, match=message) as caught:
        read(a_bundle(change))
    assert caught.value.place == "m/model.sig"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b'{"_type": 1, "_type": 2}', b'{"a": NaN}', b"\xff", b"[" * 100_000, b"1" * 5000]
)
def test_a_well_signed_payload_that_is_no_statement_is_refused(payload: bytes) -> None:
    with pytest.raises(VerificationError):
        read(a_bundle(payload=payload))


def _bundle_with(change: Callable[[dict[str, Any]], object]) -> bytes:
    parsed = json.loads(a_bundle())
    change(parsed)
    return json.dumps(parsed).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: SET(b, "mediaType", "application/vnd.dev.sigstore.bundle+json;version=0.2"), "mediaType"),
        (lambda b: b.pop("dsseEnvelope"), "no dsseEnvelope"),
        (lambda b: SET(b, "dsseEnvelope", None), "not a JSON object"),
        (lambda b: SET(b["dsseEnvelope"], "payloadType", "text/plain"), "payloadType"),
        (lambda b: SET(b["dsseEnvelope"], "signatures", []), "0 signatures"),
        (lambda b: SET(b["dsseEnvelope"], "signatures", b["dsseEnvelope"]["signatures"] * 2), "2 signatures"),
        (lambda b: SET(b["dsseEnvelope"], "payload", "?"), "not base64"),
        (lambda b: SET(b["dsseEnvelope"], "payload", "é"), "not base64"),
        (lambda b: SET(b["dsseEnvelope"], "payload", 7), "not text"),
        (lambda b: SET(b, "verificationMaterial", {"certificate": {}}), "signed with an identity"),
        (lambda b: SET(b["verificationMaterial"]["publicKey"], "hint", "00" * 32), "another key"),
    ],
)
def test_a_malformed_bundle_is_refused(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        read(_bundle_with(change))


def test_a_bundle_from_before_key_hints_is_decided_by_its_signature_alone() -> None:
    assert read(_bundle_with(lambda b: b["verificationMaterial"]["publicKey"].clear())) == {"a": A, "b": B}


def test_a_key_that_occurs_twice_is_refused() -> None:
    text = a_bundle().decode()
    with pytest.raises(VerificationError, match="twice"):
        read((text[:-1] + ', "mediaType": "x"}').encode())


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        (b" " * (MAX_BUNDLE_BYTES + 1), "larger than"),
        (b"[" + b"{}," * 5000 + b"{}]", "too many values"),
        (b"[" * 3000 + b"]" * 3000, "not a signature bundle"),
    ],
)
def test_a_bundle_that_would_fill_the_memory_is_refused(bundle: bytes, message: str) -> None:
    with pytest.raises(VerificationError, match=message):
        read(bundle)


@given(st.binary(max_size=300) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_no_bytes_raise_anything_but_a_verification_error(data: bytes) -> None:
    with pytest.raises(VerificationError):
        read(data)


_names = st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_characters="/\\"), min_size=1).filter(
    lambda name: name not in (".", "..", "model.sig") and len(name) < 100
)


@given(st.dictionaries(st.lists(_names, min_size=1, max_size=3).map("/".join), st.just(A), min_size=1, max_size=8))
def test_any_plain_names_survive_signing_and_reading(digests: dict[str, str]) -> None:
    assert read(sign_files(digests, name="m", signer=KEY)) == digests


def test_the_same_files_and_key_give_the_same_bytes(tmp_path: Path) -> None:
    create_key_pair(tmp_path / "k", tmp_path / "k.pub")
    first, second = EcKeySigner.load(tmp_path / "k"), EcKeySigner.load(tmp_path / "k")
    assert sign_files({"a": A}, name="m", signer=first) == sign_files({"a": A}, name="m", signer=second)
    assert isinstance(EcKeyVerifier.load(tmp_path / "k.pub"), KeyHolder)
