import os
import socket
from pathlib import Path

import pytest

from weighbridge.checkpoint import walk
from weighbridge.checkpoint.walk import list_files, open_inside
from weighbridge.errors import CheckpointError, UnsafePathError


def test_files_are_listed_in_code_point_order(tmp_path: Path) -> None:
    for name in ("b/c", "b-a", "a", ".hidden", "b/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list_files(tmp_path) == (".hidden", "a", "b-a", "b/c", "b/d/e")


def test_links_inside_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("x")
    (tmp_path / "file").symlink_to("real/a")
    (tmp_path / "folder").symlink_to("real")
    assert list_files(tmp_path) == ("file", "folder/a", "real/a")


@pytest.mark.parametrize("target", ["../outside", "/etc/hostname", "../outside/secret"])
def test_links_that_leave_the_folder_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(target)
    with pytest.raises(UnsafePathError, match="out of the folder") as caught:
        list_files(root)
    assert caught.value.place == "link"
    with pytest.raises(UnsafePathError):
        open_inside(root, "link")


def test_a_folder_whose_name_starts_alike_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2/x").touch()
    (tmp_path / "root/link").symlink_to("../root2/x")
    with pytest.raises(UnsafePathError):
        list_files(tmp_path / "root")


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(CheckpointError, match="leads to nothing") as caught:
        list_files(tmp_path)
    assert caught.value.place == "link"


def test_links_that_loop_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/up").symlink_to("..")
    with pytest.raises(CheckpointError, match="holds it"):
        list_files(tmp_path)
    (tmp_path / "a/up").unlink()
    (tmp_path / "self").symlink_to("self")
    with pytest.raises(CheckpointError) as caught:
        list_files(tmp_path)
    assert caught.value.place == "self"


def test_special_files_are_refused_without_waiting_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        os.mkfifo("pipe")
        problems: list[CheckpointError] = []
        assert list_files(tmp_path, report=problems.append) == ()
        assert [problem.place for problem in problems] == ["pipe", "socket"]
        for name in ("pipe", "socket"):
            with pytest.raises(CheckpointError):
                open_inside(tmp_path, name)


@pytest.mark.parametrize("name", ["a\nb", "a\\b", b"a\xff".decode("utf-8", "surrogateescape")])
def test_names_that_are_no_plain_paths_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UnsafePathError):
        list_files(tmp_path)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a//b"])
def test_paths_that_climb_are_not_opened(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnsafePathError):
        open_inside(tmp_path, path)


def test_the_number_of_entries_is_bounded_and_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_FILES", 5)
    for folder in "ab":
        (tmp_path / folder).mkdir()
        for number in range(9):
            (tmp_path / folder / str(number)).touch()
    problems: list[CheckpointError] = []
    files = list_files(tmp_path, report=problems.append)
    assert len(files) <= 5
    assert ["more than 5 files" in problem.message for problem in problems] == [True]


def test_deep_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join("a" * 70)).mkdir(parents=True)
    with pytest.raises(CheckpointError, match="deep"):
        list_files(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such"):
        list_files(tmp_path / "nowhere")
