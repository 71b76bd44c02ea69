"""Signed URLs used by an ordinary HTTP client.

The S3 server of the tests checks no signatures of URLs. So a gate stands before it that does, by botocore's own
canonicalisation of the request that really arrived; only what it lets through reaches the server.
"""

import base64
import hmac
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from s3_server import S3Server

from weighbridge.hub.store.port import ByteStore
from weighbridge.shell.hub.store import open_store

_DATA = bytes(range(256)) * 100


class _Gate(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind = ""
    secret = ""

    def _is_signed(self) -> bool:
        query = {name: value[0] for name, value in parse_qs(urlsplit(self.path).query).items()}
        given = query.get("X-Amz-Signature", "")
        base = "&".join(p for p in urlsplit(self.path).query.split("&") if not p.startswith("X-Amz-Signature="))
        names = query.get("X-Amz-SignedHeaders", "").split(";")
        if "host" not in names or not all(self.headers.get(name) for name in names):
            return False
        request = AWSRequest(
            method=self.command,
            url=f"http://{self.headers['Host']}{urlsplit(self.path).path}?{base}",
            headers={name: self.headers[name] for name in names},
        )
        request.context["timestamp"] = query["X-Amz-Date"]
        signer = S3SigV4QueryAuth(Credentials("an-access-key", self.secret), "s3", "us-east-1")
        expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        made = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        fresh = made <= datetime.now(UTC) <= made + timedelta(seconds=int(query["X-Amz-Expires"]))
        return fresh and hmac.compare_digest(expected, given)

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, found = 403, b""
        if self._is_signed():
            inner = http.client.HTTPConnection(self.behind, timeout=30)
            inner.request(self.command, self.path, body=body or None, headers=dict(self.headers.items()))
            response = inner.getresponse()
            status, found = response.status, response.read()
            inner.close()
        self.send_response(status)
        self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found)

    do_GET = do_PUT = do_DELETE = _answer  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        pass


@contextmanager
def _gate(server: S3Server) -> Iterator[str]:
    kind = type("Gate", (_Gate,), {"behind": urlsplit(server.endpoint).netloc, "secret": "a-secret-key"})
    gate = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = Thread(target=gate.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{gate.server_port}"
    finally:
        gate.shutdown()
        thread.join()
        gate.server_close()


@pytest.fixture
def store(s3_server: S3Server) -> Iterator[ByteStore]:
    """A store whose signed URLs lead through the gate. It was filled past the gate."""
    bucket = s3_server.new_bucket()
    open_store(f"s3://{bucket}/hub", environ=s3_server.environ).write("xorbs/ab/x", _DATA)
    with _gate(s3_server) as endpoint:
        yield open_store(f"s3://{bucket}/hub", environ={**s3_server.environ, "AWS_ENDPOINT_URL": endpoint})


def _send(
    url: str | None, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    assert url is not None
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_url_with_a_range_opens_that_range_and_no_other(store: ByteStore) -> None:
    url = store.signed_get("xorbs/ab/x", seconds=60, byte_range=(100, 200))
    assert _send(url, headers={"Range": "bytes=100-199"}) == (206, _DATA[100:200])
    for other in ("bytes=100-200", "bytes=0-199", "bytes=100-", "bytes=0-", "bytes=100-199,0-5"):
        assert _send(url, headers={"Range": other}) == (403, b"")
    assert _send(url) == (403, b""), "without the range it opens nothing"


def test_a_url_without_a_range_opens_the_object(store: ByteStore) -> None:
    url = store.signed_get("xorbs/ab/x", seconds=60)
    assert _send(url) == (200, _DATA)
    assert _send(url, headers={"Range": "bytes=5-6"}) == (206, _DATA[5:7])


def test_a_url_is_good_for_one_key_and_one_method(store: ByteStore) -> None:
    url = store.signed_get("xorbs/ab/x", seconds=60)
    assert url is not None
    assert _send(url.replace("/ab/x", "/ab/y"))[0] == 403
    assert _send(url, "DELETE")[0] == 403
    assert _send(url, "PUT", b"overwritten")[0] == 403
    assert _send(url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))[0] == 403


def test_an_upload_takes_exactly_the_size_that_was_signed(store: ByteStore) -> None:
    upload = store.signed_put("staging/n/1", seconds=60, size_bytes=len(_DATA))
    assert upload is not None
    headers = dict(upload.headers)
    assert _send(upload.url, upload.method, _DATA + b"x")[0] == 403
    assert _send(upload.url, upload.method, _DATA[:-1])[0] == 403
    assert _send(upload.url, "GET", _DATA, headers)[0] == 403
    assert _send(upload.url, upload.method, _DATA, headers)[0] == 200


def test_an_upload_is_bound_to_its_checksum(store: ByteStore) -> None:
    checksum = base64.b64encode(bytes(8)).decode()
    upload = store.signed_put("staging/n/2", seconds=60, size_bytes=3, checksum_crc64nvme=checksum)
    assert upload is not None
    headers = dict(upload.headers)
    assert _send(upload.url, "PUT", b"abc", headers | {"x-amz-checksum-crc64nvme": "AAAAAAAAAAE="})[0] == 403
    assert _send(upload.url, "PUT", b"abc", {"Content-Length": "3"})[0] == 403
    assert _send(upload.url, "PUT", b"abc", headers)[0] == 200


def test_what_was_uploaded_by_a_signed_url_is_an_object(store: ByteStore, s3_server: S3Server) -> None:
    upload = store.signed_put("staging/n/3", seconds=60, size_bytes=len(_DATA))
    assert upload is not None
    assert _send(upload.url, upload.method, _DATA, dict(upload.headers))[0] == 200
    past = open_store(store.place, environ=s3_server.environ)
    assert past.read("staging/n/3") == _DATA


def test_the_requests_that_sweep_are_signed_right(store: ByteStore, s3_server: S3Server) -> None:
    bucket = store.place.split("/")[2]
    s3_server.request("POST", f"/{bucket}/hub/files/begun?uploads")
    s3_server.request("POST", f"/{bucket}/elsewhere/begun?uploads")
    assert store.sweep(older_than_seconds=0) == 1
    assert s3_server.unfinished_uploads(bucket) == ["elsewhere/begun"], "another hub's"
