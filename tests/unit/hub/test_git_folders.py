"""Folders looked into and changed: what is read, what is rewritten, what is refused."""

from collections.abc import Mapping, Sequence

import pytest

from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import EMPTY_TREE_OID, GitObject, GitObjectError, MissingObjectError, Mode, oid_of
from weighbridge.hub.git.paths import GitPathError
from weighbridge.hub.git.tree import Change, DeleteFile, DeleteFolder, NotInTreeError, PathClashError, Put, apply
from weighbridge.hub.git.walk import find, find_many, list_folder, walk


class CountingObjects(InMemoryObjects):
    """Counts the objects that are read, and the calls that read them."""

    def __init__(self) -> None:
        super().__init__()
        self.objects_read = 0
        self.calls = 0

    def read(self, oid: str) -> GitObject:
        self.objects_read += 1
        self.calls += 1
        return super().read(oid)

    def read_many(self, oids: Sequence[str]) -> Mapping[str, GitObject]:
        self.objects_read += len(oids)
        self.calls += 1
        return super().read_many(oids)


def blob(text: str) -> str:
    return oid_of("blob", text.encode())


def put(path: str, text: str = "content") -> Put:
    return Put(path=path, blob_oid=blob(text))


def a_tree(objects: InMemoryObjects, *paths: str) -> str:
    return changed(objects, EMPTY_TREE_OID, *(put(path, path) for path in paths))


def changed(objects: InMemoryObjects, tree: str, *changes: Change) -> str:
    oid, new = apply(objects, tree, changes)
    objects.objects.update(new)
    return oid


def paths(objects: InMemoryObjects, tree: str) -> list[str]:
    return [entry.path for entry in walk(objects, tree) if not entry.is_folder]


def test_a_walk_yields_folders_before_their_files_in_the_order_of_git() -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/x", "a.txt", "a0", "b", "a/b/c")
    assert [entry.path for entry in walk(objects, tree)] == ["a.txt", "a", "a/b", "a/b/c", "a/x", "a0", "b"]
    assert [entry.path for entry in walk(objects, tree, "a/b")] == ["a/b/c"]
    assert list(walk(objects, tree, "b")) == list(walk(objects, tree, "nowhere")) == []


def test_a_walk_goes_on_behind_any_path() -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/x", "a.txt", "a0", "b", "a/b/c", "z/1", "z/2")
    whole = list(walk(objects, tree))
    for index, entry in enumerate(whole):
        assert list(walk(objects, tree, after=entry.path)) == whole[index + 1 :]
    with pytest.raises(NotInTreeError):
        list(walk(objects, tree, after="nowhere"))
    with pytest.raises(NotInTreeError):
        list(walk(objects, tree, "a", after="z/1"))


def test_looking_up_tells_files_from_folders() -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/x", "b")
    assert find(objects, tree, "") == ("", Mode.FOLDER, tree)
    assert find(objects, tree, "b") == ("b", Mode.FILE, blob("b"))
    assert find(objects, tree, "b/x") is None
    found = find_many(objects, tree, ["a", "a/", "a/x", "b/", "c", "a/x/y"])
    assert {path: entry.is_folder for path, entry in found.items()} == {"a": True, "a/": True, "a/x": False}
    listed = list_folder(objects, tree, "a/")
    assert listed is not None
    assert [entry.path for entry in listed] == ["a/x"]
    assert list_folder(objects, tree, "b") is None
    with pytest.raises(GitPathError):
        find(objects, tree, "../b")


def test_empty_folders_vanish_with_their_last_file() -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/b/c", "d")
    assert changed(objects, tree, DeleteFile(path="a/b/c")) == a_tree(objects, "d")
    oid, new = apply(objects, tree, [DeleteFile(path="a/b/c"), DeleteFile(path="d")])
    assert oid == EMPTY_TREE_OID
    assert new == {EMPTY_TREE_OID: GitObject("tree", b"")}
    assert changed(objects, tree, DeleteFolder(path="")) == EMPTY_TREE_OID


def test_changes_are_made_one_after_another() -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/b", "c")
    after = changed(objects, tree, DeleteFolder(path="a/"), put("a"), put("c", "new"), DeleteFile(path="c"))
    assert paths(objects, after) == ["a"]
    after = changed(objects, tree, DeleteFile(path="c"), put("c/d"), put("c/e"), DeleteFile(path="c/d"))
    assert paths(objects, after) == ["a/b", "c/e"]


def test_what_changes_nothing_gives_the_same_tree_and_no_objects() -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/b", "c")
    assert apply(objects, tree, [put("a/b", "a/b")]) == (tree, {})
    assert apply(objects, tree, []) == (tree, {})


def test_a_mode_is_kept_with_the_file() -> None:
    objects = InMemoryObjects()
    tree = changed(objects, EMPTY_TREE_OID, Put(path="run.sh", blob_oid=blob("x"), mode=Mode.EXECUTABLE))
    entry = find(objects, tree, "run.sh")
    assert entry is not None
    assert entry.mode is Mode.EXECUTABLE


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (put("a"), "a"),
        (put("c/d"), "c/d"),
        (put("c/d/e"), "c/d/e"),
        (DeleteFile(path="a"), "a"),
        (DeleteFolder(path="c"), "c"),
    ],
)
def test_a_file_and_a_folder_of_one_name_clash(change: Change, path: str) -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/b", "c")
    with pytest.raises(PathClashError) as caught:
        apply(objects, tree, [change])
    assert caught.value.place == path


@pytest.mark.parametrize(
    "change", [DeleteFile(path="x"), DeleteFile(path="a/x"), DeleteFile(path="c/x"), DeleteFolder(path="x/y")]
)
def test_deleting_what_is_not_there_is_an_error(change: Change) -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/b", "c")
    with pytest.raises(NotInTreeError):
        apply(objects, tree, [change])
    with pytest.raises(NotInTreeError):
        apply(objects, tree, [DeleteFile(path="c"), DeleteFile(path="c")])


def test_changes_name_possible_paths() -> None:
    with pytest.raises(GitPathError):
        put("a/../b")
    with pytest.raises(GitPathError):
        DeleteFolder(path="/")
    with pytest.raises(GitObjectError):
        Put(path="a", blob_oid="HEAD")
    with pytest.raises(GitObjectError):
        Put(path="a", blob_oid=blob("a"), mode=Mode.FOLDER)


def test_one_folder_touched_among_many_reads_only_its_way() -> None:
    objects = CountingObjects()
    tree = a_tree(objects, *(f"{i // 1000:02}/{i // 50 % 20:02}/{i}.bin" for i in range(20_000)))
    objects.objects_read = objects.calls = 0
    oid, new = apply(objects, tree, [put("07/03/new.bin"), DeleteFile(path="07/03/7150.bin")])
    assert (objects.objects_read, objects.calls) == (3, 3)
    assert len(new) == 3
    assert oid in new


def test_a_walk_reads_folders_of_one_level_together() -> None:
    objects = CountingObjects()
    tree = a_tree(objects, *(f"{i}/file" for i in range(400)))
    objects.calls = 0
    assert sum(1 for _ in walk(objects, tree)) == 800
    assert objects.calls <= 3


def test_a_missing_or_wrong_object_is_named() -> None:
    objects = InMemoryObjects()
    tree = a_tree(objects, "a/b")
    inner = objects.objects.pop(a_tree(InMemoryObjects(), "b"), None)
    assert inner is None
    folder = find(objects, tree, "a")
    assert folder is not None
    objects.objects[folder.oid] = GitObject("blob", b"")
    with pytest.raises(GitObjectError, match="is a blob"):
        list(walk(objects, tree))
    del objects.objects[folder.oid]
    with pytest.raises(MissingObjectError) as caught:
        find(objects, tree, "a/b")
    assert caught.value.place == folder.oid


def test_folders_deeper_than_any_path_are_refused() -> None:
    objects = InMemoryObjects()
    oid = objects.add("tree", b"100644 a\0" + bytes(20))
    for _ in range(70):
        oid = objects.add("tree", b"40000 d\0" + bytes.fromhex(oid))
    with pytest.raises(GitObjectError, match="deep"):
        list(walk(objects, oid))


def test_objects_in_memory_stand_before_those_behind() -> None:
    behind = InMemoryObjects()
    tree = a_tree(behind, "a/b")
    front = InMemoryObjects(behind=behind)
    after = changed(front, tree, put("a/c"))
    assert paths(front, after) == ["a/b", "a/c"]
    with pytest.raises(MissingObjectError):
        front.read("0" * 40)
    with pytest.raises(MissingObjectError):
        front.read_many(["0" * 40])
