"""Files, branches, tags, commits and large files of repositories on a running hub, by huggingface_hub's client."""

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filled_repository import api_of, commit
from huggingface_hub import CommitOperationCopy, HfApi, get_session
from huggingface_hub._commit_api import _CopySource
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    FileDuplicationError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from running_hub import RunningHub, running_hub
from sqlalchemy import func, select

from weighbridge.hub.database.schema import git_object
from weighbridge.hub.repositories.weights import measure_waiting

BOTH_DATABASES = pytest.mark.usefixtures("database")


@pytest.fixture
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningHub]:
    """On SQLite; on PostgreSQL too for tests that say `BOTH_DATABASES`: where the two could differ."""
    address = request.getfixturevalue("database") if "database" in request.fixturenames else ""
    with running_hub(tmp_path / "hub", database=address) as running:
        yield running


@pytest.fixture
def api(hub: RunningHub) -> HfApi:
    client = api_of(hub)
    client.create_repo("alice/model")
    return client


def _status(raised: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return raised.value.response.status_code


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _safetensors(**tensors: tuple[str, tuple[int, ...], int]) -> bytes:
    header: dict[str, object] = {}
    at = 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def _gguf() -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    keys = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    keys += text("llama.context_length") + struct.pack("<II", 4, 4096)
    tensor = text("w") + struct.pack("<IQQIQ", 2, 32, 4, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + keys + tensor
    return head + bytes(-len(head) % 32) + bytes(32 * 4 * 4)


def test_folders_are_listed_flat_and_deep(hub: RunningHub, api: HfApi) -> None:
    weights = b"w" * 5000
    commit(hub, "alice/model", {"a/b/c.txt": b"c", "a/d é.txt": b"dd", "e.txt": b""}, large={"a/model.bin": weights})
    flat = {entry.path: entry for entry in api.list_repo_tree("alice/model")}
    assert list(flat) == [".gitattributes", "a", "e.txt"]
    assert isinstance(flat["a"], RepoFolder)
    deep = {entry.path: entry for entry in api.list_repo_tree("alice/model", recursive=True)}
    assert list(deep) == [".gitattributes", "a", "a/b", "a/b/c.txt", "a/d é.txt", "a/model.bin", "e.txt"]
    large = deep["a/model.bin"]
    assert isinstance(large, RepoFile)
    assert large.size == 5000
    assert large.lfs is not None
    assert large.lfs.sha256 == _sha256(weights)
    assert large.xet_hash
    assert len(large.xet_hash) == 64
    assert [entry.path for entry in api.list_repo_tree("alice/model", "a/b")] == ["a/b/c.txt"]
    assert [entry.path for entry in api.list_repo_tree("alice/model", "a", recursive=True)] == list(deep)[2:6]
    for path in ("nope", "e.txt", "a/../a", "a/.git"):
        with pytest.raises(EntryNotFoundError):
            list(api.list_repo_tree("alice/model", path))
    with pytest.raises(RevisionNotFoundError):
        list(api.list_repo_tree("alice/model", revision="nope"))
    plain = get_session().get(f"{hub.endpoint}/api/models/alice/model/tree/main/a/b")
    assert [entry["path"] for entry in plain.json()] == ["a/b/c.txt"]


@BOTH_DATABASES
def test_a_listing_names_the_commits_that_changed_its_entries_page_by_page(hub: RunningHub, api: HfApi) -> None:
    first = commit(hub, "alice/model", {f"f{number:03}.txt": b"1" for number in range(120)}, title="many")
    second = commit(hub, "alice/model", {"f007.txt": b"2", "x/y.txt": b"y"}, title="one")
    listed = list(api.list_repo_tree("alice/model", expand=True, recursive=True))
    assert len(listed) == 123
    last = {entry.path: entry.last_commit for entry in listed}
    assert last["f000.txt"] is not None
    assert last["f007.txt"] is not None
    assert last["x"] is not None
    assert (last["f000.txt"].oid, last["f000.txt"].title) == (first, "many")
    assert last["f007.txt"].oid == last["x"].oid == second
    file = next(entry for entry in listed if entry.path == "f000.txt")
    assert isinstance(file, RepoFile)
    assert file.security is not None
    assert file.security.status == "unscanned"
    page = get_session().get(f"{hub.endpoint}/api/models/alice/model/tree/main?recursive=true&expand=true")
    assert len(page.json()) == 50
    assert 'rel="next"' in page.headers["Link"]
    whole = get_session().get(f"{hub.endpoint}/api/models/alice/model/tree/main?recursive=true")
    assert len(whole.json()) == 123
    assert "Link" not in whole.headers
    for cursor in ("x", "WzFd", "ImEi", "Ii4uL3gi"):
        answer = get_session().get(f"{hub.endpoint}/api/models/alice/model/tree/main/x?cursor={cursor}&recursive=1")
        assert answer.status_code in (400, 404)


def test_paths_are_described_and_those_that_are_not_there_left_out(hub: RunningHub, api: HfApi) -> None:
    oid = commit(hub, "alice/model", {"a/b.txt": b"b"}, large={"c.bin": b"c" * 100})
    found = {item.path: item for item in api.get_paths_info("alice/model", ["a", "a/b.txt", "c.bin", "nope", "../x"])}
    assert set(found) == {"a", "a/b.txt", "c.bin"}
    large = found["c.bin"]
    assert isinstance(large, RepoFile)
    assert large.lfs is not None
    assert large.lfs.sha256 == _sha256(b"c" * 100)
    (expanded,) = api.get_paths_info("alice/model", "a/b.txt", expand=True)
    assert expanded.last_commit is not None
    assert expanded.last_commit.oid == oid
    with pytest.raises(RevisionNotFoundError):
        api.get_paths_info("alice/model", ["a"], revision="nope")


@BOTH_DATABASES
def test_branches_and_tags_come_and_go(hub: RunningHub, api: HfApi) -> None:
    first = api.model_info("alice/model").sha
    second = commit(hub, "alice/model", {"a.txt": b"a"})
    api.create_branch("alice/model", branch="dev/one")
    api.create_branch("alice/model", branch="old", revision=first)
    api.create_tag("alice/model", tag="v1.0", tag_message="the first")
    api.create_tag("alice/model", tag="light", revision="old")
    refs = api.list_repo_refs("alice/model", include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": second, "dev/one": second, "old": first}
    assert {ref.name: ref.target_commit for ref in refs.tags} == {"v1.0": second, "light": first}
    assert (refs.converts, refs.pull_requests) == ([], [])
    assert api.model_info("alice/model", revision="dev/one").sha == second
    assert api.model_info("alice/model", revision="v1.0").sha == second
    for call, arguments in (
        (api.create_branch, {"branch": "old"}),
        (api.create_branch, {"branch": "main"}),
        (api.create_tag, {"tag": "light"}),
    ):
        with pytest.raises(HfHubHTTPError) as raised:
            call("alice/model", **arguments)  # type: ignore[arg-type]
        assert _status(raised) == 409
    api.create_branch("alice/model", branch="old", exist_ok=True)
    api.create_tag("alice/model", tag="light", exist_ok=True)
    with pytest.raises(RevisionNotFoundError):
        api.create_branch("alice/model", branch="new", revision="nope")
    with pytest.raises(RevisionNotFoundError):
        api.create_tag("alice/model", tag="new", revision="nope")
    for name in ("a..b", "a b", "refs/pr/1", "a" * 300, second):
        with pytest.raises(BadRequestError):
            api.create_branch("alice/model", branch=name)
    with pytest.raises(HfHubHTTPError, match="Cannot delete refs/heads/main"):
        api.delete_branch("alice/model", branch="main")
    api.delete_branch("alice/model", branch="old")
    with pytest.raises(HfHubHTTPError, match="Reference does not exist"):
        api.delete_branch("alice/model", branch="old")
    api.delete_tag("alice/model", tag="v1.0")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag("alice/model", tag="v1.0")
    stranger = api_of(hub, "bob")
    with pytest.raises(HfHubHTTPError) as raised:
        stranger.create_branch("alice/model", branch="mine")
    assert _status(raised) == 403


def test_commits_are_listed_in_pages(hub: RunningHub, api: HfApi) -> None:
    oids = [commit(hub, "alice/model", {"a.txt": str(n).encode()}, title=f"<b>{n}</b>") for n in range(60)]
    listed = api.list_repo_commits("alice/model", formatted=True)
    assert [item.commit_id for item in listed][:60] == oids[::-1]
    assert len(listed) == 61
    assert listed[0].authors == ["alice"]
    assert listed[0].title == "<b>59</b>"
    assert listed[0].formatted_title == "&lt;b&gt;59&lt;/b&gt;"
    assert [item.commit_id for item in api.list_repo_commits("alice/model", revision=oids[1])][:2] == oids[1::-1]
    for query in ("p=-5&limit=0", "p=99999999999&limit=1000000"):
        answer = get_session().get(f"{hub.endpoint}/api/models/alice/model/commits/main?{query}")
        assert answer.status_code in (200, 400)
        assert len(answer.json()) <= 1000
    answer = get_session().get(f"{hub.endpoint}/api/models/alice/model/commits/main?p=x")
    assert answer.status_code == 400


@BOTH_DATABASES
def test_a_squashed_branch_has_one_commit_of_the_same_files(hub: RunningHub, api: HfApi) -> None:
    for number in range(3):
        commit(hub, "alice/model", {f"{number}.txt": b"x"})
    api.create_branch("alice/model", branch="kept")
    before = [entry.path for entry in api.list_repo_tree("alice/model")]
    api.super_squash_history("alice/model", commit_message="all in one\n\nand why")
    (only,) = api.list_repo_commits("alice/model")
    assert (only.title, only.message) == ("all in one", "and why")
    assert [entry.path for entry in api.list_repo_tree("alice/model")] == before
    assert len(api.list_repo_commits("alice/model", revision="kept")) == 4
    api.super_squash_history("alice/model", branch="kept")
    assert len(api.list_repo_commits("alice/model", revision="kept")) == 1
    with pytest.raises(RevisionNotFoundError):
        api.super_squash_history("alice/model", branch="nope")
    with pytest.raises(BadRequestError, match="Only branches are squashed"):
        api.super_squash_history("alice/model", branch="refs/pr/1")
    with pytest.raises(HfHubHTTPError) as raised:
        api_of(hub, "bob").super_squash_history("alice/model")
    assert _status(raised) == 403


def test_parameters_are_read_from_safetensors(hub: RunningHub, api: HfApi) -> None:
    data = _safetensors(a=("BF16", (10, 3), 60), b=("F32", (5,), 20))
    commit(hub, "alice/model", {}, large={"model.safetensors": data})
    info = api.model_info("alice/model")
    assert info.safetensors is not None
    assert (dict(info.safetensors.parameters), info.safetensors.total) == ({"BF16": 30, "F32": 5}, 35)
    assert "safetensors" in (info.tags or ())
    assert [item.id for item in api.list_models(num_parameters="min:30,max:0.04K")] == ["alice/model"]
    assert list(api.list_models(num_parameters="min:1M")) == []
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    shards = {name: _safetensors(a=("I8", (7,), 7)) for name in ("one.safetensors", "two.safetensors")}
    commit(
        hub,
        "alice/model",
        {"model.safetensors": None, "model.safetensors.index.json": json.dumps(index).encode()},
        large=shards,
    )
    info = api.model_info("alice/model", expand=["safetensors"])
    assert info.safetensors is not None
    assert info.safetensors.total == 14
    commit(hub, "alice/model", {"one.safetensors": b"\xff" * 100})
    assert api.model_info("alice/model").safetensors is None


@BOTH_DATABASES
def test_architecture_and_parameters_are_read_from_gguf(hub: RunningHub, api: HfApi) -> None:
    commit(hub, "alice/model", {}, large={"tiny.gguf": _gguf()})
    info = api.model_info("alice/model", expand=["gguf"])
    assert info.gguf == {"total": 128, "architecture": "llama", "context_length": 4096}
    assert [item.id for item in api.list_models(apps="ollama")] == ["alice/model"]


@BOTH_DATABASES
def test_large_files_are_deleted_from_every_commit_and_ref(hub: RunningHub, api: HfApi) -> None:
    bad, good = b"b" * 3000, b"g" * 4000
    before = api.model_info("alice/model").sha
    first = commit(hub, "alice/model", {"a.txt": b"a"}, large={"x/bad.bin": bad, "good.bin": good})
    api.create_tag("alice/model", tag="v1", tag_message="annotated")
    second = commit(hub, "alice/model", {"x/bad.bin": None, "b.txt": b"b"})
    api.create_branch("alice/model", branch="dev", revision=first)
    listed = {file.filename: file for file in api.list_lfs_files("alice/model")}
    assert set(listed) == {"x/bad.bin", "good.bin"}
    assert (listed["x/bad.bin"].file_oid, listed["x/bad.bin"].size) == (_sha256(bad), 3000)
    api.permanently_delete_lfs_files("alice/model", [listed["x/bad.bin"]])
    assert [file.filename for file in api.list_lfs_files("alice/model")] == ["good.bin"]
    for gone in (first, second):
        with pytest.raises(RevisionNotFoundError):
            api.model_info("alice/model", revision=gone)
    assert api.model_info("alice/model", revision=before).sha == before
    for revision in ("main", "v1", "dev"):
        paths = [entry.path for entry in api.list_repo_tree("alice/model", revision=revision, recursive=True)]
        assert "good.bin" in paths
        assert "x" not in paths
    assert [item.title for item in api.list_repo_commits("alice/model")] == ["files", "files", "initial commit"]
    assert api.model_info("alice/model").used_storage == 4000
    with hub.hub.database.read() as connection:
        pointers = select(func.count()).where(git_object.c.lfs_sha256 == _sha256(bad))
        assert connection.execute(pointers).scalar_one() == 0
    with pytest.raises(HfHubHTTPError) as raised:
        api_of(hub, "bob").permanently_delete_lfs_files("alice/model", [listed["good.bin"]])
    assert _status(raised) == 403


def test_weights_are_measured_between_requests_too(hub: RunningHub, api: HfApi) -> None:
    commit(hub, "alice/model", {}, large={"tiny.gguf": _gguf()})
    assert list(api.list_models(num_parameters="min:100")) == []
    for _ in range(2):
        measure_waiting(hub.hub)
    assert [item.id for item in api.list_models(num_parameters="min:100")] == ["alice/model"]


def test_files_are_copied_between_repositories_by_one_commit(hub: RunningHub, api: HfApi) -> None:
    data = b"w" * 5000
    commit(hub, "alice/model", {"small.txt": b"small"}, large={"model.bin": data})
    api.create_repo("alice/words", repo_type="dataset")
    source: Any = {"src_repo_id": "alice/model", "src_repo_type": "model"}
    copies = [CommitOperationCopy(name, f"from/{name}", **source) for name in ("model.bin", "small.txt")]
    api.create_commit("alice/words", copies, commit_message="copied", repo_type="dataset")
    found = {item.path: item for item in api.get_paths_info("alice/words", ["from/model.bin"], repo_type="dataset")}
    large = found["from/model.bin"]
    assert isinstance(large, RepoFile)
    assert large.lfs is not None
    assert large.lfs.sha256 == _sha256(data)
    assert api.dataset_info("alice/words").used_storage == 5000


def test_large_files_are_deleted_without_touching_history(hub: RunningHub, api: HfApi) -> None:
    oid = commit(hub, "alice/model", {}, large={"bad.bin": b"b" * 3000})
    api.permanently_delete_lfs_files("alice/model", api.list_lfs_files("alice/model"), rewrite_history=False)
    assert list(api.list_lfs_files("alice/model")) == []
    assert api.model_info("alice/model").sha == oid
    assert api.model_info("alice/model").used_storage == 0


@BOTH_DATABASES
def test_a_repository_lends_files_it_has_to_those_who_may_read_it(hub: RunningHub, api: HfApi) -> None:
    data = b"w" * 5000
    commit(hub, "alice/model", {}, large={"model.bin": data})
    bob = api_of(hub, "bob")
    bob.create_repo("bob/copy")
    entry = next(item for item in bob.list_repo_tree("alice/model") if item.path == "model.bin")
    assert isinstance(entry, RepoFile)
    files = [{"sha256": _sha256(data), "xetHash": entry.xet_hash, "filename": "model.bin"}]
    ghost = [{"sha256": "0" * 64, "xetHash": "0" * 64, "filename": "x"}]

    def lend(client: HfApi, source: str, files: Any) -> tuple[int, object]:
        answer = get_session().post(
            f"{hub.endpoint}/api/models/{source}/lfs-files/duplicate",
            headers={"Authorization": f"Bearer {client.token}"},
            json={"target": {"type": "model", "name": "bob/copy"}, "files": files},
        )
        return answer.status_code, answer.json().get("failed")

    assert lend(bob, "alice/model", files) == (200, [])
    status, failed = lend(bob, "alice/model", ghost)
    assert status == 200
    assert isinstance(failed, list)
    assert failed[0]["sha256"] == "0" * 64
    assert lend(api, "alice/model", files)[0] == 403
    api.update_repo_settings("alice/model", private=True)
    assert lend(bob, "alice/model", files)[0] == 404


def test_nobody_reads_an_object_of_another_repository_by_its_oid(hub: RunningHub, api: HfApi) -> None:
    api.create_repo("alice/secret", private=True)
    oid = commit(hub, "alice/secret", {"secret.txt": b"s"})
    assert api.model_info("alice/secret", revision=oid).sha == oid
    bob = api_of(hub, "bob")
    bob.create_repo("bob/own")
    for name in ("bob/own", "alice/model"):
        with pytest.raises(RevisionNotFoundError):
            list(bob.list_repo_tree(name, revision=oid))
    with pytest.raises(RepositoryNotFoundError):
        list(bob.list_repo_tree("alice/secret", revision=oid))


def test_hostile_bodies_are_refused(hub: RunningHub, api: HfApi) -> None:
    headers = {"Authorization": f"Bearer {api.token}"}
    for path, body in (
        ("repos/create", b"[]"),
        ("repos/create", b"{" * 100_000),
        ("repos/create", b'{"name": 5}'),
        ("repos/create", b'{"name": "a", "organization": []}'),
        ("repos/create", b'{"name": "a", "type": "bomb"}'),
        ("repos/move", b'{"fromRepo": "a", "toRepo": "b"}'),
        ("models/alice/model/branch/x", b'{"startingPoint": []}'),
        ("models/alice/model/tag/main", b'{"tag": {}}'),
        ("models/alice/model/tag/main", b'{"tag": "a~b"}'),
        ("models/alice/model/lfs-files/batch", b"{}"),
        ("models/alice/model/lfs-files/batch", b'{"deletions": {"sha": ["../x"]}}'),
        ("models/alice/model/lfs-files/duplicate", b'{"target": {"name": "x"}, "files": []}'),
        ("models/alice/model/duplicate", b"{}"),
    ):
        answer = get_session().post(f"{hub.endpoint}/api/{path}", headers=headers, content=body)
        assert answer.status_code == 400, (path, body[:40], answer.text)
        assert answer.json()["error"]
    answer = get_session().post(f"{hub.endpoint}/api/repos/create", headers=headers, content=b" " * 2_000_000)
    assert answer.status_code == 413


def test_copies_between_repositories_fail_by_name(hub: RunningHub, api: HfApi) -> None:
    """The client words what `lfs-files/duplicate` says of files that cannot be copied."""
    copy = CommitOperationCopy("x.bin", "x.bin", src_repo_id="alice/model", src_repo_type="model")
    fake: Any = RepoFile(  # type: ignore[no-untyped-call]
        path="x.bin",
        size=3,
        oid="0" * 40,
        lfs={"size": 3, "oid": "0" * 64, "pointerSize": 127},
        xetHash="1" * 64,
    )
    api.create_repo("alice/copy")
    source = {_CopySource("alice/model", "model", "x.bin", None): fake}
    with pytest.raises(FileDuplicationError):
        api._duplicate_lfs_files("alice/copy", [copy], files_to_copy=source)
