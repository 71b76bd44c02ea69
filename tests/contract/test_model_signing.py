"""Our signatures against the unmodified `model_signing` command line, in both directions."""

import base64
import io
import json
import runpy
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from weighbridge.adopt.verify import SIGNATURE_NAME, verify_folder
from weighbridge.checkpoint.read import read_folder
from weighbridge.dossier.signature import sign_files
from weighbridge.dossier.signature_reader import ShardSignatureError
from weighbridge.errors import VerificationError
from weighbridge.hub.folder import LocalHub, StagedVersion
from weighbridge.shell.cli import main
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair

FILES = {
    "model-00001-of-00002.safetensors": b"\0" * 70_000,
    "model-00002-of-00002.safetensors": b"\1" * 70_000,
    "config.json": b"{}",
    "sub/b.json": b"b",
    "sub.a/c": b"c",
    "ü z.txt": b"z",
    "empty": b"",
}


def model_signing_process(*arguments: object) -> tuple[int, str]:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def model_signing(*arguments: object) -> tuple[int, str]:
    """Run what `python -m model_signing` runs, but here: to start it takes seconds, and it is started fifty times."""
    output, asked = io.StringIO(), sys.argv
    sys.argv = ["model_signing", *map(str, arguments)]
    try:
        with redirect_stdout(output), redirect_stderr(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runpy.run_module("model_signing", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return code, output.getvalue()
    finally:
        sys.argv = asked
    return 0, output.getvalue()


class Side:
    """A folder, a key pair, and both tools."""

    def __init__(self, tmp_path: Path) -> None:
        self.key, self.public = tmp_path / "key.pem", tmp_path / "key.pub"
        create_key_pair(self.key, self.public)
        self.root = tmp_path / "model"
        for path, data in FILES.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(data)

    @property
    def signature(self) -> Path:
        return self.root / SIGNATURE_NAME

    def sign_with_ours(self) -> None:
        digests = {str(entry.path): entry.sha256 for entry in read_folder(self.root)}
        self.signature.write_bytes(sign_files(digests, name=self.root.name, signer=EcKeySigner.load(self.key)))

    def sign_with_theirs(self, *options: object) -> None:
        code, output = model_signing(
            "sign", "key", self.root, "--private_key", self.key, "--signature", self.signature, *options
        )
        assert code == 0, output

    def theirs_accepts(self, *options: object) -> tuple[bool, str]:
        code, output = model_signing(
            "verify", "key", self.root, "--public_key", self.public, "--signature", self.signature, *options
        )
        return code == 0, output

    def ours_accepts(self) -> bool:
        return verify_folder(self.root, EcKeyVerifier.load(self.public)).ok

    def statement(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(
            base64.b64decode(json.loads(self.signature.read_bytes())["dsseEnvelope"]["payload"])
        )
        return parsed


@pytest.fixture
def side(tmp_path: Path) -> Side:
    return Side(tmp_path)


def test_what_we_sign_verifies_with_their_command_line(side: Side) -> None:
    side.sign_with_ours()
    accepted, output = side.theirs_accepts()
    assert accepted, output
    assert "WARNING" not in output
    assert side.ours_accepts()


def test_their_command_line_as_people_start_it_signs_and_verifies(side: Side) -> None:
    code, output = model_signing_process(
        "sign", "key", side.root, "--private_key", side.key, "--signature", side.signature
    )
    assert code == 0, output
    assert side.ours_accepts()
    side.signature.unlink()
    side.sign_with_ours()
    verify = ("verify", "key", side.root, "--public_key", side.public, "--signature", side.signature)
    assert model_signing_process(*verify)[0] == 0
    (side.root / "config.json").write_bytes(b"[]")
    assert model_signing_process(*verify)[0] != 0


def test_what_their_command_line_signs_verifies_here(side: Side) -> None:
    side.sign_with_theirs()
    assert side.ours_accepts()
    assert side.theirs_accepts()[0]


def test_both_write_the_same_bundle_but_for_what_each_ignores(side: Side) -> None:
    side.sign_with_theirs("--no-ignore-git-paths")
    theirs, their_bundle = side.statement(), json.loads(side.signature.read_bytes())
    side.signature.unlink()
    side.sign_with_ours()
    ours, our_bundle = side.statement(), json.loads(side.signature.read_bytes())
    assert theirs == ours
    assert list(theirs["predicate"]["resources"]) == list(ours["predicate"]["resources"])
    for bundle in (their_bundle, our_bundle):
        envelope = bundle["dsseEnvelope"]
        del envelope["payload"], envelope["signatures"][0]["sig"]
    assert their_bundle == our_bundle


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: str(curve.name))
def test_every_curve_of_the_specification_works_in_both_directions(side: Side, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    side.key.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )
    side.public.write_bytes(key.public_key().public_bytes(pem, spki))
    side.sign_with_ours()
    accepted, output = side.theirs_accepts()
    assert accepted, output
    side.signature.unlink()
    side.sign_with_theirs()
    assert side.ours_accepts()


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def _link_out(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to("../outside")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda root: _flip(root / "model-00002-of-00002.safetensors"),
    "an extra file": lambda root: (root / "sub/extra").write_text(""),
    "a missing file": lambda root: (root / "config.json").unlink(),
    "a renamed file": lambda root: (root / "config.json").rename(root / "configuration.json"),
    "two swapped files": lambda root: [(root / "sub/b.json").write_bytes(b"c"), (root / "sub.a/c").write_bytes(b"b")],
    "a link out": lambda root: _link_out(root / "empty"),
}


@pytest.mark.parametrize("signed_by", ["ours", "theirs"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_folder_fails_in_both(side: Side, change: str, signed_by: str) -> None:
    side.sign_with_ours() if signed_by == "ours" else side.sign_with_theirs()
    CHANGES[change](side.root)
    accepted, output = side.theirs_accepts()
    assert not accepted, output
    assert not side.ours_accepts()


def test_another_key_fails_in_both(side: Side, tmp_path: Path) -> None:
    side.sign_with_ours()
    side.public = tmp_path / "other.pub"
    create_key_pair(tmp_path / "other", side.public)
    assert not side.theirs_accepts()[0]
    with pytest.raises(VerificationError):
        side.ours_accepts()


def test_an_altered_statement_fails_in_both(side: Side) -> None:
    side.sign_with_ours()
    bundle = json.loads(side.signature.read_bytes())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b'"empty"', b'"emptx"')
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    side.signature.write_text(json.dumps(bundle))
    (side.root / "empty").rename(side.root / "emptx")
    assert not side.theirs_accepts()[0]
    with pytest.raises(VerificationError):
        side.ours_accepts()


def test_files_of_git_that_we_sign_need_an_option_of_their_command_line(side: Side) -> None:
    (side.root / ".gitattributes").write_text("*.safetensors filter=lfs")
    side.sign_with_ours()
    assert side.ours_accepts()
    assert not side.theirs_accepts()[0], "it ignores git's files by default, so it misses what is signed"
    accepted, output = side.theirs_accepts("--no-ignore-git-paths")
    assert accepted, output


def test_files_that_their_command_line_left_unsigned_are_named_here(side: Side) -> None:
    (side.root / ".gitattributes").write_text("*.safetensors filter=lfs")
    side.sign_with_theirs()
    assert side.theirs_accepts()[0]
    found = verify_folder(side.root, EcKeyVerifier.load(side.public))
    assert [(problem.path, problem.kind) for problem in found.problems] == [(".gitattributes", "extra")]


def sign_by_their_library(side: Side, hashing: str) -> None:
    code = (
        "import sys, model_signing; "
        f"model_signing.signing.Config().use_elliptic_key_signer(private_key=sys.argv[1]).set_hashing_config("
        f"model_signing.hashing.Config().{hashing}).sign(sys.argv[2], sys.argv[3])"
    )
    subprocess.run([sys.executable, "-c", code, side.key, side.root, side.signature], check=True, timeout=60)


@pytest.mark.parametrize("algorithm", ["blake3", "blake2"])
def test_their_other_hashes_verify_here(side: Side, algorithm: str) -> None:
    sign_by_their_library(side, f"use_file_serialization(hashing_algorithm='{algorithm}')")
    assert side.ours_accepts()
    (side.root / "config.json").write_bytes(b"[]")
    [problem] = verify_folder(side.root, EcKeyVerifier.load(side.public)).problems
    assert (problem.path, problem.kind) == ("config.json", "changed")


def test_their_shards_are_verified_by_their_library(side: Side, capsys: pytest.CaptureFixture[str]) -> None:
    sign_by_their_library(side, "use_shard_serialization(shard_size=50_000)")
    with pytest.raises(ShardSignatureError) as caught:
        side.ours_accepts()
    assert (caught.value.hash_type, caught.value.shard_bytes) == ("sha256", 50_000)

    verify = ["verify", str(side.root), "--key", str(side.public)]
    assert main(verify) == 1, "their shards say nothing about empty files"
    assert "covers no empty file" in capsys.readouterr().err
    (side.root / "empty").unlink()
    assert main(verify) == 0
    assert "good: in shards of 50 kB" in capsys.readouterr().out
    (side.root / "extra").write_bytes(b"x")
    assert main(verify) == 1, "what is not signed must not be there"
    (side.root / "extra").unlink()
    (side.root / "config.json").write_bytes(b"[]")
    assert main(verify) == 1
    assert "not what was signed" in capsys.readouterr().err


def test_shards_signed_by_somebody_else_are_refused(side: Side, tmp_path: Path) -> None:
    sign_by_their_library(side, "use_shard_serialization(shard_size=50_000)")
    create_key_pair(tmp_path / "other.pem", tmp_path / "other.pub")
    assert main(["verify", str(side.root), "--key", str(tmp_path / "other.pub")]) == 1


def test_a_published_version_verifies_with_their_command_line_where_it_lies_and_by_its_name(
    side: Side, tmp_path: Path
) -> None:
    side.sign_with_ours()
    hub = LocalHub(tmp_path / "hub")
    staged = StagedVersion(
        name="acme/model", folder=side.root, manifest=read_folder(side.root), stage="open", record={}
    )
    hub.publish([staged], page=lambda _: "")
    for folder, options in ((hub.path_of("model"), []), (hub.root / "models/acme/model", ["--allow_symlinks"])):
        side.root = folder
        accepted, output = side.theirs_accepts(*options)
        assert accepted, output
        assert side.ours_accepts()
        assert folder.samefile(hub.path_of("model"))
