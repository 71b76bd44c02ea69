"""The local executor: threads on all cores. The work that it is given releases the GIL."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class LocalExecutor:
    """Runs parts on the threads of this process.

    Use as a context manager. Parts given to `map` may call `stream`, so the two have threads of their own: a part
    that waited for a thread which it holds itself would wait for ever.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._parts = ThreadPoolExecutor(self.workers, "part")
        self._blocks = ThreadPoolExecutor(self.workers, "block")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Blocks first: a part that waits for one, or asks for another, ends there and not at the end of its file.
        self._blocks.shutdown(wait=False, cancel_futures=True)
        self._parts.shutdown(cancel_futures=True)
        self._blocks.shutdown()

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return `function` of every item, in order; the first error that a part raises is raised."""
        return list(self._parts.map(function, items))

    def stream(self, function: Callable[[T], R], items: Iterable[T], *, ahead: int) -> Iterator[R]:
        """Yield `function` of every item, in order, working on at most `ahead` items before they are asked for."""
        pending: deque[Future[R]] = deque()
        for item in items:
            pending.append(self._blocks.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
