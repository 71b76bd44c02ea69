from pathlib import Path

import numpy as np
import pytest

from weighbridge.checkpoint import read
from weighbridge.checkpoint.dtype import FLOATS, SAFETENSORS_BITS
from weighbridge.checkpoint.read import NonFinite, NonFiniteCounter, read_folder
from weighbridge.checkpoint.tensor import TensorEntry

PATTERNS = {
    # dtype: (NaNs, infinities, finite patterns next to them)
    "F64": ([0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF], [0x7FF << 52, 0xFFF << 52], [0x7FEFFFFFFFFFFFFF, 1 << 63]),
    "F32": ([0x7F800001, 0xFFC00000], [0x7F800000, 0xFF800000], [0x7F7FFFFF, 0xFF7FFFFF, 0x80000000]),
    "C64": ([0x7F800001, 0xFFC00000], [0x7F800000, 0xFF800000], [0x7F7FFFFF, 0xFF7FFFFF]),
    "F16": ([0x7C01, 0xFE00], [0x7C00, 0xFC00], [0x7BFF, 0xFBFF, 0x8000]),
    "BF16": ([0x7F81, 0xFFC0], [0x7F80, 0xFF80], [0x7F7F, 0xFF7F, 0x8000]),
    "F8_E5M2": ([0x7D, 0xFF], [0x7C, 0xFC], [0x7B, 0xFB, 0x80]),
    "F8_E4M3": ([0x7F, 0xFF], [], [0x7E, 0xFE, 0x80]),
    "F8_E4M3FNUZ": ([0x80], [], [0x7F, 0xFF]),
    "F8_E5M2FNUZ": ([0x80], [], [0x7F, 0xFF]),
    "F8_E8M0": ([0xFF], [], [0xFE, 0x7F, 0x80]),
}


def entry(name: str, dtype: str, offset: int, size: int) -> TensorEntry:
    width = SAFETENSORS_BITS[dtype] // 8
    return TensorEntry(name=name, dtype=dtype, shape=(size // width,), file="m", offset=offset, size_bytes=size)


def count(data: bytes, tensors: list[TensorEntry], cuts: list[int]) -> dict[str, NonFinite]:
    """Visit `data` in blocks that end at `cuts`."""
    counter = NonFiniteCounter(tensors)
    start = 0
    for end in [*cuts, len(data)]:
        if end > start:
            overlap = memoryview(data)[max(start - read.OVERLAP_BYTES, 0) : start]
            counter.visit("m", start, memoryview(data)[start:end], overlap)
        start = end
    return dict(counter.counts)


def test_every_float_format_is_tried() -> None:
    assert set(PATTERNS) == set(FLOATS)


@pytest.mark.parametrize("dtype", sorted(PATTERNS))
def test_non_finite_patterns_are_counted_and_their_neighbours_are_not(dtype: str) -> None:
    nan, infinite, finite = PATTERNS[dtype]
    width = FLOATS[dtype].size_bytes
    unsigned = f"<u{width}"
    for patterns, expected in (
        (finite * 4, None),
        (nan * 2, NonFinite(2 * len(nan), 0)),
        (infinite * 2, NonFinite(0, 2 * len(infinite)) if infinite else None),
        (finite * 2 + nan * 2 + infinite * 4, NonFinite(2 * len(nan), 4 * len(infinite))),
    ):
        data = np.array(patterns, dtype=unsigned).tobytes()
        assert len(data) % 8 == 0 or dtype != "C64"
        assert count(data, [entry("t", dtype, 0, len(data))], []).get("t") == expected


@pytest.mark.parametrize("pattern", [0x7F80, 0xFF80, 0x7FFF, 0xFFFF, 0x8000, 0x7F7F])
def test_a_single_pattern_decides_in_either_sign(pattern: int) -> None:
    data = np.array([0x3F80] * 100 + [pattern], "<u2").tobytes()
    found = count(data, [entry("t", "BF16", 0, len(data))], [])
    assert bool(found) == ((pattern & 0x7FFF) >= 0x7F80)


def test_blocks_may_cut_a_tensor_at_any_byte() -> None:
    gap, values = b"\xff" * 5, np.array([1.5, np.nan, np.inf, -np.inf, 2.0], "<f4").tobytes()
    data = gap + values + b"\xff" * 7
    tensors = [entry("t", "F32", len(gap), len(values))]
    for first in range(len(data)):
        for second in range(first, len(data), 3):
            assert count(data, tensors, [first, second]) == {"t": NonFinite(1, 2)}, (first, second)
    assert count(data, tensors, list(range(1, len(data)))) == {"t": NonFinite(1, 2)}


def test_counts_go_to_the_right_one_of_adjacent_tensors() -> None:
    generator = np.random.default_rng(3)
    parts, tensors, expected, offset = [], [], {}, 24
    for number in range(40):
        values = generator.standard_normal(int(generator.integers(0, 30))).astype("<f4")
        bad = generator.random(len(values)) < 0.05
        values[bad] = np.nan
        dtype = "F32" if number % 7 else "U32"
        tensors.append(entry(f"t{number}", dtype, offset, values.nbytes))
        if bad.any() and dtype == "F32":
            expected[f"t{number}"] = NonFinite(int(bad.sum()), 0)
        parts.append(values.tobytes())
        offset += values.nbytes
    data = bytes(24) + b"".join(parts)
    assert len(expected) > 5
    for cuts in ([], [100], list(range(0, len(data), 33)), list(range(0, len(data), 17))):
        assert count(data, tensors, cuts) == expected


def test_integers_and_the_integers_of_quantised_blocks_are_not_looked_at() -> None:
    quantised = TensorEntry(name="q", dtype="Q8_0", shape=(32,), file="m", offset=0, size_bytes=34)
    assert count(b"\x00\x3c" + b"\xff" * 62, [quantised], []) == {}
    assert count(b"\xff" * 64, [entry("i", "I32", 0, 64)], []) == {}


def test_other_files_are_not_looked_at() -> None:
    counter = NonFiniteCounter([entry("t", "F32", 0, 8)])
    counter.visit("other", 0, memoryview(b"\xff" * 8), memoryview(b""))
    assert counter.counts == {}


def test_a_missing_overlap_is_an_error_of_the_caller() -> None:
    counter = NonFiniteCounter([entry("t", "F32", 0, 8)])
    with pytest.raises(ValueError, match="in order"):
        counter.visit("m", 2, memoryview(bytes(6)), memoryview(b""))


@pytest.mark.parametrize("threads", [1, 4])
def test_the_pass_over_a_folder_counts_exactly(tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BLOCK_BYTES", 8192)
    values = np.random.default_rng(5).standard_normal(50_000).astype("<f2")
    values[::997] = np.inf
    values[5::4999] = np.nan
    (tmp_path / "m").write_bytes(b"odd" + values.tobytes())
    counter = NonFiniteCounter([entry("t", "F16", 3, values.nbytes)])
    read_folder(tmp_path, visitors=[counter], threads=threads)
    assert counter.counts == {"t": NonFinite(int(np.isnan(values).sum()), int(np.isinf(values).sum()))}
