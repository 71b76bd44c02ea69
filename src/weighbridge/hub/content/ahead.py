"""Work that is done ahead of whoever uses its results, in their order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")


def ahead(pool: Executor, jobs: Iterable[Callable[[], T]], *, depth: int) -> Iterator[T]:
    """Yield the result of each job, one after another, while up to `depth` further ones are done in the pool.

    Raises what a job raises, in its turn.
    """
    waiting: deque[Future[T]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
