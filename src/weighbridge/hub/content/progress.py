"""Telling whoever waits what long upkeep does."""

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Shows one thing at a time; beginning the next ends the one before."""

    def begin(self, text: str, total: int | None = None, *, unit: str = "bytes") -> Callable[[int], None]:
        """Say that `text` is being done, and return what takes the amounts done."""
        ...


class Silent:
    """A `Progress` that nobody watches."""

    def begin(self, text: str, total: int | None = None, *, unit: str = "bytes") -> Callable[[int], None]:
        """Do nothing."""
        return lambda amount: None
