"""Conformance suites: whoever writes an adapter proves with them that it keeps its port's promises.

Subclass a suite in a test module, under a name that pytest collects::

    class TestMyKeyService(SignerSuite):
        def pair(self):
            return MyKeyService("key-1"), MyKeyServiceVerifier("key-1")

        def stranger(self):
            return MyKeyServiceVerifier("key-2")
"""

from abc import ABC, abstractmethod

from weighbridge.dossier.signature import KeyHolder, SignatureVerifier, Signer, key_hint, sign_files
from weighbridge.dossier.signature_reader import read_signature
from weighbridge.errors import VerificationError

_FILES = {"model.safetensors": "11" * 32, "a/b.json": "22" * 32, "a.b/c": "33" * 32, "ü z": "44" * 32}


class SignerSuite(ABC):
    """What every pair of a `Signer` and a `SignatureVerifier` must do."""

    @abstractmethod
    def pair(self) -> tuple[Signer, SignatureVerifier]:
        """Return a signer and the verifier of the same key. Called more than once; the key stays the same."""

    @abstractmethod
    def stranger(self) -> SignatureVerifier:
        """Return a verifier of another key."""

    def test_a_signature_verifies_with_its_key(self) -> None:
        signer, verifier = self.pair()
        for message in (b"", b"x", bytes(range(256)) * 4096):
            verifier.verify(message, signer.sign(message))

    def test_a_signature_fails_with_another_key(self) -> None:
        signer, _ = self.pair()
        _refuses(self.stranger(), b"message", signer.sign(b"message"))

    def test_a_signature_fails_over_another_message(self) -> None:
        signer, verifier = self.pair()
        signature = signer.sign(b"message")
        for other in (b"", b"messagf", b"message\0", b"messag"):
            _refuses(verifier, other, signature)

    def test_an_altered_signature_is_refused_and_raises_nothing_else(self) -> None:
        signer, verifier = self.pair()
        signature = signer.sign(b"message")
        for index in range(len(signature)):
            _refuses(verifier, b"message", signature[:index] + bytes([signature[index] ^ 1]) + signature[index + 1 :])
        for other in (b"", b"\0", signature[:-1], signature + b"\0", signature * 100):
            _refuses(verifier, b"message", other)

    def test_the_public_key_is_pem_and_the_same_on_both_sides(self) -> None:
        signer, verifier = self.pair()
        again, _ = self.pair()
        assert signer.public_key_pem.startswith(b"-----BEGIN PUBLIC KEY-----")
        assert signer.public_key_pem == again.public_key_pem
        if isinstance(verifier, KeyHolder):
            assert key_hint(verifier.public_key_pem) == key_hint(signer.public_key_pem)

    def test_a_bundle_reads_back_what_was_signed(self) -> None:
        signer, verifier = self.pair()
        bundle = sign_files(_FILES, name="model", signer=signer)
        assert dict(read_signature(bundle, verifier, place="model.sig").digests) == _FILES

    def test_a_bundle_is_refused_by_a_stranger(self) -> None:
        signer, _ = self.pair()
        bundle = sign_files(_FILES, name="model", signer=signer)
        try:
            read_signature(bundle, self.stranger(), place="model.sig")
        except VerificationError:
            return
        raise AssertionError("a bundle was accepted with another key")


def _refuses(verifier: SignatureVerifier, message: bytes, signature: bytes) -> None:
    try:
        verifier.verify(message, signature)
    except VerificationError:
        return
    raise AssertionError(f"a bad signature was accepted: {signature.hex()} over {message!r}")
