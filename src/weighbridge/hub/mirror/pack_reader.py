"""Reading a pack that another hub sent: every size is bounded before memory is taken, and every oid computed.

Form: gitformat-pack, versions 2 and 3, with both kinds of deltas. A pack has to hold the bases of its deltas itself (a
"thin" pack is not asked for). Deltas are undone base by base, deepest first, so that only one chain is in memory.
"""

import hashlib
import mmap
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final

from weighbridge.hub.git.objects import MAX_BLOB_BYTES, MAX_TEXT_BYTES, MAX_TREE_BYTES, GitObject, ObjectKind, oid_of
from weighbridge.hub.mirror.errors import LyingSourceError

MAX_OBJECTS: Final = 5_000_000
MAX_CHAIN_BYTES: Final = 512 * 1024 * 1024
MAX_CHAIN: Final = 4096
FREE_BYTES: Final = 4 * 1024**3
MAX_RATIO: Final = 64
"""A pack unpacks to at most so many times its size, or `FREE_BYTES`: a few hundred bytes can stand for a gigabyte."""

_KINDS: Final[dict[int, ObjectKind]] = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFFSET_DELTA, _OID_DELTA = 6, 7
_LIMITS: Final[dict[ObjectKind, int]] = {
    "commit": MAX_TEXT_BYTES,
    "tree": MAX_TREE_BYTES,
    "blob": MAX_BLOB_BYTES,
    "tag": MAX_TEXT_BYTES,
}
_INPUT_BYTES: Final = 64 * 1024
_HASHED_BYTES: Final = 1024 * 1024
_HEAD_BYTES: Final = 12
_SUM_BYTES: Final = 20

Take = Callable[[str, GitObject], None]


class PackError(LyingSourceError):
    """Bytes that are no pack, or a damaged one. `place` is the byte."""


def read_pack(file: BinaryIO, take: Take) -> int:
    """Hand every object of the pack in `file` to `take`, by its oid, and return how many they are.

    Memory: a chain of deltas (512 MiB at most) and about 100 bytes an object.

    Raises:
        PackError: for anything that is not as a pack should be; some objects were handed over by then.
    """
    file.flush()
    size = file.seek(0, 2)
    if size < _HEAD_BYTES + _SUM_BYTES:
        raise PackError("this is no pack: it is too short", place=f"byte {size}")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Pack(data).read(take)


def apply_delta(base: bytes, delta: bytes, *, limit: int) -> bytes:
    """Return what a delta makes of its base.

    Raises:
        PackError: if it copies from outside the base, or makes something else than it states or than `limit` allows.
    """
    at, base_size = _size(delta, 0)
    at, size = _size(delta, at)
    if base_size != len(base) or size > limit:
        raise PackError("a delta states sizes that cannot be")
    made = bytearray()
    while at < len(delta):
        command = delta[at]
        at += 1
        if command & 128:
            at, start, length = _copied(delta, at, command)
            part = base[start : start + length]
        else:
            length = command
            part = delta[at : at + length]
            at += length
        if not length or len(part) != length or len(made) + length > size:
            raise PackError("a delta copies what is not there")
        made += part
    if len(made) != size:
        raise PackError("a delta makes something else than it states")
    return bytes(made)


class _Pack:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._end = len(data) - _SUM_BYTES
        # Offsets of deltas, by the offset or the oid of their base.
        self._on_offset: dict[int, list[int]] = {}
        self._on_oid: dict[str, list[int]] = {}
        self._deltas = 0
        self._left = max(FREE_BYTES, MAX_RATIO * len(data))

    def _count(self, size: int, at: int) -> None:
        """Count what was unpacked, before it is handed over."""
        self._left -= size
        if self._left < 0:
            raise PackError("it unpacks to far more than it is", place=f"byte {at}")

    def read(self, take: Take) -> int:
        self._check_sum()
        if self._data[:4] != b"PACK" or int.from_bytes(self._data[4:8], "big") not in (2, 3):
            raise PackError("this is no pack", place="byte 0")
        count = int.from_bytes(self._data[8:12], "big")
        if count > MAX_OBJECTS:
            raise PackError(f"a pack of more than {MAX_OBJECTS:,} objects", place="byte 8")
        whole = self._first_pass(count, take)
        undone = 0
        for oid, offset in whole.items():
            if offset in self._on_offset or oid in self._on_oid:
                kind, size, start = self._header(offset)
                undone += self._undo(GitObject(_KINDS[kind], self._inflated(start, size)[0]), oid, offset, take)
        if undone != self._deltas:
            raise PackError("the bases of some deltas are not in the pack")
        return count

    def _check_sum(self) -> None:
        digest = hashlib.sha1(usedforsecurity=False)
        for start in range(0, self._end, _HASHED_BYTES):
            digest.update(self._data[start : min(start + _HASHED_BYTES, self._end)])
        if digest.digest() != self._data[self._end :]:
            raise PackError("its sum is not that of its bytes", place=f"byte {self._end}")

    def _first_pass(self, count: int, take: Take) -> dict[str, int]:
        """Hand over what is whole; return where it lies, and note the deltas."""
        whole: dict[str, int] = {}
        at = _HEAD_BYTES
        for _ in range(count):
            kind, size, start = self._header(at)
            if kind in _KINDS:
                data, end = self._inflated(start, size)
                self._count(size, at)
                item = GitObject(_KINDS[kind], data)
                oid = oid_of(item.kind, data)
                whole[oid] = at
                take(oid, item)
            else:
                base, start = self._base(kind, at, start)
                _, end = self._inflated(start, size)
                self._deltas += 1
                if isinstance(base, int):
                    self._on_offset.setdefault(base, []).append(at)
                else:
                    self._on_oid.setdefault(base, []).append(at)
            at = end
        if at != self._end:
            raise PackError("bytes follow its last object", place=f"byte {at}")
        return whole

    def _undo(self, root: GitObject, oid: str, offset: int, take: Take) -> int:
        """Hand over everything that is a delta of `root`, or a delta of that; return how many there are."""
        done = 0
        chain = [(root.data, self._children(oid, offset))]
        held = len(root.data)
        while chain:
            data, children = chain[-1]
            if not children:
                chain.pop()
                held -= len(data)
                continue
            at = children.pop()
            kind, size, start = self._header(at)
            _, start = self._base(kind, at, start)
            made = GitObject(root.kind, apply_delta(data, self._inflated(start, size)[0], limit=_LIMITS[root.kind]))
            self._count(len(made.data), at)
            oid = oid_of(made.kind, made.data)
            take(oid, made)
            done += 1
            if following := self._children(oid, at):
                chain.append((made.data, following))
                held += len(made.data)
            if held > MAX_CHAIN_BYTES or len(chain) > MAX_CHAIN:
                raise PackError("a chain of deltas is too long", place=f"byte {at}")
        return done

    def _children(self, oid: str, offset: int) -> list[int]:
        return self._on_offset.pop(offset, []) + self._on_oid.pop(oid, [])

    def _header(self, at: int) -> tuple[int, int, int]:
        """Return kind, size and where the header of the entry ends."""
        first = self._byte(at)
        kind, size, shift = first >> 4 & 7, first & 15, 4
        byte, start = first, at + 1
        while byte & 128:
            byte = self._byte(start)
            size |= (byte & 127) << shift
            shift, start = shift + 7, start + 1
            if shift > 42:
                raise PackError("an object of an impossible size", place=f"byte {at}")
        limit = _LIMITS.get(_KINDS.get(kind, "blob"), MAX_TREE_BYTES)
        if kind not in (*_KINDS, _OFFSET_DELTA, _OID_DELTA) or size > (limit if kind in _KINDS else MAX_TREE_BYTES):
            raise PackError(f"an object of kind {kind} with {size} bytes", place=f"byte {at}")
        return kind, size, start

    def _base(self, kind: int, at: int, start: int) -> tuple[int | str, int]:
        """Return the base of a delta, by offset or oid, and where the delta begins."""
        if kind == _OID_DELTA:
            return self._data[start : start + 20].hex(), start + 20
        byte = self._byte(start)
        distance = byte & 127
        while byte & 128:
            start += 1
            byte = self._byte(start)
            distance = (distance + 1 << 7) | byte & 127
            if distance > self._end:
                break
        if not 0 < distance <= at - _HEAD_BYTES:
            raise PackError("the base of a delta lies outside the pack", place=f"byte {at}")
        return at - distance, start + 1

    def _byte(self, at: int) -> int:
        if at >= self._end:
            raise PackError("it ends inside an object", place=f"byte {at}")
        return self._data[at]

    def _inflated(self, start: int, size: int) -> tuple[bytes, int]:
        """Return the `size` bytes that are packed from `start` on, and where the packed ones end."""
        unpacker, parts, got, at = zlib.decompressobj(), [], 0, start
        while not unpacker.eof:
            given = unpacker.unconsumed_tail
            if not given:
                given = self._data[at : min(at + _INPUT_BYTES, self._end)]
                at += len(given)
            if not given:
                raise PackError("it ends inside an object", place=f"byte {start}")
            try:
                part = unpacker.decompress(given, size - got + 1)
            except zlib.error as error:
                raise PackError(f"an object cannot be unpacked: {error}", place=f"byte {start}") from error
            got += len(part)
            if got > size:
                raise PackError("an object is longer than it states", place=f"byte {start}")
            parts.append(part)
        if got != size:
            raise PackError("an object is shorter than it states", place=f"byte {start}")
        return b"".join(parts), at - len(unpacker.unused_data)


def _size(delta: bytes, at: int) -> tuple[int, int]:
    size = shift = 0
    while True:
        if at >= len(delta) or shift > 42:
            raise PackError("a delta is cut off")
        byte = delta[at]
        size |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return at, size


def _copied(delta: bytes, at: int, command: int) -> tuple[int, int, int]:
    """Return where the next command is, and start and length of what is copied from the base."""
    numbers = []
    for bits in (range(4), range(4, 7)):
        value = 0
        for place, bit in enumerate(bits):
            if command >> bit & 1:
                if at >= len(delta):
                    raise PackError("a delta is cut off")
                value |= delta[at] << 8 * place
                at += 1
        numbers.append(value)
    return at, numbers[0], numbers[1] or 0x10000
