"""Element types: how many bits each takes, and which bit patterns are not finite.

Sources: `safetensors` 0.8 (`Dtype` in `tensor.rs`), ggml (`ggml.h`, `ggml-common.h`), IEEE 754 and the
OCP 8-bit floating point specification 1.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

SAFETENSORS_BITS: Mapping[str, int] = MappingProxyType(
    {
        "BOOL": 8,
        "F4": 4,
        "F6_E2M3": 6,
        "F6_E3M2": 6,
        "U8": 8,
        "I8": 8,
        "F8_E5M2": 8,
        "F8_E4M3": 8,
        "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8,
        "F8_E5M2FNUZ": 8,
        "I16": 16,
        "U16": 16,
        "F16": 16,
        "BF16": 16,
        "I32": 32,
        "U32": 32,
        "F32": 32,
        "C64": 64,
        "F64": 64,
        "I64": 64,
        "U64": 64,
    }
)
"""Bits an element of each dtype that safetensors knows."""


@dataclass(frozen=True, slots=True)
class GgmlType:
    """A ggml type: `block_elements` consecutive elements of a row take `block_bytes`."""

    name: str
    block_elements: int
    block_bytes: int


GGML_TYPES: Mapping[int, GgmlType] = MappingProxyType(
    {
        0: GgmlType("F32", 1, 4),
        1: GgmlType("F16", 1, 2),
        2: GgmlType("Q4_0", 32, 18),
        3: GgmlType("Q4_1", 32, 20),
        6: GgmlType("Q5_0", 32, 22),
        7: GgmlType("Q5_1", 32, 24),
        8: GgmlType("Q8_0", 32, 34),
        9: GgmlType("Q8_1", 32, 40),
        10: GgmlType("Q2_K", 256, 84),
        11: GgmlType("Q3_K", 256, 110),
        12: GgmlType("Q4_K", 256, 144),
        13: GgmlType("Q5_K", 256, 176),
        14: GgmlType("Q6_K", 256, 210),
        15: GgmlType("Q8_K", 256, 292),
        16: GgmlType("IQ2_XXS", 256, 66),
        17: GgmlType("IQ2_XS", 256, 74),
        18: GgmlType("IQ3_XXS", 256, 98),
        19: GgmlType("IQ1_S", 256, 50),
        20: GgmlType("IQ4_NL", 32, 18),
        21: GgmlType("IQ3_S", 256, 110),
        22: GgmlType("IQ2_S", 256, 82),
        23: GgmlType("IQ4_XS", 256, 136),
        24: GgmlType("I8", 1, 1),
        25: GgmlType("I16", 1, 2),
        26: GgmlType("I32", 1, 4),
        27: GgmlType("I64", 1, 8),
        28: GgmlType("F64", 1, 8),
        29: GgmlType("IQ1_M", 256, 56),
        30: GgmlType("BF16", 1, 2),
        34: GgmlType("TQ1_0", 256, 54),
        35: GgmlType("TQ2_0", 256, 66),
        39: GgmlType("MXFP4", 32, 17),
        40: GgmlType("NVFP4", 64, 36),
        41: GgmlType("Q1_0", 128, 18),
        42: GgmlType("Q2_0", 64, 18),
    }
)
"""Types by the number that a GGUF file stores. Numbers that ggml has withdrawn are unknown here."""


@dataclass(frozen=True, slots=True)
class FloatFormat:
    """Which bit patterns of a float are not finite.

    With the sign bit cleared, `infinity` is the pattern of infinity and every larger one is NaN. A format
    without infinity has the pattern just below its only NaN's there, which `has_infinity` says is finite.
    A format with a single NaN pattern and no sign to clear sets `only_nan` instead.

    Attributes:
        size_bytes: length of one element.
        infinity: as above, 0 if `only_nan` is set.
        has_infinity: whether `infinity` really is one.
        only_nan: the single NaN pattern, compared with all bits.
    """

    size_bytes: int
    infinity: int
    has_infinity: bool = True
    only_nan: int | None = None


FLOATS: Mapping[str, FloatFormat] = MappingProxyType(
    {
        "F64": FloatFormat(8, 0x7FF0_0000_0000_0000),
        "F32": FloatFormat(4, 0x7F80_0000),
        "C64": FloatFormat(4, 0x7F80_0000),
        "F16": FloatFormat(2, 0x7C00),
        "BF16": FloatFormat(2, 0x7F80),
        "F8_E5M2": FloatFormat(1, 0x7C),
        "F8_E4M3": FloatFormat(1, 0x7E, has_infinity=False),
        "F8_E4M3FNUZ": FloatFormat(1, 0, has_infinity=False, only_nan=0x80),
        "F8_E5M2FNUZ": FloatFormat(1, 0, has_infinity=False, only_nan=0x80),
        "F8_E8M0": FloatFormat(1, 0, has_infinity=False, only_nan=0xFF),
    }
)
"""Float formats whose elements can be NaN or infinite. A C64 element is two F32 components."""
