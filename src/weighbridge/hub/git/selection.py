"""Which objects a client lacks: commits between what it wants and what it has, and what is new in each.

To send too much is waste, to send too little a broken repository: whatever is in doubt is sent.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from weighbridge.errors import InputError
from weighbridge.hub.git.history import read_commits
from weighbridge.hub.git.objects import GitObjectError, MissingObjectError, Mode, decode_tag
from weighbridge.hub.git.tree import ObjectReader, read_trees

MAX_SENT_OBJECTS: Final = 500_000
MAX_TAG_DEPTH: Final = 8


class TooMuchToSendError(InputError):
    """More objects than one answer may hold."""

    hint = "Clone with `--depth 1`, or download the revision with `hf download`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shallow:
    """Where a client's history ends. `cut`: commits that it gets without parents; `uncut`: those that get them now."""

    cut: frozenset[str] = frozenset()
    uncut: frozenset[str] = frozenset()


class Peeled(NamedTuple):
    """What a wanted oid leads to: the tag objects on the way, and the commit, tree or blob at its end."""

    tags: tuple[str, ...]
    target: str
    kind: str


def peel(reader: ObjectReader, oid: str) -> Peeled:
    """Follow annotated tags. Raises `GitObjectError`, also for tags of tags of tags without end."""
    tags: list[str] = []
    for _ in range(MAX_TAG_DEPTH):
        item = reader.read(oid)
        if item.kind != "tag":
            return Peeled(tuple(tags), oid, item.kind)
        tags.append(oid)
        oid = decode_tag(item.data).target
    raise GitObjectError(f"more than {MAX_TAG_DEPTH} tags name each other", place=tags[0])


def known(reader: ObjectReader, oids: Iterable[str]) -> tuple[str, ...]:
    """Return those of `oids` that are commits of this repository; tags count as the commits that they name."""
    found: dict[str, None] = {}
    for oid in oids:
        try:
            peeled = peel(reader, oid)
        except MissingObjectError:
            continue
        if peeled.kind == "commit":
            found[peeled.target] = None
    return tuple(found)


def deepen(reader: ObjectReader, wants: Iterable[str], depth: int, shallow: Collection[str]) -> Shallow:
    """Return where history ends `depth` commits down from the wanted commits (1: at these themselves).

    `shallow` are the commits at which the client's history ends now.
    """
    cut: set[str] = set()
    inside: set[str] = set()
    level = list(dict.fromkeys(wants))
    seen = set(level)
    for distance in range(1, depth + 1):
        if not level:
            break
        _check_number(len(seen))
        commits = read_commits(reader, level).values()
        (cut if distance == depth else inside).update(commit.oid for commit in commits if commit.facts.parents)
        parents = dict.fromkeys(parent for commit in commits for parent in commit.facts.parents)
        level = [parent for parent in parents if parent not in seen]
        seen.update(level)
    return Shallow(cut=frozenset(cut), uncut=frozenset(inside.intersection(shallow)))


def lacking(
    reader: ObjectReader,
    wants: Iterable[str],
    haves: Iterable[str],
    *,
    shallow: Collection[str] = (),
    ends: Shallow | None = None,
) -> tuple[str, ...]:
    """Return the oids to send, each once: commits first, then what their trees hold, newest first.

    `haves` are commits that the client has with all they need, back to `shallow`. `ends` comes from `deepen`. Raises
    `TooMuchToSendError`, `GitObjectError`.
    """
    ends = ends or Shallow()
    peeled = [peel(reader, oid) for oid in dict.fromkeys(wants)]
    starts = {item.target for item in peeled if item.kind == "commit"}
    for commit in read_commits(reader, ends.uncut).values():
        starts.update(commit.facts.parents)
    old_ends = frozenset(shallow) - ends.uncut
    steps = _between(reader, starts, frozenset(haves), ends.cut | old_ends, frozenset(shallow))
    sent = dict.fromkeys([*(step.oid for step in steps), *(tag for item in peeled for tag in item.tags)])
    for item in peeled:
        if item.kind == "tree":
            sent[item.target] = None
            _add_new(reader, None, item.target, sent)
        elif item.kind == "blob":
            sent[item.target] = None
    for step in steps:
        if step.tree not in sent:
            sent[step.tree] = None
            _add_new(reader, step.base_tree, step.tree, sent)
    return tuple(sent)


class _Step(NamedTuple):
    oid: str
    tree: str
    base_tree: str | None


def _between(
    reader: ObjectReader,
    starts: Collection[str],
    haves: frozenset[str],
    ends: frozenset[str],
    have_ends: frozenset[str],
) -> list[_Step]:
    """Return the commits reachable from `starts` and not from `haves`, newest first, each with a tree to compare with.

    Goes by commit time until all that waits is reachable from `haves`. Clocks that disagree make it send more.
    """
    had: set[str] = set(haves)
    queue = _Queue(reader, had)
    queue.push(starts)
    queue.push(haves)
    order: dict[str, tuple[str, tuple[str, ...]]] = {}
    trees: dict[str, str] = {}
    while queue.open:
        oid, tree, parents = queue.pop()
        _check_number(len(order))
        trees[oid] = tree
        if oid in had:
            following = () if oid in have_ends else parents
            had.update(following)
            queue.open.difference_update(following)
        else:
            following = () if oid in ends else parents
            order[oid] = (tree, following)
        queue.push(following)
    trees.update(queue.waiting_trees())
    return [
        _Step(oid, tree, trees.get(parents[0]) if parents else None)
        for oid, (tree, parents) in order.items()
        if oid not in had
    ]


class _Queue:
    """Commits that wait, newest first; what is pushed again after it was taken is not read again.

    `open` are those among them that the client is not known to have.
    """

    def __init__(self, reader: ObjectReader, had: Collection[str]) -> None:
        self.open: set[str] = set()
        self._had = had
        self._reader = reader
        self._heap: list[tuple[float, str, str, tuple[str, ...]]] = []
        self._pushed: set[str] = set()

    def push(self, oids: Iterable[str]) -> None:
        fresh = [oid for oid in oids if oid not in self._pushed]
        for commit in read_commits(self._reader, fresh).values():
            self._pushed.add(commit.oid)
            if commit.oid not in self._had:
                self.open.add(commit.oid)
            facts = commit.facts
            heapq.heappush(self._heap, (-facts.committed_at.timestamp(), commit.oid, facts.tree, facts.parents))

    def pop(self) -> tuple[str, str, tuple[str, ...]]:
        _, oid, tree, parents = heapq.heappop(self._heap)
        self.open.discard(oid)
        return oid, tree, parents

    def waiting_trees(self) -> Iterator[tuple[str, str]]:
        return ((oid, tree) for _, oid, tree, _ in self._heap)


def _add_new(reader: ObjectReader, old_tree: str | None, new_tree: str, sent: dict[str, None]) -> None:
    """Add to `sent` what lies in the new tree and not at the same path in the old one, which the client has or gets."""
    level: Mapping[str, str | None] = {new_tree: old_tree}
    while level:
        trees = read_trees(reader, [oid for pair in level.items() for oid in pair if oid])
        following: dict[str, str | None] = {}
        for new, old in level.items():
            before = {entry.name: entry for entry in trees[old]} if old else {}
            for entry in trees[new]:
                earlier = before.get(entry.name)
                if entry.oid in sent or (earlier and earlier.oid == entry.oid):
                    continue
                sent[entry.oid] = None
                if entry.mode is Mode.FOLDER:
                    is_folder = earlier is not None and earlier.mode is Mode.FOLDER
                    following[entry.oid] = earlier.oid if earlier and is_folder else None
        _check_number(len(sent))
        level = following


def _check_number(count: int) -> None:
    if count > MAX_SENT_OBJECTS:
        raise TooMuchToSendError(f"more than {MAX_SENT_OBJECTS} objects would have to be sent")
