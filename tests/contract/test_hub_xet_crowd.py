"""64 clients at once, of which many are processes that use an unmodified hf_xet, on both databases and both stores."""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from hub_process import HubProcess, serving
from huggingface_hub import HfApi
from raw_client import RawClient, small
from s3_server import S3Server
from sqlalchemy import func, select

from weighbridge.hub.content.content import XORBS
from weighbridge.hub.database.schema import xorb
from weighbridge.hub.xet.chunk import MAX_CHUNK_BYTES
from weighbridge.shell.hub.wiring import open_hub

CLIENTS = 64
MIB = 1024**2
_PROGRAM = Path(__file__).with_name("xet_crowd_client.py")
_MOST_RESIDENT_BYTES = 300 * MIB

Piece = tuple[int, int]
"""Seed and size of bytes that nothing compresses."""

COMMON: tuple[Piece, ...] = ((1, 3 * MIB),)
"""What all clients bring at once."""

KNOWN: tuple[Piece, ...] = ((2, 3 * MIB),)
"""What one of them has brought before, into a repository that all may read."""

TAIL_BYTES = MIB // 2
_FRAMING = 0.005  # the heads of chunks
_THINK_SECONDS = 5.0
_PATIENCE_SECONDS = 240
_READERS = 8
_T = TypeVar("_T")

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file that the hub acknowledged, as whoever wrote it knows it."""

    repo: str
    path: str
    sha256: str


@dataclass(kw_only=True)
class XetClient:
    """A client process, which keeps what it caches to itself."""

    number: int
    repo: str
    process: subprocess.Popen[str]
    errors: Path

    def upload(self, path: str, pieces: Sequence[Piece], *, repo: str = "") -> File:
        """Upload a file made of these pieces, and return it once it is acknowledged."""
        repo = repo or self.repo
        sha256, *_ = self.answer("upload", repo, path, pieces)
        assert sha256 == hashlib.sha256(bytes_of(pieces)).hexdigest()
        return File(repo=repo, path=path, sha256=sha256)

    def download(self, file: File) -> str:
        """Download a file, and return the SHA-256 of what came."""
        return self.answer("download", file.repo, file.path)[0]

    def answer(self, *order: object) -> list[str]:
        """Give an order, if any, and wait until it was followed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if order:
            print(json.dumps(order), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, (order, self.errors.read_text()[-3000:])
        told: list[str] = json.loads(line)
        return told


def bytes_of(pieces: Sequence[Piece]) -> bytes:
    """Return what a client makes of these pieces."""
    return b"".join(random.Random(seed).randbytes(size) for seed, size in pieces)


@pytest.fixture
def store(request: pytest.FixtureRequest, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """SQLite goes with the hub's folder, PostgreSQL with S3."""
    if not database:
        return ""
    server: S3Server = request.getfixturevalue("s3_server")
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.new_bucket()}/hub"


@pytest.fixture
def hub(database: str, store: str, tmp_path: Path) -> Iterator[HubProcess]:
    with serving(HubProcess(folder=tmp_path / "hub", database=database, store=store, workers=2)) as running:
        yield running


def test_64_clients_of_which_8_use_hf_xet(hub: HubProcess, tmp_path: Path) -> None:
    _crowd(hub, tmp_path, xet=8, own_bytes=2 * MIB)


@pytest.mark.slow
def test_64_clients_that_all_use_hf_xet(hub: HubProcess, tmp_path: Path) -> None:
    _crowd(hub, tmp_path, xet=CLIENTS, own_bytes=6 * MIB)
    assert hub.told("verify") == {"sound": True, "damages": []}


def _crowd(hub: HubProcess, tmp_path: Path, *, xet: int, own_bytes: int) -> None:
    """Let all upload at once, then let the processes read what another wrote, while the others go on."""
    tokens = {"operator": hub.token, "alice": _token_of_alice(hub)}
    for owner, token in tokens.items():
        HfApi(endpoint=hub.endpoint, token=token).create_repo(f"{owner}/all")
    others = [_Other.of(hub, number, tokens) for number in range(CLIENTS - xet)]
    with _processes(hub, tmp_path, xet, tokens) as clients, _busy(others):
        clients[0].upload("known.bin", KNOWN)
        uploaded = _at_once(lambda client: _upload(client, own_bytes), clients)
        # Whoever reads has not written it: nothing of it is in a cache of theirs.
        read = _at_once(lambda client: [client.download(file) for file in uploaded[client.number - 1]], clients)
    for client, digests in zip(clients, read, strict=True):
        assert digests == [file.sha256 for file in uploaded[client.number - 1]]
    with ThreadPoolExecutor(_READERS) as threads:
        list(threads.map(_Other.read_back, others, timeout=_PATIENCE_SECONDS))
    _no_trouble(hub, xet=xet)
    unique_bytes = (
        len(bytes_of((*COMMON, *KNOWN))) + xet * (own_bytes + 2 * TAIL_BYTES) + sum(each.sent_bytes for each in others)
    )
    # Chunks differ where what is known ends: each version has one more of them.
    _stored_once(hub, least=unique_bytes, most=unique_bytes + 2 * xet * MAX_CHUNK_BYTES)
    assert hub.resident_bytes() < _MOST_RESIDENT_BYTES, hub.resident_bytes() // MIB


def _upload(client: XetClient, own_bytes: int) -> list[File]:
    mine = 100 + client.number
    common = client.upload("common.bin", COMMON)
    own = client.upload("own.bin", ((mine, own_bytes),))
    # All but the ends of these is known: of the first from another repository, of the second from this client's.
    version = client.upload("version.bin", (*KNOWN, (1000 + mine, TAIL_BYTES)))
    together = f"{client.repo.partition('/')[0]}/all"
    again = client.upload(f"{client.number}.bin", ((mine, own_bytes), (2000 + mine, TAIL_BYTES)), repo=together)
    return [common, own, version, again]


@contextmanager
def _processes(hub: HubProcess, folder: Path, count: int, tokens: dict[str, str]) -> Iterator[list[XetClient]]:
    """Start the client processes; when all of them are ready, none has asked for anything."""
    clients: list[XetClient] = []
    names = list(tokens)
    try:
        for number in range(count):
            owner = names[number % len(names)]
            repo = HfApi(endpoint=hub.endpoint, token=tokens[owner]).create_repo(f"{owner}/xet-{number}").repo_id
            clients.append(_start(hub, folder / f"client-{number}", number, repo, tokens[owner]))
        assert [client.answer() for client in clients] == [["ready"]] * count
        yield clients
    finally:
        for client in clients:
            client.process.kill()
            client.process.communicate()
            shutil.rmtree(client.errors.parent)  # gigabytes, with everything that was read


def _start(hub: HubProcess, home: Path, number: int, repo: str, token: str) -> XetClient:
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "AWS_"))}
    environ = {
        **kept,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": "1",
    }
    with (home / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), hub.endpoint],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environ,
        )
    return XetClient(number=number, repo=repo, process=process, errors=home / "errors")


@dataclass(kw_only=True)
class _Other:
    """A client that uses no hf_xet: LFS, small commits, lists and downloads, in repositories of its own and of all."""

    raw: RawClient
    number: int
    owner: str
    sent_bytes: int = 0
    committed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, hub: HubProcess, number: int, tokens: dict[str, str]) -> "_Other":
        owner = list(tokens)[number % len(tokens)]
        return cls(raw=RawClient.of(hub.endpoint, tokens[owner], 5000 + number), number=number, owner=owner)

    def act(self, turn: int) -> None:
        chance, ask = self.raw.chance, self.raw.ask
        repo = f"{self.owner}/all"
        match turn % 5:
            case 0:
                data = chance.randbytes(chance.randrange(20_000, 100_000))
                self.sent_bytes += len(data)
                self.committed[repo] |= self.raw.upload_and_commit(repo, [data])
            case 1:
                path = f"small/{self.number}-{turn}"
                assert self.raw.commit(repo, small(path, path.encode())).status_code == 200
                self.committed[repo].add(path)
            case 2 | 4:
                ask("GET", f"/api/models/{repo}/tree/main?recursive=true")
                ask("GET", "/api/models?limit=20&sort=lastModified&full=true")
            case 3:
                self._read(repo, chance.choice(sorted(self.committed[repo])))

    def read_back(self) -> None:
        """Read all that was acknowledged to this client."""
        for repo, paths in self.committed.items():
            for path in paths:
                self._read(repo, path)
        self.raw.http.close()
        assert self.raw.broken == []
        assert set(self.raw.statuses) == {200}

    def _read(self, repo: str, path: str) -> None:
        data = self.raw.ask("GET", f"/{repo}/resolve/main/{path}", follow_redirects=True).content
        named = path.removesuffix(".bin")
        assert data == path.encode() if named == path else hashlib.sha256(data).hexdigest() == named


@contextmanager
def _busy(others: list[_Other]) -> Iterator[None]:
    """Let all of these act, again and again, until the block ends; raises what one of them raised."""
    over = threading.Event()

    def go_on(other: _Other) -> None:
        turn = 0
        # Once at least, however soon the block is over.
        while not over.wait(other.raw.chance.random() * _THINK_SECONDS) or not turn:
            other.act(turn)
            turn += 1

    with ThreadPoolExecutor(max(1, len(others))) as threads:
        jobs = [threads.submit(go_on, other) for other in others]
        try:
            yield
        finally:
            over.set()
    for job in jobs:
        job.result()


def _at_once(act: Callable[[XetClient], _T], clients: Sequence[XetClient]) -> list[_T]:
    """Let each client act at the same time as all others, and return what came of it."""
    with ThreadPoolExecutor(len(clients)) as threads:
        return list(threads.map(act, clients, timeout=_PATIENCE_SECONDS))


def _token_of_alice(hub: HubProcess) -> str:
    hub.told("user", "add", "alice")
    return str(hub.told("token", "add", "alice", "--role", "write")["token"])


def _no_trouble(hub: HubProcess, *, xet: int) -> None:
    lines = [json.loads(line) for line in hub.log.read_text().splitlines() if line.startswith("{")]
    asked = [line for line in lines if "path" in line]
    assert [line for line in asked if line["status"] >= 500] == []
    assert hub.trouble() == []
    answered = Counter(
        re.sub(r"^/cas/[^/]+/|/default/.*|/[0-9a-f]{64}$", "", line["path"]) for line in asked if line["status"] == 200
    )
    assert answered["v2/shards"] >= 4 * xet
    assert answered["v2/reconstructions"] >= 4 * xet
    # Each was told where chunks lie that another repository brought, and so sent none of them.
    assert answered["v1/chunks"] >= xet


def _stored_once(hub: HubProcess, *, least: int, most: int) -> None:
    opened = open_hub(hub.folder, database=hub.database, store=hub.store)
    with opened.database.read() as connection:
        named = connection.execute(select(func.sum(xorb.c.size_bytes))).scalar_one()
    stored = sum(item.size_bytes for item in opened.store.list(XORBS))
    opened.database.close()
    assert named == stored
    assert least <= stored <= most * (1 + _FRAMING), (least, stored, most)
