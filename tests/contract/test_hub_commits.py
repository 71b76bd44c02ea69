"""Unmodified huggingface_hub commits to a running hub, alone and many at once; hostile commits are refused."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from hub_and_client import BY_LFS
from hub_client import noise, read, send_commit
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from running_hub import RunningHub, running_hub

MIB = 1024 * 1024

pytestmark = BY_LFS


def test_a_commit_writes_copies_and_deletes_files(api: HfApi, repo: str, tmp_path: Path) -> None:
    first = api.create_commit(
        repo,
        [
            CommitOperationAdd("a.txt", b"one"),
            CommitOperationAdd("in/b.txt", b"two"),
            CommitOperationAdd("w.bin", noise(5000)),
        ],
        commit_message="first",
        commit_description="more\nwords",
    )
    api.create_commit(
        repo,
        [
            CommitOperationCopy("w.bin", "copy.bin"),
            CommitOperationCopy("a.txt", "c.txt"),
            CommitOperationDelete("in/"),
            CommitOperationDelete("a.txt"),
        ],
        commit_message="second",
    )
    assert set(api.list_repo_files(repo)) == {".gitattributes", "w.bin", "copy.bin", "c.txt"}
    assert read(api, repo, "copy.bin", tmp_path) == noise(5000)
    assert read(api, repo, "c.txt", tmp_path) == b"one"
    assert read(api, repo, "in/b.txt", tmp_path, revision=first.oid) == b"two"
    newest, before, *_ = api.list_repo_commits(repo)
    assert (newest.title, before.title, before.message) == ("second", "first", "more\nwords")
    assert before.commit_id == first.oid
    assert before.authors == ["alice"]


def test_a_folder_goes_up_and_comes_down_whole(api: HfApi, repo: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    files = {
        "README.md": b"---\nlicense: apache-2.0\n---\n# Model\n",
        "config.json": b"{}",
        "weights/model.safetensors": noise(300_000),
        "weights/tokeniser model.bin": noise(70_000, seed=3),
        "deep/er/\u00e9\u4e2d.txt": "h\u00e9".encode(),
        "empty.txt": b"",
        "skipped.tmp": b"no",
        ".gitignore": b"*.tmp\n",
    }
    for path, data in files.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    api.upload_folder(repo_id=repo, folder_path=source)
    down = Path(snapshot_download(repo, endpoint=api.endpoint, token=api.token, local_dir=tmp_path / "down"))
    for path, data in files.items():
        if path != "skipped.tmp":
            assert (down / path).read_bytes() == data, path


def test_a_commit_on_a_parent_that_is_no_longer_the_head_is_refused(api: HfApi, repo: str) -> None:
    parent = api.model_info(repo).sha
    api.create_commit(repo, [CommitOperationAdd("a", b"1")], commit_message="one", parent_commit=parent)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as refused:
        api.create_commit(repo, [CommitOperationAdd("a", b"2")], commit_message="two", parent_commit=parent)
    assert refused.value.response.status_code == 412


@pytest.fixture
def either(tmp_path: Path, database: str) -> Iterator[HfApi]:
    """A client of a hub on each database."""
    with running_hub(tmp_path / "hub", database=database) as running:
        api = HfApi(endpoint=running.endpoint, token=running.user("alice"))
        api.create_repo("alice/shared")
        yield api


def test_of_concurrent_commits_on_one_parent_one_wins(either: HfApi) -> None:
    parent = either.model_info("alice/shared").sha

    def commit(number: int) -> int:
        try:
            operation = CommitOperationAdd(f"{number}.txt", b"x")
            either.create_commit("alice/shared", [operation], commit_message=f"c{number}", parent_commit=parent)
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(commit, range(6)))
    assert sorted(statuses) == [200] + [412] * 5
    assert len(either.list_repo_commits("alice/shared")) == 2


def test_concurrent_commits_without_a_parent_all_succeed(either: HfApi) -> None:
    def commit(number: int) -> None:
        operations = [
            CommitOperationAdd(f"{number}.txt", b"x"),
            CommitOperationAdd(f"{number}.bin", noise(999, number)),
        ]
        either.create_commit("alice/shared", operations, commit_message=f"c{number}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(commit, range(12)))
    held = set(either.list_repo_files("alice/shared"))
    assert held == {".gitattributes", *(f"{number}.{kind}" for number in range(12) for kind in ("txt", "bin"))}
    assert len(either.list_repo_commits("alice/shared")) == 13


def test_a_commit_that_opens_a_pull_request_leaves_the_branch_alone(
    api: HfApi, repo: str, hub: RunningHub, tmp_path: Path
) -> None:
    head = api.model_info(repo).sha
    stranger = HfApi(endpoint=hub.endpoint, token=hub.user("bob"))
    made = stranger.create_commit(
        repo, [CommitOperationAdd("w.bin", noise(20_000, seed=9))], commit_message="propose", create_pr=True
    )
    assert made.pr_revision == "refs/pr/1"
    assert api.model_info(repo).sha == head
    assert read(api, repo, "w.bin", tmp_path, revision="refs/pr/1") == noise(20_000, seed=9)
    stranger.create_commit(repo, [CommitOperationAdd("more.txt", b"m")], commit_message="more", revision="refs/pr/1")
    assert "more.txt" in api.list_repo_files(repo, revision="refs/pr/1")
    other = HfApi(endpoint=hub.endpoint, token=hub.user("carol"))
    with pytest.raises(HfHubHTTPError, match="403"):
        other.create_commit(repo, [CommitOperationAdd("x", b"m")], commit_message="no", revision="refs/pr/1")
    with pytest.raises(HfHubHTTPError, match="403"):
        stranger.create_commit(repo, [CommitOperationAdd("x", b"m")], commit_message="no")


def test_refusals_raise_what_the_client_means(api: HfApi, repo: str, tmp_path: Path) -> None:
    add = [CommitOperationAdd("a", b"1")]
    with pytest.raises(RevisionNotFoundError):
        api.create_commit(repo, add, commit_message="m", revision="absent")
    with pytest.raises(RepositoryNotFoundError):
        api.create_commit("alice/absent", add, commit_message="m")
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        api.delete_file("absent.txt", repo)
    with pytest.raises(EntryNotFoundError):
        read(api, repo, "absent.txt", tmp_path)
    with pytest.raises(RevisionNotFoundError):
        read(api, repo, "absent.txt", tmp_path, revision="absent")
    with pytest.raises(RepositoryNotFoundError):
        read(api, "alice/absent", "a", tmp_path)
    assert not api.file_exists(repo, "absent.txt")
    assert api.file_exists(repo, ".gitattributes")


def test_hostile_commits_are_refused(api: HfApi, repo: str) -> None:
    for path in ("../up", "/etc/passwd", "a/../b", ".git/config", "a//b", "a\\b", "x" * 2000, "a\nb", "", "GIT~1/x"):
        value = {"path": path, "content": "", "encoding": "utf-8"}
        assert send_commit(api, repo, {"key": "file", "value": value}).status_code == 400, path
    lines: tuple[object, ...] = (
        {"key": "file", "value": {"path": "a", "content": "%%%", "encoding": "base64"}},
        {"key": "file", "value": {"path": "a", "content": 7, "encoding": "base64"}},
        {"key": "unknown", "value": {}},
        {"key": "header", "value": {}},
        {"value": {}},
        [],
        7,
        {"key": "lfsFile", "value": {"path": "a", "oid": "zz", "size": 1}},
        {"key": "lfsFile", "value": {"path": "a", "oid": "0" * 64, "size": -1}},
    )
    for line in lines:
        assert send_commit(api, repo, line).status_code == 400, line
    file = {"key": "file", "value": {"path": "a", "content": "x", "encoding": "utf-8"}}
    inside = {"key": "file", "value": {"path": "a/b", "content": "x", "encoding": "utf-8"}}
    assert send_commit(api, repo, file, inside).status_code == 400
    deep = httpx2.post(
        f"{api.endpoint}/api/models/{repo}/commit/main",
        content=b"[" * 100_000 + b"\n",
        headers={"Authorization": f"Bearer {api.token}"},
    )
    assert deep.status_code == 400
    assert len(api.list_repo_commits(repo)) == 1


def test_a_commit_of_a_gigabyte_is_refused_in_little_memory(api: HfApi, repo: str) -> None:
    def body() -> Iterator[bytes]:
        yield b'{"key":"header","value":{"summary":"s"}}\n{"key":"file","value":{"path":"a","content":"'
        block = b"A" * MIB
        for _ in range(1024):
            yield block

    url = f"{api.endpoint}/api/models/{repo}/commit/main"
    headers = {"Authorization": f"Bearer {api.token}"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(httpx2.WriteError, httpx2.ReadError, httpx2.RemoteProtocolError):
        assert httpx2.post(url, content=body(), headers=headers, timeout=60).status_code == 413
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
    target = urlsplit(url)
    with socket.create_connection((target.hostname, target.port), timeout=60) as connection:
        said = f"POST {target.path} HTTP/1.1\r\nHost: {target.netloc}\r\nAuthorization: {headers['Authorization']}\r\n"
        connection.sendall(f"{said}Content-Length: {1024 * MIB}\r\n\r\n".encode())
        assert b" 413 " in connection.recv(100)
    lines = b'{"key":"header","value":{"summary":"s"}}\n' + b'{"key":"deletedFile","value":{"path":"a"}}\n' * 100_001
    assert httpx2.post(url, content=lines, headers=headers, timeout=60).status_code == 413


def test_a_commit_that_changes_nothing_returns_the_head(api: HfApi, repo: str) -> None:
    line = {"key": "file", "value": {"path": "a.txt", "content": "x", "encoding": "utf-8"}}
    first = send_commit(api, repo, line).json()
    assert first["success"]
    assert send_commit(api, repo, line).json()["commitOid"] == first["commitOid"]
    assert send_commit(api, repo).json()["commitOid"] == first["commitOid"]
    assert len(api.list_repo_commits(repo)) == 2
