"""Finds the files of a revision by their paths, and walks its folders.

Everything is lazy: a look-up reads the folders on its way only, and those of one level together.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from weighbridge.hub.git.objects import GitObjectError, Mode, TreeEntry, pick_entries
from weighbridge.hub.git.paths import MAX_DEPTH, check_folder, check_path, shown
from weighbridge.hub.git.tree import READ_BATCH, NotInTreeError, ObjectReader, read_tree, read_trees, tree_bytes


class PathEntry(NamedTuple):
    """A file or a folder of a revision, by its path from the root."""

    path: str
    mode: Mode
    oid: str

    @property
    def is_folder(self) -> bool:
        return self.mode is Mode.FOLDER


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
        for oid, data in tree_bytes(reader, waiting):
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
