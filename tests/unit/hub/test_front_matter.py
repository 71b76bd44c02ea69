"""What a README's front matter may do: say things, and nothing else."""

import json
import time

import pytest

from weighbridge.hub.repositories.front_matter import MAX_BYTES, clean, parse, split


def _card(matter: str) -> str:
    return f"---\n{matter}\n---\nbody\n"


def test_values_are_those_of_json() -> None:
    assert parse(_card("a: 1\nb: [x, 2.5, true, null]\nc: {d: e}\n1: f")) == {
        "a": 1,
        "b": ["x", 2.5, True, None],
        "c": {"d": "e"},
        "1": "f",
    }


def test_norwegian_is_a_language_and_a_date_is_text() -> None:
    assert parse(_card("language: [no, en, on]\ndate: 2024-05-01\nat: 2024-05-01 10:00:00")) == {
        "language": ["no", "en", "on"],
        "date": "2024-05-01",
        "at": "2024-05-01 10:00:00",
    }


def test_the_text_after_it_is_kept_apart() -> None:
    assert split("---\na: 1\n---\ntext\n---\nmore") == ("a: 1", "text\n---\nmore")
    assert split("---\r\na: 1\r\n---\r\ntext") == ("a: 1", "text")
    assert split("\ufeff---\na: 1\n---") == ("a: 1", "")
    assert split("# no front matter\n---\n") == ("", "# no front matter\n---\n")


@pytest.mark.parametrize(
    "matter",
    [
        "a: &x [1]\nb: *x",
        "a: !!python/object/apply:os.system [id]",
        "a: !!python/name:os.system",
        "[" * 200_000,
        "a: " + "[" * 30 + "]" * 30,
        "a: " + "9" * 5000,
        "a: [",
        "a: 1\n a: 2",
        "- a\n- list",
        "x\n" * MAX_BYTES,
        "a: [" + "1," * 30_000 + "]",
        "!!set {a, b}",
        "a: !!binary '///'",
        "\x00",
        "? [a]\n: b",
    ],
)
def test_what_is_no_card_says_nothing(matter: str) -> None:
    started = time.monotonic()
    found = parse(_card(matter))
    assert time.monotonic() - started < 5
    assert all(isinstance(value, str | int | type(None)) for value in found.values())
    json.dumps(found, allow_nan=False)


def test_no_number_is_one_that_json_lacks() -> None:
    assert parse(_card("a: .nan\nb: -.inf\nc: 123456789012345678901234567890")) == {
        "a": None,
        "b": None,
        "c": "123456789012345678901234567890",
    }


def test_text_is_freed_of_what_databases_refuse() -> None:
    assert clean("a\0b\ud800c") == "ab?c"
    assert parse(_card('a: "x\\0y"')) == {"a": "xy"}
