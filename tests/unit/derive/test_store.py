"""What the store gives out is what was put in, or is made again."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weighbridge.derive.store import DerivationStore, Derived


class Maker:
    """Makes one small result and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> tuple[None, dict[str, Any]]:
        self.calls += 1
        (folder / "a.bin").write_bytes(b"x" * 5000)
        (folder / "sub").mkdir()
        (folder / "sub" / "b.json").write_text("{}")
        return None, {"fact": 1}


@pytest.fixture
def store(tmp_path: Path) -> DerivationStore:
    return DerivationStore(tmp_path)


def test_a_result_is_made_once(store: DerivationStore) -> None:
    make = Maker()
    first, second = store.get_or_make("k", make), store.get_or_make("k", make)
    assert make.calls == 1
    assert (first.reused, second.reused) == (False, True)
    assert second.manifest == first.manifest
    assert second.facts == {"fact": 1}


def same_size_and_time(made: Derived) -> None:
    file = made.folder / "a.bin"
    times = file.stat()
    with file.open("r+b") as opened:
        opened.write(b"y")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def record(change: Callable[[dict[str, Any]], object]) -> Callable[[Derived], None]:
    def damage(made: Derived) -> None:
        path = made.folder.parent / "derivation.json"
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document))

    return damage


def a_folder_instead(made: Derived) -> None:
    (made.folder / "a.bin").unlink()
    (made.folder / "a.bin").mkdir()


def a_link_instead(made: Derived) -> None:
    (made.folder / "a.bin").unlink()
    (made.folder / "a.bin").symlink_to("/etc/hosts")


DAMAGES: dict[str, Callable[[Derived], object]] = {
    "byte changed, size and time kept": same_size_and_time,
    "file gone": lambda made: (made.folder / "a.bin").unlink(),
    "file too many": lambda made: (made.folder / "added_tokens.json").write_text("{}"),
    "file became a folder": a_folder_instead,
    "link out of the folder": a_link_instead,
    "folder gone": lambda made: shutil.rmtree(made.folder),
    "facts changed": record(lambda document: document["facts"].update(fact=2)),
    "size changed": record(lambda document: document["manifest"][0].update(size_bytes=1)),
    "no stamps": record(lambda document: document.update(stamps=None)),
    "no digest": record(lambda document: document.pop("sha256")),
    "record cut off": lambda made: os.truncate(made.folder.parent / "derivation.json", 40),
    "record is a list": lambda made: (made.folder.parent / "derivation.json").write_text("[]"),
    "record is deep": lambda made: (made.folder.parent / "derivation.json").write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_made_again(store: DerivationStore, damage: str) -> None:
    make = Maker()
    first = store.get_or_make("k", make)
    DAMAGES[damage](first)
    again = store.get_or_make("k", make)
    assert make.calls == 2
    assert again.manifest == first.manifest
    assert (again.folder / "a.bin").read_bytes() == b"x" * 5000


def test_a_hard_link_to_a_file_is_no_damage(store: DerivationStore, tmp_path: Path) -> None:
    make = Maker()
    made = store.get_or_make("k", make)
    (tmp_path / "link").hardlink_to(made.folder / "a.bin")
    assert store.get("k") is not None
    assert make.calls == 1


def test_bytes_are_read_again_once_after_a_new_link_and_then_trusted(
    store: DerivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.get_or_make("k", Maker())
    (tmp_path / "link").hardlink_to(made.folder / "a.bin")
    assert store.get("k") is not None
    monkeypatch.setattr("weighbridge.derive.store.read_folder", None)
    assert store.get("k") is not None


def test_what_fails_leaves_nothing(store: DerivationStore, tmp_path: Path) -> None:
    def make(folder: Path) -> tuple[None, dict[str, Any]]:
        (folder / "half").write_text("x")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        store.get_or_make("k", make)
    assert list(tmp_path.iterdir()) == []
