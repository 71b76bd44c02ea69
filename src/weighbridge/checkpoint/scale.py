"""NaN and infinite scales inside block-quantised GGUF tensors.

A quantised block holds small integers and one or two float16 scales; a scale that is not finite makes every weight of
its block so. Where the scales lie: ggml, `ggml-common.h`.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from weighbridge.checkpoint.dtype import GGML_TYPES
from weighbridge.checkpoint.tensor import TensorEntry

SCALE_OFFSETS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "Q4_0": (0,),
        "Q4_1": (0, 2),
        "Q5_0": (0,),
        "Q5_1": (0, 2),
        "Q8_0": (0,),
        "Q2_K": (80, 82),
        "Q3_K": (108,),
        "Q4_K": (0, 2),
        "Q5_K": (0, 2),
        "Q6_K": (208,),
        "IQ2_XXS": (0,),
        "IQ2_XS": (0,),
        "IQ2_S": (0,),
        "IQ3_XXS": (0,),
        "IQ3_S": (0,),
        "IQ1_S": (0,),
        "IQ4_NL": (0,),
        "IQ4_XS": (0,),
        "TQ1_0": (52,),
        "TQ2_0": (64,),
    }
)
"""Byte offsets of the float16 scales in one block of each type."""

_BLOCK_BYTES = {kind.name: kind.block_bytes for kind in GGML_TYPES.values()}
_EXPONENT = 0x7C  # of the high byte: all ones in NaN and infinity only


class ScaleScan:
    """Finds scales that are not finite. Blocks of a file may be cut anywhere."""

    def __init__(self, tensors: Sequence[TensorEntry]) -> None:
        self._tensors: dict[str, list[TensorEntry]] = {}
        for tensor in tensors:
            if tensor.dtype in SCALE_OFFSETS and tensor.size_bytes:
                self._tensors.setdefault(tensor.file, []).append(tensor)

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> Iterator[tuple[str, int, int]]:
        """Yield name, NaN and infinite scales of each tensor that has any whose last byte lies in this block."""
        for tensor in self._tensors.get(file, ()):
            if tensor.offset < offset + len(block) and tensor.end > offset:
                nan, infinite = _count(tensor, offset, block, overlap)
                if nan or infinite:
                    yield tensor.name, nan, infinite


def _count(tensor: TensorEntry, offset: int, block: memoryview, overlap: memoryview) -> tuple[int, int]:
    width = _BLOCK_BYTES[tensor.dtype]
    begin, stop = max(tensor.offset, offset), min(tensor.end, offset + len(block))
    nan = infinite = 0
    if phase := (begin - tensor.offset) % width:
        if len(overlap) < phase:
            raise ValueError("blocks must be visited in order, with their overlap")
        rest = width - phase
        if begin + rest > stop:
            return 0, 0
        cut = bytes(overlap[len(overlap) - phase :]) + bytes(block[begin - offset : begin - offset + rest])
        nan, infinite = _not_finite(np.frombuffer(cut, np.uint8).reshape(1, width), tensor.dtype)
        begin += rest
    whole = (stop - begin) // width
    rows = np.frombuffer(block, np.uint8, whole * width, begin - offset).reshape(whole, width)
    more = _not_finite(rows, tensor.dtype)
    return nan + more[0], infinite + more[1]


def _not_finite(rows: npt.NDArray[np.uint8], dtype: str) -> tuple[int, int]:
    """Return (NaN, infinite) among the scales of `rows`, shape `[blocks, bytes of a block]`."""
    nan = infinite = 0
    for at in SCALE_OFFSETS[dtype]:
        suspicious = (rows[:, at + 1] & _EXPONENT) == _EXPONENT
        if suspicious.any():
            hit = rows[suspicious]
            zero = (hit[:, at] == 0) & (hit[:, at + 1] & 0x03 == 0)
            infinite += int(np.count_nonzero(zero))
            nan += len(hit) - int(np.count_nonzero(zero))
    return nan, infinite
