"""Reading and writing xorbs."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import lz4.frame
import numpy as np
import pytest

from weighbridge.hub.xet.chunk import (
    LZ4,
    MAX_CHUNK_BYTES,
    PLAIN,
    PLANES_LZ4,
    join_planes,
    pack,
    split_planes,
    write_header,
)
from weighbridge.hub.xet.errors import XorbError
from weighbridge.hub.xet.merkle import chunk_hash, to_hex, xorb_hash
from weighbridge.hub.xet.xorb import (
    MAX_FOOTER_BYTES,
    MAX_XORB_CHUNKS,
    XorbIndex,
    XorbReader,
    decode_chunks,
    each_chunk,
    read_xorb,
)
from weighbridge.hub.xet.xorb_write import PackedXorb, XorbWriter, write_xorbs

FOOTER = b"XETBLOB" + bytes(5000)


def some_chunks() -> list[bytes]:
    draw = random.Random(1)
    floats = np.random.default_rng(2).normal(size=16_000).astype(np.float32).tobytes()
    return [
        draw.randbytes(70_000),
        b"all work and no play " * 3000,
        floats,
        floats[:40_001],
        b"x",
        bytes(MAX_CHUNK_BYTES),
        draw.randbytes(9_000),
    ]


def a_xorb(chunks: list[bytes] | None = None) -> PackedXorb:
    (made,) = write_xorbs(some_chunks() if chunks is None else chunks)
    return made


def chunk(scheme: int, packed: bytes, raw_bytes: int) -> bytes:
    return write_header(scheme, len(packed), raw_bytes) + packed


def named(raw: list[bytes]) -> bytes:
    """Return the hash of the xorb that holds these chunks."""
    return xorb_hash(b"".join(map(chunk_hash, raw)), list(map(len, raw)))


def test_every_scheme_is_written_where_it_pays_and_read_back() -> None:
    xorb = a_xorb()
    starts = [0, *xorb.index.ends[:-1].tolist()]
    assert [xorb.data[start + 4] for start in starts] == [PLAIN, LZ4, PLANES_LZ4, PLANES_LZ4, PLAIN, LZ4, PLAIN]
    assert read_xorb(xorb.data, expected=xorb.index.hash) == xorb.index
    assert [bytes(raw) for raw in each_chunk(xorb.data, index=xorb.index)] == some_chunks()


@pytest.mark.parametrize("step", [1, 7, 1000, 65_536, 10_000_000])
def test_blocks_of_any_size_make_the_same_index(step: int) -> None:
    xorb = a_xorb(some_chunks()[1:5] if step < 100 else None)
    data = xorb.data + FOOTER
    assert read_xorb((data[at : at + step] for at in range(0, len(data), step)), expected=xorb.index.hash) == xorb.index


def test_threads_make_the_same_index_and_name_the_same_chunk() -> None:
    chunks = some_chunks() * 20
    xorb = a_xorb(chunks)
    damaged = bytearray(xorb.data)
    damaged[int(xorb.index.ends[99]) + 30] ^= 0xFF  # inside chunk 100, which is packed
    with ThreadPoolExecutor(2) as executor:
        assert read_xorb(xorb.data, expected=xorb.index.hash, executor=executor) == xorb.index
        with pytest.raises(XorbError) as caught:
            read_xorb(bytes(damaged), expected=xorb.index.hash, executor=executor)
    with pytest.raises(XorbError) as alone:
        read_xorb(bytes(damaged), expected=xorb.index.hash)
    assert str(caught.value) == str(alone.value)


def test_a_footer_is_not_part_of_what_is_kept() -> None:
    xorb = a_xorb()
    index = read_xorb(xorb.data + FOOTER, expected=xorb.index.hash)
    assert index.serialised_bytes == len(xorb.data)
    with pytest.raises(XorbError, match="footer"):
        read_xorb((xorb.data + FOOTER, bytes(MAX_FOOTER_BYTES)), expected=xorb.index.hash)


def test_a_reader_says_how_much_was_chunks() -> None:
    xorb = a_xorb()
    reader = XorbReader(expected=xorb.index.hash)
    reader.feed(xorb.data[:-3])
    assert reader.serialised_bytes == int(xorb.index.ends[-2])
    reader.feed(xorb.data[-3:] + FOOTER)
    assert reader.serialised_bytes == len(xorb.data)
    assert reader.finish() == xorb.index


def test_ranges_say_where_chunks_lie() -> None:
    chunks = some_chunks()
    xorb = a_xorb()
    index = xorb.index
    assert index.raw_bytes == sum(map(len, chunks))
    assert index.chunk_count == len(index) == len(chunks)
    for first, end in ((0, 1), (2, 5), (0, len(chunks)), (6, 7)):
        start, stop = index.byte_range(first, end)
        raw = decode_chunks(memoryview(xorb.data)[start:stop], index=index, first=first)
        assert raw == b"".join(chunks[first:end])
        assert index.raw_bytes_of(first, end) == len(raw)
        assert index.raw_offsets[end] - index.raw_offsets[first] == len(raw)
        assert index.hashes_of(first, end) == b"".join(map(chunk_hash, chunks[first:end]))
    for first, end in ((0, 0), (3, 2), (-1, 1), (0, len(chunks) + 1)):
        with pytest.raises(XorbError):
            index.byte_range(first, end)


def test_an_index_is_stored_in_forty_bytes_a_chunk() -> None:
    index = a_xorb().index
    stored = index.to_bytes()
    assert len(stored) == 36 + 40 * len(index)
    assert XorbIndex.from_bytes(stored) == index
    swapped = stored[:-8] + stored[-4:] + stored[-8:-4]
    for damaged in (b"", stored[:-1], b"XXXX" + stored[4:], stored[:36], swapped):
        with pytest.raises(XorbError):
            XorbIndex.from_bytes(damaged)


LZ4_OF_10 = lz4.frame.compress(b"0123456789" * 50, store_size=False)
BOMB = lz4.frame.compress(bytes(50_000_000), store_size=False)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "holds no chunk"),
        (FOOTER, "holds no chunk"),
        (b"\0\0\0", "ends inside"),
        (chunk(PLAIN, b"abc", 3)[:-1], "ends inside"),
        (b"\1" + chunk(PLAIN, b"abc", 3)[1:], "version 1"),
        (chunk(3, b"abc", 3), "scheme 3"),
        (chunk(99, b"abc", 3), "scheme 99"),
        (chunk(PLAIN, b"", 0), "not 0"),
        (chunk(PLAIN, b"abc", 4), "plain chunk states"),
        (chunk(PLAIN, bytes(MAX_CHUNK_BYTES + 1), MAX_CHUNK_BYTES + 1), "not 131073"),
        (chunk(LZ4, bytes(2 * MAX_CHUNK_BYTES + 1), 5), "packed chunk has"),
        (chunk(LZ4, b"", 5), "packed chunk has"),
        (chunk(LZ4, b"not a frame at all", 500), "damaged"),
        (chunk(LZ4, LZ4_OF_10, 499), "exactly"),
        (chunk(LZ4, LZ4_OF_10, 501), "exactly"),
        (chunk(LZ4, LZ4_OF_10[:-4], 500), "exactly"),
        (chunk(LZ4, LZ4_OF_10 + b"more", 500), "exactly"),
        (chunk(LZ4, LZ4_OF_10 + LZ4_OF_10, 1000), "exactly"),
        (chunk(LZ4, BOMB, 1000), "exactly"),
        (chunk(PLANES_LZ4, BOMB, MAX_CHUNK_BYTES), "exactly"),
        (chunk(PLAIN, b"abc", 3), "its chunks make xorb"),
    ],
)
def test_what_is_malformed_is_refused_with_place_and_hint(data: bytes, says: str) -> None:
    expected = named([b"other"])
    with pytest.raises(XorbError, match=says) as caught:
        read_xorb(data, expected=expected)
    assert to_hex(expected) in caught.value.place
    assert caught.value.hint


def test_as_many_chunks_as_allowed_are_read_and_one_more_is_not() -> None:
    raw = [bytes([at & 255, at >> 8]) for at in range(MAX_XORB_CHUNKS)]
    data = b"".join(chunk(PLAIN, part, 2) for part in raw)
    assert len(read_xorb(data, expected=named(raw))) == MAX_XORB_CHUNKS
    with pytest.raises(XorbError, match="more than 8192"):
        read_xorb(data + chunk(PLAIN, b"z", 1), expected=named(raw))


def test_an_endless_upload_is_stopped_at_the_limit() -> None:
    block = chunk(PLAIN, bytes(MAX_CHUNK_BYTES), MAX_CHUNK_BYTES)
    fed = 0

    def endless() -> Iterator[bytes]:
        nonlocal fed
        while True:
            fed += len(block)
            yield block

    with pytest.raises(XorbError, match="longer than"):
        read_xorb(endless(), expected=named([b"x"]))
    assert fed < (64 << 20) + 2 * len(block) + 65536


def test_served_bytes_that_a_disk_damaged_are_noticed() -> None:
    xorb = a_xorb()
    damaged = bytearray(xorb.data)
    damaged[100] ^= 1  # in a plain chunk: nothing but its hash can tell
    with pytest.raises(XorbError, match="differ from its hash"):
        decode_chunks(bytes(damaged), index=xorb.index)
    for cut in (1, len(xorb.data) - 3):
        with pytest.raises(XorbError, match="end inside"):
            decode_chunks(xorb.data[:cut])


def test_a_writer_closes_a_xorb_at_the_limit_of_chunks() -> None:
    writer = XorbWriter()
    closed = [xorb for at in range(MAX_XORB_CHUNKS + 5) if (xorb := writer.add(at.to_bytes(4, "big")))]
    assert [len(xorb.index) for xorb in closed] == [MAX_XORB_CHUNKS]
    assert len(writer) == 5
    last = writer.finish()
    assert last is not None
    assert len(last.index) == 5
    assert writer.finish() is None
    for xorb in (*closed, last):
        assert read_xorb(xorb.data, expected=xorb.index.hash) == xorb.index


def test_a_writer_closes_a_xorb_at_64_mib() -> None:
    part = random.Random(3).randbytes(MAX_CHUNK_BYTES)
    sizes = [len(xorb.data) for xorb in write_xorbs([part] * 520)]
    assert len(sizes) == 2
    assert (64 << 20) - MAX_CHUNK_BYTES < sizes[0] <= 64 << 20


@pytest.mark.parametrize("size", [0, MAX_CHUNK_BYTES + 1])
def test_a_writer_takes_no_chunk_that_a_reader_would_refuse(size: int) -> None:
    with pytest.raises(XorbError):
        XorbWriter().add(bytes(size))


def test_byte_planes_are_those_of_the_specification() -> None:
    assert split_planes(b"1234abcd56") == b"1a52b63c4d"
    assert bytes(join_planes(b"1a52b63c4d")) == b"1234abcd56"
    for size in range(12):
        assert bytes(join_planes(split_planes(bytes(range(size))))) == bytes(range(size))


def test_packing_never_makes_a_chunk_longer() -> None:
    for size in (1, 2, 3, 100, 16_383, 131_072):
        data = random.Random(size).randbytes(size)
        assert pack(data) == (PLAIN, data)
