"""Under which path a file came into a history: what a hub is asked by, that tells of files and not of blobs."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from weighbridge.hub.database.batch import batches
from weighbridge.hub.git.history import read_commits
from weighbridge.hub.git.objects import EMPTY_TREE_OID, Mode
from weighbridge.hub.git.paths import MAX_DEPTH, MAX_PATH_BYTES
from weighbridge.hub.git.tree import READ_BATCH, ObjectReader, read_trees


class Whereabouts(NamedTuple):
    """A blob, and a commit that has it at a path."""

    blob: str
    commit: str
    path: str


def whereabouts(reader: ObjectReader, commits: Iterable[str], blobs: Collection[str]) -> Iterator[Whereabouts]:
    """Yield where each of the blobs came into the history, oldest commits first; each folder is read once.

    What lies deeper, or at a longer path, than a repository may have it, is left out. Raises `GitObjectError`.
    """
    left, seen = set(blobs), {EMPTY_TREE_OID}
    if not left:
        return
    for commit in _oldest_first(reader, commits):
        for blob, path in _files(reader, commit.tree, seen):
            if blob in left:
                left.discard(blob)
                yield Whereabouts(blob, commit.oid, path)
        if not left:
            return


class _Commit(NamedTuple):
    committed_at: datetime
    oid: str
    tree: str


def _oldest_first(reader: ObjectReader, commits: Iterable[str]) -> Iterator[_Commit]:
    """Yield the commits by their time, but each behind its parents: clocks differ, and many fit into one second."""
    found: dict[str, _Commit] = {}
    children: dict[str, list[str]] = {}
    for batch in batches(commits, READ_BATCH):
        for commit in read_commits(reader, batch).values():
            found[commit.oid] = _Commit(commit.facts.committed_at, commit.oid, commit.facts.tree)
            for parent in set(commit.facts.parents):
                children.setdefault(parent, []).append(commit.oid)
    waits_for = Counter(child for parent in found for child in children.get(parent, ()))
    ready = [commit for oid, commit in found.items() if not waits_for[oid]]
    heapify(ready)
    while ready:
        oldest = heappop(ready)
        yield oldest
        for child in children.get(oldest.oid, ()):
            waits_for[child] -= 1
            if not waits_for[child]:
                heappush(ready, found[child])


def _files(reader: ObjectReader, root: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the files of those folders under `root` that were not seen before, by levels."""
    level = {root: ""} if root not in seen else {}
    while level:
        seen.update(level)
        below: dict[str, str] = {}
        for tree, entries in read_trees(reader, level).items():
            for entry in entries:
                path = f"{level[tree]}{entry.name}"
                if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES or path.count("/") >= MAX_DEPTH:
                    continue
                if entry.mode is not Mode.FOLDER:
                    yield entry.oid, path
                elif entry.oid not in seen:
                    below.setdefault(entry.oid, f"{path}/")
        level = below
