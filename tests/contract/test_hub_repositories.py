"""Repositories come, are seen, move and go on a running hub, by the unmodified client of huggingface_hub."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from filled_repository import api_of, commit, nobody
from huggingface_hub import HfApi, get_session, hf_api
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from running_hub import RunningHub, running_hub

from weighbridge.hub.repositories import downloads

CARD = b"""---
license: apache-2.0
language: [en, no]
tags: [tiny, test]
base_model: alice/base
datasets: [alice/words]
pipeline_tag: text-generation
---
# Tiny
See https://arxiv.org/abs/2401.00001
"""
CONFIG = b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}'


BOTH_DATABASES = pytest.mark.usefixtures("database")


@pytest.fixture
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningHub]:
    """On SQLite; on PostgreSQL too for tests that say `BOTH_DATABASES`: where the two could differ."""
    address = request.getfixturevalue("database") if "database" in request.fixturenames else ""
    with running_hub(tmp_path / "hub", database=address) as running:
        yield running


def _status(raised: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return raised.value.response.status_code


def test_a_repository_is_made_described_and_deleted(hub: RunningHub) -> None:
    api = api_of(hub)
    assert api.create_repo("alice/first").repo_id == "alice/first"
    info = api.model_info("alice/first", files_metadata=True)
    assert (info.id, info.author, info.private, info.gated) == ("alice/first", "alice", False, False)
    assert info.siblings is not None
    assert [sibling.rfilename for sibling in info.siblings] == [".gitattributes"]
    assert info.siblings[0].size
    assert [item.title for item in api.list_repo_commits("alice/first")] == ["initial commit"]
    api.delete_repo("alice/first")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("alice/first")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("alice/first")
    api.delete_repo("alice/first", missing_ok=True)


@BOTH_DATABASES
@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_making_what_exists_is_a_conflict_unless_that_is_fine(hub: RunningHub, kind: str) -> None:
    api = api_of(hub)
    sdk = "gradio" if kind == "space" else None
    first = api.create_repo("alice/Twice", repo_type=kind, space_sdk=sdk)
    with pytest.raises(HfHubHTTPError) as raised:
        api.create_repo("alice/twice", repo_type=kind, space_sdk=sdk)
    assert _status(raised) == 409
    again = api.create_repo("alice/Twice", repo_type=kind, space_sdk=sdk, exist_ok=True)
    assert str(again) == str(first)
    assert again.repo_type == kind
    assert api.repo_info("alice/twice", repo_type=kind).id == "alice/Twice"
    if kind == "space":
        assert api.space_info("alice/Twice").sdk == "gradio"


@pytest.mark.parametrize(
    "name", ["alice/a.git", "alice/..", "alice/a--b", "alice/-a", "alice/a b", "alice/" + "a" * 97]
)
def test_a_bad_name_is_refused(hub: RunningHub, name: str) -> None:
    api = api_of(hub)
    owner, short = name.split("/")
    answer = _raw(api, "POST", "/api/repos/create", json={"organization": owner, "name": short})
    assert answer.status_code == 400


def _raw(api: HfApi, method: str, path: str, **arguments: Any) -> Any:
    headers = {"Authorization": f"Bearer {api.token}"} if api.token else {}
    return get_session().request(method, f"{api.endpoint}{path}", headers=headers, **arguments)


def test_nobody_makes_repositories_of_others(hub: RunningHub) -> None:
    api = api_of(hub)
    hub.user("bob")
    for name in ("bob/mine", "nowhere/mine"):
        with pytest.raises(HfHubHTTPError) as raised:
            api.create_repo(name)
        assert _status(raised) == 403
    with pytest.raises(HfHubHTTPError) as raised:
        api_of(hub, role="read").create_repo("alice/mine")
    assert _status(raised) == 403
    with pytest.raises(HfHubHTTPError) as raised:
        nobody(hub).create_repo("alice/mine")
    assert _status(raised) == 401


def test_members_make_repositories_of_their_organisation_by_role(hub: RunningHub) -> None:
    alice, bob = api_of(hub), api_of(hub, "bob")
    hub.org("acme", alice="write", bob="read")
    alice.create_repo("acme/model", private=True)
    assert bob.model_info("acme/model").private
    with pytest.raises(HfHubHTTPError) as raised:
        bob.create_repo("acme/other")
    assert _status(raised) == 403
    with pytest.raises(HfHubHTTPError) as raised:
        bob.delete_repo("acme/model")
    assert _status(raised) == 403
    with pytest.raises(RepositoryNotFoundError):
        api_of(hub, "carol").model_info("acme/model")


def test_a_private_repository_looks_like_none_in_every_call(hub: RunningHub) -> None:
    api_of(hub).create_repo("alice/secret", private=True)
    stranger = api_of(hub, "bob")
    for client in (stranger, nobody(hub)):
        for name in ("alice/secret", "alice/absent"):
            for call in (
                client.model_info,
                lambda name, client=client: client.model_info(name, revision="main"),
                lambda name, client=client: list(client.list_repo_tree(name)),
                lambda name, client=client: client.get_paths_info(name, ["a"]),
                client.list_repo_refs,
                client.list_repo_commits,
                client.auth_check,
                client.super_squash_history,
                lambda name, client=client: client.create_branch(name, branch="b"),
                lambda name, client=client: client.create_tag(name, tag="t"),
                lambda name, client=client: list(client.list_lfs_files(name)),
                lambda name, client=client: list(client.list_repo_likers(name)),
                lambda name, client=client: client.update_repo_settings(name, gated="auto"),
                lambda name, client=client: client.duplicate_repo(name, to_id="bob/copy"),
                client.delete_repo,
            ):
                with pytest.raises(RepositoryNotFoundError):
                    call(name)
        assert [item.id for item in client.list_models(search="secret")] == []
        assert client.repo_exists("alice/secret") is False
    one = _raw(stranger, "GET", "/api/models/alice/secret")
    other = _raw(stranger, "GET", "/api/models/alice/absent")
    assert (one.status_code, one.content) == (other.status_code, other.content)


def test_settings_hide_gate_and_show_a_repository(hub: RunningHub) -> None:
    api, stranger = api_of(hub), api_of(hub, "bob")
    api.create_repo("alice/model")
    api.update_repo_settings("alice/model", gated="manual")
    assert stranger.model_info("alice/model").gated == "manual"
    with pytest.raises(GatedRepoError):
        stranger.auth_check("alice/model")
    api.auth_check("alice/model")
    api.auth_check("alice/model", write=True)
    api.update_repo_settings("alice/model", gated=False, private=True)
    with pytest.raises(RepositoryNotFoundError):
        stranger.auth_check("alice/model")
    api.update_repo_settings("alice/model", visibility="public")
    stranger.auth_check("alice/model")
    with pytest.raises(HfHubHTTPError) as raised:
        stranger.auth_check("alice/model", write=True)
    assert _status(raised) == 403
    with pytest.raises(HfHubHTTPError) as raised:
        stranger.update_repo_settings("alice/model", private=True)
    assert _status(raised) == 403
    api.create_repo("alice/space", repo_type="space", space_sdk="static")
    with pytest.raises(BadRequestError):
        api.update_repo_settings("alice/space", repo_type="space", visibility="protected")


@BOTH_DATABASES
def test_a_moved_repository_answers_to_its_old_name_until_that_is_taken(hub: RunningHub) -> None:
    api = api_of(hub)
    hub.org("acme", alice="admin")
    api.create_repo("alice/old")
    api.create_repo("alice/taken")
    head = commit(hub, "alice/old", {"a.txt": b"a"})
    with pytest.raises(HfHubHTTPError, match="already created") as raised:
        api.move_repo("alice/old", "alice/taken")
    assert _status(raised) == 409
    api.move_repo("alice/old", "acme/new")
    assert api.model_info("alice/old").id == "acme/new"
    assert api.model_info("alice/old", revision="main").sha == head
    assert [entry.path for entry in api.list_repo_tree("alice/old")] == [".gitattributes", "a.txt"]
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("alice/old")
    api.move_repo("acme/new", "acme/New")
    assert api.model_info("alice/old").id == "acme/New"
    api.create_repo("alice/old")
    assert api.model_info("alice/old").id == "alice/old"
    assert api.model_info("acme/new").sha == head
    with pytest.raises(HfHubHTTPError) as raised:
        api_of(hub, "bob").move_repo("acme/new", "bob/new")
    assert _status(raised) == 403


@BOTH_DATABASES
def test_a_duplicate_has_files_history_and_tags_of_its_own(hub: RunningHub) -> None:
    api, bob = api_of(hub), api_of(hub, "bob")
    api.create_repo("alice/model")
    first = commit(hub, "alice/model", {"README.md": CARD}, large={"model.bin": b"weights" * 1000})
    api.create_tag("alice/model", tag="v1")
    url = bob.duplicate_repo("alice/model", to_id="bob/copy")
    assert (url.repo_id, url.files_copy_pending) == ("bob/copy", False)
    copy = bob.model_info("bob/copy", files_metadata=True)
    assert copy.sha == first
    assert copy.tags == api.model_info("alice/model").tags
    assert copy.used_storage == 7000
    assert {sibling.rfilename for sibling in copy.siblings or ()} == {".gitattributes", "README.md", "model.bin"}
    assert bob.model_info("bob/copy", revision="v1").sha == first
    assert [item.id for item in api.list_models(filter="tiny", sort="created_at")] == ["bob/copy", "alice/model"]
    api.delete_repo("alice/model")
    assert bob.model_info("bob/copy", revision=first).sha == first
    with pytest.raises(HfHubHTTPError) as raised:
        bob.duplicate_repo("bob/copy", to_id="bob/copy")
    assert _status(raised) == 409
    assert bob.duplicate_repo("bob/copy", to_id="bob/copy", exist_ok=True).repo_id == "bob/copy"
    with pytest.raises(HfHubHTTPError) as raised:
        bob.duplicate_repo("bob/copy", to_id="alice/stolen")
    assert _status(raised) == 403


def test_what_is_behind_a_gate_is_duplicated_by_those_let_in_only_and_stays_gated(hub: RunningHub) -> None:
    api = api_of(hub)
    api.create_repo("alice/model")
    api.update_repo_settings("alice/model", gated="auto")
    with pytest.raises(GatedRepoError):
        api_of(hub, "bob").duplicate_repo("alice/model", to_id="bob/copy")
    api.duplicate_repo("alice/model", to_id="alice/copy")
    assert api.model_info("alice/copy").gated == "auto"


@BOTH_DATABASES
def test_the_card_gives_tags_library_and_pipeline(hub: RunningHub) -> None:
    api = api_of(hub)
    api.create_repo("alice/model")
    commit(hub, "alice/model", {"README.md": CARD, "config.json": CONFIG})
    info = api.model_info("alice/model")
    assert info.pipeline_tag == "text-generation"
    assert info.library_name == "transformers"
    assert info.config == {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    assert info.transformers_info is not None
    assert info.transformers_info.auto_model == "AutoModelForCausalLM"
    assert info.card_data is not None
    assert info.card_data["language"] == ["en", "no"]
    assert {
        "transformers",
        "llama",
        "en",
        "no",
        "license:apache-2.0",
        "base_model:alice/base",
        "base_model:finetune:alice/base",
        "dataset:alice/words",
        "arxiv:2401.00001",
        "tiny",
    } <= set(info.tags or ())
    assert api.model_info("alice/model", expand=["baseModels"]).base_models == ["alice/base"]
    api.create_repo("alice/base")
    assert api.model_info("alice/base", expand=["childrenModelCount"]).children_model_count == 1
    assert {"license", "other", "dataset", "arxiv", "pipeline_tag", "library"} <= set(api.get_model_tags())
    commit(hub, "alice/model", {"README.md": None})
    assert api.model_info("alice/model").card_data is None
    assert "tiny" not in (api.model_info("alice/model").tags or ())


@BOTH_DATABASES
@pytest.mark.parametrize(
    "card",
    [
        b"---\na: &a [x, x]\nb: *a\n---\n",
        b"---\n" + b"[" * 5000 + b"\n---\n",
        b"---\n!!python/object/apply:os.system ['true']\n---\n",
        b"---\nlicense: [\n---\n",
        b"\xff\xfe---\n",
        b"---\nlicense: " + b"9" * 5000 + b"\n---\n",
        b'---\ntags: ["a\\0b", 1, null, {x: y}]\nwhen: 2020-01-01\nnumber: .nan\n---\n',
    ],
)
def test_no_card_stops_a_commit_or_breaks_the_description(hub: RunningHub, card: bytes) -> None:
    api = api_of(hub)
    api.create_repo("alice/model")
    head = commit(hub, "alice/model", {"README.md": card, "config.json": b"[[[["})
    assert api.model_info("alice/model").sha == head
    assert [item.sha for item in api.list_models(full=True)] == [head]


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_every_property_that_the_client_knows_can_be_expanded(hub: RunningHub, kind: str) -> None:
    known = {
        "model": hf_api.ExpandModelProperty_T,
        "dataset": hf_api.ExpandDatasetProperty_T,
        "space": hf_api.ExpandSpaceProperty_T,
    }
    api: Any = api_of(hub)
    api.create_repo("alice/x", repo_type=kind, space_sdk="static" if kind == "space" else None)
    commit(hub, "alice/x", {"README.md": CARD}, kind=kind)
    names = list(get_args(known[kind]))
    info = api.repo_info("alice/x", repo_type=kind, expand=names)
    assert info.author == "alice"
    assert info.card_data is not None
    assert info.siblings is not None
    for name in names:
        api.repo_info("alice/x", repo_type=kind, expand=[name])
    only = api.repo_info("alice/x", repo_type=kind, expand=["likes"])
    assert (only.likes, only.author, only.siblings) == (0, None, None)
    with pytest.raises(BadRequestError):
        api.repo_info("alice/x", repo_type=kind, expand=["nonsense"])


def test_security_status_says_that_nothing_was_scanned(hub: RunningHub) -> None:
    api = api_of(hub)
    api.create_repo("alice/model")
    assert api.model_info("alice/model", securityStatus=True).security_repo_status == {
        "scansDone": False,
        "filesWithIssues": [],
    }


def test_a_repository_is_described_at_any_revision(hub: RunningHub) -> None:
    api = api_of(hub)
    api.create_repo("alice/model")
    first = commit(hub, "alice/model", {"a.txt": b"a"})
    second = commit(hub, "alice/model", {"b.txt": b"b"})
    for revision, names in (
        ("main", [".gitattributes", "a.txt", "b.txt"]),
        ("HEAD", [".gitattributes", "a.txt", "b.txt"]),
        ("refs/heads/main", [".gitattributes", "a.txt", "b.txt"]),
        (second, [".gitattributes", "a.txt", "b.txt"]),
        (first, [".gitattributes", "a.txt"]),
        (first[:9], [".gitattributes", "a.txt"]),
    ):
        assert [each.rfilename for each in api.model_info("alice/model", revision=revision).siblings or ()] == names
    for revision in ("nope", "0" * 40, "0" * 8, first[:6], "refs/heads/nope", "a b", "a..b", "a" * 400):
        with pytest.raises(RevisionNotFoundError):
            api.model_info("alice/model", revision=revision)
    api.create_repo("alice/other")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("alice/other", revision=first)


@BOTH_DATABASES
def test_downloads_are_counted_once_for_a_client(hub: RunningHub) -> None:
    api = api_of(hub)
    api.create_repo("alice/model")
    for _ in range(3):
        api.resolve_revision("alice/model", revision="main")
    api.model_info("alice/model")
    assert downloads.flush(hub.hub) == 1
    assert downloads.flush(hub.hub) == 0
    assert api.model_info("alice/model").downloads == 1


@BOTH_DATABASES
def test_likes_are_given_taken_back_and_listed(hub: RunningHub) -> None:
    api, bob = api_of(hub), api_of(hub, "bob")
    api.create_repo("alice/model")
    api.create_repo("alice/secret", private=True)
    for client in (api, api, bob):
        assert _raw(client, "POST", "/api/models/alice/model/like").status_code == 200
    assert _raw(api, "POST", "/api/models/alice/secret/like").status_code == 200
    assert api.model_info("alice/model").likes == 2
    assert [user.username for user in api.list_repo_likers("alice/model")] == ["alice", "bob"]
    assert api.list_liked_repos().models == ["alice/model", "alice/secret"]
    assert bob.list_liked_repos("alice").models == ["alice/model"]
    bob.unlike("alice/model")
    assert api.model_info("alice/model").likes == 1
    with pytest.raises(HfHubHTTPError) as raised:
        api.list_liked_repos("ghost")
    assert _status(raised) == 404
    assert _raw(nobody(hub), "POST", "/api/models/alice/model/like").status_code == 401


@BOTH_DATABASES
def test_overviews_count_what_the_caller_may_see(hub: RunningHub) -> None:
    api, bob = api_of(hub), api_of(hub, "bob")
    hub.org("acme", alice="admin", bob="read")
    api.create_repo("alice/one")
    api.create_repo("alice/two", private=True)
    api.create_repo("acme/three", repo_type="dataset")
    for name in ("alice/one", "alice/two"):
        api.create_discussion(name, title="A question")
        assert _raw(api, "POST", f"/api/models/{name}/like").status_code == 200
    for caller, seen in ((api, 2), (bob, 1)):
        told = caller.get_user_overview("alice")
        assert (told.num_models, told.num_discussions, told.num_likes) == (seen, seen, seen)
    assert [org.name for org in bob.get_user_overview("alice").orgs] == ["acme"]
    overview = bob.get_organization_overview("acme")
    assert (overview.name, overview.num_users, overview.num_datasets) == ("acme", 2, 1)
    assert [user.username for user in bob.list_organization_members("acme")] == ["alice", "bob"]
    assert list(bob.list_user_followers("alice")) == []
    for call in (bob.get_user_overview, bob.get_organization_overview):
        with pytest.raises(HfHubHTTPError) as raised:
            call("ghost")
        assert _status(raised) == 404
    assert {item.id: item.visibility for item in api.list_user_repos()} == {
        "alice/one": "public",
        "alice/two": "private",
    }
    assert [item.id for item in bob.list_user_repos("acme")] == ["acme/three"]


@BOTH_DATABASES
def test_ones_own_repositories_say_what_they_take_of_the_whole_in_percent(hub: RunningHub) -> None:
    api = api_of(hub)
    for name, size in (("alice/larger", 3000), ("alice/smaller", 1000)):
        api.create_repo(name)
        commit(hub, name, {}, large={"model.bin": name.encode() * size})
    sizes = {item.id: item.storage for item in api.list_user_repos()}
    total = sum(sizes.values())
    assert sizes["alice/larger"] == 3000 * len("alice/larger")
    assert {item.id: item.storage_percent for item in api.list_user_repos()} == {
        name: pytest.approx(100 * size / total) for name, size in sizes.items()
    }


def test_a_name_without_an_owner_is_no_repository(hub: RunningHub) -> None:
    with pytest.raises(RepositoryNotFoundError):
        api_of(hub).model_info("gpt2")
    with pytest.raises(RepositoryNotFoundError):
        api_of(hub).model_info("gpt2", revision="main")
