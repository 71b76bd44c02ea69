"""Casting agrees with PyTorch bit for bit, and says so when a value does not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.derive.cast import bfloat16_to_float32, converter, float32_to_bfloat16, target_bytes
from weighbridge.errors import RecipeError

torch = pytest.importorskip("torch")

bit_patterns = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64)


@given(bit_patterns)
def test_rounding_to_bfloat16_is_pytorchs(patterns: list[int]) -> None:
    bits = np.array(patterns, dtype=np.uint32)
    ours = float32_to_bfloat16(bits.view(np.float32))
    theirs = torch.from_numpy(bits.view(np.float32).copy()).to(torch.bfloat16).view(torch.uint16).numpy()
    nan = np.isnan(bits.view(np.float32))
    assert (ours[~nan] == theirs[~nan]).all()
    assert np.isnan(bfloat16_to_float32(ours[nan])).all()


def test_ties_round_to_even() -> None:
    halfway = np.array([0x3F808000, 0x3F818000, 0x3F808001], dtype=np.uint32).view(np.float32)
    assert float32_to_bfloat16(halfway).tolist() == [0x3F80, 0x3F82, 0x3F81]


@given(st.integers(0, 2**16 - 1))
def test_bfloat16_widens_without_loss(pattern: int) -> None:
    bits = np.array([pattern], dtype=np.uint16)
    value = bfloat16_to_float32(bits)
    if not np.isnan(value).any():
        assert (float32_to_bfloat16(value) == bits).all()


@pytest.mark.parametrize("source", ["F64", "F32", "F16", "BF16"])
@pytest.mark.parametrize("target", ["F32", "F16", "BF16"])
def test_every_pair_agrees_with_pytorch(source: str, target: str) -> None:
    types = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    values = torch.linspace(-700, 700, 999, dtype=torch.float64).to(types[source])
    block = memoryview(values.view(torch.uint8).numpy())
    ours = bytes(converter(source, target, "t")(block))
    # float64 is rounded by way of float32, as PyTorch itself does for bfloat16
    theirs = values.to(torch.float32).to(types[target]) if target == "BF16" else values.to(types[target])
    assert ours == theirs.view(torch.uint8).numpy().tobytes()
    assert len(ours) == target_bytes(len(block), source, target)


def test_a_value_beyond_float16_is_refused_with_the_tensors_name() -> None:
    block = np.array([1.0, 70000.0], dtype=np.float32).data.cast("B")
    with pytest.raises(RecipeError, match="big") as caught:
        converter("F32", "F16", "big")(block)
    assert "bf16" in caught.value.hint


def test_an_infinity_stays_one() -> None:
    block = np.array([np.inf, -np.inf], dtype=np.float32).data.cast("B")
    assert np.isinf(np.frombuffer(converter("F32", "F16", "t")(block), dtype=np.float16)).all()
