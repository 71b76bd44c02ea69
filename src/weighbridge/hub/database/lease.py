"""One process at a time does a background job: a row that says who, and until when."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import delete, insert, update
from sqlalchemy.exc import IntegrityError

from weighbridge.hub.database.connect import Database, DatabaseError
from weighbridge.hub.database.schema import lease

LEASE_SECONDS: Final = 20
"""For how long a holder that died keeps others from their turn; one that lives renews it four times in that time."""

_LOG = logging.getLogger("weighbridge.hub.lease")
_ASK_AGAIN_SECONDS = 0.5
_DAY_MS = 24 * 3600 * 1000


@contextmanager
def leased(
    database: Database,
    name: str,
    *,
    holder: str,
    now_ms: Callable[[], int],
    seconds: int = LEASE_SECONDS,
    patience_seconds: float = 0,
) -> Iterator[bool]:
    """Yield whether this holder has the lease; renews it meanwhile, and gives it back at the end.

    Args:
        database: of the hub.
        name: of the job.
        holder: of whoever asks, and of nobody else.
        now_ms: the time.
        seconds: how long a holder that died keeps it.
        patience_seconds: how long to wait for another one to be done.
    """
    deadline = time.monotonic() + patience_seconds
    while not (ours := _take(database, name, holder, now_ms(), seconds * 1000)) and time.monotonic() < deadline:
        time.sleep(_ASK_AGAIN_SECONDS)
    done = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(database, name, holder, now_ms, seconds, done), name="hub-lease", daemon=True
    )
    if ours:
        renewing.start()
    try:
        yield ours
    finally:
        if ours:
            done.set()
            renewing.join()
            with database.write() as connection:
                connection.execute(delete(lease).where(lease.c.name == name, lease.c.holder == holder))


def _renew(
    database: Database, name: str, holder: str, now_ms: Callable[[], int], seconds: int, done: threading.Event
) -> None:
    while not done.wait(seconds / 4):
        try:
            with database.write() as connection:
                mine = (lease.c.name == name) & (lease.c.holder == holder)
                connection.execute(update(lease).where(mine).values(expires_ms=now_ms() + seconds * 1000))
        except DatabaseError as error:
            _LOG.warning("a lease was not renewed: %s", error)


def _take(database: Database, name: str, holder: str, now_ms: int, length_ms: int) -> bool:
    taken = {"holder": holder, "expires_ms": now_ms + length_ms}
    # One that ends after tomorrow was written by a clock that has been set back since.
    is_over = (lease.c.expires_ms <= now_ms) | (lease.c.expires_ms > now_ms + _DAY_MS)
    try:
        with database.write() as connection:
            changed = connection.execute(update(lease).where(lease.c.name == name, is_over).values(**taken))
            if changed.rowcount:
                return True
            connection.execute(insert(lease).values(name=name, **taken))
            return True
    except IntegrityError:
        return False
