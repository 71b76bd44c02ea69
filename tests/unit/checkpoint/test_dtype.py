import numpy as np
import pytest
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors import torch as safetensors_torch

from weighbridge.checkpoint.dtype import FLOATS, GGML_TYPES, SAFETENSORS_BITS


def test_ggml_types_are_those_of_the_gguf_package() -> None:
    theirs = {int(kind): (kind.name, *GGML_QUANT_SIZES[kind]) for kind in GGMLQuantizationType}
    ours = {number: (kind.name, kind.block_elements, kind.block_bytes) for number, kind in GGML_TYPES.items()}
    assert ours == theirs


def test_bits_are_those_of_the_safetensors_package() -> None:
    for name, dtype in safetensors_torch._TYPES.items():
        assert SAFETENSORS_BITS[name] == dtype.itemsize * 8, name


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("F16", torch.float16),
        ("BF16", torch.bfloat16),
        ("F8_E5M2", torch.float8_e5m2),
        ("F8_E4M3", torch.float8_e4m3fn),
        ("F8_E5M2FNUZ", torch.float8_e5m2fnuz),
        ("F8_E4M3FNUZ", torch.float8_e4m3fnuz),
        ("F8_E8M0", torch.float8_e8m0fnu),
    ],
)
def test_every_pattern_of_small_floats_is_classed_as_torch_does(name: str, dtype: torch.dtype) -> None:
    form = FLOATS[name]
    patterns = np.arange(1 << 8 * form.size_bytes, dtype=f"<u{form.size_bytes}")
    values = torch.from_numpy(patterns.view(f"<i{form.size_bytes}").copy()).view(dtype).to(torch.float32).numpy()
    if form.only_nan is not None:
        nan, infinite = patterns == form.only_nan, np.zeros(len(patterns), bool)
    else:
        magnitude = patterns & ((1 << 8 * form.size_bytes - 1) - 1)
        nan = magnitude > form.infinity
        infinite = (magnitude == form.infinity) & form.has_infinity
    assert np.array_equal(nan, np.isnan(values))
    assert np.array_equal(infinite, np.isinf(values))
