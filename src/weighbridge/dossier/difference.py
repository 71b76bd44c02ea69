"""One difference between two releases, and what is added to or missing from a list."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

AREAS = ("terms", "evidence", "contents", "openness", "texts")
NONE_STATED = "not stated"

_MAX_LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that differs.

    Attributes:
        area: one of `AREAS`.
        text: what differs, a sentence.
        before, after: how it is in the first and in the second release; `not stated` where one says nothing.
        worse: whether the second is worse for whoever uses it; None where that cannot be said.
    """

    area: str
    text: str
    before: str
    after: str
    worse: bool | None = None

    def __post_init__(self) -> None:
        if self.area not in AREAS:
            raise ValueError(f"{self.area!r} is not one of {', '.join(AREAS)}")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {name: getattr(self, name) for name in ("area", "text", "before", "after", "worse")}


def differ(area: str, what: str, before: str, after: str, *, worse: bool | None = None) -> Iterator[Change]:
    """Yield that `what` changed, if it did."""
    if before == after:
        return
    verb = "is no longer stated" if not after else "is stated now" if not before else "changed"
    yield Change(
        area=area, text=f"{what} {verb}.", before=before or NONE_STATED, after=after or NONE_STATED, worse=worse
    )


def listed(
    area: str,
    what: str,
    before: Iterable[str],
    after: Iterable[str],
    *,
    added_is_worse: bool | None = None,
) -> Iterator[Change]:
    """Yield what was added to a list and what was taken from it; of a long list, the rest as a count.

    Args:
        area: the area.
        what: what an item is, such as "The duty".
        before, after: the items in words.
        added_is_worse: whether an item more is worse and one less is better; None if neither.
    """
    old, new = dict.fromkeys(before), dict.fromkeys(after)
    gone, come = [item for item in old if item not in new], [item for item in new if item not in old]
    for items, added, verb in ((gone, False, "is gone"), (come, True, "is new")):
        worse = None if added_is_worse is None else added is added_is_worse
        for item in items[:_MAX_LISTED]:
            states = ("no", "yes") if added else ("yes", "no")
            yield Change(area=area, text=f"{what} {item!r} {verb}.", before=states[0], after=states[1], worse=worse)
        if (rest := len(items) - _MAX_LISTED) > 0:
            text = f"{what}: {rest} more {'are new' if added else 'are gone'}."
            yield Change(area=area, text=text, before=str(len(old)), after=str(len(new)), worse=worse)


def keyed(area: str, what: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Yield how the values of two mappings differ; a key that one of them lacks is not stated there."""
    for key in dict.fromkeys((*before, *after)):
        yield from differ(area, f"{what} {key!r}", before.get(key, ""), after.get(key, ""))
