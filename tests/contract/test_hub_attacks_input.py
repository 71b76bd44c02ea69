"""Hostile names, paths, encodings and bodies sent to the real server processes: refused, and told nothing of their inside."""

# ruff: noqa: E501 - a hostile request is read as it is sent

import base64
import json
from typing import Any

import pytest
from attacked_hub import Attacker, commit_lines, small_file
from hub_process import HubProcess

MIB = 1024 * 1024


@pytest.mark.parametrize(
    "path",
    [
        "../a", "a/../b", "/a", "a//b", "a/./b", ".git/config", "a/.GIT/hooks/x", "a\0b", "a\nb", "a\r\nX-Evil: 1", "",
        ".", "..", "a/", "\\..\\a", "x" * 5000, "/".join("d" * 300), "a\u0000", ".git\u200c/config", "C:\\a",
        "\ud800", "aux\x7f", "git~1/config",
    ],
)  # fmt: skip
def test_no_path_leaves_the_repository(attacked: HubProcess, mallory: str, own: str, path: str) -> None:
    attacker = Attacker(attacked, mallory)
    answer = commit_lines(attacker, own, small_file(path))
    assert answer.status_code == 400, answer.text
    for verb in ("resolve", "raw"):
        if path and "\ud800" not in path:
            quoted = "".join(f"%{byte:02x}" for byte in path.encode()[:2000])
            assert attacker.ask("GET", f"/{own}/{verb}/main/{quoted}").status_code in (404, 400)


@pytest.mark.parametrize(
    "address",
    [
        "/{own}/resolve/main/..%2f..%2f..%2fetc%2fpasswd", "/{own}/resolve/main/%2e%2e/%2e%2e/etc/passwd",
        "/{own}/resolve/%00/a", "/{own}/resolve/main/%00", "/{own}/resolve/main/%ff%fe", "/{own}/resolve/%ff/a",
        "/api/models/mallory/%00", "/api/models/%00/%00", "/api/models/mallory/own%00", "/api/models/%ff/%fe",
        "/api/models/mallory/own/tree/%00", "/api/models/mallory/own/tree/main/%00", "/api/models/%ed%a0%80/x",
        "/api/models/mallory/own/tree/refs%2fheads%2f..%2fmain", "/api/models?search=%00", "/api/models?author=%00",
        "/api/models?filter=%00&tags=%00", "/api/models?sort=%00", "/api/models?search=%ff", "/api/models?cursor=%00",
        "/api/models?limit=1000000000", "/api/models?limit=-1", "/api/models?limit=99999999999999999999999999",
        "/api/models?limit=%D9%A1", "/api/models?cursor=" + "A" * 4000, "/api/models?cursor=eyJhIjogMX0",
        "/api/models?cursor=W10", "/api/models?cursor=WzFlMzA4LCAxXQ", "/api/models?cursor=WyJcdTAwMDAiXQ",
        "/api/models/mallory/own/commits/main?limit=1000000000", "/api/models/mallory/own/commits/main?p=1000000000",
        "/api/models/mallory/own/commits/main?p=-1", "/api/models/mallory/own/tree/main?limit=1000000000",
        "/api/models/mallory/own/tree/main?cursor=%00", "/api/models/mallory/own/tree/main?cursor=W10",
        "/api/models/mallory/own/lfs-files?cursor=%00", "/api/models/mallory/own/lfs-files?limit=1000000000",
        "/api/models/mallory/own/discussions?p=1000000000000000000000", "/api/models/mallory/own/discussions?p=%00",
        "/api/models/mallory/own/discussions/99999999999999999999", "/api/models/mallory/own/discussions/%00",
        "/cas/bytes/xorbs/../../hub.sqlite?range=0-9&expires=9999999999&signature=x",
        "/cas/bytes/xorbs%2f..%2f..%2fhub.sqlite?range=0-9&expires=9999999999&signature=x",
        "/cas/bytes/%00?range=0-9&expires=9&signature=%ff", "/api/lfs/get/1/x?signature=%ff%00",
        "/api/lfs/get/99999999999999999999/x?size=1&expires=1&part=0&part_size=0&signature=x",
        "/%00/%00.git/info/refs?service=git-upload-pack", "/api/whoami-v2/%2e%2e/x", "//evil.example/x", "/%2f/%5c",
        "/api/models/mallory/own/compare/main..%00", "/api/models/mallory/own/revision/%00", "/api/models/" + "a" * 4000,
        "/api/models/mallory/OWN/revision/\u212a", "/api/organizations/%00/members", "/api/users/%00/overview",
        "/api/models/mallory/own/safetensors-metadata/%00", "/api/buckets/mallory/%00", "/api/buckets/%00",
    ],
)  # fmt: skip
def test_no_address_is_an_error_of_the_server(attacked: HubProcess, mallory: str, own: str, address: str) -> None:
    answer = Attacker(attacked, mallory).ask("GET", address.replace("{own}", own), follow_redirects=False)
    assert answer.status_code in (200, 400, 401, 403, 404, 405), answer.text
    assert b"root:" not in answer.content


_BODIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/api/repos/create", {"name": "a\0b"}),
    ("POST", "/api/repos/create", {"name": "\ud800"}),
    ("POST", "/api/repos/create", {"name": "a", "organization": "\0"}),
    ("POST", "/api/repos/create", {"name": "mallory/a\r\nX: y"}),
    ("POST", "/api/repos/create", {"name": ["a"]}),
    ("POST", "/api/repos/create", {"name": "own\u212a"}),
    ("POST", "/api/repos/create", {"name": "w", "license": "\0", "sdk": "\ud800"}),
    ("POST", "/api/repos/move", {"fromRepo": "mallory/own", "toRepo": "mallory/\0"}),
    ("POST", "/api/repos/move", {"fromRepo": "\0/\0", "toRepo": "mallory/x"}),
    ("POST", "/api/repos/move", {"fromRepo": "mallory/own", "toRepo": "alice/stolen"}),
    ("DELETE", "/api/repos/delete", {"name": "\0"}),
    ("POST", "/api/models/mallory/own/branch/a%00b", {}),
    ("POST", "/api/models/mallory/own/branch/x", {"startingPoint": "\0"}),
    ("POST", "/api/models/mallory/own/tag/main", {"tag": "v\r\n1"}),
    ("POST", "/api/models/mallory/own/tag/main", {"tag": "v\0"}),
    ("POST", "/api/models/mallory/own/tag/main", {"tag": "ok", "message": "a\0b\ud800"}),
    ("POST", "/api/models/mallory/own/preupload/main", {"files": [{"path": "a\0", "size": 1, "sample": ""}]}),
    ("POST", "/api/models/mallory/own/preupload/main", {"files": [{"path": "a", "size": 10**30, "sample": "%%"}]}),
    ("POST", "/api/models/mallory/own/preupload/main", {"files": [], "gitIgnore": "[" * 50_000}),
    (
        "POST",
        "/api/models/mallory/own/preupload/main",
        {"files": [{"path": "a" * 200, "size": 1}], "gitIgnore": "*a" * 5_000},
    ),
    ("POST", "/api/models/mallory/own/super-squash/main", {"message": "a\0\ud800"}),
    ("POST", "/api/models/mallory/own/discussions", {"title": "a\0b", "description": "\0\ud800"}),
    ("POST", "/api/models/mallory/own/discussions", {"title": "t" * 10_000, "description": "d" * 900_000}),
    ("POST", "/api/models/mallory/own/user-access-request/handle", {"user": "\0", "status": "accepted"}),
    ("POST", "/api/models/mallory/own/user-access-request/grant", {"user": "\ud800"}),
    ("PUT", "/api/models/mallory/own/settings", {"gated": "\0", "visibility": "\0"}),
    ("PUT", "/api/models/mallory/own/settings", {"gated": {"a": 1}}),
    ("POST", "/api/models/mallory/own/duplicate", {"repository": "mallory/\0"}),
    ("POST", "/api/models/mallory/own/lfs-files/batch", {"deletions": {"sha": ["\0" * 64]}}),
    ("POST", "/api/models/mallory/own/lfs-files/duplicate", {"target": {"type": "model", "name": "a/\0"}, "files": []}),
    ("POST", "/api/validate-yaml", {"content": "---\na: &a [*a]\n---\n\0", "repoType": "model"}),
    ("POST", "/api/validate-yaml", {"content": "---\n" + "[" * 20_000 + "\n---\n", "repoType": "model"}),
    (
        "POST",
        "/api/validate-yaml",
        {
            "content": "---\na0: &a0 [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
            + "---\n",
            "repoType": "model",
        },
    ),
    (
        "POST",
        "/mallory/own.git/info/lfs/objects/batch",
        {"operation": "upload", "objects": [{"oid": "\0" * 64, "size": 1}]},
    ),
    (
        "POST",
        "/mallory/own.git/info/lfs/objects/batch",
        {"operation": "upload", "objects": [{"oid": "a" * 64, "size": 10**40}]},
    ),
    (
        "POST",
        "/mallory/own.git/info/lfs/objects/batch",
        {"operation": "download", "objects": [{"oid": "a" * 64, "size": 2**63}]},
    ),
    ("POST", "/mallory/own.git/info/lfs/objects/verify", {"oid": "\0", "size": 1}),
    ("POST", "/api/buckets/mallory/b%00", {}),
)


@pytest.mark.parametrize(("method", "path", "body"), _BODIES)
def test_no_body_is_an_error_of_the_server(
    attacked: HubProcess, mallory: str, own: str, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = Attacker(attacked, mallory).ask(method, path, content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 403, 404, 405, 409, 413, 422), answer.text
    assert "alice/stolen" not in answer.text or answer.status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'{"a":1e999}', b"9" * 100_000, b'{"name":' + b"9" * 5000 + b"}"]
)  # fmt: skip
def test_no_json_is_an_error_of_the_server(attacked: HubProcess, mallory: str, method: str, body: bytes) -> None:
    for path in ("/api/repos/create", "/api/models/mallory/own/settings", "/api/repos/delete", "/api/validate-yaml"):
        answer = Attacker(attacked, mallory).ask(method, path, content=body)
        # What is not asked for is not looked at.
        assert answer.status_code in (400, 404, 405, 413) or b"1e999" in body


@pytest.mark.parametrize(
    "authorization",
    [b"Bearer \xff\xfe", b"Bearer " + b"x" * 7000, b"Basic %%%", b"Basic " + base64.b64encode(b"\xff:\xff"), b"Digest a=b",
     b"Bearer hf_\xed\xa0\x80", b"Bearer hf_" + b"a" * 37, b"Basic " + base64.b64encode(b"a:hf_\0")],
)  # fmt: skip
def test_no_token_is_an_error_of_the_server(attacked: HubProcess, own: str, private: str, authorization: bytes) -> None:
    for path in ("/api/whoami-v2", f"/api/models/{own}", f"/api/models/{private}"):
        answer = Attacker(attacked).ask("GET", path, headers=[(b"Authorization", authorization)])
        assert answer.status_code == 401, (path, answer.text)
