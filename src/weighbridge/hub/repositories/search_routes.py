"""Lists of models, datasets and Spaces; the tags by which they can be found; one's own repositories."""

from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, func, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.database.schema import account, repository, repository_tag
from weighbridge.hub.http.refusal import Refusal, forbidden, unauthenticated
from weighbridge.hub.http.route import Call, Reply, get
from weighbridge.hub.repositories.describe import View, check_expand, expanded, listed
from weighbridge.hub.repositories.find import GIT_KINDS
from weighbridge.hub.repositories.query import (
    behind_number,
    cursor_of,
    flag,
    foreign_cursor,
    is_row_number,
    many,
    names_to_expand,
    next_page,
    number,
)
from weighbridge.hub.repositories.search import Question, parameters_between, search, visible_to
from weighbridge.hub.repositories.times import iso

PAGE: Final = 1000
PAGE_WITH_FILES: Final = 100
MAX_TAGS: Final = 10_000
_WITH_FILES = {"siblings", "childrenModelCount", "spaces"}
# Programs that people run models in, and the tag of what they can run.
_APPS = {
    **dict.fromkeys(("llama.cpp", "ollama", "lmstudio", "lm-studio", "jan", "koboldcpp", "llamafile"), "gguf"),
    **dict.fromkeys(("vllm", "sglang", "tgi", "transformers"), "transformers"),
}


def found(call: Call, kind: str) -> Reply:
    """List repositories of a kind that the caller may see, filtered and in order, a page at a time."""
    names = check_expand(kind, names_to_expand(call))
    extra = _extra(call, kind)
    asked = _question(call, kind, with_files=bool(_WITH_FILES.intersection((*names, *extra))))
    if asked is None:
        return Reply(body=[])
    with call.hub.database.read() as connection:
        page = search(connection, call.caller, asked)
        views = [
            View(connection=connection, repo=repo, sha=repo.head, modified_ms=repo.modified_ms)
            for repo in page.repositories
        ]
        rows = [expanded(view, names) if names else listed(view, extra) for view in views]
    return Reply(body=rows, headers=next_page(call, page.after) if page.after else {})


def tags_by_type(call: Call, kind: str) -> Reply:
    """List the tags that public repositories of a kind have, by what they tell of."""
    with call.hub.database.read() as connection:
        tags = connection.execute(
            select(repository_tag.c.tag)
            .join(repository, repository.c.id == repository_tag.c.repository_id)
            .where(repository.c.kind == kind, repository.c.visibility == "public")
            .group_by(repository_tag.c.tag)
            .order_by(func.count().desc(), repository_tag.c.tag)
            .limit(MAX_TAGS)
        ).scalars()
        by_type: dict[str, list[dict[str, str]]] = {}
        for tag in tags:
            about, colon, label = tag.partition(":")
            about, label = (about, label) if colon else ("other", tag)
            by_type.setdefault(about, []).append({"id": tag, "label": label, "type": about})
        if kind == "model":
            for name, column in (("pipeline_tag", repository.c.pipeline_tag), ("library", repository.c.library_name)):
                by_type[name] = _values(connection, column, name)
    return Reply(body=by_type)


def own(call: Call) -> Reply:
    """List the repositories of the caller, or of an organisation that they are a member of, with their storage."""
    if call.caller.is_anonymous:
        raise unauthenticated()
    after = behind_number(call)
    with call.hub.database.read() as connection:
        owner_id = _owner(connection, call.caller, call.parts.get("org"))
        held = connection.execute(
            select(func.coalesce(func.sum(repository.c.used_storage_bytes), 0)).where(repository.c.owner_id == owner_id)
        ).scalar_one()
        rows = connection.execute(
            select(repository)
            .join(account, account.c.id == repository.c.owner_id)
            .where(repository.c.owner_id == owner_id, repository.c.id > after, visible_to(call.caller))
            .order_by(repository.c.id)
            .limit(PAGE + 1)
        ).all()
    # PostgreSQL sums into a decimal number, which is no JSON.
    total = int(held)
    shown = [
        {
            "id": row.full_name,
            "type": row.kind,
            "updatedAt": iso(row.modified_ms),
            "visibility": row.visibility,
            "storage": row.used_storage_bytes,
            "storagePercent": 100 * row.used_storage_bytes / total if total else 0,
        }
        for row in rows[:PAGE]
    ]
    return Reply(body=shown, headers=next_page(call, rows[PAGE - 1].id) if len(rows) > PAGE else {})


def _owner(connection: Connection, caller: Caller, org: str | None) -> int:
    if org is None:
        assert caller.user_id is not None
        return caller.user_id
    row = connection.execute(
        select(account.c.id).where(account.c.name_key == org.lower(), account.c.kind == "org")
    ).scalar_one_or_none()
    if row is None:
        raise Refusal(404, f"There is no organisation {org!r}.")
    if row not in dict(caller.orgs) and not caller.is_admin:
        raise forbidden(f"You are not a member of {org}.")
    return int(row)


def _values(connection: Connection, column: Any, about: str) -> list[dict[str, str]]:
    values = connection.execute(
        select(column)
        .where(repository.c.kind == "model", repository.c.visibility == "public", column.is_not(None))
        .distinct()
        .order_by(column)
        .limit(MAX_TAGS)
    ).scalars()
    return [{"id": value, "label": value, "type": about} for value in values]


def _extra(call: Call, kind: str) -> tuple[str, ...]:
    names: list[str] = []
    if flag(call, "full"):
        names += ("sha", "siblings", "disabled")
        if kind != "model":
            names.append("cardData")
    if flag(call, "cardData"):
        names.append("cardData")
    if flag(call, "config") and kind == "model":
        names.append("config")
    return tuple(dict.fromkeys(names))


def _question(call: Call, kind: str, *, with_files: bool) -> Question | None:
    """Return what the parameters ask for; None if nothing on this hub can be it."""
    if call.query.get("inference") or call.query.get("inference_provider"):
        return None  # no model is served here
    tags = [tag for value in many(call, "filter") for tag in value.split(",") if tag]
    apps = many(call, "apps")
    if any(app not in _APPS for app in apps):
        return None
    tags += (_APPS[app] for app in apps)
    for name in ("models", "datasets") if kind == "space" else ():
        tags += (f"{name[:-1]}:{value}" for value in many(call, name))
    if kind == "model":
        # Models carry bare language codes, as on the Hub.
        tags = [tag.removeprefix("language:") for tag in tags]
    least, most = (None, None)
    if "num_parameters" in call.query:
        least, most = parameters_between(call.query["num_parameters"])
    page = PAGE_WITH_FILES if with_files else PAGE
    return Question(
        kind=kind,
        tags=tuple(dict.fromkeys(tags)),
        author=call.query.get("author", ""),
        search=tuple(word for value in many(call, "search") for word in value.split()),
        pipeline_tag=call.query.get("pipeline_tag", ""),
        gated=flag(call, "gated") if "gated" in call.query else None,
        least_parameters=least,
        most_parameters=most,
        sort=call.query.get("sort", "lastModified"),
        ascending=call.query.get("direction") == "1",
        limit=number(call, "limit", default=page, least=1, most=page),
        after=_after(cursor_of(call)),
    )


def _after(cursor: Any) -> tuple[int, int] | None:
    if cursor is None:
        return None
    if not isinstance(cursor, list) or len(cursor) != 2 or not all(map(is_row_number, cursor)):
        raise foreign_cursor()
    return cursor[0], cursor[1]


ROUTES = (
    *(get(f"/api/{plural}", partial(found, kind=kind)) for plural, kind in GIT_KINDS.items()),
    *(get(f"/api/{plural}-tags-by-type", partial(tags_by_type, kind=kind)) for plural, kind in GIT_KINDS.items()),
    get("/api/settings/repositories", own),
    get("/api/organizations/{org}/settings/repositories", own),
)
