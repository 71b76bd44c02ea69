"""`/api/repos/…`, settings and duplicates: repositories made, moved, changed and deleted."""

from typing import Any

from sqlalchemy import update

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.database.schema import repository
from weighbridge.hub.http.refusal import bad_request, unauthenticated
from weighbridge.hub.http.route import Call, Reply, delete, post
from weighbridge.hub.repositories import facts, lifecycle
from weighbridge.hub.repositories.card_check import SDKS
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.lifecycle import Wish
from weighbridge.hub.repositories.name import kind_of, page_url, split_full_name


def create(call: Call) -> Reply:
    """Make a repository: `{name, organization, type, visibility or private, sdk}`."""
    asked = call.document()
    kind = kind_of(asked.get("type"))
    owner, name = _named(call, asked)
    files: dict[str, bytes] = {}
    if kind == "space":
        files["README.md"] = _space_card(name, asked.get("sdk"))
    wish = Wish(kind=kind, owner=owner, name=name, visibility=lifecycle.asked_visibility(asked) or "public")
    hub = call.hub
    with hub.database.write() as connection:
        made = lifecycle.create(connection, call.caller, wish, base_url=call.base_url, now_ms=hub.now_ms(), files=files)
        if kind != "bucket":
            facts.refresh(connection, hub, made)
    url = page_url(call.base_url, kind, made.full_name)
    return Reply(body={"url": url, "name": made.full_name, "id": str(made.id)})


def remove(call: Call) -> Reply:
    """Delete a repository: `{name, organization, type}`."""
    asked = call.document()
    owner, name = _named(call, asked)
    with call.hub.database.write() as connection:
        lifecycle.remove(connection, call.caller, kind_of(asked.get("type")), f"{owner}/{name}")
    return Reply(body={})


def move(call: Call) -> Reply:
    """Rename a repository or give it to another owner: `{fromRepo, toRepo, type}`."""
    asked = call.document()
    kind, target = kind_of(asked.get("type")), asked.get("toRepo")
    source = "/".join(split_full_name(asked.get("fromRepo")))
    split_full_name(target)
    with call.hub.database.write() as connection:
        lifecycle.move(connection, call.caller, kind, source, str(target), base_url=call.base_url)
    return Reply(body={"url": page_url(call.base_url, kind, str(target))})


def change_settings(call: Call, kind: str) -> Reply:
    """Change who may see and read a repository: `{gated, visibility or private}`."""
    asked = call.document()
    values: dict[str, Any] = {}
    if "gated" in asked:
        gated = asked["gated"]
        if gated not in (False, None, "auto", "manual"):
            raise bad_request('\'gated\' is "auto", "manual" or false.')
        values["gated"] = gated or ""
    if visibility := lifecycle.asked_visibility(asked):
        values["visibility"] = visibility
    with call.hub.database.write() as connection:
        found = find(connection, call.caller, kind, name_in(call), Access.ADMIN, lock=True)
        if values:
            connection.execute(update(repository).where(repository.c.id == found.id).values(**values))
    return Reply(
        body={
            "private": values.get("visibility", found.visibility) == "private",
            "gated": values.get("gated", found.gated) or False,
        }
    )


def duplicate(call: Call, kind: str) -> Reply:
    """Copy a repository: `{repository, visibility}`."""
    asked = call.document()
    owner, name = split_full_name(asked.get("repository"))
    hub = call.hub
    with hub.database.write() as connection:
        # Held, so that its refs and its objects are copied as they were at one moment.
        source = find(connection, call.caller, kind, name_in(call), Access.READ, lock=True)
        wish = Wish(
            kind=kind, owner=owner, name=name, visibility=lifecycle.asked_visibility(asked) or source.visibility
        )
        made = lifecycle.duplicate(connection, call.caller, source, wish, base_url=call.base_url, now_ms=hub.now_ms())
    return Reply(body={"url": page_url(call.base_url, kind, made.full_name), "filesCopyPending": False})


def _named(call: Call, asked: dict[str, Any]) -> tuple[str, str]:
    name, owner = asked.get("name"), asked.get("organization")
    if isinstance(name, str) and "/" in name:
        return split_full_name(name)
    if owner is not None and not isinstance(owner, str):
        raise bad_request("'organization' is the name of a user or an organisation.")
    if not isinstance(name, str):
        raise bad_request("'name' is the name of the repository.")
    if not owner and call.caller.is_anonymous:
        raise unauthenticated()
    return owner or call.caller.name, name


def _space_card(name: str, sdk: object) -> bytes:
    if sdk not in SDKS:
        raise bad_request(f"A Space needs an 'sdk': one of {', '.join(SDKS)}.")
    return f"---\ntitle: {name!r}\nsdk: {sdk}\n---\n".encode()


ROUTES = (
    post("/api/repos/create", create),
    delete("/api/repos/delete", remove),
    post("/api/repos/move", move),
    *for_kinds("PUT", "/{owner}/{name}/settings", change_settings),
    *for_kinds("POST", "/{owner}/{name}/duplicate", duplicate),
)
