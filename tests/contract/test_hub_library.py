"""What huggingface_hub does beside uploads and downloads, as it is, against `weighbridge hub serve`."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from client_home import Home, a_home, model, of_bob, push
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    DatasetCard,
    HfApi,
    HfFileSystem,
    constants,
    snapshot_download,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

__all__ = ["model"]

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with a_home(tmp_path_factory.mktemp("library")) as running:
        yield running


def test_a_snapshot_of_any_revision_is_kept_and_used_without_the_hub(
    home: Home, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.point_library_here(monkeypatch)
    api = home.api
    first = push(api, "alice/kept", model)
    api.create_tag("alice/kept", tag="v1")
    api.create_branch("alice/kept", branch="feature/x")
    api.delete_file("config.json", "alice/kept")
    for revision in ("v1", first, "feature/x", first[:7]):
        got = snapshot_download("alice/kept", revision=revision, allow_patterns=["*.json"], token=home.token)
        assert (Path(got) / "config.json").exists()
        assert not (Path(got) / "weights.bin").exists()
    got = snapshot_download("alice/kept", token=home.token)
    assert not (Path(got) / "config.json").exists()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert snapshot_download("alice/kept", token=home.token) == got
    assert (Path(snapshot_download("alice/kept", revision="v1", allow_patterns=["*.json"])) / "config.json").exists()
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download("alice/kept", revision="never-fetched")


def test_files_can_be_uploaded_before_they_are_committed(home: Home) -> None:
    api = home.api
    api.create_repo("alice/ahead")
    addition = CommitOperationAdd(path_in_repo="a.bin", path_or_fileobj=os.urandom(300_000))
    api.preupload_lfs_files("alice/ahead", [addition])
    assert not api.file_exists("alice/ahead", "a.bin")
    api.create_commit("alice/ahead", [addition], commit_message="now")
    assert api.file_exists("alice/ahead", "a.bin")


def test_copies_reach_another_repository_and_another_kind(home: Home, model: Path) -> None:
    api = home.api
    push(api, "alice/from", model)
    api.create_repo("alice/to", repo_type="dataset")
    before = home.received_bytes()
    copies = [
        CommitOperationCopy(src_path_in_repo=path, path_in_repo=path, src_repo_id="alice/from", src_repo_type="model")
        for path in ("weights.bin", "config.json")
    ]
    api.create_commit("alice/to", copies, commit_message="copied", repo_type="dataset")
    ours = api.get_paths_info("alice/from", ["weights.bin", "config.json"])
    theirs = api.get_paths_info("alice/to", ["weights.bin", "config.json"], repo_type="dataset")
    assert [(one.path, one.blob_id) for one in ours] == [(one.path, one.blob_id) for one in theirs]  # type: ignore[union-attr]
    assert home.received_bytes() - before < 50_000


def test_the_file_system_walks_globs_copies_and_reads_revisions(home: Home, model: Path) -> None:
    first = push(home.api, "alice/fs", model)
    files = HfFileSystem(endpoint=home.hub.endpoint, token=home.token, skip_instance_cache=True)
    assert files.glob("alice/fs/**/*.txt") == ["alice/fs/sub/notes.txt"]
    walked = {path: (sorted(folders), sorted(names)) for path, folders, names in files.walk("alice/fs")}
    assert walked["alice/fs/sub"] == ([], ["notes.txt"])
    files.cp("alice/fs/weights.bin", "alice/fs/copy.bin")
    assert files.cat_file("alice/fs/copy.bin", start=-256) == bytes(range(256))
    with files.open("alice/fs/weights.bin", "rb") as opened:
        opened.seek(1000)
        assert opened.read(4) == bytes([232, 233, 234, 235])
    files.rm("alice/fs/sub", recursive=True)
    assert files.glob("alice/fs/sub/*") == []
    assert files.cat_file(f"alice/fs@{first}/sub/notes.txt") == b"hello\n"
    home.api.upload_file(path_or_fileobj=b"1", path_in_repo="later.txt", repo_id="alice/fs")
    files.invalidate_cache()
    assert files.info("alice/fs/later.txt")["size"] == 1
    with pytest.raises(FileNotFoundError):
        files.ls("alice/no-such")


def test_a_card_of_a_dataset_is_loaded_and_pushed_as_a_proposal(
    home: Home, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.point_library_here(monkeypatch)
    home.api.create_repo("alice/data", repo_type="dataset")
    card = DatasetCard("---\nlicense: cc0-1.0\nlanguage: de\n---\n# Data\n")
    card.push_to_hub("alice/data", token=home.token)
    card.text = "# More data\n"
    card.push_to_hub("alice/data", token=home.token, create_pr=True)
    assert DatasetCard.load("alice/data", token=home.token).data.license == "cc0-1.0"
    assert [one.is_pull_request for one in home.api.get_repo_discussions("alice/data", repo_type="dataset")] == [True]
    assert "language:de" in (home.api.dataset_info("alice/data").tags or [])


def test_who_is_behind_a_gate_is_told_so_and_let_in(home: Home, model: Path, tmp_path: Path) -> None:
    api, bob = home.api, of_bob(home)
    push(api, "alice/gated", model)
    api.update_repo_settings("alice/gated", gated="manual")
    assert bob.model_info("alice/gated").gated == "manual"
    for refused in (
        lambda: bob.auth_check("alice/gated"),
        lambda: bob.hf_hub_download("alice/gated", "config.json", cache_dir=tmp_path),
        lambda: HfApi(endpoint=bob.endpoint, token=False).hf_hub_download(
            "alice/gated", "config.json", cache_dir=tmp_path
        ),
    ):
        with pytest.raises(GatedRepoError, match="alice/gated"):
            refused()
    said = home.hf("download", "alice/gated", token=str(bob.token), fails=True)
    assert "gated" in said.lower()
    api.grant_access("alice/gated", "bob")
    bob.auth_check("alice/gated")
    assert Path(bob.snapshot_download("alice/gated", cache_dir=tmp_path)).is_dir()


def test_what_is_not_there_raises_what_the_client_means(home: Home, model: Path, tmp_path: Path) -> None:
    api = home.api
    push(api, "alice/there", model)
    assert api.repo_exists("alice/there")
    assert not api.repo_exists("alice/not-there")
    assert api.revision_exists("alice/there", "main")
    assert not api.revision_exists("alice/there", "nowhere")
    assert not api.file_exists("alice/there", "nothing.txt")
    with pytest.raises(RemoteEntryNotFoundError):
        api.hf_hub_download("alice/there", "nothing.txt", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download("alice/there", "config.json", revision="nowhere", cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download("alice/not-there", "config.json", cache_dir=tmp_path)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("alice/there", "no/folder"))
    with pytest.raises(HfHubHTTPError, match="Invalid credentials in Authorization header") as refused:
        HfApi(endpoint=api.endpoint, token="hf_" + "z" * 37).model_info("alice/there")
    assert not isinstance(refused.value, RepositoryNotFoundError)


def test_clients_that_are_older_or_of_other_languages_find_what_they_need(home: Home, model: Path) -> None:
    push(home.api, "alice/others", model)
    token = {"Authorization": f"Bearer {home.token}"}
    # `upload_large_folder` of huggingface_hub before 1.0.
    info = httpx2.get(f"{home.hub.endpoint}/api/models/alice/others", params={"expand": "xetEnabled"}, headers=token)
    assert info.json()["xetEnabled"] is True
    # An upload by @huggingface/hub of JavaScript.
    batch = httpx2.post(
        f"{home.hub.endpoint}/alice/others.git/info/lfs/objects/batch",
        json={
            "operation": "upload",
            "hash_algo": "sha_256",
            "transfers": ["basic", "multipart"],
            "objects": [{"oid": "0" * 64, "size": 3}],
        },
        headers=token,
    )
    assert batch.json()["objects"][0]["actions"]["upload"]["href"].startswith(home.hub.endpoint)
    # The crate hf-hub of Rust asks for one byte instead of HEAD.
    first = httpx2.get(
        f"{home.hub.endpoint}/alice/others/resolve/main/weights.bin", headers={**token, "Range": "bytes=0-0"}
    )
    assert (first.status_code, first.headers["Content-Range"]) == (206, "bytes 0-0/204800")
    assert len(first.headers["X-Repo-Commit"]) == 40
    assert first.headers["ETag"]


def test_the_library_says_what_this_hub_does_not_have(home: Home, model: Path) -> None:
    api = home.api
    api.create_repo("alice/still", repo_type="space", space_sdk="static")
    for call, reason in (
        (lambda: api.create_collection("mine"), "no collections"),
        (api.list_webhooks, "no webhooks"),
        (lambda: api.paper_info("2401.00001"), "no papers"),
        (lambda: list(api.list_daily_papers()), "no papers"),
        (lambda: api.get_space_runtime("alice/still"), "does not run it"),
        (lambda: api.add_space_secret("alice/still", "A", "b"), "does not run it"),
        (lambda: api.restart_space("alice/still"), "does not run it"),
        (lambda: api.get_dataset_leaderboard("alice/any"), "no leaderboards"),
    ):
        with pytest.raises(HfHubHTTPError, match=reason) as refused:
            call()
        assert not isinstance(refused.value, RepositoryNotFoundError)
        assert refused.value.response.status_code == 501
