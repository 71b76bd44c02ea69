import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from weighbridge.checkpoint import safetensors
from weighbridge.checkpoint.dtype import SAFETENSORS_BITS
from weighbridge.checkpoint.safetensors import build_header, header_bytes, parse_header, tensor_bytes
from weighbridge.errors import HeaderError


def an_entry(dtype: str = "F32", shape: Any = (2,), span: Any = (0, 8), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span), **more}


def a_file(header: object, data: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def parse(data: bytes) -> safetensors.SafetensorsHeader:
    return parse_header(data, len(data), file="model.safetensors")


def test_what_the_reference_implementation_writes_is_read() -> None:
    written = save(
        {"b": torch.ones(2, 3, dtype=torch.bfloat16), "a": torch.zeros(4, dtype=torch.int64), "e": torch.zeros(0, 3)},
        metadata={"format": "pt"},
    )
    header = parse(written)
    tensors = {tensor.name: (tensor.dtype, tensor.shape, tensor.size_bytes) for tensor in header.tensors}
    assert tensors == {"b": ("BF16", (2, 3), 12), "a": ("I64", (4,), 32), "e": ("F32", (0, 3), 0)}
    assert header.metadata == {"format": "pt"}
    b = next(tensor for tensor in header.tensors if tensor.name == "b")
    assert written[b.offset : b.end] == b"\x80\x3f" * 6


def test_what_is_built_is_read_by_the_reference_implementation(tmp_path: Path) -> None:
    header = build_header([("é", "F32", (2, 2)), ("s", "U8", ())], {"k": "v", "a": "b"})
    values = np.arange(4, dtype="<f4")
    path = tmp_path / "x.safetensors"
    path.write_bytes(header + values.tobytes() + b"\x07")
    assert len(header) % 8 == 0
    with safe_open(path, "np") as opened:
        assert opened.metadata() == {"k": "v", "a": "b"}
        assert np.array_equal(opened.get_tensor("é"), values.reshape(2, 2))
        assert opened.get_tensor("s") == 7


def test_an_empty_file_of_tensors_is_sound() -> None:
    assert parse(build_header([], {})).tensors == ()


@pytest.mark.parametrize("dtype", sorted(SAFETENSORS_BITS))
def test_every_dtype_round_trips(dtype: str) -> None:
    header = build_header([("t", dtype, (8, 3))], {})
    size = 3 * SAFETENSORS_BITS[dtype]
    (tensor,) = parse(header + bytes(size)).tensors
    assert (tensor.dtype, tensor.size_bytes, tensor.parameters) == (dtype, size, 24)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "at least"),
        (b"1234567", "at least"),
        ((9).to_bytes(8, "little") + b"{}", "the file ends after"),
        ((2**63).to_bytes(8, "little") + b"{}", "at most"),
        ((100_000_001).to_bytes(8, "little") + b"{}", "at most"),
        (a_file(b" {}", b""), "start with"),
        (a_file(b"[]", b""), "start with"),
        (a_file(b'{"a":\xff}', b""), "not UTF-8"),
        (a_file(b'{"a":{},"a":{}}', b""), "occurs twice"),
        (a_file(b'{"a":{"dtype":"F32","dtype":"F32"}}', b""), "occurs twice"),
        (a_file(b'{"a":' + b"[" * 100_000, b""), "nested"),
        (a_file(b"{} x", b""), "not valid JSON"),
        (a_file({"__metadata__": {"a": 1}}, b""), "strings to strings"),
        (a_file({"__metadata__": ["a"]}, b""), "strings to strings"),
        (a_file({"__metadata__": None}, b""), "strings to strings"),
        (a_file({}, b"x"), "last 1 bytes belong to no tensor"),
    ],
)
def test_an_unsound_file_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(HeaderError, match=message) as caught:
        parse(data)
    assert caught.value.place == "model.safetensors"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (7, "exactly dtype"),
        ({}, "exactly dtype"),
        (an_entry(extra=1), "exactly dtype"),
        (an_entry(dtype="F33"), "unknown dtype"),
        ({**an_entry(), "dtype": ["F32"]}, "unknown dtype"),
        ({**an_entry(), "dtype": None}, "unknown dtype"),
        (an_entry(shape=[-2]), "natural numbers"),
        (an_entry(shape=[True, 2]), "natural numbers"),
        (an_entry(shape=[2.0]), "natural numbers"),
        (an_entry(shape=["2"]), "natural numbers"),
        (an_entry(shape=[2**70]), "natural numbers"),
        (an_entry(shape=[1] * 65), "natural numbers"),
        ({**an_entry(), "shape": 2}, "natural numbers"),
        (an_entry(shape=[2**40, 2**40]), "more elements"),
        (an_entry(shape=[2**60, 2**60, 0], span=(0, 0)), "more elements"),
        (an_entry(span=[8, 0]), "data_offsets"),
        (an_entry(span=[0]), "data_offsets"),
        (an_entry(span=[0, True]), "data_offsets"),
        (an_entry(span=[0, 8, 8]), "data_offsets"),
        (an_entry(shape=[3]), "takes 12 bytes"),
        (an_entry(dtype="F4", shape=[3], span=(0, 1)), "inside a byte"),
        (an_entry(shape=[4], span=(0, 16)), "but the file"),
        (an_entry(shape=[1], span=(4, 8)), "4 bytes before it belong to no tensor"),
    ],
)
def test_an_unsound_tensor_is_refused_by_name(entry: object, message: str) -> None:
    with pytest.raises(HeaderError, match=message) as caught:
        parse(a_file({"layer.weight": entry}))
    assert caught.value.place == "model.safetensors: tensor 'layer.weight'"


def test_overlapping_tensors_are_refused() -> None:
    with pytest.raises(HeaderError, match="overlap"):
        parse(a_file({"a": an_entry(), "b": an_entry(shape=[1], span=(4, 8))}))


def test_the_same_bytes_twice_are_refused() -> None:
    with pytest.raises(HeaderError, match="overlap"):
        parse(a_file({"a": an_entry(), "b": an_entry()}))


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", "a\ud800"])
def test_names_with_control_characters_are_refused_and_shown_escaped(name: str) -> None:
    with pytest.raises(HeaderError, match="control characters") as caught:
        parse(a_file({name: an_entry()}))
    assert str(caught.value).isprintable()


def test_a_header_that_was_not_read_whole_is_refused() -> None:
    data = build_header([("a", "U8", (4,))], {}) + bytes(4)
    assert header_bytes(data[:8], len(data), file="x") == len(data) - 4
    with pytest.raises(HeaderError, match="cut off"):
        parse_header(data[:20], len(data), file="x")


def test_too_many_tensors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safetensors, "MAX_TENSORS", 2)
    with pytest.raises(HeaderError, match="at most 2"):
        parse(build_header([(name, "U8", (0,)) for name in "abc"], {}))


@pytest.mark.parametrize(
    "tensors",
    [
        [("a", "U8", (1,)), ("a", "U8", (1,))],
        [("__metadata__", "U8", (1,))],
        [("a\n", "U8", (1,))],
        [("a", "F99", (1,))],
        [("a", "F4", (1,))],
        [("a", "U8", (-1,))],
    ],
)
def test_an_unsound_declaration_is_not_built(tensors: list[tuple[str, str, tuple[int, ...]]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        build_header(tensors, {})


def test_building_is_deterministic_whatever_the_order_of_the_metadata() -> None:
    tensors = [("a", "U8", (1,))]
    assert build_header(tensors, {"x": "1", "a": "2"}) == build_header(tensors, {"a": "2", "x": "1"})


def test_sub_byte_sizes_are_counted_in_bits() -> None:
    assert (tensor_bytes("F4", (2, 3)), tensor_bytes("F6_E2M3", (4,)), tensor_bytes("C64", ())) == (3, 3, 8)
