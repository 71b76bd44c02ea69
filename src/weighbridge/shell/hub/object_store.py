"""The hub's bytes in an object store, through obstore."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import MemoryStore, ObjectStore

from weighbridge.hub.store.port import (
    BLOCK_BYTES,
    READ_LIMIT_BYTES,
    ByteStoreError,
    MissingObjectError,
    SignedUpload,
    StoredObject,
    StoreFullError,
    checked_key,
    checked_prefix,
    checked_range,
)
from weighbridge.hub.store.probe import probe
from weighbridge.shell.hub.object_upload import PART_BYTES, put_parts, regrouped

_DELETE_AT_ONCE = 1000
_ANSWER = re.compile(r"<Code>([^<]{1,80})</Code>(?:\s*<Message>([^<]{1,300})</Message>)?")
_NO_ROOM = r"StorageFull|QuotaExceeded|\b507\b"
_HINTS = (
    (r"NoSuchBucket", "Create the bucket, or correct its name in --store."),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|MissingCredentials|169\.254\.169\.254",
        "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN) to valid ones of this store.",
    ),
    (r"AccessDenied|Forbidden|\b403\b", "Allow these credentials to get, put, list and delete objects in this bucket."),
    (_NO_ROOM, "Make room in the store; what was stored before is untouched."),
    (r"PermanentRedirect|AuthorizationHeaderMalformed", "Set AWS_REGION to the bucket's region."),
    (r"HTTP error|timed? ?out|connect", "Check AWS_ENDPOINT_URL and the network to the store, and try again."),
)


class ObjectByteStore:
    """A `ByteStore` over any store of obstore; signs nothing.

    Args:
        store: rooted at the hub's prefix.
        place: its name for people.
    """

    def __init__(self, store: ObjectStore, *, place: str) -> None:
        self._store = store
        self._place = place

    @property
    def place(self) -> str:
        """The name of the store for people."""
        return self._place

    def check(self) -> None:
        """Use the store once."""
        probe(self)

    def write(self, key: str, data: bytes | memoryview | Iterable[bytes]) -> int:
        """Store the bytes; see `ByteStore.write`. More than `PART_BYTES` go in parts, two at a time."""
        where, blocks = self._where(checked_key(key)), regrouped(data)
        head: deque[bytes] = deque()
        total = 0
        for block in blocks:
            head.append(block)
            total += len(block)
            if total > PART_BYTES:
                whole = chain(_drained(head), blocks)
                return put_parts(self._store, key, whole, place=where, errors=self._errors(key, writing=True))
        with self._errors(key, writing=True):
            obstore.put(self._store, key, b"".join(head), use_multipart=False)
        return total

    def read(self, key: str, *, limit: int = READ_LIMIT_BYTES) -> bytes:
        """Return the whole object."""
        with self._errors(checked_key(key)):
            found = obstore.get(self._store, key)
            size = found.meta["size"]
            if size > limit:
                raise ByteStoreError(f"the object has {size} bytes; the limit is {limit}", place=self._where(key))
            return found.bytes().to_bytes()

    def read_range(self, key: str, start: int, end: int, *, limit: int = READ_LIMIT_BYTES) -> bytes:
        """Return the bytes from `start` up to, not including, `end`."""
        checked_key(key)
        count = checked_range(start, end, limit=limit, place=self._where(key))
        if not count:
            self._must_reach(key, self._size(key), end)
            return b""
        with self._errors(key):
            data = obstore.get_range(self._store, key, start=start, end=end).to_bytes()
        self._must_reach(key, start + len(data), end)
        return data

    def read_ranges(
        self, key: str, ranges: Iterable[tuple[int, int]], *, limit: int = READ_LIMIT_BYTES
    ) -> tuple[bytes, ...]:
        """Return several ranges, in their order; those close together come by one request."""
        wanted = tuple(ranges)
        for start, end in wanted:
            limit -= checked_range(start, end, limit=limit, place=self._where(checked_key(key)))
        if any(start == end for start, end in wanted) or len(wanted) < 2:
            return tuple(self.read_range(key, start, end) for start, end in wanted)
        # obstore panics at a range that begins after the object's end.
        self._must_reach(key, self._size(key), max(end for _, end in wanted))
        with self._errors(key):
            found = obstore.get_ranges(
                self._store, key, starts=[start for start, _ in wanted], ends=[end for _, end in wanted], coalesce=65536
            )
        for (start, end), data in zip(wanted, found, strict=True):
            self._must_reach(key, start + len(data), end)
        return tuple(data.to_bytes() for data in found)

    def open_blocks(
        self, key: str, *, block_bytes: int = BLOCK_BYTES, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Return an iterator over the bytes from `start` to `end`: a request for each block.

        A single long request would be cut by the store while a slow reader pauses.
        """
        size = self._size(checked_key(key))
        stop = size if end is None else end
        checked_range(start, max(start, stop), limit=1 << 62, place=self._where(key))
        self._must_reach(key, size, max(start, stop))
        return self._blocks(key, block_bytes, start, stop)

    def _blocks(self, key: str, block_bytes: int, start: int, end: int) -> Iterator[bytes]:
        for offset in range(start, end, block_bytes):
            yield self.read_range(key, offset, min(offset + block_bytes, end), limit=block_bytes)

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes; None if there is none."""
        try:
            return self._size(checked_key(key))
        except MissingObjectError:
            return None

    def _size(self, key: str) -> int:
        with self._errors(key):
            return obstore.head(self._store, key)["size"]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the objects, a thousand by one request."""
        left = iter(keys)
        while batch := [checked_key(key) for key in islice(left, _DELETE_AT_ONCE)]:
            try:
                with self._errors(batch[0]):
                    obstore.delete(self._store, batch)
            except MissingObjectError:
                # Some stores refuse a batch for one missing object; then the others are deleted one by one.
                self._delete_singly(batch)

    def _delete_singly(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                with self._errors(key):
                    obstore.delete(self._store, key)
            except MissingObjectError:
                continue

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Return the objects whose keys begin with these whole segments."""
        return self._list(checked_prefix(prefix))

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        with self._errors(prefix):
            for batch in obstore.list(self._store, prefix or None, chunk_size=1000):
                for found in batch:
                    modified_ms = round(found["last_modified"].timestamp() * 1000)
                    yield StoredObject(key=found["path"], size_bytes=found["size"], modified_ms=modified_ms)

    def sweep(self, *, older_than_seconds: int) -> int:
        """Remove nothing: this store keeps nothing of writers that died."""
        return 0

    def local_path(self, key: str) -> Path | None:
        """Return None: the bytes are not in files of this machine."""
        checked_key(key)
        return None

    def signed_get(self, key: str, *, seconds: int, byte_range: tuple[int, int] | None = None) -> str | None:
        """Return None: this store signs nothing."""
        checked_key(key)
        return None

    def signed_put(
        self, key: str, *, seconds: int, size_bytes: int, checksum_crc64nvme: str | None = None
    ) -> SignedUpload | None:
        """Return None: this store signs nothing."""
        checked_key(key)
        return None

    def _where(self, key: str) -> str:
        return f"{self._place.rstrip('/')}/{key}"

    def _must_reach(self, key: str, size: int, end: int) -> None:
        if end > size:
            raise ByteStoreError(f"the object ends at {size}, before {end}", place=self._where(key))

    @contextmanager
    def _errors(self, key: str, *, writing: bool = False) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            text = str(error)
            answer = _ANSWER.search(text)
            if isinstance(error, FileNotFoundError) and not writing and "NoSuchBucket" not in text:
                raise MissingObjectError("there is no such object", place=self._where(key)) from None
            what = ": ".join(part for part in answer.groups() if part) if answer else text.partition("\n")[0][:400]
            hint = next((hint for pattern, hint in _HINTS if re.search(pattern, text, re.IGNORECASE)), "Try again.")
            kind = StoreFullError if re.search(_NO_ROOM, text, re.IGNORECASE) else ByteStoreError
            raise kind(f"the store refused or failed: {what}", place=self._where(key), hint=hint) from error


class InMemoryByteStore(ObjectByteStore):
    """A `ByteStore` that forgets everything at the end of the process, for tests."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), place="memory:")


def _drained(blocks: deque[bytes]) -> Iterator[bytes]:
    """Yield the blocks and forget each, so that none is kept while the others are sent."""
    while blocks:
        yield blocks.popleft()
