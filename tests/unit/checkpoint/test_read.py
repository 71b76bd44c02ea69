import hashlib
import os
import threading
from collections import defaultdict
from pathlib import Path

import pytest

from weighbridge.checkpoint import read
from weighbridge.checkpoint.read import read_folder
from weighbridge.errors import ChangedError, CheckpointError, UnsafePathError


class Recorder:
    """Keeps what it is shown, and checks the overlap."""

    def __init__(self) -> None:
        self.seen: dict[str, bytearray] = defaultdict(bytearray)
        self.blocks: dict[str, int] = defaultdict(int)

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        seen = self.seen[file]
        assert offset == len(seen)
        assert len(block) > 0
        assert bytes(overlap) == bytes(seen[-read.OVERLAP_BYTES :])
        assert block.readonly
        assert overlap.readonly
        seen += block
        self.blocks[file] += 1


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BLOCK_BYTES", 8192)


def some_files(root: Path) -> dict[str, bytes]:
    sizes = {"empty": 0, "one": 1, "block": 8192, "more": 8193, "sub/many": 100_000, "z": 50_001, "sub/y": 16_384}
    contents = {name: os.urandom(size) for name, size in sizes.items()}
    for name, content in contents.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    return contents


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threads", [1, 2, 3, 16, None])
def test_every_byte_is_hashed_and_shown_in_order(tmp_path: Path, threads: int | None) -> None:
    contents = some_files(tmp_path)
    recorder = Recorder()
    counted: list[int] = []
    manifest = read_folder(tmp_path, visitors=[recorder], threads=threads, on_bytes=counted.append)
    assert {str(entry.path): entry.sha256 for entry in manifest} == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    assert all(entry.size_bytes == len(contents[str(entry.path)]) for entry in manifest)
    assert {name: bytes(seen) for name, seen in recorder.seen.items()} == {k: v for k, v in contents.items() if v}
    assert recorder.blocks["sub/many"] == 13
    assert sum(counted) == sum(len(content) for content in contents.values())


@pytest.mark.usefixtures("small_blocks")
def test_a_single_file_is_hashed_by_a_second_thread(tmp_path: Path) -> None:
    contents = some_files(tmp_path)
    names: set[str] = set()

    class Watcher:
        def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
            names.update(thread.name for thread in threading.enumerate())

    manifest = read_folder(tmp_path, ["sub/many"], visitors=[Watcher()], threads=2)
    assert "sha256" in names
    (entry,) = manifest.entries
    assert entry.sha256 == hashlib.sha256(contents["sub/many"]).hexdigest()
    assert "sha256" not in {thread.name for thread in threading.enumerate()}


def test_only_the_named_files_are_read(tmp_path: Path) -> None:
    some_files(tmp_path)
    manifest = read_folder(tmp_path, ["z", "one", "z"])
    assert [str(entry.path) for entry in manifest] == ["one", "z"]
    assert read_folder(tmp_path, []).entries == ()


def test_the_largest_file_is_read_first(tmp_path: Path) -> None:
    some_files(tmp_path)
    recorder = Recorder()
    read_folder(tmp_path, visitors=[recorder], threads=1)
    assert list(recorder.seen) == ["sub/many", "z", "sub/y", "more", "block", "one"]


class Meddler:
    """Does something to the folder in the middle of a file."""

    def __init__(self, action: object) -> None:
        self.action = action

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        if file == "z" and offset == 16_384:
            assert callable(self.action)
            self.action()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("change", ["truncate", "append", "overwrite", "replace", "delete"])
def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path, change: str, threads: int) -> None:
    some_files(tmp_path)
    path = tmp_path / "z"

    def act() -> None:
        if change == "truncate":
            os.truncate(path, 20_000)
        elif change == "append":
            with path.open("ab") as file:
                file.write(b"x")
        elif change == "overwrite":
            os.utime(path, ns=(1, 1))
        elif change == "replace":
            (tmp_path / "new").write_bytes(path.read_bytes())
            (tmp_path / "new").replace(path)
        else:
            path.unlink()

    with pytest.raises(ChangedError) as caught:
        read_folder(tmp_path, visitors=[Meddler(act)], threads=threads)
    assert caught.value.place == "z"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threads", [1, 2, 16])
def test_an_error_of_a_visitor_stops_all_threads(tmp_path: Path, threads: int) -> None:
    some_files(tmp_path)

    def fail() -> None:
        raise BrokenPipeError("mine")

    with pytest.raises(BrokenPipeError, match="mine"):
        read_folder(tmp_path, visitors=[Meddler(fail)], threads=threads)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read", "sha256"))]


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", "link"])
def test_files_outside_are_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(UnsafePathError):
        read_folder(tmp_path, [name])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_folder(tmp_path, ["nothing"])
    assert caught.value.place == "nothing"


def test_a_link_inside_is_read_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    first, second = read_folder(tmp_path)
    assert (str(second.path), second.sha256) == ("b", first.sha256)
