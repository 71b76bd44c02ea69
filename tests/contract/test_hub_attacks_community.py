"""Attacks by way of discussions, pull requests and buckets on the real server processes, on both databases."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from attacked_hub import Attacker, commit_lines, lines_of, small_file
from hub_process import HubProcess
from huggingface_hub import HfApi
from xet_calls import Cas, noise

MIB = 1024 * 1024
SECRET = b"the secret"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


def scoped(attacked: HubProcess, user: str, *scopes: str) -> Attacker:
    named = [word for scope in scopes for word in ("--scope", scope)]
    return Attacker(attacked, str(attacked.told("token", "add", user, "--role", "fineGrained", *named)["token"]))


def proposed(owner: Attacker, repo: str) -> None:
    """Open pull request 1 of the repository, which says the secret."""
    line: tuple[str, dict[str, object]] = (
        "file",
        {"path": "secret.txt", "content": SECRET.decode(), "encoding": "utf-8"},
    )
    answer = owner.ask("POST", f"/api/models/{repo}/commit/main?create_pr=1", content=lines_of(line))
    assert answer.status_code == 200, answer.text


def with_a_pull_request(attacked: HubProcess, alice: str, name: str) -> tuple[str, Attacker]:
    api = HfApi(endpoint=attacked.endpoint, token=alice)
    repo = str(api.create_repo(name).repo_id)
    owner = Attacker(attacked, alice)
    assert commit_lines(owner, repo, small_file("a.txt")).status_code == 200
    proposed(owner, repo)
    return repo, owner


PROPOSAL: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "/{}/resolve/refs%2Fpr%2F1/secret.txt", {}),
    ("GET", "/{}/raw/refs%2Fpr%2F1/secret.txt", {}),
    ("GET", "/api/models/{}/xet-read-token/refs%2Fpr%2F1", {}),
    ("GET", "/api/models/{}/xet-write-token/refs%2Fpr%2F1", {}),
    ("GET", "/api/models/{}/compare/main..refs%2Fpr%2F1", {}),
    ("GET", "/api/models/{}/discussions", {}),
    ("GET", "/api/models/{}/discussions/1", {}),
    ("GET", "/api/models/{}/discussions/1?diff=1", {}),
    ("POST", "/api/models/{}/discussions", {"json": {"title": "t", "description": "d"}}),
    ("POST", "/api/models/{}/discussions", {"json": {"title": "t", "description": "d", "pullRequest": True}}),
    ("POST", "/api/models/{}/discussions/1/comment", {"json": {"comment": "c"}}),
    ("POST", "/api/models/{}/discussions/1/title", {"json": {"title": "mine"}}),
    ("POST", "/api/models/{}/discussions/1/status", {"json": {"status": "closed"}}),
    ("POST", "/api/models/{}/discussions/1/merge", {"json": {}}),
    ("POST", "/api/models/{}/commit/refs%2Fpr%2F1", {"content": lines_of(small_file("x"))}),
    ("POST", "/{}.git/git-upload-pack", {"content": b"0000"}),
)


@pytest.mark.parametrize("settings", [{"private": True}, {"gated": "manual"}])
def test_a_stranger_reads_no_proposal(attacked: HubProcess, alice: str, mallory: str, settings: dict[str, Any]) -> None:
    repo, owner = with_a_pull_request(attacked, alice, f"alice/proposed-{next(iter(settings))}")
    assert SECRET in owner.ask("GET", f"/{repo}/resolve/refs%2Fpr%2F1/secret.txt").content
    HfApi(endpoint=attacked.endpoint, token=alice).update_repo_settings(repo, **settings)
    for token in (mallory, ""):
        attacker = Attacker(attacked, token)
        for method, path, named in PROPOSAL:
            answer = attacker.ask(method, path.format(repo), **named)
            assert SECRET not in answer.content
            if "private" in settings:
                nothing = attacker.ask(method, path.format("alice/nothing"), **named)
                assert (answer.status_code, answer.text) == (nothing.status_code, nothing.text), path
            assert answer.status_code in (401, 404) if "private" in settings else (401, 403, 404), (path, answer.text)


def test_proposals_are_decided_by_writers_only(attacked: HubProcess, alice: str, mallory: str) -> None:
    repo, owner = with_a_pull_request(attacked, alice, "alice/decided")
    attacker = Attacker(attacked, mallory)
    proposed(attacker, repo)
    for number in (1, 2):
        answer = attacker.ask("POST", f"/api/models/{repo}/discussions/{number}/merge", json={})
        assert answer.status_code == 403
    # What is narrower than it looks, or of another kind.
    for scope in ("discussion.write", "repo.content.read"):
        narrow = scoped(attacked, "alice", f"model:{repo}:{scope}")
        assert narrow.ask("POST", f"/api/models/{repo}/discussions/1/merge", json={}).status_code == 403
    other = scoped(attacked, "alice", f"dataset:{repo}:repo.write", f"bucket:{repo}:repo.write")
    assert other.ask("POST", f"/api/models/{repo}/discussions/1/merge", json={}).status_code == 403
    assert other.ask("POST", f"/api/models/{repo}/discussions/1/comment", json={"comment": "c"}).status_code == 403
    reading = Attacker(attacked, str(attacked.told("token", "add", "alice", "--role", "read")["token"]))
    assert reading.ask("POST", f"/api/models/{repo}/discussions/1/merge", json={}).status_code == 403
    # A number is a number of this repository.
    attacker.ask("POST", "/api/repos/create", json={"name": "decides"})
    assert attacker.ask("POST", "/api/models/mallory/decides/discussions/1/merge", json={}).status_code == 404
    writing = scoped(attacked, "alice", f"model:{repo}:repo.write")
    opened = writing.ask("POST", f"/api/models/{repo}/discussions/2/merge", json={})
    assert opened.status_code == 200, opened.text
    assert SECRET in owner.ask("GET", f"/{repo}/resolve/main/secret.txt").content


def test_one_thread_grows_only_so_far(attacked: HubProcess, alice: str, mallory: str) -> None:
    repo, owner = with_a_pull_request(attacked, alice, "alice/talked-about")
    attacker = Attacker(attacked, mallory)
    for document in ({"title": "t" * 251, "description": "d"}, {"title": "t", "description": "d" * 65_537}):
        assert attacker.ask("POST", f"/api/models/{repo}/discussions", json=document).status_code == 400
    base = f"/api/models/{repo}/discussions"
    number = attacker.ask("POST", base, json={"title": "t", "description": "d"}).json()["num"]
    first = attacker.ask("GET", f"{base}/{number}").json()["events"][0]["id"]
    said = '"&<' * 21_000
    answers = [attacker.ask("POST", f"{base}/{number}/comment", json={"comment": said}) for _ in range(40)]
    answers += [
        attacker.ask("POST", f"{base}/{number}/comment/{first}/edit", json={"content": f"{n}{said}"}) for n in range(40)
    ]
    assert {answer.status_code for answer in answers} == {200, 409}
    # There is still room for a word, and for an end.
    assert attacker.ask("POST", f"{base}/{number}/comment", json={"comment": "word"}).status_code == 200
    told = attacker.ask("GET", f"{base}/{number}")
    assert len(told.content) < 40 * MIB
    assert told.headers["Content-Type"].startswith("application/json")
    assert owner.ask("POST", f"{base}/{number}/status", json={"status": "closed"}).status_code == 200
    assert attacked.resident_bytes() < 300 * MIB


def test_a_merge_and_commits_at_once_lose_nothing(attacked: HubProcess, alice: str) -> None:
    repo, owner = with_a_pull_request(attacked, alice, "alice/raced")
    opened = owner.ask("POST", f"/api/models/{repo}/discussions/1/status", json={"status": "open"})
    assert opened.status_code in (200, 409)

    def commit(number: int) -> bool:
        return commit_lines(Attacker(attacked, alice), repo, small_file(f"{number}.txt")).status_code == 200

    def merge(_: int) -> bool:
        answer = Attacker(attacked, alice).ask("POST", f"/api/models/{repo}/discussions/1/merge", json={})
        return answer.status_code == 200

    with ThreadPoolExecutor(8) as pool:
        merges, commits = pool.map(merge, range(3)), pool.map(commit, range(5))
        done = [number for number, went_well in enumerate(commits) if went_well]
        assert sum(merges) == 1
    held = {entry["path"] for entry in owner.ask("GET", f"/api/models/{repo}/tree/main").json()}
    assert {f"{number}.txt" for number in done} | {"secret.txt", "a.txt"} <= held


def line_of(type_: str, path: str, **more: Any) -> bytes:
    return json.dumps({"type": type_, "path": path, **more}).encode() + b"\n"


def bucket_with_a_secret(attacked: HubProcess, secret: str, name: str, **settings: Any) -> tuple[str, str]:
    api = HfApi(endpoint=attacked.endpoint, token=secret)
    api.create_bucket(name, **settings)
    data = noise(90_000, seed=len(name))
    api.batch_bucket_files(name, add=[(data, "deep/secret.bin")])
    [found] = api.get_bucket_paths_info(name, ["deep/secret.bin"])
    return name, str(found.xet_hash)


def test_a_private_bucket_looks_like_one_that_is_not_there(attacked: HubProcess, alice: str, mallory: str) -> None:
    bucket, xet_hash = bucket_with_a_secret(attacked, alice, "alice/hidden", private=True)
    line = line_of("deleteFile", "deep/secret.bin")
    wrong = scoped(attacked, "alice", f"model:{bucket}:repo.write", "bucket:alice/other:repo.write")
    for attacker in (Attacker(attacked, mallory), Attacker(attacked), wrong):
        for method, path, named in (
            ("GET", "/api/buckets/{}", {}),
            ("GET", "/api/buckets/{}/tree", {}),
            ("GET", "/api/buckets/{}/tree/deep", {}),
            ("POST", "/api/buckets/{}/paths-info", {"json": {"paths": ["deep/secret.bin"]}}),
            ("POST", "/api/buckets/{}/batch", {"content": line}),
            ("PUT", "/api/buckets/{}/settings", {"json": {"private": False}}),
            ("DELETE", "/api/buckets/{}", {}),
            ("GET", "/api/buckets/{}/xet-read-token", {}),
            ("GET", "/api/buckets/{}/xet-write-token", {}),
            ("GET", "/buckets/{}/resolve/deep/secret.bin", {}),
            ("GET", "/api/models/{}", {}),
            ("GET", "/api/models/{}/discussions", {}),
            ("GET", "/{}/resolve/main/deep/secret.bin", {}),
            ("POST", "/{}.git/info/lfs/objects/batch", {"json": {"operation": "download", "objects": []}}),
        ):
            one, other = (attacker.ask(method, path.format(name), **named) for name in (bucket, "alice/nothing"))
            assert (one.status_code, one.text) == (other.status_code, other.text), path
            assert one.status_code in (401, 404), (path, one.text)
    owner = Attacker(attacked, alice)
    assert owner.ask("GET", f"/buckets/{bucket}/resolve/deep/secret.bin").status_code == 200
    # The hash opens it neither for another bucket nor for a repository, nor by another kind of name.
    HfApi(endpoint=attacked.endpoint, token=mallory).create_bucket("mallory/thief")
    cas = Cas.of(attacked.endpoint, mallory, "mallory/thief", kind="buckets", revision="")
    for version in ("v1", "v2"):
        assert cas.ask("GET", f"/{version}/reconstructions/{xet_hash}").status == 404
    for kind, name in (("bucket", bucket), ("bucket", "mallory/thief"), ("model", bucket), ("dataset", bucket)):
        stolen = line_of("copyFile", "s", xetHash=xet_hash, sourceRepoType=kind, sourceRepoId=name)
        answer = Attacker(attacked, mallory).ask("POST", "/api/buckets/mallory/thief/batch", content=stolen)
        assert answer.status_code == 422
        assert "alice" not in answer.text


def test_a_gated_file_is_not_copied_out_by_a_bucket(attacked: HubProcess, alice: str, mallory: str) -> None:
    api = HfApi(endpoint=attacked.endpoint, token=alice)
    api.create_repo("alice/gate")
    api.upload_file(path_or_fileobj=noise(MIB, seed=9), path_in_repo="w.bin", repo_id="alice/gate")
    [held] = api.get_paths_info("alice/gate", ["w.bin"])
    api.update_repo_settings("alice/gate", gated="auto")
    Attacker(attacked, mallory).ask("POST", "/api/buckets/mallory/gate-thief", json={})
    xet_hash = held.xet_hash  # type: ignore[union-attr]
    line = line_of("copyFile", "s", xetHash=xet_hash, sourceRepoType="model", sourceRepoId="alice/gate")
    attacker = Attacker(attacked, mallory)
    assert attacker.ask("POST", "/api/buckets/mallory/gate-thief/batch", content=line).status_code == 422
    assert attacker.ask("POST", "/alice/gate/ask-access", json={}).status_code == 200
    assert attacker.ask("POST", "/api/buckets/mallory/gate-thief/batch", content=line).status_code == 200


def test_what_lies_in_a_bucket_is_bytes_to_every_browser(attacked: HubProcess, mallory: str) -> None:
    api = HfApi(endpoint=attacked.endpoint, token=mallory)
    api.create_bucket("mallory/pages")
    name = 'a"; filename=evil.html; x="<b>.html'
    api.batch_bucket_files("mallory/pages", add=[(b"<script>alert(1)</script>", name)])
    [found] = api.get_bucket_paths_info("mallory/pages", [name])
    line = line_of("addFile", "i.html", xetHash=found.xet_hash, mtime=1, contentType="text/html")
    attacker = Attacker(attacked, mallory)
    assert attacker.ask("POST", "/api/buckets/mallory/pages/batch", content=line).status_code == 200
    for path in ("i.html", "".join(f"%{byte:02x}" for byte in name.encode())):
        answer = attacker.ask("GET", f"/buckets/mallory/pages/resolve/{path}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "filename=evil" not in answer.headers["Content-Disposition"]
    for path in ("../x", "a/../b", "/a", "a//b", "\\u0000", "a/", ".git/config", "x" * 1100, "\\ud800"):
        named = f'{{"type": "addFile", "path": "{path}", "xetHash": "{found.xet_hash}", "mtime": 1}}'
        answer = attacker.ask("POST", "/api/buckets/mallory/pages/batch", content=named.encode())
        assert answer.status_code in (400, 422), (path, answer.text)
    listed = attacker.ask("GET", "/api/buckets/mallory/pages/tree?recursive=1").json()
    assert {entry["path"] for entry in listed} == {"i.html", name}


def test_who_loses_a_bucket_loses_its_bytes_at_once(attacked: HubProcess, alice: str, mallory: str) -> None:
    bucket, xet_hash = bucket_with_a_secret(attacked, alice, "alice/lost")
    cas = Cas.of(attacked.endpoint, mallory, bucket, kind="buckets", scope="read", revision="")
    told = cas.ask("GET", f"/v1/reconstructions/{xet_hash}").document()
    (fetch, *_), *_ = told["fetch_info"].values()  # type: ignore[attr-defined]
    span = {"Range": f"bytes={fetch['url_range']['start']}-{fetch['url_range']['end']}"}
    assert httpx2.get(fetch["url"], headers=span).status_code == 206
    assert Attacker(attacked, alice).ask("PUT", f"/api/buckets/{bucket}/settings", json={"private": True}).is_success
    assert cas.ask("GET", f"/v1/reconstructions/{xet_hash}").status == 404
    assert httpx2.get(fetch["url"], headers=span).status_code == 404
