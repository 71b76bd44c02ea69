"""What attacks on the hub share: a real server on both databases, who owns what there, and how attackers ask."""

import hashlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hub_process import HubProcess, serving
from huggingface_hub import HfApi
from postgresql_server import new_database

_INSIDE = ("Traceback", 'File "', ".py", "sqlalchemy", "psycopg", "sqlite3", "aiohttp")


_OPEN: list[httpx2.Client] = []


class Attacker:
    """Sends what no client sends, and looks at every answer for what must not be in it."""

    def __init__(self, hub: HubProcess, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.hub = hub
        self.http = httpx2.Client(base_url=hub.endpoint, headers=headers, timeout=60)
        _OPEN.append(self.http)

    def ask(self, method: str, path: str, **named: Any) -> httpx2.Response:
        answer = self.http.request(method, path, **named)
        assert answer.status_code < 500, (method, path[:200], answer.status_code, answer.text[:300], self._trouble())
        if answer.status_code >= 400:
            assert not any(word in answer.text for word in _INSIDE), answer.text[:500]
            assert len(answer.headers.get("X-Error-Message", "")) < 4096
        return answer

    def _trouble(self) -> list[str]:
        return [line[:1500] for line in self.hub.trouble()[-2:]]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def attacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    database = "" if request.param == "sqlite" else new_database(request.getfixturevalue("postgresql"))
    with serving(HubProcess(folder=tmp_path_factory.mktemp("attacked") / "hub", database=database)) as running:
        for user in ("alice", "mallory"):
            running.told("user", "add", user)
        try:
            yield running
        finally:
            while _OPEN:
                _OPEN.pop().close()
        assert running.trouble() == []


@pytest.fixture(scope="module")
def alice(attacked: HubProcess) -> str:
    return str(attacked.told("token", "add", "alice", "--role", "write")["token"])


@pytest.fixture(scope="module")
def mallory(attacked: HubProcess) -> str:
    return str(attacked.told("token", "add", "mallory", "--role", "write")["token"])


@pytest.fixture(scope="module")
def private(attacked: HubProcess, alice: str) -> str:
    api = HfApi(endpoint=attacked.endpoint, token=alice)
    repo = api.create_repo("alice/private", private=True).repo_id
    commit_lines(
        Attacker(attacked, alice), repo, ("file", {"path": "secret.txt", "content": "the secret", "encoding": "utf-8"})
    )
    return str(repo)


@pytest.fixture(scope="module")
def own(attacked: HubProcess, mallory: str) -> str:
    return str(HfApi(endpoint=attacked.endpoint, token=mallory).create_repo("mallory/own").repo_id)


def lines_of(*lines: tuple[str, dict[str, object]]) -> bytes:
    return b"".join(
        json.dumps({"key": k, "value": v}).encode() + b"\n" for k, v in (("header", {"summary": "x"}), *lines)
    )


def commit_lines(attacker: Attacker, repo: str, *lines: tuple[str, dict[str, object]]) -> httpx2.Response:
    return attacker.ask("POST", f"/api/models/{repo}/commit/main", content=lines_of(*lines))


def small_file(path: str) -> tuple[str, dict[str, object]]:
    return "file", {"path": path, "content": "eA==", "encoding": "base64"}


def raw_answer(attacked: HubProcess, sent: bytes, *, seconds: float = 10) -> bytes:
    with socket.create_connection(("127.0.0.1", attacked.port), timeout=seconds) as connection:
        connection.sendall(sent)
        received = b""
        try:
            while block := connection.recv(65536):
                received += block
        except TimeoutError:
            pass
        return received


def by_lfs(attacker: Attacker, repo: str, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    wanted = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": sha256, "size": len(data)}]}
    (found,) = attacker.ask("POST", f"/{repo}.git/info/lfs/objects/batch", json=wanted).json()["objects"]
    if "actions" in found:
        href = found["actions"]["upload"]["href"]
        for changed in (
            href.replace("size=", "size=1"),
            href.replace("expires=", "expires=1"),
            href[:-1] + "0",
            href[:-1] + "1",
        ):
            assert changed == href or httpx2.put(changed, content=data).status_code == 403
        for wrong in (data[:-1], data + b"x", b"X" + data[1:]):
            assert httpx2.put(href, content=wrong).status_code in (413, 422)
        assert httpx2.put(href, content=data).status_code == 200
    return sha256
