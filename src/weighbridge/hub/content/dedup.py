"""Whether a chunk is known, answered by the xorbs that hold it, out of repositories that the asking user may read.

With the xorb comes what else its file is made of, so that a new version of a large file is recognised by one question.
"""

import secrets
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, select

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.xet_token import Bearer, admit, allowed, repository_of
from weighbridge.hub.content.xorbs import hash_of
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import content_owner, content_xorb, dedup_chunk, xorb, xorb_owner
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.xet.dedup_shard import write_dedup_shard
from weighbridge.hub.xet.merkle import HASH_BYTES, to_hex
from weighbridge.hub.xet.xorb import XorbIndex

MAX_XORBS: Final = 32
"""In one answer: about two gibibytes of a file, and 1.5 MiB to send."""

_MAX_CANDIDATES: Final = 50
_LONGEST_SECONDS: Final = 7 * 24 * 3600


def query(call: Call) -> Reply:
    """GET …/v1/chunks/{prefix}/{hash}."""
    chunk = to_hex(hash_of(call))
    with call.hub.database.read() as connection:
        bearer = admit(connection, call, upload=False)
        indexes = tuple(_known(connection, bearer, chunk))
    if not indexes:
        raise Refusal(404, "This chunk is not known.")
    # What is offered now is kept for the grace time at least.
    now_s = call.hub.now_ms() // 1000
    expires = now_s + max(1, min(_LONGEST_SECONDS, call.hub.settings.grace_seconds))
    shard = write_dedup_shard(indexes, key=secrets.token_bytes(HASH_BYTES), created=now_s, expires=expires)
    return Reply(body=shard, headers={"Content-Type": "application/octet-stream"})


def _known(connection: Connection, bearer: Bearer, chunk: str) -> Iterator[XorbIndex]:
    for name, repository_id in _candidates(connection, bearer, chunk):
        repo = bearer.repo if repository_id == bearer.repo.id else repository_of(connection, repository_id)
        if repo is None or not allowed(connection, bearer.caller, repo, Access.READ):
            continue
        names = dict.fromkeys((name, *_beside(connection, repository_id, name)))
        for part in batches(list(names)[:MAX_XORBS], 8):
            rows = connection.execute(select(xorb.c.chunks).where(xorb.c.hash.in_(part), xorb.c.condemned_ms.is_(None)))
            yield from (XorbIndex.from_bytes(packed) for packed in rows.scalars())
        return


def _candidates(connection: Connection, bearer: Bearer, chunk: str) -> list[tuple[str, int]]:
    """Return xorbs that hold the chunk with repositories that brought them, the bearer's own first."""
    statement = (
        select(xorb_owner.c.hash, xorb_owner.c.repository_id)
        .join(dedup_chunk, dedup_chunk.c.xorb == xorb_owner.c.hash)
        .join(xorb, xorb.c.hash == xorb_owner.c.hash)
        .where(dedup_chunk.c.chunk == chunk, xorb.c.condemned_ms.is_(None))
    )
    own = statement.where(xorb_owner.c.repository_id == bearer.repo.id).limit(1)
    rows = [*connection.execute(own), *connection.execute(statement.limit(_MAX_CANDIDATES))]
    return [(name, repository_id) for name, repository_id in rows]


def _beside(connection: Connection, repository_id: int, name: str) -> list[str]:
    """Return the xorbs, brought by the same repository, of a file of its that uses this one."""
    user = (
        select(content_xorb.c.sha256)
        .join(content_owner, content_owner.c.sha256 == content_xorb.c.sha256)
        .where(content_xorb.c.xorb == name, content_owner.c.repository_id == repository_id)
        .order_by(content_owner.c.created_ms.desc())
        .limit(1)
    )
    statement = (
        select(content_xorb.c.xorb)
        .join(xorb_owner, xorb_owner.c.hash == content_xorb.c.xorb)
        .where(content_xorb.c.sha256 == user.scalar_subquery(), xorb_owner.c.repository_id == repository_id)
        .limit(MAX_XORBS)
    )
    return list(connection.execute(statement).scalars())
