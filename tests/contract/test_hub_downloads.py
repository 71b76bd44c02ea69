"""Files of a running hub are fetched by unmodified clients: whole, in ranges, by git, by those who may."""

import hashlib
import os
import subprocess
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from hub_and_client import BY_LFS
from hub_client import noise, read
from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from running_hub import RunningHub, running_hub

from weighbridge.hub.server import HubSettings

MIB = 1024 * 1024

pytestmark = BY_LFS


def test_git_clones_and_fetches_and_cannot_push(api: HfApi, repo: str, tmp_path: Path) -> None:
    api.upload_file(path_or_fileobj=b"one", path_in_repo="in/a.txt", repo_id=repo)
    address = f"{api.endpoint.replace('://', f'://alice:{api.token}@')}/{repo}"

    def git(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "HOME": str(tmp_path)}
        return subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, text=True, env=environment)

    assert git("clone", "-q", address, "there").returncode == 0
    assert (tmp_path / "there/in/a.txt").read_bytes() == b"one"
    sha = api.upload_file(path_or_fileobj=b"two", path_in_repo="in/a.txt", repo_id=repo).oid
    assert git("-C", "there", "pull", "-q").returncode == 0
    assert git("-C", "there", "rev-parse", "HEAD").stdout.strip() == sha
    assert git("-C", "there", "fsck", "--strict").returncode == 0
    pushed = git("-C", "there", "push", "origin", "HEAD:refs/heads/new")
    assert pushed.returncode != 0
    assert "403" in pushed.stderr


def test_git_asks_for_a_password_where_a_repository_is_private(api: HfApi, tmp_path: Path) -> None:
    name = str(api.create_repo("alice/secret-clone", private=True).repo_id)
    there = httpx2.get(f"{api.endpoint}/{name}.git/info/refs?service=git-upload-pack")
    assert there.status_code == 401
    assert there.headers["WWW-Authenticate"].startswith("Basic")


def test_a_file_is_served_in_ranges_and_under_conditions(api: HfApi, repo: str) -> None:
    data = noise(300_000, seed=11)
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
    url = f"{api.endpoint}/{repo}/resolve/main/w.bin"
    head = httpx2.head(url)
    sha256 = hashlib.sha256(data).hexdigest()
    assert (head.status_code, head.headers["Content-Length"], head.headers["ETag"]) == (200, "300000", f'"{sha256}"')
    assert head.headers["X-Linked-Etag"] == f'"{sha256}"'
    assert head.headers["X-Linked-Size"] == "300000"
    assert head.headers["X-Repo-Commit"] == api.model_info(repo).sha
    assert len(head.headers["X-Xet-Hash"]) == 64
    assert "/xet-read-token/" in head.headers["X-Xet-Refresh-Route"]
    for wanted, expected in (
        ("bytes=0-9", data[:10]),
        ("bytes=299990-", data[-10:]),
        ("bytes=-5", data[-5:]),
        ("bytes=100000-900000", data[100_000:]),
    ):
        part = httpx2.get(url, headers={"Range": wanted})
        assert (part.status_code, part.content) == (206, expected), wanted
        assert part.headers["Content-Range"].endswith("/300000")
    beyond = httpx2.get(url, headers={"Range": "bytes=300000-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */300000")
    whole = httpx2.get(url, headers={"Range": "bytes=0-1,5-6"})
    assert (whole.status_code, whole.content) == (200, data)
    changed = httpx2.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert changed.status_code == 200
    assert httpx2.get(url, headers={"If-None-Match": f'"{sha256}"'}).status_code == 304
    assert httpx2.get(url, headers={"If-Match": '"other"'}).status_code == 412
    assert head.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in head.headers["Content-Security-Policy"]


def test_a_large_file_is_sent_from_its_chunks_where_the_cache_cannot_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weighbridge.hub.content.ingest.XORB_BYTES", MIB)
    with running_hub(tmp_path / "hub") as hub:
        monkeypatch.setattr(hub.hub.cache, "_budget_bytes", 1000)
        api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
        repo = str(api.create_repo("alice/large").repo_id)
        data = noise(9 * MIB + 13)
        api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
        url = f"{api.endpoint}/{repo}/resolve/main/w.bin"
        assert httpx2.get(url).content == data
        for start, end in ((0, 1), (MIB - 1, MIB + 1), (3 * MIB, 8 * MIB + 5), (9 * MIB + 12, 9 * MIB + 13)):
            part = httpx2.get(url, headers={"Range": f"bytes={start}-{end - 1}"})
            assert part.content == data[start:end]


def test_nginx_is_told_which_file_to_send(tmp_path: Path) -> None:
    settings = HubSettings(x_accel="/internal")
    with running_hub(tmp_path / "hub", settings=settings) as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
        repo = str(api.create_repo("alice/accel").repo_id)
        data = noise(50_000)
        api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
        reply = httpx2.get(f"{api.endpoint}/{repo}/resolve/main/w.bin")
        sha256 = hashlib.sha256(data).hexdigest()
        assert reply.headers["X-Accel-Redirect"] == f"/internal/cache/{sha256[:2]}/{sha256}"
        assert (tmp_path / "hub/cache" / sha256[:2] / sha256).read_bytes() == data


def test_a_damaged_chunk_is_never_served(tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
        repo = str(api.create_repo("alice/damaged").repo_id)
        api.upload_file(path_or_fileobj=noise(400_000), path_in_repo="w.bin", repo_id=repo)
        (stored,) = (path for path in (tmp_path / "hub/bytes/xorbs").rglob("*") if path.is_file())
        stored.chmod(0o644)
        broken = bytearray(stored.read_bytes())
        broken[200_000] ^= 1
        stored.write_bytes(broken)
        reply = httpx2.get(f"{api.endpoint}/{repo}/resolve/main/w.bin")
        assert reply.status_code == 503
        assert "chunk" not in reply.text


def test_names_of_files_cannot_break_out_of_headers(api: HfApi, repo: str) -> None:
    name = 'a"; filename="evil.html\u2028\u00e9.txt'.replace("\u2028", "")
    api.upload_file(path_or_fileobj=b"<script>1</script>", path_in_repo=name, repo_id=repo)
    reply = httpx2.get(f"{api.endpoint}/{repo}/resolve/main/{quote(name)}")
    assert reply.content == b"<script>1</script>"
    assert reply.headers["Content-Disposition"].count('"') == 2
    assert reply.headers["Content-Type"].startswith("text/plain")
    injected = httpx2.get(f"{api.endpoint}/{repo}/resolve/main/x%0d%0aX-Evil:%201")
    assert injected.status_code == 404
    assert "X-Evil" not in injected.headers


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_datasets_and_spaces_work_alike(api: HfApi, kind: str, tmp_path: Path) -> None:
    name = f"alice/a-{kind}"
    api.create_repo(name, repo_type=kind, space_sdk="static" if kind == "space" else None)
    data = noise(60_000, seed=15)
    api.upload_file(path_or_fileobj=data, path_in_repo="in/w.bin", repo_id=name, repo_type=kind)
    down = snapshot_download(name, repo_type=kind, endpoint=api.endpoint, token=api.token, local_dir=tmp_path)
    assert (Path(down) / "in/w.bin").read_bytes() == data


def test_a_private_or_gated_repository_is_read_by_those_who_may(api: HfApi, hub: RunningHub, tmp_path: Path) -> None:
    api.create_repo("alice/hidden", private=True)
    api.create_repo("alice/gated")
    api.update_repo_settings("alice/gated", gated="manual")
    for name in ("alice/hidden", "alice/gated"):
        api.upload_file(path_or_fileobj=noise(9_000), path_in_repo="w.bin", repo_id=name)
        assert read(api, name, "w.bin", tmp_path / name) == noise(9_000)
    stranger = HfApi(endpoint=hub.endpoint, token=hub.user("eve"))
    with pytest.raises(RepositoryNotFoundError):
        read(stranger, "alice/hidden", "w.bin", tmp_path / "eve")
    with pytest.raises(GatedRepoError):
        read(stranger, "alice/gated", "w.bin", tmp_path / "eve")
    for name, code in (("alice/hidden", "RepoNotFound"), ("alice/gated", "GatedRepo")):
        reply = httpx2.get(f"{hub.endpoint}/{name}/resolve/main/w.bin")
        assert (reply.status_code, reply.headers["X-Error-Code"]) == (401, code)
    body = {"operation": "download", "objects": [{"oid": hashlib.sha256(noise(9_000)).hexdigest(), "size": 9_000}]}
    batch = f"{hub.endpoint}/alice/gated.git/info/lfs/objects/batch"
    assert httpx2.post(batch, json=body, auth=("eve", str(stranger.token))).status_code == 403
    assert httpx2.get(f"{hub.endpoint}/alice/gated.git/info/refs?service=git-upload-pack").status_code == 401


def test_any_allowed_name_of_a_file_can_be_fetched(api: HfApi, repo: str, tmp_path: Path) -> None:
    names = ("a b+c.txt", "100%.txt", "%41.txt", "hash#.txt", "q?.txt", "é中/é.txt", "a&b=c;d.txt", "~x/'y'.txt")
    operations = [CommitOperationAdd(name, name.encode()) for name in names]
    api.create_commit(repo, operations, commit_message="names")
    for name in names:
        assert read(api, repo, name, tmp_path) == name.encode()
        assert api.file_exists(repo, name)
    for hostile in ("..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/x", "a%00b", "%ff%fe", "x" * 5000):
        reply = httpx2.get(f"{api.endpoint}/{repo}/resolve/main/{hostile}")
        assert reply.status_code in (400, 404), hostile
    for revision in ("absent", "refs%2Fheads%2Fabsent", "..", "a%00", "x" * 5000, "0" * 40):
        reply = httpx2.get(f"{api.endpoint}/{repo}/resolve/{revision}/a")
        assert reply.status_code in (400, 404), revision
