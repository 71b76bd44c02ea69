import json
import time
import tracemalloc
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.checkpoint.dtype import SAFETENSORS_BITS
from weighbridge.checkpoint.safetensors import build_header, parse_header
from weighbridge.checkpoint.tensor import unprintable
from weighbridge.errors import HeaderError, WeighbridgeError

NAMES = st.text(min_size=1, max_size=20).filter(lambda name: not unprintable(name) and name != "__metadata__")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SHAPES = st.lists(st.integers(0, 6), max_size=4).map(tuple)


@st.composite
def declarations(draw: st.DrawFn) -> list[tuple[str, str, tuple[int, ...]]]:
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    found = []
    for name in names:
        dtype, shape = draw(st.sampled_from(sorted(SAFETENSORS_BITS))), draw(SHAPES)
        # Sub-byte types fill whole bytes when a dimension is a multiple of 8.
        found.append((name, dtype, (*shape, 8) if SAFETENSORS_BITS[dtype] < 8 else shape))
    return found


@given(declarations(), st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_what_is_built_is_parsed(tensors: list[tuple[str, str, tuple[int, ...]]], metadata: dict[str, str]) -> None:
    head = build_header(tensors, metadata)
    sizes = [SAFETENSORS_BITS[dtype] * _product(shape) // 8 for _, dtype, shape in tensors]
    header = parse_header(head, len(head) + sum(sizes), file="m")
    assert header.metadata == metadata
    assert header.data_offset == len(head)
    assert {t.name: (t.dtype, t.shape, t.size_bytes) for t in header.tensors} == {
        name: (dtype, shape, size) for (name, dtype, shape), size in zip(tensors, sizes, strict=True)
    }
    assert sum(t.size_bytes for t in header.tensors) == sum(sizes)


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for dimension in shape:
        product *= dimension
    return product


def only_header_errors(data: bytes, file_size: int) -> None:
    """Parse; anything but a header or a `HeaderError`, or much memory or time, fails the test."""
    tracemalloc.start()
    began = time.monotonic()
    problem: WeighbridgeError | None = None
    try:
        parse_header(data, file_size, file="m")
    except HeaderError as error:
        problem = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert problem is None or (problem.place.startswith("m") and str(problem).isprintable())
    assert peak < (4 << 20) + 100 * len(data)
    assert time.monotonic() - began < 5


@given(st.binary(max_size=300), st.integers(0, 2**64))
def test_arbitrary_bytes_raise_nothing_else(data: bytes, more: int) -> None:
    only_header_errors(data, len(data))
    only_header_errors(data, more)
    only_header_errors(len(data).to_bytes(8, "little") + data, len(data) + 8 + more % 100)


@given(st.text(alphabet='{}[]",:\\0a', max_size=200))
def test_text_that_looks_like_json_raises_nothing_else(text: str) -> None:
    data = ("{" + text).encode()
    only_header_errors(len(data).to_bytes(8, "little") + data, len(data) + 8)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["F32", "U8"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = VALUES | st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "U8", "F4"]) | VALUES, "shape": VALUES | st.lists(st.integers(-1, 9)),
     "data_offsets": VALUES | st.lists(st.integers(-1, 2**65), min_size=2, max_size=2)}
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5) | st.just("__metadata__"), ENTRIES, max_size=4), st.integers(0, 64))
def test_any_json_raises_nothing_else(header: dict[str, Any], size: int) -> None:
    data = json.dumps(header).encode()
    only_header_errors(len(data).to_bytes(8, "little") + data, len(data) + 8 + size)


@settings(max_examples=300)
@given(declarations(), st.data())
def test_mutated_headers_raise_nothing_else(
    tensors: list[tuple[str, str, tuple[int, ...]]], data: st.DataObject
) -> None:
    head = bytearray(build_header(tensors, {"format": "pt"}))
    for _ in range(data.draw(st.integers(1, 4))):
        head[data.draw(st.integers(0, len(head) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(head)))
    for mutated in (bytes(head), bytes(head[:cut])):
        only_header_errors(mutated, len(mutated))
        only_header_errors(mutated, len(mutated) + 1000)
