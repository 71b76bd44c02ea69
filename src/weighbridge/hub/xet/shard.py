"""Shards: which chunks of which xorbs make a file, and which chunks a xorb holds. Everything here is only claimed.

A shard is a header, file blocks, a bookend, xorb blocks, a bookend and, except in uploads, a footer: all in records of
48 bytes. Reading checks every count against the bytes that are there before it believes it, and keeps views of the
upload instead of objects. Whether the claims are true is for `file_check`.
Source: hub-docs `docs/xet/shard.md`; flags of chunks from xet-core's `xorb_structs.rs`.
"""

import itertools
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from weighbridge.hub.xet.chunk import MAX_CHUNK_BYTES
from weighbridge.hub.xet.errors import ShardError
from weighbridge.hub.xet.merkle import HASH_BYTES, ZERO_HASH, from_hex, to_hex
from weighbridge.hub.xet.xorb import MAX_XORB_CHUNKS, XorbIndex

MAX_SHARD_BYTES: Final = 64 * 1024 * 1024
RECORD_BYTES: Final = 48
# A tebibyte of new data; clients send a shard for much less.
MAX_SHARD_XORBS: Final = 16_384
FOOTER_BYTES: Final = 200

TAG: Final = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
HEADER_VERSION: Final = 2
FOOTER_VERSION: Final = 1
BOOKEND: Final = b"\xff" * HASH_BYTES + bytes(RECORD_BYTES - HASH_BYTES)

_WITH_VERIFICATION: Final = 1 << 31
_WITH_SHA256: Final = 1 << 30
# Marks a chunk that others may be told of when they ask whether it is known: the first of a file.
DEDUP_FLAG: Final = 1 << 31

_NUMBERS = [("a", "<u4"), ("b", "<u4"), ("c", "<u4"), ("d", "<u4")]
# Every record is a hash and four numbers, whose meaning depends on where it stands.
RECORD: Final = np.dtype([("hash", "V32"), *_NUMBERS])
_HEAD: Final = struct.Struct("<32s4I")
# Fewer terms are checked faster one by one; most files have one.
_FEW: Final = 16

Records: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Chunks `[first, end)` of one xorb, which unpack to `raw_bytes`."""

    xorb: bytes
    first: int
    end: int
    raw_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileEntry:
    """How a file is put together, as a client claims. `sha256` is the ordinary hexadecimal digest, or None.

    An empty file has no terms and a hash of zeros.
    """

    hash: bytes
    sha256: str | None
    records: Records
    range_hashes: bytes | None

    def __len__(self) -> int:
        return len(self.records)

    @property
    def terms(self) -> Iterator[Term]:
        """Go through the terms in the order of the file."""
        for xorb, _, raw_bytes, first, end in _HEAD.iter_unpack(self.records.view(np.uint8).data):
            yield Term(xorb=xorb, first=first, end=end, raw_bytes=raw_bytes)

    @property
    def size_bytes(self) -> int:
        """Length of the file, as claimed."""
        return int(self.records["b"].sum(dtype=np.uint64))

    @property
    def chunk_count(self) -> int:
        """How many chunks its terms name, repeats counted: what checking it costs."""
        return int((self.records["d"].astype(np.int64) - self.records["c"]).sum())

    @property
    def xorbs(self) -> frozenset[bytes]:
        """Return the hashes of the xorbs that it takes chunks from."""
        return frozenset(hash_.tobytes() for hash_ in self.records["hash"])

    def range_hash(self, term: int) -> bytes:
        """Return the proof that comes with a term; only where the shard has proofs."""
        if self.range_hashes is None:
            raise ShardError("it has no verification hashes", place=f"file {to_hex(self.hash)}")
        return self.range_hashes[term * HASH_BYTES : (term + 1) * HASH_BYTES]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class XorbEntry:
    """Which chunks a xorb holds, as a client claims (or, keyed, as a deduplication answer tells)."""

    hash: bytes
    raw_bytes: int
    serialised_bytes: int
    records: Records

    def __len__(self) -> int:
        return len(self.records)

    @property
    def hashes(self) -> bytes:
        """Return the chunk hashes, joined."""
        return bytes(self.records["hash"].tobytes())

    @property
    def raw_offsets(self) -> NDArray[np.uint32]:
        """Where each chunk starts among the raw bytes of the xorb."""
        return np.asarray(self.records["a"])

    @property
    def raw_lengths(self) -> NDArray[np.uint32]:
        """Length of each chunk in bytes."""
        return np.asarray(self.records["b"])

    @property
    def flagged(self) -> tuple[int, ...]:
        """Which chunks the client marked as worth asking for."""
        return tuple(np.flatnonzero(self.records["c"] & DEDUP_FLAG).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What a shard that a server sends says of itself. Times are seconds since 1970."""

    key: bytes
    created: int
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shard:
    """The blocks of a shard, in order."""

    files: tuple[FileEntry, ...]
    xorbs: tuple[XorbEntry, ...]
    footer: Footer | None

    @property
    def chunk_count(self) -> int:
        """How many chunks all files name, repeats counted: bound it before checking them."""
        return sum(file.chunk_count for file in self.files)


def read_shard(data: bytes, *, with_verification: bool = True) -> Shard:
    """Read a shard of at most 64 MiB.

    An upload must prove its terms (`with_verification`); answers and local shards need not. Raises `ShardError`, whose
    place is the byte at fault. Holds views of `data`; what it makes besides is less than 1 KiB a file or xorb.
    """
    if len(data) > MAX_SHARD_BYTES:
        raise ShardError(f"a shard has at most {MAX_SHARD_BYTES} bytes, not {len(data)}", place="shard")
    if data[: len(TAG)] != TAG or len(data) < RECORD_BYTES:
        raise ShardError("these bytes are not a shard", place="shard, byte 0")
    version, footer_bytes = (int.from_bytes(data[at : at + 8], "little") for at in (32, 40))
    if version != HEADER_VERSION:
        raise ShardError(f"shard version {version} is not known", place="shard, byte 32")
    if footer_bytes not in (0, FOOTER_BYTES):
        raise ShardError(f"a footer has {FOOTER_BYTES} bytes, not {footer_bytes}", place="shard, byte 40")
    cursor = _Cursor(data)
    files = tuple(_files(cursor, with_verification))
    xorbs = tuple(_xorbs(cursor))
    return Shard(files=files, xorbs=xorbs, footer=_footer(data, cursor.at, footer_bytes))


class _Cursor:
    """Walks the records; never past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = RECORD_BYTES

    @property
    def place(self) -> str:
        return f"shard, byte {self.at}"

    def records(self, count: int) -> Records:
        """Return the next `count` records as a view."""
        if count * RECORD_BYTES > len(self._data) - self.at:
            raise ShardError(f"it ends before the {count} records that it states", place=self.place)
        found = np.frombuffer(self._data, dtype=RECORD, count=count, offset=self.at)
        self.at += count * RECORD_BYTES
        return found

    def head(self) -> tuple[bytes, tuple[int, int, int, int]] | None:
        """Return hash and numbers of the next record; nothing if it is the bookend."""
        if len(self._data) - self.at < RECORD_BYTES:
            raise ShardError("it ends before its bookends", place=self.place)
        hash_, a, b, c, d = _HEAD.unpack_from(self._data, self.at)
        self.at += RECORD_BYTES
        return None if hash_ == BOOKEND[:HASH_BYTES] else (hash_, (a, b, c, d))


def _files(cursor: _Cursor, with_verification: bool) -> Iterator[FileEntry]:
    while True:
        place = cursor.place
        if (head := cursor.head()) is None:
            return
        hash_, (flags, count, *_) = head
        if flags & ~(_WITH_VERIFICATION | _WITH_SHA256):
            raise ShardError(f"file flags {flags:#x} are not known", place=place)
        if with_verification and not flags & _WITH_VERIFICATION:
            raise ShardError("a file comes without verification hashes", place=place)
        records = cursor.records(count)
        _check_terms(records, place)
        ranges = cursor.records(count)["hash"].tobytes() if flags & _WITH_VERIFICATION else None
        # Stored as the hashes are: the client turned its hexadecimal digits into four little-endian numbers.
        sha256 = _sha256(cursor.records(1)["hash"].tobytes()) if flags & _WITH_SHA256 else None
        yield FileEntry(hash=hash_, sha256=sha256, records=records, range_hashes=ranges)


def _sha256(stored: bytes) -> str | None:
    # hf_xet writes zeros for an empty file, which is not its digest.
    return None if stored == ZERO_HASH else to_hex(stored)


def _check_terms(records: Records, place: str) -> None:
    if len(records) < _FEW:
        sound = all(
            0 <= first < end <= MAX_XORB_CHUNKS and end - first <= size <= (end - first) * MAX_CHUNK_BYTES
            for _, _, size, first, end in _HEAD.iter_unpack(records.tobytes())
        )
    else:
        first, end, size = (records[name].astype(np.int64) for name in ("c", "d", "b"))
        count = end - first
        fits = (count > 0) & (end <= MAX_XORB_CHUNKS) & (count <= size) & (size <= count * MAX_CHUNK_BYTES)
        sound = bool(fits.all())
    if not sound:
        raise ShardError("a term names no chunk, one beyond the last, or an impossible length", place=place)


def _xorbs(cursor: _Cursor) -> Iterator[XorbEntry]:
    for number in itertools.count():
        place = cursor.place
        if (head := cursor.head()) is None:
            return
        if number == MAX_SHARD_XORBS:
            raise ShardError(f"a shard describes at most {MAX_SHARD_XORBS} xorbs", place=place)
        hash_, (_, count, raw_bytes, serialised_bytes) = head
        if not 0 < count <= MAX_XORB_CHUNKS:
            raise ShardError(f"a xorb has 1 to {MAX_XORB_CHUNKS} chunks, not {count}", place=place)
        records = cursor.records(count)
        lengths = records["b"].astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        if lengths.min() < 1 or lengths.max() > MAX_CHUNK_BYTES:
            raise ShardError(f"a chunk holds 1 to {MAX_CHUNK_BYTES} bytes", place=place)
        if np.any(records["a"] != starts[:-1]) or starts[-1] != raw_bytes:
            raise ShardError("lengths and offsets of a xorb contradict one another", place=place)
        yield XorbEntry(hash=hash_, raw_bytes=raw_bytes, serialised_bytes=serialised_bytes, records=records)


def _footer(data: bytes, at: int, footer_bytes: int) -> Footer | None:
    """Read what follows the blocks: nothing, or lookup tables and a footer that points at itself."""
    rest = len(data) - at
    if not footer_bytes:
        if rest:
            raise ShardError(f"{rest} bytes follow its end", place=f"shard, byte {at}")
        return None
    start = len(data) - FOOTER_BYTES
    place = f"shard, byte {start}"
    if rest < FOOTER_BYTES:
        raise ShardError("its footer is cut short", place=f"shard, byte {at}")
    words = np.frombuffer(data, dtype="<u8", offset=start)
    if words[0] != FOOTER_VERSION or words[-1] != start:
        raise ShardError("its footer is not of a known version, or points elsewhere", place=place)
    return Footer(key=data[start + 72 : start + 104], created=int(words[13]), expires=int(words[14]))


def write_shard(files: Iterable[FileEntry], xorbs: Iterable[XorbEntry] = ()) -> bytes:
    """Serialise as a client does for an upload: without footer."""
    parts = [header(0)]
    for file in files:
        flags = (_WITH_VERIFICATION if file.range_hashes is not None else 0) | (_WITH_SHA256 if file.sha256 else 0)
        parts += [record(file.hash, flags, len(file.records)), file.records.tobytes()]
        if file.range_hashes is not None:
            ranges = file.range_hashes
            parts += [record(ranges[at : at + HASH_BYTES]) for at in range(0, len(ranges), HASH_BYTES)]
        if file.sha256:
            parts.append(record(from_hex(file.sha256)))
    parts.append(BOOKEND)
    for xorb in xorbs:
        parts += [record(xorb.hash, 0, len(xorb), xorb.raw_bytes, xorb.serialised_bytes), xorb.records.tobytes()]
    parts.append(BOOKEND)
    return b"".join(parts)


def header(footer_bytes: int) -> bytes:
    """Return the first record of a shard."""
    return TAG + HEADER_VERSION.to_bytes(8, "little") + footer_bytes.to_bytes(8, "little")


def record(hash_: bytes, *numbers: int) -> bytes:
    """Return a record: a hash and up to four numbers of 32 bits."""
    return (hash_ + b"".join(number.to_bytes(4, "little") for number in numbers)).ljust(RECORD_BYTES, b"\0")


def file_entry(
    hash_: bytes, terms: Iterable[Term], *, range_hashes: Iterable[bytes] | None, sha256: str | None = None
) -> FileEntry:
    """Make the entry of a file out of its terms and, if given, one proof a term."""
    rows = b"".join(record(term.xorb, 0, term.raw_bytes, term.first, term.end) for term in terms)
    ranges = None if range_hashes is None else b"".join(range_hashes)
    records = np.frombuffer(rows, dtype=RECORD)
    if ranges is not None and len(ranges) != len(records) * HASH_BYTES:
        raise ShardError("there is not one proof for each term", place=f"file {to_hex(hash_)}")
    return FileEntry(hash=hash_, sha256=sha256, records=records, range_hashes=ranges)


def xorb_entry(index: XorbIndex, *, flagged: Iterable[int] = (), hashes: bytes | None = None) -> XorbEntry:
    """Make the entry of a verified xorb. `hashes` replaces its chunk hashes, by keyed ones; `flagged` marks chunks."""
    records = np.zeros(len(index), dtype=RECORD)
    records["hash"] = np.frombuffer(index.hashes if hashes is None else hashes, dtype="V32")
    records["a"] = index.raw_offsets[:-1]
    records["b"] = index.raw_lengths
    records["c"][list(flagged)] = DEDUP_FLAG
    return XorbEntry(
        hash=index.hash, raw_bytes=index.raw_bytes, serialised_bytes=index.serialised_bytes, records=records
    )
