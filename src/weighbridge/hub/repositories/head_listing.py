"""The listing of the head of `main`, kept ready in a row: what clients ask for most, at hubs larger than any memory.

It is derived from the repository's objects and may be dropped at any time; readers then put the listing together.
"""

from dataclasses import dataclass
from typing import Final

import lz4.block
from sqlalchemy import Connection, bindparam, delete, insert, select

from weighbridge.hub.database.schema import head_listing

MAX_ENTRIES: Final = 2_000
"""Longer ones are not kept: every commit writes them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadListing:
    """Two JSON arrays, each `packed`: `files` as a recursive tree shows them, `siblings` as a description does."""

    commit_oid: str
    tree_oid: str
    files: bytes
    siblings: bytes


def packed(listing: bytes) -> bytes:
    """Return a listing as it is kept, in memory and in the row: half as long."""
    made: bytes = lz4.block.compress(listing)
    return made


def unpacked(kept_listing: bytes) -> bytes:
    """Undo `packed`."""
    made: bytes = lz4.block.decompress(kept_listing)
    return made


_COLUMNS = (head_listing.c.commit_oid, head_listing.c.tree_oid, head_listing.c.files, head_listing.c.siblings)
_KEPT = select(*_COLUMNS).where(head_listing.c.repository_id == bindparam("repository_id"))


def keep(connection: Connection, repository_id: int, listing: HeadListing | None) -> None:
    """Put this listing in the place of the one that was kept; the caller holds the repository's row."""
    connection.execute(delete(head_listing).where(head_listing.c.repository_id == repository_id))
    if listing is not None:
        connection.execute(
            insert(head_listing).values(
                repository_id=repository_id,
                commit_oid=listing.commit_oid,
                tree_oid=listing.tree_oid,
                files=listing.files,
                siblings=listing.siblings,
            )
        )


def kept(connection: Connection, repository_id: int) -> HeadListing | None:
    """Return the listing that is kept, of whichever commit it is."""
    row = connection.execute(_KEPT, {"repository_id": repository_id}).one_or_none()
    if row is None:
        return None
    return HeadListing(
        commit_oid=row.commit_oid,
        tree_oid=row.tree_oid,
        files=row.files,
        siblings=row.siblings,
    )
