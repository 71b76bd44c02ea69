"""Git objects on their way into a repository: files and folders are written as they come, commits wait for the end."""

from typing import Final

from sqlalchemy import update

from weighbridge.hub.database.schema import git_object
from weighbridge.hub.git.objects import GitObject, GitObjectError, check_object
from weighbridge.hub.repositories.objects import write
from weighbridge.hub.server import HubServer

MAX_COMMIT_BYTES: Final = 512 * 1024 * 1024
_BATCH_BYTES: Final = 8 * 1024 * 1024
_BATCH_OBJECTS: Final = 500


class Arriving:
    """The objects of one repository. Holds a batch of them, and all commits and tags, in memory.

    Attributes:
        commits: commits and tags by oid, which `landing` writes once all they need is here.
    """

    def __init__(self, hub: HubServer, repository_id: int) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._commit_bytes = 0
        self._batch: dict[str, GitObject] = {}
        self._batch_bytes = 0
        self.commits: dict[str, GitObject] = {}

    def take(self, oid: str, item: GitObject) -> None:
        """Take an object, whose oid was computed from its bytes.

        Raises:
            GitObjectError: if it is unsound, or one commit too many.
        """
        check_object(item.kind, item.data)
        if item.kind in ("commit", "tag"):
            self._commit_bytes += len(item.data)
            if self._commit_bytes > MAX_COMMIT_BYTES:
                raise GitObjectError(f"commits of more than {MAX_COMMIT_BYTES:,} bytes")
            self.commits[oid] = item
            return
        self._batch[oid] = item
        self._batch_bytes += len(item.data)
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_OBJECTS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._batch:
            return
        now_ms = self._hub.now_ms()
        mine = (git_object.c.repository_id == self._repository_id) & git_object.c.oid.in_(sorted(self._batch))
        with self._hub.database.write() as connection:
            # What an older attempt left behind must not be collected before this one ends.
            connection.execute(update(git_object).where(mine).values(created_ms=now_ms))
            write(connection, self._repository_id, self._batch, now_ms)
        self._batch, self._batch_bytes = {}, 0
