"""What the steps of one garbage collection share: what it goes by, what it did, and how it takes rows."""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, select

from weighbridge.hub.content.progress import Progress
from weighbridge.hub.server import HubServer

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """One garbage collection.

    Attributes:
        hub: whose bytes and rows are collected.
        progress: is told of each step.
        dry_run: count only.
        grace_seconds: how long what was condemned stays.
        before_ms: what was made since stays.
        nameless_ms: bytes without a name that were written since stay.
        found: what was done until now.
    """

    hub: HubServer
    progress: Progress
    dry_run: bool
    grace_seconds: int
    before_ms: int
    nameless_ms: int
    found: Collected = field(default_factory=Collected)


def unheld(connection: Connection, key: Any, which: ColumnElement[bool]) -> list[str]:
    """Lock those of the rows that nobody holds and return their keys; the others are left for the next time.

    So a collection never waits for an upload or a commit, and none of them waits for it in a circle. Whether a row is
    still dead is asked after this, in another statement: what was taken into use meanwhile is seen then.
    """
    rows = select(key).where(which).order_by(key).with_for_update(of=key.table, skip_locked=True)
    return list(connection.execute(rows).scalars())
