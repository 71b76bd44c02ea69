"""The way in to a repository: by name, as a caller who may or may not know of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.database.schema import account, former_name, repository
from weighbridge.hub.http.refusal import repo_not_found

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space", "buckets": "bucket"}
GIT_KINDS = {plural: kind for plural, kind in KINDS.items() if kind != "bucket"}
"""Whose files have a history of commits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A row of the table `repository`, with its owner's name."""

    id: int
    kind: str
    owner_id: int
    owner_name: str
    owner_kind: str
    full_name: str
    visibility: str
    gated: str
    created_ms: int
    modified_ms: int
    downloads: int
    likes: int
    disabled_ms: int | None
    head: str | None
    card: Mapping[str, Any]
    pipeline_tag: str | None
    library_name: str | None
    parameters: int | None
    safetensors: Mapping[str, Any] | None
    gguf: Mapping[str, Any] | None
    used_storage_bytes: int
    settings: Mapping[str, Any]


COLUMNS = (
    *(repository.c[name] for name in Repository.__dataclass_fields__ if name not in ("owner_name", "owner_kind")),
    account.c.name.label("owner_name"),
    account.c.kind.label("owner_kind"),
)


def of_row(row: Row[Any]) -> Repository:
    """Return the row of a query for `COLUMNS` as a value."""
    return Repository(**row._mapping)


def find(
    connection: Connection, caller: Caller, kind: str, full_name: str, access: Access, *, lock: bool = False
) -> Repository:
    """Return the repository, if the caller may do to it what `access` says.

    Follows a former name. `lock` holds the repository's row until the transaction ends: whoever changes refs, settings
    or files of a repository holds it, so that such changes happen one after another.

    Raises:
        Refusal: 404 (401 for nobody in particular) if there is none or the caller may not know of it; 403 if they may
            know of it and not do this, with the code `GatedRepo` where its gate is what stops them.
    """
    asked = {"kind": kind, "name_key": full_name.lower()}
    # No name holds it, and PostgreSQL refuses to look for it.
    if "\0" in full_name:
        raise repo_not_found(anonymous=caller.is_anonymous)
    row = connection.execute(_BY_NAME[lock], asked).one_or_none()
    if row is None:
        row = connection.execute(_BY_FORMER_NAME[lock], asked).one_or_none()
    if row is None:
        raise repo_not_found(anonymous=caller.is_anonymous)
    found = of_row(row)
    may(connection, caller, found, access)
    return found


# Made once: for a query as small as this, putting it together costs more than asking it.
_FOUND = select(*COLUMNS).join(account, account.c.id == repository.c.owner_id)
_NAMED = _FOUND.where(repository.c.kind == bindparam("kind"), repository.c.name_key == bindparam("name_key"))
_FORMERLY = _FOUND.where(
    repository.c.id
    == select(former_name.c.repository_id)
    .where(former_name.c.kind == bindparam("kind"), former_name.c.name_key == bindparam("name_key"))
    .scalar_subquery()
)
_BY_NAME = {False: _NAMED, True: _NAMED.with_for_update(of=repository, key_share=True)}
_BY_FORMER_NAME = {False: _FORMERLY, True: _FORMERLY.with_for_update(of=repository, key_share=True)}
