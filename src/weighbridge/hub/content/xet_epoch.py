"""The address of the byte server, which changes when what clients remember of it stops being true.

hf_xet keeps, for weeks and under the address of the byte server, which chunks lie in which xorbs, and uploads none of
them again. It never learns that a xorb was collected, and cannot recover when a shard that names one is refused. So the
address holds a mark: of the repository and the token, because another one may not use the same xorbs, and of the
hub's present epoch, which ends when a xorb is deleted. Nothing depends on the mark but the client's memory.
"""

import hashlib
import secrets
from typing import Final

from sqlalchemy import Connection, delete, select

from weighbridge.hub.content.content import insert_missing
from weighbridge.hub.database.schema import server_value
from weighbridge.hub.server import HubServer

_NAME: Final = "xet_epoch"
_MARK_CHARACTERS: Final = 16

MARK: Final = f"[0-9a-f]{{{_MARK_CHARACTERS}}}"
"""The form of a mark, as a regular expression."""


def mark_of(hub: HubServer, repository_id: int, token_id: int | None) -> str:
    """Return what stands in the address for uploads to a repository by a token."""
    with hub.database.read() as connection:
        epoch = _present(connection)
    if epoch is None:
        with hub.database.write() as connection:
            _begin(connection)
            epoch = _present(connection)
    return hashlib.sha256(f"{epoch} {repository_id} {token_id}".encode()).hexdigest()[:_MARK_CHARACTERS]


def end_epoch(connection: Connection) -> None:
    """Say that xorbs are deleted, in the transaction that deletes them."""
    connection.execute(delete(server_value).where(server_value.c.name == _NAME))
    _begin(connection)


def _begin(connection: Connection) -> None:
    insert_missing(connection, server_value, ({"name": _NAME, "value": secrets.token_hex(16)},))


def _present(connection: Connection) -> str | None:
    return connection.execute(select(server_value.c.value).where(server_value.c.name == _NAME)).scalar_one_or_none()
