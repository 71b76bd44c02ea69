"""The files of a revision: folders listed, single paths described."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.git.objects import MissingObjectError
from weighbridge.hub.git.paths import GitPathError, check_folder
from weighbridge.hub.git.tree import TreeChangeError
from weighbridge.hub.http.refusal import bad_request, entry_not_found, revision_not_found
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.repositories import downloads
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.listing import Files
from weighbridge.hub.repositories.query import behind_text, flag, foreign_cursor, next_page, number
from weighbridge.hub.repositories.refs import resolve

EXPANDED_PAGE: Final = 50
PAGE: Final = 1000
MAX_PATHS: Final = 10_000
_JSON = {"Content-Type": "application/json; charset=utf-8"}


def tree(call: Call, kind: str) -> Reply:
    """List a folder, by default the root: all of it at once, or pages with the last commits where `expand` asks.

    Llama.cpp reads one page and no more, so pages come only where a client asks for them by `limit` or `expand`.
    """
    revision = call.parts["revision"]
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        commit_oid = resolve(connection, repo, revision)
        files = Files(connection, repo.id)
        missing = entry_not_found(call.parts.get("path", ""), commit=commit_oid)
        try:
            folder = check_folder(call.parts.get("path", "").strip("/"))
            reply = _page(call, files, commit_oid, folder) if _paged(call) else _whole(call, files, commit_oid, folder)
        except GitPathError as error:
            raise missing from error
        except MissingObjectError as error:
            # Files were deleted for good, with the history that had them.
            raise revision_not_found(revision) from error
        if reply is None:
            raise missing
    downloads.count(call, repo)
    return reply


def paths_info(call: Call, kind: str) -> Reply:
    """Describe those of the given paths that are there: `paths`, several times, and `expand`, as a form or as JSON."""
    paths, expand = _asked(call)
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.SEE)
        commit_oid = resolve(connection, repo, call.parts["revision"])
        files = Files(connection, repo.id)
        try:
            entries = [entry for entry in files.at(files.root(commit_oid), paths) if entry.path]
            rows = files.expanded(commit_oid, entries) if expand else files.shown(entries)
        except MissingObjectError as error:
            raise revision_not_found(call.parts["revision"]) from error
    return Reply(body=rows)


def _paged(call: Call) -> bool:
    return flag(call, "expand") or "limit" in call.query or "cursor" in call.query


def _whole(call: Call, files: Files, commit_oid: str, folder: str) -> Reply | None:
    listed = files.listed(files.root(commit_oid), folder, recursive=flag(call, "recursive"))
    return None if listed is None else Reply(body=listed, headers=_JSON)


def _page(call: Call, files: Files, commit_oid: str, folder: str) -> Reply | None:
    expand, after = flag(call, "expand"), behind_text(call)
    most = EXPANDED_PAGE if expand else PAGE
    limit = number(call, "limit", default=most, least=1, most=most)
    try:
        found = files.page(
            commit_oid, folder, recursive=flag(call, "recursive"), after=after, limit=limit, expand=expand
        )
    except TreeChangeError as error:
        raise foreign_cursor() from error
    if found is None:
        return None
    headers = next_page(call, found.last) if found.more else {}
    return Reply(body=found.rows, headers=headers)


def _asked(call: Call) -> tuple[list[str], bool]:
    form: Mapping[str, Any]
    if "json" in call.headers.get("Content-Type", ""):
        form = call.document()
        paths, expand = form.get("paths", []), form.get("expand", False)
    else:
        form = parse_qs(call.body.decode("utf-8", "replace"), max_num_fields=MAX_PATHS + 16)
        paths = form.get("paths", []) + form.get("paths[]", [])
        expand = form.get("expand", [""])[0].lower() in ("true", "1")
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise bad_request("'paths' is a list of paths.")
    if len(paths) > MAX_PATHS:
        raise bad_request(f"At most {MAX_PATHS:,} paths are described at once.")
    return [path for path in paths if _is_path(path)], bool(expand)


def _is_path(path: str) -> bool:
    try:
        check_folder(path)
    except GitPathError:
        return False
    return True


ROUTES = (
    *for_kinds("GET", "/{owner}/{name}/tree/{revision}", tree),
    *for_kinds("GET", "/{owner}/{name}/tree/{revision}/{path:.*}", tree),
    *for_kinds("POST", "/{owner}/{name}/paths-info/{revision}", paths_info, max_body_bytes=4 * 1024 * 1024),
)
