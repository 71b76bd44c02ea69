"""Hostile HTTP sent to the real server processes: never two requests of one, no foreign host, headers and log lines whole."""

# ruff: noqa: E501 - a hostile request is read as it is sent

import json
import re
import time

import pytest
from attacked_hub import Attacker, commit_lines, raw_answer, small_file
from hub_process import HubProcess

MIB = 1024 * 1024


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
def test_malformed_http_is_refused_and_never_read_as_two_requests(attacked: HubProcess, sent: bytes) -> None:
    received = raw_answer(attacked, sent, seconds=2)
    assert received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")) or not received, received[:300]
    assert len(re.findall(rb"^HTTP/1\.", received, re.MULTILINE)) <= 1
    assert b"Traceback" not in received
    assert b".py" not in received


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1@evil.example", "127.0.0.1:80@evil.example", "localhost:x", "localhost.evil.example",
             "127.0.0.1:8900/evil", "localhost:80:evil.example", "127.0.0.1:1\x0b", "[::1", ""]
)  # fmt: skip
def test_another_host_is_never_written_into_an_address(attacked: HubProcess, own: str, host: str) -> None:
    received = raw_answer(
        attacked,
        f"GET /api/models/{own}/xet-read-token/main HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(),
    )
    assert received.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), received[:300]
    assert b"casUrl" not in received


def test_what_a_stranger_wrote_stays_in_its_place_in_headers(attacked: HubProcess, mallory: str, own: str) -> None:
    attacker = Attacker(attacked, mallory)
    name = 'a"; filename=evil.sh; x=".txt'
    assert commit_lines(attacker, own, small_file(name), small_file("ünï\u202ecode.txt")).status_code == 200
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


def test_every_request_leaves_one_line_whatever_it_holds(attacked: HubProcess, own: str) -> None:
    before = attacked.log.read_bytes().count(b"\n")
    mark = f"marked-{time.time_ns()}"
    sent = [
        b"GET /api/models/x/y?a=%0a HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + agent + b"\r\nConnection: close\r\n\r\n"
        for agent in (mark.encode() + b"\xff\xfe\xed\xa0\x80", mark.encode() + b" \x1b[31m", mark.encode() + b'","level":"x')
    ]  # fmt: skip
    for request in sent:
        raw_answer(attacked, request)
    deadline = time.monotonic() + 5
    while attacked.log.read_bytes().count(b"\n") < before + len(sent) and time.monotonic() < deadline:
        time.sleep(0.05)
    lines = attacked.log.read_bytes().splitlines()[before:]
    assert len(lines) == len(sent)
    for line in lines:
        assert json.loads(line)["level"] == "info"
        assert b"\x1b" not in line
        assert b"trace" not in line
