"""GET /api/models/{owner}/{name}/safetensors-metadata/{index}: the headers of all shards of a model in one answer."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from weighbridge.checkpoint.document import parse_object
from weighbridge.errors import CheckpointError
from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.read import blocks
from weighbridge.hub.git.paths import GitPathError, check_path, shown
from weighbridge.hub.http.refusal import too_large, unprocessable
from weighbridge.hub.http.route import Call, Reply
from weighbridge.hub.repositories.find import Repository, find
from weighbridge.hub.repositories.kind_routes import for_kinds, name_in
from weighbridge.hub.repositories.resolve_routes import RevisionFile, file_of
from weighbridge.hub.server import HubServer

MAX_SHARDS: Final = 1000
MAX_HEADERS_BYTES: Final = 64 * 1024 * 1024
_MAX_INDEX_BYTES: Final = 32 * 1024 * 1024
_MAX_HEADER_BYTES: Final = 25_000_000
_MAX_VALUES: Final = 2_000_000


def metadata(call: Call, kind: str) -> Reply:
    """Answer with the index, less its map of tensors, and the header of each shard that it names, from `main`."""
    hub = call.hub
    with hub.database.read() as connection:
        repo = find(connection, call.caller, kind, name_in(call), Access.READ)
        path = call.parts["path"]
        index = _json(_bytes(hub, file_of(connection, repo, "main", path), 0, _MAX_INDEX_BYTES), path)
        files = {name: _shard(connection, repo, path, name) for name in _shards(index, path)}
    headers: dict[str, Any] = {}
    left = MAX_HEADERS_BYTES
    for name, file in files.items():
        data = _header(hub, file, limit=min(left, _MAX_HEADER_BYTES))
        left -= len(data)
        _json(data, name)
        # Checked, and passed on as it is: as values, all headers together would take a gigabyte.
        headers[name] = orjson.Fragment(data)
    return Reply(body={"index": {"metadata": index.get("metadata")}, "headers": headers})


def _shards(index: Mapping[str, Any], place: str) -> Iterator[str]:
    weights = index.get("weight_map")
    names = dict.fromkeys(weights.values()) if isinstance(weights, dict) else {}
    if not names or not all(isinstance(name, str) for name in names):
        raise unprocessable(f"{shown(place)} is no index of safetensors files.")
    if len(names) > MAX_SHARDS:
        raise too_large(f"{shown(place)} names more than {MAX_SHARDS:,} files.")
    yield from names


def _shard(connection: Connection, repo: Repository, index: str, name: str) -> RevisionFile:
    folder = index.rpartition("/")[0]
    path = f"{folder}/{name}" if folder else name
    try:
        return file_of(connection, repo, "main", check_path(path))
    except GitPathError as error:
        raise unprocessable(f"{shown(index)} names a file that no repository can hold.") from error


def _header(hub: HubServer, file: RevisionFile, *, limit: int) -> bytes:
    size = int.from_bytes(_bytes(hub, file, 0, 8)[:8], "little")
    data = b"" if size > limit else _bytes(hub, file, 8, 8 + size)
    if not size or len(data) != size:
        raise unprocessable(f"{shown(file.path)} is no safetensors file, or its header is too large for one answer.")
    return data


def _bytes(hub: HubServer, file: RevisionFile, start: int, end: int) -> bytes:
    return file.data[start:end] if file.content is None else b"".join(blocks(hub, file.content, start, end))


def _json(data: bytes, place: str) -> Mapping[str, Any]:
    try:
        return parse_object(data, place=place, max_depth=16, max_values=_MAX_VALUES)
    except CheckpointError as error:
        raise unprocessable(f"{shown(place)} cannot be read: {error.message}.") from error


ROUTES = for_kinds("GET", "/{owner}/{name}/safetensors-metadata/{path:.+}", metadata)
