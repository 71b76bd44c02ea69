"""A xorb on its way in: verified block by block while it is written, so that no upload is ever held whole."""

import asyncio
import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self
from weakref import WeakValueDictionary

from aiohttp import web

from weighbridge.errors import WeighbridgeError
from weighbridge.hub.content.content import hold_xorb, name_xorb, new_xorb_key
from weighbridge.hub.content.xet_token import admit
from weighbridge.hub.http.refusal import Refusal, bad_request
from weighbridge.hub.http.route import Call, Stream
from weighbridge.hub.http.stream import document, pour
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.errors import XetError
from weighbridge.hub.xet.merkle import from_hex, to_hex
from weighbridge.hub.xet.xorb import MAX_FOOTER_BYTES, MAX_XORB_BYTES, XorbIndex, XorbReader

MAX_UPLOADS: Final = 24
"""So many xorbs are received at once by a process; each takes a thread and about five blocks."""

MAX_UPLOADS_OF_USER: Final = 12
"""So many of them are of one user, so that nobody who sends slowly takes all the room."""

BLOCK_BYTES: Final = 1024 * 1024
_WAITING_BLOCKS: Final = 2
_LIMIT_BYTES: Final = MAX_XORB_BYTES + MAX_FOOTER_BYTES


class XorbDesk:
    """Receives xorbs for one process: `POST …/xorbs/{prefix}/{hash}`."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(MAX_UPLOADS)
        self._rooms: WeakValueDictionary[int | None, asyncio.Semaphore] = WeakValueDictionary()

    async def upload(self, request: web.Request, stream: Stream) -> web.Response:
        """Verify, store and enter the xorb that the body is."""
        name = hash_of(stream.call)
        repository_id, user_id = await stream.work(_admitted, stream.call)
        own = self._rooms.setdefault(user_id, asyncio.Semaphore(MAX_UPLOADS_OF_USER))
        async with own, self._room:
            incoming = IncomingXorb(stream.call.hub, repository_id, name)
            try:
                await pour(request, stream, incoming.feed, limit=_LIMIT_BYTES, block_bytes=BLOCK_BYTES)
                inserted = await stream.work(incoming.finish)
            except XetError as error:
                raise refused(error) from error
            finally:
                await stream.work(incoming.close)
        return document({"was_inserted": inserted})


def hash_of(call: Call) -> bytes:
    """Return the hash that the path names.

    Raises:
        Refusal: 400 if it is none.
    """
    try:
        return from_hex(call.parts["hash"])
    except XetError as error:
        raise refused(error) from error


def refused(error: WeighbridgeError) -> Refusal:
    """Return what is wrong with an upload as the answer to it."""
    where = f"{error.place}: " if error.place else ""
    return bad_request(f"{where}{error.message}")


def _admitted(call: Call) -> tuple[int, int | None]:
    with call.hub.database.read() as connection:
        bearer = admit(connection, call, upload=True)
        return bearer.repo.id, bearer.caller.user_id


class IncomingXorb:
    """One upload. `feed` and `finish` are called one after another, from any thread; `close` in any case."""

    def __init__(self, hub: HubServer, repository_id: int, expected: bytes) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._name = to_hex(expected)
        self._reader = XorbReader(expected=expected)
        self._pending = b""
        self._passed_bytes = 0
        self._key = new_xorb_key(self._name)
        self._storing: Storing | None = None

    def feed(self, block: bytes) -> None:
        """Take the next bytes.

        Raises:
            XorbError: at the first chunk that is amiss.
            ByteStoreError: if the store fails.
        """
        self._reader.feed(block)
        if self._storing is None:
            self._storing = Storing(self._hub, self._key).__enter__()
        # Only chunks that were found good go on; a footer never does.
        good = self._reader.serialised_bytes - self._passed_bytes
        self._passed_bytes += good
        before = min(good, len(self._pending))
        if before:
            self._storing.put(self._pending[:before])
        if good > before:
            self._storing.put(memoryview(block)[: good - before])
        self._pending = self._pending[before:] + block[good - before :]

    def finish(self) -> bool:
        """Enter the xorb and say whether it was new.

        Raises:
            XorbError: if it is not what its name says.
            ByteStoreError: if the store fails.
        """
        index = self._reader.finish()
        assert self._storing is not None, "a xorb that is not empty was fed"
        if hold_xorb(self._hub, self._repository_id, self._name):
            return False
        self._storing.finish()
        return self._enter(index)

    def _enter(self, index: XorbIndex) -> bool:
        return name_xorb(self._hub, self._repository_id, index, self._key)

    def close(self) -> None:
        """Drop what was not finished."""
        if self._storing is not None:
            self._storing.__exit__(None, None, None)


class _Dropped(Exception):  # noqa: N818 - it ends a write that nobody wants any more
    pass


class Storing:
    """An object that is written to the store piece by piece, in a thread of its own. Dropped unless `finish` is called.

    The store takes bytes by asking for them; whoever receives an upload is given them. This stands between the two.
    """

    def __init__(self, hub: HubServer, key: str) -> None:
        self._hub = hub
        self._key = key
        self._blocks: queue.Queue[bytes | memoryview | None] = queue.Queue(_WAITING_BLOCKS)
        self._dropped = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._write, name="hub-store", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self._dropped.set()
            self._thread.join()

    def put(self, block: bytes | memoryview) -> None:
        """Append bytes; waits while the store is behind.

        Raises:
            ByteStoreError: if the store failed.
        """
        self._send(block)

    def finish(self) -> None:
        """Wait until the object is safely stored.

        Raises:
            ByteStoreError: if the store failed.
        """
        self._send(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _send(self, block: bytes | memoryview | None) -> None:
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._blocks.put(block, timeout=1)
            except queue.Full:
                continue

    def _write(self) -> None:
        try:
            self._hub.store.write(self._key, self._received())
        except _Dropped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the bytes come from, never taken for a success
            self._error = error

    def _received(self) -> Iterator[Any]:
        while not self._dropped.is_set():
            try:
                block = self._blocks.get(timeout=0.2)
            except queue.Empty:
                continue
            if block is None:
                return
            yield block
        raise _Dropped
