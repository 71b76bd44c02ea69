"""`/lfs-files`: the large files of a repository listed, deleted for good, and lent to another repository."""

import re
from typing import Any, Final

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.content import owned_among
from weighbridge.hub.http.refusal import bad_request
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.repositories import facts, large_files
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.name import kind_of, split_full_name
from weighbridge.hub.repositories.query import behind_text, next_page, number
from weighbridge.hub.repositories.rewrite import delete_files
from weighbridge.hub.repositories.times import iso

PAGE: Final = 1000
MAX_FILES: Final = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def list_files(call: Call, kind: str) -> Reply:
    """List the large files that any commit of the repository names."""
    after = behind_text(call)
    limit = number(call, "limit", default=PAGE, least=1, most=PAGE)
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.WRITE)
        found = large_files.page(connection, repo.id, after=after, limit=limit + 1)
        shown = found[:limit]
        mine = owned_among(connection, repo.id, [file.sha256 for file in shown])
        places = large_files.places(connection, repo.id, (file.pointer for file in shown))
    rows = [_row(file, places.get(file.pointer)) for file in shown if file.sha256 in mine]
    return Reply(body=rows, headers=next_page(call, shown[-1].sha256) if len(found) > limit else {})


def delete_for_good(call: Call, kind: str) -> Reply:
    """Delete large files: `{deletions: {sha: [SHA-256…], rewriteHistory}}`."""
    asked = call.document().get("deletions")
    if not isinstance(asked, dict):
        raise bad_request("'deletions' is {sha: [...], rewriteHistory: true or false}.")
    shas = _shas(asked.get("sha"))
    hub = call.hub
    with hub.database.write() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.WRITE, lock=True)
        rewrite = asked.get("rewriteHistory") is not False
        delete_files(connection, repo, shas, rewrite_history=rewrite, now_ms=hub.now_ms())
        facts.refresh(connection, hub, repo)
    return Reply(body={"deleted": len(shas)})


def lend(call: Call, kind: str) -> Reply:
    """Let another repository hold files of this one: `{target: {type, name}, files: [{sha256, xetHash, filename}]}`."""
    asked = call.document()
    target, files = asked.get("target"), asked.get("files")
    if not isinstance(target, dict) or not isinstance(files, list) or len(files) > MAX_FILES:
        raise bad_request("A copy is {target: {type, name}, files: [{sha256, xetHash}]}, of at most 10,000 files.")
    target_kind, target_name = kind_of(target.get("type")), "/".join(split_full_name(target.get("name")))
    shas = {_sha(file.get("sha256")): str(file.get("xetHash") or "") for file in files if isinstance(file, dict)}
    hub = call.hub
    with hub.database.write() as connection:
        source = find(connection, call.caller, kind, name_in(call), Access.READ)
        receiving = find(connection, call.caller, target_kind, target_name, Access.WRITE, lock=True)
        failed = large_files.lend(connection, source, receiving, shas, now_ms=hub.now_ms())
    return Reply(body={"failed": failed})


def _row(file: large_files.LargeFile, place: large_files.Place | None) -> dict[str, Any]:
    return {
        "fileOid": file.sha256,
        "oid": file.sha256,
        "filename": place.path if place else "",
        "ref": place.ref if place else None,
        "size": file.size_bytes,
        "pushedAt": iso(file.pushed_ms),
    }


def _shas(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_FILES:
        raise bad_request(f"'sha' is a list of at most {MAX_FILES:,} SHA-256.")
    return sorted({_sha(item) for item in value})


def _sha(value: object) -> str:
    if not isinstance(value, str) or not _SHA256.match(value):
        raise bad_request("A large file is named by its SHA-256, 64 lower-case hexadecimal digits.")
    return value


_BODY_BYTES = 4 * 1024 * 1024
ROUTES = (
    *for_kinds("GET", "/{owner}/{name}/lfs-files", list_files),
    *for_kinds("POST", "/{owner}/{name}/lfs-files/batch", delete_for_good, max_body_bytes=_BODY_BYTES),
    *for_kinds("POST", "/{owner}/{name}/lfs-files/duplicate", lend, max_body_bytes=_BODY_BYTES),
)
