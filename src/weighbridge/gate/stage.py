"""Where a version stands, and the moves that are open to it: one table."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from weighbridge.errors import RefusedError


class Stage(StrEnum):
    """Where a version stands. Who may read it follows from this."""

    INTERNAL = "internal"
    """Only the organisation that made it."""
    TRUSTED = "trusted"
    """Named partners."""
    GATED = "gated"
    """Whoever agreed to the conditions."""
    OPEN = "open"
    """Everyone. Open weights cannot be called back: no move leads from here to a narrower circle."""
    SUPERSEDED = "superseded"
    """Still readable, but a better version took its place."""
    RECALLED = "recalled"
    """Do not use. The end of the road."""


class Needs(StrEnum):
    """What a move needs."""

    VERDICT = "verdict"
    """A passing verdict for the stage that is entered."""
    NOTICE = "notice"
    """A reason that its users are told; nothing has to be measured."""


def _moves(**targets: Needs) -> Mapping[Stage, Needs]:
    return MappingProxyType({Stage(name): needs for name, needs in targets.items()})


TRANSITIONS: Mapping[Stage, Mapping[Stage, Needs]] = MappingProxyType(
    {
        Stage.INTERNAL: _moves(trusted=Needs.VERDICT, gated=Needs.VERDICT, open=Needs.VERDICT),
        Stage.TRUSTED: _moves(gated=Needs.VERDICT, open=Needs.VERDICT, superseded=Needs.NOTICE, recalled=Needs.NOTICE),
        Stage.GATED: _moves(open=Needs.VERDICT, superseded=Needs.NOTICE, recalled=Needs.NOTICE),
        Stage.OPEN: _moves(superseded=Needs.NOTICE, recalled=Needs.NOTICE),
        Stage.SUPERSEDED: _moves(recalled=Needs.NOTICE),
        Stage.RECALLED: _moves(),
    }
)

GUARDED: tuple[Stage, ...] = (Stage.TRUSTED, Stage.GATED, Stage.OPEN)
"""The stages that a policy guards, from the narrowest circle to the widest."""


def requirement(current: Stage, target: Stage) -> Needs:
    """Say what the move from `current` to `target` needs.

    Raises:
        RefusedError: if the table has no such move.
    """
    moves = TRANSITIONS[current]
    if target not in moves:
        ways = ", ".join(moves) or "nowhere"
        raise RefusedError(
            f"a version that is {current} cannot become {target}",
            hint=f"From {current} a version can go: {ways}.",
        )
    return moves[target]
