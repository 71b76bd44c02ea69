"""Xorbs that a client puts straight into an object store: permission first, existence only after they were read back.

Protocol: xet-core, "Xorb uploads go through upload grants" (October 2026). A store without signed addresses answers
404, whereupon the client sends the xorb to the server.
"""

import asyncio
import base64
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

from aiohttp import web
from sqlalchemy import Row, delete, insert, select

from weighbridge.hub.content.content import hold_xorb, name_xorb, new_xorb_key
from weighbridge.hub.content.xet_token import admit
from weighbridge.hub.content.xorbs import IncomingXorb, hash_of, refused
from weighbridge.hub.database.schema import upload, xorb_owner
from weighbridge.hub.http.refusal import Refusal, bad_request, too_large
from weighbridge.hub.http.route import Call, Reply, Stream
from weighbridge.hub.http.stream import document
from weighbridge.hub.xet.errors import XetError, XorbError
from weighbridge.hub.xet.merkle import from_hex, to_hex
from weighbridge.hub.xet.xorb import MAX_XORB_BYTES, read_xorb

KIND: Final = "xorb"
AT_ONCE: Final = 4
"""So many xorbs are read back at once by a process; each takes a thread and about three blocks."""

_BLOCK_BYTES: Final = 2 * 1024 * 1024
_SECONDS: Final = 3600


def grant(call: Call) -> Reply:
    """POST …/v1/xorb-grants/{prefix}/{hash}: a request that stores the xorb; 200 if the repository has it."""
    hub, name = call.hub, to_hex(hash_of(call))
    with hub.database.read() as connection:
        repository_id = admit(connection, call, upload=True).repo.id
        held = connection.execute(
            select(xorb_owner.c.hash).where(xorb_owner.c.repository_id == repository_id, xorb_owner.c.hash == name)
        ).first()
    if held is not None and hold_xorb(hub, repository_id, name):
        return Reply(body={})
    size_bytes, checksum = _announced(call.document())
    key = new_xorb_key(name)
    put = hub.store.signed_put(key, seconds=_SECONDS, size_bytes=size_bytes, checksum_crc64nvme=checksum)
    if put is None:
        raise Refusal(404, "Send the xorb to this server.")
    grant_id = secrets.token_hex(16)
    row = {
        "id": grant_id,
        "kind": KIND,
        "repository_id": repository_id,
        "hash": name,
        "size_bytes": size_bytes,
        "created_ms": hub.now_ms(),
        "expires_ms": hub.now_ms() + 2 * _SECONDS * 1000,
        # Without this header the address stays good for writing other bytes after these were verified.
        "state": {"key": key, "sealed": any(name.lower() == "if-none-match" for name in put.headers)},
    }
    with hub.database.write() as connection:
        connection.execute(insert(upload).values(row))
    return Reply(body={"id": grant_id, "method": put.method, "url": put.url, "headers": dict(put.headers)}, status=201)


async def commit(_: web.Request, stream: Stream) -> web.Response:
    """POST …/v1/xorb-commits/{prefix}/{hash}/grant/{grant}: read back what was stored, verify it, let it exist."""
    return document(await asyncio.get_running_loop().run_in_executor(_desk(), _commit, stream.call))


@cache
def _desk() -> ThreadPoolExecutor:
    # Apart from the pool of requests, none of which is to wait until 64 MiB came back from the store.
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="hub-grant")


def _commit(call: Call) -> dict[str, bool]:
    hub, name = call.hub, to_hex(hash_of(call))
    with hub.database.read() as connection:
        repository_id = admit(connection, call, upload=True).repo.id
        row = connection.execute(
            select(upload).where(
                upload.c.id == call.parts["grant"],
                upload.c.kind == KIND,
                upload.c.repository_id == repository_id,
                upload.c.hash == name,
            )
        ).one_or_none()
    if row is None or hub.store.size(row.state["key"]) is None:
        raise Refusal(404, "Nothing was stored for this grant.")
    try:
        inserted = _enter(call, repository_id, row)
    except XetError as error:
        hub.store.delete((row.state["key"],))
        raise refused(error) from error
    finally:
        with hub.database.write() as connection:
            connection.execute(delete(upload).where(upload.c.id == row.id))
    return {"was_inserted": inserted}


def _enter(call: Call, repository_id: int, row: Row[Any]) -> bool:
    hub, key = call.hub, row.state["key"]
    stored = hub.store.open_blocks(key, block_bytes=_BLOCK_BYTES)
    if row.state["sealed"]:
        index = read_xorb(stored, expected=from_hex(row.hash))
        if index.serialised_bytes != row.size_bytes:
            raise XorbError("what was stored is longer than its chunks", place=index.place)
        return name_xorb(hub, repository_id, index, key)
    incoming = IncomingXorb(hub, repository_id, from_hex(row.hash))
    try:
        for block in stored:
            incoming.feed(block)
        return incoming.finish()
    finally:
        incoming.close()
        hub.store.delete((key,))


def _announced(body: dict[str, Any]) -> tuple[int, str | None]:
    size_bytes, checksum = body.get("length"), body.get("checksum")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes <= 0:
        raise bad_request("A grant is asked for with the xorb's length.")
    if size_bytes > MAX_XORB_BYTES:
        raise too_large(f"A xorb has {MAX_XORB_BYTES:,} bytes at most.")
    if not isinstance(checksum, dict) or checksum.get("algo") != "crc64nvme":
        return size_bytes, None
    value = str(checksum.get("value", ""))
    if not (value.isascii() and value.isdecimal() and len(value) <= 20 and int(value) < 1 << 64):
        raise bad_request("A checksum of CRC-64/NVME is a decimal number of 64 bits.")
    return size_bytes, base64.b64encode(int(value).to_bytes(8, "big")).decode()
