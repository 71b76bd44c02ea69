"""One chunk as it lies in a xorb: a header of 8 bytes, then its bytes, plain or packed.

Header, little-endian: version (1 byte, 0), packed length (3), scheme (1), raw length (3). Schemes: 0 plain; 1 one LZ4
frame; 2 the four byte planes of 32-bit words one after another, then LZ4. Source: hub-docs `docs/xet/xorb.md`.
"""

from typing import Final, NamedTuple

import lz4.frame
import numpy as np

from weighbridge.hub.xet.errors import XorbError

HEADER_BYTES: Final = 8
MAX_CHUNK_BYTES: Final = 128 * 1024
# What the reference reader allows. A writer stores a chunk plain where packing does not help, so none comes near it.
MAX_PACKED_BYTES: Final = 2 * MAX_CHUNK_BYTES

PLAIN, LZ4, PLANES_LZ4 = range(3)

Buffer = bytes | bytearray | memoryview

_SAMPLE_BYTES: Final = 16 * 1024


class ChunkHeader(NamedTuple):
    """What the header of a chunk says, already within bounds. Lengths in bytes, without the header's own 8."""

    packed_bytes: int
    scheme: int
    raw_bytes: int


def read_header(data: Buffer, at: int, *, place: str) -> ChunkHeader:
    """Read and bound the header at offset `at`; the 8 bytes must be there. Raises `XorbError`."""
    word = int.from_bytes(data[at : at + HEADER_BYTES], "little")
    version, packed, scheme, raw = word & 0xFF, word >> 8 & 0xFFFFFF, word >> 32 & 0xFF, word >> 40
    if version != 0:
        raise XorbError(f"chunk version {version} is not known", place=place)
    if scheme > PLANES_LZ4:
        raise XorbError(f"compression scheme {scheme} is not known", place=place)
    if not 0 < raw <= MAX_CHUNK_BYTES:
        raise XorbError(f"a chunk holds 1 to {MAX_CHUNK_BYTES} bytes, not {raw}", place=place)
    if not 0 < packed <= MAX_PACKED_BYTES:
        raise XorbError(f"a packed chunk has 1 to {MAX_PACKED_BYTES} bytes, not {packed}", place=place)
    if scheme == PLAIN and packed != raw:
        raise XorbError(f"a plain chunk states {packed} packed and {raw} raw bytes", place=place)
    return ChunkHeader(packed, scheme, raw)


class Unpacker:
    """Unpacks chunks one after another, never beyond the length that the header states. One for each thread."""

    __slots__ = ("_context",)

    def __init__(self) -> None:
        self._context = lz4.frame.create_decompression_context()

    def unpack(self, header: ChunkHeader, packed: memoryview, *, place: str) -> Buffer:
        """Return the raw bytes of a chunk: `packed` itself if plain. Raises `XorbError` if they are not as stated."""
        if header.scheme == PLAIN:
            return packed
        raw = self._frame(packed, header.raw_bytes, place)
        return raw if header.scheme == LZ4 else join_planes(raw)

    def _frame(self, packed: memoryview, raw_bytes: int, place: str) -> bytes:
        lz4.frame.reset_decompression_context(self._context)
        try:
            # One byte more than allowed: a frame that goes on is seen without unpacking it.
            raw, used, ended = lz4.frame.decompress_chunk(self._context, packed, max_length=raw_bytes + 1)
        except RuntimeError as error:
            raise XorbError(f"its LZ4 frame is damaged: {error}", place=place) from error
        if len(raw) != raw_bytes or not ended or used != len(packed):
            raise XorbError(f"its LZ4 frame does not hold exactly the {raw_bytes} bytes that it states", place=place)
        return bytes(raw)


def split_planes(data: Buffer) -> bytes:
    """Put byte 0 of every 4 bytes first, then every byte 1, and so on; the rest goes to the first planes."""
    source = np.frombuffer(data, dtype=np.uint8)
    return b"".join(source[plane::4].tobytes() for plane in range(4))


def join_planes(data: Buffer) -> memoryview:
    """Undo `split_planes`."""
    source = np.frombuffer(data, dtype=np.uint8)
    target = np.empty_like(source)
    at = 0
    for plane in range(4):
        target[plane::4] = source[at : (at := at + len(range(plane, source.size, 4)))]
    return target.data


def pack(data: Buffer) -> tuple[int, Buffer]:
    """Return the scheme and bytes that take least room, judged by a sample of 16 KiB out of the middle."""
    start = max(0, len(data) - _SAMPLE_BYTES) // 8 * 4
    sample = bytes(memoryview(data)[start : start + _SAMPLE_BYTES])
    by_planes = len(_compress(split_planes(sample))) < len(_compress(sample))
    packed = _compress(split_planes(data) if by_planes else data)
    if len(packed) >= len(data):
        return PLAIN, data
    return (PLANES_LZ4 if by_planes else LZ4), packed


def _compress(data: Buffer) -> bytes:
    return bytes(
        lz4.frame.compress(data, block_size=lz4.frame.BLOCKSIZE_MAX256KB, block_linked=False, store_size=False)
    )


def write_header(scheme: int, packed_bytes: int, raw_bytes: int) -> bytes:
    """Write the header of a chunk, lengths in bytes."""
    return (packed_bytes << 8 | scheme << 32 | raw_bytes << 40).to_bytes(HEADER_BYTES, "little")
