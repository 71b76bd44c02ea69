"""Every form of an OMS signature: bare key, certificates, Sigstore; against schemas, and the tool of the field."""

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

from weighbridge.adopt.verify import SIGNATURE_NAME, Verification, verify_folder
from weighbridge.checkpoint.digest import FileDigests
from weighbridge.checkpoint.read import read_folder
from weighbridge.dossier.signature import BundleSigner, Signer, Verifier, sign_files
from weighbridge.errors import InputError, VerificationError
from weighbridge.shell.certificates import CertificateChainVerifier, CertificateSigner, read_certificates
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair
from weighbridge.shell.sigstore_identity import SigstoreSigner, SigstoreVerifier

FIXTURES = Path(__file__).parent / "fixtures" / "model-signing"
NOW = datetime.now(UTC)  # the tool that checks the same certificates has no other clock
SIGNED_BY = SigstoreVerifier(identity="stefanb@us.ibm.com", issuer="https://sigstore.verify.ibm.com/oauth2")


class Authority:
    """A certification authority with an intermediate, as an organisation has one."""

    def __init__(self, folder: Path, *, valid_until: datetime = NOW + timedelta(days=365), ca: bool = True) -> None:
        self.folder = folder
        self.valid_until = valid_until
        folder.mkdir()
        root_key, self.intermediate_key = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
        self.root = self._issue("root", root_key.public_key(), "root", root_key, ca=True)
        self.intermediate = self._issue("intermediate", self.intermediate_key.public_key(), "root", root_key, ca=ca)
        self.key = folder / "key.pem"
        create_key_pair(self.key, folder / "key.pub")
        public = serialization.load_pem_public_key((folder / "key.pub").read_bytes())
        assert isinstance(public, ec.EllipticCurvePublicKey)
        leaf = self._issue("release@example.com", public, "intermediate", self.intermediate_key, ca=False)
        self.roots = self._write("root.pem", self.root)
        self.chain = self._write("chain.pem", self.intermediate)
        self.leaf = self._write("leaf.pem", leaf)

    def _issue(
        self, name: str, key: ec.EllipticCurvePublicKey, issuer: str, by: ec.EllipticCurvePrivateKey, *, ca: bool
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=30))
            .not_valid_after(self.valid_until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, content_commitment=False,
                    key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )  # fmt: skip
        return builder.sign(by, hashes.SHA384())

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self.folder / name
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def signer(self) -> CertificateSigner:
        return CertificateSigner.load(self.key, self.leaf, self.chain)

    def verifier(self, *, now: datetime = NOW, subject: str = "") -> CertificateChainVerifier:
        return CertificateChainVerifier.load(self.roots, clock=lambda: now, subject=subject)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "THIRD_PARTY").mkdir(parents=True)
    for name, data in {"model.safetensors": b"w" * 70_000, "THIRD_PARTY/MIT.txt": b"mit", "empty": b""}.items():
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def sign(root: Path, signer: Signer | BundleSigner, hash_type: str = "sha256") -> Path:
    (root / SIGNATURE_NAME).unlink(missing_ok=True)
    other = FileDigests(hash_type)
    manifest = read_folder(root, visitors=[other])
    digests = {
        str(entry.path): entry.sha256 if hash_type == "sha256" else other.hexdigest(str(entry.path))
        for entry in manifest
    }
    path = root / SIGNATURE_NAME
    path.write_bytes(sign_files(digests, name=root.name, signer=signer, hash_type=hash_type))
    return path


def verified(root: Path, verifier: Verifier) -> Verification:
    return verify_folder(root, verifier)


def schema_errors(bundle: bytes, *, blake3: bool = False) -> list[ValidationError]:
    schemas: dict[str, Any] = {
        name: json.loads((FIXTURES / f"{name}.schema.json").read_bytes())
        for name in ("bundle", "envelope", "statement", "predicate")
    }
    if blake3:
        for part, key in (("resource_descriptor", "algorithm"), ("serialization", "hash_type")):
            schemas["predicate"]["$defs"][part]["properties"][key]["enum"].append("blake3")
    registry = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in schemas.values())
    parsed = json.loads(bundle)
    statement = json.loads(base64.b64decode(parsed["dsseEnvelope"]["payload"]))
    return [
        *Draft202012Validator(schemas["bundle"], registry=registry).iter_errors(parsed),
        *Draft202012Validator(schemas["statement"], registry=registry).iter_errors(statement),
    ]


def test_every_form_conforms_to_the_schemas_of_the_specification(model: Path, authority: Authority) -> None:
    assert schema_errors(sign(model, EcKeySigner.load(authority.key)).read_bytes()) == []
    assert schema_errors(sign(model, authority.signer()).read_bytes()) == []
    assert schema_errors(sign(model, authority.signer(), "blake2b").read_bytes()) == []
    blake3 = sign(model, authority.signer(), "blake3").read_bytes()
    assert schema_errors(blake3, blake3=True) == []
    assert schema_errors(blake3), "the schemas can fail"
    assert schema_errors((FIXTURES / "sigstore.sig").read_bytes()) == []


@pytest.mark.parametrize("hash_type", ["sha256", "blake3", "blake2b"])
def test_a_certified_signature_verifies_by_its_root(model: Path, authority: Authority, hash_type: str) -> None:
    sign(model, authority.signer(), hash_type)
    assert verified(model, authority.verifier(subject="release@example.com")).ok

    (model / "THIRD_PARTY" / "MIT.txt").write_bytes(b"MIT")
    [problem] = verified(model, authority.verifier()).problems
    assert (problem.path, problem.kind) == ("THIRD_PARTY/MIT.txt", "changed")


def test_a_certified_signature_fails_for_others(model: Path, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    sign(model, authority.signer())

    with pytest.raises(VerificationError, match="none of the given root certificates vouches"):
        verified(model, stranger.verifier())
    with pytest.raises(VerificationError, match="expected 'somebody else'"):
        verified(model, authority.verifier(subject="somebody else"))
    with pytest.raises(VerificationError, match="none of the given root certificates vouches"):
        verified(model, authority.verifier(now=NOW + timedelta(days=400)))
    with pytest.raises(VerificationError, match="a key that certificates vouch for"):
        verified(model, EcKeyVerifier.load(authority.folder / "key.pub"))


def test_an_issuer_that_is_no_authority_vouches_for_nobody(model: Path, tmp_path: Path) -> None:
    pretender = Authority(tmp_path / "pretender", ca=False)
    sign(model, pretender.signer())
    with pytest.raises(VerificationError, match="vouches"):
        verified(model, pretender.verifier())


USAGE_SIGN, USAGE_ENCRYPT = (
    x509.KeyUsage(
        digital_signature=signs, key_encipherment=not signs, content_commitment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )
    for signs in (True, False)
)  # fmt: skip
FOR_CODE, FOR_ALL, FOR_SERVERS = (
    x509.ExtendedKeyUsage([purpose])
    for purpose in (
        ExtendedKeyUsageOID.CODE_SIGNING,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.SERVER_AUTH,
    )
)


def self_issued(*extensions: x509.ExtensionType) -> tuple[CertificateChainVerifier, bytes, ec.EllipticCurvePrivateKey]:
    """A verifier that trusts a root, and a certificate with these extensions that the root issued, with its key."""
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def issue(name: str, public: ec.EllipticCurvePublicKey, ca: bool) -> x509.CertificateBuilder:
        subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, "root"))
        builder = x509.CertificateBuilder(issuer, subject, public, 5, NOW - timedelta(days=1), NOW + timedelta(days=1))
        return builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)

    root = issue("root", root_key.public_key(), ca=True).sign(root_key, hashes.SHA256())
    builder = issue("leaf", key.public_key(), ca=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    leaf = builder.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    return CertificateChainVerifier(roots=(root,), clock=lambda: NOW), leaf, key


@pytest.mark.parametrize(
    "extensions", [[USAGE_SIGN], [FOR_CODE], [FOR_ALL], [USAGE_SIGN, FOR_CODE]], ids=("usage", "code", "any", "both")
)
def test_a_certificate_for_signing_is_taken(extensions: list[x509.ExtensionType]) -> None:
    verifier, leaf, key = self_issued(*extensions)
    verifier.verify_certified((leaf,), b"m", key.sign(b"m", ec.ECDSA(hashes.SHA256())))


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ([], "does not say that it may sign"),
        ([FOR_SERVERS], "another purpose"),
        ([USAGE_SIGN, FOR_SERVERS], "another purpose"),
        ([USAGE_ENCRYPT], "may not sign"),
        ([USAGE_ENCRYPT, FOR_CODE], "may not sign"),
    ],
)
def test_a_certificate_for_something_else_is_refused(extensions: list[x509.ExtensionType], message: str) -> None:
    verifier, leaf, key = self_issued(*extensions)
    with pytest.raises(VerificationError, match=message):
        verifier.verify_certified((leaf,), b"m", key.sign(b"m", ec.ECDSA(hashes.SHA256())))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("06082a8648ce3d030107", "06082a8648ce3d030108"),
        ("a003020102", "a003020147"),
        ("06072a8648ce3d0201", "06072a8648ce3d0209"),
    ],
    ids=("curve", "version", "algorithm"),
)  # fmt: skip
def test_a_certificate_that_nobody_knows_how_to_read_is_refused(old: str, new: str) -> None:
    verifier, leaf, _ = self_issued(USAGE_SIGN)
    assert bytes.fromhex(old) in leaf
    strange = leaf.replace(bytes.fromhex(old), bytes.fromhex(new))
    for chain in ((strange,), (leaf, strange)):
        with pytest.raises(VerificationError):
            verifier.verify_certified(chain, b"m", b"x" * 70)


def test_a_pipe_in_place_of_certificates_or_a_key_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for load in (EcKeySigner.load, EcKeyVerifier.load, read_certificates):
        with pytest.raises(InputError, match="is a pipe"):
            load(tmp_path / "pipe")


def test_a_missing_link_in_the_chain_is_no_chain(model: Path, authority: Authority) -> None:
    sign(model, CertificateSigner.load(authority.key, authority.leaf))
    with pytest.raises(VerificationError, match="vouches"):
        verified(model, authority.verifier())


def test_somebody_elses_certificates_do_not_vouch_for_ones_own_key(
    model: Path, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises(InputError, match="not of the key"):
        CertificateSigner.load(stranger.key, authority.leaf)
    forged = CertificateSigner(
        certificate_chain=authority.signer().certificate_chain, _key=EcKeySigner.load(stranger.key)
    )
    sign(model, forged)
    with pytest.raises(VerificationError, match="does not match"):
        verified(model, authority.verifier())


def test_certified_signatures_are_exchanged_with_model_signing(model: Path, authority: Authority) -> None:
    signature = sign(model, authority.signer())
    common: tuple[str | Path, ...] = ("--signature", signature, model)
    # Their command line has no clock: its own certificates must be valid today.
    code = subprocess.run(
        [
            sys.executable,
            "-m",
            "model_signing",
            "verify",
            "certificate",
            "--certificate_chain",
            authority.roots,
            *common,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert code.returncode == 0, code.stderr + code.stdout

    signature.unlink()
    subprocess.run(
        [
            sys.executable, "-m", "model_signing", "sign", "certificate", "--private_key", authority.key,
            "--signing_certificate", authority.leaf, "--certificate_chain", authority.chain, *common,
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )  # fmt: skip
    assert verified(model, authority.verifier()).ok


@pytest.fixture
def sigstore_model(tmp_path: Path) -> Path:
    root = tmp_path / "v1.1.0-sigstore"
    root.mkdir()
    for name in ("signme-1", "signme-2"):
        (root / name).write_text(name)
    shutil.copy(FIXTURES / "sigstore.sig", root / SIGNATURE_NAME)
    return root


def test_a_signature_of_the_public_sigstore_verifies_offline(sigstore_model: Path) -> None:
    assert verified(sigstore_model, SIGNED_BY).ok

    (sigstore_model / "signme-2").write_text("signme-3")
    [problem] = verified(sigstore_model, SIGNED_BY).problems
    assert (problem.path, problem.kind) == ("signme-2", "changed")


@pytest.mark.parametrize(
    "expected",
    [
        replace(SIGNED_BY, identity="somebody@us.ibm.com"),
        replace(SIGNED_BY, issuer="https://accounts.google.com"),
    ],
)
def test_another_identity_than_the_expected_is_refused(sigstore_model: Path, expected: SigstoreVerifier) -> None:
    with pytest.raises(VerificationError, match="Sigstore does not vouch"):
        verified(sigstore_model, expected)


def test_an_altered_sigstore_bundle_is_refused(sigstore_model: Path) -> None:
    path = sigstore_model / SIGNATURE_NAME
    bundle = json.loads(path.read_bytes())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"signme-2", b"signme-3")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    path.write_text(json.dumps(bundle))
    with pytest.raises(VerificationError, match="Sigstore does not vouch"):
        verified(sigstore_model, SIGNED_BY)

    bundle["verificationMaterial"]["tlogEntries"] = []
    path.write_text(json.dumps(bundle))
    with pytest.raises(VerificationError, match="Sigstore does not vouch"):
        verified(sigstore_model, SIGNED_BY)


def test_a_sigstore_signature_needs_an_identity_to_verify_and_a_token_to_make(
    sigstore_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_key_pair(tmp_path / "key.pem", tmp_path / "key.pub")
    with pytest.raises(VerificationError, match="an identity that Sigstore vouches for"):
        verified(sigstore_model, EcKeyVerifier.load(tmp_path / "key.pub"))
    (tmp_path / "trust.json").write_text("{}")
    with pytest.raises(InputError, match="keys of Sigstore cannot be read"):
        SigstoreSigner(trust_config=tmp_path / "trust.json").sign_statement(b"{}")
