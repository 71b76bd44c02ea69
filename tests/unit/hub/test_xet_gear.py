"""Cutting bytes into chunks."""

import random

import numpy as np
import pytest

from weighbridge.hub.xet.gear import _TABLE, BLOCK_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, Chunker, find_ends


def by_the_letter(data: bytes) -> list[int]:
    """Return chunk lengths by the specification's own loop, one byte after another."""
    table = [int(word) for word in _TABLE]
    lengths, start, gear = [], 0, 0
    for at, letter in enumerate(data):
        gear = (gear << 1) + table[letter] & 2**64 - 1
        length = at + 1 - start
        if length >= MAX_CHUNK_BYTES or (length >= MIN_CHUNK_BYTES and gear & 0xFFFF000000000000 == 0):
            lengths.append(length)
            start, gear = at + 1, 0
    return lengths + [len(data) - start] * (start < len(data))


def cut(data: bytes, step: int) -> list[bytes]:
    chunker = Chunker()
    chunks = [chunk for at in range(0, len(data), step) for chunk in chunker.feed(data[at : at + step])]
    return [bytes(chunk) for chunk in (*chunks, *chunker.finish())]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        random.Random(1).randbytes(MIN_CHUNK_BYTES - 1),
        random.Random(2).randbytes(MIN_CHUNK_BYTES),
        bytes(MAX_CHUNK_BYTES),
        bytes(MAX_CHUNK_BYTES + 1),
        random.Random(3).randbytes(5000) * 60,
        random.Random(4).randbytes(700_001),
    ],
    ids=["empty", "one", "below-shortest", "shortest", "longest", "above-longest", "repeats", "random"],
)
@pytest.mark.parametrize("step", [1 << 30, 70_001])
def test_chunks_are_those_of_the_specification(data: bytes, step: int) -> None:
    chunks = cut(data, step)
    assert b"".join(chunks) == data
    assert [len(chunk) for chunk in chunks] == by_the_letter(data)


def test_a_block_border_is_no_chunk_border() -> None:
    data = random.Random(5).randbytes(BLOCK_BYTES + 300_000)
    whole = cut(data, 1 << 30)
    assert b"".join(whole) == data
    assert whole == cut(data, BLOCK_BYTES - 1)
    # Cutting is the same from any chunk on, so the far side of the border can be compared on its own.
    before = next(at for at in range(len(whole)) if len(b"".join(whole[:at])) > BLOCK_BYTES - 300_000)
    rest = data[len(b"".join(whole[:before])) :]
    assert [len(chunk) for chunk in whole[before:]] == by_the_letter(rest)


def test_a_chunk_that_ends_at_the_shortest_length_is_found() -> None:
    # A window of 64 bytes that ends a chunk, found in random bytes, put where a chunk may end at the earliest.
    data = random.Random(6).randbytes(900_000)
    end = int(find_ends(data)[3])
    filler = bytes(MIN_CHUNK_BYTES - 64)
    made = filler + data[end - 64 : end] + bytes(1000)
    assert [len(chunk) for chunk in cut(made, 1 << 30)] == [MIN_CHUNK_BYTES, 1000] == by_the_letter(made)
    assert len(cut(made[1:], 1 << 30)) == 1


def test_too_much_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        find_ends(bytes(BLOCK_BYTES + 1))


def test_the_table_is_the_one_of_the_specification() -> None:
    assert _TABLE.shape == (256,)
    assert _TABLE.dtype == np.uint64
    assert int(_TABLE[0]) == 0xB088D3A9E840F559
    assert int(_TABLE[128]) == 0xA315F5EBFB706D26
    assert int(_TABLE[255]) == 0x63C7A906C1DD187B
