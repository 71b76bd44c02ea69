"""What the head of `main` tells of a repository, entered in its row so that lists and searches read one table.

A card that cannot be read, or says nonsense, is a fact about the repository and never stops a commit.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from weighbridge.checkpoint.document import parse_object
from weighbridge.errors import CheckpointError
from weighbridge.hub.content.content import stored_bytes
from weighbridge.hub.database.schema import repository, repository_tag
from weighbridge.hub.git.objects import GitObjectError, Mode, TreeEntry
from weighbridge.hub.repositories import front_matter, head_listing, unmeasured
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.listing import Files
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.tags import library_of, pipeline_of, tags_of, words
from weighbridge.hub.server import HubServer

README: Final = "README.md"
CONFIG: Final = "config.json"
WEIGHT_ENDINGS: Final = (".safetensors", ".gguf", ".safetensors.index.json")
_MAX_README_BYTES = 1024 * 1024
_MAX_CONFIG_BYTES = 1024 * 1024
_MAX_CONFIG_VALUES = 100_000


def refresh(connection: Connection, hub: HubServer, repo: Repository) -> None:
    """Read the head of `main` again, in the transaction that moved it.

    What takes the bytes of weights is left to `weights.measure`: it is noted here that this is still to be done.
    """
    head, settings = connection.execute(
        select(repository.c.head, repository.c.settings).where(repository.c.id == repo.id)
    ).one()
    if head is None:
        return
    reader = DatabaseObjects(connection, repo.id)
    try:
        files = _root_files(reader, head)
    except GitObjectError:
        return
    readme = _text(reader, files.get(README), _MAX_README_BYTES)
    config = _config(_text(reader, files.get(CONFIG), _MAX_CONFIG_BYTES)) if repo.kind == "model" else {}
    values, tags = _described(repo.kind, readme, config, files)
    noted = {**settings, "tags": tags, "config": config, "weights": _weights_mark(files)}
    if noted["weights"] != settings.get("weights"):
        values.update(safetensors=None, gguf=None, parameters=None)
        if noted["weights"]:
            unmeasured.note(hub.database, repo.id)
    values.update(settings=noted, used_storage_bytes=stored_bytes(connection, repo.id))
    connection.execute(update(repository).where(repository.c.id == repo.id).values(**values))
    head_listing.keep(connection, repo.id, Files(connection, repo.id).head_listing(head))
    connection.execute(delete(repository_tag).where(repository_tag.c.repository_id == repo.id))
    if tags:
        connection.execute(insert(repository_tag), [{"repository_id": repo.id, "tag": tag} for tag in tags])


def is_measured(settings: Mapping[str, Any]) -> bool:
    """Whether the weights of the head have been looked into."""
    return not settings.get("weights") or settings.get("measured") == settings["weights"]


def _described(
    kind: str, readme: str, config: dict[str, Any], files: Mapping[str, TreeEntry]
) -> tuple[dict[str, Any], list[str]]:
    card = front_matter.parse(readme)
    told: dict[str, Any] = {}
    if kind == "model":
        model_type = words(config.get("model_type"))
        told = {
            "library": library_of(card, files, config),
            "pipeline": pipeline_of(card, config),
            "model_type": model_type[0] if model_type else None,
        }
    tags = tags_of(kind, card, front_matter.split(readme)[1], files, told)
    return {"card": card, "library_name": told.get("library"), "pipeline_tag": told.get("pipeline")}, tags


def _root_files(reader: DatabaseObjects, head: str) -> dict[str, TreeEntry]:
    entries = reader.tree(reader.commit(head).tree)
    return {entry.name: entry for entry in entries if entry.mode is not Mode.FOLDER}


def _text(reader: DatabaseObjects, entry: TreeEntry | None, limit: int) -> str:
    if entry is None:
        return ""
    facts = reader.blobs((entry.oid,)).get(entry.oid)
    if facts is None or facts.lfs_sha256 is not None or facts.size_bytes > limit:
        return ""
    return reader.read(entry.oid).data.decode("utf-8", "replace")


def _config(text: str) -> dict[str, Any]:
    """Return what of `config.json` clients are shown."""
    if not text:
        return {}
    try:
        parsed = parse_object(text.encode(), place=CONFIG, max_depth=32, max_values=_MAX_CONFIG_VALUES)
    except CheckpointError:
        return {}
    kept: dict[str, Any] = {}
    if architectures := words(parsed.get("architectures")):
        kept["architectures"] = [front_matter.clean(word) for word in architectures[:20]]
    if model_type := words(parsed.get("model_type")):
        kept["model_type"] = front_matter.clean(model_type[0])
    return kept


def _weights_mark(files: Mapping[str, TreeEntry]) -> str:
    """Return what changes whenever the weights in the root do; empty if there are none."""
    held = sorted(f"{name}\0{entry.oid}" for name, entry in files.items() if name.endswith(WEIGHT_ENDINGS))
    return hashlib.sha256("\n".join(held).encode()).hexdigest() if held else ""
