"""The port of the hub server's bytes: immutable objects under names that the server makes itself.

Methods block and may be called from any thread. Several processes may use one store at once.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from weighbridge.errors import HubError

BLOCK_BYTES = 4 * 1024 * 1024
READ_LIMIT_BYTES = 96 * 1024 * 1024
"""What one read returns at most, unless told otherwise: more than the largest xorb (64 MiB and its headers)."""

MAX_KEY_CHARACTERS = 512
MAX_SIGNED_SECONDS = 7 * 24 * 3600
"""No S3 store takes a signature for longer."""

# A segment begins with a letter or a digit, so none is `.`, `..`, hidden or empty.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,199})*")


class ByteStoreError(HubError):
    """The store of the hub's bytes cannot be used, or refused. `place` names the store and the key."""


class MissingObjectError(ByteStoreError):
    """No object has this key."""

    hint = "Run `weighbridge hub verify`: it names what is damaged and which revisions it touches."


class StoreFullError(ByteStoreError):
    """There is no room left where the bytes are to go."""

    hint = "Make room and try again; what was stored before is untouched."


class UnsafeKeyError(ByteStoreError):
    """A key that no store takes: not made of plain segments."""

    hint = "Keys are made by the server and never by its clients: this is a defect. Please report it."


def checked_key(key: str) -> str:
    """Return `key` if it is one: ASCII letters, digits, `.`, `_` and `-` in segments parted by `/`.

    Raises:
        UnsafeKeyError: for anything else, such as `..`, an absolute path, NUL or an empty segment.
    """
    if len(key) > MAX_KEY_CHARACTERS or not _KEY.fullmatch(key):
        raise UnsafeKeyError("this is no key of the store", place=repr(key[:80]))
    return key


def checked_prefix(prefix: str) -> str:
    """Return `prefix` without its last slash; the empty one stands for everything.

    Raises:
        UnsafeKeyError: if it is neither empty nor whole segments of a key.
    """
    return checked_key(prefix.removesuffix("/")) if prefix else prefix


def checked_range(start: int, end: int, *, limit: int, place: str) -> int:
    """Return the length of the bytes from `start` up to, not including, `end`.

    Raises:
        ByteStoreError: if that is no range, or longer than `limit`.
    """
    if not 0 <= start <= end:
        raise ByteStoreError(f"{start}-{end} is no range of bytes", place=place)
    if end - start > limit:
        raise ByteStoreError(f"{end - start} bytes were asked for at once; the limit is {limit}", place=place)
    return end - start


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """One object: its key, its size, and when it was written (milliseconds since 1970, by the store's clock)."""

    key: str
    size_bytes: int
    modified_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUpload:
    """A request that a client may send to the store itself, with exactly these headers."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class ByteStore(Protocol):
    """Immutable objects under keys. A key is written once; written again, it must be with the same bytes.

    Every method raises `UnsafeKeyError` for what is no key, and `ByteStoreError` (a `HubError`) if the disk or the
    network fails.
    """

    @property
    def place(self) -> str:
        """Where the bytes lie, for people: a folder, or `s3://bucket/prefix`. Holds no secret."""
        ...

    def check(self) -> None:
        """Write, read and delete a small object, so that a store that cannot be used is noticed at the start.

        Raises:
            ByteStoreError: with what failed, and what to do about it.
        """
        ...

    def write(self, key: str, data: bytes | memoryview | Iterable[bytes]) -> int:
        """Store the bytes and return how many; nothing is visible under the key before all are safely stored.

        Whatever `data` raises while it is read goes on to the caller; what was half written is removed.
        """
        ...

    def read(self, key: str, *, limit: int = READ_LIMIT_BYTES) -> bytes:
        """Return the whole object.

        Raises:
            MissingObjectError: if there is none.
            ByteStoreError: if it is longer than `limit` bytes.
        """
        ...

    def read_range(self, key: str, start: int, end: int, *, limit: int = READ_LIMIT_BYTES) -> bytes:
        """Return the bytes from `start` up to, not including, `end`; exactly so many.

        Raises:
            MissingObjectError: if there is no such object.
            ByteStoreError: if the object ends before `end`, or more than `limit` bytes were asked for.
        """
        ...

    def read_ranges(
        self, key: str, ranges: Iterable[tuple[int, int]], *, limit: int = READ_LIMIT_BYTES
    ) -> tuple[bytes, ...]:
        """Return several ranges as `read_range` does, in their order; `limit` bounds them together."""
        ...

    def open_blocks(
        self, key: str, *, block_bytes: int = BLOCK_BYTES, start: int = 0, end: int | None = None
    ) -> Iterator[bytes]:
        """Return an iterator over the bytes from `start` to `end` (to the object's end without one).

        Every block but the last has `block_bytes` bytes, and no more than one is in memory at a time.

        Raises:
            MissingObjectError: at once, if there is no such object.
            ByteStoreError: at once, if the object is shorter than `end` or `start`; later, if reading fails.
        """
        ...

    def size(self, key: str) -> int | None:
        """Return the object's size in bytes; None if there is none."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the objects, those that are there."""
        ...

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Return the objects whose keys begin with these whole segments (`xorbs/ab`), in no promised order.

        Objects written or deleted meanwhile may be among them or not.
        """
        ...

    def sweep(self, *, older_than_seconds: int) -> int:
        """Remove what killed writers have left behind, and return how many such leavings there were.

        A writer that is still at work loses nothing, if it takes no longer than `older_than_seconds`.
        """
        ...

    def local_path(self, key: str) -> Path | None:
        """Return the file that holds the object, to send from; None if there is none, or not on this machine."""
        ...

    def signed_get(self, key: str, *, seconds: int, byte_range: tuple[int, int] | None = None) -> str | None:
        """Return a URL that anyone may GET for so many seconds; None where the store has no such thing.

        Args:
            key: the object, which need not exist yet.
            seconds: how long, from 1 to `MAX_SIGNED_SECONDS`.
            byte_range: `(start, end)`, end not included: the URL is good only for a request with exactly the header
                `Range: bytes=start-(end - 1)`. Without it the URL opens the whole object, and any range of it.
        """
        ...

    def signed_put(
        self, key: str, *, seconds: int, size_bytes: int, checksum_crc64nvme: str | None = None
    ) -> SignedUpload | None:
        """Return a request that stores exactly `size_bytes` bytes under the key; None where there is no such thing.

        Args:
            key: where to; its bytes are the client's, so nothing may rely on them before they were read back.
            seconds: how long, from 1 to `MAX_SIGNED_SECONDS`.
            size_bytes: signed as `Content-Length`. One request of S3 takes at most 5 GiB.
            checksum_crc64nvme: base64 of the big-endian checksum, which the store then compares.
        """
        ...


def checked_seconds(seconds: int) -> int:
    """Return the validity of a signature.

    Raises:
        ValueError: unless it lies between 1 and `MAX_SIGNED_SECONDS`.
    """
    if not 1 <= seconds <= MAX_SIGNED_SECONDS:
        raise ValueError(f"a signature is good for 1 to {MAX_SIGNED_SECONDS} seconds, not {seconds}")
    return seconds
