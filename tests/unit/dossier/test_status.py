"""A status says what a publisher says about a version, in one strict form."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from weighbridge.dossier.status import MAX_STATUS_BYTES, State, Status, StatusError

SINCE = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


def a_status(**changes: Any) -> Status:
    facts: dict[str, Any] = {
        "name": "acme/one",
        "digest": "a" * 64,
        "subject": "b" * 64,
        "state": State.RECALLED,
        "since": SINCE,
        "circle": "open",
        "reason": "It repeats private addresses.\nStop using it.",
        "successor": "acme/two",
        "advisory": "x_acme-2026-0001",
    }
    return Status(**{**facts, **changes})


def encoded(**changes: Any) -> bytes:
    return json.dumps({**a_status().to_json(), **changes}).encode()


def test_a_status_comes_back_as_it_was_written_and_always_as_the_same_bytes() -> None:
    for status in (a_status(), a_status(state=State.ACTIVE, reason="", successor="", advisory="", subject="")):
        assert Status.from_bytes(status.to_bytes(), place="x") == status
        assert Status.from_bytes(status.to_bytes(), place="x").to_bytes() == status.to_bytes()


def test_a_moment_is_written_in_utc() -> None:
    elsewhere = a_status(since=SINCE.astimezone(timezone(timedelta(hours=9))))
    assert elsewhere.to_json()["since"] == "2026-11-22T09:30:00Z"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "../one"}, "name"),
        ({"name": "one"}, "name"),
        ({"digest": "A" * 64}, "digest"),
        ({"digest": "a" * 63}, "digest"),
        ({"subject": "x"}, "subject"),
        ({"state": "fine"}, "state cannot be"),
        ({"since": "yesterday"}, "not a time"),
        ({"since": "2026-11-22T09:30:00+00:00"}, "not a time"),
        ({"since": "2026-2-2T09:30:00Z"}, "not a time"),
        ({"circle": "../x"}, "circle"),
        ({"successor": "acme/two; rm"}, "successor"),
        ({"advisory": "../../x"}, "advisory"),
        ({"reason": "\x1b[2J"}, "plain text"),
        ({"reason": "x" * 4001}, "at most 4000"),
        ({"reason": " "}, "must say why"),
        ({"reason": None}, "exactly these texts"),
        ({"schema": "https://weighbridge.dev/schema/status/v2"}, "schema"),
        ({"more": "x"}, "exactly these texts"),
    ],
)
def test_another_shape_is_refused_with_its_place(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(StatusError, match=expected) as caught:
        Status.from_bytes(encoded(**changes), place="here")
    assert caught.value.place == "here"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"name": "a/b", "name": "a/c"}',
        b"[" * 10_000,
        b'{"a":' * 1000,
        b" " * (MAX_STATUS_BYTES + 1),
        b"\xff",
        encoded()[:-1],
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StatusError):
        Status.from_bytes(data, place="here")


def test_states_are_ordered_by_how_bad_they_are() -> None:
    assert [state.severity for state in (State.ACTIVE, State.DEPRECATED, State.RECALLED)] == [0, 1, 2]


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(StatusError, match="time zone"):
        a_status(since=SINCE.replace(tzinfo=None))
