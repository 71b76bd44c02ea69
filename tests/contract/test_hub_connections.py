"""Connections that say nothing, or only half of something, by real sockets: they are cut, and keep nobody out."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from hub_process import free_port
from huggingface_hub import HfApi
from running_hub import RunningHub, running_hub
from xet_calls import Cas, noise, prepared

from weighbridge.hub.http.connections import ConnectionLimits

MIB = 1024 * 1024
SHORT = ConnectionLimits(head_seconds=1.0, idle_seconds=2.0, unread_seconds=1.5, most=120)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("connections") / "hub", limits=SHORT) as running:
        yield running


@contextmanager
def opened(hub: RunningHub, count: int, sent: bytes = b"", *, receive_bytes: int = 0) -> Iterator[list[socket.socket]]:
    port = int(hub.endpoint.rpartition(":")[2])
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket()
            if receive_bytes:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            one.settimeout(10)
            one.connect(("127.0.0.1", port))
            made.append(one)
            if sent:
                with suppress(OSError):
                    one.sendall(sent)
        yield made
    finally:
        for one in made:
            one.close()


def seconds_until_cut(connection: socket.socket) -> float:
    """Return how long the server keeps the connection open from now on."""
    began = time.monotonic()
    with suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return time.monotonic() - began


def answered(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    return connection.recv(65536)


def drip(connection: socket.socket) -> None:
    for byte in ASKED * 10:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


ASKED = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHost: local"])
def test_a_flood_of_half_open_connections_keeps_no_client_out(hub: RunningHub, sent: bytes) -> None:
    with opened(hub, 300, sent) as flood:
        began = time.monotonic()
        for _ in range(5):
            with httpx2.Client() as client:
                assert client.get(f"{hub.endpoint}/health/live").status_code == 200
        assert time.monotonic() - began < 3
        # The oldest made room for the later ones; the last is cut when its time is over.
        assert seconds_until_cut(flood[0]) < 0.5
        assert seconds_until_cut(flood[-1]) < 3


def test_a_head_that_drips_byte_by_byte_is_cut(hub: RunningHub) -> None:
    with opened(hub, 1) as (connection,):
        began = time.monotonic()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            drip(connection)
        assert 0.8 < time.monotonic() - began < 2.5


def test_the_head_of_a_later_request_may_not_drip_either(hub: RunningHub) -> None:
    with opened(hub, 1) as (connection,):
        assert answered(connection, ASKED).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /health/live HT")
        assert 0.8 < seconds_until_cut(connection) < 1.9


def test_an_idle_connection_is_kept_for_a_while_and_then_cut(hub: RunningHub) -> None:
    with opened(hub, 1) as (connection,):
        for _ in range(3):
            assert answered(connection, ASKED).startswith(b"HTTP/1.1 200")
            time.sleep(1.2)  # longer than a head may take
        assert seconds_until_cut(connection) < 2


def test_whoever_is_being_answered_is_not_cut_for_others(hub: RunningHub) -> None:
    body = b'{"content": "---\\n---", "repoType": "model"}'
    head = b"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    with opened(hub, SHORT.most, head + body[:1]) as busy:
        # A body may take longer than a head.
        time.sleep(1.5)
        with opened(hub, 1) as (refused,):
            # All that there may be are busy: there is nobody to make room, and that is said.
            assert refused.recv(65536).startswith(b"HTTP/1.1 503")
        assert answered(busy[0], body[1:]).startswith(b"HTTP/1.1 200")
        with httpx2.Client() as client:
            assert client.get(f"{hub.endpoint}/health/live").status_code == 200


@pytest.fixture
def large(hub: RunningHub, tmp_path: Path) -> tuple[bytes, bytes]:
    """Return requests for 16 MiB: of a whole file, and of a range of a xorb."""
    token = hub.user("alice")
    api = HfApi(endpoint=hub.endpoint, token=token)
    api.create_repo("alice/m", exist_ok=True)
    made = prepared(noise(16 * MIB, seed=1))
    cas = Cas.of(hub.endpoint, token, "alice/m")
    made.send(cas)
    (tmp_path / "w.bin").write_bytes(made.data)
    api.upload_file(path_or_fileobj=tmp_path / "w.bin", path_in_repo="w.bin", repo_id="alice/m")
    told = cas.ask("GET", f"/v1/reconstructions/{made.hash}").document()
    (fetch, *_), *_ = told["fetch_info"].values()  # type: ignore[attr-defined]
    span = fetch["url_range"]
    assert span["end"] - span["start"] > 15 * MIB
    path = fetch["url"].removeprefix(hub.endpoint)
    end = "Host: localhost\r\nConnection: close\r\n\r\n"
    return (
        f"GET /alice/m/resolve/main/w.bin HTTP/1.1\r\n{end}".encode(),
        f"GET {path} HTTP/1.1\r\nRange: bytes={span['start']}-{span['end']}\r\n{end}".encode(),
    )


def test_a_download_may_take_longer_than_anything_that_waits(hub: RunningHub, large: tuple[bytes, bytes]) -> None:
    with opened(hub, 2, receive_bytes=65536) as both:
        for connection, asked in zip(both, large, strict=True):
            connection.sendall(asked)
        got = [0, 0]
        for _ in range(60):
            for number, connection in enumerate(both):
                for _ in range(6):
                    got[number] += len(connection.recv(65536))
            time.sleep(3 / 60)
        for number, connection in enumerate(both):
            while block := connection.recv(MIB):
                got[number] += len(block)
        assert min(got) > 15 * MIB


def test_whoever_reads_nothing_is_cut_and_that_is_no_fault_of_the_server(
    hub: RunningHub, large: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with opened(hub, 2, receive_bytes=65536) as both:
        for connection, asked in zip(both, large, strict=True):
            connection.sendall(asked)
        time.sleep(4)
        for connection in both:
            got = 0
            with suppress(ConnectionResetError):
                while block := connection.recv(MIB):
                    got += len(block)
            assert got < 15 * MIB
    # Nor is it one when somebody leaves in the middle.
    with opened(hub, 2, receive_bytes=65536) as both:
        for connection, asked in zip(both, large, strict=True):
            connection.sendall(asked)
            assert connection.recv(1000)
    time.sleep(0.5)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


def test_a_flood_does_not_use_up_the_files_of_a_process_that_may_have_few(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    served = f"{sys.executable} -m weighbridge hub serve --folder {tmp_path}/hub --port {port} --workers 1 --quiet"
    with log.open("wb") as errors:
        # A hard limit, which no process can raise.
        process = subprocess.Popen(
            ["bash", "-c", f"ulimit -n 340; exec {served}"],
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        assert b"serving at" in process.stdout.readline()
        with ExitStack() as flood, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for _ in range(600):
                connection = flood.enter_context(socket.create_connection(("127.0.0.1", port)))
                connection.sendall(b"GET /health/live HT")
            assert client.get("/health/ready").status_code == 200
            assert len(list(Path(f"/proc/{process.pid}/fd").iterdir())) < 340
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()
    assert "Too many open files" not in log.read_text()
