"""Whether everything that states a licence of one model states the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from weighbridge.errors import InputError
from weighbridge.terms.expression import parse
from weighbridge.terms.registry import Registry, registry

_SAY_NOTHING = frozenset({"", "other", "unknown", "noassertion", "none", "n/a"})
"""What is written where no licence is named: it agrees with everything."""

_MAX_SHOWN = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A licence that something states.

    Attributes:
        place: where, for example `README.md` or `model.gguf: general.license`.
        license: SPDX expression, name on cards, or id of the recognised text.
    """

    place: str
    license: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Two places that state different licences, in words.

    Attributes:
        first, second: the places.
        message: what they state.
        sure: whether they are known to differ; a name that is not known here may be another one of the same licence.
    """

    first: str
    second: str
    message: str
    sure: bool = True


def disagreements(statements: Sequence[Stated], *, known: Registry | None = None) -> tuple[Disagreement, ...]:
    """Compare every statement with the first one, in the order given.

    Different names of one licence agree. An expression agrees with an equal one only. A name that cannot be read
    agrees with itself only; nothing else is compared if every place states the same words.

    Args:
        statements: the place that counts most first.
        known: the licences by name; those that ship with this version if None.
    """
    index = known if known is not None else registry()
    telling = [item for item in statements if item.license.strip().lower() not in _SAY_NOTHING]
    if not telling:
        return ()
    first = telling[0]
    mine, readable = _meaning(first.license, index)
    found: list[Disagreement] = []
    for item in telling[1:]:
        theirs, also_readable = _meaning(item.license, index)
        if theirs != mine:
            unread = [x for x, ok in ((first, readable), (item, also_readable)) if not ok]
            message = _message(first, item, unread)
            found.append(Disagreement(first=first.place, second=item.place, message=message, sure=not unread))
    return tuple(found)


def _meaning(text: str, index: Registry) -> tuple[str, bool]:
    """Return a form in which equal licences are equal, and whether every name in it is known."""
    try:
        expression = parse(text, index)
    except InputError:
        return " ".join(text.lower().split()), False
    return expression.text.lower(), all(leaf.licence is not None for leaf in expression.leaves)


def _message(first: Stated, second: Stated, unread: Sequence[Stated]) -> str:
    said = f"{first.place} states {_shown(first)}, and {second.place} states {_shown(second)}"
    if not unread:
        return f"{said}: they are different licences"
    names = " and ".join(_shown(item) for item in unread)
    return f"{said}: whether they are the same cannot be read, as {names} is no licence known to this version"


def _shown(item: Stated) -> str:
    return repr(item.license.strip()[:_MAX_SHOWN])
