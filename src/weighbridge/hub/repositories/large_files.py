"""The large files that a repository holds: listed by where they lie, and lent to another repository."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from weighbridge.hub.content.content import MissingContentError, own_all, owned_among, xet_hashes
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import git_object
from weighbridge.hub.git.history import log
from weighbridge.hub.git.objects import GitObjectError, Mode
from weighbridge.hub.git.tree import read_trees
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.refs import MAIN, list_refs

MAX_TREES: Final = 100_000
_MAX_LOOKED_AT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeFile:
    """A large file of a repository.

    Attributes:
        sha256: of its bytes.
        size_bytes: of the file.
        pushed_ms: when a commit first named it.
        pointer: the oid of its pointer: the canonical form has one spelling, so it is one blob.
    """

    sha256: str
    size_bytes: int
    pushed_ms: int
    pointer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a large file lies or lay: the path, and the ref that led there."""

    path: str
    ref: str


def page(connection: Connection, repository_id: int, *, after: str, limit: int) -> tuple[LargeFile, ...]:
    """Return up to `limit` large files that commits of the repository name, in order of SHA-256, behind `after`."""
    mine = (git_object.c.repository_id == repository_id) & git_object.c.lfs_sha256.is_not(None)
    rows = connection.execute(
        select(
            git_object.c.lfs_sha256,
            func.max(git_object.c.lfs_size_bytes),
            func.min(git_object.c.created_ms),
            func.min(git_object.c.oid),
        )
        .where(mine, git_object.c.lfs_sha256 > after)
        .group_by(git_object.c.lfs_sha256)
        .order_by(git_object.c.lfs_sha256)
        .limit(limit)
    )
    return tuple(
        LargeFile(sha256=sha256, size_bytes=size, pushed_ms=pushed_ms, pointer=oid)
        for sha256, size, pushed_ms, oid in rows
    )


def places(connection: Connection, repository_id: int, pointers: Iterable[str]) -> dict[str, Place]:
    """Return where pointers lie, by oid: at the head of a ref, else in the newest older commit that has them.

    Bounded: what lies deeper in a long history is left out.
    """
    wanted = set(pointers)
    found: dict[str, Place] = {}
    seen: set[str] = set()
    reader = DatabaseObjects(connection, repository_id)
    refs = sorted(list_refs(connection, repository_id), key=lambda each: (each.name != MAIN, each.name))
    try:
        for each in refs:
            for commit, _ in zip(log(reader, each.commit_oid), range(_MAX_LOOKED_AT), strict=False):
                if wanted <= found.keys() or len(seen) > MAX_TREES:
                    return found
                _search(reader, commit.facts.tree, each.name, wanted, found, seen)
    except GitObjectError:
        return found
    return found


def lend(
    connection: Connection, source: Repository, target: Repository, shas: dict[str, str], *, now_ms: int
) -> list[dict[str, str]]:
    """Let `target` hold files of `source`, so that a commit may name them; return what failed.

    Args:
        connection: a writing transaction.
        source: a repository whose files the caller may read.
        target: one that the caller may write to.
        shas: the Xet hash that the client knows, by SHA-256.
        now_ms: milliseconds since 1970.
    """
    held = owned_among(connection, source.id, shas)
    known = xet_hashes(connection, held)
    failed = [
        {"sha256": sha256, "error": "The source repository has no such file."}
        for sha256, xet_hash in shas.items()
        if sha256 not in held or (xet_hash and known.get(sha256) != xet_hash)
    ]
    refused = {failure["sha256"] for failure in failed}
    try:
        own_all(connection, target.id, [sha256 for sha256 in held if sha256 not in refused], now_ms=now_ms)
    except MissingContentError as error:
        failed += ({"sha256": sha256, "error": error.message} for sha256 in held if sha256 not in refused)
    return failed


def _search(
    reader: DatabaseObjects, root: str, ref: str, wanted: set[str], found: dict[str, Place], seen: set[str]
) -> None:
    level = {root: ""}
    while level:
        # One folder may lie at several paths; looking into it once is enough to name a file in it.
        fresh = {oid: prefix for oid, prefix in level.items() if oid not in seen}
        seen.update(fresh)
        level = {}
        for part in batches(list(fresh)):
            for oid, entries in read_trees(reader, part).items():
                for entry in entries:
                    path = fresh.get(oid, "") + entry.name
                    if entry.mode is Mode.FOLDER:
                        level[entry.oid] = path + "/"
                    elif entry.oid in wanted:
                        found.setdefault(entry.oid, Place(path=path, ref=ref))
