"""Casting between floating-point types, block by block, in numpy with the GIL released.

Rounding is to nearest, ties to even (IEEE 754-2019, 4.3.1), as PyTorch's `Tensor.to` does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.errors import RecipeError

FLOAT_DTYPES = ("F64", "F32", "F16", "BF16")
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_NUMPY: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2")}


def float32_to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the bit patterns of `values` rounded to bfloat16; shape `[n]` to `[n]`. NaN stays a quiet NaN."""
    bits = values.view(np.uint32)
    rounded = bits >> np.uint32(16)
    rounded &= np.uint32(1)
    rounded += np.uint32(0x7FFF)
    rounded += bits
    rounded >>= np.uint32(16)
    result = rounded.astype(np.uint16)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    if magnitude.size and magnitude.max() > 0x7F800000:
        nan = magnitude > 0x7F800000
        result[nan] = ((bits[nan] >> np.uint32(16)) | np.uint32(0x40)).astype(np.uint16)
    return result


def bfloat16_to_float32(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return the values of bfloat16 bit patterns, exactly; shape `[n]` to `[n]`."""
    wide = bits.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def _narrow(values: NDArray[np.floating], dtype: np.dtype[np.floating], tensor: str) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):
        result = values.astype(dtype)
    if np.isinf(result).any() and not np.array_equal(np.isinf(result), np.isinf(values)):
        raise RecipeError(
            f"a value of tensor {tensor!r} does not fit into {dtype.name}",
            hint="Cast to bf16 instead, it has the range of float32.",
        )
    return result


def converter(source: str, target: str, tensor: str) -> Callable[[memoryview], bytes | memoryview]:
    """Return a function that turns a block of whole `source` elements into `target` bytes.

    Raises:
        RecipeError: at call time, if a finite value would become infinite in float16 or float32.
    """

    def convert(block: memoryview) -> memoryview:
        if source == "BF16":
            values: NDArray[np.floating] = bfloat16_to_float32(np.frombuffer(block, dtype="<u2"))
        else:
            values = np.frombuffer(block, dtype=_NUMPY[source])
        if target == "BF16":
            single = _narrow(values, np.dtype("<f4"), tensor) if source == "F64" else values.astype("<f4", copy=False)
            return float32_to_bfloat16(single).data.cast("B")
        return _narrow(values, _NUMPY[target], tensor).data.cast("B")

    return convert if source != target else lambda block: block


def target_bytes(size_bytes: int, source: str, target: str) -> int:
    """Return how many bytes `size_bytes` bytes of `source` elements take as `target`."""
    return size_bytes // _ITEM_BYTES[source] * _ITEM_BYTES[target]
