"""The GGUF format, versions 2 and 3, little-endian: headers parsed from bytes.

Source: `docs/gguf.md` of ggml and llama.cpp's `gguf.cpp`. All that the latter checks is checked here; every count is
held against the bytes that are left before anything is allocated for it.
"""

import mmap
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from weighbridge.checkpoint.dtype import GGML_TYPES
from weighbridge.checkpoint.tensor import TensorEntry, quoted, unprintable
from weighbridge.errors import HeaderError, UnsupportedFormatError

MAGIC = b"GGUF"
MAX_HEADER_BYTES = 256 << 20
"""The largest tokenizers take some 20 MiB."""

MAX_ARRAY_ELEMENTS = 4_000_000
"""Elements of all arrays of a file together; tokens, scores, types and merges of large models are 1.5 million."""

MAX_KEYS = 100_000
MAX_TENSORS = 500_000
MAX_DIMENSIONS = 4
MAX_NAME_BYTES = 65_535
MAX_ARRAY_DEPTH = 4
DEFAULT_ALIGNMENT = 32

_MAX_ELEMENTS = 1 << 62
_UINT32, _BOOL, _STRING, _ARRAY = 4, 7, 8, 9
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_ARRAY_DTYPES = {kind: np.dtype(form.format) for kind, form in _SCALARS.items()}
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_LEAST_BYTES = {_STRING: 8, _ARRAY: 12}
_LEAST_KEY_BYTES = 8 + 4 + 1
_LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """What a GGUF header states, checked against the length of its file.

    Attributes:
        version: 2 or 3.
        alignment: of the tensors' bytes.
        metadata: the key-values; arrays are tuples.
        tensors: in the order of the file; shapes slowest dimension first.
        data_offset: where the tensors' bytes start.
    """

    version: int
    alignment: int
    metadata: Mapping[str, Any]
    tensors: tuple[TensorEntry, ...]
    data_offset: int


class CutOffError(HeaderError):
    """The bytes given end inside the header, though the file goes on: more of it must be given."""


def parse_header(data: "bytes | memoryview | mmap.mmap", file_size: int, *, file: str) -> GgufHeader:
    """Parse and check a header.

    Args:
        data: the start of the file, at least its whole header; may be all of it.
        file_size: length of the whole file in bytes.
        file: path of the file relative to the checkpoint's root.

    Raises:
        UnsupportedFormatError: if it is of version 1 or big-endian.
        CutOffError: if `data` ends inside the header, but the file does not.
        HeaderError: if anything in it is malformed or contradicts the file's length; names file and key or tensor.
    """
    with memoryview(data) as view:
        reader = _Reader(view, file_size, file)
        version = _version(reader)
        tensor_count = reader.count("tensors", _LEAST_TENSOR_BYTES, MAX_TENSORS)
        key_count = reader.count("key-values", _LEAST_KEY_BYTES, MAX_KEYS)
        metadata = _metadata(reader, key_count)
        alignment = _alignment(metadata, file)
        infos = [_tensor_info(reader) for _ in range(tensor_count)]
        data_offset = reader.position + -reader.position % alignment
    tensors = _place(infos, data_offset, alignment, file_size, file)
    return GgufHeader(version=version, alignment=alignment, metadata=metadata, tensors=tensors, data_offset=data_offset)


class _Reader:
    """A position in the bytes of a header; every step is checked against the bytes that are there."""

    __slots__ = ("elements_left", "file", "file_size", "limit", "place", "position", "view")

    def __init__(self, view: memoryview, file_size: int, file: str) -> None:
        self.view = view
        self.limit = min(len(view), file_size)
        self.file_size = file_size
        self.file = file
        self.place = file
        self.position = 0
        self.elements_left = MAX_ARRAY_ELEMENTS

    def fail(self, message: str) -> NoReturn:
        raise HeaderError(message, place=self.place)

    def need(self, length: int, what: str) -> int:
        """Return the position behind `length` bytes, which must be there."""
        end = self.position + length
        if end > self.limit:
            if end > self.file_size:
                self.fail(f"{what} takes {length:,} bytes from byte {self.position:,} on, past the end of the file")
            raise CutOffError(f"{what} goes on behind the bytes that were read", place=self.place)
        return end

    def scalar(self, form: struct.Struct, what: str) -> Any:
        end = self.need(form.size, what)
        (value,) = form.unpack_from(self.view, self.position)
        self.position = end
        return value

    def count(self, what: str, least_bytes: int, most: int) -> int:
        """Read a 64-bit count of things that take at least `least_bytes` each."""
        value: int = self.scalar(_U64, f"the number of {what}")
        if value > most or value * least_bytes > self.file_size - self.position:
            self.fail(f"states {value:,} {what}, more than the file can hold or than the {most:,} that are read")
        return value

    def text(self, what: str, most: int = MAX_HEADER_BYTES) -> str:
        length = self.scalar(_U64, f"the length of {what}")
        if length > most:
            self.fail(f"{what} states a length of {length:,} bytes; at most {most:,} are read")
        end = self.need(length, what)
        start, self.position = self.position, end
        try:
            return str(self.view[start:end], "utf-8")
        except UnicodeDecodeError as cause:
            raise HeaderError(f"{what} is not UTF-8", place=self.place) from cause

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.text("a string")
        if kind == _ARRAY:
            return self.array(depth + 1)
        if kind not in _SCALARS:
            self.fail(f"unknown value type {kind}")
        value = self.scalar(_SCALARS[kind], "a value")
        return self.truth(value) if kind == _BOOL else value

    def array(self, depth: int) -> tuple[Any, ...]:
        if depth > MAX_ARRAY_DEPTH:
            self.fail(f"arrays nest more than {MAX_ARRAY_DEPTH} deep")
        kind = self.scalar(_U32, "an array's type")
        dtype = _ARRAY_DTYPES.get(kind)
        if dtype is None and kind not in _LEAST_BYTES:
            self.fail(f"unknown type {kind} of an array's elements")
        count = self.count("array elements", dtype.itemsize if dtype else _LEAST_BYTES[kind], self.elements_left)
        self.elements_left -= count
        if kind == _STRING:
            return self.strings(count)
        if dtype is None:
            return tuple(self.array(depth + 1) for _ in range(count))
        end = self.need(count * dtype.itemsize, "an array")
        numbers = np.frombuffer(self.view, dtype, count, self.position).tolist() if count else []
        self.position = end
        return tuple(self.truth(number) for number in numbers) if kind == _BOOL else tuple(numbers)

    def strings(self, count: int) -> tuple[str, ...]:
        """Read many strings; a tokenizer has some 100,000, so this spells out what `text` does."""
        view, position, limit, unpack = self.view, self.position, self.limit, _U64.unpack_from
        found: list[str] = []
        append = found.append
        try:
            for _ in range(count):
                start = position + 8
                if start > limit:
                    break
                end = start + unpack(view, position)[0]
                if end > limit:
                    break
                append(str(view[start:end], "utf-8"))
                position = end
        except UnicodeDecodeError as cause:
            raise HeaderError(f"string {len(found)} of an array is not UTF-8", place=self.place) from cause
        self.position = position
        if len(found) < count:
            # The one that did not fit tells whether the file lies or more of it must be read.
            self.text(f"string {len(found)} of an array")
        return tuple(found)

    def truth(self, value: int) -> bool:
        if value > 1:
            self.fail(f"a bool is stored as {value}, not 0 or 1")
        return value == 1


def _version(reader: _Reader) -> int:
    end = reader.need(4, "the magic number")
    magic = bytes(reader.view[:end])
    reader.position = end
    if magic != MAGIC:
        reader.fail(f"the file starts with {magic!r}, not with {MAGIC!r}")
    version: int = reader.scalar(_U32, "the version")
    if version == 1:
        raise UnsupportedFormatError(
            "GGUF version 1 is not read", place=reader.file, hint="Convert the original model to GGUF again."
        )
    if version and not version & 0xFFFF:
        raise UnsupportedFormatError(
            "big-endian GGUF is not read",
            place=reader.file,
            hint="Convert it to little-endian with llama.cpp's gguf_convert_endian.py.",
        )
    if version not in (2, 3):
        reader.fail(f"unknown GGUF version {version}")
    return version


def _metadata(reader: _Reader, count: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        reader.place = f"{reader.file}: key-value {len(metadata)}"
        key = reader.text("the key", MAX_NAME_BYTES)
        if unprintable(key):
            reader.fail("the key is empty or holds control characters")
        reader.place = f"{reader.file}: key {quoted(key)}"
        if key in metadata:
            reader.fail("the key occurs twice")
        metadata[key] = reader.value(reader.scalar(_U32, "the value's type"))
    reader.place = reader.file
    return metadata


def _alignment(metadata: Mapping[str, Any], file: str) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1) or alignment > 1 << 31:
        raise HeaderError(
            f"the alignment must be a power of two, not {alignment!r:.60}", place=f"{file}: key 'general.alignment'"
        )
    return alignment


@dataclass(frozen=True, slots=True)
class _TensorInfo:
    name: str
    dimensions: tuple[int, ...]
    kind: int
    offset: int


def _tensor_info(reader: _Reader) -> _TensorInfo:
    reader.place = reader.file
    name = reader.text("the name of a tensor", MAX_NAME_BYTES)
    reader.place = f"{reader.file}: tensor {quoted(name)}"
    if unprintable(name):
        reader.fail("the name is empty or holds control characters")
    rank = reader.scalar(_U32, "the number of dimensions")
    if rank > MAX_DIMENSIONS:
        reader.fail(f"has {rank:,} dimensions; ggml allows {MAX_DIMENSIONS}")
    dimensions = tuple(reader.scalar(_U64, "a dimension") for _ in range(rank))
    return _TensorInfo(name, dimensions, reader.scalar(_U32, "the type"), reader.scalar(_U64, "the offset"))


def _place(
    infos: Sequence[_TensorInfo], data_offset: int, alignment: int, file_size: int, file: str
) -> tuple[TensorEntry, ...]:
    """Turn infos into entries that tile the file from `data_offset` to its end, padding aside."""
    tensors: list[TensorEntry] = []
    names: set[str] = set()
    for info in infos:
        place = f"{file}: tensor {quoted(info.name)}"
        if info.name in names:
            raise HeaderError("two tensors have this name", place=place)
        names.add(info.name)
        if info.offset % alignment:
            raise HeaderError(f"its offset {info.offset:,} is no multiple of {alignment}", place=place)
        size = _size(info, place)
        offset = data_offset + info.offset
        if offset + size > file_size:
            raise HeaderError(f"its bytes end at {offset + size:,}, but the file at {file_size:,}", place=place)
        tensors.append(
            TensorEntry(
                name=info.name,
                dtype=GGML_TYPES[info.kind].name,
                shape=info.dimensions[::-1],
                file=file,
                offset=offset,
                size_bytes=size,
            )
        )
    _check_layout(tensors, data_offset, alignment, file_size, file)
    return tuple(tensors)


def _size(info: _TensorInfo, place: str) -> int:
    kind = GGML_TYPES.get(info.kind)
    if kind is None:
        raise HeaderError(f"unknown ggml type {info.kind}", place=place)
    elements = 1
    for dimension in info.dimensions:
        elements *= dimension
        if elements > _MAX_ELEMENTS:
            raise HeaderError("the shape holds more elements than any file", place=place)
    row = info.dimensions[0] if info.dimensions else 1
    if row % kind.block_elements:
        raise HeaderError(
            f"its rows have {row:,} elements, which is no multiple of {kind.name}'s block of {kind.block_elements}",
            place=place,
        )
    return elements // kind.block_elements * kind.block_bytes


def _check_layout(tensors: Sequence[TensorEntry], data_offset: int, alignment: int, file_size: int, file: str) -> None:
    end = data_offset
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.end)):
        place = f"{file}: tensor {quoted(tensor.name)}"
        if tensor.offset < end:
            raise HeaderError("its bytes overlap those of the tensor before it", place=place)
        if tensor.offset - end >= alignment:
            raise HeaderError(f"{tensor.offset - end:,} bytes before it belong to no tensor", place=place)
        end = tensor.end
    if file_size - end >= alignment:
        raise HeaderError(f"the last {file_size - end:,} bytes belong to no tensor", place=file)
