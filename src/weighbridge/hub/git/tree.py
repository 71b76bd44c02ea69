"""Reads the folders of a revision, and makes the folders of the next one.

A change reads and rewrites the folders it touches, no others. Reads of one level go out as one `read_many`, because
each may be a query.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from weighbridge.errors import InputError
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    GitObject,
    GitObjectError,
    MissingObjectError,
    Mode,
    TreeEntry,
    decode_tree,
    encode_tree,
    oid_of,
)
from weighbridge.hub.git.paths import check_folder, check_path, is_oid, shown

READ_BATCH = 500


class ObjectReader(Protocol):
    """Gives the objects of one repository. The caller decides who may read it."""

    def read(self, oid: str) -> GitObject:
        """Return the object. Raises `MissingObjectError`."""

    def read_many(self, oids: Sequence[str]) -> Mapping[str, GitObject]:
        """Return the objects by oid, each once, in any order. Raises `MissingObjectError` if one is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A file is written, or its content or mode replaced."""

    path: str
    blob_oid: str
    mode: Mode = Mode.FILE

    def __post_init__(self) -> None:
        check_path(self.path)
        if not is_oid(self.blob_oid) or self.mode is Mode.FOLDER:
            raise GitObjectError("a file is written by the oid of its blob", place=shown(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFile:
    """A file is deleted."""

    path: str

    def __post_init__(self) -> None:
        check_path(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteFolder:
    """A folder is deleted with all that is in it. A closing `/` is dropped; the empty path is the whole tree."""

    path: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", check_folder(self.path))


Change = Put | DeleteFile | DeleteFolder


class TreeChangeError(InputError):
    """A change that does not fit the tree. `place` is the path."""

    hint = "List the files of the revision and send changes that fit them."


class NotInTreeError(TreeChangeError):
    """What is to be deleted is not there."""


class PathClashError(TreeChangeError):
    """One path would be a file and a folder at once."""


def read_tree(reader: ObjectReader, tree_oid: str) -> tuple[TreeEntry, ...]:
    """Return the entries of one folder in git's order. Raises `GitObjectError`."""
    if tree_oid == EMPTY_TREE_OID:
        return ()
    return decode_tree(_data_of_tree(tree_oid, reader.read(tree_oid)))


def read_trees(reader: ObjectReader, tree_oids: Iterable[str]) -> dict[str, tuple[TreeEntry, ...]]:
    """Return the entries of many folders, read in batches. Raises `GitObjectError`."""
    return {oid: decode_tree(data) for oid, data in tree_bytes(reader, tree_oids)}


def tree_bytes(reader: ObjectReader, tree_oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield oid and bytes of many folders, each once, read in batches. Raises `GitObjectError`."""
    wanted = list(dict.fromkeys(tree_oids))
    if EMPTY_TREE_OID in wanted:
        # It exists by definition, stored or not.
        wanted.remove(EMPTY_TREE_OID)
        yield EMPTY_TREE_OID, b""
    for start in range(0, len(wanted), READ_BATCH):
        batch = wanted[start : start + READ_BATCH]
        found = reader.read_many(batch)
        for oid in batch:
            if oid not in found:
                raise MissingObjectError("a folder's object is not there", place=oid)
            yield oid, _data_of_tree(oid, found[oid])


def apply(reader: ObjectReader, tree_oid: str, changes: Iterable[Change]) -> tuple[str, dict[str, GitObject]]:
    """Return the oid of the tree that `changes` make of `tree_oid`, and the tree objects to store, by oid.

    The changes are made one after another. Only folders on their paths are read and rewritten; a folder that loses
    its last file goes too. Older revisions may hold some of the objects already; the object of an empty root is always
    among them. Raises `PathClashError`, `NotInTreeError`, `GitObjectError`.
    """
    sequence = tuple(changes)
    root = _Folder(tree_oid, _read_ahead(reader, tree_oid, sequence))
    for change in sequence:
        match change:
            case Put():
                _put(root, change)
            case DeleteFile() | DeleteFolder():
                _delete(root, change)
    new: dict[str, GitObject] = {}
    oid = _write(root, new)
    if oid == EMPTY_TREE_OID:
        new[oid] = GitObject("tree", b"")
    elif oid == tree_oid:
        new.clear()
    return oid, new


class _Folders:
    """The folders that were read, and those that turn out to be needed on the way."""

    __slots__ = ("_reader", "_trees")

    def __init__(self, reader: ObjectReader, trees: dict[str, tuple[TreeEntry, ...]]) -> None:
        self._reader = reader
        self._trees = trees

    def entries(self, oid: str) -> tuple[TreeEntry, ...]:
        return self._trees[oid] if oid in self._trees else read_tree(self._reader, oid)


class _Folder:
    """A folder while it is changed: read when it is first looked into, written only if something in it changed."""

    __slots__ = ("_contents", "_folders", "changed", "oid")

    def __init__(self, oid: str, folders: _Folders) -> None:
        self.oid = oid
        self.changed = False
        self._folders = folders
        self._contents: dict[str, TreeEntry | _Folder] | None = None

    @property
    def contents(self) -> "dict[str, TreeEntry | _Folder]":
        if self._contents is None:
            self._contents = {entry.name: entry for entry in self._folders.entries(self.oid)}
        return self._contents

    def folder(self, name: str) -> "_Folder | None":
        """Return the folder in this one that is called `name`, opened; None if there is none."""
        inner = self.contents.get(name)
        if isinstance(inner, TreeEntry):
            if inner.mode is not Mode.FOLDER:
                return None
            inner = self.contents[name] = _Folder(inner.oid, self._folders)
        return inner

    def new_folder(self, name: str) -> "_Folder":
        inner = self.contents[name] = _Folder(EMPTY_TREE_OID, self._folders)
        return inner

    def empty(self) -> None:
        self._contents = {}
        self.changed = True


def _data_of_tree(oid: str, item: GitObject) -> bytes:
    if item.kind != "tree":
        raise GitObjectError(f"this is a {item.kind} where a folder is expected", place=oid)
    return item.data


def _read_ahead(reader: ObjectReader, tree_oid: str, changes: tuple[Change, ...]) -> _Folders:
    """Read the folders on the paths of all changes, one level at a time."""
    trees: dict[str, tuple[TreeEntry, ...]] = {}
    level: dict[str, set[tuple[str, ...]]] = {
        tree_oid: {tuple(change.path.split("/")[:-1]) for change in changes},
    }
    while level:
        trees.update(read_trees(reader, [oid for oid in level if oid not in trees]))
        following: dict[str, set[tuple[str, ...]]] = {}
        for oid, routes in level.items():
            wanted: dict[str, set[tuple[str, ...]]] = {}
            for route in routes:
                if route:
                    wanted.setdefault(route[0], set()).add(route[1:])
            for entry in trees[oid] if wanted else ():
                if entry.name in wanted and entry.mode is Mode.FOLDER:
                    following.setdefault(entry.oid, set()).update(wanted[entry.name])
        level = following
    return _Folders(reader, trees)


def _put(root: _Folder, change: Put) -> None:
    *folders, name = change.path.split("/")
    folder = root
    folder.changed = True
    for depth, segment in enumerate(folders):
        inner = folder.folder(segment)
        if inner is None:
            if segment in folder.contents:
                taken = "/".join(folders[: depth + 1])
                raise PathClashError(f"{shown(taken)!r} is a file, so nothing can lie in it", place=shown(change.path))
            inner = folder.new_folder(segment)
        folder = inner
        folder.changed = True
    if folder.folder(name) is not None:
        raise PathClashError("a folder lies where a file is to be written", place=shown(change.path))
    folder.contents[name] = TreeEntry(name, change.mode, change.blob_oid)


def _delete(root: _Folder, change: DeleteFile | DeleteFolder) -> None:
    if not change.path:
        root.empty()
        return
    *folders, name = change.path.split("/")
    way = [root]
    for segment in folders:
        inner = way[-1].folder(segment)
        if inner is None:
            raise NotInTreeError("what is to be deleted is not there", place=shown(change.path))
        way.append(inner)
    is_folder = way[-1].folder(name) is not None
    if name not in way[-1].contents:
        raise NotInTreeError("what is to be deleted is not there", place=shown(change.path))
    if is_folder != isinstance(change, DeleteFolder):
        noun = "folder" if is_folder else "file"
        raise PathClashError(f"this is a {noun} and is deleted as one", place=shown(change.path))
    del way[-1].contents[name]
    for folder in way:
        folder.changed = True
    for index in range(len(folders), 0, -1):
        if way[index].contents:
            break
        del way[index - 1].contents[folders[index - 1]]


def _write(folder: _Folder, new: dict[str, GitObject]) -> str:
    if not folder.changed:
        return folder.oid
    entries = [
        inner if isinstance(inner, TreeEntry) else TreeEntry(name, Mode.FOLDER, _write(inner, new))
        for name, inner in folder.contents.items()
    ]
    data = encode_tree(entries)
    oid = oid_of("tree", data)
    if oid != folder.oid:
        new[oid] = GitObject("tree", data)
    return oid
