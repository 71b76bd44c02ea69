"""A real S3 server on loopback (moto's, in a process of its own), for every test that asks for `s3_server`.

Use it as::

    def test_something(s3_server: S3Server) -> None:
        store = open_store(f"s3://{s3_server.new_bucket()}/prefix", environ=s3_server.environ)

It checks no signatures of URLs, and takes any credentials.
"""

import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class S3Server:
    """One running server.

    Attributes:
        endpoint: its URL.
        environ: what an S3 client finds in its environment.
        process: of the server.
    """

    endpoint: str
    process: subprocess.Popen[bytes]
    environ: Mapping[str, str]

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"hub-{secrets.token_hex(6)}"
        self.request("PUT", f"/{name}")
        return name

    def request(self, method: str, path: str, data: bytes | None = None, **headers: str) -> bytes:
        """Send a request that is not signed, and return the answer's body."""
        request = urllib.request.Request(f"{self.endpoint}{path}", data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body: bytes = answer.read()
        return body

    def unfinished_uploads(self, bucket: str) -> list[str]:
        """Return the keys of uploads in parts that were neither completed nor aborted."""
        found = ElementTree.fromstring(self.request("GET", f"/{bucket}?uploads"))
        return [key.text or "" for key in found.iter() if key.tag.rpartition("}")[2] == "Key"]

    def data(self) -> dict[str, Any]:
        """Return what the server keeps, as it tells itself."""
        kept: dict[str, Any] = json.loads(self.request("GET", "/moto-api/data.json"))
        return kept


def start_s3_server(log: Path) -> S3Server:
    """Start a server on a free port of loopback and wait for it. The caller ends `process`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    endpoint = f"http://127.0.0.1:{port}"
    environ = {
        "AWS_ACCESS_KEY_ID": "an-access-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
    }
    server, deadline = S3Server(endpoint, process, environ), time.monotonic() + _START_SECONDS
    while True:
        try:
            server.data()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise AssertionError(f"the S3 server did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
        else:
            return server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server of this test process."""
    server = start_s3_server(tmp_path_factory.mktemp("s3-server") / "server.log")
    yield server
    server.process.kill()
    server.process.wait()
