"""What the first version signed verifies for ever; see `fixtures/README.md`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from weighbridge.adopt.verify import SIGNATURE_NAME, verify_folder
from weighbridge.errors import VerificationError
from weighbridge.shell.signing import EcKeyVerifier

FIXTURES = Path(__file__).parent / "fixtures"
VERIFIER = EcKeyVerifier.load(FIXTURES / "signed-v1.pub")
DIGEST = "f441f76da182404fd57fbde5e49d65c614d1dce537e748c8a5850182fb01c6d9"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "signed-v1", tmp_path / "signed-v1"))


def test_a_folder_that_version_1_signed_verifies_with_the_digest_that_it_had_then() -> None:
    found = verify_folder(FIXTURES / "signed-v1", VERIFIER)
    assert found.problems == ()
    assert found.files == 4
    assert found.digest == DIGEST


def _link_out(path: Path) -> None:
    path.unlink()
    path.symlink_to(FIXTURES / "signed-v1" / path.name)


TAMPERINGS: dict[str, tuple[Callable[[Path], object], list[tuple[str, str]]]] = {
    "a changed byte": (
        lambda root: (root / "config.json").write_bytes((root / "config.json").read_bytes().replace(b"2", b"3")),
        [("config.json", "changed")],
    ),
    "an extra file": (lambda root: (root / "evil.py").write_text(""), [("evil.py", "extra")]),
    "a missing file": (lambda root: (root / "LICENSE").unlink(), [("LICENSE", "missing")]),
    "a renamed file": (
        lambda root: (root / "LICENSE").rename(root / "LICENCE"),
        [("LICENCE", "extra"), ("LICENSE", "missing")],
    ),
    "a link in place of a file": (
        lambda root: _link_out(root / "LICENSE"),
        [("LICENSE", "unsafe")],
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_folder_names_the_file(signed: Path, tampering: str) -> None:
    change, expected = TAMPERINGS[tampering]
    change(signed)
    assert [(problem.path, problem.kind) for problem in verify_folder(signed, VERIFIER).problems] == expected


@pytest.mark.parametrize("field", ["payload", "sig", "hint", "mediaType"])
def test_a_tampered_signature_is_refused(signed: Path, field: str) -> None:
    bundle = json.loads((signed / SIGNATURE_NAME).read_text())
    envelope = bundle["dsseEnvelope"]
    holder = {
        "payload": envelope,
        "sig": envelope["signatures"][0],
        "hint": bundle["verificationMaterial"]["publicKey"],
        "mediaType": bundle,
    }[field]
    text = holder[field]
    middle = len(text) // 2
    holder[field] = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    (signed / SIGNATURE_NAME).write_text(json.dumps(bundle))
    with pytest.raises(VerificationError):
        verify_folder(signed, VERIFIER)
