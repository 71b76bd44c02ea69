"""Commits in order: logs with paging, ancestry, the best common ancestor, and which commit last touched a path.

Every walk is bounded by a number of commits, because a repository may hold more of them than a request may read.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from weighbridge.errors import InputError
from weighbridge.hub.git.objects import (
    CommitFacts,
    GitObject,
    GitObjectError,
    MissingObjectError,
    Mode,
    TreeEntry,
    decode_commit,
)
from weighbridge.hub.git.paths import check_folder
from weighbridge.hub.git.tree import READ_BATCH, ObjectReader, read_trees
from weighbridge.hub.git.walk import find_many

_Trees = dict[str, tuple[TreeEntry, ...]]

MAX_COMMITS: Final = 100_000


class HistoryTooLongError(InputError):
    """An answer would take more commits than may be read for it."""

    hint = "Squash the branch's history, or ask about commits that lie closer together."


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit by its oid, with what it states."""

    oid: str
    facts: CommitFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Some commits of a log in order, and whether more follow."""

    commits: tuple[Commit, ...]
    more: bool


def read_commit(reader: ObjectReader, commit_oid: str) -> Commit:
    """Return the commit. Raises `GitObjectError` if there is none of this oid, or it is something else."""
    return _commit(commit_oid, reader.read(commit_oid))


def read_commits(reader: ObjectReader, commit_oids: Iterable[str]) -> dict[str, Commit]:
    """Return many commits by oid, read in batches. Raises `GitObjectError`."""
    wanted = list(dict.fromkeys(commit_oids))
    commits: dict[str, Commit] = {}
    for start in range(0, len(wanted), READ_BATCH):
        batch = wanted[start : start + READ_BATCH]
        found = reader.read_many(batch)
        for oid in batch:
            if oid not in found:
                raise MissingObjectError("a commit's object is not there", place=oid)
            commits[oid] = _commit(oid, found[oid])
    return commits


def log(reader: ObjectReader, commit_oid: str) -> Iterator[Commit]:
    """Yield the commit and its ancestors, each once, newest first. Raises `GitObjectError`.

    Newest by the time that commits state; each comes after at least one of its children, whatever the clocks said.
    """
    queue = _Newest(reader, (commit_oid,))
    while queue:
        commit = queue.pop()
        yield commit
        queue.push(commit.facts.parents)


def history_page(reader: ObjectReader, commit_oid: str, *, skip: int = 0, limit: int = 50) -> HistoryPage:
    """Return `limit` commits of the log after the first `skip`. Raises `HistoryTooLongError` beyond `MAX_COMMITS`."""
    if skip < 0 or limit < 0 or skip + limit > MAX_COMMITS:
        raise HistoryTooLongError(f"a log is listed up to its first {MAX_COMMITS} commits")
    found = tuple(islice(log(reader, commit_oid), skip, skip + limit + 1))
    return HistoryPage(commits=found[:limit], more=len(found) > limit)


def is_ancestor(reader: ObjectReader, ancestor: str, descendant: str, *, max_commits: int = MAX_COMMITS) -> bool:
    """Whether `ancestor` is `descendant` or one of its ancestors. Raises `HistoryTooLongError`."""
    seen = {descendant}
    level = [descendant]
    while level:
        if ancestor in seen:
            return True
        if len(seen) > max_commits:
            raise HistoryTooLongError(f"ancestry is looked up over at most {max_commits} commits", place=ancestor)
        commits = read_commits(reader, level)
        parents = dict.fromkeys(parent for commit in commits.values() for parent in commit.facts.parents)
        level = [parent for parent in parents if parent not in seen]
        seen.update(level)
    return False


def merge_base(reader: ObjectReader, a: str, b: str, *, max_commits: int = MAX_COMMITS) -> str | None:
    """Return the best common ancestor of two commits, or None if they share none.

    Best: no other common ancestor descends from it; of several such, the newest. Raises `HistoryTooLongError`.
    """
    candidates = _common(reader, a, b, max_commits)
    best = [
        commit
        for commit in candidates
        if not any(
            other is not commit and is_ancestor(reader, commit.oid, other.oid, max_commits=max_commits)
            for other in candidates
        )
    ]
    return max(best, key=lambda commit: (commit.facts.committed_at, commit.oid)).oid if best else None


def last_commits(
    reader: ObjectReader, commit_oid: str, paths: Iterable[str], *, max_commits: int = 1000
) -> dict[str, Commit]:
    """Return for each path the commit along first parents that last changed what lies there, file or folder.

    Paths that are not in `commit_oid` are left out. At most `max_commits` commits are looked at; a path that none of
    them changed is given the oldest one looked at, which has it too. Equal folders of two commits are not read.
    """
    commit = read_commit(reader, commit_oid)
    waiting = set(find_many(reader, commit.facts.tree, paths))
    wanted, wanted_size = _Wanted.of(waiting), len(waiting)
    answers: dict[str, Commit] = {}
    trees: _Trees = {}
    for _ in range(max_commits - 1):
        if not waiting or not commit.facts.parents:
            break
        parent = read_commit(reader, commit.facts.parents[0])
        if parent.facts.tree != commit.facts.tree:
            touched, trees = _touched(reader, trees, parent.facts.tree, commit.facts.tree, wanted)
            answers.update(dict.fromkeys(touched & waiting, commit))
            waiting -= touched
            if len(waiting) <= wanted_size // 2:
                wanted, wanted_size = _Wanted.of(waiting), len(waiting)
        commit = parent
    answers.update(dict.fromkeys(waiting, commit))
    return answers


class _Newest:
    """Commits that wait for their turn, the newest first; none comes twice."""

    def __init__(self, reader: ObjectReader, commit_oids: Iterable[str]) -> None:
        self._reader = reader
        self._heap: list[tuple[float, int, Commit]] = []
        self._seen: set[str] = set()
        self.push(commit_oids)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, commit_oids: Iterable[str]) -> None:
        fresh = [oid for oid in commit_oids if oid not in self._seen]
        for commit in read_commits(self._reader, fresh).values():
            # Equal times keep the order in which they were found: parents after children, first parents first.
            order = (-commit.facts.committed_at.timestamp(), len(self._seen), commit)
            self._seen.add(commit.oid)
            heapq.heappush(self._heap, order)

    def pop(self) -> Commit:
        return heapq.heappop(self._heap)[2]


_OF_A: Final = 1
_OF_B: Final = 2
_BELOW: Final = 4


def _common(reader: ObjectReader, a: str, b: str, max_commits: int) -> list[Commit]:
    """Return common ancestors with all best ones among them (git's `paint_down_to_common`).

    Every commit is painted with the side that reaches it. Once all that wait lie below a common ancestor, no better
    one can follow, but for clocks that disagree: hence the check among the candidates.
    """
    paint: dict[str, int] = {}
    commits: dict[str, Commit] = {}
    heap: list[tuple[float, int, str]] = []

    def add(oids: Iterable[str], colour: int) -> None:
        fresh = [oid for oid in dict.fromkeys(oids) if paint.get(oid, 0) | colour != paint.get(oid, 0)]
        commits.update(read_commits(reader, [oid for oid in fresh if oid not in commits]))
        for oid in fresh:
            paint[oid] = paint.get(oid, 0) | colour
            heapq.heappush(heap, (-commits[oid].facts.committed_at.timestamp(), len(commits), oid))

    add((a,), _OF_A)
    add((b,), _OF_B)
    found: dict[str, Commit] = {}
    while any(not paint[oid] & _BELOW for _, _, oid in heap):
        if len(commits) > max_commits:
            raise HistoryTooLongError(f"a common ancestor is looked for over at most {max_commits} commits", place=a)
        oid = heapq.heappop(heap)[2]
        colour = paint[oid]
        if colour == _OF_A | _OF_B:
            found[oid] = commits[oid]
            colour |= _BELOW
        add(commits[oid].facts.parents, colour)
    return [commit for oid, commit in found.items() if not paint[oid] & _BELOW]


@dataclass(slots=True)
class _Wanted:
    """The paths asked for as a tree: `here` are those that end at this place, as they were given."""

    here: list[str] = field(default_factory=list)
    inside: "dict[str, _Wanted]" = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Iterable[str]) -> "_Wanted":
        root = cls()
        for path in paths:
            place = root
            trimmed = check_folder(path)
            for segment in trimmed.split("/") if trimmed else ():
                place = place.inside.setdefault(segment, cls())
            place.here.append(path)
        return root

    def all(self) -> Iterator[str]:
        yield from self.here
        for inner in self.inside.values():
            yield from inner.all()


def _touched(reader: ObjectReader, held: _Trees, before: str, after: str, wanted: _Wanted) -> tuple[set[str], _Trees]:
    """Return the wanted paths at which two differing trees differ, and the folders read, to hand in next time."""
    touched = set(wanted.here)
    read: _Trees = {}
    level = [(before, after, wanted)] if wanted.inside else []
    while level:
        oids = {oid for left, right, _ in level for oid in (left, right)}
        read.update({oid: held[oid] for oid in oids if oid in held})
        read.update(read_trees(reader, [oid for oid in oids if oid not in read]))
        following = []
        for left, right, place in level:
            old, new = (
                {entry.name: entry for entry in read[oid] if entry.name in place.inside} for oid in (left, right)
            )
            for name, inner in place.inside.items():
                earlier, later = old.get(name), new.get(name)
                if earlier == later:
                    continue
                if earlier and later and earlier.mode is later.mode is Mode.FOLDER:
                    touched.update(inner.here)
                    if inner.inside:
                        following.append((earlier.oid, later.oid, inner))
                else:
                    touched.update(inner.all())
        level = following
    return touched, read


def _commit(oid: str, item: GitObject) -> Commit:
    if item.kind != "commit":
        raise GitObjectError(f"this is a {item.kind} where a commit is expected", place=oid)
    return Commit(oid=oid, facts=decode_commit(item.data))
