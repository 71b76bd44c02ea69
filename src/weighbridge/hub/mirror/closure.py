"""What hangs together in a repository: every object behind some refs that is not behind others."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from weighbridge.errors import InputError
from weighbridge.hub.git.history import read_commits
from weighbridge.hub.git.objects import EMPTY_TREE_OID, Mode
from weighbridge.hub.git.selection import peel
from weighbridge.hub.git.tree import ObjectReader, read_trees

MAX_COMMITS: Final = 2_000_000
MAX_OBJECTS: Final = 20_000_000
_LEVEL: Final = 500


class TooLargeToMoveError(InputError):
    """More objects than are moved at once."""

    hint = "Move fewer branches and tags at once."


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Oids behind some refs, each once, in an order that depends on nothing else."""

    commits: tuple[str, ...]
    tags: tuple[str, ...]
    trees: tuple[str, ...]
    blobs: tuple[str, ...]


def closure(reader: ObjectReader, wants: Iterable[str], haves: Iterable[str] = ()) -> Closure:
    """Return what `wants` (commits or annotated tags) need and a hub that has the commits `haves` may lack.

    Commits behind `haves` are left out, and the files of `haves` themselves; what only older ones of them held is not
    looked for. Reads commits and trees, never blobs: whether those are there is the caller's to ask.

    Raises:
        MissingObjectError: if a commit, tag or tree is not there.
        GitObjectError: if a ref names something else.
        TooLargeToMoveError: beyond 2 million commits or 20 million objects.
    """
    peeled = [peel(reader, oid) for oid in dict.fromkeys(wants)]
    tips = list(dict.fromkeys(haves))
    had = _ancestors(reader, tips, set())
    fresh = _ancestors(reader, [item.target for item in peeled], set(had))
    seen: dict[str, bool] = {EMPTY_TREE_OID: True}
    _walk(reader, [had[oid] for oid in tips], seen)
    before = len(seen)
    _walk(reader, list(fresh.values()), seen)
    found = list(seen.items())[before:]
    return Closure(
        commits=tuple(reversed(fresh)),
        tags=tuple(dict.fromkeys(tag for item in peeled for tag in item.tags)),
        trees=tuple(oid for oid, is_tree in found if is_tree),
        blobs=tuple(oid for oid, is_tree in found if not is_tree),
    )


def _ancestors(reader: ObjectReader, starts: Iterable[str], known: set[str]) -> dict[str, str]:
    """Return the tree of each commit that the starts lead to, less what is known, children before most parents."""
    found: dict[str, str] = {}
    level = [oid for oid in dict.fromkeys(starts) if oid not in known]
    while level:
        following: dict[str, None] = {}
        for commit in read_commits(reader, level).values():
            found[commit.oid] = commit.facts.tree
            following.update(dict.fromkeys(commit.facts.parents))
        if len(found) > MAX_COMMITS:
            raise TooLargeToMoveError(f"the history has more than {MAX_COMMITS:,} commits")
        level = [oid for oid in following if oid not in found and oid not in known]
    return found


def _walk(reader: ObjectReader, roots: Iterable[str], seen: dict[str, bool]) -> None:
    waiting = [oid for oid in dict.fromkeys(roots) if oid not in seen]
    seen.update(dict.fromkeys(waiting, True))
    while waiting:
        part, waiting = waiting[-_LEVEL:], waiting[:-_LEVEL]
        for entries in read_trees(reader, part).values():
            for entry in entries:
                if entry.oid not in seen:
                    seen[entry.oid] = is_folder = entry.mode is Mode.FOLDER
                    if is_folder:
                        waiting.append(entry.oid)
        if len(seen) > MAX_OBJECTS:
            raise TooLargeToMoveError(f"there are more than {MAX_OBJECTS:,} files and folders")
