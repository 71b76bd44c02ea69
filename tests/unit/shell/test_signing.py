import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from weighbridge.dossier.signature import SignatureVerifier, Signer
from weighbridge.errors import InputError, WorkspaceError
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair, write_public_key
from weighbridge.testing import SignerSuite

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
SEC1 = serialization.PrivateFormat.TraditionalOpenSSL
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
PLAIN = serialization.NoEncryption()


class CurveSuite(SignerSuite):
    curve: ec.EllipticCurve
    form = PKCS8

    @pytest.fixture(autouse=True)
    def _keys(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        for name in ("ours", "other"):
            key = ec.generate_private_key(self.curve)
            (tmp_path / name).write_bytes(key.private_bytes(PEM, self.form, PLAIN))
            (tmp_path / f"{name}.pub").write_bytes(key.public_key().public_bytes(PEM, SPKI))

    def pair(self) -> tuple[Signer, SignatureVerifier]:
        return EcKeySigner.load(self.folder / "ours"), EcKeyVerifier.load(self.folder / "ours.pub")

    def stranger(self) -> SignatureVerifier:
        return EcKeyVerifier.load(self.folder / "other.pub")


class TestP256(CurveSuite):
    curve = ec.SECP256R1()


class TestP256InSec1Form(CurveSuite):
    curve = ec.SECP256R1()
    form = SEC1


class TestP384(CurveSuite):
    curve = ec.SECP384R1()


class TestP521(CurveSuite):
    curve = ec.SECP521R1()


def test_a_new_pair_belongs_together_and_only_its_owner_reads_the_private_key(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        signer = create_key_pair(tmp_path / "keys" / "k.pem", tmp_path / "k.pub")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "keys" / "k.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "k.pub").stat().st_mode) == 0o644
    assert EcKeySigner.load(tmp_path / "keys" / "k.pem").public_key_pem == signer.public_key_pem
    assert (tmp_path / "k.pub").read_bytes() == signer.public_key_pem
    EcKeyVerifier.load(tmp_path / "k.pub").verify(b"x", signer.sign(b"x"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["k.pem", "k.pub", "keys"]


def test_a_strict_umask_takes_no_permission_away(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        create_key_pair(tmp_path / "k.pem", tmp_path / "k.pub")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("present", ["k.pem", "k.pub"])
def test_an_existing_key_is_never_overwritten(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_text("precious")
    with pytest.raises(InputError, match="exists already") as caught:
        create_key_pair(tmp_path / "k.pem", tmp_path / "k.pub")
    assert caught.value.place == str(tmp_path / present)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(present, "precious")]


def test_a_dangling_link_in_place_of_a_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "k.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="exists already"):
        create_key_pair(tmp_path / "k.pem", tmp_path / "k.pub")
    assert not (tmp_path / "elsewhere").exists()


def test_of_many_that_create_the_same_key_one_wins_and_the_files_match(tmp_path: Path) -> None:
    outcomes: list[str] = []

    def create() -> None:
        try:
            create_key_pair(tmp_path / "k.pem", tmp_path / "k.pub")
            outcomes.append("made")
        except InputError:
            outcomes.append("refused")

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("made") == 1
    assert EcKeySigner.load(tmp_path / "k.pem").public_key_pem == (tmp_path / "k.pub").read_bytes()


def test_a_lost_public_key_is_made_again_from_the_private_one(tmp_path: Path) -> None:
    create_key_pair(tmp_path / "k.pem", tmp_path / "k.pub")
    before = (tmp_path / "k.pub").read_bytes()
    (tmp_path / "k.pub").unlink()
    write_public_key(EcKeySigner.load(tmp_path / "k.pem"), tmp_path / "k.pub")
    assert (tmp_path / "k.pub").read_bytes() == before


def test_a_place_that_cannot_be_written_leaves_no_private_key_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError) as caught:
        create_key_pair(tmp_path / "k.pem", tmp_path / "file" / "k.pub")
    assert caught.value.place == str(tmp_path / "file" / "k.pub")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def _ec() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no private key in PEM form"),
        (b"garbage", "no private key in PEM form"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key in PEM form"),
        (_ec().public_key().public_bytes(PEM, SPKI), "a public key, not a private one"),
        (_ec().private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"secret")), "encrypted"),
        (_ec().private_bytes(PEM, SEC1, serialization.BestAvailableEncryption(b"secret")), "encrypted"),
        (rsa.generate_private_key(65537, 2048).private_bytes(PEM, PKCS8, PLAIN), "not an elliptic-curve key"),
        (ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, PLAIN), "not an elliptic-curve key"),
        (ec.generate_private_key(ec.SECP256K1()).private_bytes(PEM, PKCS8, PLAIN), "secp256k1 is not used"),
        (b"x" * 70_000, "larger than"),
    ],
)
def test_what_is_no_private_key_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "k").write_bytes(data)
    with pytest.raises(InputError, match=message) as caught:
        EcKeySigner.load(tmp_path / "k")
    assert caught.value.place == str(tmp_path / "k")
    assert caught.value.hint or "larger" in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"garbage", "no public key in PEM form"),
        (_ec().private_bytes(PEM, PKCS8, PLAIN), "a private key, not a public one"),
        (_ec().private_bytes(PEM, SEC1, PLAIN), "a private key, not a public one"),
        (rsa.generate_private_key(65537, 2048).public_key().public_bytes(PEM, SPKI), "not an elliptic-curve key"),
        (ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(PEM, SPKI), "secp256k1 is not used"),
    ],
)
def test_what_is_no_public_key_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "k").write_bytes(data)
    with pytest.raises(InputError, match=message):
        EcKeyVerifier.load(tmp_path / "k")


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    for load in (EcKeySigner.load, EcKeyVerifier.load):
        with pytest.raises(InputError, match="no such file") as caught:
            load(tmp_path / "none")
        assert caught.value.place == str(tmp_path / "none")


def test_a_private_key_never_shows_in_its_repr(tmp_path: Path) -> None:
    signer = create_key_pair(tmp_path / "k", tmp_path / "p")
    assert repr(signer) == f"EcKeySigner(public_key_pem={signer.public_key_pem!r})"
