"""`weighbridge hub backup` and `restore`: while the hub serves and files come in, killed and run again, and the copy
is a hub in which every byte is as it was acknowledged.
"""

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_process import HubProcess, serving
from huggingface_hub import CommitOperationAdd, HfApi, constants

MIB = 1024 * 1024

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(autouse=True)
def _without_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubProcess]:
    with serving(HubProcess(folder=tmp_path / "hub", options=("--grace", "0.0003"))) as running:
        yield running


def _upload(api: HfApi, repo: str, data: bytes) -> str:
    path = f"{hashlib.sha256(data).hexdigest()}.bin"
    api.create_commit(repo, [CommitOperationAdd(path_in_repo=path, path_or_fileobj=data)], commit_message=path)
    return path


def _noise(seed: int, size: int = MIB) -> bytes:
    return random.Random(seed).randbytes(size)


def _read_back(api: HfApi, repo: str, folder: Path) -> set[str]:
    """Read every file, compare it with its name, and return the names."""
    paths = [path for path in api.list_repo_files(repo) if path.endswith(".bin")]
    for path in paths:
        found = Path(api.hf_hub_download(repo, path, cache_dir=folder))
        assert hashlib.sha256(found.read_bytes()).hexdigest() == path.removesuffix(".bin")
    return set(paths)


def test_a_copy_made_while_files_come_in_is_a_whole_hub(hub: HubProcess, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    repo = api.create_repo("operator/r").repo_id
    before = {_upload(api, repo, _noise(number)) for number in range(3)}
    stop, asked = threading.Event(), set[str]()

    def upload() -> None:
        number = 100
        while not stop.is_set():
            number += 1
            asked.add(f"{hashlib.sha256(_noise(number)).hexdigest()}.bin")
            _upload(api, repo, _noise(number))

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        copied = hub.told("backup", str(tmp_path / "copy"))
        again = hub.told("backup", str(tmp_path / "copy"))
    finally:
        stop.set()
        thread.join()
    assert copied["objects"] >= 3
    assert again["written_bytes"] < copied["written_bytes"] + MIB * len(asked)
    assert again["objects"] >= copied["objects"]

    restored = HubProcess(folder=tmp_path / "restored")
    done = restored.run("restore", str(tmp_path / "copy"), "--folder", str(restored.folder), "--json")
    assert done.returncode == 0, done.stderr
    assert restored.told("verify") == {"sound": True, "damages": []}
    # The file of the upload that was under way may be there without its commit.
    assert restored.told("gc", "--grace", "0")["deleted_files"] <= 1
    (restored.folder / "operator-token").write_text(hub.token)
    with serving(restored):
        copy = HfApi(endpoint=restored.endpoint, token=hub.token)
        there = _read_back(copy, repo, tmp_path / "cache")
        assert before <= there <= before | asked
        _upload(copy, repo, _noise(999))


def test_a_backup_that_was_killed_is_run_again_and_collection_goes_on(hub: HubProcess, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    repo = api.create_repo("operator/r").repo_id
    kept = {_upload(api, repo, _noise(number, 6 * MIB)) for number in range(4)}
    target = tmp_path / "copy"
    killed = 0
    for seconds in (0.9, 1.2):
        copying = hub.begin("backup", str(target))
        deadline = time.monotonic() + 30
        # As soon as it copies objects, or a little before.
        while not (target / "bytes").exists() and copying.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005 if killed else seconds / 100)
        killed += copying.poll() is None
        os.killpg(copying.pid, signal.SIGKILL)
        copying.communicate()
        shutil.rmtree(target / "bytes", ignore_errors=True)
    assert killed
    copied = hub.told("backup", str(target))
    assert copied["objects"] > 0
    assert hub.told("backup", str(target))["written_bytes"] == 0
    assert hub.run("gc", "--json").returncode == 0
    hub.kill()
    shutil.rmtree(hub.folder)
    done = hub.run("restore", str(target), "--json")
    assert done.returncode == 2, "without a folder it is a wrong call"
    restored = HubProcess(folder=tmp_path / "restored")
    assert restored.run("restore", str(target), "--folder", str(restored.folder)).returncode == 0
    assert restored.told("verify")["sound"] is True
    with serving(restored):
        assert _read_back(HfApi(endpoint=restored.endpoint, token=api.token), repo, tmp_path / "cache") == kept


def test_a_restore_that_was_killed_leaves_no_hub_and_is_run_again(hub: HubProcess, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    repo = api.create_repo("operator/r").repo_id
    _upload(api, repo, _noise(1, 8 * MIB))
    target, folder = tmp_path / "copy", tmp_path / "restored"
    hub.told("backup", str(target))
    restoring = hub.begin("restore", str(target), "--folder", str(folder))
    deadline = time.monotonic() + 30
    while not folder.exists() and restoring.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    os.killpg(restoring.pid, signal.SIGKILL)
    restoring.communicate()
    if not (folder / "hub.sqlite").exists():
        half = HubProcess(folder=folder).run("verify")
        assert half.returncode != 0
        assert "there is no hub" in half.stderr
    shutil.rmtree(folder, ignore_errors=True)
    assert hub.run("restore", str(target), "--folder", str(folder)).returncode == 0
    assert HubProcess(folder=folder).told("verify")["sound"] is True


def test_a_copy_keeps_its_secrets_to_its_owner(hub: HubProcess, tmp_path: Path) -> None:
    hub.told("backup", str(tmp_path / "copy"))
    restored = HubProcess(folder=tmp_path / "restored")
    assert restored.run("restore", str(tmp_path / "copy"), "--folder", str(restored.folder)).returncode == 0
    for file in (hub.folder / "hub.sqlite", tmp_path / "copy" / "hub.sqlite", restored.folder / "hub.sqlite"):
        reachable = (
            stat.S_IMODE(file.stat().st_mode) & 0o077 == 0 or stat.S_IMODE(file.parent.stat().st_mode) & 0o077 == 0
        )
        assert reachable, file
    with sqlite3.connect(restored.folder / "hub.sqlite") as reading:
        assert reading.execute("SELECT count(*) FROM server_value WHERE name = 'secret'").fetchone() == (1,)
    reading.close()


@pytest.mark.parametrize("inside", ["", "copy", "bytes/copy"])
def test_a_copy_is_not_made_inside_the_hub(hub: HubProcess, inside: str) -> None:
    done = hub.run("backup", str(hub.folder / inside))
    assert done.returncode != 0
    assert "inside of the hub" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_object_is_named_and_the_old_copy_stays(hub: HubProcess, tmp_path: Path) -> None:
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    repo = api.create_repo("operator/r").repo_id
    _upload(api, repo, _noise(1))
    hub.told("backup", str(tmp_path / "copy"))
    (stored,) = [path for path in (hub.folder / "bytes" / "xorbs").rglob("*") if path.is_file()]
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-1])
    done = hub.run("backup", str(tmp_path / "other"))
    assert done.returncode != 0
    assert stored.name in done.stderr
    assert "hub verify" in done.stderr
    restored = HubProcess(folder=tmp_path / "restored")
    assert restored.run("restore", str(tmp_path / "copy"), "--folder", str(restored.folder)).returncode == 0
    assert restored.told("verify")["sound"] is True


def test_restore_overwrites_nothing_and_knows_what_is_no_copy(hub: HubProcess, tmp_path: Path) -> None:
    hub.told("backup", str(tmp_path / "copy"))
    there = hub.run("restore", str(tmp_path / "copy"), "--folder", str(hub.folder))
    assert there.returncode != 0
    assert "there is something already" in there.stderr
    none = hub.run("restore", str(tmp_path / "hub" / "bytes"), "--folder", str(tmp_path / "x"))
    assert none.returncode != 0
    assert "no backup" in none.stderr
