"""Commits made again from what a hub's API tells of them: for sources that do not speak Git's own protocol.

The API gives authors, dates, messages and files, and not parents: a history is made one line, oldest first. The same
facts make the same commits, and each names the one it stands for in a trailer: from there the next pull goes on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from weighbridge.hub.git.history import log
from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    GitObject,
    Person,
    encode_commit,
    oid_of,
)
from weighbridge.hub.git.tree import ObjectReader, Put, apply

TRAILER: Final = "Source-commit"
_MAX_LOOKED_AT: Final = 1_000_000
_TRAILER: Final = re.compile(rf"(?:^|\n){TRAILER}: ([0-9a-f]{{40}})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCommit:
    """A commit as an API lists it: its id there, its first author, its time, the first line and the rest."""

    oid: str
    author: str
    committed_at: datetime
    title: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file of a commit: path, oid of its blob and size; of a large one the SHA-256, and the Xet hash if stated."""

    path: str
    oid: str
    size_bytes: int
    sha256: str | None
    xet_hash: str | None = None


def replayed(reader: ObjectReader, tips: Iterable[str]) -> dict[str, str]:
    """Return what stands here for each commit of the source: its oid by the source's.

    `tips` are commits that were made here before, and not just any: everybody can write a trailer.
    """
    found: dict[str, str] = {}
    for tip in dict.fromkeys(tips):
        for commit, _ in zip(log(reader, tip), range(_MAX_LOOKED_AT), strict=False):
            match = _TRAILER.search(commit.facts.message)
            if match is None or match[1] in found:
                break
            found[match[1]] = commit.oid
    return found


def tree_of(files: Sequence[SourceFile], oids: Mapping[str, str]) -> tuple[str, dict[str, GitObject]]:
    """Return the oid of the folder that holds the files, and the objects of all folders.

    Args:
        files: what is in it.
        oids: the oid of the blob by path.

    Raises:
        GitPathError, TreeChangeError: for paths that no repository may hold.
    """
    return apply(InMemoryObjects(), EMPTY_TREE_OID, [Put(path=file.path, blob_oid=oids[file.path]) for file in files])


def remade(stated: SourceCommit, tree: str, parent: str | None) -> tuple[str, GitObject]:
    """Return the commit that stands for one of the source. Raises `GitObjectError` for what no commit can state."""
    trailer = f"{TRAILER}: {stated.oid}"
    facts = CommitFacts(
        tree=tree,
        parents=(parent,) if parent else (),
        author=Person.cleaned(stated.author, ""),
        committed_at=stated.committed_at,
        title=stated.title,
        message=f"{stated.message.strip()}\n\n{trailer}" if stated.message.strip() else trailer,
    )
    data = encode_commit(facts)
    return oid_of("commit", data), GitObject("commit", data)
