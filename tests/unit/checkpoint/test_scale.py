"""Scales of quantised blocks that are not finite are found, wherever blocks are cut."""

import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize, quantize

from weighbridge.checkpoint.nonfinite import NonFinite, NonFiniteCounter
from weighbridge.checkpoint.scale import SCALE_OFFSETS
from weighbridge.checkpoint.tensor import TensorEntry

START = 96


def a_tensor(dtype: str, size_bytes: int, elements: int) -> TensorEntry:
    return TensorEntry(name="w", dtype=dtype, shape=(elements,), file="f", offset=START, size_bytes=size_bytes)


def counted(tensor: TensorEntry, data: bytes, block_bytes: int) -> NonFinite | None:
    file = memoryview(b"\xff" * START + data + b"\xff" * 40)
    counter = NonFiniteCounter([tensor])
    for offset in range(0, len(file), block_bytes):
        counter.visit("f", offset, file[offset : offset + block_bytes], file[max(offset - 4096, 0) : offset])
    return counter.counts.get("w")


@pytest.mark.parametrize("dtype", sorted(SCALE_OFFSETS))
def test_every_scale_offset_is_where_the_reference_reads_it(dtype: str) -> None:
    kind = GGMLQuantizationType[dtype]
    from gguf.constants import GGML_QUANT_SIZES

    elements, width = GGML_QUANT_SIZES[kind]
    for at in SCALE_OFFSETS[dtype]:
        block = np.zeros((1, width), np.uint8)
        block[0, at : at + 2] = (0x00, 0x7E)  # NaN
        values = dequantize(block, kind)
        assert values.shape == (1, elements)
        assert np.isnan(values).all()


@pytest.mark.parametrize("dtype", ["Q4_0", "Q5_1", "Q8_0"])
@pytest.mark.parametrize("block_bytes", [1, 7, 33, 64, 1000])
def test_a_planted_scale_is_counted_once(dtype: str, block_bytes: int) -> None:
    kind = GGMLQuantizationType[dtype]
    values = np.random.default_rng(0).normal(size=(1, 32 * 8)).astype(np.float32)
    rows = quantize(values, kind).reshape(8, -1).copy()
    tensor = a_tensor(dtype, rows.size, values.size)
    assert counted(tensor, rows.tobytes(), block_bytes) is None
    rows[3, 0:2] = (0x01, 0x7C)  # NaN
    rows[6, 0:2] = (0x00, 0xFC)  # minus infinity
    assert counted(tensor, rows.tobytes(), block_bytes) == NonFinite(1, 1)
