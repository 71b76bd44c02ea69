"""The safetensors format: headers parsed from bytes, and built.

A file is an 8-byte little-endian length, that many bytes of JSON, then the tensors' bytes without gaps.
Everything that the reference implementation (huggingface/safetensors, `tensor.rs`) checks is checked here, and
more: unknown keys, names with control characters and bytes that belong to no tensor are refused.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weighbridge.checkpoint.document import parse_object
from weighbridge.checkpoint.dtype import SAFETENSORS_BITS
from weighbridge.checkpoint.tensor import TensorEntry, quoted, unprintable
from weighbridge.errors import HeaderError

MAX_HEADER_BYTES = 100_000_000
"""As in the reference implementation."""

MAX_TENSORS = 500_000
"""Bounds the memory that a header can take; the largest known models have some 100,000 tensors."""

MAX_DIMENSIONS = 64

LENGTH_BYTES = 8
METADATA_KEY = "__metadata__"

_MAX_DEPTH = 8
_MAX_VALUES = 8 * MAX_TENSORS
_MAX_BYTES = 1 << 62
_FIELDS = frozenset({"dtype", "shape", "data_offsets"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsHeader:
    """What a header states, checked against the length of its file.

    Attributes:
        tensors: in the order of their bytes.
        metadata: the `__metadata__` strings.
        data_offset: where the first tensor starts.
    """

    tensors: tuple[TensorEntry, ...]
    metadata: Mapping[str, str]
    data_offset: int


def header_bytes(start: bytes | memoryview, file_size: int, *, file: str) -> int:
    """Return how many bytes of the file the header takes, its length field included.

    Args:
        start: the first 8 bytes of the file, or more.
        file_size: length of the whole file in bytes.
        file: its name, for errors.

    Raises:
        HeaderError: if the file is too short or states a length that it cannot have.
    """
    if file_size < LENGTH_BYTES or len(start) < LENGTH_BYTES:
        raise HeaderError(f"the file has {file_size} bytes; a safetensors file has at least 10", place=file)
    length = int.from_bytes(bytes(start[:LENGTH_BYTES]), "little")
    if length > MAX_HEADER_BYTES:
        raise HeaderError(
            f"the header states a length of {length:,} bytes; at most {MAX_HEADER_BYTES:,} are allowed", place=file
        )
    if length > file_size - LENGTH_BYTES:
        raise HeaderError(
            f"the header states a length of {length:,} bytes, but the file ends after {file_size:,}", place=file
        )
    return LENGTH_BYTES + length


def parse_header(head: bytes | memoryview, file_size: int, *, file: str) -> SafetensorsHeader:
    """Parse and check a header.

    Args:
        head: the start of the file, at least its whole header (see `header_bytes`).
        file_size: length of the whole file in bytes.
        file: path of the file relative to the checkpoint's root.

    Raises:
        HeaderError: if anything in it is malformed or contradicts the file's length; names file and tensor.
    """
    data_offset = header_bytes(head, file_size, file=file)
    if len(head) < data_offset:
        raise HeaderError("the header is cut off", place=file)
    text = bytes(head[LENGTH_BYTES:data_offset])
    if not text.startswith(b"{"):
        raise HeaderError("the header does not start with '{'", place=file)
    parsed = parse_object(text, place=file, max_depth=_MAX_DEPTH, max_values=_MAX_VALUES, error=HeaderError)
    metadata = _metadata(parsed[METADATA_KEY], file) if METADATA_KEY in parsed else {}
    tensors = [_tensor(name, fields, data_offset, file) for name, fields in parsed.items() if name != METADATA_KEY]
    if len(tensors) > MAX_TENSORS:
        raise HeaderError(f"the header lists {len(tensors):,} tensors; at most {MAX_TENSORS:,} are read", place=file)
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.end))
    _check_layout(tensors, data_offset, file_size, file)
    return SafetensorsHeader(tensors=tuple(tensors), metadata=metadata, data_offset=data_offset)


def build_header(tensors: Sequence[tuple[str, str, tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """Return the header of a file that holds `tensors` (name, dtype, shape) in the given order.

    The same arguments give the same bytes. The JSON is padded with spaces to a multiple of 8 bytes. Order tensors
    by descending element size if their sizes differ: loaders want each aligned to its element.

    Raises:
        ValueError: if a name occurs twice, is reserved or not printable, or dtype and shape give no whole bytes.
    """
    header: dict[str, Any] = {}
    if metadata:
        header[METADATA_KEY] = {key: metadata[key] for key in sorted(metadata)}
    position = 0
    for name, dtype, shape in tensors:
        if name in header or name == METADATA_KEY or unprintable(name):
            raise ValueError(f"the tensor name {quoted(name)} is not usable, or used twice")
        size = tensor_bytes(dtype, shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"the header takes {len(text):,} bytes; at most {MAX_HEADER_BYTES:,} are allowed")
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def tensor_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the length in bytes of a tensor.

    Raises:
        ValueError: if the dtype is unknown, a dimension negative, or the bits are no whole bytes.
    """
    if dtype not in SAFETENSORS_BITS:
        raise ValueError(f"unknown dtype {quoted(dtype)}")
    if any(dimension < 0 for dimension in shape):
        raise ValueError(f"negative dimension in {shape}")
    size, rest = divmod(math.prod(shape) * SAFETENSORS_BITS[dtype], 8)
    if rest:
        raise ValueError(f"{dtype} of shape {shape} ends inside a byte")
    return size


def _metadata(value: object, file: str) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise HeaderError(f"{METADATA_KEY} must map strings to strings", place=file)
    return value


def _tensor(name: str, fields: object, data_offset: int, file: str) -> TensorEntry:
    place = f"{file}: tensor {quoted(name)}"
    if unprintable(name):
        raise HeaderError("the name is empty or holds control characters", place=place)
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        raise HeaderError("its entry must hold exactly dtype, shape and data_offsets", place=place)
    dtype, shape, span = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SAFETENSORS_BITS:
        raise HeaderError(f"unknown dtype {quoted(str(dtype))}", place=place)
    if not _naturals(shape) or len(shape) > MAX_DIMENSIONS:
        raise HeaderError(f"the shape must be a list of at most {MAX_DIMENSIONS} natural numbers", place=place)
    if not _naturals(span) or len(span) != 2 or span[0] > span[1]:
        raise HeaderError("data_offsets must be [start, end] with start <= end", place=place)
    if _product_exceeds(shape, _MAX_BYTES):
        raise HeaderError("the shape holds more elements than any file", place=place)
    try:
        expected = tensor_bytes(dtype, tuple(shape))
    except ValueError as cause:
        raise HeaderError(str(cause), place=place) from cause
    start, end = span
    if end - start != expected:
        raise HeaderError(
            f"{dtype} of shape {shape} takes {expected:,} bytes, but data_offsets span {end - start:,}", place=place
        )
    return TensorEntry(
        name=name, dtype=dtype, shape=tuple(shape), file=file, offset=data_offset + start, size_bytes=expected
    )


def _check_layout(tensors: Sequence[TensorEntry], data_offset: int, file_size: int, file: str) -> None:
    """Require that the tensors tile the file from `data_offset` to its end."""
    position = data_offset
    for tensor in tensors:
        place = f"{file}: tensor {quoted(tensor.name)}"
        if tensor.end > file_size:
            raise HeaderError(f"its bytes end at {tensor.end:,}, but the file at {file_size:,}", place=place)
        if tensor.offset < position:
            raise HeaderError("its bytes overlap those of the tensor before it", place=place)
        if tensor.offset > position:
            raise HeaderError(f"{tensor.offset - position:,} bytes before it belong to no tensor", place=place)
        position = tensor.end
    if position != file_size:
        raise HeaderError(f"the last {file_size - position:,} bytes belong to no tensor", place=file)


def _naturals(value: object) -> bool:
    """Say whether `value` is a list of ints in 0..2^62; JSON's true and 1.0 are none."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _MAX_BYTES for item in value)


def _product_exceeds(factors: Sequence[int], limit: int) -> bool:
    product = 1
    for factor in factors:
        product *= factor
        if product > limit:
            # A later zero would make it 0 elements, but no writer states such a shape.
            return True
    return False
