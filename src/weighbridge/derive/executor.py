"""The port through which steps run their independent parts."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs independent parts of a step, here or elsewhere."""

    @property
    def workers(self) -> int:
        """How many parts run at once."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return `function` of every item, in order; the first error that a part raises is raised."""

    def stream(self, function: Callable[[T], R], items: Iterable[T], *, ahead: int) -> Iterator[R]:
        """Yield `function` of every item, in order, working on at most `ahead` items before they are asked for."""
