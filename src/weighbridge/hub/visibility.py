"""Who may find and download a version on a hub of the Hugging Face kind: one table, from the stage that it is in."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from weighbridge.gate.stage import Stage

Gate = Literal["auto", "manual"] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """The settings of a repository.

    Attributes:
        private: whether only its owner, or the owner's organisation, finds it.
        gate: `auto` gives the files to whoever asks and agrees, `manual` to whom the owner accepts; None to everyone
            who finds it.
    """

    private: bool
    gate: Gate = None


VISIBILITY: Mapping[Stage, Visibility] = MappingProxyType(
    {
        Stage.INTERNAL: Visibility(private=True),
        Stage.TRUSTED: Visibility(private=True, gate="manual"),
        Stage.GATED: Visibility(private=False, gate="auto"),
        Stage.OPEN: Visibility(private=False),
    }
)
"""A superseded version stays as visible as it was. A recalled one stays as findable, and is given out to nobody new."""


def recalled_from(current: Visibility) -> Visibility:
    """Return the settings of a repository whose version was recalled: its card is read, its files are not given out."""
    return Visibility(private=current.private, gate="manual")
