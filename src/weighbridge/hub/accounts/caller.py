"""Who makes a request, as a value."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a fine-grained token may do to one entity, in the Hub's words.

    Attributes:
        entity_type: `user`, `org`, `model`, `dataset`, `space` or `bucket`.
        entity_name: `alice`, or `alice/model`.
        permissions: of `repo.content.read`, `repo.write`, `repo.access.read`, `discussion.write`, `org.read`,
            `org.write`.
    """

    entity_type: str
    entity_name: str
    permissions: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request, by which token.

    Attributes:
        user_id: the account; None for nobody in particular.
        name: of the account.
        is_admin: whether this user runs the hub.
        orgs: role by organisation's id (`read`, `contributor`, `write`, `admin`).
        token_id: the token.
        token_name: as its owner named it.
        grant: `read`, `write` or `fineGrained`.
        scopes: of a fine-grained token.
    """

    user_id: int | None = None
    name: str = ""
    is_admin: bool = False
    orgs: tuple[tuple[int, str], ...] = ()
    token_id: int | None = None
    token_name: str = ""
    grant: str = ""
    scopes: tuple[Scope, ...] = ()

    anonymous: ClassVar["Caller"]

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is logged in."""
        return self.user_id is None


Caller.anonymous = Caller()
