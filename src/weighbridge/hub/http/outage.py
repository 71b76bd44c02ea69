"""What the hub itself lacks, as an answer: one sentence for the client, the reason for the log alone."""

import errno
from typing import Final

from weighbridge.errors import WeighbridgeError
from weighbridge.hub.database.connect import DatabaseFullError
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.store.port import StoreFullError

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)

Outage = WeighbridgeError | OSError | MemoryError
"""What keeps the hub from answering: its store or database, the disk that bodies wait on, its memory."""

OUTAGES: Final = (WeighbridgeError, OSError, MemoryError)


def outage(error: Outage) -> Refusal:
    """Return the answer: 507 where there is no room, which clients do not try again at once, otherwise 503."""
    if isinstance(error, DatabaseFullError | StoreFullError) or _is_full(error):
        return Refusal(
            507, "The hub has no room left: nothing of this request was kept; ask its operator, then send it again."
        )
    return Refusal(503, "The hub cannot answer this now; its operator finds the reason in its log.")


def reason(error: Outage) -> str:
    """Return what the log says of it, with what to do next."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, WeighbridgeError):
        return f"{error} ({error.hint})" if error.hint else str(error)
    where = error.filename if isinstance(error.filename, str) else "the disk where bodies wait"
    return f"{where}: {error.strerror or error}"


def _is_full(error: Outage) -> bool:
    return isinstance(error, OSError) and error.errno in _NO_ROOM
