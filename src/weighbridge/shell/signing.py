"""Elliptic-curve keys in PEM files, as `Signer` and `SignatureVerifier`.

Each curve is used with the hash that OpenSSF Model Signing pairs it with: P-256 with SHA-256, P-384 with SHA-384 and
P-521 with SHA-512. Signatures are deterministic (RFC 6979), so that the same files and key give the same `model.sig`.
"""

import contextlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.errors import InputError, VerificationError, WorkspaceError
from weighbridge.shell.small_file import read_small

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_MAX_PEM_BYTES = 64 * 1024
_CREATE_HINT = "Create one with `openssl ecparam -name prime256v1 -genkey -noout -out signing-key.pem`."


@dataclass(frozen=True, slots=True, kw_only=True)
class EcKeySigner:
    """Signs with a private key that was read from a PEM file."""

    public_key_pem: bytes
    _key: "ec.EllipticCurvePrivateKey" = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> "EcKeySigner":
        """Read an unencrypted private key (PKCS#8 or SEC 1 PEM).

        Raises:
            InputError: if the file is missing, unreadable, encrypted, or holds anything else.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        data = read_pem(path)
        try:
            key = load_pem_private_key(data, password=None)
        except TypeError as error:
            raise InputError(
                "the private key is encrypted with a password", place=str(path), hint="Give an unencrypted key file."
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            what = "a public key, not a private one" if b"PUBLIC KEY-----" in data else "no private key in PEM form"
            raise InputError(f"this is {what}", place=str(path), hint=_CREATE_HINT) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise InputError("this is not an elliptic-curve key", place=str(path), hint=_CREATE_HINT)
        _check_curve(key.curve, path)
        return cls(public_key_pem=_public_pem(key.public_key()), _key=key)

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature over `message`, ASN.1 DER."""
        return self._key.sign(message, _ecdsa(self._key.curve, deterministic=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class EcKeyVerifier:
    """Verifies against a public key that was read from a PEM file."""

    public_key_pem: bytes
    _key: "ec.EllipticCurvePublicKey" = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> "EcKeyVerifier":
        """Read a public key (SubjectPublicKeyInfo PEM).

        Raises:
            InputError: if the file is missing, unreadable, or holds anything else.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        data = read_pem(path)
        try:
            key = load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm) as error:
            what = "a private key, not a public one" if b"PRIVATE KEY-----" in data else "no public key in PEM form"
            raise InputError(
                f"this is {what}", place=str(path), hint="Ask the publisher for the public key (a .pub or .pem file)."
            ) from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise InputError("this is not an elliptic-curve key", place=str(path))
        _check_curve(key.curve, path)
        return cls.of(key)

    @classmethod
    def of(cls, key: "ec.EllipticCurvePublicKey") -> "EcKeyVerifier":
        """Return a verifier of a key that is in memory already."""
        if key.curve.name not in _HASHES:
            raise VerificationError(f"the curve {key.curve.name} is not used for signing models")
        return cls(public_key_pem=_public_pem(key), _key=key)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if `signature` over `message` is good.

        Raises:
            VerificationError: if it is not.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, message, _ecdsa(self._key.curve))
        except InvalidSignature as error:
            raise VerificationError(
                "the signature does not match: it was made with another key, or what it signs was altered"
            ) from error


def create_key_pair(private_path: Path, public_path: Path) -> EcKeySigner:
    """Write a new P-256 key pair as PEM; the private key (PKCS#8, not encrypted) is readable by its owner only.

    The private key comes first: a kill in between leaves a key from which `write_public_key` makes the other file.

    Raises:
        InputError: if either file exists already; nothing is ever overwritten.
        WorkspaceError: if a file cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    for path in (private_path, public_path):
        if os.path.lexists(path):
            raise _exists(path)
    key = ec.generate_private_key(ec.SECP256R1())
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = EcKeySigner(public_key_pem=_public_pem(key.public_key()), _key=key)
    _write_new(private_path, private_pem, mode=0o600)
    try:
        _ensure_public_key(signer, public_path)
    except BaseException:
        private_path.unlink(missing_ok=True)
        raise
    return signer


def write_public_key(signer: EcKeySigner, public_path: Path) -> None:
    """Write the public half of `signer` as PEM.

    Raises:
        InputError: if the file exists already.
        WorkspaceError: if it cannot be written.
    """
    _write_new(public_path, signer.public_key_pem, mode=0o644)


def _ensure_public_key(signer: EcKeySigner, public_path: Path) -> None:
    """Write the public half; another process that saw the private key first may have written the same."""
    try:
        write_public_key(signer, public_path)
    except InputError:
        if read_pem(public_path) != signer.public_key_pem:
            raise


def _exists(path: Path) -> InputError:
    return InputError("the file exists already", place=str(path), hint="Keys are never overwritten: name another file.")


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    # A hard link to a finished file appears whole or not at all, and never replaces what is there.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if mode == 0o600 else 0o755)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.link(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise _exists(path) from error
        raise WorkspaceError(
            f"the key cannot be written: {error.strerror}", place=str(path), hint="Name a folder that you may write to."
        ) from error


def read_pem(path: Path) -> bytes:
    """Return the bytes of a PEM file.

    Raises:
        InputError: if it cannot be read, is no regular file, or is too large to be one.
    """
    return read_small(path, _MAX_PEM_BYTES, "the key file", hint="Check the path and its permissions.")


def _public_pem(key: "ec.EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


def _check_curve(curve: "ec.EllipticCurve", path: Path) -> None:
    if curve.name not in _HASHES:
        raise InputError(
            f"the curve {curve.name} is not used for signing models; P-256, P-384 and P-521 are",
            place=str(path),
            hint=_CREATE_HINT,
        )


def _ecdsa(curve: "ec.EllipticCurve", *, deterministic: bool = False) -> "ec.ECDSA":
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    algorithm: hashes.HashAlgorithm = getattr(hashes, _HASHES[curve.name])()
    return ec.ECDSA(algorithm, deterministic_signing=deterministic)
