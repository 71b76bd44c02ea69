"""Which paths and names are taken, compared with what real git takes."""

import subprocess

import pytest

from weighbridge.hub.git.objects import GitObjectError
from weighbridge.hub.git.paths import (
    GitPathError,
    RefNameError,
    check_branch,
    check_folder,
    check_path,
    check_ref,
    check_tag,
    refs_of_revision,
)
from weighbridge.hub.git.pointer import LfsPointer, encode_pointer, parse_pointer

OID = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        ".gitattributes",
        ".gitignore",
        "a/.github/b",
        "git~2",
        "data/part 1 (of 2)~.bin",
        "模型/größe.safetensors",
        "👩‍🚀.txt",
        "a" * 255,
        "/".join("d" * 64),
        "x.git",
        "...",
    ],
)
def test_ordinary_paths_are_taken(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/./b",
        ".git/config",
        "a/.GIT/hooks",
        "a/.Git",
        ".git./x",
        ".git /x",
        ".git. . /x",
        "GIT~1/x",
        ".git::$INDEX_ALLOCATION/x",
        ".git:x",
        ".g\u200cit/config",
        "\ufeff.git",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\x7fb",
        "a\x9bb",
        "\ud800",
        "a" * 256,
        "ü" * 128,
        "/".join("d" * 65),
        "/".join(["d" * 200] * 6),
        "/".join(["ü" * 100] * 6),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(GitPathError):
        check_path(path)


def test_a_folder_may_close_with_a_slash() -> None:
    assert check_folder("a/b/") == "a/b"
    assert check_folder("") == ""
    with pytest.raises(GitPathError):
        check_folder("a//")


NAMES = [
    "main",
    "feature/x",
    "v1.0",
    "ünï",
    "a.b",
    "a-",
    "@a",
    "a@b",
    "",
    "a..b",
    ".a",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a/",
    "/a",
    "a//b",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[b",
    "a\\b",
    "a@{1}",
    "a.",
    "a\x7f",
    "a\tb",
]


@pytest.mark.parametrize("name", NAMES)
def test_branch_names_are_those_that_git_takes(name: str) -> None:
    git = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False)
    if git.returncode == 0:
        assert check_branch(name) == check_tag(name) == name
        assert check_ref(f"refs/heads/{name}") == f"refs/heads/{name}"
    else:
        with pytest.raises(RefNameError):
            check_branch(name)
        with pytest.raises(RefNameError):
            check_ref(f"refs/heads/{name}")


@pytest.mark.parametrize(
    "name", [OID, OID.upper(), "HEAD", "@", "refs/pr/1", "refs/heads/main", "-d", "a" * 251, "\ud800"]
)
def test_names_that_would_be_taken_for_something_else_are_refused(name: str) -> None:
    for check in (check_branch, check_tag):
        with pytest.raises(RefNameError):
            check(name)


def test_a_revision_names_a_branch_before_a_tag() -> None:
    assert refs_of_revision("main") == ("refs/heads/main", "refs/tags/main")
    assert refs_of_revision("refs/pr/1") == ("refs/pr/1",)
    assert refs_of_revision(OID) == ()
    with pytest.raises(RefNameError):
        refs_of_revision("main~1")


SHA256 = "a" * 64
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize 12\n".encode()


def test_a_pointer_reads_back() -> None:
    pointer = LfsPointer(sha256=SHA256, size_bytes=12)
    assert encode_pointer(pointer) == POINTER
    assert parse_pointer(POINTER) == pointer
    assert parse_pointer(encode_pointer(LfsPointer(sha256=SHA256, size_bytes=0))) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        POINTER[:-1],
        POINTER + b"\n",
        POINTER.replace(b"size 12", b"size 012"),
        POINTER.replace(b"size 12", b"size -1"),
        POINTER.replace(b"size 12", b"size " + b"9" * 19),
        POINTER.replace(b"aaaa", b"AAAA"),
        POINTER.replace(b"sha256:", b"md5:"),
        POINTER.replace(b"\n", b"\r\n"),
        POINTER + b"x" * 2000,
    ],
)
def test_what_is_not_quite_a_pointer_is_an_ordinary_file(data: bytes) -> None:
    assert parse_pointer(data) is None


def test_a_pointer_states_a_possible_content() -> None:
    with pytest.raises(GitObjectError):
        LfsPointer(sha256="A" * 64, size_bytes=1)
    with pytest.raises(GitObjectError):
        LfsPointer(sha256=SHA256, size_bytes=-1)
