import os
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from weighbridge.adopt.verify import SIGNATURE_NAME, Verification, verify_folder
from weighbridge.checkpoint.read import read_folder
from weighbridge.dossier.signature import sign_files
from weighbridge.errors import InputError, VerificationError
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair

FILES = {
    "model.safetensors": bytes(range(256)) * 8192,
    "config.json": b"{}",
    "empty": b"",
    "a/b.json": b"b",
    "a.b/c": b"c",
    "ü z.txt": b"z",
    ".hidden/x": b"x",
}


class Signed:
    """A signed folder, beside the keys."""

    def __init__(self, tmp_path: Path) -> None:
        self.signer: EcKeySigner = create_key_pair(tmp_path / "key", tmp_path / "key.pub")
        self.verifier = EcKeyVerifier.load(tmp_path / "key.pub")
        self.outside = tmp_path / "outside"
        self.outside.write_bytes(b"{}")
        self.root = tmp_path / "model"
        for path, data in FILES.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_bytes(data)
        self.sign()

    def sign(self) -> None:
        (self.root / SIGNATURE_NAME).unlink(missing_ok=True)
        digests = {str(entry.path): entry.sha256 for entry in read_folder(self.root)}
        (self.root / SIGNATURE_NAME).write_bytes(sign_files(digests, name="model", signer=self.signer))

    def verify(self) -> Verification:
        return verify_folder(self.root, self.verifier)

    def problems(self) -> list[tuple[str, str]]:
        found = self.verify()
        assert found.ok is (not found.problems)
        return [(problem.path, problem.kind) for problem in found.problems]


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


def test_a_folder_as_signed_is_ok_and_its_digest_is_that_of_its_files(signed: Signed) -> None:
    seen: list[int] = []
    found = verify_folder(signed.root, signed.verifier, on_bytes=seen.append, threads=2)
    assert found.ok
    assert found.files == len(FILES)
    assert found.size_bytes == sum(map(len, FILES.values())) == sum(seen)
    assert found.digest == read_folder(signed.root).without(SIGNATURE_NAME).digest
    assert found.to_json()["problems"] == []


@pytest.mark.parametrize("path", FILES)
def test_one_flipped_bit_in_any_file_names_it(signed: Signed, path: str) -> None:
    data = bytearray(FILES[path] or b"\0")
    data[len(data) // 2] ^= 1
    (signed.root / path).write_bytes(bytes(data))
    found = signed.verify()
    assert [(p.path, p.kind) for p in found.problems] == [(path, "changed")]
    assert "SHA-256" in found.problems[0].message
    assert not found.ok


def test_a_truncated_and_a_longer_file_are_changed(signed: Signed) -> None:
    (signed.root / "config.json").write_bytes(b"{")
    (signed.root / "a/b.json").write_bytes(b"b\n")
    assert signed.problems() == [("a/b.json", "changed"), ("config.json", "changed")]


def test_missing_extra_and_renamed_files_are_all_named(signed: Signed) -> None:
    (signed.root / "config.json").unlink()
    (signed.root / "ü z.txt").rename(signed.root / "u z.txt")
    (signed.root / "a/extra.py").write_text("import os")
    (signed.root / ".git").mkdir()
    (signed.root / ".git/hook").write_text("")
    assert signed.problems() == [
        (".git/hook", "extra"),
        ("a/extra.py", "extra"),
        ("config.json", "missing"),
        ("u z.txt", "extra"),
        ("ü z.txt", "missing"),
    ]


def test_two_files_that_swapped_their_bytes_are_both_changed(signed: Signed) -> None:
    (signed.root / "a/b.json").write_bytes(b"c")
    (signed.root / "a.b/c").write_bytes(b"b")
    assert signed.problems() == [("a.b/c", "changed"), ("a/b.json", "changed")]


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def test_links_that_leave_the_folder_are_unsafe_even_to_the_signed_bytes(signed: Signed) -> None:
    _replace(signed.root / "config.json", lambda path: path.symlink_to(signed.outside))
    (signed.root / "up").symlink_to("../outside")
    (signed.root / "folder").symlink_to(signed.outside.parent)
    (signed.root / "nowhere").symlink_to("gone")
    (signed.root / "loop").symlink_to("loop")
    assert signed.problems() == [(name, "unsafe") for name in ("config.json", "folder", "loop", "nowhere", "up")]


def test_a_link_inside_the_folder_is_held_to_the_signed_bytes(signed: Signed) -> None:
    _replace(signed.root / "config.json", lambda path: path.symlink_to("a/same"))
    (signed.root / "a/same").write_bytes(b"[]")
    assert signed.problems() == [("a/same", "extra"), ("config.json", "changed")]


def test_pipes_and_sockets_are_unsafe_and_never_waited_for(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    _replace(signed.root / "config.json", os.mkfifo)
    monkeypatch.chdir(signed.root)  # the address of a socket is short; a temporary folder's path may not be
    monkeypatch.chdir(signed.root)  # the address of a socket is short, the path of a temporary folder need not be
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert signed.problems() == [("config.json", "unsafe"), ("socket", "unsafe")]


@pytest.mark.parametrize("name", [b"new\nline", b"back\\slash", b"not-utf8-\xff"])
def test_names_that_are_no_plain_names_are_unsafe(signed: Signed, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(signed.root) + b"/" + name)).write_bytes(b"")
    (found,) = signed.verify().problems
    assert found.kind == "unsafe"
    assert (found.path + found.message).isprintable()


def test_a_signature_by_another_key_is_refused_before_any_file_is_read(signed: Signed, tmp_path: Path) -> None:
    create_key_pair(tmp_path / "k2", tmp_path / "k2.pub")
    seen: list[int] = []
    with pytest.raises(VerificationError, match="another key") as caught:
        verify_folder(signed.root, EcKeyVerifier.load(tmp_path / "k2.pub"), on_bytes=seen.append)
    assert seen == []
    assert caught.value.place == str(signed.root / SIGNATURE_NAME)


def test_a_folder_without_signature_is_refused(signed: Signed) -> None:
    (signed.root / SIGNATURE_NAME).unlink()
    with pytest.raises(VerificationError, match=r"holds no model\.sig"):
        signed.verify()


MAKERS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link to a good signature": lambda path: path.symlink_to("../moved.sig"),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_signature_that_is_no_regular_file_is_refused(signed: Signed, kind: str) -> None:
    signature = signed.root / SIGNATURE_NAME
    signature.rename(signed.root.parent / "moved.sig")
    MAKERS[kind](signature)
    with pytest.raises(VerificationError) as caught:
        signed.verify()
    assert caught.value.place == str(signature)


def test_a_folder_that_is_not_there_is_unusable_input(tmp_path: Path, signed: Signed) -> None:
    with pytest.raises(InputError, match="no such folder"):
        verify_folder(tmp_path / "none", signed.verifier)


def test_a_folder_named_through_a_link_verifies(signed: Signed, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(signed.root)
    assert verify_folder(tmp_path / "link", signed.verifier).ok


def test_memory_does_not_grow_with_the_size_of_a_file(signed: Signed) -> None:
    with (signed.root / "big").open("wb") as file:
        file.truncate(512 * 1024 * 1024)
    signed.sign()
    tracemalloc.start()
    try:
        assert signed.verify().ok
        assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    finally:
        tracemalloc.stop()
