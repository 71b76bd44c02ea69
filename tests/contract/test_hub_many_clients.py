"""64 clients at once, on both databases, with two servers on one database and one store: every commit lands or is told
of its conflict, nobody sees an error of the server, and nobody waits for ever.
"""

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from hub_process import HubProcess
from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from raw_client import RawClient, small

CLIENTS = 64
_MIX_SECONDS = 4.0
_GRACE_HOURS = 20 / 3600

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@dataclass(kw_only=True)
class Pair:
    """Two servers of one hub."""

    first: HubProcess
    second: HubProcess

    @property
    def endpoints(self) -> tuple[str, str]:
        return self.first.endpoint, self.second.endpoint

    def api(self, number: int = 0) -> HfApi:
        return HfApi(endpoint=self.endpoints[number % 2], token=self.first.token)

    def client(self, number: int) -> RawClient:
        return RawClient.of(self.endpoints[number % 2], self.first.token, number)


@pytest.fixture
def pair(database: str, tmp_path: Path) -> Iterator[Pair]:
    options = ("--grace", str(_GRACE_HOURS))
    first = HubProcess(folder=tmp_path / "hub", database=database, options=options)
    second = HubProcess(folder=tmp_path / "hub", database=database, options=options, workers=2)
    try:
        first.start()
        second.start()
        yield Pair(first=first, second=second)
    finally:
        for each in (first, second):
            if each.process is not None:
                each.kill()


def _at_once(count: int, act: Callable[[int], object]) -> None:
    """Let so many threads begin at one moment; raises what the first that failed raised."""
    ready = threading.Barrier(count)

    def run(number: int) -> None:
        ready.wait(60)
        act(number)

    with ThreadPoolExecutor(count) as threads:
        for job in [threads.submit(run, number) for number in range(count)]:
            job.result(timeout=240)


def test_of_64_commits_with_one_parent_one_wins_and_without_a_parent_all_land(pair: Pair) -> None:
    repo = pair.api().create_repo("operator/one").repo_id
    clients = [pair.client(number) for number in range(CLIENTS)]
    for turn in range(3):
        head = pair.api(turn).model_info(repo).sha
        answers: list[httpx2.Response] = []
        _at_once(
            CLIENTS,
            lambda n: answers.append(clients[n].commit(repo, small(f"turn-{turn}", b"%d" % n), parent=head or "")),  # noqa: B023
        )
        assert Counter(answer.status_code for answer in answers) == {200: 1, 412: CLIENTS - 1}
        winner = next(answer for answer in answers if answer.status_code == 200)
        assert pair.api(turn + 1).model_info(repo).sha == winner.json()["commitOid"]
        assert "A commit has happened since" in next(a for a in answers if a.status_code == 412).text

    before = len(pair.api().list_repo_commits(repo))
    _at_once(CLIENTS, lambda n: [clients[n].commit(repo, small(f"all/{n}-{turn}", b"x")) for turn in range(2)] and None)
    files = {path for path in pair.api().list_repo_files(repo) if path.startswith("all/")}
    assert files == {f"all/{n}-{turn}" for n in range(CLIENTS) for turn in range(2)}
    assert len(pair.api(1).list_repo_commits(repo)) == before + 2 * CLIENTS
    _all_well(pair, clients)


def test_the_client_raises_its_own_error_for_a_conflict(pair: Pair) -> None:
    api = pair.api()
    repo = api.create_repo("operator/conflict").repo_id
    head = api.model_info(repo).sha
    operation = [CommitOperationAdd(path_in_repo="a", path_or_fileobj=b"a")]
    api.create_commit(repo, operation, commit_message="first", parent_commit=head)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        pair.api(1).create_commit(
            repo,
            [CommitOperationAdd(path_in_repo="b", path_or_fileobj=b"b")],
            commit_message="late",
            parent_commit=head,
        )
    assert caught.value.response.status_code == 412


def test_64_clients_do_everything_at_once_while_garbage_is_collected(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    api = pair.api()
    repos = [api.create_repo(f"operator/mixed-{number}").repo_id for number in range(4)]
    # Half of them bring the same files, so that they take the same rows into use.
    shared = [random.Random(number).randbytes(150_000) for number in range(6)]
    clients = [pair.client(number) for number in range(CLIENTS)]
    committed: dict[str, set[str]] = {repo: set() for repo in repos}
    until = time.monotonic() + _MIX_SECONDS
    collector = threading.Thread(target=_collect, args=(pair, until))
    collector.start()
    try:
        _at_once(CLIENTS, lambda n: _mixed(clients[n], repos, shared, committed, until, n))
    finally:
        collector.join()
    for repo in repos:
        assert committed[repo] <= set(api.list_repo_files(repo))
    reading = clients[0]
    for repo in repos:
        for path in sorted(committed[repo]):
            data = reading.ask("GET", f"/{repo}/resolve/main/{path}")
            assert data.status_code == 200
            assert hashlib.sha256(data.content).hexdigest() == path.removesuffix(".bin")
    _all_well(pair, clients)
    assert pair.first.told("verify") == {"sound": True, "damages": []}


def _mixed(
    client: RawClient, repos: list[str], shared: list[bytes], committed: dict[str, set[str]], until: float, number: int
) -> None:
    mine = f"operator/of-{number}"
    client.ask("POST", "/api/repos/create", json={"name": mine.partition("/")[2], "type": "model"})
    branch = f"branch-{number}"
    turn = 0
    while time.monotonic() < until:
        turn += 1
        repo = client.chance.choice(repos)
        match client.chance.randrange(8):
            case 0 | 1 | 2:
                some = client.chance.sample(shared, 3) if number % 2 else [client.chance.randbytes(60_000)]
                committed[repo].update(client.upload_and_commit(repo, some))
            case 3:
                tree = client.ask("GET", f"/api/models/{repo}/tree/main?recursive=true").json()
                large = [entry["path"] for entry in tree if entry["path"].endswith(".bin")]
                if large:
                    path = client.chance.choice(large)
                    data = client.ask("GET", f"/{repo}/resolve/main/{path}").content
                    assert hashlib.sha256(data).hexdigest() == path.removesuffix(".bin")
            case 4:
                client.ask("POST", f"/api/models/{repo}/branch/{branch}", json={})
                client.commit(repo, small(f"{number}/{turn}", b"x"), branch=branch)
                client.ask("DELETE", f"/api/models/{repo}/branch/{branch}")
            case 5:
                client.upload_and_commit(mine, [client.chance.choice(shared)])
                client.ask("POST", f"/api/models/{mine}/super-squash/main", json={"message": "squashed"})
            case 6:
                client.ask("GET", "/api/models?author=operator&limit=20&sort=lastModified&full=true")
                client.ask("PUT", f"/api/models/{mine}/settings", json={"private": bool(turn % 2)})
            case 7:
                client.ask("DELETE", "/api/repos/delete", json={"name": mine.partition("/")[2], "type": "model"})
                duplicate = {"repository": mine, "private": True}
                client.ask("POST", f"/api/models/{repo}/duplicate", json=duplicate)
                client.ask("POST", "/api/repos/create", json={"name": mine.partition("/")[2], "type": "model"})


def _collect(pair: Pair, until: float) -> None:
    while time.monotonic() < until:
        done = pair.first.run("gc", "--grace", str(_GRACE_HOURS / 20))
        assert done.returncode == 0, done.stderr


def _all_well(pair: Pair, clients: list[RawClient]) -> None:
    broken = [line for client in clients for line in client.broken]
    assert broken == [], (len(broken), pair.first.trouble()[:3], pair.second.trouble()[:3])
    assert pair.first.trouble() == []
    assert pair.second.trouble() == []
    for client in clients:
        client.http.close()
        assert set(client.statuses) <= {200, 201, 400, 404, 409, 412}, client.statuses
