"""Which Git objects of a repository its refs reach: what garbage collection must keep.

Files are remembered by 8 bytes each in a sorted array, so that a million of them take some 8 MB.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, select

from weighbridge.hub.content.reach import entries, read_data
from weighbridge.hub.database.schema import git_object, ref
from weighbridge.hub.server import HubServer

PAGE: Final = 5000
KEPT_BYTES: Final = 8
"""Of a digest that is only asked whether it must be kept: to keep too much once in 2**64 does no harm."""

_MERGE_BYTES: Final = 2 * 1024 * 1024
_READ_AT_ONCE: Final = 256
_COMMIT_HEAD: Final = re.compile(rb"(?:tree|parent|object) ([0-9a-f]{40})")

# Built once: for a small repository, that took longer than the database.
_REFS: Final = (
    select(ref.c.name, ref.c.oid, ref.c.commit_oid).where(ref.c.repository_id == bindparam("of")).order_by(ref.c.name)
)
_OBJECTS: Final = (
    select(git_object.c.oid, git_object.c.kind, git_object.c.created_ms, git_object.c.lfs_sha256)
    .where(git_object.c.repository_id == bindparam("of"), git_object.c.oid > bindparam("after"))
    .order_by(git_object.c.oid)
    .limit(PAGE)
)

Refs = tuple[tuple[str, str, str], ...]


class Digests:
    """A growing set of digests of one length, asked by many at a time once it is complete.

    With `kept_bytes` it holds only the first bytes of each: it may then say that it holds what it does not, once in so
    many as these bytes can tell apart, and never the reverse.
    """

    def __init__(self, digest_bytes: int, *, kept_bytes: int | None = None) -> None:
        self._digest_bytes = digest_bytes
        self._kept_bytes = kept_bytes or digest_bytes
        self._sorted: NDArray[Any] = np.empty(0, dtype=f"S{self._kept_bytes}")
        self._waiting: list[NDArray[Any]] = []
        self._waiting_bytes = 0

    def add(self, digests: bytes) -> None:
        """Add digests, one behind the other."""
        new = self._kept(digests)
        self._waiting.append(new)
        self._waiting_bytes += new.nbytes
        if self._waiting_bytes > _MERGE_BYTES:
            self._merge()

    def holds(self, hexadecimal: Collection[str]) -> NDArray[np.bool_]:
        """Say of each digest whether it is in the set."""
        self._merge()
        asked = self._kept(bytes.fromhex("".join(hexadecimal)))
        if not len(self._sorted):
            return np.zeros(len(asked), dtype=np.bool_)
        at = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
        return np.asarray(self._sorted[at] == asked)

    def lacking(self, other: "Digests") -> list[str]:
        """Return those that `other` does not hold, in hexadecimal; only of whole digests."""
        assert self._kept_bytes == self._digest_bytes, "the rest of these digests is forgotten"
        self._merge()
        found: list[str] = []
        length = 2 * self._digest_bytes
        for start in range(0, len(self._sorted), PAGE):
            part = self._sorted[start : start + PAGE].tobytes().hex()
            asked = [part[at : at + length] for at in range(0, len(part), length)]
            found.extend(text for text, held in zip(asked, other.holds(asked).tolist(), strict=True) if not held)
        return found

    def _kept(self, digests: bytes) -> NDArray[Any]:
        rows = np.frombuffer(digests, dtype=np.uint8).reshape(-1, self._digest_bytes)
        return np.ascontiguousarray(rows[:, : self._kept_bytes]).view(f"S{self._kept_bytes}").reshape(-1)

    def _merge(self) -> None:
        if self._waiting:
            self._sorted = np.unique(np.concatenate((self._sorted, *self._waiting)))
            self._waiting, self._waiting_bytes = [], 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What the refs of a repository reach, and the refs as they were then.

    Attributes:
        refs: name, oid and commit of each, in order.
        history: commits, trees and tags, by 20 bytes.
        files: blobs.
        dead_commits: commits and tags that nothing reaches and that are old enough.
    """

    refs: Refs
    history: set[bytes]
    files: Digests
    dead_commits: tuple[str, ...]

    def reached(self, rows: Sequence[Any]) -> list[bool]:
        """Say of each row of `pages` whether it is reached."""
        files = self.files.holds([row.oid for row in rows]).tolist()
        return [held or bytes.fromhex(row.oid) in self.history for row, held in zip(rows, files, strict=True)]


def refs_of(connection: Connection, repository_id: int) -> Refs:
    """Return the refs of a repository, to see later whether they moved."""
    return tuple((name, oid, commit) for name, oid, commit in connection.execute(_REFS, {"of": repository_id}))


def pages(hub: HubServer, repository_id: int) -> Iterator[Sequence[Any]]:
    """Yield every object of a repository without its bytes, in pages, each read in a transaction of its own."""
    last = ""
    while True:
        with hub.database.read() as connection:
            rows = connection.execute(_OBJECTS, {"of": repository_id, "after": last}).all()
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        last = rows[-1].oid


def mark(hub: HubServer, repository_id: int, *, before_ms: int) -> Marked:
    """Find what the refs reach. Objects written since `before_ms` count as refs: a commit may be under way."""
    with hub.database.read() as connection:
        refs = refs_of(connection, repository_id)
    roots = {bytes.fromhex(oid) for _, *oids in refs for oid in oids}
    old_commits: list[str] = []
    for rows in pages(hub, repository_id):
        roots.update(bytes.fromhex(row.oid) for row in rows if row.kind != "blob" and row.created_ms >= before_ms)
        old_commits.extend(row.oid for row in rows if row.kind in ("commit", "tag") and row.created_ms < before_ms)
    files = Digests(20, kept_bytes=KEPT_BYTES)
    history = followed(hub, repository_id, roots, files)
    dead = tuple(oid for oid in old_commits if bytes.fromhex(oid) not in history)
    return Marked(refs=refs, history=history, files=files, dead_commits=dead)


def followed(hub: HubServer, repository_id: int, roots: Iterable[bytes], files: Digests) -> set[bytes]:
    """Return the commits, trees and tags that these lead to, themselves among them; the files are added to `files`."""
    seen = set(roots)
    waiting = list(seen)
    while waiting:
        part, waiting = waiting[-_READ_AT_ONCE:], waiting[:-_READ_AT_ONCE]
        with hub.database.read() as connection:
            for _, kind, data in read_data(connection, repository_id, [oid.hex() for oid in part]):
                for oid in named(kind, data, files):
                    if oid not in seen:
                        seen.add(oid)
                        waiting.append(oid)
    return seen


def named(kind: str, data: bytes, files: Digests) -> Iterator[bytes]:
    """Yield the trees and commits that an object names; what files it names goes to `files`."""
    if kind == "tree":
        found = list(entries(data))
        files.add(b"".join(oid for is_folder, oid in found if not is_folder))
        yield from (oid for is_folder, oid in found if is_folder)
    elif kind in ("commit", "tag"):
        head = data.partition(b"\n\n")[0]
        for line in head.split(b"\n"):
            match = _COMMIT_HEAD.fullmatch(line)
            if match:
                yield bytes.fromhex(match[1].decode())
