"""Garbage collection: what no ref, no bucket and no upload under way needs is condemned, and later deleted.

Safe beside uploads, commits and other collections. What a repository's refs reach is found without holding anything;
what is dead by that is deleted in short transactions, each of which holds the repository's row and first makes sure
that no ref has moved since. Bytes go after their rows. Whoever starts it holds the lease `collect`, so that two do not
do the same work twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select, update

from weighbridge.hub.content.content import XORBS, batches
from weighbridge.hub.content.mark import KEPT_BYTES, PAGE, Digests, Marked, mark, pages, refs_of
from weighbridge.hub.content.progress import Progress, Silent
from weighbridge.hub.content.xet_epoch import end_epoch
from weighbridge.hub.database.connect import locked
from weighbridge.hub.database.schema import (
    bucket_file,
    content,
    content_owner,
    content_xorb,
    git_object,
    repository,
    upload,
    xorb,
    xorb_owner,
)
from weighbridge.hub.server import HubServer

UPLOADS: Final = "uploads"
"""The first segment of the keys of uploads that are not complete: `uploads/{id of the upload}/…`."""

NAMELESS_SECONDS: Final = 3600
"""Bytes are written before the row that names them: younger ones are left alone, whatever the grace time."""


@dataclass(slots=True, kw_only=True)
class Collected:
    """What a collection did, in numbers.

    Attributes:
        repositories: that were looked at.
        busy_repositories: of these, were changed meanwhile and left for the next time.
        git_objects: deleted.
        released_files: no longer held by a repository.
        condemned_files, condemned_xorbs: will be deleted after another grace time, unless they are used again.
        deleted_files, deleted_xorbs: gone.
        deleted_uploads: that had expired.
        nameless_objects: of the store, that no row named.
        freed_bytes: of the store.
    """

    repositories: int = 0
    busy_repositories: int = 0
    git_objects: int = 0
    released_files: int = 0
    condemned_files: int = 0
    condemned_xorbs: int = 0
    deleted_files: int = 0
    deleted_xorbs: int = 0
    deleted_uploads: int = 0
    nameless_objects: int = 0
    freed_bytes: int = 0

    def __str__(self) -> str:
        told = (f"{name.name} {getattr(self, name.name)}" for name in fields(self) if getattr(self, name.name))
        return ", ".join(told) or "nothing to do"


def collect(
    hub: HubServer,
    *,
    grace_seconds: int,
    dry_run: bool = False,
    progress: Progress | None = None,
    nameless_seconds: int = NAMELESS_SECONDS,
) -> Collected:
    """Free what nothing uses.

    Args:
        hub: the hub.
        grace_seconds: what is younger stays; what was condemned less long ago stays as well.
        dry_run: change nothing, and count what a collection would do now. What it would condemn only because it first
            releases it is not counted.
        progress: is told what is being done.
        nameless_seconds: how old bytes must be that no row names.

    Raises:
        HubError: if the database or the store fails; what was done until then stays done.
    """
    work = _Collection(hub, grace_seconds, dry_run, progress or Silent(), nameless_seconds)
    work.repositories()
    work.condemn()
    work.sweep()
    work.uploads()
    work.nameless()
    return work.found


class _Collection:
    def __init__(
        self, hub: HubServer, grace_seconds: int, dry_run: bool, progress: Progress, nameless_seconds: int
    ) -> None:
        self.found = Collected()
        self._hub = hub
        self._grace_seconds = grace_seconds
        self._before_ms = hub.now_ms() - grace_seconds * 1000
        self._dry_run = dry_run
        self._progress = progress
        self._nameless_ms = hub.now_ms() - max(grace_seconds, nameless_seconds) * 1000

    # ---- repositories: Git objects, and the files that they hold

    def repositories(self) -> None:
        """Release what the refs and buckets of each repository do not reach."""
        with self._hub.database.read() as connection:
            count = connection.execute(select(func.count()).select_from(repository)).scalar_one()
        advance = self._progress.begin("Following refs", count, unit="repositories")
        last = 0
        while True:
            following = select(repository.c.id).where(repository.c.id > last).order_by(repository.c.id).limit(PAGE)
            with self._hub.database.read() as connection:
                ids = list(connection.execute(following).scalars())
            if not ids:
                return
            for repository_id in ids:
                self._repository(repository_id)
                advance(1)
            last = ids[-1]

    def _repository(self, repository_id: int) -> None:
        self.found.repositories += 1
        marked = mark(self._hub, repository_id, before_ms=self._before_ms)
        kept = Digests(32, kept_bytes=KEPT_BYTES)
        # Commits first: one that is still there has all that it names.
        if not self._delete_objects(repository_id, marked, marked.dead_commits):
            return
        for rows in pages(self._hub, repository_id):
            dead: list[str] = []
            named: list[str] = []
            for row, is_reached in zip(rows, marked.reached(rows), strict=True):
                if not is_reached and row.created_ms < self._before_ms:
                    dead.append(row.oid)
                elif row.lfs_sha256 is not None:
                    named.append(row.lfs_sha256)
            kept.add(bytes.fromhex("".join(named)))
            if not self._delete_objects(repository_id, marked, dead):
                return
        self._release(repository_id, marked, kept)

    def _delete_objects(self, repository_id: int, marked: Marked, oids: Any) -> bool:
        def gone(part: list[str]) -> ColumnElement[bool]:
            return (
                (git_object.c.repository_id == repository_id)
                & git_object.c.oid.in_(part)
                & (git_object.c.created_ms < self._before_ms)
            )

        for part in batches(oids, PAGE):
            if self._dry_run:
                self.found.git_objects += len(part)
                continue
            with self._hub.database.write() as connection:
                if not self._unmoved(connection, repository_id, marked):
                    return False
                for some in batches(part):
                    self.found.git_objects += connection.execute(delete(git_object).where(gone(some))).rowcount
        return True

    def _unmoved(self, connection: Connection, repository_id: int, marked: Marked) -> bool:
        """Hold the repository and say whether its refs are still what they were: whoever moves one holds it too."""
        held = connection.execute(locked(select(repository.c.id).where(repository.c.id == repository_id))).first()
        if held is None or refs_of(connection, repository_id) != marked.refs:
            self.found.busy_repositories += 1
            return False
        return True

    def _release(self, repository_id: int, marked: Marked, kept: Digests) -> None:
        """Take from the repository the files that none of its blobs and bucket entries name."""
        last = ""
        old = (content_owner.c.repository_id == repository_id) & (content_owner.c.created_ms < self._before_ms)
        unused = ~exists().where(
            bucket_file.c.repository_id == repository_id, bucket_file.c.sha256 == content_owner.c.sha256
        )
        while True:
            following = select(content_owner.c.sha256).where(old, unused, content_owner.c.sha256 > last)
            with self._hub.database.read() as connection:
                shas = list(connection.execute(following.order_by(content_owner.c.sha256).limit(PAGE)).scalars())
            if not shas:
                break
            last = shas[-1]
            dead = [sha256 for sha256, is_kept in zip(shas, kept.holds(shas).tolist(), strict=True) if not is_kept]
            if self._dry_run:
                self.found.released_files += len(dead)
            elif dead:
                with self._hub.database.write() as connection:
                    if not self._unmoved(connection, repository_id, marked):
                        return
                    for part in batches(dead):
                        free = _free(connection, content_owner.c.sha256, old & content_owner.c.sha256.in_(part))
                        gone = delete(content_owner).where(old, unused, content_owner.c.sha256.in_(free))
                        self.found.released_files += connection.execute(gone).rowcount
        if not self._dry_run:
            self._release_xorbs(repository_id)

    def _release_xorbs(self, repository_id: int) -> None:
        used = (
            exists()
            .where(content_xorb.c.xorb == xorb_owner.c.hash)
            .where(content_owner.c.sha256 == content_xorb.c.sha256, content_owner.c.repository_id == repository_id)
        )
        old = (xorb_owner.c.repository_id == repository_id) & (xorb_owner.c.created_ms < self._before_ms)
        with self._hub.database.read() as connection:
            if connection.execute(select(xorb_owner.c.hash).where(old, ~used).limit(1)).first() is None:
                return
        with self._hub.database.write() as connection:
            for part in batches(_free(connection, xorb_owner.c.hash, old & ~used)):
                connection.execute(delete(xorb_owner).where(old, ~used, xorb_owner.c.hash.in_(part)))

    # ---- the whole store

    def condemn(self) -> None:
        """Mark what no repository holds any more; take the mark from what was taken into use again."""
        self._progress.begin("Condemning what nobody uses", unit="rows")
        no_owner = ~exists().where(content_owner.c.sha256 == content.c.sha256)
        self.found.condemned_files = self._condemn(content, content.c.sha256, no_owner)
        living = (
            exists()
            .where(content_xorb.c.xorb == xorb.c.hash)
            .where(content.c.sha256 == content_xorb.c.sha256, content.c.condemned_ms.is_(None))
        )
        unused = ~exists().where(xorb_owner.c.hash == xorb.c.hash) & ~living
        self.found.condemned_xorbs = self._condemn(xorb, xorb.c.hash, unused)

    def _condemn(self, table: Table, key: Any, unused: ColumnElement[bool]) -> int:
        count = 0
        candidates = (table.c.condemned_ms.is_(None)) & (table.c.created_ms < self._before_ms) & unused
        for part in self._found(select(key).where(candidates), key):
            count += len(part)
            if not self._dry_run:
                with self._hub.database.write() as connection:
                    free = _free(connection, key, key.in_(part))
                    sentence = update(table).where(key.in_(free), candidates).values(condemned_ms=self._hub.now_ms())
                    count += connection.execute(sentence).rowcount - len(part)
        wrong = table.c.condemned_ms.is_not(None) & ~unused
        for part in self._found(select(key).where(wrong), key):
            if not self._dry_run:
                with self._hub.database.write() as connection:
                    free = _free(connection, key, key.in_(part))
                    connection.execute(update(table).where(key.in_(free), wrong).values(condemned_ms=None))
        return count

    def sweep(self) -> None:
        """Delete what was condemned longer than the grace time ago: files, then xorbs, then bytes."""
        self._progress.begin("Deleting what was condemned", unit="rows")
        due_ms = self._hub.now_ms() - self._grace_seconds * 1000
        no_owner = ~exists().where(content_owner.c.sha256 == content.c.sha256)
        due = (content.c.condemned_ms <= due_ms) & no_owner
        for part in self._found(select(content.c.sha256).where(due), content.c.sha256):
            self.found.deleted_files += len(part)
            if not self._dry_run:
                with self._hub.database.write() as connection:
                    free = _free(connection, content.c.sha256, content.c.sha256.in_(part))
                    gone = delete(content).where(content.c.sha256.in_(free), due)
                    self.found.deleted_files += connection.execute(gone).rowcount - len(part)
        unused = ~exists().where(xorb_owner.c.hash == xorb.c.hash) & ~exists().where(content_xorb.c.xorb == xorb.c.hash)
        due = (xorb.c.condemned_ms <= due_ms) & unused
        for part in self._found(select(xorb.c.hash).where(due), xorb.c.hash):
            self._delete_xorbs(part, due)

    def _delete_xorbs(self, names: list[str], due: ColumnElement[bool]) -> None:
        which = xorb.c.hash.in_(names) & due
        if self._dry_run:
            with self._hub.database.read() as connection:
                rows = connection.execute(select(xorb.c.key, xorb.c.size_bytes).where(which)).all()
        else:
            with self._hub.database.write() as connection:
                free = _free(connection, xorb.c.hash, xorb.c.hash.in_(names))
                which = xorb.c.hash.in_(free) & due
                rows = connection.execute(delete(xorb).where(which).returning(xorb.c.key, xorb.c.size_bytes)).all()
                end_epoch(connection)
            self._hub.store.delete([row.key for row in rows])
        self.found.deleted_xorbs += len(rows)
        self.found.freed_bytes += sum(row.size_bytes for row in rows)

    def _found(self, statement: Any, key: Any) -> Iterator[list[str]]:
        """Yield the keys that the statement finds, page by page in their order."""
        last = ""
        while True:
            with self._hub.database.read() as connection:
                part = list(connection.execute(statement.where(key > last).order_by(key).limit(500)).scalars())
            if not part:
                return
            last = part[-1]
            yield part

    def uploads(self) -> None:
        """Forget uploads that have expired; their bytes are nameless then."""
        expired = upload.c.expires_ms < min(self._before_ms, self._hub.now_ms())
        if self._dry_run:
            with self._hub.database.read() as connection:
                count = select(func.count()).select_from(upload).where(expired)
                self.found.deleted_uploads = connection.execute(count).scalar_one()
        else:
            with self._hub.database.write() as connection:
                self.found.deleted_uploads = connection.execute(delete(upload).where(expired)).rowcount

    def nameless(self) -> None:
        """Delete objects of the store that no row names, and what killed writers left behind."""
        advance = self._progress.begin("Looking for bytes without a name", unit="objects")
        for prefix, named in ((XORBS, self._named_xorbs), (UPLOADS, self._named_uploads)):
            for part in batches(self._hub.store.list(prefix)):
                advance(len(part))
                old = {item.key: item.size_bytes for item in part if item.modified_ms < self._nameless_ms}
                if not old:
                    continue
                living = named(old)
                nameless = [key for key in old if key not in living]
                self.found.nameless_objects += len(nameless)
                self.found.freed_bytes += sum(old[key] for key in nameless)
                if nameless and not self._dry_run:
                    self._hub.store.delete(nameless)
        if not self._dry_run:
            self._hub.store.sweep(older_than_seconds=max(self._grace_seconds, NAMELESS_SECONDS))

    def _named_xorbs(self, keys: Any) -> set[str]:
        with self._hub.database.read() as connection:
            named = set(connection.execute(select(xorb.c.key).where(xorb.c.key.in_(keys))).scalars())
            # A client may be about to put a xorb straight into the store.
            states = connection.execute(select(upload.c.state).where(upload.c.kind == "xorb")).scalars()
            return named | {state["key"] for state in states}

    def _named_uploads(self, keys: Any) -> set[str]:
        by_id = {key: key.split("/")[1] for key in keys}
        with self._hub.database.read() as connection:
            wanted = select(upload.c.id).where(upload.c.id.in_(set(by_id.values())))
            living = set(connection.execute(wanted).scalars())
        return {key for key, upload_id in by_id.items() if upload_id in living}


def _free(connection: Connection, key: Any, which: ColumnElement[bool]) -> list[str]:
    """Lock those of the rows that nobody holds and return their keys; the others are left for the next time.

    So a collection never waits for an upload or a commit, and none of them waits for it in a circle. Whether a row is
    still dead is asked after this, in another statement: what was taken into use meanwhile is seen then.
    """
    rows = select(key).where(which).order_by(key).with_for_update(of=key.table, skip_locked=True)
    return list(connection.execute(rows).scalars())
