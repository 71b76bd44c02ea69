"""The hub's processes, and the machine under them: what ends them, what they may not have, a disk that is full."""

import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from hub_process import HubProcess, serving


def _wait(until: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def _workers(hub: HubProcess) -> list[int]:
    assert hub.process is not None
    pid = hub.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _serve(folder: Path, *options: str, **named: object) -> subprocess.CompletedProcess[str]:
    """Try to serve what cannot be served."""
    command = [sys.executable, "-m", "weighbridge", "hub", "serve", "--folder", str(folder), "--port", "0", *options]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command, env=environ, capture_output=True, text=True, timeout=60, check=False, **named
    )


def test_a_worker_that_cannot_start_again_yet_does_not_end_the_server(tmp_path: Path) -> None:
    with serving(HubProcess(folder=tmp_path / "hub", workers=2)) as hub:
        assert hub.process is not None
        time.sleep(2.2)  # what ends sooner than that was never well
        waiting = hub.folder / "waiting"
        # Where it needs a folder there is a file: so a worker cannot serve, whoever it is.
        for attempt in range(100):
            if waiting.is_dir():
                waiting.rename(tmp_path / f"aside-{attempt}")
            try:
                waiting.touch(exist_ok=False)
            except FileExistsError:
                continue  # the server was faster: it makes the folder anew
            break
        first, second = _workers(hub)
        os.kill(first, signal.SIGKILL)
        _wait(lambda: "cannot serve" in hub.errors(), "the next worker failed")
        time.sleep(0.5)
        assert hub.process.poll() is None
        # Each on a connection of its own, of which none may wait for the worker that is not there.
        for _ in range(10):
            assert httpx2.get(f"{hub.endpoint}/health/ready", timeout=20).status_code == 200
        waiting.unlink()
        _wait(lambda: len(set(_workers(hub)) - {first, second}) == 1, "there are two workers again")
        assert f"worker {first} ended (killed by signal 9)" in hub.errors()
        assert hub.stop() == 0


def test_a_folder_for_waiting_bodies_that_was_removed_comes_back(tmp_path: Path) -> None:
    with serving(HubProcess(folder=tmp_path / "hub")) as hub:
        waiting = hub.folder / "waiting"
        _wait(waiting.is_dir, "it is there")
        shutil.rmtree(waiting)
        _wait(waiting.is_dir, "it is there again")


def test_a_process_that_is_stuck_ends_soon_after_it_was_told_to() -> None:
    stuck = (
        "import time; from weighbridge.shell.hub import serve; serve._STOP_SECONDS = 0.5; "
        "serve._stop_in_time(); time.sleep(60)"
    )
    began = time.monotonic()
    assert subprocess.run([sys.executable, "-c", stuck], timeout=50, check=False).returncode == 0
    assert time.monotonic() - began < 20


def test_stopped_at_the_moment_of_its_start_it_leaves_no_process(tmp_path: Path) -> None:
    hub = HubProcess(folder=tmp_path / "hub", workers=4)
    for _ in range(3):
        hub.start()
        assert hub.stop() == 0


def test_whatever_the_umask_strangers_write_to_nothing_in_the_folder(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with serving(HubProcess(folder=tmp_path / "hub")) as hub:
            found = {path: path.stat().st_mode for path in hub.folder.rglob("*")}
    finally:
        os.umask(old)
    assert found
    assert [path for path, mode in found.items() if mode & stat.S_IWOTH] == []


def test_too_few_files_for_any_connection_are_refused_at_the_start(tmp_path: Path) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    done = _serve(tmp_path / "hub", preexec_fn=few)
    assert done.returncode == 2, done.stderr
    assert "ulimit -n" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "options",
    [
        ("--database", "postgresql://user:hidden@127.0.0.1:1/name"),
        ("--database", "postgresql://user:hidden@:port/name"),
        ("--store", "s3:/bucket"),
        ("--folder", "/proc/none"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_sentence(tmp_path: Path, options: tuple[str, str], workers: str) -> None:
    done = _serve(tmp_path / "hub", *options, "--workers", workers)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == ["error", "next"]
    assert "hidden" not in done.stderr


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with serving(HubProcess(folder=tmp_path / "hub")) as hub:
        done = _serve(tmp_path / "other", "--port", str(hub.port))
    assert done.returncode == 2
    assert "--port" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MiB; only an administrator may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_said_so_reading_goes_on_and_so_does_writing_once_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    from huggingface_hub import HfApi

    hub = HubProcess(folder=small_disk / "hub", workers=2)
    hub.log = tmp_path / "log"
    with serving(hub):
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        repo = api.create_repo("operator/m").repo_id
        data = os.urandom(4_000_000)
        api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
        with (small_disk / "ballast").open("wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(65536)):
                    pass
            except OSError:
                pass
        with httpx2.Client(base_url=hub.endpoint, headers={"Authorization": f"Bearer {hub.token}"}) as client:
            body = b'{"files":[' + b'{"path":"f","size":3,"sample":"QUFB"},' * 5000
            for path in (f"/api/models/{repo}/commit/main", f"/api/models/{repo}/preupload/main"):
                answer = client.post(path, content=body)
                assert answer.status_code == 507, answer.text
                assert "no room left" in answer.json()["error"]
            found = client.get(f"/{repo}/resolve/main/w.bin")
            assert (found.status_code, found.content) == (200, data)
        (small_disk / "ballast").unlink()
        api.upload_file(path_or_fileobj=os.urandom(4_000_000), path_in_repo="v.bin", repo_id=repo)
        assert hub.told("verify") == {"sound": True, "damages": []}
        assert '"trace"' not in hub.errors()
        assert "No space left on device" in hub.errors()
