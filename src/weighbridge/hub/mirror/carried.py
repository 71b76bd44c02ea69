"""Refs that come from another hub."""

from dataclasses import dataclass
from typing import Final

from weighbridge.errors import InputError
from weighbridge.hub.git.paths import check_ref, is_oid, shown

PREFIXES: Final = ("refs/heads/", "refs/tags/")
MAX_REFS: Final = 200_000


class CarriedRefError(InputError):
    """Something that comes as a branch or tag is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedRef:
    """A branch or tag: its full name, what it names (a commit or an annotated tag), and the commit at the end."""

    name: str
    oid: str
    commit_oid: str

    def __post_init__(self) -> None:
        check_ref(self.name)
        if not self.name.startswith(PREFIXES) or not is_oid(self.oid) or not is_oid(self.commit_oid):
            raise CarriedRefError("this is neither a branch nor a tag of a commit", place=shown(self.name))
