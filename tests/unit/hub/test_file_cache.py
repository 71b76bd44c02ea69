import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from weighbridge.errors import DigestMismatchError, HubError
from weighbridge.hub.store.materialised import FileCache


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _keep(cache: FileCache, data: bytes) -> str:
    with cache.writer(_sha256(data), len(data)) as writer:
        for at in range(0, len(data), 1000):
            writer.write(data[at : at + 1000])
    return _sha256(data)


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    return FileCache(tmp_path / "cache", budget_bytes=10_000)


def test_a_file_is_there_once_it_is_whole(cache: FileCache) -> None:
    data = b"whole" * 500
    assert cache.path(_sha256(data)) is None
    with cache.writer(_sha256(data), len(data)) as writer:
        writer.write(data[:7])
        writer.write(memoryview(data)[7:])
        assert cache.path(_sha256(data)) is None
    path = cache.path(_sha256(data))
    assert path is not None
    assert path.read_bytes() == data
    assert _keep(cache, data) == _sha256(data), "again is no harm"


def test_an_empty_file_can_be_kept(cache: FileCache) -> None:
    path = cache.path(_keep(cache, b""))
    assert path is not None
    assert path.read_bytes() == b""


@pytest.mark.parametrize("data", [b"wrong", b"shor", b"longer", b""])
def test_other_bytes_than_promised_are_not_kept(cache: FileCache, tmp_path: Path, data: bytes) -> None:
    def write() -> None:
        with cache.writer(_sha256(b"right"), 5) as writer:
            writer.write(data)

    with pytest.raises(DigestMismatchError):
        write()
    assert cache.path(_sha256(b"right")) is None
    assert _bytes_in(tmp_path) == 0


def test_a_failing_source_leaves_nothing(cache: FileCache, tmp_path: Path) -> None:
    def write() -> None:
        with cache.writer(_sha256(b"right"), 5) as writer:
            writer.write(b"rig")
            raise RuntimeError("source")

    with pytest.raises(RuntimeError, match="source"):
        write()
    assert cache.path(_sha256(b"right")) is None
    assert _bytes_in(tmp_path) == 0


def test_the_least_lately_used_leave_first_and_the_budget_holds(cache: FileCache, tmp_path: Path) -> None:
    names = []
    for number in range(4):
        names.append(_keep(cache, bytes([number]) * 2500))
        time.sleep(0.01)
    assert cache.path(names[0]) is not None, "used again, so it is the youngest"
    time.sleep(0.01)
    names.append(_keep(cache, b"new" * 1000))
    assert [cache.path(name) is not None for name in names] == [True, False, False, True, True]
    assert _bytes_in(tmp_path) <= 10_000


def test_room_is_made_on_request(cache: FileCache, tmp_path: Path) -> None:
    for number in range(3):
        _keep(cache, bytes([number]) * 3000)
    assert cache.evict() == 0
    assert cache.evict(room_bytes=4000) == 3000
    assert cache.evict(room_bytes=10_000) == 6000
    assert _bytes_in(tmp_path) == 0


def test_what_is_being_written_stays_and_counts(cache: FileCache) -> None:
    old, data = _keep(cache, b"o" * 6000), b"n" * 8000
    with cache.writer(_sha256(data), 8000) as writer:
        assert cache.path(old) is None, "its room was taken at the start"
        writer.write(data[:10])
        assert cache.evict(room_bytes=10_000) == 0
        _keep(cache, b"small")
        assert FileCache(cache._folder, budget_bytes=10_000).evict() == 0
        writer.write(data[10:])
    assert cache.path(_sha256(data)) is not None


def test_a_file_larger_than_the_budget_is_refused(cache: FileCache) -> None:
    assert cache.fits(10_000)
    assert not cache.fits(10_001)
    with pytest.raises(HubError, match="larger than the whole cache"), cache.writer("0" * 64, 10_001):
        pass


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n", "/" + "0" * 63])
def test_only_digests_are_names(cache: FileCache, name: str) -> None:
    with pytest.raises(HubError, match="SHA-256"):
        cache.path(name)
    with pytest.raises(HubError, match="SHA-256"), cache.writer(name, 1):
        pass


def test_an_evicted_file_is_read_to_its_end(cache: FileCache) -> None:
    path = cache.path(_keep(cache, b"r" * 5000))
    assert path is not None
    with path.open("rb") as reader:
        cache.evict(room_bytes=10_000)
        assert not path.exists()
        assert reader.read() == b"r" * 5000


def test_the_leavings_of_a_killed_writer_go(cache: FileCache, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from weighbridge.hub.store.materialised import FileCache\n"
        "with FileCache(Path(sys.argv[1]), budget_bytes=10_000).writer('0' * 64, 9000) as writer:\n"
        "    writer.write(b'x'); print('begun', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        cache.evict(room_bytes=10_000)
        assert _bytes_in(tmp_path) == 9000, "its writer lives"
        process.send_signal(signal.SIGKILL)
        process.wait()
    cache.evict()
    assert _bytes_in(tmp_path) == 0


def test_many_writers_keep_the_budget_together(tmp_path: Path) -> None:
    caches = [FileCache(tmp_path / "cache", budget_bytes=50_000) for _ in range(4)]

    def work(number: int) -> int:
        data = bytes([number % 7]) * 9000
        _keep(caches[number % 4], data)
        return _bytes_in_finished(tmp_path)

    with ThreadPoolExecutor(max_workers=4) as pool:
        assert max(pool.map(work, range(60))) <= 50_000


def _bytes_in_finished(folder: Path) -> int:
    # Nothing leaves the cache while its lock is held: what is counted is there at one moment.
    with (folder / "cache/.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return sum(path.stat().st_size for path in folder.glob("cache/??/*"))


def test_a_lock_of_another_process_is_waited_for(cache: FileCache, tmp_path: Path) -> None:
    _keep(cache, b"x")
    descriptor = os.open(tmp_path / "cache/.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(_keep, cache, b"y")
        time.sleep(0.1)
        assert not waiting.done()
        os.close(descriptor)
        assert waiting.result(timeout=10) == _sha256(b"y")
