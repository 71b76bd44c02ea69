"""Many values in statements that each hold some of them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

BATCH: Final = 500
"""So many values fit the parameters of one statement of any database, several columns of them included."""

T = TypeVar("T")


def batches(items: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Yield the items in lists of up to `size`."""
    iterator = iter(items)
    while part := list(islice(iterator, size)):
        yield part
