"""Lists by page: what stands in `cursor`, `limit` and `p` comes from anybody, and no value of them breaks the hub."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from running_hub import RunningHub, running_hub

LISTS_BY_NUMBER = (
    "/api/users/alice/likes",
    "/api/models/alice/m/likers",
    "/api/organizations/acme/members",
    "/api/settings/repositories",
    "/api/models/alice/m/user-access-request/pending",
    "/api/buckets/alice",
)
LISTS_BY_TEXT = ("/api/models/alice/m/lfs-files", "/api/models/alice/m/tree/main")
LISTS = (*LISTS_BY_NUMBER, *LISTS_BY_TEXT, "/api/models", "/api/buckets/alice/b/tree")


@pytest.fixture
def running(tmp_path: Path, database: str) -> Iterator[RunningHub]:
    """A hub on each database, with one of everything that is listed."""
    with running_hub(tmp_path / "hub", database=database) as running:
        token = running.user("alice", is_admin=True)
        running.org("acme", alice="admin")
        api = HfApi(endpoint=running.endpoint, token=token)
        api.create_repo("alice/m")
        api.update_repo_settings("alice/m", gated="manual")
        api.create_bucket("alice/b")
        yield running


def asked(hub: RunningHub, path: str, **parameters: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {hub.user('alice')}"}
    return httpx2.get(hub.endpoint + path, params=parameters, headers=headers)


def packed(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_a_cursor_that_the_hub_did_not_make_is_refused(running: RunningHub) -> None:
    foreign: tuple[object, ...] = (
        2**63,
        2**64 - 1,
        -1,
        True,
        1.5,
        "a\0b",
        [2**63, 1],
        [1, 2**64 - 1],
        [True, False],
        {},
        [],
    )
    for path in LISTS:
        for value in foreign:
            assert asked(running, path, cursor=packed(value)).status_code == 400, (path, value)
        assert asked(running, path, cursor="%%%").status_code == 400, path
    for path in LISTS_BY_NUMBER:
        assert asked(running, path, cursor=packed("a")).status_code == 400, path
        assert asked(running, path, cursor=packed(2**63 - 1)).json() == [], path
    for path in LISTS_BY_TEXT:
        assert asked(running, path, cursor=packed(1)).status_code == 400, path


@pytest.mark.parametrize("text", ["--5", "5-", "-", "1e3", "+5", "\u0663", "9" * 30])
def test_a_number_that_is_none_is_refused(running: RunningHub, text: str) -> None:
    for path in ("/api/models", "/api/buckets/alice", "/api/models/alice/m/tree/main"):
        assert asked(running, path, limit=text).status_code == 400, path
    for path in ("/api/models/alice/m/discussions", "/api/models/alice/m/commits/main"):
        assert asked(running, path, p=text).status_code == 400, path


def test_followers_are_those_of_the_kind_of_account_that_the_path_names(running: RunningHub) -> None:
    assert asked(running, "/api/users/alice/followers", of="/organizations/").json() == []
    assert asked(running, "/api/organizations/acme/followers").json() == []
    assert asked(running, "/api/organizations/alice/followers").status_code == 404
    assert asked(running, "/api/users/acme/following").status_code == 404
