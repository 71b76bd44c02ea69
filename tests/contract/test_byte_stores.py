import errno
import os
import resource
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3_server import S3Server, start_s3_server

from weighbridge.errors import HubError
from weighbridge.hub.store.port import ByteStore, ByteStoreError, MissingObjectError
from weighbridge.shell.hub.store import open_store
from weighbridge.testing import ByteStoreSuite

_MIB = 1024 * 1024
# Writes for ever, telling its parent after every block that it took; never finishes an object.
_WRITER = """
import sys
from weighbridge.shell.hub.store import open_store
def blocks():
    while True:
        print("block", flush=True)
        yield b"w" * (4 << 20)
        sys.stdin.readline()
open_store(sys.argv[1]).write("xorbs/ab/killed", blocks())
"""


class TestFolderByteStore(ByteStoreSuite):
    @pytest.fixture(autouse=True)
    def _open(self, tmp_path: Path) -> None:
        self._url = str(tmp_path / "bytes")

    def store(self) -> ByteStore:
        return open_store(self._url)


class TestInMemoryByteStore(ByteStoreSuite):
    @pytest.fixture(autouse=True)
    def _open(self) -> None:
        self._store = open_store("memory:")

    def store(self) -> ByteStore:
        return self._store


class TestS3ByteStore(ByteStoreSuite):
    @pytest.fixture(autouse=True)
    def _open(self, s3_server: S3Server) -> None:
        self._server, self._bucket = s3_server, s3_server.new_bucket()

    def store(self) -> ByteStore:
        return open_store(f"s3://{self._bucket}/a/prefix", environ=self._server.environ)

    def test_a_hundred_megabytes_go_in_parts_and_come_back(self) -> None:
        store, block = self.store(), secrets.token_bytes(_MIB)
        assert store.write("files/big", (block for _ in range(100))) == 100 * _MIB
        assert store.size("files/big") == 100 * _MIB
        assert self._server.unfinished_uploads(self._bucket) == []
        assert all(found == block * 4 for found in store.open_blocks("files/big"))
        assert store.read_range("files/big", 33 * _MIB - 5, 33 * _MIB + 5) == block[-5:] + block[:5]

    def test_one_large_buffer_goes_in_parts(self) -> None:
        store, data = self.store(), secrets.token_bytes(17 * _MIB)
        assert store.write("files/buffer", memoryview(data)) == len(data)
        assert store.read("files/buffer") == data

    def test_a_failed_upload_leaves_no_parts(self) -> None:
        def blocks() -> Iterator[bytes]:
            yield b"x" * (40 * _MIB)
            raise RuntimeError("the source failed")

        with pytest.raises(RuntimeError, match="the source failed"):
            self.store().write("files/failed", blocks())
        assert self._server.unfinished_uploads(self._bucket) == []

    def test_the_source_may_read_from_the_same_store(self) -> None:
        store, data = self.store(), secrets.token_bytes(20 * _MIB)
        store.write("xorbs/ab/source", data)
        assert store.write("files/copy", store.open_blocks("xorbs/ab/source")) == len(data)
        assert store.read("files/copy") == data

    def test_a_server_that_goes_away_in_the_middle_is_an_error(self, tmp_path: Path) -> None:
        own = start_s3_server(tmp_path / "own.log")
        try:
            store = open_store(f"s3://{own.new_bucket()}", environ=own.environ)

            def blocks() -> Iterator[bytes]:
                for number in range(200):
                    if number == 20:
                        own.process.kill()
                        own.process.wait()
                    yield b"x" * (4 * _MIB)

            with pytest.raises(HubError) as caught:
                store.write("files/lost", blocks())
        finally:
            own.process.kill()
            own.process.wait()
        assert caught.value.place.endswith("/files/lost")
        assert "network" in caught.value.hint

    def test_the_prefix_keeps_two_hubs_in_one_bucket_apart(self) -> None:
        other = open_store(f"s3://{self._bucket}/another", environ=self._server.environ)
        self.store().write("xorbs/ab/one", b"1")
        assert other.size("xorbs/ab/one") is None
        assert list(other.list()) == []

    def test_a_killed_writer_leaves_nothing_visible_and_its_parts_are_swept(self) -> None:
        store = self.store()
        with _writer(f"s3://{self._bucket}/a/prefix", dict(self._server.environ)) as process:
            deadline = time.monotonic() + 30
            while not self._server.unfinished_uploads(self._bucket):
                assert time.monotonic() < deadline, "no upload in parts was begun"
                _take(process)
            assert store.size("xorbs/ab/killed") is None
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert store.size("xorbs/ab/killed") is None
        assert list(store.list()) == []
        # This server dates every upload 2010, so their age is tested apart (tests/unit/shell/test_s3_store.py).
        assert store.sweep(older_than_seconds=3600) == 1
        assert self._server.unfinished_uploads(self._bucket) == []


def _writer(url: str, environ: dict[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environ},
    )


def _take(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"block\n"
    process.stdin.write(b"\n")
    process.stdin.flush()


def test_a_killed_writer_leaves_nothing_visible_in_a_folder(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/bytes")
    with _writer(str(tmp_path / "bytes"), {}) as process:
        for _ in range(3):
            _take(process)
        assert store.sweep(older_than_seconds=-3600) == 0, "its writer is at work"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert store.size("xorbs/ab/killed") is None
    assert list(store.list()) == []
    assert store.sweep(older_than_seconds=3600) == 0
    assert store.sweep(older_than_seconds=-3600) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]).returncode:
        pytest.skip("only root mounts a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_an_error_with_a_hint_and_loses_nothing(tiny_disk: Path) -> None:
    store = open_store(str(tiny_disk / "bytes"))
    store.write("xorbs/ab/kept", b"k" * 1000)
    with pytest.raises(HubError, match="No space left") as caught:
        store.write("xorbs/ab/large", iter([b"x" * 65536] * 64))
    assert caught.value.place.endswith("xorbs/ab/large")
    assert "Free some space" in caught.value.hint
    assert store.size("xorbs/ab/large") is None
    assert store.read("xorbs/ab/kept") == b"k" * 1000
    assert store.write("xorbs/ab/after", b"x" * _MIB) == _MIB, "the room of what failed is free again"


def test_a_limit_on_file_sizes_is_an_error_with_a_hint(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(HubError, match=os.strerror(errno.EFBIG)) as caught:
            store.write("files/large", b"x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "ulimit" in caught.value.hint
    assert list(store.list()) == []
    assert store.sweep(older_than_seconds=-3600) == 0


def test_two_processes_write_and_delete_in_one_folder(tmp_path: Path) -> None:
    """Deleting takes empty folders away just when the other process wants to write there."""
    work = (
        "import sys; from weighbridge.shell.hub.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "for n in range(200):\n"
        "    key = f'staging/{n % 3}/{sys.argv[2]}'\n"
        "    store.write(key, b'x' * n)\n"
        "    assert store.read(key) == b'x' * n\n"
        "    store.delete([key])\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", work, str(tmp_path), name]) for name in "ab"]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert [path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / ".partial")] == []


def test_links_planted_in_a_folder_are_not_objects(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    store = open_store(str(tmp_path / "bytes"))
    store.write("files/ab/real", b"x")
    (tmp_path / "bytes/files/ab/link").symlink_to(secret)
    (tmp_path / "bytes/files/folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "bytes/files/ab/pipe")
    assert [found.key for found in store.list()] == ["files/ab/real"]
    for key in ("files/ab/link", "files/ab/pipe", "files/ab"):
        assert store.size(key) is None
        assert store.local_path(key) is None
        with pytest.raises((MissingObjectError, ByteStoreError)):
            store.read(key)


def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HubError) as caught:
        open_store(str(tmp_path / "file")).check()
    assert str(tmp_path / "file") in caught.value.place
    with pytest.raises(HubError):
        open_store("/proc/weighbridge").check()


def test_a_bucket_that_is_not_there_is_said_at_the_start(s3_server: S3Server) -> None:
    with pytest.raises(HubError, match="NoSuchBucket") as caught:
        open_store("s3://never-made", environ=s3_server.environ).check()
    assert "bucket" in caught.value.hint
    assert caught.value.place.startswith("s3://never-made/probe/")


def test_a_store_that_does_not_answer_is_said_at_the_start(s3_server: S3Server) -> None:
    environ = {**s3_server.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    started = time.monotonic()
    with pytest.raises(HubError) as caught:
        open_store("s3://bucket", environ=environ).check()
    assert time.monotonic() - started < 30
    assert "AWS_ENDPOINT_URL" in caught.value.hint
    assert "a-secret-key" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__}"


@pytest.mark.parametrize(
    "url",
    ["", "s3://", "s3://UPPER", "s3://a_b/c", "s3://bucket/../x", "gs://bucket", "file://host/x", "a\0b", "http://x"],
)
def test_what_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(HubError) as caught:
        open_store(url, environ={})
    assert caught.value.hint


def test_half_of_the_credentials_is_refused() -> None:
    with pytest.raises(HubError, match="missing"):
        open_store("s3://bucket", environ={"AWS_ACCESS_KEY_ID": "a"})


_PEAK = """
import resource, sys
from weighbridge.shell.hub.store import open_store
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store = open_store(sys.argv[1])
store.check()
before, block = peak(), b"x" * (1 << 20)
store.write("files/large", (block for _ in range(160)))
assert b"".join(store.open_blocks("files/large", end=9 << 20)) == block * 9
print(peak() - before)
"""


def test_memory_is_bounded_while_a_large_object_goes_through(tmp_path: Path, s3_server: S3Server) -> None:
    for url, most_mib in ((str(tmp_path), 32), (f"s3://{s3_server.new_bucket()}", 110)):
        command = [sys.executable, "-c", _PEAK, url]
        done = subprocess.run(
            command, capture_output=True, check=True, text=True, env={**os.environ, **s3_server.environ}
        )
        assert int(done.stdout) < most_mib * 1024, url


def test_sweeping_disturbs_no_writer(tmp_path: Path) -> None:
    store, done = open_store(str(tmp_path)), threading.Event()

    def work(number: int) -> None:
        for at in range(60):
            store.write(f"files/{number}/{at}", b"x" * 1000)

    with ThreadPoolExecutor(max_workers=5) as pool:
        writers = [pool.submit(work, number) for number in range(4)]
        sweeper = pool.submit(lambda: [store.sweep(older_than_seconds=-3600) for _ in iter(done.is_set, True)])
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        assert set(sweeper.result()) == {0}
    assert len(list(store.list())) == 240


def test_a_reader_keeps_its_bytes_while_the_object_is_deleted(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write("files/ab/read", b"0123456789")
    blocks = store.open_blocks("files/ab/read", block_bytes=4)
    first = next(blocks)
    store.delete(["files/ab/read"])
    assert first + b"".join(blocks) == b"0123456789"


def test_one_key_written_by_many_threads_is_always_whole(tmp_path: Path) -> None:
    store, data = open_store(str(tmp_path)), secrets.token_bytes(300_000)
    store.write("files/ab/same", data)
    writers = [
        threading.Thread(target=lambda: [store.write("files/ab/same", data) for _ in range(20)]) for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert store.read("files/ab/same") == data
