"""The first step of garbage collection: a repository lets go of what neither its refs nor its bucket's files need."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, select

from weighbridge.hub.content.collection import Collection, unheld
from weighbridge.hub.content.mark import KEPT_BYTES, PAGE, Digests, Marked, mark, pages, refs_of
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.connect import locked
from weighbridge.hub.database.schema import (
    bucket_file,
    content_owner,
    content_xorb,
    git_object,
    repository,
    xorb_owner,
)

# What is asked of every repository is built once: for a small one, that took longer than the database.
_IN_NO_BUCKET: Final = ~exists().where(
    bucket_file.c.repository_id == content_owner.c.repository_id, bucket_file.c.sha256 == content_owner.c.sha256
)
_FILES: Final = (
    select(content_owner.c.sha256)
    .where(content_owner.c.repository_id == bindparam("of"), content_owner.c.created_ms < bindparam("before_ms"))
    .where(_IN_NO_BUCKET, content_owner.c.sha256 > bindparam("after"))
    .order_by(content_owner.c.sha256)
    .limit(PAGE)
)
_USED: Final = (
    exists()
    .where(content_xorb.c.xorb == xorb_owner.c.hash)
    .where(content_owner.c.sha256 == content_xorb.c.sha256, content_owner.c.repository_id == xorb_owner.c.repository_id)
)
_UNUSED_XORB: Final = (
    select(xorb_owner.c.hash)
    .where(xorb_owner.c.repository_id == bindparam("of"), xorb_owner.c.created_ms < bindparam("before_ms"), ~_USED)
    .limit(1)
)


def release(run: Collection) -> None:
    """Release what the refs and buckets of each repository do not reach."""
    with run.hub.database.read() as connection:
        count = connection.execute(select(func.count()).select_from(repository)).scalar_one()
    advance = run.progress.begin("Following refs", count, unit="repositories")
    last = 0
    while True:
        following = select(repository.c.id).where(repository.c.id > last).order_by(repository.c.id).limit(PAGE)
        with run.hub.database.read() as connection:
            ids = list(connection.execute(following).scalars())
        if not ids:
            return
        for repository_id in ids:
            _release_repository(run, repository_id)
            advance(1)
        last = ids[-1]


def _release_repository(run: Collection, repository_id: int) -> None:
    run.found.repositories += 1
    marked = mark(run.hub, repository_id, before_ms=run.before_ms)
    kept = Digests(32, kept_bytes=KEPT_BYTES)
    # Commits first: one that is still there has all that it names.
    if not _delete_objects(run, repository_id, marked, marked.dead_commits):
        return
    for rows in pages(run.hub, repository_id):
        dead: list[str] = []
        named: list[str] = []
        for row, is_reached in zip(rows, marked.reached(rows), strict=True):
            if not is_reached and row.created_ms < run.before_ms:
                dead.append(row.oid)
            elif row.lfs_sha256 is not None:
                named.append(row.lfs_sha256)
        kept.add(bytes.fromhex("".join(named)))
        if not _delete_objects(run, repository_id, marked, dead):
            return
    _release_files(run, repository_id, marked, kept)


def _delete_objects(run: Collection, repository_id: int, marked: Marked, oids: Any) -> bool:
    def gone(part: list[str]) -> ColumnElement[bool]:
        return (
            (git_object.c.repository_id == repository_id)
            & git_object.c.oid.in_(part)
            & (git_object.c.created_ms < run.before_ms)
        )

    for part in batches(oids, PAGE):
        if run.dry_run:
            run.found.git_objects += len(part)
            continue
        with run.hub.database.write() as connection:
            if not _unmoved(run, connection, repository_id, marked):
                return False
            for some in batches(part):
                run.found.git_objects += connection.execute(delete(git_object).where(gone(some))).rowcount
    return True


def _unmoved(run: Collection, connection: Connection, repository_id: int, marked: Marked) -> bool:
    """Hold the repository and say whether its refs are still what they were: whoever moves one holds it too."""
    held = connection.execute(locked(select(repository.c.id).where(repository.c.id == repository_id))).first()
    if held is None or refs_of(connection, repository_id) != marked.refs:
        run.found.busy_repositories += 1
        return False
    return True


def _release_files(run: Collection, repository_id: int, marked: Marked, kept: Digests) -> None:
    """Take from the repository the files that none of its blobs and bucket entries name."""
    last = ""
    while True:
        which = {"of": repository_id, "before_ms": run.before_ms, "after": last}
        with run.hub.database.read() as connection:
            shas = list(connection.execute(_FILES, which).scalars())
        dead = [sha256 for sha256, is_kept in zip(shas, kept.holds(shas).tolist(), strict=True) if not is_kept]
        if run.dry_run:
            run.found.released_files += len(dead)
        elif dead and not _release_dead(run, repository_id, marked, dead):
            return
        if len(shas) < PAGE:
            break
        last = shas[-1]
    if not run.dry_run:
        _release_xorbs(run, repository_id)


def _release_dead(run: Collection, repository_id: int, marked: Marked, dead: list[str]) -> bool:
    old = (content_owner.c.repository_id == repository_id) & (content_owner.c.created_ms < run.before_ms)
    with run.hub.database.write() as connection:
        if not _unmoved(run, connection, repository_id, marked):
            return False
        for part in batches(dead):
            free = unheld(connection, content_owner.c.sha256, old & content_owner.c.sha256.in_(part))
            gone = delete(content_owner).where(old, _IN_NO_BUCKET, content_owner.c.sha256.in_(free))
            run.found.released_files += connection.execute(gone).rowcount
    return True


def _release_xorbs(run: Collection, repository_id: int) -> None:
    with run.hub.database.read() as connection:
        if connection.execute(_UNUSED_XORB, {"of": repository_id, "before_ms": run.before_ms}).first() is None:
            return
    old = (xorb_owner.c.repository_id == repository_id) & (xorb_owner.c.created_ms < run.before_ms)
    with run.hub.database.write() as connection:
        for part in batches(unheld(connection, xorb_owner.c.hash, old & ~_USED)):
            connection.execute(delete(xorb_owner).where(old, ~_USED, xorb_owner.c.hash.in_(part)))
