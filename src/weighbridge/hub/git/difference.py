"""What differs between two trees: paths, text in git's unified form, and the three-way merge of paths."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from weighbridge.errors import InputError
from weighbridge.hub.git.objects import EMPTY_TREE_OID, GitObject, GitObjectError, Mode, TreeEntry
from weighbridge.hub.git.paths import MAX_DEPTH, shown
from weighbridge.hub.git.tree import READ_BATCH, Change, DeleteFile, ObjectReader, Put, apply, read_trees
from weighbridge.hub.git.walk import PathEntry

MAX_CHANGES: Final = 1_000_000


class TooManyChangesError(InputError):
    """More paths differ than may be listed."""

    hint = "Compare revisions that lie closer together."


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChange:
    """A file that differs: `old` is None where it was added, `new` where it was removed."""

    path: str
    old: PathEntry | None
    new: PathEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedTree:
    """The tree that both sides' changes make, and the tree objects that are new, by oid."""

    tree_oid: str
    objects: Mapping[str, GitObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConflict:
    """The paths that both sides changed, each in its own way."""

    paths: tuple[str, ...]


def changed_paths(
    reader: ObjectReader, old_tree: str | None, new_tree: str | None, *, max_changes: int = MAX_CHANGES
) -> Iterator[PathChange]:
    """Yield the files that differ, in git's order; None stands for the empty tree.

    Equal folders are not read. Where a file became a folder, it is removed and the files in the folder are added.
    Raises `TooManyChangesError` when more than `max_changes` differ, `GitObjectError`.
    """
    old_oid, new_oid = old_tree or EMPTY_TREE_OID, new_tree or EMPTY_TREE_OID
    if old_oid == new_oid:
        return
    trees = read_trees(reader, (old_oid, new_oid))
    for count, change in enumerate(_pairs(reader, "", trees[old_oid], trees[new_oid])):
        if count >= max_changes:
            raise TooManyChangesError(f"more than {max_changes} files differ")
        yield change


def merge(reader: ObjectReader, base: str | None, ours: str, theirs: str) -> MergedTree | MergeConflict:
    """Merge two trees that grew from `base` (None: from nothing), path by path.

    A path that one side changed is taken from it; one that both changed alike is taken once. All others are conflicts:
    contents of one file are never mixed, because most files of a model are not text.
    """
    mine = {change.path: change for change in changed_paths(reader, base, ours)}
    incoming = [change for change in changed_paths(reader, base, theirs) if change != mine.get(change.path)]
    conflicts = {change.path for change in incoming if change.path in mine}
    conflicts |= _clashes(mine.values(), incoming)
    if conflicts:
        return MergeConflict(paths=tuple(sorted(conflicts)))
    removed: list[Change] = [DeleteFile(path=change.path) for change in incoming if change.new is None]
    written: list[Change] = [
        Put(path=change.path, blob_oid=change.new.oid, mode=change.new.mode) for change in incoming if change.new
    ]
    tree_oid, objects = apply(reader, ours, removed + written)
    return MergedTree(tree_oid=tree_oid, objects=objects)


def _pairs(
    reader: ObjectReader, prefix: str, old: tuple[TreeEntry, ...], new: tuple[TreeEntry, ...]
) -> Iterator[PathChange]:
    if prefix.count("/") >= MAX_DEPTH:
        raise GitObjectError(f"folders lie more than {MAX_DEPTH} deep", place=shown(prefix))
    rows = _rows(old, new)
    for start in range(0, len(rows), READ_BATCH):
        batch = rows[start : start + READ_BATCH]
        trees = read_trees(reader, (entry.oid for row in batch for entry in row if entry and entry.mode is Mode.FOLDER))
        for before, after in batch:
            entry = before or after
            assert entry is not None
            path = prefix + entry.name
            if entry.mode is Mode.FOLDER:
                inner = (trees[side.oid] if side else () for side in (before, after))
                yield from _pairs(reader, f"{path}/", *inner)
            else:
                yield PathChange(path=path, old=_at(path, before), new=_at(path, after))


def _rows(old: tuple[TreeEntry, ...], new: tuple[TreeEntry, ...]) -> list[tuple[TreeEntry | None, TreeEntry | None]]:
    """Pair what goes by one name and is of one sort (file or folder), leave out what is equal; in git's order."""
    same = set(old).intersection(new)
    rows: dict[str, tuple[TreeEntry | None, TreeEntry | None]] = {
        _key(entry): (entry, None) for entry in old if entry not in same
    }
    for entry in new:
        if entry not in same:
            rows[_key(entry)] = (rows.get(_key(entry), (None, None))[0], entry)
    return [rows[key] for key in sorted(rows, key=str.encode)]


def _key(entry: TreeEntry) -> str:
    return f"{entry.name}/" if entry.mode is Mode.FOLDER else entry.name


def _at(path: str, entry: TreeEntry | None) -> PathEntry | None:
    return PathEntry(path, entry.mode, entry.oid) if entry else None


def _clashes(mine: Iterable[PathChange], incoming: Iterable[PathChange]) -> set[str]:
    """Return the incoming files that would lie in, or where a folder lies of, a file that our side wrote."""
    written = {change.path for change in mine if change.new}
    folders = {folder for path in written for folder in _folders_of(path)}
    return {
        change.path
        for change in incoming
        if change.new and (change.path in folders or not written.isdisjoint(_folders_of(change.path)))
    }


def _folders_of(path: str) -> Iterator[str]:
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)
