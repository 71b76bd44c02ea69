"""One process at a time does a background job: a row that says who, and until when."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from weighbridge.hub.database.connect import Database
from weighbridge.hub.database.schema import lease


@contextmanager
def leased(database: Database, name: str, *, holder: str, seconds: int, now_ms: Callable[[], int]) -> Iterator[bool]:
    """Yield whether this holder has the lease; gives it back at the end.

    A holder that died keeps it until `seconds` are over.
    """
    ours = _take(database, name, holder, now_ms(), seconds * 1000)
    try:
        yield ours
    finally:
        if ours:
            with database.write() as connection:
                connection.execute(delete(lease).where(lease.c.name == name, lease.c.holder == holder))


def _take(database: Database, name: str, holder: str, now_ms: int, length_ms: int) -> bool:
    taken = {"holder": holder, "expires_ms": now_ms + length_ms}
    try:
        with database.write() as connection:
            changed = connection.execute(
                update(lease).where(lease.c.name == name, lease.c.expires_ms <= now_ms).values(**taken)
            )
            if changed.rowcount:
                return True
            connection.execute(insert(lease).values(name=name, **taken))
            return True
    except IntegrityError:
        return False
