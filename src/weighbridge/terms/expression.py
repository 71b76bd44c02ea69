"""SPDX licence expressions over the licences that are known here: parsed, and put into one normal form.

The grammar is annex B of SPDX 3.0.1; operators are read without regard to case, as cards write them.
"""

import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from weighbridge.errors import InputError
from weighbridge.terms.exception import only_adds, without_additions
from weighbridge.terms.fact import Licence
from weighbridge.terms.registry import Registry

MAX_LENGTH = 2_000
MAX_TOKENS = 100
MAX_DEPTH = 32
MAX_BRANCHES = 64

NOT_STATED = "LicenseRef-not-stated"
"""Stands in an expression for the licence of a work that states none."""

_TOKEN = re.compile(r"\s*(?:([()])|([A-Za-z0-9][A-Za-z0-9.:+_-]*)|(\S))")
_OPERATORS = ("and", "or", "with")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\+?\Z")
_VERSION = re.compile(r"(?P<family>.+?)-(?P<version>\d+(?:\.\d+)*)(?P<mode>-only|-or-later|\+)?\Z")
_HINT = "Write an SPDX expression, such as `Apache-2.0` or `MIT AND llama3.2`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One licence in an expression.

    Attributes:
        expression: what SPDX calls it, with its exception or `+`.
        licence: its facts; None if it is not known.
        stated: the name that was read.
    """

    expression: str
    licence: Licence | None = field(compare=False)
    stated: str = field(compare=False)

    @property
    def id(self) -> str:
        """Its id, or its expression if it is not known."""
        return self.expression if self.licence is None else self.licence.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """An expression in disjunctive normal form.

    Attributes:
        text: the normal form: every name as SPDX spells it, parts sorted and unique.
        branches: alternatives, any one of which may be taken; the licences of a branch hold together.
    """

    text: str
    branches: tuple[tuple[Leaf, ...], ...]

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every licence that it names, sorted and unique."""
        return _unique(itertools.chain.from_iterable(self.branches))


def parse(text: str, registry: Registry, *, place: str = "") -> Expression:
    """Read an expression, or a name that cards and headers use.

    Args:
        text: as stated.
        registry: the licences that are known; other names are kept, with `Leaf.licence` None.
        place: where it stands, for errors.

    Raises:
        InputError: if it is empty, follows no grammar, or is too long, too deep or has too many alternatives.
    """
    if len(text) > MAX_LENGTH:
        raise _refuse(f"a licence of more than {MAX_LENGTH:,} characters", place)
    if licence := registry.get(text):
        return _of((Leaf(expression=licence.expression, licence=licence, stated=text.strip()),))
    words = _tokens(text, place)
    tree = _parse_words(words, place)
    branches = _branches(tree, registry, place)
    return Expression(text=_text(branches), branches=branches)


def unreadable(text: str) -> Expression:
    """Return the expression that stands for a licence that is not stated, or whose name follows no grammar."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:80]
    name = f"LicenseRef-{slug}" if slug else NOT_STATED
    return _of((Leaf(expression=name, licence=None, stated=text.strip()),))


def join(expressions: Iterable[Expression]) -> str:
    """Return the AND of expressions in their normal form: sorted, unique; alternatives in brackets."""
    parts: set[str] = set()
    for expression in expressions:
        if len(expression.branches) == 1:
            parts |= {leaf.expression for leaf in expression.branches[0]}
        else:
            parts.add(expression.text)
    ordered = sorted(parts)
    return ordered[0] if len(ordered) == 1 else " AND ".join(f"({p})" if " OR " in p else p for p in ordered)


def keeps(declared: Leaf, inherited: Leaf) -> bool:
    """Say whether declaring `declared` keeps `inherited`: the same, or what `inherited` itself lets one choose.

    An exception that only adds permissions may be left away, and "or later" may be narrowed to a later version.
    """
    if declared.expression == inherited.expression:
        return True
    base = without_additions(inherited.expression)
    if declared.expression == base:
        return True
    mine, theirs = _VERSION.match(declared.expression), _VERSION.match(base)
    if mine is None or theirs is None or mine["family"] != theirs["family"]:
        return False
    if theirs["mode"] not in ("-or-later", "+"):
        return False
    return _numbers(mine["version"]) >= _numbers(theirs["version"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _tokens(text: str, place: str) -> tuple[tuple[str, int], ...]:
    """Return (word, position) pairs; bound their number and nesting before anything is parsed."""
    found: list[tuple[str, int]] = []
    depth = 0
    for match in _TOKEN.finditer(text.rstrip()):
        word, position = match[match.lastindex or 0], match.start(match.lastindex or 0)
        if match[3]:
            raise _refuse(f"{word!r} at character {position + 1} does not belong in a licence expression", place)
        depth += (word == "(") - (word == ")")
        if depth > MAX_DEPTH or len(found) == MAX_TOKENS:
            raise _refuse(f"nested or long beyond reason at character {position + 1}", place)
        if word == ")" and (depth < 0 or found[-1][0] == "("):
            raise _refuse(f"the bracket at character {position + 1} closes nothing", place)
        found.append((word, position))
    if not found:
        raise _refuse("no licence is stated", place)
    if depth:
        raise _refuse("a bracket is not closed", place)
    return tuple(found)


def _parse_words(words: Sequence[tuple[str, int]], place: str) -> Any:
    """Return the tree that license_expression makes of the tokens."""
    from license_expression import ExpressionError, Licensing  # type: ignore[import-untyped]

    joined = " ".join(word.upper() if word.lower() in _OPERATORS else word for word, _ in words)
    try:
        # The simple tokeniser keeps names as they are; ours may be none that the library's own index has.
        return Licensing([]).parse(joined, simple=True)
    except ExpressionError as error:
        position = getattr(error, "position", -1)
        at = _place_of(words, position) if isinstance(position, int) and position >= 0 else ""
        what = str(error).partition(" for token")[0]
        raise _refuse(f"not a licence expression{at}: {what}", place) from error


def _place_of(words: Sequence[tuple[str, int]], joined_position: int) -> str:
    start = 0
    for word, position in words:
        if start >= joined_position:
            return f", at character {position + 1}"
        start += len(word) + 1
    return ""


def _branches(tree: Any, registry: Registry, place: str) -> tuple[tuple[Leaf, ...], ...]:
    """Return the disjunctive normal form of a tree of license_expression."""
    kind = type(tree).__name__
    if kind == "OR":
        found = [branch for part in tree.args for branch in _branches(part, registry, place)]
    elif kind == "AND":
        found = [()]
        for part in tree.args:
            alternatives = _branches(part, registry, place)
            if len(found) * len(alternatives) > MAX_BRANCHES:
                raise _refuse(f"more than {MAX_BRANCHES} alternatives", place)
            found = [_unique((*before, *branch)) for before in found for branch in alternatives]
    else:
        found = [(_leaf(str(tree), registry),)]
    if len(found) > MAX_BRANCHES:
        raise _refuse(f"more than {MAX_BRANCHES} alternatives", place)
    return tuple(branch for _, branch in sorted({_branch_text(branch): branch for branch in found}.items()))


def _leaf(name: str, registry: Registry) -> Leaf:
    """Return the licence that `name` stands for, with its exception or `+` where the index lacks the whole.

    With an exception that does more than add permissions it is another licence, whose facts nobody knows.
    """
    base, _, exception = name.partition(" WITH ")
    suffix = f" WITH {_spdx_name(exception)}" if exception else ""
    parts = ((base, suffix), *_later(base, suffix)) if not exception or only_adds(exception) else ()
    for candidate, kept in ((name, ""), *parts):
        if licence := registry.get(candidate):
            return Leaf(expression=licence.expression + kept, licence=licence, stated=name)
    return Leaf(expression=_spdx_name(base) + suffix, licence=None, stated=name)


def _later(base: str, suffix: str) -> tuple[tuple[str, str], ...]:
    """Return what `X+` may be known as: the GPL's `X-or-later`, or X itself with the sign kept."""
    if not base.endswith("+"):
        return ()
    return (f"{base[:-1]}-or-later", suffix), (base[:-1], f"+{suffix}")


def _spdx_name(name: str) -> str:
    """Return a name that may stand in an SPDX expression: SPDX's own spelling, else a LicenseRef."""
    if known := _spdx_index().get(name.lower()):
        return known
    if name.endswith("+") and (known := _spdx_index().get(name[:-1].lower())):
        return f"{known}+"
    plain = name if _PLAIN.match(name) and not name.endswith("+") else re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
    return plain if plain.lower().startswith(("licenseref-", "additionref-")) else f"LicenseRef-{plain}"


@functools.cache
def _spdx_index() -> dict[str, str]:
    """Return lower-case name to SPDX's spelling, of every licence and exception on its list."""
    from license_expression import get_spdx_licensing

    symbols = get_spdx_licensing().known_symbols
    aliases = {alias.lower(): key for key, symbol in symbols.items() for alias in symbol.aliases}
    return aliases | {key.lower(): key for key in symbols}


def _of(branch: tuple[Leaf, ...]) -> Expression:
    return Expression(text=_text((branch,)), branches=(branch,))


def _text(branches: Sequence[tuple[Leaf, ...]]) -> str:
    if len(branches) == 1:
        return _branch_text(branches[0])
    return " OR ".join(f"({text})" if " AND " in text else text for text in map(_branch_text, branches))


def _branch_text(branch: tuple[Leaf, ...]) -> str:
    return " AND ".join(leaf.expression for leaf in branch)


def _unique(leaves: Iterable[Leaf]) -> tuple[Leaf, ...]:
    return tuple(leaf for _, leaf in sorted({leaf.expression: leaf for leaf in leaves}.items()))


def _refuse(message: str, place: str) -> InputError:
    return InputError(message, place=place, hint=_HINT)
