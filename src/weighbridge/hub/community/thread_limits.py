"""How much one thread may hold, and how many threads a stranger may open: a thread is always told whole."""

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Text, cast, func, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.database.schema import discussion, discussion_event
from weighbridge.hub.http.refusal import Refusal, conflict
from weighbridge.hub.repositories.find import Repository

MAX_THREAD_BYTES: Final = 4 * 1024 * 1024
"""What the events of a thread take in the database, former texts of comments too."""

MAX_THREADS_OF_STRANGER: Final = 1_000
"""So many threads of one repository may be of somebody who may not write to it."""


def check_room(connection: Connection, repo: Repository, number: int, *, more_bytes: int) -> None:
    """Return if there is room for so many bytes more in the thread.

    Raises:
        Refusal: 409.
    """
    held = select(func.coalesce(func.sum(func.length(cast(discussion_event.c.data, Text))), 0)).where(
        discussion_event.c.repository_id == repo.id, discussion_event.c.number == number
    )
    if more_bytes > 0 and int(connection.execute(held).scalar_one()) + more_bytes > MAX_THREAD_BYTES:
        raise conflict(f"A discussion takes at most {MAX_THREAD_BYTES:,} bytes: open a new one.")


def check_stranger(connection: Connection, repo: Repository, caller: Caller) -> None:
    """Return if the caller may open another thread.

    Raises:
        Refusal: 409 for somebody who may not write to the repository and has opened too many there.
    """
    theirs = select(func.count()).where(discussion.c.repository_id == repo.id, discussion.c.author_id == caller.user_id)
    if int(connection.execute(theirs).scalar_one()) < MAX_THREADS_OF_STRANGER:
        return
    try:
        may(connection, caller, repo, Access.WRITE)
    except Refusal as refusal:
        most = f"{MAX_THREADS_OF_STRANGER:,} discussions here"
        raise conflict(f"You have opened {most}, which is as many as somebody may who does not write.") from refusal


def size_of(data: Mapping[str, Any]) -> int:
    """Return how many bytes the data of an event take."""
    return len(json.dumps(dict(data)))
