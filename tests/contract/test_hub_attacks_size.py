"""Too much of everything sent to the real server processes: refused in bounded memory, and nobody else has to wait."""

import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
from attacked_hub import Attacker
from hub_process import HubProcess, serving
from xet_calls import Cas, ask, noise, prepared

MIB = 1024 * 1024


def test_a_commit_of_a_gigabyte_takes_little_memory(attacked: HubProcess, mallory: str, own: str) -> None:
    attacker = Attacker(attacked, mallory)

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
    with socket.create_connection(("127.0.0.1", attacked.port)) as connection:
        head = f"POST /api/models/{own}/commit/main HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {mallory}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 1073741824\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert attacked.resident_bytes() < 300 * MIB


def test_what_is_packed_small_is_not_unpacked_large(attacked: HubProcess, mallory: str, own: str) -> None:
    attacker = Attacker(attacked, mallory)
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
    cas = Cas.of(attacked.endpoint, mallory, own)
    for path in ("/v1/shards", f"/v1/xorbs/default/{'0' * 64}"):
        with suppress(OSError):
            assert ask("POST", cas.url + path, bomb, Authorization=f"Bearer {cas.token}", **packed).status in (400, 413)
    assert attacker.ask("GET", "/api/whoami-v2").status_code == 200
    assert attacked.resident_bytes() < 300 * MIB


def test_slow_senders_keep_nobody_from_uploading(
    attacked: HubProcess, mallory: str, alice: str, own: str, private: str
) -> None:
    cas = Cas.of(attacked.endpoint, mallory, own)
    base = cas.url.removeprefix(attacked.endpoint)
    slow = []
    try:
        for path, count in ((f"{base}/v1/shards", 40), (f"{base}/v1/xorbs/default/{'1' * 64}", 40)):
            for _ in range(count):
                connection = socket.create_connection(("127.0.0.1", attacked.port))
                connection.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {cas.token}\r\n"
                    "Content-Length: 1000000\r\n\r\nabc".encode()
                )
                slow.append(connection)
        for _ in range(100):
            connection = socket.create_connection(("127.0.0.1", attacked.port))
            connection.sendall(b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
            slow.append(connection)
        quick = Cas.of(attacked.endpoint, alice, private)
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


def test_bodies_that_stop_before_their_end_wait_on_the_disk(
    attacked: HubProcess, mallory: str, own: str, alice: str
) -> None:
    before = attacked.resident_bytes()
    lfs = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": "a" * 64, "size": 8 * MIB}]}
    (named,) = Attacker(attacked, mallory).ask("POST", f"/{own}.git/info/lfs/objects/batch", json=lfs).json()["objects"]
    upload = named["actions"]["upload"]["href"].removeprefix(attacked.endpoint)
    # What anybody may send, and what only somebody with a token may.
    paths = (
        [("POST", "/api/validate-yaml")] * 150
        + [("POST", f"/{own}.git/git-upload-pack")] * 50
        + [("PUT", upload)] * 100
    )
    slow = []
    try:
        for method, path in paths:
            connection = socket.create_connection(("127.0.0.1", attacked.port))
            size = 8 * MIB if method == "PUT" else MIB
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
            connection.sendall(head.encode() + b"{" * (MIB - 1))
            slow.append(connection)
        time.sleep(1.5)
        # Held whole, they would take 300 MiB; what arrives before its request is looked at is in memory for a moment.
        assert attacked.resident_bytes() - before < 180 * MIB
        assert Attacker(attacked, alice).ask("GET", "/api/whoami-v2").status_code == 200
    finally:
        for connection in slow:
            connection.close()
