"""Discussions and pull requests on a running hub, by the unmodified client of huggingface_hub."""

import hashlib
import random
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.community import DiscussionComment, DiscussionCommit, DiscussionStatusChange, DiscussionTitleChange
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
from running_hub import RunningHub, running_hub
from sqlalchemy import delete

from weighbridge.hub.database.schema import account

REPO = "alice/model"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def hub(server: RunningHub) -> Iterator[RunningHub]:
    """A hub on which nobody is and nothing lies."""
    yield server
    with server.hub.database.write() as connection:
        connection.execute(delete(account))


def api_of(hub: RunningHub, user: str, **kind: Any) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.user(user, **kind))


def a_repository(hub: RunningHub) -> HfApi:
    alice = api_of(hub, "alice")
    alice.create_repo(REPO)
    write(alice, "notes.txt", "one\ntwo\nthree\n")
    return alice


def write(api: HfApi, path: str, text: str, **where: Any) -> Any:
    return api.upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id=REPO, **where)


def read(api: HfApi, path: str, revision: str = "main") -> bytes:
    address = f"{api.endpoint}/{REPO}/resolve/{revision.replace('/', '%2F')}/{path}"
    return httpx2.get(address, headers={"Authorization": f"Bearer {api.token}"}).raise_for_status().content


def refused(call: Any, *given: Any, **named: Any) -> httpx2.Response:
    with pytest.raises(HfHubHTTPError) as caught:
        call(*given, **named)
    response: httpx2.Response = caught.value.response
    return response


def test_a_discussion_is_opened_answered_renamed_and_closed(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        alice, bob = a_repository(hub), api_of(hub, "bob")
        opened = bob.create_discussion(REPO, "  A   question ", description="Why?")
        assert (opened.num, opened.title, opened.status, opened.author) == (1, "A question", "open", "bob")
        assert (opened.is_pull_request, opened.diff, opened.target_branch) == (False, None, None)
        answer = alice.comment_discussion(REPO, 1, "Because.")
        assert (answer.content, answer.edited, answer.hidden, answer.author) == ("Because.", False, False, "alice")
        renamed = bob.rename_discussion(REPO, 1, "A good question")
        assert (renamed.old_title, renamed.new_title) == ("A question", "A good question")
        closed = alice.change_discussion_status(REPO, 1, "closed", comment="Thanks.")
        assert closed.new_status == "closed"
        details = alice.get_discussion_details(REPO, 1)
        assert (details.title, details.status) == ("A good question", "closed")
        kinds = [type(event) for event in details.events]
        assert kinds == [
            DiscussionComment,
            DiscussionComment,
            DiscussionTitleChange,
            DiscussionStatusChange,
            DiscussionComment,
        ]
        assert bob.change_discussion_status(REPO, 1, "open").new_status == "open"


def test_comments_are_edited_by_their_author_and_erased_when_hidden(hub: RunningHub) -> None:
    alice, bob, carol = a_repository(hub), api_of(hub, "bob"), api_of(hub, "carol")
    bob.create_discussion(REPO, "Topic", description="first")
    said = bob.comment_discussion(REPO, 1, "my password is hunter2")
    edited = bob.edit_discussion_comment(REPO, 1, said.id, "nothing")
    assert (edited.content, edited.edited, edited.number_of_edits) == ("nothing", True, 1)
    assert edited.edit_history[0]["raw"] == "my password is hunter2"
    for other in (alice, carol):
        assert refused(other.edit_discussion_comment, REPO, 1, said.id, "forged").status_code == 403
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert refused(carol.hide_discussion_comment, REPO, 1, said.id).status_code == 403
        hidden = alice.hide_discussion_comment(REPO, 1, said.id)
    assert hidden.hidden
    assert refused(bob.edit_discussion_comment, REPO, 1, said.id, "again").status_code == 409
    raw = httpx2.get(f"{hub.endpoint}/api/models/{REPO}/discussions/1").text
    assert "hunter2" not in raw
    assert refused(bob.edit_discussion_comment, REPO, 1, "f" * 24, "x").status_code == 404


def test_threads_are_listed_by_author_type_and_status_over_pages(hub: RunningHub) -> None:
    alice, bob = a_repository(hub), api_of(hub, "bob")
    for number in range(52):
        alice.create_discussion(REPO, f"Topic {number}")
    bob.create_pull_request(REPO, "Better")
    alice.change_discussion_status(REPO, 3, "closed")
    everything = list(alice.get_repo_discussions(REPO))
    assert [each.num for each in everything] == list(range(53, 0, -1))
    assert everything[0].repo_id == REPO
    assert [each.num for each in bob.get_repo_discussions(REPO, author="BOB")] == [53]
    assert [each.num for each in bob.get_repo_discussions(REPO, discussion_type="pull_request")] == [53]
    assert [each.num for each in bob.get_repo_discussions(REPO, discussion_status="closed")] == [3]
    assert len(list(bob.get_repo_discussions(REPO, discussion_type="discussion", discussion_status="open"))) == 51
    assert not list(bob.get_repo_discussions(REPO, author="nobody"))


def test_a_pull_request_is_pushed_to_by_its_author_and_merged_forward(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        alice, bob = a_repository(hub), api_of(hub, "bob")
        opened = bob.create_pull_request(REPO, "Say more", description="About two")
        assert (opened.status, opened.git_reference, opened.target_branch) == ("draft", "refs/pr/1", "refs/heads/main")
        made = write(bob, "notes.txt", "one\ntwo more\nthree\n", revision="refs/pr/1", commit_message="More on two")
        details = alice.get_discussion_details(REPO, 1)
        assert "-two\n+two more\n" in (details.diff or "")
        assert details.conflicting_files == []
        [pushed] = [event for event in details.events if isinstance(event, DiscussionCommit)]
        assert (pushed.oid, pushed.summary, pushed.author) == (made.oid, "More on two", "bob")
        assert refused(alice.merge_pull_request, REPO, 1).status_code == 409
        bob.change_discussion_status(REPO, 1, "open")
        alice.merge_pull_request(REPO, 1, comment="Good.")
        merged = alice.get_discussion_details(REPO, 1)
        assert (merged.status, merged.merge_commit_oid) == ("merged", made.oid)
        assert merged.diff == details.diff
        assert read(alice, "notes.txt") == b"one\ntwo more\nthree\n"
        assert alice.model_info(REPO).sha == made.oid
        assert refused(alice.merge_pull_request, REPO, 1).status_code == 409
        assert refused(alice.change_discussion_status, REPO, 1, "open").status_code == 409
        assert refused(write, bob, "late.txt", "late", revision="refs/pr/1").status_code == 403


def test_what_went_on_meanwhile_is_joined_by_a_merge(hub: RunningHub) -> None:
    alice, bob = a_repository(hub), api_of(hub, "bob")
    pushed = write(bob, "card.txt", "new", create_pr=True, commit_message="A card", commit_description="For all")
    assert pushed.pr_num == 1
    assert [each.status for each in bob.get_repo_discussions(REPO)] == ["open"]
    mine = write(alice, "other.txt", "mine")
    alice.merge_pull_request(REPO, 1)
    head, *_ = alice.list_repo_commits(REPO)
    assert head.title == "A card (#1)"
    assert {commit.commit_id for commit in alice.list_repo_commits(REPO)} >= {pushed.oid, mine.oid}
    assert (read(alice, "card.txt"), read(alice, "other.txt")) == (b"new", b"mine")
    assert "+new" in (alice.get_discussion_details(REPO, 1).diff or "")


def test_conflicts_are_named_and_resolved_on_the_pull_request(hub: RunningHub) -> None:
    alice, bob = a_repository(hub), api_of(hub, "bob")
    write(bob, "notes.txt", "bob's", create_pr=True)
    write(alice, "notes.txt", "alice's")
    before = alice.model_info(REPO).sha
    answer = refused(alice.merge_pull_request, REPO, 1)
    assert answer.status_code == 409
    assert answer.json()["conflicts"] == ["notes.txt"]
    assert alice.get_discussion_details(REPO, 1).conflicting_files == ["notes.txt"]
    assert alice.model_info(REPO).sha == before
    write(bob, "notes.txt", "alice's", revision="refs/pr/1")
    write(bob, "more.txt", "and bob's", revision="refs/pr/1")
    alice.merge_pull_request(REPO, 1)
    assert (read(alice, "notes.txt"), read(alice, "more.txt")) == (b"alice's", b"and bob's")


def test_an_empty_pull_request_is_not_merged(hub: RunningHub) -> None:
    alice = a_repository(hub)
    alice.create_pull_request(REPO, "Nothing yet")
    alice.change_discussion_status(REPO, 1, "open")
    assert refused(alice.merge_pull_request, REPO, 1).status_code == 409
    alice.create_discussion(REPO, "Just talk")
    assert refused(alice.merge_pull_request, REPO, 2).status_code == 400


@pytest.mark.parametrize("lfs", [False, True], ids=["xet", "lfs"])
def test_a_folder_of_large_files_comes_by_pull_request_from_who_may_not_write(
    hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lfs: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", lfs)
    alice, bob = a_repository(hub), api_of(hub, "bob")
    folder = tmp_path / "work"
    folder.mkdir()
    data = random.Random(7).randbytes(300_000)
    (folder / "model.bin").write_bytes(data)
    (folder / "config.json").write_text("{}")
    made = bob.upload_folder(repo_id=REPO, folder_path=folder, create_pr=True)
    assert made.pr_revision == "refs/pr/1"
    assert not alice.file_exists(REPO, "model.bin")
    got = bob.hf_hub_download(REPO, "model.bin", revision="refs/pr/1", local_dir=tmp_path / "one")
    assert Path(got).read_bytes() == data
    details = alice.get_discussion_details(REPO, 1)
    assert "model.bin" in (details.diff or "")
    if details.status == "draft":
        bob.change_discussion_status(REPO, 1, "open")
    alice.merge_pull_request(REPO, 1)
    got = api_of(hub, "carol").hf_hub_download(REPO, "model.bin", local_dir=tmp_path / "two")
    assert hashlib.sha256(Path(got).read_bytes()).digest() == hashlib.sha256(data).digest()


def test_a_pull_request_deletes_too(hub: RunningHub) -> None:
    alice, bob = a_repository(hub), api_of(hub, "bob")
    operations: list[Any] = [CommitOperationDelete("notes.txt"), CommitOperationAdd("new.txt", b"new")]
    bob.create_commit(REPO, operations=operations, commit_message="Out with it", create_pr=True)
    alice.merge_pull_request(REPO, 1)
    assert not alice.file_exists(REPO, "notes.txt")
    assert alice.file_exists(REPO, "new.txt")


def test_others_do_not_push_merge_rename_or_close(hub: RunningHub) -> None:
    alice, bob, mallory = a_repository(hub), api_of(hub, "bob"), api_of(hub, "mallory")
    write(bob, "good.txt", "good", create_pr=True)
    assert refused(write, mallory, "evil.txt", "evil", revision="refs/pr/1").status_code == 403
    assert refused(mallory.rename_discussion, REPO, 1, "Mine").status_code == 403
    assert refused(mallory.change_discussion_status, REPO, 1, "closed").status_code == 403
    for other in (mallory, bob):
        assert refused(other.merge_pull_request, REPO, 1).status_code == 403
    assert refused(write, bob, "good.txt", "good").status_code == 403
    reader = HfApi(endpoint=hub.endpoint, token=hub.user("alice", role="read"))
    assert refused(reader.merge_pull_request, REPO, 1).status_code == 403
    assert refused(reader.comment_discussion, REPO, 1, "hello").status_code == 403
    nobody = HfApi(endpoint=hub.endpoint, token=False)
    assert refused(nobody.comment_discussion, REPO, 1, "hello").status_code == 401
    assert nobody.get_discussion_details(REPO, 1).title
    write(alice, "good.txt", "better", revision="refs/pr/1")
    bob.change_discussion_status(REPO, 1, "closed")
    assert refused(write, bob, "late.txt", "late", revision="refs/pr/1").status_code == 403
    assert refused(alice.merge_pull_request, REPO, 1).status_code == 409


def test_discussions_of_a_private_repository_are_not_there_for_others(hub: RunningHub) -> None:
    alice, bob = a_repository(hub), api_of(hub, "bob")
    alice.create_discussion(REPO, "Secret plans")
    said = alice.comment_discussion(REPO, 1, "hush")
    alice.update_repo_settings(REPO, private=True)
    for call in (
        lambda: list(bob.get_repo_discussions(REPO)),
        lambda: bob.get_discussion_details(REPO, 1),
        lambda: bob.create_discussion(REPO, "Hello"),
        lambda: bob.comment_discussion(REPO, 1, "Hello"),
        lambda: bob.merge_pull_request(REPO, 1),
        lambda: bob.edit_discussion_comment(REPO, 1, said.id, "Hello"),
    ):
        with pytest.raises(RepositoryNotFoundError):
            call()


def test_a_gate_closes_the_discussions_too(hub: RunningHub) -> None:
    alice, bob = a_repository(hub), api_of(hub, "bob")
    write(alice, "notes.txt", "secret change", create_pr=True)
    alice.update_repo_settings(REPO, gated="manual")
    with pytest.raises(GatedRepoError):
        bob.get_discussion_details(REPO, 1)
    with pytest.raises(GatedRepoError):
        bob.create_pull_request(REPO, "Let me see")
    with pytest.raises(GatedRepoError):
        write(bob, "x.txt", "x", create_pr=True)
    alice.grant_access(REPO, "bob")
    assert "secret change" in (bob.get_discussion_details(REPO, 1).diff or "")


def test_a_comment_of_another_thread_is_not_reached_through_mine(hub: RunningHub) -> None:
    alice, mallory = a_repository(hub), api_of(hub, "mallory")
    alice.create_discussion(REPO, "Theirs")
    said = alice.comment_discussion(REPO, 1, "mine")
    mallory.create_repo("mallory/own")
    mallory.create_discussion("mallory/own", "Mine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert refused(mallory.hide_discussion_comment, "mallory/own", 1, said.id).status_code == 404


def test_a_token_for_discussions_talks_and_reads_no_files(hub: RunningHub) -> None:
    alice = a_repository(hub)
    alice.update_repo_settings(REPO, private=True)
    write(alice, "notes.txt", "secret change", create_pr=True)
    scope = {"type": "model", "name": REPO, "permissions": ["discussion.write"]}
    talker = api_of(hub, "alice", role="fineGrained", scopes=(scope,))
    talker.comment_discussion(REPO, 1, "hello")
    assert talker.get_discussion_details(REPO, 1).diff is None
    assert refused(talker.merge_pull_request, REPO, 1).status_code == 403
    assert refused(write, talker, "x.txt", "x", revision="refs/pr/1").status_code == 403
    address = f"{hub.endpoint}/{REPO}/resolve/main/notes.txt"
    assert httpx2.get(address, headers={"Authorization": f"Bearer {talker.token}"}).status_code == 403


def test_data_sets_are_discussed_and_merged_too(hub: RunningHub) -> None:
    alice, bob = api_of(hub, "alice"), api_of(hub, "bob")
    where: dict[str, Any] = {"repo_id": "alice/rows", "repo_type": "dataset"}
    alice.create_repo(**where)
    bob.upload_file(path_or_fileobj=b"a,b", path_in_repo="rows.csv", create_pr=True, **where)
    [thread] = alice.get_repo_discussions(**where)
    assert (thread.repo_type, thread.url) == ("dataset", f"{hub.endpoint}/datasets/alice/rows/discussions/1")
    alice.merge_pull_request(discussion_num=1, **where)
    assert "rows.csv" in alice.list_repo_files(**where)
    with pytest.raises(RepositoryNotFoundError):
        alice.get_discussion_details("alice/rows", 1)


def test_of_two_merges_at_once_one_happens(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        alice, bob = a_repository(hub), api_of(hub, "bob")
        write(bob, "new.txt", "new", create_pr=True)
        write(alice, "main.txt", "moved on")
        token = alice.token

        def merge(_: int) -> int:
            address = f"{hub.endpoint}/api/models/{REPO}/discussions/1/merge"
            return httpx2.post(address, headers={"Authorization": f"Bearer {token}"}).status_code

        def talk(_: int) -> int:
            bob.create_discussion(REPO, "At once")
            return 200

        with ThreadPoolExecutor(8) as pool:
            merged, talked = pool.map(merge, range(4)), pool.map(talk, range(8))
            assert sorted(merged) == [200, 409, 409, 409]
            assert set(talked) == {200}
        assert sorted(each.num for each in alice.get_repo_discussions(REPO)) == list(range(1, 10))
        titles = [commit.title for commit in alice.list_repo_commits(REPO)]
        assert len([title for title in titles if title.endswith("(#1)")]) == 1


def test_markup_stays_text(hub: RunningHub) -> None:
    alice = a_repository(hub)
    evil = "<script>alert(1)</script>"
    alice.create_discussion(REPO, evil, description=evil)
    details = alice.get_discussion_details(REPO, 1)
    [first] = details.events
    assert isinstance(first, DiscussionComment)
    assert first.content == evil == details.title
    assert first.rendered == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"
    raw = httpx2.get(f"{hub.endpoint}/api/models/{REPO}/discussions/1")
    assert raw.headers["Content-Type"].startswith("application/json")


def test_nonsense_is_refused_with_one_sentence(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        alice = a_repository(hub)
        mine = {"Authorization": f"Bearer {alice.token}"}
        base = f"{hub.endpoint}/api/models/{REPO}/discussions"
        alice.create_discussion(REPO, "a title", description="a text")
        for path, body in (
            ("", b'{"title": "", "description": "x"}'),
            ("", b'{"title": 5, "description": "x"}'),
            ("", b'{"title": "t", "description": ["x"]}'),
            ("", b'{"title": "' + b"t" * 251 + b'", "description": "x"}'),
            ("", b"[" * 5000),
            ("/1/comment", b'{"comment": "' + b"x" * 65_537 + b'"}'),
            ("/1/comment", b"{}"),
            ("/1/status", b'{"status": "merged"}'),
            ("/1/title", b'{"title": "  "}'),
        ):
            answer = httpx2.post(f"{base}{path}", headers=mine, content=body)
            assert answer.status_code == 400, path
            assert "Traceback" not in answer.text
        for path in ("/999999999999999999999/comment", "/2/comment", "/0/comment"):
            assert httpx2.post(f"{base}{path}", headers=mine, json={"comment": "x"}).status_code == 404
        strange = httpx2.post(f"{base}/1/comment", headers=mine, content=b'{"comment": "half \\ud800"}')
        assert strange.status_code == 400
        assert httpx2.get(base, params={"author": "a\0b", "p": "0"}).status_code == 400
        for query in ({"status": "merged"}, {"type": "x"}, {"p": "x"}):
            assert httpx2.get(base, params=query).status_code == 400
