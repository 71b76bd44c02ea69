"""A hub that answers what a test chooses, and one that pulls from it."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from running_hub import RunningHub, Silent, running_hub
from sqlalchemy import func, select

from weighbridge.errors import WeighbridgeError
from weighbridge.hub.database.schema import content, ref
from weighbridge.hub.mirror.errors import SourceError
from weighbridge.shell.hub import mirror_files, mirror_http
from weighbridge.shell.hub.mirror_pull import PullWish, pull

INFO = {"id": "alice/m", "private": False, "gated": False}
COMMIT = "c" * 40
LARGE = b"large" * 1000
SHA256 = hashlib.sha256(LARGE).hexdigest()
Give = Callable[[BaseHTTPRequestHandler], None]


def told(body: bytes | object, *, status: int = 200, **headers: str) -> Give:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def give(to: BaseHTTPRequestHandler) -> None:
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.send_header("Content-Length", str(len(data)))
        to.end_headers()
        to.wfile.write(data)

    return give


def endless(part: bytes, **headers: str) -> Give:
    def give(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        while True:
            to.wfile.write(part * 4096)

    return give


@dataclass(slots=True, kw_only=True)
class Evil:
    """A source whose answers are chosen by the first part of the path that is named."""

    here: RunningHub
    endpoint: str = ""
    answers: dict[str, Give] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def pull(self, **wish: Any) -> None:
        named = {"address": self.endpoint, "kind": "model", "full_name": "alice/m", "target": "alice/m", **wish}
        pull(self.here.hub, PullWish(**named), token="", progress=Silent())

    def is_refused(self, error: type[WeighbridgeError] = SourceError, match: str | None = None) -> None:
        before, began = self.there(), time.monotonic()
        with pytest.raises(error, match=match) as caught:
            self.pull()
        assert len(str(caught.value)) < 2000
        assert time.monotonic() - began < 10
        assert self.there() == before

    def there(self) -> tuple[int, int]:
        """Return how many refs and large files there are."""
        with self.here.hub.database.read() as connection:
            refs = connection.execute(select(func.count()).select_from(ref)).scalar_one()
            return int(refs), int(connection.execute(select(func.count()).select_from(content)).scalar_one())


@contextmanager
def evil_source(here: RunningHub) -> Iterator[Evil]:
    evil = Evil(here=here)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            evil.asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            for part, give in evil.answers.items():
                if part in self.path:
                    try:
                        give(self)
                    except OSError:
                        self.close_connection = True
                    return
            told(b"", status=404)(self)

        do_POST = do_GET  # noqa: N815 - as `http.server` calls it

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    evil.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield evil
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture(scope="module")
def pulling_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("pulled") / "hub") as running:
        running.user("alice")
        yield running


@pytest.fixture
def evil(pulling_hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evil]:
    for module in (mirror_files, mirror_http):
        monkeypatch.setattr(module, "pause", lambda attempt: None)
    monkeypatch.setattr(mirror_http, "MAX_JSON_BYTES", 2**20)
    with evil_source(pulling_hub) as source:
        source.answers["/api/models/alice/m/refs"] = told(
            {"branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": COMMIT}], "tags": []}
        )
        source.answers["/commits/"] = told(
            [{"id": COMMIT, "title": "t", "message": "", "date": "2026-01-01T00:00:00Z"}]
        )
        yield source
    source.answers.clear()
