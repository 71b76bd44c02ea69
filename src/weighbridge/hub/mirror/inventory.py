"""An inventory: which chunks a hub has, and how far its repositories have come; what `export` need not send.

The file, numbers little-endian::

    "WBINVENTORY1" LF NUL NUL NUL                              16 bytes
    "R"  u16 length, "model:owner/name"; u32 count of refs;     a repository, in order of names
         each u16 length, name; 20 bytes, the commit's oid
    "X"  32 bytes, hash; u32 count; count × 32 bytes            a xorb and the hashes of its chunks
    "E"  32 bytes                                               SHA-256 of all bytes before this record

It takes 32 bytes a chunk, about 0.05 % of what it describes, and is written and read record by record. It holds no
file's bytes, but names of repositories, private ones too: it is for whoever exports, not for everybody.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from weighbridge.hub.git.paths import RefNameError, check_ref
from weighbridge.hub.mirror.errors import InventoryError
from weighbridge.hub.xet.merkle import HASH_BYTES
from weighbridge.hub.xet.xorb import MAX_XORB_CHUNKS

MAGIC: Final = b"WBINVENTORY1\n\0\0\0"
MAX_NAME_BYTES: Final = 300
MAX_REFS: Final = 200_000

_SHORT: Final = struct.Struct("<H")
_LONG: Final = struct.Struct("<I")
_OID_BYTES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRepository:
    """A repository that is there: `name` is `model:owner/name`; the commit of each ref by its full name."""

    name: str
    refs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldXorb:
    """A xorb that is there: its hash, and the joined hashes of its chunks, 32 bytes each."""

    hash: bytes
    hashes: bytes


Held = HeldRepository | HeldXorb


def write_inventory(held: Iterable[Held], out: BinaryIO) -> int:
    """Write the records, repositories first, and return how many bytes that were."""
    digest, size = hashlib.sha256(MAGIC), out.write(MAGIC)
    for record in held:
        for part in _parts(record):
            digest.update(part)
            size += out.write(part)
    return size + out.write(b"E" + digest.digest())


def read_inventory(source: BinaryIO, *, place: str) -> Iterator[Held]:
    """Yield the records; that all are sound is known only when the last one was taken.

    Memory: one record, at most some MB of refs and usually some KiB.

    Raises:
        InventoryError: at what is no inventory, or is cut off or damaged.
    """
    reader = _Reader(source, place)
    if reader.take(len(MAGIC)) != MAGIC:
        raise reader.wrong("this is no inventory of a hub")
    seen_xorb = False
    while True:
        before = reader.digest.digest()
        match reader.take(1):
            case b"R" if not seen_xorb:
                yield reader.repository()
            case b"X":
                seen_xorb = True
                yield reader.xorb()
            case b"E":
                if reader.take(len(before)) != before or source.read(1):
                    raise reader.wrong("its digest is not that of its records")
                return
            case _:
                raise reader.wrong("a record is of no known kind")


def _parts(record: Held) -> Iterator[bytes]:
    if isinstance(record, HeldXorb):
        yield b"X" + record.hash + _LONG.pack(len(record.hashes) // HASH_BYTES)
        yield record.hashes
        return
    yield b"R" + _text(record.name) + _LONG.pack(len(record.refs))
    for name, oid in record.refs:
        yield _text(name) + bytes.fromhex(oid)


def _text(text: str) -> bytes:
    raw = text.encode()
    return _SHORT.pack(len(raw)) + raw


class _Reader:
    def __init__(self, source: BinaryIO, place: str) -> None:
        self._source = source
        self._place = place
        self._at = 0
        self.digest = hashlib.sha256()

    def wrong(self, message: str) -> InventoryError:
        return InventoryError(message, place=f"{self._place}, byte {self._at}")

    def take(self, size: int) -> bytes:
        data = self._source.read(size)
        if len(data) != size:
            self._at += len(data)
            raise self.wrong("it is cut off")
        self.digest.update(data)
        self._at += size
        return data

    def repository(self) -> HeldRepository:
        name, count = self._text(), self._count(MAX_REFS)
        refs = tuple((self._ref(), self.take(_OID_BYTES).hex()) for _ in range(count))
        return HeldRepository(name=name, refs=refs)

    def xorb(self) -> HeldXorb:
        name, count = self.take(HASH_BYTES), self._count(MAX_XORB_CHUNKS)
        return HeldXorb(hash=name, hashes=self.take(count * HASH_BYTES))

    def _ref(self) -> str:
        try:
            return check_ref(self._text())
        except RefNameError as error:
            raise self.wrong(error.message) from error

    def _count(self, most: int) -> int:
        count: int = _LONG.unpack(self.take(_LONG.size))[0]
        if count > most:
            raise self.wrong(f"a record counts {count}; {most} is the most")
        return count

    def _text(self) -> str:
        size: int = _SHORT.unpack(self.take(_SHORT.size))[0]
        if not 0 < size <= MAX_NAME_BYTES:
            raise self.wrong(f"a name has 1 to {MAX_NAME_BYTES} bytes, not {size}")
        try:
            return self.take(size).decode()
        except UnicodeDecodeError as error:
            raise self.wrong("a name is not UTF-8") from error
