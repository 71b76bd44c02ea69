"""Patterns of `.gitattributes` and `.gitignore` mean what git takes them for."""

import random
import subprocess
from pathlib import Path

import pytest

from weighbridge.hub.repositories.initial import LFS_PATTERNS
from weighbridge.hub.repositories.patterns import attributes, ignore

_PARTS = ("a", "b", "*", "?", "/", "[ab]", "a*", "foo", "[!a]", "\\*")
_WHOLE = ("**", "a", "b*", "?o", "foo", "[a-c]*", "*")
_NAMES = ("a", "b", "foo", "ab", "aa", "x", "*")


def _pattern(random_: random.Random) -> str:
    if random_.random() < 0.5:
        made = "/".join(random_.choice(_WHOLE) for _ in range(random_.randint(1, 4)))
    else:
        made = "".join(random_.choice(_PARTS) for _ in range(random_.randint(1, 5)))
    # Neither `//` nor three stars in a row mean anything that people write.
    while "//" in made or "***" in made:
        made = made.replace("//", "/").replace("***", "**")
    return ("/" if random_.random() < 0.2 else "") + made.strip("/")


def _path(random_: random.Random) -> str:
    return "/".join(random_.choice(_NAMES) for _ in range(random_.randint(1, 4)))


@pytest.mark.parametrize("seed", range(4))
def test_ignored_files_are_those_that_git_ignores(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for _ in range(15):
        lines = [
            ("!" if random_.random() < 0.2 else "") + _pattern(random_) + ("/" if random_.random() < 0.2 else "")
            for _ in range(4)
        ]
        paths = [_path(random_) for _ in range(30)]
        (tmp_path / ".gitignore").write_text("\n".join(lines) + "\n")
        asked = ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin"]
        found = subprocess.run(asked, input="\n".join(paths), capture_output=True, text=True).stdout.splitlines()
        rules = ignore("\n".join(lines))
        assert [path for path in paths if rules.ignores(path)] == found, lines


@pytest.mark.parametrize("seed", range(4))
def test_files_go_by_lfs_that_git_would_filter(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for _ in range(15):
        lines = [f"{_pattern(random_)} {random_.choice(('filter=lfs', 'filter=lfs', '-filter'))}" for _ in range(4)]
        paths = [_path(random_) for _ in range(30)]
        (tmp_path / ".gitattributes").write_text("\n".join(lines) + "\n")
        asked = ["git", "-C", str(tmp_path), "check-attr", "filter", "--stdin"]
        said = subprocess.run(asked, input="\n".join(paths), capture_output=True, text=True).stdout.splitlines()
        found = {line.rpartition(": filter: ")[0] for line in said if line.endswith(": lfs")}
        rules = attributes("\n".join(lines))
        assert {path for path in paths if rules.filter_of(path) == "lfs"} == found, lines


def test_the_patterns_of_a_new_repository_take_weights_and_leave_text() -> None:
    rules = attributes("".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS))
    for path in ("model.safetensors", "in/deep/model.gguf", "saved_model/x/y", "run/events.tfevents.1", "a.tar.gz"):
        assert rules.filter_of(path) == "lfs", path
    for path in ("README.md", "config.json", "model.safetensors.index.json", "tokenizer.json"):
        assert rules.filter_of(path) is None, path


def test_hostile_patterns_take_no_time() -> None:
    hostile = "\n".join(["*a" * 500 + "b", "**/" * 60 + "x", "[" * 1000, "[!]]" * 200] * 20)
    path = "/".join(["a" * 255] * 4)
    assert not ignore(hostile).ignores(path)
    assert attributes(hostile.replace("\n", " filter=lfs\n")).filter_of(path) is None
