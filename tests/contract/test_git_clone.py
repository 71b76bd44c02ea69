"""Unmodified git clones and fetches from objects that were made here."""

import gzip
import io
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from weighbridge.errors import InputError
from weighbridge.hub.git import upload_pack as protocol
from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    Mode,
    Person,
    TagFacts,
    encode_commit,
    encode_tag,
)
from weighbridge.hub.git.tree import Change, DeleteFile, Put, apply

WHO = Person(name="Ana", email="ana@example.org")


class ServedRepository:
    """A repository in memory, served over HTTP on loopback."""

    def __init__(self) -> None:
        self.objects = InMemoryObjects()
        self.refs: dict[str, str] = {}
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.url = ""
        self.packs_sent: list[int] = []
        self.errors: list[InputError] = []
        self.encodings: set[str] = set()

    def commit(
        self, changes: dict[str, bytes | None], *, branch: str = "main", onto: tuple[str, ...] | None = None
    ) -> str:
        ref = f"refs/heads/{branch}"
        parents = onto if onto is not None else (self.refs[ref],) if ref in self.refs else ()
        tree = EMPTY_TREE_OID
        if parents:
            tree = tree_of(self.objects, parents[0])
        steps: list[Change] = [
            DeleteFile(path=path)
            if data is None
            else Put(
                path=path,
                blob_oid=self.objects.add("blob", data),
                mode=Mode.EXECUTABLE if path.endswith(".sh") else Mode.FILE,
            )
            for path, data in changes.items()
        ]
        tree, new = apply(self.objects, tree, steps)
        self.objects.objects.update(new)
        self.now += timedelta(minutes=1)
        facts = CommitFacts(tree=tree, parents=parents, author=WHO, committed_at=self.now, title=f"At {self.now}")
        self.refs[ref] = self.objects.add("commit", encode_commit(facts))
        return self.refs[ref]

    def tag(self, name: str, target: str) -> str:
        facts = TagFacts(
            target=target, target_kind="commit", name=name, tagger=WHO, tagged_at=self.now, message="Tagged"
        )
        self.refs[f"refs/tags/{name}"] = oid = self.objects.add("tag", encode_tag(facts))
        return oid


def tree_of(objects: InMemoryObjects, commit: str) -> str:
    return objects.read(commit).data[5:45].decode()


@pytest.fixture
def served() -> Iterator[ServedRepository]:
    repository = ServedRepository()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            assert self.path == "/acme/osprey.git/info/refs?service=git-upload-pack"
            peeled = protocol.peeled_tags(repository.objects, repository.refs)
            body = protocol.advertise_refs(repository.refs, "refs/heads/main", peeled=peeled)
            self.answer(protocol.ADVERTISEMENT_TYPE)
            self.wfile.write(body)

        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-git-upload-pack-request"
            encoding = self.headers.get("Content-Encoding", "")
            repository.encodings.add(encoding)
            body = io.BytesIO(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(protocol.RESULT_TYPE)
            sizes = [0]

            def out(part: bytes) -> None:
                sizes[0] += len(part)
                self.wfile.write(part)

            try:
                protocol.upload_pack(repository.objects, repository.refs, protocol.plain_body(body, encoding), out)
            except InputError as error:
                repository.errors.append(error)
            repository.packs_sent.append(sizes[0])

        def answer(self, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        repository.url = f"http://127.0.0.1:{server.server_port}/acme/osprey.git"
        yield repository
        server.shutdown()
        thread.join()


def git(*arguments: str, within: Path | None = None, fails: bool = False) -> str:
    # No settings of whoever runs the tests, above all no LFS filters that would ask the server for contents.
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    checked = ["git", "-c", "transfer.fsckObjects=true", "-c", "protocol.version=2", *arguments]
    done = subprocess.run(checked, cwd=within, env=environment, capture_output=True, check=False, timeout=60)
    assert (done.returncode != 0) == fails, done.stderr.decode()
    return (done.stderr if fails else done.stdout).decode().strip()


def a_history(served: ServedRepository, commits: int = 6) -> list[str]:
    made = [served.commit({"README.md": b"# Osprey\n", "run.sh": b"#!/bin/sh\n", "shards/a/1.json": b"{}\n"})]
    made += [
        served.commit({f"shards/a/{number}.json": b"%d\n" % number, "README.md": b"# %d\n" % number})
        for number in range(1, commits)
    ]
    return made


def test_git_clones_every_branch_and_tag(served: ServedRepository, tmp_path: Path) -> None:
    commits = a_history(served)
    side = served.commit({"side": b"1"}, branch="side", onto=(commits[2],))
    merged = served.commit({"side": b"1"}, onto=(commits[-1], side))
    served.tag("v1.0", commits[3])
    served.refs["refs/tags/light"] = commits[1]
    served.commit({"weights.bin": os.urandom(300_000), "größe 模型.txt": b"x"})
    git("clone", served.url, str(tmp_path / "clone"))
    clone = tmp_path / "clone"
    assert git("fsck", "--strict", "--full", within=clone) == ""
    assert git("rev-parse", "HEAD", within=clone) == served.refs["refs/heads/main"]
    assert git("symbolic-ref", "HEAD", within=clone) == "refs/heads/main"
    assert git("rev-parse", "origin/side", within=clone) == side
    assert git("rev-parse", "v1.0^{commit}", within=clone) == commits[3]
    assert git("rev-parse", "light", within=clone) == commits[1]
    assert git("rev-list", "--count", "HEAD", within=clone) == "9"
    assert git("merge-base", "HEAD", merged, within=clone) == merged
    assert (clone / "shards/a/5.json").read_bytes() == b"5\n"
    assert os.access(clone / "run.sh", os.X_OK)
    assert git("status", "--porcelain", within=clone) == ""


def test_git_lists_refs_without_a_clone(served: ServedRepository) -> None:
    commits = a_history(served, 2)
    tag = served.tag("v1.0", commits[0])
    listed = git("ls-remote", served.url).splitlines()
    assert f"{commits[1]}\tHEAD" in listed
    assert f"{tag}\trefs/tags/v1.0" in listed
    assert f"{commits[0]}\trefs/tags/v1.0^{{}}" in listed


def test_a_fetch_sends_only_what_is_new(served: ServedRepository, tmp_path: Path) -> None:
    served.commit({"data/big": os.urandom(2**20)})
    a_history(served)
    clone = tmp_path / "clone"
    git("clone", served.url, str(clone))
    assert max(served.packs_sent) > 2**20
    served.packs_sent.clear()
    new = served.commit({"README.md": b"newer\n", "data/small": b"beside the big one\n"})
    git("pull", "-q", within=clone)
    assert git("rev-parse", "HEAD", within=clone) == new
    assert sum(served.packs_sent) < 4000
    assert git("fsck", "--strict", "--full", within=clone) == ""


def test_a_fetch_after_commits_on_both_sides_finds_the_common_ones(served: ServedRepository, tmp_path: Path) -> None:
    a_history(served, 3)
    clone = tmp_path / "clone"
    git("clone", served.url, str(clone))
    identity = ("-c", "user.name=Bo", "-c", "user.email=bo@example.org")
    for number in range(80):
        git(*identity, "commit", "-q", "--allow-empty", "-m", f"Mine {number}", within=clone)
    new = served.commit({"README.md": b"newer\n"})
    served.packs_sent.clear()
    git("fetch", within=clone)
    assert git("rev-parse", "origin/main", within=clone) == new
    assert max(served.packs_sent) < 4000
    assert "gzip" in served.encodings
    assert git("fsck", "--strict", "--full", within=clone) == ""


def test_a_shallow_clone_is_deepened_and_completed(served: ServedRepository, tmp_path: Path) -> None:
    commits = a_history(served, 8)
    clone = tmp_path / "clone"
    git("clone", "--depth", "1", served.url, str(clone))
    assert git("rev-list", "HEAD", within=clone) == commits[-1]
    new = served.commit({"README.md": b"newer\n"})
    git("fetch", within=clone)
    assert git("rev-list", "origin/main", within=clone).split() == [new, commits[-1]]
    git("fetch", "--depth", "4", within=clone)
    assert git("rev-list", "origin/main", within=clone).split() == [new, *commits[:-4:-1]]
    assert git("fsck", "--full", within=clone) == ""
    git("fetch", "--unshallow", within=clone)
    assert git("rev-list", "origin/main", within=clone).split() == [new, *commits[::-1]]
    assert git("rev-parse", "--is-shallow-repository", within=clone) == "false"
    assert git("fsck", "--strict", "--full", within=clone) == ""


def test_a_shallow_clone_of_a_branch_or_tag(served: ServedRepository, tmp_path: Path) -> None:
    commits = a_history(served)
    served.tag("v1.0", commits[2])
    git("clone", "--depth", "2", "--branch", "v1.0", served.url, str(tmp_path / "clone"))
    assert git("rev-list", "HEAD", within=tmp_path / "clone").split() == [commits[2], commits[1]]
    assert git("fsck", "--full", within=tmp_path / "clone") == ""


def test_many_random_histories_arrive_whole_in_steps(served: ServedRepository, tmp_path: Path) -> None:
    chance = random.Random(11)
    served.commit({"f0": b"0"})
    clone = tmp_path / "clone"
    git("clone", served.url, str(clone))
    for step in range(8):
        for number in range(chance.randrange(1, 6)):
            branch = chance.choice(("main", "a", "b"))
            other = chance.choice(sorted(served.refs.values()))
            own = served.refs.get(f"refs/heads/{branch}", other)
            # Contents come back now and then, and clocks run backwards.
            served.now -= timedelta(minutes=chance.choice((0, 0, 5)))
            files: dict[str, bytes | None] = {
                f"d{chance.randrange(3)}/f{chance.randrange(3)}": b"%d" % chance.randrange(4)
            }
            files[f"new/{step}-{number}"] = b"new"
            served.commit(files, branch=branch, onto=tuple(dict.fromkeys((own, other))))
        deeper = chance.choice(((), (), ("--depth", "3"), ("--unshallow",)))
        if deeper == ("--unshallow",) and git("rev-parse", "--is-shallow-repository", within=clone) == "false":
            deeper = ()
        git("fetch", *deeper, within=clone)
        git("fsck", "--full", within=clone)
        for name, oid in served.refs.items():
            assert git("rev-parse", name.replace("heads", "remotes/origin"), within=clone) == oid
            git("rev-list", "--objects", oid, within=clone)


def test_an_empty_repository_and_an_empty_tree_are_cloned(served: ServedRepository, tmp_path: Path) -> None:
    git("clone", served.url, str(tmp_path / "nothing"))
    served.commit({"only": b"file"})
    served.commit({"only": None})
    git("clone", served.url, str(tmp_path / "empty"))
    assert git("rev-list", "--count", "HEAD", within=tmp_path / "empty") == "2"
    assert git("ls-files", within=tmp_path / "empty") == ""


def test_only_what_a_ref_reaches_is_given(served: ServedRepository, tmp_path: Path) -> None:
    commits = a_history(served, 4)
    forgotten = served.commit({"secret": b"squashed away"}, branch="gone")
    del served.refs["refs/heads/gone"]
    clone = tmp_path / "clone"
    git("init", "-q", str(clone))
    git("fetch", "--depth", "1", served.url, commits[1], within=clone)
    assert git("rev-parse", "FETCH_HEAD", within=clone) == commits[1]
    assert "not in any branch" in git("fetch", served.url, forgotten, within=clone, fails=True)
    blob = served.objects.add("blob", b"squashed away")
    assert "not in any branch" in git("fetch", served.url, blob, within=clone, fails=True)
    assert len(served.errors) == 2


def test_a_missing_object_is_told_to_the_client(served: ServedRepository, tmp_path: Path) -> None:
    a_history(served)
    del served.objects.objects[served.objects.add("blob", b"{}\n")]
    assert "is not there" in git("clone", served.url, str(tmp_path / "clone"), fails=True)


OID = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"0000",
        b"00",
        b"zzzz",
        b"+001",
        b"0001",
        b"ffff",
        b"fff0" + b"x" * 0xFFEC,
        b"000bwant x\n0000",
        b"0032want " + OID.encode() + b"\n0000",
        b"0032want " + OID.upper().encode() + b"\n0000",
        b"0014filter blob:none0000",
        b"000cdeepen 00000",
        b"000ddeepen -10000",
    ],
)
def test_a_hostile_request_is_refused(served: ServedRepository, body: bytes) -> None:
    a_history(served, 1)
    told: list[bytes] = []
    with pytest.raises(InputError):
        protocol.upload_pack(served.objects, served.refs, io.BytesIO(body), told.append)
    assert b"ERR " in b"".join(told)


def test_a_request_that_unfolds_without_end_is_refused(served: ServedRepository) -> None:
    tip = a_history(served, 1)[0].encode()
    line = b"0032want " + tip + b"\n"
    bomb = gzip.compress(line * (64 * 2**20 // len(line)))
    assert len(bomb) < 2**20
    for body in (bomb, bomb[: len(bomb) // 2], b"not gzip"):
        plain = protocol.plain_body(io.BytesIO(body), "gzip")
        with pytest.raises(protocol.UploadPackError):
            protocol.upload_pack(served.objects, served.refs, plain, lambda part: None)
    with pytest.raises(protocol.UploadPackError):
        protocol.plain_body(io.BytesIO(), "br")


def test_a_client_without_side_bands_gets_the_bare_pack(served: ServedRepository, tmp_path: Path) -> None:
    tip = a_history(served, 2)[-1]
    parts: list[bytes] = []
    request = io.BytesIO(b"0032want " + tip.encode() + b"\n00000009done\n")
    protocol.upload_pack(served.objects, served.refs, request, parts.append)
    answer = b"".join(parts)
    assert answer.startswith(b"0008NAK\nPACK")
    git("init", "-q", "--bare", str(tmp_path))
    done = subprocess.run(
        ["git", "-C", str(tmp_path), "index-pack", "--strict", "--stdin"],
        input=answer[8:],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
