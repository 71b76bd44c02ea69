import json

import pytest

from weighbridge.checkpoint.document import parse_object
from weighbridge.errors import CheckpointError, HeaderError


def parse(data: bytes, *, max_depth: int = 4, max_values: int = 1000) -> object:
    return parse_object(data, place="config.json", max_depth=max_depth, max_values=max_values)


def test_an_object_is_returned() -> None:
    assert parse(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a":' * 5 + b"1" + b"}" * 5, "nested more than 4"),
        (b"[" * 200_000, "nested more than 4"),
        (b'{"a":"\\"[[[[[[","b":[[[[1]]]]}', "nested more than 4"),
        (b'{"a":"\\\\","b":[[[[[1]]]]]}', "nested more than 4"),
        (b'{"a":[' + b"0," * 2000 + b"0]}", "more than 1,000 values"),
        (b'{"a":1,"a":2}', "occurs twice"),
        (b'{"x":{"a":1,"b":1,"a":2}}', "occurs twice"),
        (b"[1]", "not an object"),
        (b'{"a":', "not valid JSON"),
        (b"", "not valid JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":' + b"9" * 10_000 + b"}", "not valid JSON"),
    ],
)
def test_unsound_text_is_refused_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        parse(data)
    assert caught.value.place == "config.json"


@pytest.mark.parametrize("content", ["[[[[[[", "}}}}", '"[', "\\[[[[[[[", "\\\\", ",,,,", '\\\\\\"[[[[['])
def test_brackets_inside_strings_do_not_count(content: str) -> None:
    data = json.dumps({content: [content]}).encode()
    assert parse(data) == {content: [content]}


def test_brackets_count_across_scan_borders() -> None:
    padding = b" " * ((1 << 20) - 4)
    with pytest.raises(CheckpointError, match="nested"):
        parse(b'{"a"' + padding + b":[[[[[1]]]]]}")
    long_string = "[" * (1 << 20) + '"' + "[" * (1 << 20)
    assert parse(json.dumps({"a": long_string}).encode()) == {"a": long_string}


def test_the_kind_of_error_can_be_chosen() -> None:
    with pytest.raises(HeaderError):
        parse_object(b"[]", place="x", max_depth=4, max_values=10, error=HeaderError)
