"""Signing keys that certificates vouch for (X.509), as `CertifiedSigner` and `CertificateVerifier`.

Paths are built and checked by the verifier of `cryptography` (RFC 5280). Certificates for signing models carry no host
name and need not have the extensions that the web asks for; what is asked of them here: every issuer is a
certification authority that may sign certificates, the signer's own certificate says that it may sign data or code, and
says nothing that rules either out, and all are valid now.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.errors import InputError, VerificationError
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, read_pem

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.x509.verification import ExtensionPolicy

MAX_CHAIN = 16
_UNTRUSTED = "Ask the publisher which certification authority vouches for them, and get its root by another way."


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSigner:
    """Signs with a private key, and sends along the certificates that vouch for it."""

    certificate_chain: tuple[bytes, ...]
    _key: EcKeySigner = field(repr=False)

    @classmethod
    def load(cls, private_key: Path, certificate: Path, chain: Path | None = None) -> "CertificateSigner":
        """Read a private key, its certificate, and the certificates between it and the root (all PEM).

        Raises:
            InputError: if a file cannot be read, or the certificate is not of this key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization

        key = EcKeySigner.load(private_key)
        certificates = read_certificates(certificate)
        if chain is not None:
            certificates = (*certificates, *read_certificates(chain))
        try:
            public = certificates[0].public_key()
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"the certificate's key cannot be read: {error}", place=str(certificate)) from error
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        if public.public_bytes(serialization.Encoding.PEM, form) != key.public_key_pem:
            raise InputError(
                f"the first certificate is not of the key in {private_key}",
                place=str(certificate),
                hint="Give the certificate that was issued for this key.",
            )
        if len(certificates) > MAX_CHAIN:
            raise InputError(f"a chain has at most {MAX_CHAIN} certificates", place=str(chain or certificate))
        der = tuple(item.public_bytes(serialization.Encoding.DER) for item in certificates)
        return cls(certificate_chain=der, _key=key)

    @property
    def public_key_pem(self) -> bytes:
        """The public half of the key."""
        return self._key.public_key_pem

    def sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature over `message`, ASN.1 DER."""
        return self._key.sign(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChainVerifier:
    """Trusts whoever one of these roots vouches for.

    Attributes:
        roots: certificates that are trusted.
        clock: tells the time at which certificates must be valid.
        subject: a name that the signer's certificate must carry (its common name); empty for any.
    """

    roots: tuple["x509.Certificate", ...]
    clock: Callable[[], datetime]
    subject: str = ""

    @classmethod
    def load(cls, roots: Path, *, clock: Callable[[], datetime], subject: str = "") -> "CertificateChainVerifier":
        """Read the trusted roots (PEM).

        Raises:
            InputError: if the file cannot be read or holds no certificate.
        """
        return cls(roots=read_certificates(roots), clock=clock, subject=subject)

    def verify_certified(self, chain: tuple[bytes, ...], message: bytes, signature: bytes) -> None:
        """Return if a root vouches for the first certificate, and its key made `signature` over `message`.

        Raises:
            VerificationError: if not; says which of the two failed.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec

        with _readable():
            certificates = [x509.load_der_x509_certificate(item) for item in chain]
            leaf = certificates[0]
            key, name = leaf.public_key(), _common_name(leaf)
            self._check_path(leaf, certificates[1:], name)
            _check_usage(leaf, name)
        if self.subject and self.subject != name:
            raise VerificationError(f"it was signed by {name!r}, expected {self.subject!r}", hint=_UNTRUSTED)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise VerificationError("the certificate is not of an elliptic-curve key")
        EcKeyVerifier.of(key).verify(message, signature)

    def _check_path(self, leaf: "x509.Certificate", between: "list[x509.Certificate]", name: str) -> None:
        from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store
        from cryptography.x509.verification import VerificationError as PathError

        builder = PolicyBuilder().store(Store(list(self.roots))).time(self.clock()).max_chain_depth(MAX_CHAIN)
        verifier = builder.extension_policies(
            ca_policy=_authority_policy(), ee_policy=ExtensionPolicy.permit_all()
        ).build_client_verifier()
        try:
            verifier.verify(leaf, between)
        except PathError as error:
            raise VerificationError(
                f"none of the given root certificates vouches for the signer {name!r} now: {error}",
                hint=_UNTRUSTED,
            ) from error


def _authority_policy() -> "ExtensionPolicy":
    from cryptography import x509
    from cryptography.x509.verification import Criticality, ExtensionPolicy

    def is_authority(policy: object, certificate: object, extension: "x509.BasicConstraints") -> None:
        if not extension.ca:
            raise ValueError("an issuer is no certification authority")

    def may_certify(policy: object, certificate: object, extension: "x509.KeyUsage | None") -> None:
        if extension is not None and not extension.key_cert_sign:
            raise ValueError("an issuer may not sign certificates")

    ca = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, is_authority)
    return ca.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, may_certify)


def _check_usage(leaf: "x509.Certificate", name: str) -> None:
    """Return if a certificate was issued for signing (RFC 5280, 4.2.1.3 and 4.2.1.12).

    Raises:
        VerificationError: if it says that it is for something else, or does not say what it is for.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    extensions = [item.value for item in leaf.extensions]
    usages = [item for item in extensions if isinstance(item, x509.KeyUsage)]
    purposes = [item for item in extensions if isinstance(item, x509.ExtendedKeyUsage)]
    signing = {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    if not (usages or purposes):
        wrong = "does not say that it may sign"
    elif not all(usage.digital_signature for usage in usages):
        wrong = "may not sign data"
    elif not all(signing.intersection(purpose) for purpose in purposes):
        wrong = "was issued for another purpose than signing code"
    else:
        return
    raise VerificationError(
        f"the certificate of the signer {name!r} {wrong}",
        hint="The publisher needs a certificate with the key usage digitalSignature; if it lists extended key usages, "
        "codeSigning must be among them.",
    )


@contextmanager
def _readable() -> Iterator[None]:
    """Raise what `cryptography` raises about certificates of strangers as a `VerificationError`."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise VerificationError(f"a certificate of the signature cannot be read: {error}", hint=_UNTRUSTED) from error


def read_certificates(path: Path) -> "tuple[x509.Certificate, ...]":
    """Read PEM certificates.

    Raises:
        InputError: if the file cannot be read or holds none.
    """
    from cryptography import x509

    try:
        return tuple(x509.load_pem_x509_certificates(read_pem(path)))
    except (ValueError, x509.InvalidVersion) as error:
        raise InputError(
            f"this holds no certificate in PEM form: {error}",
            place=str(path),
            hint="Give a file with -----BEGIN CERTIFICATE----- blocks.",
        ) from error


def _common_name(certificate: "x509.Certificate") -> str:
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
