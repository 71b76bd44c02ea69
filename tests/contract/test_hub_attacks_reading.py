"""Attempts to read what is private, gated or another repository's on the real server processes, by name, hash or token."""

# ruff: noqa: E501 - a hostile request is read as it is sent

import time

import httpx2
from attacked_hub import Attacker, by_lfs, commit_lines, lines_of, small_file
from hub_process import HubProcess
from huggingface_hub import HfApi
from xet_calls import Cas, noise, prepared

MIB = 1024 * 1024


def test_a_range_address_opens_its_range_whatever_the_conditions(
    attacked: HubProcess, alice: str, private: str
) -> None:
    data = prepared(noise(2 * MIB, 1))
    cas = Cas.of(attacked.endpoint, alice, private)
    data.send(cas)
    told = cas.ask("GET", f"/v1/reconstructions/{data.hash}", Range="bytes=0-10").document()
    (fetches,) = told["fetch_info"].values()  # type: ignore[attr-defined]
    url, span = fetches[0]["url"], f"bytes={fetches[0]['url_range']['start']}-{fetches[0]['url_range']['end']}"
    size = fetches[0]["url_range"]["end"] - fetches[0]["url_range"]["start"] + 1
    good = httpx2.get(url, headers={"Range": span})
    assert (good.status_code, len(good.content)) == (206, size)
    for headers in (
        {"Range": span, "If-Range": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"Range": span, "If-Range": '"x"'},
        [("Range", span), ("Range", "bytes=0-")],
        [("Range", "bytes=0-"), ("Range", span)],
        {"Range": f"{span},0-"},
        {"Range": "bytes=0-"},
        {"Range": span.upper()},
        {},
    ):
        answer = httpx2.get(url, headers=headers)
        assert len(answer.content) <= max(size, 300), headers
        assert answer.status_code in (206, 403), headers
    for changed in (url.replace("range=0-", "range=1-"), url.replace("expires=", "expires=1"), url[:-1] + "x"):
        if changed != url:
            assert httpx2.get(changed, headers={"Range": span}).status_code == 403


def test_what_is_private_looks_like_what_is_not_there(attacked: HubProcess, mallory: str, private: str) -> None:
    nothing = "alice/nothing"
    for token in (mallory, ""):
        attacker = Attacker(attacked, token)
        for method, path, named in (
            ("GET", "/api/models/{}", {}),
            ("GET", "/api/models/{}/tree/main", {}),
            ("GET", "/{}/resolve/main/secret.txt", {}),
            ("GET", "/{}/raw/main/secret.txt", {}),
            ("GET", "/{}.git/info/refs?service=git-upload-pack", {}),
            ("POST", "/{}.git/git-upload-pack", {"content": b"0000"}),
            ("POST", "/{}.git/info/lfs/objects/batch", {"json": {"operation": "download", "objects": []}}),
            ("POST", "/{}.git/info/lfs/objects/batch", {"json": {"operation": "upload", "objects": []}}),
            ("POST", "/api/models/{}/paths-info/main", {"content": b"paths=secret.txt"}),
            ("POST", "/api/models/{}/preupload/main", {"json": {"files": []}}),
            ("POST", "/api/models/{}/commit/main", {"content": lines_of(small_file("x"))}),
            ("POST", "/api/models/{}/duplicate", {"json": {"repository": "mallory/copy"}}),
            ("GET", "/api/models/{}/xet-read-token/main", {}),
            ("GET", "/api/models/{}/xet-write-token/main?create_pr=1", {}),
            ("GET", "/api/models/{}/commits/main", {}),
            ("GET", "/api/models/{}/refs", {}),
            ("GET", "/api/models/{}/discussions", {}),
            ("GET", "/api/models/{}/auth-check", {}),
            ("GET", "/api/models/{}/safetensors-metadata/model.safetensors.index.json", {}),
            ("GET", "/api/models/{}/lfs-files", {}),
            ("PUT", "/api/models/{}/settings", {"json": {"private": False}}),
            ("POST", "/api/models/{}/like", {}),
            ("POST", "/api/models/{}/super-squash/main", {"json": {}}),
        ):
            one = attacker.ask(method, path.format(private), **named)
            other = attacker.ask(method, path.format(nothing), **named)
            assert (one.status_code, one.text) == (other.status_code, other.text), (method, path)
            assert one.status_code in (401, 404), (method, path, one.text)
            same = {name: value for name, value in one.headers.items() if name not in ("date", "x-request-id")}
            assert same == {n: v for n, v in other.headers.items() if n not in ("date", "x-request-id")}
        listed = attacker.ask("GET", "/api/models?author=alice").json()
        assert private not in [model["id"] for model in listed]


def test_a_gate_holds_whichever_way_one_goes(attacked: HubProcess, alice: str, mallory: str) -> None:
    api = HfApi(endpoint=attacked.endpoint, token=alice)
    repo = api.create_repo("alice/gated").repo_id
    api.update_repo_settings(repo, gated="manual")
    large = b"L" * 11_000_000
    owner = Attacker(attacked, alice)
    sha256 = by_lfs(owner, repo, large)
    assert commit_lines(
        owner, repo, ("file", {"path": "secret.txt", "content": "the secret", "encoding": "utf-8"}),
        ("lfsFile", {"path": "large.bin", "algo": "sha256", "oid": sha256, "size": len(large)}),
    ).status_code == 200  # fmt: skip
    batch = {"objects": [{"oid": sha256, "size": len(large)}]}
    for token in (mallory, ""):
        attacker = Attacker(attacked, token)
        for method, path, named in (
            ("GET", f"/{repo}/resolve/main/secret.txt", {}),
            ("HEAD", f"/{repo}/resolve/main/large.bin", {}),
            ("GET", f"/{repo}/raw/main/secret.txt", {}),
            ("GET", f"/{repo}.git/info/refs?service=git-upload-pack", {}),
            ("POST", f"/{repo}.git/git-upload-pack", {"content": b"0000"}),
            ("POST", f"/{repo}.git/info/lfs/objects/batch", {"json": {"operation": "download", **batch}}),
            ("POST", f"/{repo}.git/info/lfs/objects/batch", {"json": {"operation": "upload", **batch}}),
            ("POST", f"/{repo}.git/info/lfs/objects/verify", {"json": batch["objects"][0]}),
            ("GET", f"/api/models/{repo}/xet-read-token/main", {}),
            ("GET", f"/api/models/{repo}/xet-write-token/main", {}),
            ("GET", f"/api/models/{repo}/xet-write-token/main?create_pr=1", {}),
            ("POST", f"/api/models/{repo}/duplicate", {"json": {"repository": "mallory/gated-copy"}}),
            ("POST", f"/api/models/{repo}/lfs-files/duplicate",
             {"json": {"target": {"type": "model", "name": "mallory/own"}, "files": [{"sha256": sha256}]}}),
            ("GET", f"/api/models/{repo}/safetensors-metadata/secret.txt", {}),
            ("POST", f"/api/models/{repo}/commit/main", {"content": lines_of(small_file("x"))}),
            ("POST", f"/api/models/{repo}/commit/main?create_pr=1",
             {"content": lines_of(("copyFile", {"path": "b", "srcPath": "secret.txt"}))}),
        ):  # fmt: skip
            answer = attacker.ask(method, path, **named)
            assert answer.status_code in (401, 403), (method, path, answer.status_code, answer.text[:200])
            assert b"the secret" not in answer.content


def test_a_hash_gives_no_bytes_of_another_repository(
    attacked: HubProcess, alice: str, mallory: str, private: str, own: str
) -> None:
    large = b"P" * 11_000_000
    sha256 = by_lfs(Attacker(attacked, alice), private, large)
    attacker = Attacker(attacked, mallory)
    named = {"path": "stolen.bin", "algo": "sha256", "oid": sha256, "size": len(large)}
    assert commit_lines(attacker, own, ("lfsFile", named)).status_code == 400
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(large)}\n"
    as_text: dict[str, object] = {"path": "stolen.bin", "content": pointer, "encoding": "utf-8"}
    assert commit_lines(attacker, own, ("file", as_text)).status_code == 400
    download = {"operation": "download", "objects": [{"oid": sha256, "size": len(large)}]}
    (answer,) = attacker.ask("POST", f"/{own}.git/info/lfs/objects/batch", json=download).json()["objects"]
    assert answer["error"]["code"] == 404
    cas = Cas.of(attacked.endpoint, mallory, own)
    for path in ("/v1/reconstructions/", "/v2/reconstructions/", "/v1/chunks/default/"):
        assert cas.ask("GET", path + sha256).status == 404


def test_tokens_allow_what_they_say_and_no_longer_than_they_say(attacked: HubProcess, own: str, private: str) -> None:
    reading = str(attacked.told("token", "add", "mallory", "--role", "read")["token"])
    assert Attacker(attacked, reading).ask("POST", "/api/repos/create", json={"name": "no"}).status_code == 403
    assert commit_lines(Attacker(attacked, reading), own, small_file("no")).status_code == 403
    narrow = str(
        attacked.told(
            "token", "add", "alice", "--role", "fineGrained", "--scope", "model:alice/other:repo.content.read"
        )["token"]
    )
    assert Attacker(attacked, narrow).ask("GET", f"/api/models/{private}").status_code == 404
    assert Attacker(attacked, narrow).ask("GET", f"/{private}/resolve/main/secret.txt").status_code == 404
    assert Attacker(attacked, narrow).ask("POST", "/api/repos/create", json={"name": "no"}).status_code == 403
    wrong_kind = str(
        attacked.told(
            "token", "add", "alice", "--role", "fineGrained", "--scope", f"dataset:{private}:repo.content.read"
        )["token"]
    )
    assert Attacker(attacked, wrong_kind).ask("GET", f"/api/models/{private}").status_code == 404
    looking = str(
        attacked.told("token", "add", "alice", "--role", "fineGrained", "--scope", f"model:{private}:repo.access.read")[
            "token"
        ]
    )
    assert Attacker(attacked, looking).ask("GET", f"/api/models/{private}").status_code == 200
    for path in (
        f"/{private}/resolve/main/secret.txt",
        f"/{private}/raw/main/secret.txt",
        f"/api/models/{private}/xet-read-token/main",
        f"/{private}.git/info/refs?service=git-upload-pack",
    ):
        assert Attacker(attacked, looking).ask("GET", path).status_code in (403, 404), path
    short = str(attacked.told("token", "add", "alice", "--role", "read", "--days", "0.00001")["token"])
    time.sleep(1)
    assert Attacker(attacked, short).ask("GET", "/api/whoami-v2").status_code == 401
