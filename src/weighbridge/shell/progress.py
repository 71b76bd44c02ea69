"""Telling people what is being done and how long it may take."""

from collections.abc import Callable
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Shows one thing at a time; beginning the next ends the one before."""

    def begin(self, text: str, total: int | None = None, *, unit: str = "bytes") -> Advance:
        """Say that `text` is being done; `total` is its size in `unit` (`bytes` or a plural noun), if known."""

    def note(self, text: str) -> None:
        """Say something that stays on the screen."""
