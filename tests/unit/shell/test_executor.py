"""The local executor keeps order, bounds what runs ahead, and does not lock itself up."""

import threading
from collections.abc import Iterator

import pytest

from weighbridge.shell.executor import LocalExecutor


def test_map_and_stream_keep_the_order() -> None:
    with LocalExecutor(2) as executor:
        assert executor.map(lambda x: x * x, range(10)) == [x * x for x in range(10)]
        assert list(executor.stream(lambda x: -x, range(10), ahead=3)) == [-x for x in range(10)]


def test_parts_may_stream() -> None:
    with LocalExecutor(2) as executor:
        done = executor.map(lambda n: sum(executor.stream(lambda x: x, range(n), ahead=2)), range(8))
    assert done == [sum(range(n)) for n in range(8)]


def test_stream_takes_no_more_than_it_may_hold() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    with LocalExecutor(2) as executor:
        stream: Iterator[int] = executor.stream(lambda x: x, items(), ahead=3)
        next(stream)
        assert taken <= 4


def test_an_error_of_a_part_is_raised() -> None:
    lock = threading.Lock()

    def fail(number: int) -> int:
        with lock:
            if number == 3:
                raise ValueError("part three")
        return number

    with LocalExecutor(2) as executor, pytest.raises(ValueError, match="part three"):
        executor.map(fail, range(5))
