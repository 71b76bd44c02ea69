"""Hostile requests to the real server processes, on both databases: the right status, bounded memory, one log line, and
nothing of the server's inside for the client.
"""

# ruff: noqa: E501 - a hostile request is read as it is sent

import base64
import gzip
import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hub_process import HubProcess, serving
from huggingface_hub import HfApi
from postgresql_server import new_database
from xet_calls import Cas, ask, noise, prepared

MIB = 1024 * 1024
_INSIDE = ("Traceback", 'File "', ".py", "sqlalchemy", "psycopg", "sqlite3", "aiohttp")


_OPEN: list[httpx2.Client] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


class Attacker:
    """Sends what no client sends, and looks at every answer for what must not be in it."""

    def __init__(self, hub: HubProcess, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.hub = hub
        self.http = httpx2.Client(base_url=hub.endpoint, headers=headers, timeout=60)
        _OPEN.append(self.http)

    def ask(self, method: str, path: str, **named: Any) -> httpx2.Response:
        answer = self.http.request(method, path, **named)
        assert answer.status_code < 500, (method, path[:200], answer.status_code, answer.text[:300], self._trouble())
        if answer.status_code >= 400:
            assert not any(word in answer.text for word in _INSIDE), answer.text[:500]
            assert len(answer.headers.get("X-Error-Message", "")) < 4096
        return answer

    def _trouble(self) -> list[str]:
        return [line[:1500] for line in self.hub.trouble()[-2:]]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    database = "" if request.param == "sqlite" else new_database(request.getfixturevalue("postgresql"))
    with serving(HubProcess(folder=tmp_path_factory.mktemp("attacked") / "hub", database=database)) as running:
        for user in ("alice", "mallory"):
            running.told("user", "add", user)
        yield running
        assert running.trouble() == []


@pytest.fixture(scope="module")
def alice(hub: HubProcess) -> str:
    return str(hub.told("token", "add", "alice", "--role", "write")["token"])


@pytest.fixture(scope="module")
def mallory(hub: HubProcess) -> str:
    return str(hub.told("token", "add", "mallory", "--role", "write")["token"])


@pytest.fixture(scope="module")
def private(hub: HubProcess, alice: str) -> str:
    api = HfApi(endpoint=hub.endpoint, token=alice)
    repo = api.create_repo("alice/private", private=True).repo_id
    _commit(Attacker(hub, alice), repo, ("file", {"path": "secret.txt", "content": "the secret", "encoding": "utf-8"}))
    return str(repo)


@pytest.fixture(scope="module")
def own(hub: HubProcess, mallory: str) -> str:
    return str(HfApi(endpoint=hub.endpoint, token=mallory).create_repo("mallory/own").repo_id)


def _lines(*lines: tuple[str, dict[str, object]]) -> bytes:
    return b"".join(
        json.dumps({"key": k, "value": v}).encode() + b"\n" for k, v in (("header", {"summary": "x"}), *lines)
    )


def _commit(attacker: Attacker, repo: str, *lines: tuple[str, dict[str, object]]) -> httpx2.Response:
    return attacker.ask("POST", f"/api/models/{repo}/commit/main", content=_lines(*lines))


def _small(path: str) -> tuple[str, dict[str, object]]:
    return "file", {"path": path, "content": "eA==", "encoding": "base64"}


# ---- names, paths, encodings


@pytest.mark.parametrize(
    "path",
    [
        "../a", "a/../b", "/a", "a//b", "a/./b", ".git/config", "a/.GIT/hooks/x", "a\0b", "a\nb", "a\r\nX-Evil: 1", "",
        ".", "..", "a/", "\\..\\a", "x" * 5000, "/".join("d" * 300), "a\u0000", ".git\u200c/config", "C:\\a",
        "\ud800", "aux\x7f", "git~1/config",
    ],
)  # fmt: skip
def test_no_path_leaves_the_repository(hub: HubProcess, mallory: str, own: str, path: str) -> None:
    attacker = Attacker(hub, mallory)
    answer = _commit(attacker, own, _small(path))
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
def test_no_address_is_an_error_of_the_server(hub: HubProcess, mallory: str, own: str, address: str) -> None:
    answer = Attacker(hub, mallory).ask("GET", address.replace("{own}", own), follow_redirects=False)
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
    hub: HubProcess, mallory: str, own: str, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = Attacker(hub, mallory).ask(method, path, content=json.dumps(body).encode())
    assert answer.status_code in (200, 400, 403, 404, 405, 409, 413, 422), answer.text
    assert "alice/stolen" not in answer.text or answer.status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b'{"a":1e999}', b"9" * 100_000, b'{"name":' + b"9" * 5000 + b"}"]
)  # fmt: skip
def test_no_json_is_an_error_of_the_server(hub: HubProcess, mallory: str, method: str, body: bytes) -> None:
    for path in ("/api/repos/create", "/api/models/mallory/own/settings", "/api/repos/delete", "/api/validate-yaml"):
        answer = Attacker(hub, mallory).ask(method, path, content=body)
        # What is not asked for is not looked at.
        assert answer.status_code in (400, 404, 405, 413) or b"1e999" in body


@pytest.mark.parametrize(
    "authorization",
    [b"Bearer \xff\xfe", b"Bearer " + b"x" * 7000, b"Basic %%%", b"Basic " + base64.b64encode(b"\xff:\xff"), b"Digest a=b",
     b"Bearer hf_\xed\xa0\x80", b"Bearer hf_" + b"a" * 37, b"Basic " + base64.b64encode(b"a:hf_\0")],
)  # fmt: skip
def test_no_token_is_an_error_of_the_server(hub: HubProcess, own: str, private: str, authorization: bytes) -> None:
    for path in ("/api/whoami-v2", f"/api/models/{own}", f"/api/models/{private}"):
        answer = Attacker(hub).ask("GET", path, headers=[(b"Authorization", authorization)])
        assert answer.status_code == 401, (path, answer.text)


# ---- HTTP itself


def _raw(hub: HubProcess, sent: bytes, *, seconds: float = 10) -> bytes:
    with socket.create_connection(("127.0.0.1", hub.port), timeout=seconds) as connection:
        connection.sendall(sent)
        received = b""
        try:
            while block := connection.recv(65536):
                received += block
        except TimeoutError:
            pass
        return received


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/evil HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcdeGET /api/evil HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: +4\r\n\r\nabcd",
        b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: -4\r\n\r\n",
        b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /api/models HTTP/1.1\r\nHost: localhost\r\n evil: folded\r\n\r\n",
        b"GET /api/models HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"GET http://evil.example/api/models HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /api/models HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /api/mod\0els HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
    ],
)  # fmt: skip
def test_malformed_http_is_refused_and_never_read_as_two_requests(hub: HubProcess, sent: bytes) -> None:
    received = _raw(hub, sent, seconds=2)
    assert received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")) or not received, received[:300]
    assert len(re.findall(rb"^HTTP/1\.", received, re.MULTILINE)) <= 1
    assert b"Traceback" not in received
    assert b".py" not in received


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1@evil.example", "127.0.0.1:80@evil.example", "localhost:x", "localhost.evil.example",
             "127.0.0.1:8900/evil", "localhost:80:evil.example", "127.0.0.1:1\x0b", "[::1", ""]
)  # fmt: skip
def test_another_host_is_never_written_into_an_address(hub: HubProcess, own: str, host: str) -> None:
    received = _raw(
        hub, f"GET /api/models/{own}/xet-read-token/main HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), received[:300]
    assert b"casUrl" not in received


def test_what_a_stranger_wrote_stays_in_its_place_in_headers(hub: HubProcess, mallory: str, own: str) -> None:
    attacker = Attacker(hub, mallory)
    name = 'a"; filename=evil.sh; x=".txt'
    assert _commit(attacker, own, _small(name), _small("ünï\u202ecode.txt")).status_code == 200
    for path in (name, "ünï\u202ecode.txt"):
        quoted = "".join(f"%{byte:02x}" for byte in path.encode())
        answer = attacker.ask("GET", f"/{own}/resolve/main/{quoted}")
        assert answer.status_code == 200
        assert "filename=evil" not in answer.headers["Content-Disposition"]
        assert answer.headers["Content-Disposition"].isascii()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    listed = attacker.ask("GET", "/api/models?limit=1&search=o%0d%0aX-Evil:%201&author=mallory")
    assert "X-Evil" not in listed.headers
    missing = attacker.ask("GET", f"/{own}/resolve/main/a%0d%0aX-Evil:%201%01%00")
    assert missing.status_code == 404
    assert "X-Evil" not in missing.headers
    assert missing.headers["X-Error-Message"].isprintable()


def test_every_request_leaves_one_line_whatever_it_holds(hub: HubProcess, own: str) -> None:
    before = hub.log.read_bytes().count(b"\n")
    mark = f"marked-{time.time_ns()}"
    sent = [
        b"GET /api/models/x/y?a=%0a HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + agent + b"\r\nConnection: close\r\n\r\n"
        for agent in (mark.encode() + b"\xff\xfe\xed\xa0\x80", mark.encode() + b" \x1b[31m", mark.encode() + b'","level":"x')
    ]  # fmt: skip
    for request in sent:
        _raw(hub, request)
    deadline = time.monotonic() + 5
    while hub.log.read_bytes().count(b"\n") < before + len(sent) and time.monotonic() < deadline:
        time.sleep(0.05)
    lines = hub.log.read_bytes().splitlines()[before:]
    assert len(lines) == len(sent)
    for line in lines:
        assert json.loads(line)["level"] == "info"
        assert b"\x1b" not in line
        assert b"trace" not in line


# ---- what may be read


def test_a_range_address_opens_its_range_whatever_the_conditions(hub: HubProcess, alice: str, private: str) -> None:
    data = prepared(noise(2 * MIB, 1))
    cas = Cas.of(hub.endpoint, alice, private)
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


def test_what_is_private_looks_like_what_is_not_there(hub: HubProcess, mallory: str, private: str) -> None:
    nothing = "alice/nothing"
    for token in (mallory, ""):
        attacker = Attacker(hub, token)
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
            ("POST", "/api/models/{}/commit/main", {"content": _lines(_small("x"))}),
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


def test_a_gate_holds_whichever_way_one_goes(hub: HubProcess, alice: str, mallory: str) -> None:
    api = HfApi(endpoint=hub.endpoint, token=alice)
    repo = api.create_repo("alice/gated").repo_id
    api.update_repo_settings(repo, gated="manual")
    large = b"L" * 11_000_000
    owner = Attacker(hub, alice)
    sha256 = _lfs(owner, repo, large)
    assert _commit(
        owner, repo, ("file", {"path": "secret.txt", "content": "the secret", "encoding": "utf-8"}),
        ("lfsFile", {"path": "large.bin", "algo": "sha256", "oid": sha256, "size": len(large)}),
    ).status_code == 200  # fmt: skip
    batch = {"objects": [{"oid": sha256, "size": len(large)}]}
    for token in (mallory, ""):
        attacker = Attacker(hub, token)
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
            ("POST", f"/api/models/{repo}/commit/main", {"content": _lines(_small("x"))}),
            ("POST", f"/api/models/{repo}/commit/main?create_pr=1",
             {"content": _lines(("copyFile", {"path": "b", "srcPath": "secret.txt"}))}),
        ):  # fmt: skip
            answer = attacker.ask(method, path, **named)
            assert answer.status_code in (401, 403), (method, path, answer.status_code, answer.text[:200])
            assert b"the secret" not in answer.content


def test_a_hash_gives_no_bytes_of_another_repository(
    hub: HubProcess, alice: str, mallory: str, private: str, own: str
) -> None:
    large = b"P" * 11_000_000
    sha256 = _lfs(Attacker(hub, alice), private, large)
    attacker = Attacker(hub, mallory)
    named = {"path": "stolen.bin", "algo": "sha256", "oid": sha256, "size": len(large)}
    assert _commit(attacker, own, ("lfsFile", named)).status_code == 400
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(large)}\n"
    as_text: dict[str, object] = {"path": "stolen.bin", "content": pointer, "encoding": "utf-8"}
    assert _commit(attacker, own, ("file", as_text)).status_code == 400
    download = {"operation": "download", "objects": [{"oid": sha256, "size": len(large)}]}
    (answer,) = attacker.ask("POST", f"/{own}.git/info/lfs/objects/batch", json=download).json()["objects"]
    assert answer["error"]["code"] == 404
    cas = Cas.of(hub.endpoint, mallory, own)
    for path in ("/v1/reconstructions/", "/v2/reconstructions/", "/v1/chunks/default/"):
        assert cas.ask("GET", path + sha256).status == 404


def _lfs(attacker: Attacker, repo: str, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    wanted = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": sha256, "size": len(data)}]}
    (found,) = attacker.ask("POST", f"/{repo}.git/info/lfs/objects/batch", json=wanted).json()["objects"]
    if "actions" in found:
        href = found["actions"]["upload"]["href"]
        for changed in (
            href.replace("size=", "size=1"),
            href.replace("expires=", "expires=1"),
            href[:-1] + "0",
            href[:-1] + "1",
        ):
            assert changed == href or httpx2.put(changed, content=data).status_code == 403
        for wrong in (data[:-1], data + b"x", b"X" + data[1:]):
            assert httpx2.put(href, content=wrong).status_code in (413, 422)
        assert httpx2.put(href, content=data).status_code == 200
    return sha256


# ---- tokens


def test_tokens_allow_what_they_say_and_no_longer_than_they_say(hub: HubProcess, own: str, private: str) -> None:
    reading = str(hub.told("token", "add", "mallory", "--role", "read")["token"])
    assert Attacker(hub, reading).ask("POST", "/api/repos/create", json={"name": "no"}).status_code == 403
    assert _commit(Attacker(hub, reading), own, _small("no")).status_code == 403
    narrow = str(
        hub.told("token", "add", "alice", "--role", "fineGrained", "--scope", "model:alice/other:repo.content.read")[
            "token"
        ]
    )
    assert Attacker(hub, narrow).ask("GET", f"/api/models/{private}").status_code == 404
    assert Attacker(hub, narrow).ask("GET", f"/{private}/resolve/main/secret.txt").status_code == 404
    assert Attacker(hub, narrow).ask("POST", "/api/repos/create", json={"name": "no"}).status_code == 403
    wrong_kind = str(
        hub.told("token", "add", "alice", "--role", "fineGrained", "--scope", f"dataset:{private}:repo.content.read")[
            "token"
        ]
    )
    assert Attacker(hub, wrong_kind).ask("GET", f"/api/models/{private}").status_code == 404
    looking = str(
        hub.told("token", "add", "alice", "--role", "fineGrained", "--scope", f"model:{private}:repo.access.read")[
            "token"
        ]
    )
    assert Attacker(hub, looking).ask("GET", f"/api/models/{private}").status_code == 200
    for path in (
        f"/{private}/resolve/main/secret.txt",
        f"/{private}/raw/main/secret.txt",
        f"/api/models/{private}/xet-read-token/main",
        f"/{private}.git/info/refs?service=git-upload-pack",
    ):
        assert Attacker(hub, looking).ask("GET", path).status_code in (403, 404), path
    short = str(hub.told("token", "add", "alice", "--role", "read", "--days", "0.00001")["token"])
    time.sleep(1)
    assert Attacker(hub, short).ask("GET", "/api/whoami-v2").status_code == 401


# ---- too much of everything


def test_a_commit_of_a_gigabyte_takes_little_memory(hub: HubProcess, mallory: str, own: str) -> None:
    attacker = Attacker(hub, mallory)

    def lines(each: bytes, count: int) -> Iterator[bytes]:
        yield b'{"key":"header","value":{"summary":"x"}}\n'
        for _ in range(count):
            yield each

    file = b'{"key":"file","value":{"path":"a","encoding":"base64","content":"' + b"QUFB" * (2 * MIB // 4) + b'"}}\n'
    deleted = b'{"key":"deletedFile","value":{"path":"' + b"a" * 8 * MIB + b'"}}\n'
    nested = b'{"key":"file","value":{"path":"a","content":"","x":[' + b"[]," * (4 * MIB) + b"[]]}}\n"
    blank = b"\n" * MIB
    for each, count in ((file, 500), (deleted, 125), (nested, 80), (blank, 1024), (b"x" * MIB, 1024)):
        answer = attacker.ask("POST", f"/api/models/{own}/commit/main", content=lines(each, count))
        assert answer.status_code in (400, 413), answer.text
    with socket.create_connection(("127.0.0.1", hub.port)) as connection:
        head = f"POST /api/models/{own}/commit/main HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {mallory}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 1073741824\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert hub.resident_bytes() < 300 * MIB


def test_what_is_packed_small_is_not_unpacked_large(hub: HubProcess, mallory: str, own: str) -> None:
    attacker = Attacker(hub, mallory)
    bomb = gzip.compress(b"\n" * (600 * MIB), 9)
    packed = {"Content-Encoding": "gzip"}
    for path in (
        f"/api/models/{own}/commit/main",
        "/api/validate-yaml",
        f"/{own}.git/git-upload-pack",
        f"/{own}.git/info/lfs/objects/batch",
    ):
        # A server that refuses in the middle of a body may close the connection before its answer is read.
        with suppress(httpx2.ReadError, httpx2.WriteError):
            answer = attacker.ask("POST", path, content=bomb, headers=packed)
            assert answer.status_code in (400, 413), (path, answer.text[:200])
    cas = Cas.of(hub.endpoint, mallory, own)
    for path in ("/v1/shards", f"/v1/xorbs/default/{'0' * 64}"):
        with suppress(OSError):
            assert ask("POST", cas.url + path, bomb, Authorization=f"Bearer {cas.token}", **packed).status in (400, 413)
    assert attacker.ask("GET", "/api/whoami-v2").status_code == 200
    assert hub.resident_bytes() < 300 * MIB


def test_slow_senders_keep_nobody_from_uploading(
    hub: HubProcess, mallory: str, alice: str, own: str, private: str
) -> None:
    cas = Cas.of(hub.endpoint, mallory, own)
    base = cas.url.removeprefix(hub.endpoint)
    slow = []
    try:
        for path, count in ((f"{base}/v1/shards", 40), (f"{base}/v1/xorbs/default/{'1' * 64}", 40)):
            for _ in range(count):
                connection = socket.create_connection(("127.0.0.1", hub.port))
                connection.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {cas.token}\r\n"
                    "Content-Length: 1000000\r\n\r\nabc".encode()
                )
                slow.append(connection)
        for _ in range(100):
            connection = socket.create_connection(("127.0.0.1", hub.port))
            connection.sendall(b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
            slow.append(connection)
        quick = Cas.of(hub.endpoint, alice, private)
        began = time.monotonic()
        prepared(noise(MIB, 2)).send(quick)
        assert time.monotonic() - began < 20
    finally:
        for connection in slow:
            connection.close()


def test_whoever_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    limited = HubProcess(folder=tmp_path / "hub", options=("--rate-limit", "12"))
    with serving(limited), httpx2.Client(base_url=limited.endpoint) as client:
        # A token that is none buys no window of its own.
        answers = [client.get("/api/models", headers={"Authorization": f"Bearer hf_{n:037}"}) for n in range(14)]
        assert {answer.status_code for answer in answers[:12]} == {401}
        last = answers[-1]
        assert last.status_code == 429
        assert 0 < int(last.headers["Retry-After"]) <= 300
        assert last.headers["RateLimit"].startswith('"api";r=0;t=')
        assert client.get("/health/live").status_code == 200
