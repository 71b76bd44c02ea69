"""How much talk a thread and a repository take: strangers are stopped, those who write never are."""

from collections.abc import Iterator

import httpx2
import pytest
from huggingface_hub import HfApi
from running_hub import RunningHub, running_hub

from weighbridge.hub.community import discussions, thread_limits


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("threads") / "hub") as running:
        HfApi(endpoint=running.endpoint, token=running.user("alice")).create_repo("alice/m")
        yield running


def asked(hub: RunningHub, user: str, path: str, **document: object) -> int:
    answer = httpx2.post(
        f"{hub.endpoint}/api/models/alice/m{path}",
        json=document,
        headers={"Authorization": f"Bearer {hub.user(user)}"},
    )
    return answer.status_code


def test_a_stranger_opens_only_so_many_threads(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_limits, "MAX_THREADS_OF_STRANGER", 3)
    new = {"title": "t", "description": "d"}
    assert [asked(hub, "mallory", "/discussions", **new) for _ in range(4)] == [200, 200, 200, 409]
    # By commits that open pull requests neither.
    line = b'{"key":"header","value":{"summary":"x"}}\n{"key":"file","value":{"path":"a","content":"eA=="}}\n'
    answer = httpx2.post(
        f"{hub.endpoint}/api/models/alice/m/commit/main?create_pr=1",
        content=line,
        headers={"Authorization": f"Bearer {hub.user('mallory')}"},
    )
    assert answer.status_code == 409
    assert asked(hub, "bob", "/discussions", **new) == 200
    assert [asked(hub, "alice", "/discussions", **new) for _ in range(5)] == [200] * 5


def test_a_full_thread_is_closed_by_who_may_write_and_turned_by_nobody_else(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discussions, "MAX_EVENTS", 3)
    assert asked(hub, "carol", "/discussions", title="t", description="d") == 200
    number = httpx2.get(f"{hub.endpoint}/api/models/alice/m/discussions?author=carol").json()["discussions"][0]["num"]
    base = f"/discussions/{number}"
    assert [asked(hub, "carol", f"{base}/title", title=f"t{n}") for n in range(3)] == [200, 200, 403]
    assert asked(hub, "carol", f"{base}/comment", comment="c") == 409
    assert asked(hub, "carol", f"{base}/status", status="closed") == 403
    assert asked(hub, "alice", f"{base}/status", status="closed") == 200
