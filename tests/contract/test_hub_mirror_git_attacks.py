"""What a hub that means harm can do to the one that pulls from it by Git: be refused, with a sentence."""

# ruff: noqa: E501 - what a source says is read as it is sent

import hashlib
import struct
import zlib
from typing import Any

import pytest
from evil_source import COMMIT, INFO, LARGE, SHA256, Evil, endless, told

from weighbridge.errors import WeighbridgeError
from weighbridge.hub.git.objects import oid_of
from weighbridge.hub.mirror import pack_reader
from weighbridge.hub.mirror.pack_reader import PackError
from weighbridge.shell.hub import mirror_git


def packet(data: bytes) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)


def blob(kind: str, data: bytes) -> tuple[str, bytes]:
    return kind, data


def pack_of(*objects: tuple[str, bytes]) -> bytes:
    numbers = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
    body = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, data in objects:
        body += entry(numbers[kind], len(data)) + zlib.compress(data)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def entry(kind: int, size: int) -> bytes:
    head, size = kind << 4 | size & 15, size >> 4
    made = b""
    while size:
        made += bytes([head | 128])
        head, size = size & 127, size >> 7
    return made + bytes([head])


def a_commit_of(*files: tuple[str, bytes], names: tuple[bytes, ...] = (b"w.bin",)) -> tuple[tuple[str, bytes], ...]:
    """Return the objects of a commit of these files, itself last."""
    tree = b"".join(
        b"100644 " + name + b"\0" + bytes.fromhex(oid_of("blob", data))
        for name, (_, data) in zip(names, files, strict=True)
    )
    who = b"a <a@b> 1 +0000"
    made = b"tree " + oid_of("tree", tree).encode() + b"\nauthor " + who + b"\ncommitter " + who + b"\n\nt\n"
    return (*files, ("tree", tree), ("commit", made))


def by_git(evil: Evil, objects: tuple[tuple[str, bytes], ...] = (), *, pack: bytes = b"") -> None:
    head = oid_of("commit", objects[-1][1]) if objects else COMMIT
    advertised = packet(b"# service=git-upload-pack\n") + b"0000"
    advertised += packet(f"{head} refs/heads/main\0side-band-64k ofs-delta\n".encode()) + b"0000"
    kind = "application/x-git-upload-pack-{}".format
    evil.answers["/info/refs"] = told(advertised, Content_Type=kind("advertisement"))
    data = pack or pack_of(*objects)
    packets = b"".join(packet(b"\1" + data[at : at + 60_000]) for at in range(0, len(data), 60_000))
    evil.answers["/git-upload-pack"] = told(packet(b"NAK\n") + packets + b"0000", Content_Type=kind("result"))
    evil.answers["/api/models/alice/m"] = told(INFO)


def test_endless_git_answers_are_given_up(evil: Evil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_git, "MAX_REFS_BYTES", 2**16)
    monkeypatch.setattr(mirror_git, "MAX_PACK_BYTES", 2**15)
    objects = a_commit_of(blob("blob", b"x"))
    for part in (
        b"0000",
        b"0001",
        packet(b"x"),
        packet(b"\2" + b"w" * 1000),
        packet(b"NAK\n"),
        packet(b"\1" + b"p" * 9000),
    ):
        by_git(evil, objects)
        evil.answers["/info/refs"] = endless(part, Content_Type="application/x-git-upload-pack-advertisement")
        evil.is_refused()
        by_git(evil, objects)
        evil.answers["/git-upload-pack"] = endless(part, Content_Type="application/x-git-upload-pack-result")
        evil.is_refused()


def test_too_many_refs_are_refused(evil: Evil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_git, "MAX_REFS", 100)
    by_git(evil, a_commit_of(blob("blob", b"x")))
    lines = [packet(b"# service=git-upload-pack\n"), packet(COMMIT.encode() + b" HEAD\0side-band-64k\n")]
    lines += [packet(f"{COMMIT} refs/heads/b{number}\n".encode()) for number in range(101)]
    evil.answers["/info/refs"] = told(b"".join(lines), Content_Type="application/x-git-upload-pack-advertisement")
    evil.is_refused(match="branches and tags")


@pytest.mark.parametrize("name", [b"..", b".", b".git", b"a/b", b"", b".GIT", b"a\\b", b"\xff\xfe"])
def test_no_tree_names_what_leads_out(evil: Evil, name: bytes) -> None:
    by_git(evil, a_commit_of(blob("blob", b"x"), names=(name,)))
    evil.is_refused(WeighbridgeError)


def test_a_small_pack_does_not_unpack_to_gigabytes(evil: Evil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_reader, "FREE_BYTES", 16 * 2**20)
    bombs = tuple(blob("blob", bytes([number]) * 2**20) for number in range(40))
    by_git(evil, a_commit_of(*bombs, names=tuple(b"f%02d" % number for number in range(40))))
    evil.is_refused(PackError, match="unpacks to far more")
    # By deltas, each of which makes a megabyte of nine bytes.
    base = b"b" * 2**20
    body = entry(3, len(base)) + zlib.compress(base)
    offsets = [12]
    for number in range(40):
        # Copy all but the last byte of the base, and add one of its own.
        delta = varint(2**20) + varint(2**20) + copied(2**20 - 1) + bytes([1, number])
        at = 12 + len(body)
        offsets.append(at)
        body += entry(7, len(delta)) + bytes.fromhex(oid_of("blob", base)) + zlib.compress(delta)
    body = b"PACK" + struct.pack(">II", 2, len(offsets)) + body
    by_git(evil, pack=body + hashlib.sha1(body, usedforsecurity=False).digest())
    evil.is_refused(PackError, match="unpacks to far more")


def varint(number: int) -> bytes:
    made = b""
    while number > 127:
        made += bytes([number & 127 | 128])
        number >>= 7
    return made + bytes([number])


def copied(size: int) -> bytes:
    return bytes([0b1111_0000]) + size.to_bytes(3, "little")


@pytest.mark.parametrize(
    "action",
    [
        {"href": "http://169.254.169.254/"}, {"href": "file:///etc/passwd"}, {"href": "http://["}, {"href": 7},
        {"href": "/x", "header": {"Host": "internal"}}, {"href": "/x", "header": {"Transfer-Encoding": "chunked"}},
        {"href": "/x", "header": {"X: y\r\nZ": "z"}}, {"href": "/x", "header": {"X": "y\r\nZ: z"}},
        {"href": "/x", "header": {"X": "\ud800"}}, {"href": "/x", "header": [1]}, {"href": "/\ud800"}, {"href": "/ x\n"},
        {"href": "/x", "header": {str(n): "" for n in range(100)}}, {},
    ],
)  # fmt: skip
def test_no_place_of_a_large_file_is_followed_blindly(evil: Evil, action: dict[str, Any]) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{SHA256}\nsize {len(LARGE)}\n".encode()
    by_git(evil, a_commit_of(blob("blob", pointer)))
    told_places = {"objects": [{"oid": SHA256, "size": len(LARGE), "actions": {"download": action}}]}
    evil.answers = {"/info/lfs/": told(told_places), **evil.answers}
    evil.is_refused()
