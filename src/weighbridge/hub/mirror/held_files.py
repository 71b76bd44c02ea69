"""Files that a copy wants, and those that it holds already and the source put together in its own way."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from weighbridge.hub.content.content import Content, owned
from weighbridge.hub.git.history import read_commit
from weighbridge.hub.git.walk import find_many
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.server import HubServer

MAX_HEADS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFile:
    """A large file; a commit and a path of the source that have it, where known; its Xet hash if the source states one.

    The same file lies at other paths and in other commits too: one of each is enough to ask for it.
    """

    sha256: str
    size_bytes: int
    commit: str = ""
    path: str = ""
    xet_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A file that the repository holds, and a commit of the source that has it too."""

    content: Content
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A commit that is here, and the one of the source that it stands for."""

    here: str
    source: str


class HeldFiles:
    """What lies at which path in the commits that a copy has now."""

    def __init__(self, hub: HubServer, repository_id: int, heads: Iterable[Head]) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._heads = tuple(heads)[:MAX_HEADS]

    def at(self, path: str) -> Base | None:
        """Return the large file at this path in the first of the commits that has one."""
        with self._hub.database.read() as connection:
            objects = DatabaseObjects(connection, self._repository_id)
            for head in self._heads:
                tree = read_commit(objects, head.here).facts.tree
                entry = find_many(objects, tree, (path,)).get(path)
                blob = objects.blobs((entry.oid,)).get(entry.oid) if entry is not None else None
                if blob is None or blob.lfs_sha256 is None:
                    continue
                content = owned(connection, self._repository_id, blob.lfs_sha256)
                if content is not None:
                    return Base(content=content, commit=head.source)
        return None
