"""Which repositories have weights that nobody has looked into yet, as far as this process knows."""

import threading
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from weighbridge.hub.database.connect import Database

MAX_WAITING = 10_000


@dataclass(slots=True)
class _Waiting:
    """Those noted since the last turn, whose commits may not be over yet, and those from before it."""

    fresh: set[int] = field(default_factory=set)
    ripe: set[int] = field(default_factory=set)


_WAITING: WeakKeyDictionary[Database, _Waiting] = WeakKeyDictionary()
_LOCK = threading.Lock()


def note(database: Database, repository_id: int) -> None:
    """Remember a repository; beyond `MAX_WAITING` they are left to whoever asks for them first."""
    with _LOCK:
        waiting = _WAITING.setdefault(database, _Waiting())
        if len(waiting.fresh) < MAX_WAITING:
            waiting.fresh.add(repository_id)


def take(database: Database) -> tuple[int, ...]:
    """Return the repositories that were noted before the last call, and forget them."""
    with _LOCK:
        waiting = _WAITING.setdefault(database, _Waiting())
        taken = tuple(sorted(waiting.ripe))
        waiting.ripe, waiting.fresh = waiting.fresh, set()
        return taken
