"""Routes of storage buckets."""

from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from sqlalchemy import Connection, select, update

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.community import bucket_batch, buckets
from weighbridge.hub.community.buckets import BucketFile, BucketFolder, Place, Usage
from weighbridge.hub.content.content import Content, owned
from weighbridge.hub.content.send import Sending, send_content
from weighbridge.hub.database.schema import account, repository
from weighbridge.hub.http.refusal import ENTRY_NOT_FOUND, Refusal, bad_request, unauthenticated
from weighbridge.hub.http.route import Call, Reply, Stream, StreamRoute, delete, get, post, put
from weighbridge.hub.repositories import lifecycle
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.front_matter import clean
from weighbridge.hub.repositories.lifecycle import Wish
from weighbridge.hub.repositories.name import page_url
from weighbridge.hub.repositories.query import behind_number, cursor_of, flag, foreign_cursor, next_page, number
from weighbridge.hub.repositories.times import iso

KIND: Final = "bucket"
MAX_PATHS: Final = 10_000
MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
LIST_PAGE: Final = 100
_ME: Final = "me"
_MAX_PREFIX_CHARACTERS: Final = 1024


def create(call: Call) -> Reply:
    """Make a bucket: `{visibility or private}`; a region or a group, which this hub does not have, are let pass."""
    wish = Wish(
        kind=KIND,
        owner=_owner(call),
        name=call.parts["name"],
        visibility=lifecycle.asked_visibility(call.document()) or "public",
    )
    now_ms = call.hub.now_ms()
    with call.hub.database.write() as connection:
        made = lifecycle.create(connection, call.caller, wish, base_url=call.base_url, now_ms=now_ms, files={})
    return Reply(body={"url": page_url(call.base_url, KIND, made.full_name), "name": made.full_name})


def info(call: Call) -> Reply:
    """Describe a bucket."""
    with call.hub.database.read() as connection:
        bucket = _find(connection, call, Access.SEE)
        used = buckets.usage(connection, (bucket.id,))
    return Reply(body=_bucket(bucket, used.get(bucket.id)))


def listed(call: Call) -> Reply:
    """List the buckets of a user or an organisation, filtered by `search`, a page at a time."""
    after = behind_number(call)
    limit = number(call, "limit", default=LIST_PAGE, least=1, most=LIST_PAGE)
    owner = clean(_owner(call))
    with call.hub.database.read() as connection:
        owner_id = connection.execute(select(account.c.id).where(account.c.name_key == owner.lower())).scalar()
        if owner_id is None:
            raise Refusal(404, "There is no user or organisation of this name.")
        search = call.query.get("search", "")
        found = buckets.of_owner(connection, call.caller, owner_id, search=search, after=after, limit=limit + 1)
        used = buckets.usage(connection, [bucket.id for bucket in found])
    headers = next_page(call, found[limit - 1].id) if len(found) > limit else {}
    return Reply(body=[_bucket(bucket, used.get(bucket.id)) for bucket in found[:limit]], headers=headers)


def remove(call: Call) -> Reply:
    """Delete a bucket with all of its files."""
    with call.hub.database.write() as connection:
        lifecycle.remove(connection, call.caller, KIND, _name(call))
    return Reply(body={})


def change_settings(call: Call) -> Reply:
    """Change who may see a bucket: `{private or visibility}`."""
    visibility = lifecycle.asked_visibility(call.document())
    with call.hub.database.write() as connection:
        bucket = _find(connection, call, Access.ADMIN, lock=True)
        if visibility:
            connection.execute(update(repository).where(repository.c.id == bucket.id).values(visibility=visibility))
    return Reply(body={"private": (visibility or bucket.visibility) == "private"})


def tree(call: Call) -> Reply:
    """List files, and without `recursive` also folders, whose paths begin with a prefix, a page at a time."""
    prefix = call.parts.get("prefix", "")
    limit = number(call, "limit", default=buckets.PAGE, least=1, most=buckets.PAGE)
    start = _place(call)
    with call.hub.database.read() as connection:
        bucket = _find(connection, call, Access.READ)
        if len(prefix) > _MAX_PREFIX_CHARACTERS or clean(prefix) != prefix:
            return Reply(body=[])
        page = buckets.listed(
            connection, bucket.id, prefix, recursive=flag(call, "recursive"), start=start, limit=limit
        )
    headers = next_page(call, [page.next.path, page.next.inclusive]) if page.next else {}
    return Reply(body=[_entry(entry) for entry in page.entries], headers=headers)


def paths_info(call: Call) -> Reply:
    """Describe those of the given paths that are files: `{paths}`."""
    paths = call.document().get("paths")
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise bad_request("'paths' is a list of paths.")
    if len(paths) > MAX_PATHS:
        raise bad_request(f"At most {MAX_PATHS:,} paths are described at once.")
    with call.hub.database.read() as connection:
        bucket = _find(connection, call, Access.READ)
        found = buckets.files_at(connection, bucket.id, paths)
    return Reply(body=[_entry(file) for file in found])


def batch(call: Call) -> Reply:
    """Add, copy and delete files; 422 if none of it could be done."""
    with call.hub.database.read() as connection:
        _find(connection, call, Access.WRITE)
    wanted = bucket_batch.parse(call.body)
    with call.hub.database.write() as connection:
        bucket = _find(connection, call, Access.WRITE, lock=True)
        failures = bucket_batch.apply(connection, call.caller, bucket, wanted, now_ms=call.hub.now_ms())
    asked = len(wanted.operations) + len(wanted.failures)
    body: dict[str, Any] = {
        "success": not failures,
        "processed": asked,
        "succeeded": asked - len(failures),
        "failed": [{"path": failure.path, "error": failure.error} for failure in failures],
    }
    if failures and len(failures) == asked:
        return Reply(status=422, body={"error": failures[0].error, **body})
    return Reply(body=body)


async def resolved(request: web.Request, stream: Stream) -> web.StreamResponse:
    """Send a file."""
    bucket, path, content = await stream.work(_look, stream.call)
    route = f"{stream.call.base_url}/api/buckets/{quote(bucket.full_name)}/xet-read-token"
    sending = Sending(
        etag=content.sha256,
        file_name=path.rpartition("/")[2],
        as_download=stream.call.query.get("download", "") in ("1", "true"),
        headers={
            "X-Linked-Size": str(content.size_bytes),
            "X-Linked-Etag": f'"{content.sha256}"',
            "X-Xet-Hash": content.xet_hash,
            "X-Xet-Refresh-Route": route,
            "Link": f'<{route}>; rel="xet-auth"',
        },
    )
    return await send_content(request, stream, content, sending)


def _look(call: Call) -> tuple[Repository, str, Content]:
    path = call.parts["path"]
    with call.hub.database.read() as connection:
        bucket = _find(connection, call, Access.READ)
        found = buckets.files_at(connection, bucket.id, (path,))
        content = owned(connection, bucket.id, found[0].sha256) if found else None
    if content is None:
        raise Refusal(404, f"Entry not found: {path[:200]}", code=ENTRY_NOT_FOUND)
    return bucket, path, content


def _find(connection: Connection, call: Call, access: Access, *, lock: bool = False) -> Repository:
    return find(connection, call.caller, KIND, _name(call), access, lock=lock)


def _name(call: Call) -> str:
    return f"{_owner(call)}/{call.parts['name']}"


def _owner(call: Call) -> str:
    owner = call.parts["owner"]
    if owner != _ME:
        return owner
    if call.caller.is_anonymous:
        raise unauthenticated()
    return call.caller.name


def _place(call: Call) -> Place | None:
    cursor = cursor_of(call)
    if cursor is None:
        return None
    match cursor:
        case [str() as path, bool() as inclusive] if clean(path) == path:
            return Place(path=path, inclusive=inclusive)
    raise foreign_cursor()


def _bucket(bucket: Repository, used: Usage | None) -> dict[str, Any]:
    return {
        "_id": f"{bucket.id:024x}",
        "id": bucket.full_name,
        "author": bucket.owner_name,
        "private": bucket.visibility == "private",
        "createdAt": iso(bucket.created_ms),
        "updatedAt": iso(bucket.modified_ms),
        "size": used.size_bytes if used else 0,
        "totalFiles": used.files if used else 0,
    }


def _entry(entry: BucketFile | BucketFolder) -> dict[str, Any]:
    if isinstance(entry, BucketFolder):
        return {"type": "directory", "path": entry.path}
    told: dict[str, Any] = {
        "type": "file",
        "path": entry.path,
        "size": entry.size_bytes,
        "xetHash": entry.xet_hash,
        "mtime": iso(entry.modified_ms),
    }
    if entry.content_type:
        told["contentType"] = entry.content_type
    return told


_ONE: Final = "/api/buckets/{owner}/{name}"

ROUTES = (
    post(_ONE, create),
    get(_ONE, info),
    delete(_ONE, remove),
    get("/api/buckets/{owner}", listed),
    put(f"{_ONE}/settings", change_settings),
    get(f"{_ONE}/tree", tree),
    get(f"{_ONE}/tree/{{prefix:.+}}", tree),
    post(f"{_ONE}/paths-info", paths_info, max_body_bytes=MAX_BATCH_BYTES),
    post(f"{_ONE}/batch", batch, max_body_bytes=MAX_BATCH_BYTES),
    StreamRoute(method="GET", path="/buckets/{owner}/{name}/resolve/{path:.+}", answer=resolved),
)
