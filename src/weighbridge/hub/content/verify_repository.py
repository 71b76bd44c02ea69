"""One repository verified: its objects hashed, its refs followed, and what is bad found again in its revisions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from weighbridge.hub.content.content import owned_among
from weighbridge.hub.content.mark import Digests, followed, refs_of
from weighbridge.hub.content.reach import read_data
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import bucket_file, git_object
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    GitObjectError,
    Mode,
    TreeEntry,
    decode_commit,
    decode_tree,
    oid_of,
)
from weighbridge.hub.git.pointer import parse_pointer
from weighbridge.hub.server import HubServer

MAX_COMMITS: Final = 20_000
"""So many commits of a repository are searched for what is bad; those of its branches and tags come first."""

_PAGE: Final = 500
_MAX_PLACES: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """A place where a damage shows: a path of a revision, or of a bucket's present state (`revision` is empty)."""

    repository: str
    revision: str
    path: str

    def __str__(self) -> str:
        at = f" at {self.revision}" if self.revision else ""
        return f"{self.repository}{at}: {self.path or '(all of it)'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """An object of a repository that is missing, damaged, or points to bytes that are.

    Attributes:
        what: names it.
        problem: what is wrong.
        sha256: of the file that a pointer stands for; empty for everything else.
        touched: where it shows.
    """

    what: str
    problem: str
    sha256: str = ""
    touched: tuple[Touched, ...] = ()


@dataclass(frozen=True, slots=True)
class _Fault:
    problem: str
    sha256: str = ""


def repository_damage(hub: HubServer, repository_id: int, name: str, bad_files: frozenset[str]) -> Iterator[Bad]:
    """Yield what is wrong in one repository.

    Args:
        hub: the hub.
        repository_id: the repository.
        name: its kind and name, for people.
        bad_files: SHA-256 of files whose bytes are known to be bad.
    """
    faults, there = _hashed(hub, repository_id, bad_files)
    with hub.database.read() as connection:
        refs = refs_of(connection, repository_id)
    roots = {bytes.fromhex(oid): ref_name for ref_name, *oids in refs for oid in oids}
    files = Digests(20)
    history = followed(hub, repository_id, roots, files)
    history.discard(bytes.fromhex(EMPTY_TREE_OID))
    reached = Digests(20)
    reached.add(b"".join(history))
    for oid in _still_lacking(hub, repository_id, [*reached.lacking(there), *files.lacking(there)]):
        faults[oid] = _Fault("is missing")
    if not faults:
        return
    places = _Search(hub, repository_id, name, faults).places(refs)
    for oid, fault in faults.items():
        touched = tuple(places.get(oid, ()))
        # A pointer that no ref reaches is garbage: its bytes may be gone before it is.
        if touched or not fault.sha256:
            yield Bad(
                what=f"file {fault.sha256}" if fault.sha256 else f"git object {oid}",
                problem=fault.problem,
                sha256=fault.sha256,
                touched=touched,
            )


def _still_lacking(hub: HubServer, repository_id: int, oids: list[str]) -> list[str]:
    """Leave out what was written since the objects were listed: a commit came while they were read."""
    there: set[str] = set()
    for part in batches(oids):
        with hub.database.read() as connection:
            there.update(oid for oid, _, _ in read_data(connection, repository_id, list(part)))
    return [oid for oid in oids if oid not in there]


def bucket_touches(
    hub: HubServer, repository_id: int, name: str, bad_files: frozenset[str]
) -> Iterator[tuple[str, Touched]]:
    """Yield the entries of a bucket whose bytes are bad."""
    for part in batches(sorted(bad_files)):
        statement = select(bucket_file.c.sha256, bucket_file.c.path).where(
            bucket_file.c.repository_id == repository_id, bucket_file.c.sha256.in_(part)
        )
        with hub.database.read() as connection:
            rows = connection.execute(statement).all()
        for sha256, path in rows:
            yield sha256, Touched(repository=name, revision="", path=path)


def _hashed(hub: HubServer, repository_id: int, bad_files: frozenset[str]) -> tuple[dict[str, _Fault], Digests]:
    """Hash every object; return what is wrong, by oid, and which oids are there."""
    faults: dict[str, _Fault] = {}
    there = Digests(20)
    last = ""
    while True:
        statement = (
            select(git_object)
            .where(git_object.c.repository_id == repository_id, git_object.c.oid > last)
            .order_by(git_object.c.oid)
            .limit(_PAGE)
        )
        with hub.database.read() as connection:
            rows = connection.execute(statement).all()
            held = owned_among(connection, repository_id, (row.lfs_sha256 for row in rows if row.lfs_sha256))
        if not rows:
            return faults, there
        last = rows[-1].oid
        there.add(bytes.fromhex("".join(row.oid for row in rows)))
        for row in rows:
            fault = _fault(row, held, bad_files)
            if fault is not None:
                faults[row.oid] = fault


def _fault(row: Any, held: dict[str, int], bad_files: frozenset[str]) -> _Fault | None:
    data = bytes(row.data)
    if oid_of(row.kind, data) != row.oid:
        return _Fault("is damaged: its bytes have another oid")
    pointer = parse_pointer(data) if row.kind == "blob" else None
    stated = (row.lfs_sha256, row.lfs_size_bytes)
    if len(data) != row.size_bytes or stated != ((pointer.sha256, pointer.size_bytes) if pointer else (None, None)):
        return _Fault("is entered as something that it is not")
    if pointer is None:
        return None
    if pointer.sha256 in bad_files:
        return _Fault("is damaged", pointer.sha256)
    if held.get(pointer.sha256) != pointer.size_bytes:
        return _Fault("is not held by this repository", pointer.sha256)
    return None


class _Search:
    """Finds bad objects again: which paths of which commits lead to them."""

    def __init__(self, hub: HubServer, repository_id: int, name: str, faults: dict[str, _Fault]) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._name = name
        self._faults = faults
        # Of folders that were searched: the bad objects below, with their paths. Most have none.
        self._below: dict[str, tuple[tuple[str, str], ...]] = {EMPTY_TREE_OID: ()}
        self._places: dict[str, list[Touched]] = {}

    def places(self, refs: tuple[tuple[str, str, str], ...]) -> dict[str, list[Touched]]:
        """Return where each bad object shows, by its oid."""
        seen: set[str] = set()
        waiting: list[tuple[str, str]] = []
        for ref_name, oid, commit in refs:
            self._look(ref_name, oid)
            waiting += [(ref_name, commit)]
        following: list[tuple[str, str]] = []
        while (waiting or following) and len(seen) < MAX_COMMITS:
            if not waiting:
                waiting, following = following, []
            revision, commit = waiting.pop(0)
            is_head = revision.startswith("refs/")
            if commit in seen and not is_head:
                continue
            following += [(parent, parent) for parent in self._commit(revision, commit) if parent not in seen]
            seen.add(commit)
        return self._places

    def _look(self, revision: str, oid: str) -> None:
        if oid in self._faults:
            self._note(oid, revision, "")

    def _commit(self, revision: str, commit: str) -> tuple[str, ...]:
        self._look(revision, commit)
        found = self._read(commit)
        if found is None or found[0] != "commit":
            return ()
        try:
            facts = decode_commit(found[1])
        except GitObjectError:
            return ()
        for path, oid in self._search(facts.tree):
            self._note(oid, revision, path)
        return facts.parents

    def _search(self, tree: str) -> tuple[tuple[str, str], ...]:
        known = self._below.get(tree)
        if known is not None:
            return known
        found: list[tuple[str, str]] = [("", tree)] if tree in self._faults else []
        for name, mode, oid in self._entries(tree):
            if mode is Mode.FOLDER:
                found += [(f"{name}/{path}".rstrip("/"), bad) for path, bad in self._search(oid)]
            elif oid in self._faults:
                found.append((name, oid))
        self._below[tree] = tuple(found)
        return self._below[tree]

    def _entries(self, tree: str) -> tuple[TreeEntry, ...]:
        found = self._read(tree)
        if found is None or found[0] != "tree":
            return ()
        try:
            return decode_tree(found[1])
        except GitObjectError:
            return ()

    def _read(self, oid: str) -> tuple[str, bytes] | None:
        with self._hub.database.read() as connection:
            for _, kind, data in read_data(connection, self._repository_id, [oid]):
                return kind, data
        return None

    def _note(self, oid: str, revision: str, path: str) -> None:
        places = self._places.setdefault(oid, [])
        if len(places) < _MAX_PLACES:
            places.append(Touched(repository=self._name, revision=revision, path=path))
