"""Repositories come, move, are copied and go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access, may_create
from weighbridge.hub.content.content import own_as, stored_bytes
from weighbridge.hub.database.schema import (
    account,
    former_name,
    git_object,
    head_listing,
    ref,
    repository,
    repository_tag,
)
from weighbridge.hub.http.refusal import bad_request, forbidden, repo_not_found
from weighbridge.hub.repositories.author import author_of
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.initial import initial_objects
from weighbridge.hub.repositories.name import check_name, split_full_name, taken
from weighbridge.hub.repositories.objects import write
from weighbridge.hub.repositories.refs import MAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A repository that somebody wants to have.

    Attributes:
        kind: `model`, `dataset`, `space` or `bucket`.
        owner: name of a user or an organisation.
        name: its own name.
        visibility: `public` or `private`.
        settings: for the column of that name.
    """

    kind: str
    owner: str
    name: str
    visibility: str = "public"
    settings: Mapping[str, Any] = field(default_factory=dict)


def asked_visibility(asked: Mapping[str, Any]) -> str:
    """Return the visibility that the document of a request asks for; empty if it asks for none.

    Raises:
        Refusal: 400 for one that there is not.
    """
    value, private = asked.get("visibility"), asked.get("private")
    if value is None:
        return "" if private is None else "private" if private else "public"
    if value == "protected":
        raise bad_request("This hub runs no Spaces, so none can be 'protected': choose 'public' or 'private'.")
    if value not in ("public", "private"):
        raise bad_request('\'visibility\' is "public" or "private".')
    return str(value)


def create(
    connection: Connection, caller: Caller, wish: Wish, *, base_url: str, now_ms: int, files: dict[str, bytes]
) -> Repository:
    """Make a repository, with a first commit of `.gitattributes` and `files` (a bucket has no commits).

    Raises:
        Refusal: 400 for a name that none may have; 401 or 403; 409 with `url` if it exists.
    """
    made = _insert(connection, caller, wish, base_url=base_url, now_ms=now_ms)
    if wish.kind != "bucket":
        commit_oid, objects = initial_objects(author_of(caller), now_ms, files)
        write(connection, made.id, objects, now_ms)
        values = {"oid": commit_oid, "commit_oid": commit_oid, "updated_ms": now_ms}
        connection.execute(insert(ref).values(repository_id=made.id, name=MAIN, **values))
        connection.execute(update(repository).where(repository.c.id == made.id).values(head=commit_oid))
    return find(connection, caller, made.kind, made.full_name, Access.SEE)


def remove(connection: Connection, caller: Caller, kind: str, full_name: str) -> None:
    """Delete a repository with all that belongs to it; its bytes go when garbage is collected.

    Raises:
        Refusal: as `find`; also 404 by a former name, since that may be meant for what was there before.
    """
    found = find(connection, caller, kind, full_name, Access.ADMIN, lock=True)
    if found.full_name.lower() != full_name.lower():
        raise repo_not_found(anonymous=caller.is_anonymous)
    connection.execute(delete(repository).where(repository.c.id == found.id))


def move(connection: Connection, caller: Caller, kind: str, source: str, target: str, *, base_url: str) -> None:
    """Give a repository another name or owner; the old name leads to it until somebody takes it.

    Raises:
        Refusal: as `find` and `create`.
    """
    found = find(connection, caller, kind, source, Access.ADMIN, lock=True)
    owner, name = split_full_name(target)
    owner_id, owner_name = _owner(connection, caller, owner)
    full_name = f"{owner_name}/{name}"
    if full_name == found.full_name:
        return
    _forget_former(connection, kind, full_name)
    try:
        with connection.begin_nested():
            connection.execute(
                update(repository)
                .where(repository.c.id == found.id)
                .values(owner_id=owner_id, full_name=full_name, name_key=full_name.lower())
            )
    except IntegrityError as error:
        raise taken(base_url, kind, full_name) from error
    if full_name.lower() != found.full_name.lower():
        _forget_former(connection, kind, found.full_name)
        connection.execute(
            insert(former_name).values(kind=kind, name_key=found.full_name.lower(), repository_id=found.id)
        )


def duplicate(
    connection: Connection, caller: Caller, source: Repository, wish: Wish, *, base_url: str, now_ms: int
) -> Repository:
    """Make a repository with the branches, tags, history and files of `source`, which the caller may read.

    Pull requests are not copied: they belong to the discussions of the source.

    Raises:
        Refusal: as `create`.
    """
    made = _insert(connection, caller, wish, base_url=base_url, now_ms=now_ms)
    for table in (git_object, head_listing, ref, repository_tag):
        columns = [column for column in table.c if column.name != "repository_id"]
        rows = select(literal(made.id), *columns).where(table.c.repository_id == source.id)
        if table is ref:
            rows = rows.where(ref.c.name.like("refs/heads/%") | ref.c.name.like("refs/tags/%"))
        names = ["repository_id", *(column.name for column in columns)]
        connection.execute(insert(table).from_select(names, rows))
    own_as(connection, made.id, source_id=source.id, now_ms=now_ms)
    copied = {name: getattr(source, name) for name in _COPIED}
    copied["settings"] = {**source.settings, **wish.settings}
    connection.execute(
        update(repository)
        .where(repository.c.id == made.id)
        .values(**copied, used_storage_bytes=stored_bytes(connection, made.id))
    )
    return find(connection, caller, made.kind, made.full_name, Access.SEE)


# The gate too: whoever was let in must not let everybody in.
_COPIED = ("head", "gated", "card", "pipeline_tag", "library_name", "parameters", "safetensors", "gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    id: int
    kind: str
    full_name: str


def _insert(connection: Connection, caller: Caller, wish: Wish, *, base_url: str, now_ms: int) -> _Made:
    name = check_name(wish.name)
    owner_id, owner_name = _owner(connection, caller, wish.owner)
    full_name = f"{owner_name}/{name}"
    row = {
        "kind": wish.kind,
        "owner_id": owner_id,
        "full_name": full_name,
        "name_key": full_name.lower(),
        "visibility": wish.visibility,
        "created_ms": now_ms,
        "modified_ms": now_ms,
        "creator_id": caller.user_id,
        "settings": dict(wish.settings),
    }
    try:
        with connection.begin_nested():
            new_id = connection.execute(insert(repository).values(**row).returning(repository.c.id)).scalar_one()
    except IntegrityError as error:
        raise taken(base_url, wish.kind, full_name) from error
    _forget_former(connection, wish.kind, full_name)
    return _Made(id=new_id, kind=wish.kind, full_name=full_name)


def _owner(connection: Connection, caller: Caller, name: str) -> tuple[int, str]:
    row = connection.execute(
        select(account.c.id, account.c.name, account.c.disabled_ms).where(account.c.name_key == name.lower())
    ).one_or_none()
    # Nobody's account has the number 0: whether a name exists is not told to those who may not use it.
    may_create(caller, row.id if row else 0, name)
    if row is None or row.disabled_ms is not None:
        raise forbidden(f"You don't have the rights to create a repository under the namespace {name!r}.")
    return row.id, row.name


def _forget_former(connection: Connection, kind: str, full_name: str) -> None:
    connection.execute(
        delete(former_name).where(former_name.c.kind == kind, former_name.c.name_key == full_name.lower())
    )
