"""Whether a licence is open, and for which type of component it is written.

The rules are those of the Model Openness Framework's evaluator (https://github.com/lfai/model_openness_tool); the lists
lie in `licences.toml`. Whether a licence is OSI-approved or on the FSF's list is read from the registry as well.
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from weighbridge.errors import InputError
from weighbridge.terms.exception import without_additions
from weighbridge.terms.expression import Leaf, parse
from weighbridge.terms.openness.component import TYPES, UNLICENSED, load
from weighbridge.terms.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of a licence, or of an expression of several.

    Attributes:
        license: the expression, its identifiers spelt as on the SPDX list.
        known: whether every licence in it is known by name. What is not known is not open.
        open: whether the framework counts it as open.
        open_source: whether it is OSI-approved, on the FSF's list, or OpenMDW.
        osi: whether it is OSI-approved.
        types: the types of component that it is written for.
        why: why it is not open; empty if it is.
        warnings: what a reader should know about how it was counted.
    """

    license: str
    known: bool
    open: bool
    open_source: bool
    osi: bool
    types: frozenset[str]
    why: str = ""
    warnings: tuple[str, ...] = ()


@functools.cache
def _lists() -> dict[str, frozenset[str]]:
    data = load("licences.toml")
    by_type = {f"type-{name}": ids for name, ids in data.pop("type").items()}
    return {name: frozenset(ids) for name, ids in (data | by_type).items()}


@functools.cache
def _spelling() -> dict[str, str]:
    return {name.lower(): name for names in _lists().values() for name in names}


def standing(expression: str, registry: Registry) -> Standing:
    """Say where a licence stands.

    An expression is as open as all of its parts where it joins them with AND, and as the most open one where it
    offers them with OR; an exception (WITH) that only adds permissions changes nothing.

    Args:
        expression: SPDX expression or the name of a licence; empty for none.
        registry: the licences that are known by other names.
    """
    text = " ".join(expression.split())
    if not text or text.lower() == UNLICENSED:
        return _none()
    single = _single(text, registry)
    if single.known or " " not in text:
        return single
    return _expression(text, registry) or single


def _none() -> Standing:
    return Standing(
        license=UNLICENSED,
        known=True,
        open=False,
        open_source=False,
        osi=False,
        types=frozenset(),
        why="has no licence",
    )


def _single(name: str, registry: Registry) -> Standing:
    lists = _lists()
    licence = registry.get(name)
    stated = licence.id if licence else name
    identifier = _spelling().get(stated.lower()) if stated.isascii() else None
    spdx = identifier or (licence.id if licence else name)
    osi = spdx in lists["osi_approved"] or bool(licence and licence.osi_approved)
    model = spdx in lists["open_model"]
    free = osi or model or spdx in lists["fsf_libre_only"] or bool(licence and licence.fsf_libre)
    is_open = free or spdx in lists["open_content"]
    known = licence is not None or identifier is not None
    return Standing(
        license=spdx,
        known=known,
        open=is_open,
        open_source=free,
        osi=osi,
        types=frozenset(kind for kind in TYPES if model or _written_for(kind, spdx, osi=osi)),
        why="" if is_open else _not_open(spdx, known=known),
        warnings=(_later(spdx),) if spdx in lists["unknown_to_evaluator"] else (),
    )


def _written_for(kind: str, spdx: str, *, osi: bool) -> bool:
    return osi if kind == "code" else spdx in _lists()[f"type-{kind}"]


def _not_open(spdx: str, *, known: bool) -> str:
    if not known:
        return f"licence {spdx!r} is not known here, and counts as not open"
    if spdx in _lists()["misnamed_by_evaluator"]:
        return f"licence {spdx} does not count as open: the framework's evaluator lists it under another name"
    return f"licence {spdx} is not open"


def _later(spdx: str) -> str:
    return f"{spdx} counts as open here; the framework's own evaluator knows only OpenMDW-1.0 and does not count it yet"


def _expression(text: str, registry: Registry) -> Standing | None:
    """Return the standing of an expression of several licences; None if it is no expression."""
    try:
        branches = parse(text, registry).branches
    except InputError:
        return None
    found = [_all_of([_single(_base(leaf), registry) for leaf in branch]) for branch in branches]
    return max(found, key=lambda item: (item.open, item.open_source, item.osi, len(item.types), item.known))


def _base(leaf: Leaf) -> str:
    """Return the licence without an exception that only adds to what is allowed."""
    return leaf.licence.id if leaf.licence else without_additions(leaf.expression)


def _all_of(parts: list[Standing]) -> Standing:
    return Standing(
        license=" AND ".join(part.license for part in parts),
        known=all(part.known for part in parts),
        open=all(part.open for part in parts),
        open_source=all(part.open_source for part in parts),
        osi=all(part.osi for part in parts),
        types=frozenset.intersection(*(part.types for part in parts)),
        why="; ".join(_unique(part.why for part in parts if part.why)),
        warnings=_unique(warning for part in parts for warning in part.warnings),
    )


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
