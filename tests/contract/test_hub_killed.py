"""The server is killed (`kill -9`, all of its processes at once) while real clients upload, commit, squash and delete,
and while garbage is collected: what was acknowledged is there, byte for byte, and nothing half-done was ever visible.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from hub_process import HubProcess
from huggingface_hub import HfApi, snapshot_download
from s3_server import S3Server

_CLIENT = Path(__file__).with_name("hub_killed_client.py")
_MODES = ("xet", "lfs", "git")
_GRACE_HOURS = 3 / 3600
_LAST_SECONDS = 240.0


@dataclass(kw_only=True)
class Client:
    """A client process and what it said."""

    repo: str
    mode: str
    process: subprocess.Popen[str]
    said: list[tuple[str, str]] = field(default_factory=list)
    listening: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.listening = threading.Thread(target=self._listen)
        self.listening.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                verb, what = json.loads(line)
                self.said.append((verb, what))

    def end(self) -> None:
        """End the process, if it still runs, and read all that it said."""
        self.process.kill()
        self.process.wait()
        self.listening.join()

    def paths(self, verb: str) -> set[str]:
        return {what for said, what in list(self.said) if said == verb}

    @property
    def acknowledged(self) -> int:
        return sum(1 for verb, _ in list(self.said) if verb in ("add", "delete", "squash"))


@dataclass(kw_only=True)
class Figures:
    """What a run amounts to."""

    kills: int = 0
    collections_killed: int = 0
    acknowledged: int = 0
    failed: int = 0
    looked_at: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in vars(self).items())


class Witness:
    """Reads whatever a repository's head names, all the time: a file that is named is there, and whole."""

    def __init__(self, hub: HubProcess, repos: list[str], token: str) -> None:
        self._hub = hub
        self._repos = repos
        self._headers = {"Authorization": f"Bearer {token}"}
        self._stop = threading.Event()
        self.looked_at = 0
        self.seen: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        chance = random.Random(5)
        with httpx2.Client(base_url=self._hub.endpoint, headers=self._headers, timeout=20) as client:
            while not self._stop.wait(0.02):
                # The hub is dead half of the time.
                with suppress(httpx2.HTTPError):
                    self.look(client, chance.choice(self._repos), chance)

    def look(self, client: httpx2.Client, repo: str, chance: random.Random) -> None:
        info = client.get(f"/api/models/{repo}")
        self._expect(info, repo)
        commit = info.json()["sha"]
        tree = client.get(f"/api/models/{repo}/tree/{commit}")
        files = [entry["path"] for entry in tree.json()] if tree.status_code == 200 else []
        files = [path for path in files if path.endswith((".bin", ".txt"))]
        path = chance.choice(files) if files else ""
        data = client.get(f"/{repo}/resolve/{commit}/{path}") if path else None
        worst = data if data is not None and tree.status_code == 200 else tree
        if worst.status_code == 404 and client.get(f"/api/models/{repo}").json()["sha"] != commit:
            return  # the history was squashed meanwhile, and the commit collected
        self._expect(worst, f"{repo} {commit} {path}")
        if data is not None and hashlib.sha256(data.content).hexdigest() != path.partition(".")[0]:
            self.seen.append(f"{repo} {commit} {path}: other bytes")
        self.looked_at += 1

    def _expect(self, answer: httpx2.Response, what: str) -> None:
        if answer.status_code != 200:
            self.seen.append(f"{what}: {answer.status_code} {answer.text[:200]}")


def _start_client(hub: HubProcess, folder: Path, repo: str, mode: str, stop: Path) -> Client:
    environ = {
        **os.environ,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(folder / mode),
        "HF_HUB_DISABLE_XET": "0" if mode == "xet" else "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": "1",
    }
    with (folder / f"{mode}.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(_CLIENT), hub.endpoint, repo, mode, "7", str(stop)],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environ,
            text=True,
        )
    return Client(repo=repo, mode=mode, process=process)


def _survives(hub: HubProcess, folder: Path, *, kills: int, seed: int = 1) -> Figures:
    """Kill the hub so many times under its clients, let them finish, and check everything that they were told."""
    chance, figures = random.Random(seed), Figures()
    hub.start()
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    repos = [api.create_repo(f"operator/{mode}").repo_id for mode in _MODES]
    stop = folder / "stop"
    witness = Witness(hub, repos, hub.token)
    clients: list[Client] = []
    try:
        clients = [_start_client(hub, folder, repo, mode, stop) for repo, mode in zip(repos, _MODES, strict=True)]
        _wait(lambda: all(client.said for client in clients), "the clients began")
        with witness.watching():
            for number in range(kills):
                before = [client.acknowledged for client in clients]
                collecting = hub.begin("gc", "--grace", str(_GRACE_HOURS)) if number % 3 == 0 else None
                time.sleep(chance.uniform(0.05, 2.0))
                hub.kill()
                figures.kills += 1
                if collecting is not None:
                    figures.collections_killed += _kill(collecting)
                hub.start()
                if number % 8 == 7:
                    # Not so often that a client never gets anything done: each tries less often the longer it fails.
                    _wait(lambda: all(c.acknowledged > b for c, b in zip(clients, before, strict=True)), "progress")  # noqa: B023
            stop.touch()
            for client in clients:
                assert client.process.wait(_LAST_SECONDS) == 0, (folder / f"{client.mode}.err").read_text()[-3000:]
    finally:
        for client in clients:
            client.end()
    figures.acknowledged = sum(client.acknowledged for client in clients)
    figures.failed = sum(1 for client in clients for verb, _ in client.said if verb == "failed")
    figures.looked_at = witness.looked_at
    assert witness.seen == []
    for client in clients:
        _check(hub, api, client)
        _check_download(hub, client, folder)
    done = hub.run("verify", "--json", timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    assert json.loads(done.stdout) == {"sound": True, "damages": []}
    collected = hub.run("gc", "--grace", "0", timeout=300)
    assert collected.returncode == 0, collected.stderr
    for client in clients:
        _check(hub, api, client)
    hub.kill()
    return figures


def _check(hub: HubProcess, api: HfApi, client: Client) -> None:
    """All that was acknowledged is there, nothing else but what was asked for; every commit can be read whole."""
    there = {path for path in api.list_repo_files(client.repo) if path.endswith((".bin", ".txt"))}
    assert client.paths("add") - client.paths("delete?") <= there
    assert not there & client.paths("delete")
    assert there <= client.paths("add?")
    whole: set[str] = set()
    with httpx2.Client(base_url=hub.endpoint, headers={"Authorization": f"Bearer {api.token}"}, timeout=60) as reading:
        for commit in api.list_repo_commits(client.repo):
            for path in api.list_repo_files(client.repo, revision=commit.commit_id):
                if path in whole or not path.endswith((".bin", ".txt")):
                    continue
                data = reading.get(f"/{client.repo}/resolve/{commit.commit_id}/{path}")
                assert data.status_code == 200, (path, data.status_code, data.text[:300])
                assert hashlib.sha256(data.content).hexdigest() == path.partition(".")[0]
                whole.add(path)
    assert there <= whole


def _check_download(hub: HubProcess, client: Client, folder: Path) -> None:
    target = folder / f"{client.mode}-copy"
    snapshot_download(client.repo, endpoint=hub.endpoint, token=hub.token, local_dir=target)
    for path in (*target.glob("*.bin"), *target.glob("*.txt")):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem


def _kill(process: subprocess.Popen[bytes]) -> int:
    """Kill it and return 1, or 0 if it was done already."""
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=30)
    assert running or process.returncode == 0, errors[-2000:]
    return int(running)


def _wait(until: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


_OPTIONS = ("--grace", str(_GRACE_HOURS), "--cache", "0.01")


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path, workers: int) -> None:
    hub = HubProcess(folder=tmp_path / "hub", workers=workers, options=_OPTIONS)
    try:
        figures = _survives(hub, tmp_path, kills=6, seed=workers)
    finally:
        hub.kill()
    assert figures.acknowledged >= 3
    assert figures.looked_at > 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_lost_over_many_kills_on_sqlite(tmp_path: Path, workers: int) -> None:
    hub = HubProcess(folder=tmp_path / "hub", workers=workers, options=_OPTIONS)
    try:
        figures = _survives(hub, tmp_path, kills=75, seed=10 + workers)
    finally:
        hub.kill()
    print(f"\nSQLite and a folder, {workers} workers: {figures}")
    assert figures.acknowledged >= 75


@pytest.mark.slow
def test_nothing_is_lost_over_many_kills_on_postgresql_and_s3(
    tmp_path: Path,
    new_postgresql: Callable[[], str],
    s3_server: S3Server,
) -> None:
    hub = HubProcess(
        folder=tmp_path / "hub",
        database=new_postgresql(),
        store=f"s3://{s3_server.new_bucket()}/hub",
        environ=s3_server.environ,
        workers=2,
        options=_OPTIONS,
    )
    try:
        figures = _survives(hub, tmp_path, kills=60, seed=20)
    finally:
        hub.kill()
    print(f"\nPostgreSQL and S3, 2 workers: {figures}")
    assert figures.acknowledged >= 60
