"""What is read again and again and never changes, kept in memory up to a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect

V = TypeVar("V")

_ENTRY_BYTES = 450
"""What the dictionary, a key of a number and a few texts, and the values' own objects take; counted for every entry."""


class BoundedCache(Generic[V]):
    """Forgets what was not asked for longest, as soon as it holds more than `budget_bytes`. Safe between threads."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._held_bytes = 0
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        """What is held now, by the sizes that were given."""
        return self._held_bytes

    def get(self, key: Hashable) -> V | None:
        """Return what was put under the key, unless it is forgotten."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: V, size_bytes: int) -> None:
        """Keep the value; one that is larger than an eighth of the budget is not worth what it would push out."""
        size_bytes += _ENTRY_BYTES
        if size_bytes > self._budget_bytes // 8:
            return
        with self._lock:
            former = self._entries.pop(key, None)
            if former is not None:
                self._held_bytes -= former[1]
            self._entries[key] = (value, size_bytes)
            self._held_bytes += size_bytes
            while self._held_bytes > self._budget_bytes:
                _, (_, freed) = self._entries.popitem(last=False)
                self._held_bytes -= freed


class CachePerDatabase(Generic[V]):
    """A `BoundedCache` of `budget_bytes` for each database that this process has open."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        # By dialect, because that is the one object which all connections to one database share, and no two databases.
        self._caches: WeakKeyDictionary[Dialect, BoundedCache[V]] = WeakKeyDictionary()

    def of(self, connection: Connection) -> BoundedCache[V]:
        """Return the cache of the database that this connection leads to."""
        found = self._caches.get(connection.dialect)
        if found is None:
            found = self._caches.setdefault(connection.dialect, BoundedCache(self._budget_bytes))
        return found
