"""A day of somebody who uses `hf`, git and curl as they are, against `weighbridge hub serve`."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_home import HF, Home, a_home, model, push

__all__ = ["model"]

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with a_home(tmp_path_factory.mktemp("day")) as running:
        yield running


def test_the_command_logs_in_by_a_token_and_says_who_it_is(home: Home) -> None:
    home.hf("auth", "login", "--token", home.token, token="")
    assert home.hf_json("auth", "whoami")["user"] == "alice"
    assert "Invalid user token" in home.hf("auth", "login", "--token", "hf_" + "x" * 37, token="", fails=True)
    assert "hf auth login --token" in home.hf("auth", "login", "--force", token="", fails=True)


def test_the_command_fills_changes_fetches_and_deletes_a_repository(home: Home, model: Path, tmp_path: Path) -> None:
    home.hf("upload", "alice/day", model)
    home.hf("upload", "alice/day", model / "config.json", "more/config.json", "--revision", "dev")
    home.hf("repos", "tag", "create", "alice/day", "v1", "-m", "the first")
    assert "already exists" in home.hf("repos", "tag", "create", "alice/day", "v1", fails=True)
    home.hf("repos", "delete-files", "alice/day", "sub/*")
    home.hf(
        "download", "alice/day", "--include", "*.bin", "--include", "sub/*", "--revision", "v1", "--local-dir", "at"
    )
    at = home.folder / "at"
    assert {
        path.relative_to(at).as_posix() for path in at.rglob("*") if path.is_file() and ".cache" not in path.parts
    } == {
        "weights.bin",
        "sub/notes.txt",
    }
    assert (at / "weights.bin").read_bytes() == (model / "weights.bin").read_bytes()
    home.hf("repos", "move", "alice/day", "alice/night")
    assert home.hf_json("models", "info", "alice/day")["id"] == "alice/night"
    home.hf("repos", "delete", "alice/night", "--yes")
    assert "not found" in home.hf("download", "alice/night", fails=True)


def test_the_command_lists_what_there_is(home: Home, model: Path) -> None:
    push(home.api, "alice/listed", model)
    home.api.create_repo("alice/listed-too", repo_type="dataset", private=True)
    found = home.hf_json("models", "list", "--author", "alice", "--search", "liste", "--sort", "last_modified")
    assert [one["id"] for one in found] == ["alice/listed"]
    assert {"alice/listed", "alice/listed-too"} <= {one["id"] for one in home.hf_json("repos", "list")}
    files = home.hf_json("models", "list", "alice/listed", "-R")
    assert {"weights.bin", "sub/notes.txt"} <= {one["path"] for one in files}


def test_the_command_discusses_and_merges(home: Home, model: Path) -> None:
    push(home.api, "alice/talk", model)
    home.hf("discussions", "create", "alice/talk", "--title", "Why?", "--body", "Tell me.")
    home.hf("discussions", "comment", "alice/talk", "1", "--body", "Because.")
    home.hf("upload", "alice/talk", model / "config.json", "added.json", "--create-pr")
    assert "+{}" in home.hf("discussions", "diff", "alice/talk", "2")
    home.hf("discussions", "merge", "alice/talk", "2", "--yes")
    listed = home.hf_json("discussions", "list", "alice/talk", "--status", "all")
    assert {(one["num"], one["status"]) for one in listed} == {(1, "open"), (2, "merged")}
    assert home.api.file_exists("alice/talk", "added.json")


def test_the_cache_of_the_command_is_listed_checked_and_emptied(home: Home, model: Path) -> None:
    push(home.api, "alice/cached", model)
    home.hf("download", "alice/cached")
    assert "All checksums match" in home.hf("cache", "verify", "alice/cached")
    home.hf("cache", "rm", "model/alice/cached", "--yes")
    assert not (home.folder / "huggingface" / "hub" / "models--alice--cached").exists()


def test_addresses_of_the_hf_scheme_are_copied_between_repositories_and_buckets(home: Home, model: Path) -> None:
    push(home.api, "alice/source", model)
    home.api.create_repo("alice/target", repo_type="dataset")
    home.hf("cp", "hf://alice/source/weights.bin", "hf://datasets/alice/target/w.bin")
    home.api.create_bucket("alice/pail")
    home.hf("sync", model, "hf://buckets/alice/pail/in")
    assert home.api.file_exists("alice/target", "w.bin", repo_type="dataset")
    assert "# A model" in home.hf("buckets", "cp", "hf://buckets/alice/pail/in/README.md", "-")


def test_an_upload_that_was_killed_is_finished_by_the_same_command(home: Home, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(6):
        (many / f"part-{number}.bin").write_bytes(_noise(2_000_000))
    home.api.create_repo("alice/killed")
    seen = len(home.requests())
    upload = subprocess.Popen(
        [HF, "upload", "alice/killed", str(many)],
        env=home.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait(lambda: any("xet-write-token" in told["path"] for told in home.requests()[seen:]))
    upload.send_signal(signal.SIGKILL)
    upload.wait(30)
    home.hf("upload", "alice/killed", many)
    fetched = Path(home.api.snapshot_download("alice/killed", cache_dir=tmp_path / "cache"))
    for path in many.iterdir():
        assert (fetched / path.name).read_bytes() == path.read_bytes()
    before = home.received_bytes()
    home.hf("upload", "alice/killed", many)
    assert home.received_bytes() - before < 200_000


@pytest.mark.slow
def test_a_large_file_goes_on_where_its_upload_was_killed(home: Home, tmp_path: Path) -> None:
    size = 150_000_000
    large = tmp_path / "large.bin"
    large.write_bytes(_noise(size))
    home.api.create_repo("alice/large")
    seen = len(home.requests())
    upload = subprocess.Popen(
        [HF, "upload", "alice/large", str(large)],
        env=home.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait(lambda: any("/v1/xorbs/" in told["path"] and told["status"] == 200 for told in home.requests()[seen:]))
    upload.send_signal(signal.SIGKILL)
    upload.wait(30)
    time.sleep(0.5)
    home.hf("upload", "alice/large", large)
    sent = [told for told in home.requests()[seen:] if "/v1/xorbs/" in told["path"] and told["status"] == 200]
    names = [told["path"].rpartition("/")[2] for told in sent]
    assert len(names) == len(set(names)) == 3, "a xorb that had arrived was sent again"
    assert home.api.get_paths_info("alice/large", "large.bin")[0].lfs.size == size  # type: ignore[union-attr]


def test_git_and_lfs_clone_what_was_pushed_by_xet(home: Home, model: Path, tmp_path: Path) -> None:
    push(home.api, "alice/cloned", model, private=True)
    address = home.hub.endpoint.replace("://", f"://alice:{home.token}@")
    environ = {**home.environ(), "GIT_LFS_SKIP_SMUDGE": "1"}

    def git(*words: str, at: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=at, env=environ, capture_output=True, text=True, check=False)

    assert git("clone", f"{home.hub.endpoint}/alice/cloned", "nobody").returncode != 0
    assert "Repository not found" in git("clone", f"{address}/alice/no-such", "nothing").stderr
    assert git("clone", f"{address}/alice/cloned", "mine").returncode == 0
    assert (tmp_path / "mine/README.md").read_text() == (model / "README.md").read_text()
    assert "hf upload" in git("push", "origin", "HEAD", at=tmp_path / "mine").stderr
    pointer = git("show", "HEAD:weights.bin", at=tmp_path / "mine").stdout
    assert pointer.startswith("version https://git-lfs.github.com/spec/v1\n")
    if shutil.which("git-lfs"):
        assert git("lfs", "pull", at=tmp_path / "mine").returncode == 0
        assert (tmp_path / "mine/weights.bin").read_bytes() == (model / "weights.bin").read_bytes()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_fetches_and_resumes(home: Home, model: Path, tmp_path: Path) -> None:
    push(home.api, "alice/curled", model, private=True)
    address = f"{home.hub.endpoint}/alice/curled/resolve/main/weights.bin?download=true"
    target = tmp_path / "weights.bin"
    target.write_bytes((model / "weights.bin").read_bytes()[:70_000])
    curl = ["curl", "-sSfL", "-C", "-", "-o", str(target), address]
    assert subprocess.run(curl, check=False, capture_output=True).returncode == 22
    subprocess.run([*curl, "-H", f"Authorization: Bearer {home.token}"], check=True, capture_output=True)
    assert target.read_bytes() == (model / "weights.bin").read_bytes()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("jobs", "ps"), "runs no jobs"),
        (("repos", "create", "alice/k", "--type", "kernel"), "model, dataset, space or bucket"),
    ],
)
def test_the_command_says_what_this_hub_does_not_have(home: Home, words: tuple[str, ...], reason: str) -> None:
    assert reason in home.hf(*words, fails=True)


def test_every_answer_that_was_refused_had_a_reason(home: Home) -> None:
    # The last test of this module: what the commands above asked for in vain is known, and rightly not there.
    expected = (
        "/api/agent-harnesses",
        "/resolve/",
        "/v1/chunks/",
        "/v1/xorb-grants/",
        "/revision/",
        "/tree/",
        "/xet-",
        "/info/refs",
    )
    unknown = [
        told for told in home.requests() if told["status"] == 404 and not any(part in told["path"] for part in expected)
    ]
    assert {(told["method"], told["path"].partition("/alice")[0]) for told in unknown} <= {
        ("GET", "/api/models"),
        ("GET", "/api/datasets"),
    }, json.dumps(unknown, indent=1)


def _noise(size: int) -> bytes:
    return os.urandom(size)


def _wait(happened: object, seconds: float = 60) -> None:
    assert callable(happened)
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
