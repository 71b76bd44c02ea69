import struct
from pathlib import Path
from typing import Any

import gguf as reference
import gguf_encoder as encoder
import numpy as np
import pytest

from weighbridge.checkpoint import gguf
from weighbridge.checkpoint.gguf import CutOffError, parse_header
from weighbridge.errors import HeaderError, UnsupportedFormatError

F32, Q8_0, Q4_K = 0, 8, 12
U8, U32, F32_VALUE, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10


def parse(data: bytes) -> gguf.GgufHeader:
    return parse_header(data, len(data), file="m.gguf")


def a_file(**tensor: Any) -> bytes:
    fields = {"name": "a", "dimensions": (8,), "kind": F32, "offset": 0, **tensor}
    return encoder.file(tensors=[encoder.tensor_info(**fields)], data=bytes(32))


def test_what_the_gguf_package_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    writer = reference.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_bool("flag", True)
    writer.add_float64("pi", 3.5)
    writer.add_token_list(["a", "é", "<|x|>"])
    writer.add_token_scores([0.5, -1.0, 2.0])
    writer.add_array("nested", [[1, 2], [3]])
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    writer.add_tensor("w", weights)
    packed = np.zeros((3, 34 * 2), np.uint8)
    writer.add_tensor("q", packed, raw_dtype=reference.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    header = parse(data)
    assert header.metadata["general.architecture"] == "llama"
    assert header.metadata["llama.context_length"] == 128
    assert header.metadata["flag"] is True
    assert header.metadata["pi"] == 3.5
    assert header.metadata["tokenizer.ggml.tokens"] == ("a", "é", "<|x|>")
    assert header.metadata["tokenizer.ggml.scores"] == (0.5, -1.0, 2.0)
    assert header.metadata["nested"] == ((1, 2), (3,))
    theirs = {tensor.name: tensor for tensor in reference.GGUFReader(path).tensors}
    assert {tensor.name for tensor in header.tensors} == set(theirs)
    for tensor in header.tensors:
        other = theirs[tensor.name]
        assert tensor.dtype == other.tensor_type.name
        assert tensor.shape == tuple(int(d) for d in other.shape[::-1])
        assert (tensor.offset, tensor.size_bytes) == (int(other.data_offset), int(other.n_bytes))
    w = next(tensor for tensor in header.tensors if tensor.name == "w")
    assert data[w.offset : w.end] == weights.tobytes()


@pytest.mark.parametrize("version", [2, 3])
def test_versions_2_and_3_are_read(version: int) -> None:
    header = parse(encoder.file(version=version, keys=[encoder.key_value("k", U32, 7)]))
    assert (header.version, dict(header.metadata)) == (version, {"k": 7})


@pytest.mark.parametrize(("version", "message"), [(1, "version 1"), (3 << 24, "big-endian"), (2 << 24, "big-endian")])
def test_old_and_big_endian_files_are_refused_with_advice(version: int, message: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=message) as caught:
        parse(encoder.file(version=version))
    assert "Convert" in caught.value.hint


def test_every_scalar_is_read() -> None:
    values = {0: 255, 1: -1, 2: 65535, 3: -2, 4: 2**32 - 1, 5: -3, 6: 0.5, 7: 1, 10: 2**64 - 1, 11: -(2**63), 12: 0.1}
    header = parse(encoder.file(keys=[encoder.key_value(f"k{kind}", kind, value) for kind, value in values.items()]))
    assert dict(header.metadata) == {f"k{kind}": value for kind, value in values.items()}
    assert header.metadata["k7"] is True


def lying(length: int) -> bytes:
    return struct.pack("<Q", length) + b"abc"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "past the end"),
        (b"GGML" + bytes(20), "starts with"),
        (b"GGUF", "past the end"),
        (encoder.file(version=4), "unknown GGUF version 4"),
        (encoder.file(version=0), "unknown GGUF version 0"),
        (encoder.file(key_count=2**63), "states"),
        (encoder.file(tensor_count=2**63), "states"),
        (encoder.file(key_count=1), "states 1 key-values"),
        (encoder.file(keys=[lying(2**63)], key_count=1) + bytes(64), "at most"),
        (encoder.file(keys=[lying(1000)], key_count=1) + bytes(64), "past the end"),
        (encoder.file(keys=[encoder.key_value("k", U32, 1)] * 2), "occurs twice"),
        (encoder.file(keys=[encoder.key_value("", U32, 1)]), "control characters"),
        (encoder.file(keys=[encoder.key_value("a\n", U32, 1)]), "control characters"),
        (encoder.file(keys=[encoder.key_value(b"\xff", U32, 1)]), "not UTF-8"),
        (encoder.file(keys=[encoder.key_value("k", STRING, b"\xff")]), "not UTF-8"),
        (encoder.file(keys=[encoder.key_value("k", ARRAY, (STRING, [b"ok", b"\xff"]))]), "string 1 .* not UTF-8"),
        (encoder.file(keys=[encoder.key_value("k", BOOL, 2)]), "bool"),
        (encoder.file(keys=[encoder.key_value("k", ARRAY, (BOOL, [0, 3]))]), "bool"),
        (encoder.file(keys=[encoder.text("k") + struct.pack("<I", 13) + bytes(8)]), "unknown value type 13"),
        (encoder.file(keys=[encoder.text("k") + struct.pack("<IIQ", ARRAY, 13, 0)]), "unknown type 13"),
        (encoder.file(keys=[encoder.text("k") + struct.pack("<IIQ", ARRAY, U8, 2**62)]), "states"),
        (encoder.file(keys=[encoder.text("k") + struct.pack("<IIQ", ARRAY, STRING, 50)]), "states 50 array elements"),
        (encoder.file(keys=[encoder.text("k") + struct.pack("<IIQ", ARRAY, ARRAY, 2**60)]), "states"),
        (
            encoder.file(keys=[encoder.text("k") + struct.pack("<IIQ", ARRAY, STRING, 2) + lying(2**40) + bytes(99)]),
            "string 0 of an array",
        ),
        (
            encoder.file(
                keys=[encoder.text("k") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 6 + bytes(64)]
            ),
            "nest",
        ),
        (encoder.file(keys=[encoder.key_value("general.alignment", U32, 0)]), "power of two"),
        (encoder.file(keys=[encoder.key_value("general.alignment", U32, 48)]), "power of two"),
        (encoder.file(keys=[encoder.key_value("general.alignment", STRING, "32")]), "power of two"),
        (a_file(name=""), "control characters"),
        (a_file(name="a\x00"), "control characters"),
        (a_file(dimensions=(1, 1, 1, 1, 8)), "5 dimensions"),
        (a_file(dimensions=(2**40, 2**40)), "more elements"),
        (a_file(dimensions=(9,)), "but the file"),
        (a_file(kind=4), "unknown ggml type 4"),
        (a_file(kind=999), "unknown ggml type 999"),
        (a_file(kind=Q8_0, dimensions=(16,)), "no multiple of Q8_0's block of 32"),
        (a_file(kind=Q4_K, dimensions=(32, 8)), "no multiple of Q4_K's block of 256"),
        (a_file(offset=8), "no multiple of 32"),
        (a_file(offset=32), "but the file"),
        (a_file(offset=2**63), "but the file"),
        (a_file(dimensions=(8, 0), offset=32), "32 bytes before it"),
        (a_file(dimensions=(0,)), "last 32 bytes belong to no tensor"),
    ],
)
def test_unsound_files_are_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(HeaderError, match=message) as caught:
        parse(data)
    assert caught.value.place.startswith("m.gguf")
    assert str(caught.value).isprintable()


def two_tensors(name: str, offset: int) -> bytes:
    infos = [encoder.tensor_info("a", (8,), F32, 0), encoder.tensor_info(name, (8,), F32, offset)]
    return encoder.file(tensors=infos, data=bytes(128))


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(HeaderError, match="two tensors have this name"):
        parse(two_tensors("a", 32))


def test_overlapping_tensors_are_refused() -> None:
    with pytest.raises(HeaderError, match="overlap") as caught:
        parse(two_tensors("b", 0))
    assert "tensor 'b'" in caught.value.place


def test_bytes_between_tensors_are_refused() -> None:
    with pytest.raises(HeaderError, match="64 bytes before it"):
        parse(two_tensors("b", 96))


def test_the_stated_alignment_holds() -> None:
    keys = [encoder.key_value("general.alignment", U32, 128)]
    infos = [encoder.tensor_info("a", (3,), F32, 0), encoder.tensor_info("b", (), F32, 128)]
    data = encoder.file(keys, infos, bytes(128 + 4), alignment=128)
    header = parse(data)
    assert header.alignment == 128
    assert [(t.name, t.shape, t.size_bytes) for t in header.tensors] == [("a", (3,), 12), ("b", (), 4)]
    assert header.data_offset % 128 == 0


def test_a_prefix_that_ends_inside_the_header_asks_for_more() -> None:
    data = encoder.file(
        [encoder.key_value("k", ARRAY, (STRING, ["token"] * 20)), encoder.key_value("n", ARRAY, (U64, [1] * 9))],
        [encoder.tensor_info("a", (8,), F32, 0)],
        bytes(32),
    )
    whole = parse(data)
    needed = len(data) - 32
    for length in range(needed):
        try:
            header = parse_header(data[:length], len(data), file="m.gguf")
        except CutOffError:
            continue
        # Only the padding in front of the tensors may be left out.
        assert header == whole
        assert needed - length < 32


def test_elements_of_all_arrays_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "MAX_ARRAY_ELEMENTS", 10)
    keys = [encoder.key_value(key, ARRAY, (U8, [1] * 6)) for key in "ab"]
    with pytest.raises(HeaderError, match="array elements") as caught:
        parse(encoder.file(keys))
    assert caught.value.place == "m.gguf: key 'b'"
