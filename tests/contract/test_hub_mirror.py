"""Pulling repositories from one running hub into another, and what a lying or unreliable source can do about it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from flipping_proxy import flipping_proxy
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from running_hub import RunningHub
from sqlalchemy import func, select
from two_hubs import BIG, NO_XET, WEIGHTS, Two, downloaded, flipped, nothing_is_visible, refs_here

from weighbridge.errors import InputError, VerificationError
from weighbridge.hub.database.schema import content_owner, repository
from weighbridge.hub.git import selection
from weighbridge.hub.mirror.errors import LyingSourceError, SourceError
from weighbridge.hub.mirror.landing import Change
from weighbridge.shell.hub import mirror_http
from weighbridge.shell.hub.mirror_http import AbsentError


def commits(api: HfApi, revision: str = "main") -> list[tuple[str, str, list[str]]]:
    return [
        (c.title, c.created_at.isoformat(), list(c.authors))
        for c in api.list_repo_commits("alice/m", revision=revision)
    ]


def owned(hub: RunningHub) -> int:
    with hub.hub.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(content_owner)).scalar_one())


def test_a_pull_by_git_has_the_same_commits_branches_tags_and_files(database: str, filled: Two, tmp_path: Path) -> None:
    pulled = filled.pull()
    assert pulled.way == "git"
    assert filled.heads(filled.mine) == filled.heads(filled.api)
    assert commits(filled.mine) == commits(filled.api)
    assert commits(filled.mine, "dev") == commits(filled.api, "dev")
    assert downloaded(filled.mine, tmp_path / "got") == WEIGHTS
    assert downloaded(filled.mine, tmp_path / "dev", "note.txt", "dev") == b"other"
    assert filled.mine.model_info("alice/m").card_data.license == "mit"  # type: ignore[union-attr]
    assert pulled.fetched_files == 1
    assert BIG <= pulled.fetched_bytes < BIG + 8192


def test_a_pull_by_the_api_makes_the_history_again_and_goes_on_from_there(
    database: str, filled: Two, tmp_path: Path
) -> None:
    filled.proxy.refused.append("info/refs")
    pulled = filled.pull()
    assert pulled.way == "api"
    assert commits(filled.mine) == commits(filled.api)
    assert commits(filled.mine, "v1") == commits(filled.api, "v1")
    source_head = filled.api.model_info("alice/m").sha
    top = filled.mine.list_repo_commits("alice/m")[0]
    assert f"Source-commit: {source_head}" in top.message
    assert "Trained for long." in top.message
    assert downloaded(filled.mine, tmp_path / "got") == WEIGHTS
    here = [(f.path, f.blob_id) for f in filled.mine.list_repo_tree("alice/m", recursive=True) if hasattr(f, "blob_id")]
    there = [(f.path, f.blob_id) for f in filled.api.list_repo_tree("alice/m", recursive=True) if hasattr(f, "blob_id")]
    assert here == there
    filled.api.upload_file(path_or_fileobj=b"more", path_in_repo="more.txt", repo_id="alice/m", commit_message="More")
    filled.proxy.seen.clear()
    again = filled.pull()
    assert {change.name: change.change for change in again.changes}["refs/heads/main"] is Change.FORWARD
    assert filled.proxy.count("/tree/") == 1
    assert filled.proxy.count("/resolve/") == 1
    assert commits(filled.mine) == commits(filled.api)


def test_a_source_that_will_not_send_so_much_by_git_is_asked_by_the_api(
    filled: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MAX_SENT_OBJECTS", 3)
    for _ in range(2):
        assert filled.pull().way == "api"
        assert commits(filled.mine) == commits(filled.api)
    assert downloaded(filled.mine, tmp_path) == WEIGHTS


def test_commits_that_came_by_git_are_not_made_again(filled: Two) -> None:
    filled.pull()
    filled.api.upload_file(path_or_fileobj=b"more", path_in_repo="more.txt", repo_id="alice/m")
    filled.proxy.refused.append("/git-upload-pack")
    before = filled.heads(filled.mine)
    with pytest.raises(SourceError, match="made again") as refused:
        filled.pull()
    assert "--to" in refused.value.hint
    assert filled.heads(filled.mine) == before


def test_a_second_pull_fetches_only_what_is_new(filled: Two) -> None:
    filled.without_xet()
    filled.pull()
    filled.proxy.seen.clear()
    same = filled.pull()
    assert {change.change for change in same.changes} == {Change.SAME}
    assert filled.proxy.count("/api/lfs/get/") == filled.proxy.count("git-upload-pack") - 1 == 0
    filled.api.upload_file(path_or_fileobj=WEIGHTS + b"x", path_in_repo="x.bin", repo_id="alice/m")
    filled.api.delete_branch("alice/m", branch="dev")
    again = filled.pull()
    assert (again.fetched_files, again.fetched_bytes) == (1, BIG + 1)
    found = {change.name: change.change for change in again.changes}
    assert found["refs/heads/main"] is Change.FORWARD
    assert found["refs/heads/dev"] is Change.REMOVED
    assert filled.heads(filled.mine) == filled.heads(filled.api)


def test_a_rewritten_history_is_followed_and_a_change_made_here_is_kept(filled: Two) -> None:
    filled.pull()
    filled.api.super_squash_history("alice/m")
    assert {c.name: c.change for c in filled.pull().changes}["refs/heads/main"] is Change.FOLLOWED
    assert filled.heads(filled.mine) == filled.heads(filled.api)
    mine = filled.mine.upload_file(path_or_fileobj=b"mine", path_in_repo="mine.txt", repo_id="alice/m").oid
    filled.api.upload_file(path_or_fileobj=b"theirs", path_in_repo="theirs.txt", repo_id="alice/m")
    assert {c.name: c.change for c in filled.pull().changes}["refs/heads/main"] is Change.DIVERGED
    assert filled.mine.model_info("alice/m").sha == mine
    forced = filled.pull(allow_rollback=True)
    assert {c.name: c.change for c in forced.changes}["refs/heads/main"] is Change.FORCED
    assert filled.heads(filled.mine) == filled.heads(filled.api)


def test_only_the_named_revisions_come(filled: Two) -> None:
    filled.pull(revisions=("v1",))
    assert set(filled.heads(filled.mine)) == {"refs/tags/v1"}
    filled.pull(revisions=("main",))
    assert set(filled.heads(filled.mine)) == {"refs/tags/v1", "refs/heads/main"}
    with pytest.raises(InputError, match="no branch or tag"):
        filled.pull(revisions=("nothing",))


@pytest.mark.parametrize("by_api", [False, True])
def test_a_private_and_a_gated_repository_need_the_token_and_stay_what_they_are(filled: Two, by_api: bool) -> None:
    filled.api.update_repo_settings("alice/m", visibility="private", gated="manual")
    with pytest.raises(AbsentError) as refused:
        filled.pull(token="", by_api=by_api)
    assert "--token-env" in refused.value.hint
    with filled.here.hub.database.read() as connection:
        assert connection.execute(select(repository.c.id)).first() is None
    filled.pull(by_api=by_api)
    info = filled.mine.model_info("alice/m")
    assert info.private
    assert info.gated == "manual"
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=filled.here.endpoint, token=False).model_info("alice/m")


def test_a_cut_connection_is_taken_up_where_it_ended(filled: Two, tmp_path: Path) -> None:
    filled.without_xet()
    filled.proxy.cut.append("/api/lfs/get/")
    filled.pull()
    assert filled.proxy.count("/api/lfs/get/") == 2
    assert downloaded(filled.mine, tmp_path) == WEIGHTS


def test_what_arrived_before_a_failure_is_not_fetched_again_and_is_not_visible(filled: Two) -> None:
    other = hashlib.sha256(WEIGHTS + b"second").hexdigest()
    filled.api.upload_file(path_or_fileobj=WEIGHTS + b"second", path_in_repo="second.bin", repo_id="alice/m")
    filled.proxy.refused += [NO_XET, f"/api/lfs/get/1/{other}"]
    with pytest.raises(SourceError):
        filled.pull()
    assert refs_here(filled.here) == 0
    with pytest.raises(RevisionNotFoundError):
        list(filled.mine.list_repo_tree("alice/m"))
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=filled.here.endpoint, token=False).model_info("alice/m")
    before = owned(filled.here)
    filled.proxy.refused.clear()
    again = filled.pull()
    assert again.fetched_files == 2 - before
    assert filled.heads(filled.mine) == filled.heads(filled.api)


@pytest.mark.parametrize("part", ["/api/lfs/get/", "/git-upload-pack"])
def test_a_flipped_bit_on_the_way_of_git_is_found(filled: Two, part: str) -> None:
    filled.without_xet()
    filled.proxy.change = flipped(part)
    with pytest.raises(LyingSourceError):
        filled.pull()
    nothing_is_visible(filled)
    filled.proxy.change = lambda _, body: body
    filled.pull()
    assert filled.heads(filled.mine) == filled.heads(filled.api)


@pytest.mark.parametrize("part", ["README.md", "w.bin"])
def test_a_flipped_bit_on_the_way_of_the_api_is_found(filled: Two, part: str) -> None:
    filled.without_xet()
    filled.proxy.change = flipped(f"/{part}")
    with pytest.raises(VerificationError):
        filled.pull(by_api=True)
    nothing_is_visible(filled)


def lying_tree(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], bytes]:
    def changed(path: str, body: bytes) -> bytes:
        if "/tree/" not in path:
            return body
        rows = json.loads(body)
        for row in rows:
            change(row)
        return json.dumps(rows).encode()

    return changed


def test_a_lying_size_is_found(filled: Two) -> None:
    def larger(row: dict[str, Any]) -> None:
        if "lfs" in row:
            row["size"] = row["lfs"]["size"] = row["size"] + 1

    filled.proxy.change = lying_tree(larger)
    with pytest.raises((LyingSourceError, SourceError)):
        filled.pull(by_api=True)
    nothing_is_visible(filled)


def test_a_path_that_leads_out_is_refused(filled: Two) -> None:
    for path in ("../out.txt", "/etc/passwd", ".git/config", "a//b", "x\x00y", "a\\b"):

        def elsewhere(row: dict[str, Any], path: str = path) -> None:
            if row["path"] == "README.md":
                row["path"] = path

        filled.proxy.change = lying_tree(elsewhere)
        with pytest.raises(SourceError):
            filled.pull(by_api=True)
        nothing_is_visible(filled)


def test_a_redirect_to_another_scheme_is_not_followed(filled: Two) -> None:
    filled.without_xet()
    for location in ("file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"):
        filled.proxy.redirect["/api/lfs/get/"] = location
        with pytest.raises(SourceError, match=r"it leads to .*, where it is not followed"):
            filled.pull()
        nothing_is_visible(filled)


def test_a_token_does_not_follow_to_another_host(filled: Two) -> None:
    filled.api.update_repo_settings("alice/m", visibility="private")
    with flipping_proxy(filled.source.endpoint) as elsewhere:
        filled.proxy.redirect["/api/models/alice/m"] = f"{elsewhere.endpoint}/api/models/alice/m"
        with pytest.raises(AbsentError):
            filled.pull()
        assert elsewhere.tokens == [""]
    assert filled.proxy.tokens == [f"Bearer {filled.token}"]


def test_an_endless_answer_is_given_up(filled: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_http, "MAX_JSON_BYTES", 100_000)
    filled.proxy.change = lambda path, body: b" " * 200_000 + body if path.endswith("alice/m") else body
    with pytest.raises(SourceError, match="more than 100,000 bytes"):
        filled.pull()


def test_a_file_that_the_source_has_deleted_for_good_is_named_and_the_rest_comes(filled: Two) -> None:
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    filled.without_xet()
    filled.proxy.change = lambda path, body: without(body, sha256) if path.endswith("/objects/batch") else body
    pulled = filled.pull()
    assert pulled.missing == (sha256,)
    assert filled.heads(filled.mine) == filled.heads(filled.api)


def without(body: bytes, sha256: str) -> bytes:
    rows = json.loads(body)
    for row in rows["objects"]:
        if row["oid"] == sha256:
            del row["actions"]
            row["error"] = {"code": 404, "message": "gone"}
    return json.dumps(rows).encode()


def test_bytes_that_another_repository_here_holds_are_not_given_for_naming_them(filled: Two) -> None:
    """A source that names a file's hash without having it gets nothing of the private repository that holds it."""
    secret = Random(7).randbytes(BIG)
    filled.mine.create_repo("alice/private", private=True)
    filled.mine.upload_file(path_or_fileobj=secret, path_in_repo="s.bin", repo_id="alice/private")
    true, false = hashlib.sha256(WEIGHTS).hexdigest(), hashlib.sha256(secret).hexdigest()

    def named(path: str, body: bytes) -> bytes:
        return body.replace(true.encode(), false.encode()) if "/tree/" in path else body

    filled.proxy.change = named
    with pytest.raises(VerificationError):
        filled.pull(by_api=True)


def test_the_command_pulls_and_says_what_happened(filled: Two, tmp_path: Path) -> None:
    environment = {**os.environ, "SOURCE_TOKEN": filled.token}
    command = [sys.executable, "-m", "weighbridge", "hub", "pull", "alice/m", "--from", filled.source.endpoint]
    command += ["--token-env", "SOURCE_TOKEN", "--folder", str(tmp_path / "here"), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["repository"] == "model:alice/m"
    assert BIG <= told["fetched_bytes"] < BIG + 8192
    assert filled.heads(filled.mine) == filled.heads(filled.api)


def test_what_was_put_into_an_unfinished_copy_stays_private(filled: Two) -> None:
    filled.proxy.refused += [NO_XET, "/api/lfs/get/"]
    with pytest.raises(SourceError):
        filled.pull()
    filled.mine.upload_file(path_or_fileobj=b"mine", path_in_repo="mine.txt", repo_id="alice/m")
    filled.proxy.refused.clear()
    filled.pull(revisions=("dev",))
    assert filled.mine.model_info("alice/m").private
