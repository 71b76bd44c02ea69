"""How many parameters a repository's weights have, read from the headers of its safetensors and GGUF files.

Reading takes bytes from the store, so it happens after the commit, outside its transaction: when somebody asks for the
repository first. What was found is kept in the repository's row until the weights change.
"""

import logging
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select, update

from weighbridge.checkpoint import gguf, safetensors
from weighbridge.checkpoint.document import parse_object
from weighbridge.errors import CheckpointError, WeighbridgeError
from weighbridge.hub.content.content import Content, owned
from weighbridge.hub.content.read import blocks
from weighbridge.hub.database.connect import locked
from weighbridge.hub.database.schema import repository
from weighbridge.hub.git.objects import GitObjectError, Mode, TreeEntry
from weighbridge.hub.repositories import unmeasured
from weighbridge.hub.repositories.facts import WEIGHT_ENDINGS, is_measured
from weighbridge.hub.repositories.front_matter import clean
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.server import HubServer

MAX_SHARDS: Final = 512
_LOG = logging.getLogger("weighbridge.hub.weights")
_INDEX = "model.safetensors.index.json"
_MAX_INDEX_BYTES = 32 * 1024 * 1024
_MAX_INDEX_VALUES = 1_000_000
_MAX_SAFETENSORS_HEADER = 32 * 1024 * 1024
_GGUF_READS = (1 << 20, 1 << 22, 1 << 24, 1 << 26)
_GGUF_SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z")
_MAX_TEMPLATE_CHARACTERS = 100_000
_WAIT_SECONDS = 10.0

# One at a time: a header may take tens of megabytes while it is read.
_ALONE = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """A file of weights: where its bytes are, in the store or here."""

    name: str
    size_bytes: int
    content: Content | None
    data: bytes = b""


def measure(hub: HubServer, repository_id: int) -> None:
    """Enter the facts of the weights at the head of `main`, unless they are there already.

    A file that cannot be read is no reason to refuse whoever asked: it is logged, and tried again next time. One whose
    header is malformed counts for nothing.
    """
    if not _ALONE.acquire(timeout=_WAIT_SECONDS):
        return
    try:
        _measure(hub, repository_id)
    except WeighbridgeError as error:
        _LOG.warning("weights of repository %d: %s", repository_id, error)
    finally:
        _ALONE.release()


def measure_waiting(hub: HubServer) -> None:
    """Look into the weights of all repositories that this process has seen change: a job between requests."""
    for repository_id in unmeasured.take(hub.database):
        measure(hub, repository_id)


def _measure(hub: HubServer, repository_id: int) -> None:
    with hub.database.read() as connection:
        row = connection.execute(
            select(repository.c.head, repository.c.settings).where(repository.c.id == repository_id)
        ).one_or_none()
        if row is None or row.head is None or is_measured(row.settings):
            return
        reader = DatabaseObjects(connection, repository_id)
        held = [_held(connection, repository_id, reader, entry) for entry in _entries(reader, row.head)]
    mark = row.settings["weights"]
    found = {item.name: item for item in held if item is not None}
    tensors = _safetensors(hub, found)
    header = _gguf(hub, found)
    parameters = (tensors or header or {}).get("total")
    with hub.database.write() as connection:
        wanted = select(repository.c.settings).where(repository.c.id == repository_id)
        settings = connection.execute(locked(wanted)).scalar_one_or_none()
        if settings is None or settings.get("weights") != mark:
            return
        connection.execute(
            update(repository)
            .where(repository.c.id == repository_id)
            .values(safetensors=tensors, gguf=header, parameters=parameters, settings={**settings, "measured": mark})
        )


def _entries(reader: DatabaseObjects, head: str) -> list[TreeEntry]:
    try:
        entries = reader.tree(reader.commit(head).tree)
    except GitObjectError:
        return []
    named = [entry for entry in entries if entry.mode is not Mode.FOLDER and entry.name.endswith(WEIGHT_ENDINGS)]
    return named[: 2 * MAX_SHARDS]


def _held(connection: Connection, repository_id: int, reader: DatabaseObjects, entry: TreeEntry) -> _Weights | None:
    name = entry.name
    facts = reader.blobs((entry.oid,)).get(entry.oid)
    if facts is None:
        return None
    if facts.lfs_sha256 is None:
        return _Weights(name=name, size_bytes=facts.size_bytes, content=None, data=reader.read(entry.oid).data)
    content = owned(connection, repository_id, facts.lfs_sha256)
    return None if content is None else _Weights(name=name, size_bytes=content.size_bytes, content=content)


def _read(hub: HubServer, item: _Weights, end: int) -> bytes:
    if item.content is None:
        return item.data[:end]
    return b"".join(blocks(hub, item.content, 0, min(end, item.size_bytes)))


def _safetensors(hub: HubServer, files: Mapping[str, _Weights]) -> dict[str, Any] | None:
    """Return `{"parameters": {dtype: count}, "total": count}` of the model's safetensors; None if it has none."""
    counts: Counter[str] = Counter()
    shards = _shards(hub, files)
    try:
        for shard in shards:
            start = _read(hub, shard, 100_000)
            length = safetensors.header_bytes(start, shard.size_bytes, file=shard.name)
            if length > _MAX_SAFETENSORS_HEADER:
                return None
            head = start if length <= len(start) else _read(hub, shard, length)
            for tensor in safetensors.parse_header(head, shard.size_bytes, file=shard.name).tensors:
                counts[tensor.dtype] += tensor.parameters
    except CheckpointError:
        return None
    return {"parameters": dict(counts), "total": counts.total()} if shards else None


def _shards(hub: HubServer, files: Mapping[str, _Weights]) -> list[_Weights]:
    if "model.safetensors" in files:
        return [files["model.safetensors"]]
    if _INDEX in files and files[_INDEX].size_bytes <= _MAX_INDEX_BYTES:
        named = _indexed(_read(hub, files[_INDEX], _MAX_INDEX_BYTES))
        if named and len(named) <= MAX_SHARDS and all(name in files for name in named):
            return [files[name] for name in named]
    tensors = [item for name, item in sorted(files.items()) if name.endswith(".safetensors")]
    return tensors if len(tensors) == 1 else []


def _indexed(data: bytes) -> list[str]:
    try:
        parsed = parse_object(data, place=_INDEX, max_depth=8, max_values=_MAX_INDEX_VALUES)
    except CheckpointError:
        return []
    mapped = parsed.get("weight_map")
    return sorted({str(name) for name in mapped.values()}) if isinstance(mapped, dict) else []


def _gguf(hub: HubServer, files: Mapping[str, _Weights]) -> dict[str, Any] | None:
    """Return architecture, context length and parameters of the first GGUF file and the shards that belong to it."""
    names = sorted(name for name in files if name.endswith(".gguf"))
    if not names:
        return None
    stem = _GGUF_SHARD.sub("", names[0])
    shards = [name for name in names if _GGUF_SHARD.search(name) and _GGUF_SHARD.sub("", name) == stem]
    headers = [_gguf_header(hub, files[name]) for name in (shards or names[:1])[:MAX_SHARDS]]
    read = [header for header in headers if header is not None]
    if len(read) != len(headers):
        return None
    total = sum(tensor.parameters for header in read for tensor in header.tensors)
    return {"total": total, **_told(read[0].metadata)}


def _told(metadata: Mapping[str, Any]) -> dict[str, Any]:
    architecture = metadata.get("general.architecture")
    told: dict[str, Any] = {"architecture": _text(architecture)}
    length = metadata.get(f"{architecture}.context_length")
    if isinstance(length, int) and not isinstance(length, bool):
        told["context_length"] = min(length, 2**53)
    template = metadata.get("tokenizer.chat_template")
    if isinstance(template, str) and len(template) <= _MAX_TEMPLATE_CHARACTERS:
        told["chat_template"] = clean(template)
    return {name: value for name, value in told.items() if value is not None}


def _text(value: object) -> str | None:
    return clean(value)[:200] if isinstance(value, str) else None


def _gguf_header(hub: HubServer, item: _Weights) -> gguf.GgufHeader | None:
    for size in _GGUF_READS:
        try:
            return gguf.parse_header(_read(hub, item, size), item.size_bytes, file=item.name)
        except gguf.CutOffError:
            if size >= item.size_bytes:
                return None
        except CheckpointError:
            return None
    return None
