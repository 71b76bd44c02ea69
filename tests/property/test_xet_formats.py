"""Xet formats: what is written is read back; hostile bytes raise their error and nothing else, in bounded memory."""

import random
import tracemalloc
from collections.abc import Callable

import lz4.frame
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.hub.xet.chunk import write_header
from weighbridge.hub.xet.dedup_shard import write_dedup_shard
from weighbridge.hub.xet.errors import ShardError, XetError, XorbError
from weighbridge.hub.xet.file_check import check_file
from weighbridge.hub.xet.gear import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, Chunker
from weighbridge.hub.xet.merkle import chunk_hash, file_hash, from_hex, range_hash, to_hex
from weighbridge.hub.xet.shard import Shard, Term, file_entry, read_shard, write_shard, xorb_entry
from weighbridge.hub.xet.xorb import XorbIndex, decode_chunks, read_xorb
from weighbridge.hub.xet.xorb_write import PackedXorb, write_xorbs

CHUNKS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=300),
        st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=9), st.integers(1, 14_000)),
        st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 99), st.integers(1, 131_072)),
    ),
    min_size=1,
    max_size=12,
)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def packed(chunks: list[bytes]) -> PackedXorb:
    (made,) = write_xorbs(chunks)
    return made


SAMPLE = packed([b"alpha" * 100, random.Random(1).randbytes(900), bytes(4000), b"\1\2\3\4" * 300 + b"tail"])


def sample_shard() -> bytes:
    index = SAMPLE.index
    lengths = index.raw_lengths.tolist()
    parts = [(0, 3), (1, 4), (0, 4)]
    file = file_entry(
        file_hash(b"".join(index.hashes_of(*part) for part in parts), [n for a, b in parts for n in lengths[a:b]]),
        [Term(xorb=index.hash, first=a, end=b, raw_bytes=index.raw_bytes_of(a, b)) for a, b in parts],
        range_hashes=[range_hash(index.hashes_of(*part)) for part in parts],
        sha256="ab" * 32,
    )
    return write_shard([file], [xorb_entry(index)])


SHARD = sample_shard()
ANSWER = write_dedup_shard([SAMPLE.index], key=b"k" * 32, created=1, expires=2)


@SETTINGS
@given(CHUNKS, st.integers(1, 200_000))
def test_chunks_come_back_from_a_xorb(chunks: list[bytes], step: int) -> None:
    xorb = packed(chunks)
    blocks = (xorb.data[at : at + step] for at in range(0, len(xorb.data), step))
    index = read_xorb(blocks if len(xorb.data) / step < 5000 else xorb.data, expected=xorb.index.hash)
    assert index == xorb.index == XorbIndex.from_bytes(index.to_bytes())
    assert decode_chunks(xorb.data, index=index) == b"".join(chunks)


@SETTINGS
@given(st.binary(max_size=40), st.integers(0, 500_000), st.lists(st.integers(1, 300_000), max_size=6))
def test_chunks_are_the_stream_within_their_bounds(seed: bytes, size: int, steps: list[int]) -> None:
    data = random.Random(seed).randbytes(size) if len(seed) % 2 else (seed or b"\0") * (size // max(1, len(seed)))
    chunker = Chunker()
    chunks, at = [], 0
    for step in (*steps, len(data)):
        chunks += chunker.feed(data[at : at + step])
        at += step
    chunks += chunker.finish()
    assert b"".join(chunks) == data
    assert all(MIN_CHUNK_BYTES <= len(chunk) <= MAX_CHUNK_BYTES for chunk in chunks[:-1])
    whole = Chunker()
    assert [*whole.feed(data), *whole.finish()] == chunks


def error_of(kind: type[XetError], attempt: Callable[[], object]) -> XetError | None:
    """Return the error of this kind that was raised, if any; another kind fails the test."""
    try:
        attempt()
    except kind as error:
        return error
    return None


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Sound bytes with a few of them changed, removed, doubled or cut off."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        replaced = draw(st.integers(0, 60))
        data[at : at + replaced] = draw(st.one_of(st.binary(max_size=60), st.just(bytes(data[:at][-48:]))))
    return bytes(data)


@settings(SETTINGS, max_examples=300)
@given(st.one_of(st.binary(max_size=400), damaged(SAMPLE.data)))
def test_hostile_xorbs_raise_only_their_error(data: bytes) -> None:
    for attempt in (
        lambda: read_xorb(data, expected=SAMPLE.index.hash),
        lambda: read_xorb((data[at : at + 13] for at in range(0, len(data), 13)), expected=SAMPLE.index.hash),
        lambda: decode_chunks(data, index=SAMPLE.index),
        lambda: decode_chunks(data),
    ):
        error = error_of(XorbError, attempt)
        assert error is None or (error.place and error.hint)


@settings(SETTINGS, max_examples=300)
@given(st.one_of(st.binary(max_size=400), damaged(SAMPLE.index.to_bytes())))
def test_a_damaged_index_is_refused_or_whole(data: bytes) -> None:
    try:
        index = XorbIndex.from_bytes(data)
    except XorbError:
        return
    assert index.to_bytes() == data


def proved(shard: Shard) -> None:
    for file in shard.files:
        check_file(file, {SAMPLE.index.hash: SAMPLE.index}.get)


@settings(SETTINGS, max_examples=400)
@given(st.one_of(st.binary(max_size=400), damaged(SHARD), damaged(ANSWER)), st.booleans())
def test_hostile_shards_raise_only_their_error(data: bytes, with_verification: bool) -> None:
    def attempt() -> None:
        shard = read_shard(data, with_verification=with_verification)
        again = read_shard(write_shard(shard.files, shard.xorbs), with_verification=with_verification)
        assert [list(file.terms) for file in again.files] == [list(file.terms) for file in shard.files]
        assert [xorb.hashes for xorb in again.xorbs] == [xorb.hashes for xorb in shard.xorbs]
        proved(shard)

    error = error_of(ShardError, attempt)
    assert error is None or (error.place and error.hint)


@given(st.binary(min_size=32, max_size=32))
def test_hashes_come_back_from_text(raw: bytes) -> None:
    assert from_hex(to_hex(raw)) == raw


@given(st.text(max_size=70))
def test_text_is_a_hash_or_refused(text: str) -> None:
    error = error_of(XetError, lambda: from_hex(text))
    assert error.hint if error else to_hex(from_hex(text)) == text


def _bomb_frame() -> bytes:
    return bytes(lz4.frame.compress(bytes(32 << 20), block_size=lz4.frame.BLOCKSIZE_MAX4MB, store_size=True))


@pytest.mark.parametrize(
    "data",
    [
        lambda: write_header(1, len(_bomb_frame()), 131_072) + _bomb_frame(),
        lambda: write_header(2, len(_bomb_frame()), 1) + _bomb_frame(),
        lambda: SHARD[:84] + b"\xff\xff\xff\xff" + SHARD[88:],
    ],
    ids=["lz4", "planes", "count"],
)
def test_bombs_take_no_memory(data: Callable[[], bytes]) -> None:
    bomb = data()
    tracemalloc.start()
    try:
        with pytest.raises(XetError):
            read_shard(bomb) if bomb[:2] == b"HF" else read_xorb(bomb, expected=chunk_hash(b""))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20
