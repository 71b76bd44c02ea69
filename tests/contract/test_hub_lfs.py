"""Large files go up by LFS, as huggingface_hub and git-lfs send them, and nobody gets what is not theirs."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hub_and_client import BY_LFS
from hub_client import noise, read, send_commit
from huggingface_hub import HfApi, RepoFile, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import _xet
from huggingface_hub.utils._http import hf_raise_for_status
from running_hub import RunningHub, running_hub
from s3_server import S3Server

from weighbridge.hub.content import lfs, lfs_upload

MIB = 1024 * 1024

pytestmark = BY_LFS


def test_a_large_file_goes_by_lfs_in_parts_and_comes_back(
    api: HfApi, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfs, "PART_BYTES", MIB)
    data = noise(5 * MIB + 7)
    (tmp_path / "model.safetensors").write_bytes(data)
    api.upload_file(path_or_fileobj=tmp_path / "model.safetensors", path_in_repo="model.safetensors", repo_id=repo)
    assert read(api, repo, "model.safetensors", tmp_path / "cache") == data
    info = api.get_paths_info(repo, ["model.safetensors"])[0]
    assert isinstance(info, RepoFile)
    assert info.lfs is not None
    assert info.lfs.sha256 == hashlib.sha256(data).hexdigest()
    assert info.xet_hash is not None


def test_a_file_that_the_repository_has_is_not_sent_again(api: HfApi, repo: str, tmp_path: Path) -> None:
    data = noise(200_000, seed=7)
    first = api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
    again = api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
    assert again.oid == first.oid
    moved = api.upload_file(path_or_fileobj=data, path_in_repo="other.bin", repo_id=repo)
    assert moved.oid != first.oid
    assert read(api, repo, "other.bin", tmp_path) == data


def test_git_lfs_fetches_by_the_batch_endpoint(api: HfApi, repo: str) -> None:
    data = noise(40_000, seed=5)
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
    wanted = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    absent = {"oid": "0" * 64, "size": 3}
    body = {"operation": "download", "transfers": ["basic"], "objects": [wanted, absent]}
    reply = httpx2.post(f"{api.endpoint}/{repo}.git/info/lfs/objects/batch", json=body, auth=("alice", str(api.token)))
    assert reply.headers["Content-Type"] == "application/vnd.git-lfs+json"
    found, missing = reply.json()["objects"]
    assert httpx2.get(found["actions"]["download"]["href"]).content == data
    assert missing["error"]["code"] == 404


def test_a_signed_address_allows_only_what_it_names(api: HfApi, repo: str) -> None:
    data = noise(3000, seed=6)
    sha256 = hashlib.sha256(data).hexdigest()
    wanted = {"oid": sha256, "size": len(data)}
    body = {"operation": "upload", "transfers": ["basic"], "objects": [wanted]}
    reply = httpx2.post(f"{api.endpoint}/{repo}.git/info/lfs/objects/batch", json=body, auth=("alice", str(api.token)))
    href = reply.json()["objects"][0]["actions"]["upload"]["href"]
    for forged in (
        href.replace(sha256, "0" * 64),
        href.replace("size=3000", "size=3001"),
        href.replace("part=0", "part=1"),
        href.replace("/put/", "/get/"),
        href[:-1] + ("0" if href[-1] != "0" else "1"),
        re.sub(r"expires=\d+", "expires=99999999999", href),
        href.partition("&signature")[0],
    ):
        answer = httpx2.get(forged) if "/get/" in forged else httpx2.put(forged, content=data)
        assert answer.status_code == 403, forged
    assert httpx2.put(href, content=data[:-1]).status_code == 422
    assert httpx2.put(href, content=data[:-1] + b"x").status_code == 422
    assert httpx2.put(href, content=data + b"x").status_code == 413
    with pytest.raises(HfHubHTTPError, match="not uploaded"):
        _commit_pointer(api, repo, sha256, 3000)
    assert httpx2.put(href, content=data).status_code == 200
    assert _commit_pointer(api, repo, sha256, 3000)


def _commit_pointer(api: HfApi, repo: str, sha256: str, size: int) -> httpx2.Response:
    pointer = {"path": "p.bin", "algo": "sha256", "oid": sha256, "size": size}
    reply = send_commit(api, repo, {"key": "lfsFile", "value": pointer})
    hf_raise_for_status(reply)
    return reply


def test_to_know_a_hash_gives_no_file(api: HfApi, repo: str, hub: RunningHub) -> None:
    data = noise(30_000, seed=8)
    api.create_repo("alice/private-source", private=True)
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="alice/private-source")
    mallory = HfApi(endpoint=hub.endpoint, token=hub.user("mallory"))
    mallory.create_repo("mallory/thief")
    sha256 = hashlib.sha256(data).hexdigest()
    with pytest.raises(HfHubHTTPError, match="not uploaded"):
        _commit_pointer(mallory, "mallory/thief", sha256, len(data))
    # The text of a pointer, committed as an ordinary file, is a pointer all the same.
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(data)}\n"
    value = {"path": "p.bin", "content": text, "encoding": "utf-8"}
    assert send_commit(mallory, "mallory/thief", {"key": "file", "value": value}).status_code == 400
    body = {"operation": "download", "objects": [{"oid": sha256, "size": len(data)}]}
    batch = f"{hub.endpoint}/mallory/thief.git/info/lfs/objects/batch"
    reply = httpx2.post(batch, json=body, auth=("mallory", str(mallory.token)))
    assert reply.json()["objects"][0]["error"]["code"] == 404


def test_a_file_brought_by_lfs_is_fetched_by_xet_and_the_other_way(
    api: HfApi, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What hf_xet keeps of other hubs that answered at the same port has nothing to do with this one.
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    data = noise(3 * MIB + 1, seed=12)
    api.upload_file(path_or_fileobj=data, path_in_repo="lfs.bin", repo_id=repo)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    assert read(api, repo, "lfs.bin", tmp_path / "a") == data
    api.upload_file(path_or_fileobj=data[::-1], path_in_repo="xet.bin", repo_id=repo)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    assert read(api, repo, "xet.bin", tmp_path / "b") == data[::-1]


def _actions(api: HfApi, repo: str, data: bytes, *transfers: str) -> dict[str, Any]:
    wanted = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    body = {"operation": "upload", "transfers": transfers, "objects": [wanted]}
    url = f"{api.endpoint}/{repo}.git/info/lfs/objects/batch"
    reply = httpx2.post(url, json=body, auth=("alice", str(api.token)))
    found: dict[str, Any] = reply.json()["objects"][0]["actions"]
    return found


def test_a_large_file_in_one_body_is_taken_too(api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfs_upload, "PART_BYTES", 100_000)
    data = noise(350_001, seed=13)
    actions = _actions(api, repo, data, "basic")
    assert "header" not in actions["upload"]
    assert httpx2.put(actions["upload"]["href"], content=data[:-1] + b"x").status_code == 422
    assert httpx2.put(actions["upload"]["href"], content=data[:200_000]).status_code == 422
    assert httpx2.put(actions["upload"]["href"], content=data).status_code == 200
    stated = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    assert httpx2.post(actions["verify"]["href"], json=stated, auth=("alice", str(api.token))).status_code == 200
    assert httpx2.post(actions["verify"]["href"], json=stated).status_code == 401


def test_an_upload_in_parts_needs_every_part(
    api: HfApi, repo: str, hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lfs, "PART_BYTES", MIB)
    data = noise(3 * MIB, seed=14)
    upload = _actions(api, repo, data, "basic", "multipart")["upload"]
    size = int(upload["header"]["chunk_size"])
    numbers = [number for number in upload["header"] if number.isdecimal()]
    tags = {}
    for number in numbers:
        part = data[(int(number) - 1) * size : int(number) * size]
        assert httpx2.put(upload["header"][number], content=part[:-1]).status_code == 422
        tags[number] = httpx2.put(upload["header"][number], content=part).headers["ETag"]
    sha256 = hashlib.sha256(data).hexdigest()
    parts = [{"partNumber": int(number), "etag": tags[number]} for number in numbers]
    swapped = [{"partNumber": 1, "etag": tags["2"]}, {"partNumber": 2, "etag": tags["1"]}, *parts[2:]]
    forged = [{"partNumber": 1, "etag": '"' + "0" * 32 + '"'}, *parts[1:]]
    hostile: tuple[object, ...] = (
        {},
        [],
        {"oid": sha256, "parts": parts[:-1]},
        {"oid": "0" * 64, "parts": parts},
        {"oid": sha256, "parts": [*parts[:-1], {"partNumber": len(parts), "etag": "../../x"}]},
        {"oid": sha256, "parts": [*parts, {"partNumber": len(parts) + 1, "etag": tags["1"]}]},
        {"oid": sha256, "parts": [{"partNumber": [], "etag": {}}]},
        {"oid": sha256, "parts": swapped},
        {"oid": sha256, "parts": forged},
    )
    for body in hostile:
        assert httpx2.post(upload["href"], json=body).status_code in (400, 422), body
    assert httpx2.post(upload["href"], json={"oid": sha256, "parts": parts}).status_code == 200
    # The answer may be lost: whoever asks again is told the same.
    assert httpx2.post(upload["href"], json={"oid": sha256, "parts": parts}).status_code == 200
    assert not list(hub.hub.store.list("uploads"))


def test_files_that_are_no_text_and_large_ones_are_uploaded_apart(api: HfApi, repo: str) -> None:
    samples = {
        "a.txt": (b"words", 5),
        "cut.txt": ("\u00e9".encode()[:1], 5),
        "a.safetensors": (b"words", 5),
        "binary": (b"\x00\x01", 2),
        "latin.txt": (b"\xe9\xe8 words", 8),
        "large.txt": (b"words", 50 * MIB),
        "README.md": (b"\x00", 5),
        "empty.bin": (b"", 0),
    }
    files = [
        {"path": path, "sample": base64.b64encode(sample).decode(), "size": size}
        for path, (sample, size) in samples.items()
    ]
    url = f"{api.endpoint}/api/models/{repo}/preupload/main"
    headers = {"Authorization": f"Bearer {api.token}"}
    reply = httpx2.post(url, json={"files": files, "gitIgnore": "*.txt\n!a.txt"}, headers=headers)
    modes = {file["path"]: (file["uploadMode"], file["shouldIgnore"]) for file in reply.json()["files"]}
    assert modes == {
        "a.txt": ("regular", False),
        "cut.txt": ("regular", True),
        "a.safetensors": ("lfs", False),
        "binary": ("lfs", False),
        "latin.txt": ("lfs", True),
        "large.txt": ("lfs", True),
        "README.md": ("regular", False),
        "empty.bin": ("regular", False),
    }
    assert httpx2.post(url, json={"files": files}).status_code == 401
    for wrong in (
        {"files": [{"path": "../a", "size": 1}]},
        {"files": [7]},
        {"files": [{"path": "a", "size": "1"}]},
        {},
    ):
        assert httpx2.post(url, json=wrong, headers=headers).status_code == 400


def test_on_an_object_store_files_go_up_in_parts_and_come_down(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    s3_server: S3Server,
) -> None:
    monkeypatch.setattr(lfs, "PART_BYTES", MIB)
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    with running_hub(tmp_path / "hub", store=f"s3://{s3_server.new_bucket()}/hub") as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
        repo = str(api.create_repo("alice/stored").repo_id)
        data = noise(3 * MIB + 5)
        api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
        assert read(api, repo, "w.bin", tmp_path / "cache") == data
        part = httpx2.get(f"{api.endpoint}/{repo}/resolve/main/w.bin", headers={"Range": "bytes=2000000-2000009"})
        assert part.content == data[2_000_000:2_000_010]
        assert not list(hub.hub.store.list("uploads"))
