"""`weighbridge check` fetches from a hub that speaks the Hugging Face protocol, with the unmodified client.

The hub here is a small server on loopback: model info of a revision, the tree, and `resolve` with commit and ETag.
"""

import argparse
import gzip
import hashlib
import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "adopt"))

from check_worlds import USE, World, write_plain

from weighbridge.errors import HubError, InputError
from weighbridge.shell.check import patience
from weighbridge.shell.check.fetch import fetch, is_reference
from weighbridge.shell.cli import check

COMMIT = hashlib.sha1(b"a commit").hexdigest()


class Hub:
    """A hub with one model, `acme/osprey`, whose `main` is `COMMIT`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[str] = []
        self.authorised: list[str] = []
        self.failing: dict[str, tuple[int, str]] = {}
        self.lies: dict[str, bytes] = {}
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the base class has it
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def answer(self, handler: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(handler.path).path)
        self.requests.append(f"{handler.command} {path}")
        if token := handler.headers.get("Authorization"):
            self.authorised.append(token)
        for part, (status, code) in self.failing.items():
            if part in path:
                return self.send(handler, status, b'{"error": "no"}', {"X-Error-Code": code}, body=body)
        if body and (answer := next((a for part, a in self.answers.items() if part in path), None)):
            handler.close_connection = True
            with suppress(OSError):
                return answer(handler)
            return None
        if path.startswith("/api/models/acme/osprey/tree/"):
            return self.send(handler, 200, json.dumps(self.tree()).encode(), {}, body=body)
        if path in ("/api/models/acme/osprey", *(f"/api/models/acme/osprey/revision/{r}" for r in ("main", COMMIT))):
            names = [{"rfilename": path.relative_to(self.folder).as_posix()} for path in self.files()]
            info = {"id": "acme/osprey", "sha": COMMIT, "siblings": names, "private": False, "tags": []}
            return self.send(handler, 200, json.dumps(info).encode(), {}, body=body)
        if path.startswith("/api/models/acme/osprey/revision/"):
            return self.send(handler, 404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body=body)
        prefix = f"/acme/osprey/resolve/{COMMIT}/"
        if path.startswith(prefix) and (file := self.folder / path.removeprefix(prefix)).is_file():
            data = self.lies.get(file.name, file.read_bytes())
            etag = hashlib.sha256(file.read_bytes()).hexdigest()
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
            return self.send(handler, 200, data, headers, body=body)
        return self.send(handler, 404, b"{}", {"X-Error-Code": "RepoNotFound"}, body=body)

    def tree(self) -> list[dict[str, Any]]:
        return [
            {
                "type": "file",
                "path": path.relative_to(self.folder).as_posix(),
                "oid": hashlib.sha1(b"blob %d\0" % path.stat().st_size + path.read_bytes()).hexdigest(),
                "size": path.stat().st_size,
            }
            for path in self.files()
        ]

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, status: int, data: bytes, headers: dict[str, str], *, body: bool) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if body:
            handler.wfile.write(data)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "adopter"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    world = World(tmp_path / "publisher")
    world.write()
    world.sign()
    opened = Hub(world.folder)
    yield opened
    opened.close()


@pytest.fixture
def run(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    (tmp_path / "use.yaml").write_text(USE)

    def call(*arguments: object) -> tuple[int, Any]:
        parser = argparse.ArgumentParser()
        check.add_arguments(parser)
        parser.add_argument("--json", action="store_true")
        given = [*map(str, arguments), "--use", str(tmp_path / "use.yaml"), "--json"]
        code = check.run(parser.parse_args(given))
        return code, json.loads(capsys.readouterr().out)

    return call


def answers(document: Any) -> dict[int, str]:
    return {item["number"]: item["outcome"] for item in document["answers"]}


def test_a_model_is_fetched_at_its_commit_and_checked(hub: Hub, run: Any, tmp_path: Path) -> None:
    key = tmp_path / "publisher" / "release.pub"
    code, document = run("acme/osprey", "--endpoint", hub.url, "--key", key)
    assert code == 3
    assert document["revision"] == COMMIT
    found = answers(document)
    assert (found[1], found[2], found[3], found[5], found[12]) == ("pass", "unknown", "unknown", "pass", "pass")
    assert document["files"] == len(hub.files()), "nothing of the client's own lies among them"
    assert hub.authorised == []


def test_the_environment_names_the_hub_and_a_second_time_downloads_nothing(
    hub: Hub, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    _, first = run(f"acme/osprey@{COMMIT}")
    before = len(hub.requests)
    _, second = run("acme/osprey@main")
    assert second["digest"] == first["digest"]
    assert not [request for request in hub.requests[before:] if request.startswith("GET /acme/osprey/resolve")]


def test_a_file_that_was_swapped_on_the_way_fails(hub: Hub, run: Any, tmp_path: Path) -> None:
    size = (hub.folder / "LICENSE").stat().st_size
    hub.lies["LICENSE"] = b"You may do anything.".ljust(size)
    code, document = run("acme/osprey", "--endpoint", hub.url, "--key", tmp_path / "publisher" / "release.pub")
    assert (code, answers(document)[1]) == (1, "fail")


def test_a_hugging_face_layout_with_only_a_card_is_mostly_unknown(hub: Hub, run: Any, tmp_path: Path) -> None:
    hub.folder = write_plain(tmp_path / "plain", "license: apache-2.0\nbase_model: base/falcon")
    code, document = run("acme/osprey", "--endpoint", hub.url)
    found = answers(document)
    assert code == 3
    assert {number for number, outcome in found.items() if outcome == "unknown"} >= {1, 2, 3, 4, 6, 13, 15, 16, 17}
    assert document["name"] == "acme/osprey"


@pytest.mark.parametrize(
    ("part", "status", "code", "words"),
    [
        ("/api/models/acme", 401, "GatedRepo", "gated"),
        ("/api/models/acme", 404, "RepoNotFound", "no such model"),
        ("/api/models/acme", 404, "RevisionNotFound", "no revision"),
        ("resolve", 403, "GatedRepo", "gated"),
    ],
)
def test_what_a_hub_refuses_is_an_error_with_a_hint(
    hub: Hub, tmp_path: Path, part: str, status: int, code: str, words: str
) -> None:
    hub.failing[part] = (status, code)
    with pytest.raises(HubError, match=words) as caught:
        fetch("acme/osprey", hub.url, tmp_path / "cache", {})
    # `verify` and `run` have the one option, `check` and `show` both.
    assert code == "GatedRepo" or {"--hub", "--endpoint"} <= set(caught.value.hint.replace(",", "").split())
    assert ("recalled" in caught.value.hint) is (code == "GatedRepo")
    assert caught.value.hint


def test_a_hub_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="cannot be fetched"):
        fetch("acme/osprey", "http://127.0.0.1:9", tmp_path, {})


@pytest.mark.parametrize(
    "endpoint", ["http://[::", "nonsense", "ftp://a.example", "http://", "http://a:99999", "http://a b"]
)
def test_an_address_that_is_none_is_an_error(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(InputError, match="no web address") as caught:
        fetch("acme/osprey", endpoint, tmp_path, {})
    assert caught.value.hint


def raw(*pieces: bytes, packed: bool = False, pause: float = 0, times: int = 1) -> Callable[[Any], None]:
    """Return what answers with these bytes, `times` over, and closes the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        if packed:
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        for _ in range(times):
            for piece in pieces:
                handler.wfile.write(piece)
            time.sleep(pause)

    return answer


@pytest.mark.parametrize("part", ["/revision/", "/tree/"])
@pytest.mark.parametrize(
    "document",
    [b"<html>", b"[]", b"{}", b"null", b"7", b'[1, "x", null]', b'{"a": 1}', b"[" * 5_000, b'[{"type": "file"}]'],
)
def test_an_answer_of_another_shape_is_an_error_or_no_file(
    hub: Hub, tmp_path: Path, part: str, document: bytes
) -> None:
    hub.answers[part] = raw(document)
    try:
        place = fetch("acme/osprey", hub.url, tmp_path / "cache", {})
    except HubError as error:
        assert error.hint  # noqa: PT017  # some shapes are no error
    else:
        assert not [path for path in place.folder.rglob("*") if path.is_file()]


def test_an_answer_without_end_is_given_up_in_bounded_memory(hub: Hub, tmp_path: Path) -> None:
    hub.answers["/revision/"] = raw(b"[" * 65_536, times=4_000)
    tracemalloc.start()
    try:
        with pytest.raises(HubError, match="more than"):
            fetch("acme/osprey", hub.url, tmp_path / "cache", {})
        assert tracemalloc.get_traced_memory()[1] < 4 * patience.MAX_ANSWER_BYTES
    finally:
        tracemalloc.stop()


def test_an_answer_that_is_packed_is_not_unpacked(hub: Hub, tmp_path: Path) -> None:
    hub.answers["/revision/"] = raw(gzip.compress(b"[" * 1_000_000), packed=True)
    with pytest.raises(HubError, match="packed"):
        fetch("acme/osprey", hub.url, tmp_path / "cache", {})


@pytest.mark.parametrize(
    ("part", "pause"), [("/revision/", 30), ("/revision/", 0.2), ("/tree/", 0.2), ("/resolve/", 0.2)]
)
def test_a_hub_that_is_silent_or_crawls_is_given_up(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, pause: float
) -> None:
    monkeypatch.setattr(patience, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(patience, "PROGRESS_SECONDS", 1.0)
    hub.answers[part] = raw(b" ", pause=pause, times=100)
    started = time.monotonic()
    with pytest.raises(HubError):
        fetch("acme/osprey", hub.url, tmp_path / "cache", {})
    assert time.monotonic() - started < 20


def test_a_token_goes_only_where_its_owner_sends_it(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: "hf_secret")
    fetch("acme/osprey", hub.url, tmp_path / "a", {"HF_ENDPOINT": "https://huggingface.co"})
    assert hub.authorised == []
    fetch("acme/osprey", hub.url, tmp_path / "b", {"HF_ENDPOINT": hub.url})
    assert set(hub.authorised) == {"Bearer hf_secret"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a/b", True), ("a/b@main", True), ("a/b@refs/pr/1", True), ("a", False), ("a/b/c", False), ("../x@y z", False)],
)
def test_references(text: str, expected: bool) -> None:
    assert is_reference(text) is expected
