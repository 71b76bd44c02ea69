"""Whatever is planted is found, at any alignment and however blocks are cut; nothing else is."""

import itertools
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.checkpoint.read import OVERLAP_BYTES
from weighbridge.evidence.audit.anchors import REGION_BYTES, AnchorTable
from weighbridge.evidence.audit.held_back import HeldBack, HeldBackSearch, Piece
from weighbridge.evidence.audit.pattern import PatternTable

STRIDE = 4096
SUBJECT = "cd" * 32


@pytest.fixture(scope="module")
def secret() -> bytes:
    return Random("held back").randbytes(300_000)


@pytest.fixture(scope="module")
def search(secret: bytes, tmp_path_factory: pytest.TempPathFactory) -> HeldBackSearch:
    path = Path(tmp_path_factory.mktemp("held")) / "secret"
    path.write_bytes(secret)
    piece = Piece(kind="file", label="secret", path=path, offset=0, size_bytes=len(secret))
    return HeldBackSearch(HeldBack(pieces=(piece,)))


def findings(search: HeldBackSearch, data: bytes, random: Random, cuts: int) -> int:
    one = search.for_another_version()
    edges = sorted({0, len(data), *(random.randrange(1, len(data)) for _ in range(cuts))})
    for start, end in itertools.pairwise(edges):
        before = memoryview(data)[max(start - OVERLAP_BYTES, 0) : start]
        apart = random.random() < 0.5
        one.visit("f", start, memoryview(data)[start:end], memoryview(bytes(before)) if apart else before)
    return len(one.audit(SUBJECT, len(data)).findings)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.integers(2 * STRIDE, 5 * STRIDE), st.integers(0, 30))
def test_a_slice_of_two_strides_is_always_found(
    search: HeldBackSearch, secret: bytes, seed: int, length: int, cuts: int
) -> None:
    random = Random(seed)
    start = random.randrange(len(secret) - length)
    planted = secret[start : start + length]
    data = random.randbytes(random.randrange(20_000)) + planted + random.randbytes(random.randrange(20_000))
    assert findings(search, data, random, cuts) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 100_000), st.integers(0, 30))
def test_random_bytes_without_it_are_never_found(search: HeldBackSearch, seed: int, size: int, cuts: int) -> None:
    random = Random(seed)
    assert findings(search, random.randbytes(size + 1), random, cuts) == 0


@pytest.fixture(scope="module", params=[8, 4, 2, 1])
def table(request: pytest.FixtureRequest) -> AnchorTable:
    regions = np.frombuffer(Random(2).randbytes(500 * REGION_BYTES), np.uint8).reshape(500, REGION_BYTES)
    made = AnchorTable(regions, most_anchors=8 * request.param * 500)
    assert made.step == request.param
    return made


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 499), st.integers(0, 200), st.integers(0, 90))
def test_every_step_of_the_lattice_finds_a_region_at_every_place(
    table: AnchorTable, region: int, before: int, behind: int
) -> None:
    copy = Random(2).randbytes(500 * REGION_BYTES)[region * REGION_BYTES : (region + 1) * REGION_BYTES]
    data = np.frombuffer(Random(3).randbytes(before) + copy + Random(4).randbytes(behind), np.uint8)
    hits = table.find(data)
    assert (hits.starts.tolist(), hits.regions.tolist()) == ([before], [region])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.binary(min_size=6, max_size=40), min_size=1, max_size=6, unique=True),
    st.lists(st.one_of(st.integers(0, 5), st.binary(max_size=12)), max_size=12),
)
def test_the_pattern_table_agrees_with_a_plain_search(patterns: list[bytes], parts: list[int | bytes]) -> None:
    data = b"".join(patterns[part % len(patterns)] if isinstance(part, int) else part for part in parts)
    expected = sorted(
        (start, index)
        for index, pattern in enumerate(patterns)
        for start in range(len(data) - len(pattern) + 1)
        if data.startswith(pattern, start)
    )
    assert PatternTable(patterns).find(np.frombuffer(data, np.uint8)) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("abc/_.9", min_size=6, max_size=30), min_size=1, max_size=6, unique=True),
    st.lists(st.one_of(st.integers(0, 5), st.binary(max_size=12)), max_size=12),
)
def test_the_pattern_table_agrees_with_a_plain_search_on_names(texts: list[str], parts: list[int | bytes]) -> None:
    patterns = [text.encode() for text in texts]
    data = b"".join(patterns[part % len(patterns)] if isinstance(part, int) else part for part in parts)
    expected = sorted(
        (start, index)
        for index, pattern in enumerate(patterns)
        for start in range(len(data) - len(pattern) + 1)
        if data.startswith(pattern, start)
    )
    assert PatternTable(patterns).find(np.frombuffer(data, np.uint8)) == expected
