"""Walks the folders of a revision, and makes the folders of the next one.

Everything is lazy: a look-up reads the folders on its way, a change reads and rewrites those it touches. Reads of one
level go out as one `read_many`, because each may be a query.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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
    pick_entries,
)
from weighbridge.hub.git.paths import MAX_DEPTH, check_folder, check_path, is_oid, shown

READ_BATCH = 500


class ObjectReader(Protocol):
    """Gives the objects of one repository. The caller decides who may read it."""

    def read(self, oid: str) -> GitObject:
        """Return the object. Raises `MissingObjectError`."""

    def read_many(self, oids: Sequence[str]) -> Mapping[str, GitObject]:
        """Return the objects by oid, each once, in any order. Raises `MissingObjectError` if one is not there."""


class PathEntry(NamedTuple):
    """A file or a folder of a revision, by its path from the root."""

    path: str
    mode: Mode
    oid: str

    @property
    def is_folder(self) -> bool:
        return self.mode is Mode.FOLDER


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
    return {oid: decode_tree(data) for oid, data in _tree_bytes(reader, tree_oids)}


def find(reader: ObjectReader, tree_oid: str, path: str) -> PathEntry | None:
    """Return what lies at `path` (the root at the empty path), or None. Raises `GitPathError`, `GitObjectError`."""
    return find_many(reader, tree_oid, (path,)).get(path)


def find_many(reader: ObjectReader, tree_oid: str, paths: Iterable[str]) -> dict[str, PathEntry]:
    """Return what lies at each of `paths`, by path as given; those that are not there are left out.

    Each folder is read once, and the folders of one level together.
    """
    found: dict[str, PathEntry] = {}
    waiting: dict[str, list[tuple[str, list[str], int]]] = {}
    for path in dict.fromkeys(paths):
        trimmed = check_folder(path)
        if trimmed:
            waiting.setdefault(tree_oid, []).append((path, trimmed.split("/"), 0))
        else:
            found[path] = PathEntry("", Mode.FOLDER, tree_oid)
    while waiting:
        following: dict[str, list[tuple[str, list[str], int]]] = {}
        for oid, data in _tree_bytes(reader, waiting):
            names = pick_entries(data, {segments[depth] for _, segments, depth in waiting[oid]})
            for path, segments, depth in waiting[oid]:
                entry = names.get(segments[depth])
                if entry is None:
                    continue
                if depth == len(segments) - 1:
                    if entry.mode is Mode.FOLDER or not path.endswith("/"):
                        found[path] = PathEntry("/".join(segments), entry.mode, entry.oid)
                elif entry.mode is Mode.FOLDER:
                    following.setdefault(entry.oid, []).append((path, segments, depth + 1))
        waiting = following
    return found


def list_folder(reader: ObjectReader, tree_oid: str, path: str = "") -> tuple[PathEntry, ...] | None:
    """Return what lies directly in the folder, in git's order; None if there is no folder at `path`."""
    folder = find(reader, tree_oid, path)
    if folder is None or not folder.is_folder:
        return None
    prefix = f"{folder.path}/" if folder.path else ""
    return tuple(PathEntry(prefix + name, mode, oid) for name, mode, oid in read_tree(reader, folder.oid))


def walk(reader: ObjectReader, tree_oid: str, prefix: str = "", *, after: str = "") -> Iterator[PathEntry]:
    """Yield what lies under the folder `prefix`, at any depth, in git's order: each folder before what is in it.

    With `after`, a path that an earlier walk of the same tree yielded, it goes on behind that path and reads only
    the folders that this takes. Nothing is yielded if there is no folder at `prefix`.
    """
    folder = find(reader, tree_oid, prefix)
    if folder is None or not folder.is_folder:
        return
    start = f"{folder.path}/" if folder.path else ""
    cursor: tuple[str, ...] = ()
    if after:
        if not check_path(after).startswith(start):
            raise NotInTreeError("the walk cannot go on behind a path outside its folder", place=shown(after))
        cursor = tuple(after[len(start) :].split("/"))
    yield from _walk(reader, read_tree(reader, folder.oid), start, cursor, start.count("/"))


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


def _tree_bytes(reader: ObjectReader, tree_oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
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


def _data_of_tree(oid: str, item: GitObject) -> bytes:
    if item.kind != "tree":
        raise GitObjectError(f"this is a {item.kind} where a folder is expected", place=oid)
    return item.data


def _walk(
    reader: ObjectReader, entries: tuple[TreeEntry, ...], prefix: str, cursor: tuple[str, ...], depth: int
) -> Iterator[PathEntry]:
    if depth >= MAX_DEPTH:
        raise GitObjectError(f"folders lie more than {MAX_DEPTH} deep", place=shown(prefix))
    start = _resume_at(entries, cursor, prefix)
    for first in range(start, len(entries), READ_BATCH):
        batch = entries[first : first + READ_BATCH]
        trees = read_trees(reader, (entry.oid for entry in batch if entry.mode is Mode.FOLDER))
        for index, (name, mode, oid) in enumerate(batch, first):
            resumed = bool(cursor) and index == start
            if not resumed:
                yield PathEntry(prefix + name, mode, oid)
            if mode is Mode.FOLDER:
                yield from _walk(reader, trees[oid], f"{prefix}{name}/", cursor[1:] if resumed else (), depth + 1)


def _resume_at(entries: tuple[TreeEntry, ...], cursor: tuple[str, ...], prefix: str) -> int:
    if not cursor:
        return 0
    for index, entry in enumerate(entries):
        if entry.name == cursor[0] and (entry.mode is Mode.FOLDER or len(cursor) == 1):
            return index
    raise NotInTreeError("the walk cannot go on behind what is not there", place=shown(prefix + "/".join(cursor)))


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
