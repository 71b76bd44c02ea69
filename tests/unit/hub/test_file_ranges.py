"""Ranges and conditions of requests for files, and the names under which they are saved."""

import pytest

from weighbridge.hub.content.send import disposition
from weighbridge.hub.http.ranges import is_current, is_refused, wanted_range
from weighbridge.hub.http.refusal import Refusal


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-700", (0, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=9-3", None),
        ("bytes=0-1,4-5", None),
        ("items=0-1", None),
        ("bytes=-", None),
        ("bytes=٣-٥", None),
        ("bytes=0-99999999999999999999999", None),
    ],
)
def test_a_range_is_what_the_standard_says(header: str, expected: tuple[int, int] | None) -> None:
    assert wanted_range({"Range": header}, "tag", 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-101", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(Refusal) as refused:
        wanted_range({"Range": header}, "tag", 100)
    assert (refused.value.status, refused.value.headers["Content-Range"]) == (416, "bytes */100")


def test_conditions_compare_tags() -> None:
    assert is_current({"If-None-Match": 'W/"a", "tag"'}, "tag")
    assert is_current({"If-None-Match": "*"}, "tag")
    assert not is_current({"If-None-Match": '"tags"'}, "tag")
    assert not is_current({}, "tag")
    assert is_refused({"If-Match": '"other"'}, "tag")
    assert is_refused({"If-Match": 'W/"tag"'}, "tag")
    assert not is_refused({"If-Match": '"other", "tag"'}, "tag")
    assert not is_refused({"If-Match": "*"}, "tag")


@pytest.mark.parametrize("name", ['a"b', "a\r\nSet-Cookie: x", "a;b=c", "é中.txt", "\udcff", "a\\b", "x" * 300])
def test_a_file_name_stays_within_its_header(name: str) -> None:
    said = disposition(name)
    assert said.isascii()
    assert said.isprintable()
    assert said.count('"') == 2
    assert said.count(";") == 2
