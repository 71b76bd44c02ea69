import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.errors import HubError
from weighbridge.hub.folder import LocalHub, StagedVersion
from weighbridge.hub.lock import held_lock

CHILD = Path(__file__).with_name("hub_child.py")


@pytest.fixture(scope="module")
def child() -> Iterator[ModuleType]:
    """The helper module, as the processes run it."""
    sys.path.insert(0, str(CHILD.parent))
    try:
        import hub_child

        yield hub_child
    finally:
        sys.path.remove(str(CHILD.parent))


def run(*arguments: object) -> str:
    command = [sys.executable, str(CHILD), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tree(root: Path) -> dict[str, object]:
    """Everything in a hub but its lock: bytes of files, targets of links."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        key = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[key] = path.readlink()
        elif path.is_file() and path.name != ".lock":
            found[key] = path.read_bytes()
    return found


@pytest.fixture
def hub(tmp_path: Path) -> LocalHub:
    return LocalHub(tmp_path / "hub")


def test_an_empty_hub_has_an_empty_catalogue_and_opening_it_writes_nothing(hub: LocalHub) -> None:
    assert dict(hub.catalogue()) == {}
    assert hub.verify() == ()
    assert not hub.root.exists()
    with pytest.raises(HubError, match="no model 'a/b'") as caught:
        hub.path_of("a/b")
    assert "Nothing is published" in caught.value.hint


def test_what_is_published_can_be_found_read_and_verified(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 7)
    state = hub.publish([staged], page=lambda catalogue: f"page of {list(catalogue)}")
    version = hub.catalogue()["acme/one"]
    assert (version.name, version.digest, version.stage) == ("acme/one", staged.manifest.digest, "open")
    assert version.record == {"generation": 7}
    assert hub.path_of("acme/one") == hub.path_of("one") == (hub.root / "versions" / version.digest).resolve()
    assert (hub.root / "models/acme/one").resolve() == hub.path_of("one")
    assert (hub.root / "index.html").read_text() == "page of ['acme/one']"
    assert (hub.root / "current").readlink() == Path("states") / state
    for entry in staged.manifest:
        assert (hub.path_of("one") / entry.path).read_bytes() == (staged.folder / entry.path).read_bytes()
    assert hub.verify() == ()


def test_bytes_are_stored_once_read_only_and_apart_from_the_staged_files(
    hub: LocalHub, tmp_path: Path, child: ModuleType
) -> None:
    staged = [child.stage(tmp_path / name, f"acme/{name}", 1) for name in ("one", "two")]
    hub.publish(staged, page=child.page)
    one, two = (hub.path_of(name) / "shared" for name in ("one", "two"))
    assert one.stat().st_ino == two.stat().st_ino
    assert one.stat().st_nlink == 3
    assert stat.S_IMODE(one.stat().st_mode) == 0o444
    (tmp_path / "one" / "shared").write_text("edited later")
    assert hub.verify() == ()


def test_files_outside_the_manifest_are_not_published(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 1)
    (staged.folder / "secret").write_text("not signed")
    hub.publish([staged], page=child.page)
    assert not (hub.path_of("one") / "secret").exists()


def test_publishing_the_same_again_changes_nothing_on_the_disk(
    hub: LocalHub, tmp_path: Path, child: ModuleType
) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 1)
    first = hub.publish([staged], page=child.page)
    before = {path: path.lstat().st_mtime_ns for path in hub.root.rglob("*") if path.name not in (".incoming", ".lock")}
    assert hub.publish([staged], page=child.page, retire=["gone/model"]) == first
    after = {path: path.lstat().st_mtime_ns for path in hub.root.rglob("*") if path.name not in (".incoming", ".lock")}
    assert before == after


def test_a_new_page_alone_is_a_new_state(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 1)
    first = hub.publish([staged], page=child.page)
    assert hub.publish([staged], page=lambda _: "new") != first
    assert (hub.root / "index.html").read_text() == "new"


def test_a_name_moves_to_its_new_version_and_a_retired_name_is_gone(
    hub: LocalHub, tmp_path: Path, child: ModuleType
) -> None:
    hub.publish([child.stage(tmp_path / n, f"acme/{n}", 1) for n in ("one", "two")], page=child.page)
    old = hub.path_of("one")
    hub.publish([child.stage(tmp_path / "one2", "acme/one", 2)], page=child.page, retire=["acme/two"])
    assert dict(hub.catalogue()).keys() == {"acme/one"}
    assert (hub.path_of("one") / "sub/config").read_text() == "2"
    assert (old / "sub/config").read_text() == "1", "whoever is reading the old version goes on reading it"
    assert not (hub.root / "models/acme/two").exists()


def test_pruning_deletes_what_no_name_needs_and_nothing_else(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    hub.publish([child.stage(tmp_path / n, f"acme/{n}", 1) for n in ("one", "two")], page=child.page)
    two = hub.path_of("two")
    own = sum((two / name).stat().st_size for name in ("weights",))
    hub.publish([], page=child.page, retire=["acme/two"])
    assert hub.prune() == own
    assert not two.exists()
    assert hub.verify() == ()
    assert hub.prune() == 0
    hub.publish([child.stage(tmp_path / "two", "acme/two", 1)], page=child.page)
    assert hub.verify() == ()


def test_moving_takes_the_staged_files_themselves(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 1)
    hub.publish([staged], page=child.page, move=True)
    assert (hub.path_of("one") / "weights").stat().st_ino == (staged.folder / "weights").stat().st_ino
    assert hub.verify() == ()


@pytest.mark.parametrize("move", [False, True])
def test_a_staged_file_that_changed_is_refused_and_the_old_state_stays(
    hub: LocalHub, tmp_path: Path, child: ModuleType, move: bool
) -> None:
    hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)
    before = tree(hub.root)
    staged = child.stage(tmp_path / "two", "acme/two", 2)
    (staged.folder / "weights").write_text("tampered")
    with pytest.raises(HubError, match="not what its manifest states") as caught:
        hub.publish([staged], page=child.page, move=move)
    assert caught.value.place == str(staged.folder / "weights")
    assert {key: value for key, value in tree(hub.root).items() if not key.startswith("blobs")} == {
        key: value for key, value in before.items() if not key.startswith("blobs")
    }
    assert hub.verify() == ()


def test_a_staged_file_that_is_missing_is_named(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 1)
    (staged.folder / "weights").unlink()
    with pytest.raises(HubError, match="No such file") as caught:
        hub.publish([staged], page=child.page)
    assert caught.value.place == str(staged.folder / "weights")


@pytest.mark.parametrize(
    "name",
    ["one", "a/b/c", "/a", "a/", "../a", "a/..", ".a/b", "a/.b", "a b/c", "a/b\n", "a\\b/c", "é/a", "a/" + "b" * 97],
)
def test_names_that_are_not_owner_and_name_are_refused(
    hub: LocalHub, tmp_path: Path, child: ModuleType, name: str
) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 1)
    bad = StagedVersion(name=name, folder=staged.folder, manifest=staged.manifest, stage="open", record={})
    with pytest.raises(HubError, match="is not a model name"):
        hub.publish([bad], page=child.page)
    assert not hub.root.exists()


def test_the_same_name_twice_is_refused(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    staged = child.stage(tmp_path / "one", "acme/one", 1)
    with pytest.raises(HubError, match="occurs twice"):
        hub.publish([staged, staged], page=child.page)
    with pytest.raises(HubError, match="occurs twice"):
        hub.publish([staged], page=child.page, retire=["acme/one"])


def test_a_record_that_is_no_json_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    for value in (float("nan"), object()):
        bad = StagedVersion(name="a/b", folder=tmp_path, manifest=Manifest(()), stage="open", record={"x": value})
        with pytest.raises(HubError, match="JSON"):
            hub.publish([bad], page=lambda _: "")
    assert dict(hub.catalogue()) == {}


def test_an_unknown_name_lists_what_comes_near(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    names = ("acme/osprey-135m", "other/osprey-135m", "acme/falcon")
    hub.publish([child.stage(tmp_path / name, name, 1) for name in names], page=child.page)
    with pytest.raises(HubError, match="several owners") as caught:
        hub.path_of("osprey-135m")
    assert "acme/osprey-135m or other/osprey-135m" in caught.value.hint
    with pytest.raises(HubError, match="no model") as caught:
        hub.path_of("acme/falcan")
    assert "acme/falcon" in caught.value.hint
    assert hub.path_of("falcon") == hub.path_of("acme/falcon")


def test_damage_is_found_and_named(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    hub.publish([child.stage(tmp_path / n, f"acme/{n}", 1) for n in ("one", "two")], page=child.page)
    folder = hub.path_of("one")
    (folder / "weights").chmod(0o644)
    with (folder / "weights").open("r+b") as file:
        file.write(b"X")
    (folder / "sub/config").unlink()
    (folder / "extra").write_text("")
    (hub.root / "index.html").resolve().write_text("defaced")
    problems = "\n".join(hub.verify())
    for expected in (
        "acme/one: weights: ",
        "acme/one: extra",
        "acme/one: sub/config: versions",
        "index.html was altered",
    ):
        assert expected in problems
    assert "acme/two: weights" not in problems


def test_a_manifest_that_was_altered_is_found(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)
    (path,) = (hub.root / "manifests").iterdir()
    path.chmod(0o644)
    path.write_text(path.read_text().replace("weights", "weightz"))
    assert "not the one that its name states" in "".join(hub.verify())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"format": "weighbridge-hub-v9", "versions": {}}',
        '{"format": "weighbridge-hub-v1", "versions": {"a/b": {"digest": "../../etc", "stage": "open", "record": {}}}}',
        '{"format": "weighbridge-hub-v1", "versions": {"../x": {"digest": "%s", "stage": "open", "record": {}}}}'
        % ("0" * 64),
        '{"format": "weighbridge-hub-v1", "versions": {"a/b": {"digest": "%s", "stage": 1, "record": {}}}}'
        % ("0" * 64),
    ],
)
def test_a_hostile_catalogue_is_refused_with_its_place(
    hub: LocalHub, tmp_path: Path, child: ModuleType, text: str
) -> None:
    hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)
    (hub.root / "current" / "catalogue.json").write_text(text)
    with pytest.raises(HubError, match="not a catalogue") as caught:
        hub.catalogue()
    assert caught.value.place.endswith("current/catalogue.json")


def test_a_current_link_that_leads_elsewhere_is_refused(hub: LocalHub, tmp_path: Path) -> None:
    hub.root.mkdir()
    (hub.root / "current").symlink_to("../..")
    with pytest.raises(HubError, match="does not lead to a state"):
        hub.catalogue()


def test_publishing_works_where_hard_links_do_not(
    hub: LocalHub, tmp_path: Path, child: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page, move=True)
    assert hub.verify() == ()
    assert (hub.path_of("one") / "weights").stat().st_nlink == 1


def test_publishing_works_where_the_kernel_cannot_copy(
    hub: LocalHub, tmp_path: Path, child: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    hub.publish([child.stage(tmp_path / "one", "acme/one", 1, size=9_000_000)], page=child.page)
    assert hub.verify() == ()


# Kills, crowds and full disks


def test_a_kill_at_any_touch_of_the_disk_leaves_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    found = json.loads(run("every_step", tmp_path / "hub", tmp_path / "work"))
    assert found["steps"] > 50
    assert found["old"] > found["new"] >= 2


def test_a_kill_at_any_moment_leaves_the_old_state_or_the_new_one(tmp_path: Path, child: ModuleType) -> None:
    root, work, seed = tmp_path / "hub", tmp_path / "work", random.randrange(2**32)
    moments, seen = random.Random(seed), set()
    for start in range(0, 25_000, 1000):
        before = child.check(root)
        command = [sys.executable, str(CHILD), "forever", str(root), str(work), str(start)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as publisher:
            assert publisher.stdout is not None
            assert publisher.stdout.readline() == f"{start}\n"
            time.sleep(moments.uniform(0, 0.2))
            publisher.send_signal(signal.SIGKILL)
            begun = max([start, *map(int, publisher.stdout.read().split())])
        after = child.check(root)
        # Each announced generation but the last was published before the next was announced.
        assert after in ((before if begun == start else begun - 1), begun), (seed, before, after, begun)
        seen.add(after - start if after >= start else -1)
        shutil.rmtree(work)
    child.publish(root, work, 99_999)
    assert child.check(root) == 99_999
    assert list((root / ".incoming").iterdir()) == []
    assert len(seen) > 1, f"every kill came at the same point (seed {seed})"


def test_publishers_in_a_crowd_lose_nobodys_models(tmp_path: Path, child: ModuleType) -> None:
    root, owners = tmp_path / "hub", ("a", "b", "c")
    commands = [[sys.executable, str(CHILD), "many", str(root), str(tmp_path / o), o, "8"] for o in owners]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    hub = LocalHub(root)
    assert set(hub.catalogue()) == {f"{owner}/m{number}" for owner in owners for number in range(8)}
    assert hub.verify() == ()


def test_readers_never_see_a_gap_while_others_publish(tmp_path: Path, child: ModuleType) -> None:
    root = tmp_path / "hub"
    child.publish(root, tmp_path / "work", 0)
    done = threading.Event()

    def look() -> int:
        looks = 0
        while not done.is_set():
            records = [version.record["generation"] for version in LocalHub(root).catalogue().values()]
            assert len(records) == 2
            assert len(set(records)) == 1
            looks += 1
        return looks

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(look)
        for generation in range(1, 15):
            child.publish(root, tmp_path / "work", generation)
        done.set()
        assert reader.result() > 10


def test_a_publisher_that_waits_too_long_names_who_holds_the_lock(tmp_path: Path, child: ModuleType) -> None:
    hub = LocalHub(tmp_path / "hub", lock_wait_seconds=0.2)
    hub.root.mkdir()
    with held_lock(hub.root / ".lock", wait_seconds=0):
        started = time.monotonic()
        with pytest.raises(HubError, match=f"process {os.getpid()} on ") as caught:
            hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)
        assert 0.15 < time.monotonic() - started < 5
    assert caught.value.place == str(hub.root / ".lock")
    assert hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)


@pytest.mark.parametrize(
    ("size", "page_bytes", "place"),
    [(300_000, 0, "blobs/sha256"), (3_000, 300_000, "states/")],
    ids=["a blob does not fit", "the page does not fit"],
)
def test_a_disk_that_takes_no_more_leaves_the_old_state(
    tmp_path: Path, child: ModuleType, size: int, page_bytes: int, place: str
) -> None:
    root = tmp_path / "hub"
    child.publish(root, tmp_path / "work", 0)
    error = json.loads(run("limited", root, tmp_path / "new", 65_536, size, page_bytes))
    assert "File too large" in error["message"]
    assert error["place"].startswith(f"{root}/{place}")
    assert error["hint"]
    assert child.check(root) == 0
    assert list((root / ".incoming").iterdir()) == []
    child.publish(root, tmp_path / "work", 1, size=300_000)
    assert child.check(root) == 1


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user of the machine can reach (pytest's own is for its owner alone)."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_hub_without_write_permission_is_named_and_stays(public_folder: Path, child: ModuleType) -> None:
    root = public_folder / "hub"
    child.publish(root, public_folder / "work", 0)
    before = tree(root)
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222 | 0o444)
    error = json.loads(run("unprivileged", root, public_folder / "new"))
    for path in (root, *(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())):
        path.chmod(0o755)
    assert "Permission denied" in error["message"]
    assert error["place"].startswith(str(root))
    assert "write permission" in error["hint"]
    assert tree(root) == before
    assert child.check(root) == 0


def test_a_root_that_is_a_file_is_named(tmp_path: Path, child: ModuleType) -> None:
    (tmp_path / "hub").write_text("")
    with pytest.raises(HubError) as caught:
        LocalHub(tmp_path / "hub").publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)
    assert caught.value.place.startswith(str(tmp_path / "hub"))
