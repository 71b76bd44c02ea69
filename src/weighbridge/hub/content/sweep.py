"""The later steps of garbage collection: what no repository holds is condemned, then deleted, rows before bytes."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, delete, exists, func, select, update

from weighbridge.hub.content.collection import NAMELESS_SECONDS, Collection, unheld
from weighbridge.hub.content.content import XORBS
from weighbridge.hub.content.xet_epoch import end_epoch
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import content, content_owner, content_xorb, upload, xorb, xorb_owner

UPLOADS: Final = "uploads"
"""The first segment of the keys of uploads that are not complete: `uploads/{id of the upload}/…`."""

_AT_ONCE: Final = 500


def condemn(run: Collection) -> None:
    """Mark what no repository holds any more; take the mark from what was taken into use again."""
    run.progress.begin("Condemning what nobody uses", unit="rows")
    no_owner = ~exists().where(content_owner.c.sha256 == content.c.sha256)
    run.found.condemned_files = _condemn(run, content, content.c.sha256, no_owner)
    living = (
        exists()
        .where(content_xorb.c.xorb == xorb.c.hash)
        .where(content.c.sha256 == content_xorb.c.sha256, content.c.condemned_ms.is_(None))
    )
    unused = ~exists().where(xorb_owner.c.hash == xorb.c.hash) & ~living
    run.found.condemned_xorbs = _condemn(run, xorb, xorb.c.hash, unused)


def _condemn(run: Collection, table: Table, key: Any, unused: ColumnElement[bool]) -> int:
    count = 0
    # An expression, so that no index of the column answers: nearly all rows have none, and every page would sort them.
    candidates = (func.coalesce(table.c.condemned_ms, 0) == 0) & (table.c.created_ms < run.before_ms) & unused
    for part in _found(run, select(key).where(candidates), key):
        count += len(part)
        if not run.dry_run:
            with run.hub.database.write() as connection:
                free = unheld(connection, key, key.in_(part))
                sentence = update(table).where(key.in_(free), candidates).values(condemned_ms=run.hub.now_ms())
                count += connection.execute(sentence).rowcount - len(part)
    wrong = table.c.condemned_ms.is_not(None) & ~unused
    for part in _found(run, select(key).where(wrong), key):
        if not run.dry_run:
            with run.hub.database.write() as connection:
                free = unheld(connection, key, key.in_(part))
                connection.execute(update(table).where(key.in_(free), wrong).values(condemned_ms=None))
    return count


def sweep(run: Collection) -> None:
    """Delete what was condemned longer than the grace time ago: files, then xorbs, then bytes."""
    run.progress.begin("Deleting what was condemned", unit="rows")
    due_ms = run.hub.now_ms() - run.grace_seconds * 1000
    no_owner = ~exists().where(content_owner.c.sha256 == content.c.sha256)
    due = (content.c.condemned_ms <= due_ms) & no_owner
    for part in _found(run, select(content.c.sha256).where(due), content.c.sha256):
        run.found.deleted_files += len(part)
        if not run.dry_run:
            with run.hub.database.write() as connection:
                free = unheld(connection, content.c.sha256, content.c.sha256.in_(part))
                gone = delete(content).where(content.c.sha256.in_(free), due)
                run.found.deleted_files += connection.execute(gone).rowcount - len(part)
    unused = ~exists().where(xorb_owner.c.hash == xorb.c.hash) & ~exists().where(content_xorb.c.xorb == xorb.c.hash)
    due = (xorb.c.condemned_ms <= due_ms) & unused
    for part in _found(run, select(xorb.c.hash).where(due), xorb.c.hash):
        _delete_xorbs(run, part, due)


def _delete_xorbs(run: Collection, names: list[str], due: ColumnElement[bool]) -> None:
    which = xorb.c.hash.in_(names) & due
    if run.dry_run:
        with run.hub.database.read() as connection:
            rows = connection.execute(select(xorb.c.key, xorb.c.size_bytes).where(which)).all()
    else:
        with run.hub.database.write() as connection:
            free = unheld(connection, xorb.c.hash, xorb.c.hash.in_(names))
            which = xorb.c.hash.in_(free) & due
            rows = connection.execute(delete(xorb).where(which).returning(xorb.c.key, xorb.c.size_bytes)).all()
            end_epoch(connection)
        run.hub.store.delete([row.key for row in rows])
    run.found.deleted_xorbs += len(rows)
    run.found.freed_bytes += sum(row.size_bytes for row in rows)


def _found(run: Collection, statement: Any, key: Any) -> Iterator[list[str]]:
    """Yield the keys that the statement finds, page by page in their order."""
    last = ""
    while True:
        with run.hub.database.read() as connection:
            part = list(connection.execute(statement.where(key > last).order_by(key).limit(_AT_ONCE)).scalars())
        if part:
            yield part
        if len(part) < _AT_ONCE:
            return
        last = part[-1]


def uploads(run: Collection) -> None:
    """Forget uploads that have expired; their bytes are nameless then."""
    expired = upload.c.expires_ms < min(run.before_ms, run.hub.now_ms())
    if run.dry_run:
        with run.hub.database.read() as connection:
            count = select(func.count()).select_from(upload).where(expired)
            run.found.deleted_uploads = connection.execute(count).scalar_one()
    else:
        with run.hub.database.write() as connection:
            run.found.deleted_uploads = connection.execute(delete(upload).where(expired)).rowcount


def nameless(run: Collection) -> None:
    """Delete objects of the store that no row names, and what killed writers left behind."""
    advance = run.progress.begin("Looking for bytes without a name", unit="objects")
    for prefix, named in ((XORBS, _named_xorbs), (UPLOADS, _named_uploads)):
        for part in batches(run.hub.store.list(prefix)):
            advance(len(part))
            old = {item.key: item.size_bytes for item in part if item.modified_ms < run.nameless_ms}
            if not old:
                continue
            living = named(run, old)
            dead = [key for key in old if key not in living]
            run.found.nameless_objects += len(dead)
            run.found.freed_bytes += sum(old[key] for key in dead)
            if dead and not run.dry_run:
                run.hub.store.delete(dead)
    if not run.dry_run:
        run.hub.store.sweep(older_than_seconds=max(run.grace_seconds, NAMELESS_SECONDS))


def _named_xorbs(run: Collection, keys: Any) -> set[str]:
    with run.hub.database.read() as connection:
        named = set(connection.execute(select(xorb.c.key).where(xorb.c.key.in_(keys))).scalars())
        # A client may be about to put a xorb straight into the store.
        states = connection.execute(select(upload.c.state).where(upload.c.kind == "xorb")).scalars()
        return named | {state["key"] for state in states}


def _named_uploads(run: Collection, keys: Any) -> set[str]:
    by_id = {key: key.split("/")[1] for key in keys}
    with run.hub.database.read() as connection:
        wanted = select(upload.c.id).where(upload.c.id.in_(set(by_id.values())))
        living = set(connection.execute(wanted).scalars())
    return {key for key, upload_id in by_id.items() if upload_id in living}
