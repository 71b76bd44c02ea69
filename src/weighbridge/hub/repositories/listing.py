"""The files of a revision as clients are shown them, ready as JSON.

A tree never changes and neither does what is in it, so the JSON of a listing is kept in memory by the tree's oid, up
to a bound: most requests for files read one row of the database.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from weighbridge.hub.git.history import Commit, last_commits
from weighbridge.hub.git.objects import EMPTY_TREE_OID
from weighbridge.hub.git.tree import READ_BATCH
from weighbridge.hub.git.walk import PathEntry, find, find_many, list_folder, walk
from weighbridge.hub.repositories import head_listing
from weighbridge.hub.repositories.bounded_cache import CachePerDatabase
from weighbridge.hub.repositories.head_listing import HeadListing, packed, unpacked
from weighbridge.hub.repositories.objects import BlobFacts, DatabaseObjects
from weighbridge.hub.repositories.times import iso_of

CACHE_BYTES: Final = 80 * 1024 * 1024
MAX_FILES: Final = 1_000_000
UNSCANNED: Final[Mapping[str, Any]] = {"status": "unscanned", "avScan": None, "pickleImportScan": None}

_CACHES: CachePerDatabase[bytes] = CachePerDatabase(CACHE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some entries of a folder in order, the path of the last one, and whether more follow."""

    rows: list[dict[str, Any]]
    last: str
    more: bool


class Files:
    """The files of one repository's revisions."""

    def __init__(self, connection: Connection, repository_id: int) -> None:
        self.objects = DatabaseObjects(connection, repository_id)
        self._connection = connection
        self._repository_id = repository_id
        self._head: HeadListing | None = None
        self._head_is_read = False
        self._cache = _CACHES.of(connection)

    def root(self, commit_oid: str) -> str:
        """Return the oid of the tree of a commit that is there.

        Raises:
            MissingObjectError: if it is not.
        """
        made = self._kept(("root", False, "", commit_oid), lambda: packed(self._root(commit_oid).encode()))
        return (made or b"").decode()

    def listed(self, tree_oid: str, folder: str, *, recursive: bool) -> bytes | None:
        """Return what lies in the folder as a JSON array; None if there is no folder of this path."""
        return self._kept(("tree", recursive, folder, tree_oid), lambda: self._listed(tree_oid, folder, recursive))

    def siblings(self, tree_oid: str, *, blobs: bool) -> bytes:
        """Return all files of a revision as the JSON array that stands in a repository's `siblings`."""
        made = self._kept(("siblings", blobs, "", tree_oid), lambda: self._siblings_at(tree_oid, blobs))
        return made or b"[]"

    def page(
        self, commit_oid: str, folder: str, *, recursive: bool, after: str, limit: int, expand: bool
    ) -> "Page | None":
        """Return up to `limit` entries of a folder behind the path `after`; None if there is no folder of this path.

        Raises:
            TreeChangeError: if `after` does not lie in it.
        """
        tree_oid = self.root(commit_oid)
        entries = self._entries(tree_oid, folder, recursive, after)
        if entries is None:
            return None
        found = list(islice(entries, limit + 1))
        kept = found[:limit]
        rows = self.expanded(commit_oid, kept) if expand else self.shown(kept)
        return Page(rows=rows, last=kept[-1].path if kept else "", more=len(found) > limit)

    def at(self, tree_oid: str, paths: Iterable[str]) -> list[PathEntry]:
        """Return what lies at those of the paths where something lies."""
        return list(find_many(self.objects, tree_oid, paths).values())

    def expanded(self, commit_oid: str, entries: Sequence[PathEntry]) -> list[dict[str, Any]]:
        """Return entries with the commits that last changed them and what a scan said."""
        shown = self.shown(entries)
        commits = last_commits(self.objects, commit_oid, [row["path"] for row in shown])
        for row in shown:
            row["lastCommit"] = _last(commits[row["path"]])
            if row["type"] == "file":
                row["securityFileStatus"] = UNSCANNED
        return shown

    def shown(self, entries: Iterable[PathEntry]) -> list[dict[str, Any]]:
        """Return entries as clients know them; a file that was deleted for good is left out."""
        rows: list[dict[str, Any]] = []
        for entry, facts in self._with_facts(entries):
            if entry.is_folder:
                rows.append({"type": "directory", "oid": entry.oid, "size": 0, "path": entry.path})
            elif facts is not None:
                rows.append(_file(entry.path, facts))
        return rows

    def head_listing(self, commit_oid: str) -> HeadListing | None:
        """Return what `head_listing.keep` keeps of a commit, put together anew; None if it has too many files."""
        tree_oid = self.objects.commit(commit_oid).tree
        if len(list(islice(walk(self.objects, tree_oid), head_listing.MAX_ENTRIES + 1))) > head_listing.MAX_ENTRIES:
            return None
        return HeadListing(
            commit_oid=commit_oid,
            tree_oid=tree_oid,
            files=packed(self._list(tree_oid, "", recursive=True) or b"[]"),
            siblings=packed(self._siblings(tree_oid, blobs=False)),
        )

    def _ready(self) -> HeadListing | None:
        if not self._head_is_read:
            self._head_is_read = True
            self._head = head_listing.kept(self._connection, self._repository_id)
        return self._head

    def _root(self, commit_oid: str) -> str:
        head = self._ready()
        return head.tree_oid if head and head.commit_oid == commit_oid else self.objects.commit(commit_oid).tree

    def _kept(self, asked: tuple[str, bool, str, str], make: Callable[[], bytes | None]) -> bytes | None:
        """Return what `make` made, packed, at the first time."""
        key = (self._repository_id, *asked)
        kept = self._cache.get(key)
        if kept is None:
            kept = make()
            if kept is None:
                return None
            self._cache.put(key, kept, len(kept))
        return unpacked(kept)

    def _entries(self, tree_oid: str, folder: str, recursive: bool, after: str = "") -> Iterator[PathEntry] | None:
        if recursive:
            found = find(self.objects, tree_oid, folder)
            if found is None or not found.is_folder:
                return None
            return walk(self.objects, tree_oid, folder, after=after)
        listed = list_folder(self.objects, tree_oid, folder)
        if listed is None:
            return None
        start = next((at + 1 for at, entry in enumerate(listed) if entry.path == after), 0) if after else 0
        return iter(listed[start:])

    def _listed(self, tree_oid: str, folder: str, recursive: bool) -> bytes | None:
        if recursive and not folder and (head := self._ready()) and head.tree_oid == tree_oid:
            return head.files
        listed = self._list(tree_oid, folder, recursive=recursive)
        return None if listed is None else packed(listed)

    def _list(self, tree_oid: str, folder: str, *, recursive: bool) -> bytes | None:
        entries = self._entries(tree_oid, folder, recursive)
        if entries is None:
            return None
        return _array(orjson.dumps(self.shown(part))[1:-1] for part in _parts(islice(entries, MAX_FILES)))

    def _siblings_at(self, tree_oid: str, blobs: bool) -> bytes:
        if not blobs and (head := self._ready()) and head.tree_oid == tree_oid:
            return head.siblings
        return packed(self._siblings(tree_oid, blobs=blobs))

    def _siblings(self, tree_oid: str, *, blobs: bool) -> bytes:
        if tree_oid == EMPTY_TREE_OID:
            return b"[]"
        files = (entry for entry in walk(self.objects, tree_oid) if not entry.is_folder)
        return _array(self._sibling_rows(part, blobs) for part in _parts(islice(files, MAX_FILES)))

    def _sibling_rows(self, entries: list[PathEntry], blobs: bool) -> bytes:
        if not blobs:
            return orjson.dumps([{"rfilename": entry.path} for entry in entries])[1:-1]
        rows = (_sibling(entry.path, facts) for entry, facts in self._with_facts(entries) if facts is not None)
        return orjson.dumps(list(rows))[1:-1]

    def _with_facts(self, entries: Iterable[PathEntry]) -> Iterator[tuple[PathEntry, BlobFacts | None]]:
        for part in _parts(entries):
            facts = self.objects.blobs(entry.oid for entry in part if not entry.is_folder)
            for entry in part:
                yield entry, facts.get(entry.oid)


def _array(parts: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(part for part in parts if part) + b"]"


def _parts(entries: Iterable[PathEntry]) -> Iterator[list[PathEntry]]:
    iterator = iter(entries)
    while part := list(islice(iterator, READ_BATCH)):
        yield part


def _file(path: str, facts: BlobFacts) -> dict[str, Any]:
    row: dict[str, Any] = {"type": "file", "oid": facts.oid, "size": facts.file_bytes, "path": path}
    if facts.lfs_sha256 is not None:
        row["lfs"] = {"oid": facts.lfs_sha256, "size": facts.lfs_size_bytes, "pointerSize": facts.size_bytes}
    if facts.xet_hash is not None:
        row["xetHash"] = facts.xet_hash
    return row


def _sibling(path: str, facts: BlobFacts) -> dict[str, Any]:
    row: dict[str, Any] = {"rfilename": path, "blobId": facts.oid, "size": facts.file_bytes}
    if facts.lfs_sha256 is not None:
        row["lfs"] = {"sha256": facts.lfs_sha256, "size": facts.lfs_size_bytes, "pointerSize": facts.size_bytes}
    return row


def _last(commit: Commit) -> dict[str, str]:
    return {"id": commit.oid, "title": commit.facts.title, "date": iso_of(commit.facts.committed_at)}
