"""Counts downloads: in memory as they come, into the database every few seconds, so that reading stays cheap.

A client marks the requests that belong to a download with `X-HF-Download-Counter: 1` and makes several for one, so one
client counts once a minute for one repository.
"""

import threading
import time
from collections import Counter
from weakref import WeakKeyDictionary

from sqlalchemy import update

from weighbridge.hub.database.connect import Database
from weighbridge.hub.database.schema import repository
from weighbridge.hub.http.route import Call
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.server import HubServer

HEADER = "X-HF-Download-Counter"
_SAME_SECONDS = 60.0
_MAX_CLIENTS = 20_000


class _Pending:
    """What one process has counted since the last flush, and which clients it has seen in this minute."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[int] = Counter()
        self.seen: dict[tuple[int, str], float] = {}


_PENDING: WeakKeyDictionary[Database, _Pending] = WeakKeyDictionary()
_MAKING = threading.Lock()


def count(call: Call, repo: Repository) -> None:
    """Count a download of the repository, if the call says that it belongs to one."""
    if call.headers.get(HEADER) != "1":
        return
    pending = _pending(call.hub)
    # The agent names the session of huggingface_hub, so two machines of one user count as two.
    client = f"{call.caller.token_id}\0{call.headers.get('User-Agent', '')[:300]}"
    now = time.monotonic()
    with pending.lock:
        if now - pending.seen.get((repo.id, client), -_SAME_SECONDS) < _SAME_SECONDS:
            return
        if len(pending.seen) >= _MAX_CLIENTS:
            pending.seen.clear()
        pending.seen[repo.id, client] = now
        pending.counts[repo.id] += 1


def flush(hub: HubServer) -> int:
    """Write what was counted to the database and return how many downloads that were.

    Raises:
        DatabaseError: if it cannot be written; the counts are kept for the next time.
    """
    pending = _pending(hub)
    with pending.lock:
        counts, pending.counts = pending.counts, Counter()
    if not counts:
        return 0
    written = False
    try:
        with hub.database.write() as connection:
            # In one order, so that two processes wait for each other instead of dead-locking.
            for repository_id, number in sorted(counts.items()):
                connection.execute(
                    update(repository)
                    .where(repository.c.id == repository_id)
                    .values(downloads=repository.c.downloads + number)
                )
        written = True
    finally:
        if not written:
            with pending.lock:
                pending.counts.update(counts)
    return counts.total()


def _pending(hub: HubServer) -> _Pending:
    with _MAKING:
        return _PENDING.setdefault(hub.database, _Pending())
