import struct
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.checkpoint.dtype import GGML_TYPES
from weighbridge.checkpoint.gguf import parse_header
from weighbridge.checkpoint.tensor import unprintable
from weighbridge.errors import HeaderError, UnsupportedFormatError, WeighbridgeError

# Test folders are no packages; the encoder lives beside the unit tests of the same module.
sys.path.append(str(Path(__file__).parents[1] / "unit" / "checkpoint"))

import gguf_encoder as encoder

NAMES = st.text(min_size=1, max_size=12).filter(lambda name: not unprintable(name))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = {0: (0, 8), 1: (1, 8), 2: (0, 16), 3: (1, 16), 4: (0, 32), 5: (1, 32), 10: (0, 64), 11: (1, 64)}


def scalars(kind: int) -> st.SearchStrategy[Any]:
    if kind in INTEGERS:
        signed, bits = INTEGERS[kind]
        return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)
    if kind == 7:
        return st.booleans()
    if kind == encoder.STRING:
        return TEXTS
    return st.floats(width=32 if kind == 6 else 64, allow_nan=False)


SIMPLE_KINDS = [*encoder.SCALARS, encoder.STRING]


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 0) -> tuple[int, Any]:
    kind = draw(st.sampled_from(SIMPLE_KINDS if depth > 2 else [*SIMPLE_KINDS, encoder.ARRAY, encoder.ARRAY]))
    if kind != encoder.ARRAY:
        return kind, draw(scalars(kind))
    inner = draw(st.sampled_from(SIMPLE_KINDS if depth > 1 else [*SIMPLE_KINDS, encoder.ARRAY]))
    if inner == encoder.ARRAY:
        nested = draw(st.lists(typed_values(depth=depth + 2).filter(lambda v: v[0] == encoder.ARRAY), max_size=2))
        return kind, (inner, [content for _, content in nested])
    return kind, (inner, draw(st.lists(scalars(inner), max_size=5)))


def plain(kind: int, content: Any) -> Any:
    if kind != encoder.ARRAY:
        return content
    inner, items = content
    return tuple(plain(inner, item) for item in items)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, dict[str, Any], dict[str, tuple[str, tuple[int, ...], int]], int]:
    keys = draw(st.dictionaries(NAMES.filter(lambda k: k != "general.alignment"), typed_values(), max_size=4))
    alignment = draw(st.sampled_from([8, 32, 64]))
    metadata = {key: plain(*value) for key, value in keys.items()} | {"general.alignment": alignment}
    encoded = [encoder.key_value(key, *value) for key, value in keys.items()]
    encoded.append(encoder.key_value("general.alignment", 4, alignment))
    infos, tensors, offset = [], {}, 0
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        number = draw(st.sampled_from(sorted(GGML_TYPES)))
        kind = GGML_TYPES[number]
        dimensions = [kind.block_elements * draw(st.integers(0, 2)), *draw(st.lists(st.integers(0, 3), max_size=3))]
        infos.append(encoder.tensor_info(name, dimensions, number, offset))
        size = kind.block_bytes * (dimensions[0] // kind.block_elements)
        for dimension in dimensions[1:]:
            size *= dimension
        tensors[name] = (kind.name, tuple(dimensions[::-1]), size)
        offset += size + -size % alignment
    version = draw(st.sampled_from([2, 3]))
    return encoder.file(encoded, infos, bytes(offset), version=version, alignment=alignment), metadata, tensors, version


@settings(max_examples=200)
@given(files())
def test_what_is_encoded_is_parsed(
    file: tuple[bytes, dict[str, Any], dict[str, tuple[str, tuple[int, ...], int]], int],
) -> None:
    data, metadata, tensors, version = file
    header = parse_header(data, len(data), file="m")
    assert header.version == version
    assert dict(header.metadata) == metadata
    assert {t.name: (t.dtype, t.shape, t.size_bytes) for t in header.tensors} == tensors
    assert all(t.offset % header.alignment == 0 and t.end <= len(data) for t in header.tensors)


def only_header_errors(data: bytes, file_size: int) -> None:
    """Parse; anything but a header or the errors of a header, or much memory or time, fails the test."""
    tracemalloc.start()
    began = time.monotonic()
    problem: WeighbridgeError | None = None
    try:
        parse_header(data, file_size, file="m")
    except (HeaderError, UnsupportedFormatError) as error:
        problem = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert problem is None or (problem.place.startswith("m") and str(problem).isprintable())
    assert peak < (4 << 20) + 100 * len(data)
    assert time.monotonic() - began < 5


@given(st.binary(max_size=300), st.integers(0, 2**64))
def test_arbitrary_bytes_raise_nothing_else(data: bytes, size: int) -> None:
    for start in (b"", b"GGUF", b"GGUF" + struct.pack("<I", 3), b"GGUF" + struct.pack("<IQQ", 3, 1, 1)):
        only_header_errors(start + data, len(start + data))
        only_header_errors(start + data, size)


@settings(max_examples=300)
@given(files(), st.data())
def test_mutated_files_raise_nothing_else(
    file: tuple[bytes, dict[str, Any], dict[str, tuple[str, tuple[int, ...], int]], int], data: st.DataObject
) -> None:
    mutated = bytearray(file[0])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(mutated) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=8) | st.just(b"\xff" * 8))
        mutated[position : position + len(patch)] = patch
    cut = data.draw(st.integers(0, len(mutated)))
    for candidate in (bytes(mutated), bytes(mutated[:cut])):
        only_header_errors(candidate, len(candidate))
        only_header_errors(candidate, 2**63)


@given(files(), st.data())
def test_a_cut_file_is_never_taken_for_whole(
    file: tuple[bytes, dict[str, Any], dict[str, tuple[str, tuple[int, ...], int]], int], data: st.DataObject
) -> None:
    whole = file[0]
    header = parse_header(whole, len(whole), file="m")
    needed = max((t.end for t in header.tensors), default=0)
    cut = data.draw(st.integers(0, max(needed - 1, 0)))
    if needed:
        try:
            parse_header(whole[:cut], cut, file="m")
        except HeaderError:
            return
        raise AssertionError(f"a file cut at {cut} of {needed} was accepted")
