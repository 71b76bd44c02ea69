"""An upload in parts whose bytes come from the caller's own thread.

obstore asks an iterator for its bytes from within its asynchronous runtime, where a source that itself reads from a
store of obstore would bring the process down. So a thread of the upload waits for bytes that the caller hands over.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from queue import Full, Queue

import obstore
from obstore.store import ObjectStore

from weighbridge.hub.store.port import ByteStoreError

PART_BYTES = 16 * 1024 * 1024
_MAX_PARTS = 10_000
_PARTS_AT_ONCE = 2
_HANDED_BYTES = 1024 * 1024
_LOOK_SECONDS = 0.2


class _SourceFailedError(Exception):
    """Tells obstore to abort the upload; the caller raises what really happened."""


class _Handover(Iterator[bytes]):
    """Bytes from one thread to the iterator that another one reads; at most one block waits."""

    def __init__(self) -> None:
        self._queue: Queue[bytes | _SourceFailedError | None] = Queue(maxsize=1)

    def give(self, item: bytes | _SourceFailedError | None, upload: "Future[object]") -> bool:
        """Hand over a block, the end (None) or a failure; say whether the upload still takes any."""
        while not upload.done():
            try:
                self._queue.put(item, timeout=_LOOK_SECONDS)
            except Full:
                continue
            return True
        return False

    def __next__(self) -> bytes:
        item = self._queue.get()
        if item is None:
            raise StopIteration
        if isinstance(item, _SourceFailedError):
            raise item
        return item


def put_parts(
    store: ObjectStore, key: str, blocks: Iterable[bytes], *, place: str, errors: AbstractContextManager[None]
) -> int:
    """Upload the blocks in parts, two at a time, and return how many bytes they were; abort if anything fails.

    Args:
        store: where to.
        key: under which name.
        blocks: read in the caller's thread; what they raise goes on to the caller.
        place: of the object, for people.
        errors: translates what the store raises.

    Raises:
        ByteStoreError: if the bytes are more than fit into one object.
    """
    handover, total = _Handover(), 0
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="upload") as pool:
        upload: Future[object] = pool.submit(
            obstore.put,
            store,
            key,
            handover,
            use_multipart=True,
            chunk_size=PART_BYTES,
            max_concurrency=_PARTS_AT_ONCE,
        )
        try:
            for block in blocks:
                total += len(block)
                _must_fit(total, place)
                if not handover.give(block, upload):
                    break
            handover.give(None, upload)
        except BaseException:
            handover.give(_SourceFailedError(), upload)
            raise
        with errors:
            upload.result()
    return total


def regrouped(data: bytes | memoryview | Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in blocks worth handing over, none larger than a part if they come from one buffer."""
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        yield from (bytes(view[at : at + PART_BYTES]) for at in range(0, len(view), PART_BYTES))
        return
    waiting = bytearray()
    for block in data:
        waiting += block
        if len(waiting) >= _HANDED_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _must_fit(total: int, place: str) -> None:
    if total > _MAX_PARTS * PART_BYTES:
        raise ByteStoreError(
            f"an object of this store has at most {_MAX_PARTS * PART_BYTES} bytes",
            place=place,
            hint="Store the file in several objects.",
        )
