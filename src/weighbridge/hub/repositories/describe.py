"""A repository as the JSON that clients read: `ModelInfo`, `DatasetInfo` and `SpaceInfo` of huggingface_hub.

Names of properties, and which a client may ask for by `expand`, are those of its `Expand…Property_T`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Connection, func, select

from weighbridge.hub.database.schema import repository, repository_tag
from weighbridge.hub.http.refusal import bad_request
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.listing import Files
from weighbridge.hub.repositories.tags import words
from weighbridge.hub.repositories.times import iso

NOT_SCANNED: Final = {"scansDone": False, "filesWithIssues": []}

# By the end of a class of Transformers: the class that loads it (transformers' `modeling_auto`).
_AUTO_MODELS = {
    "ForCausalLM": "AutoModelForCausalLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForMaskedLM": "AutoModelForMaskedLM",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
    "ForImageClassification": "AutoModelForImageClassification",
    "Model": "AutoModel",
}
_SPACES_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A repository at a revision, and what reading more of it takes."""

    connection: Connection
    repo: Repository
    sha: str | None
    modified_ms: int
    blobs: bool = False


def siblings(view: View) -> orjson.Fragment:
    """Return all files of the revision."""
    if view.sha is None:
        return orjson.Fragment(b"[]")
    files = Files(view.connection, view.repo.id)
    return orjson.Fragment(files.siblings(files.root(view.sha), blobs=view.blobs))


def full(view: View) -> dict[str, Any]:
    """Return everything that a client reads when it asks for nothing in particular."""
    told = identity(view.repo)
    told["modelId"] = view.repo.full_name
    for name in _FULL[view.repo.kind]:
        value = _PROPERTIES[name](view)
        if value is not None or name == "pipeline_tag":
            told[name] = value
    return told


def listed(view: View, extra: tuple[str, ...]) -> dict[str, Any]:
    """Return what a list shows of a repository, with the properties `extra`."""
    told = identity(view.repo)
    told["modelId"] = view.repo.full_name
    for name in (*_LISTED[view.repo.kind], *extra):
        value = _PROPERTIES[name](view)
        if value is not None:
            told[name] = value
    return told


def expanded(view: View, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the properties of these names, those that have a value."""
    told = identity(view.repo)
    for name in names:
        value = _PROPERTIES[name](view)
        if value is not None:
            told[name] = value
    return told


def check_expand(kind: str, names: list[str]) -> tuple[str, ...]:
    """Return the names of properties to expand.

    Raises:
        Refusal: 400 if this kind of repository has no such property.
    """
    for name in names:
        if name not in _EXPANDABLE[kind]:
            allowed = ", ".join(sorted(_EXPANDABLE[kind]))
            raise bad_request(f"A {kind} has no property {name[:80]!r} to expand; there are {allowed}.")
    return tuple(dict.fromkeys(names))


def identity(repo: Repository) -> dict[str, Any]:
    """Return what every description of a repository begins with."""
    return {"_id": f"{repo.id:024x}", "id": repo.full_name}


def _card(view: View) -> Mapping[str, Any] | None:
    return view.repo.card or None


def _base_models(view: View) -> list[str] | None:
    return list(words(view.repo.card.get("base_model"))) or None


def _children(view: View) -> int:
    children = (
        select(func.count())
        .select_from(repository_tag)
        .join(repository, repository.c.id == repository_tag.c.repository_id)
        .where(repository_tag.c.tag == f"base_model:{view.repo.full_name}", repository.c.visibility == "public")
    )
    return int(view.connection.execute(children).scalar_one())


def _spaces(view: View) -> list[str]:
    return list(
        view.connection.execute(
            select(repository.c.full_name)
            .join(repository_tag, repository_tag.c.repository_id == repository.c.id)
            .where(repository_tag.c.tag == f"model:{view.repo.full_name}")
            .where(repository.c.kind == "space", repository.c.visibility == "public")
            .limit(_SPACES_SHOWN)
        ).scalars()
    )


def _transformers(view: View) -> dict[str, Any] | None:
    if view.repo.library_name != "transformers":
        return None
    named = words(view.repo.settings.get("config", {}).get("architectures"))
    for ending, auto_model in _AUTO_MODELS.items():
        if named and named[0].endswith(ending):
            return {"auto_model": auto_model, "pipeline_tag": view.repo.pipeline_tag, "processor": "AutoTokenizer"}
    return None


def _runtime(view: View) -> dict[str, Any]:
    return {"stage": "STOPPED", "hardware": {"current": None, "requested": None}, "storage": None}


def _of_card(field: str) -> Callable[[View], Any]:
    return lambda view: view.repo.card.get(field)


def _words_of_card(field: str) -> Callable[[View], Any]:
    return lambda view: list(words(view.repo.card.get(field)))


def _nothing(view: View) -> None:
    """A property of the Hub for which this hub has nothing to say."""


_PROPERTIES: Mapping[str, Callable[[View], Any]] = {
    "author": lambda view: view.repo.owner_name,
    "baseModels": _base_models,
    "cardData": _card,
    "childrenModelCount": _children,
    "citation": _nothing,
    "config": lambda view: view.repo.settings.get("config") or None,
    "createdAt": lambda view: iso(view.repo.created_ms),
    "datasets": _words_of_card("datasets"),
    "description": _of_card("description"),
    "disabled": lambda view: view.repo.disabled_ms is not None,
    "downloads": lambda view: view.repo.downloads,
    "downloadsAllTime": lambda view: view.repo.downloads,
    "evalResults": _nothing,
    "gated": lambda view: view.repo.gated or False,
    "gguf": lambda view: view.repo.gguf,
    "inference": _nothing,
    "inferenceProviderMapping": _nothing,
    "lastModified": lambda view: iso(view.modified_ms),
    "library_name": lambda view: view.repo.library_name,
    "likes": lambda view: view.repo.likes,
    "mainSize": _nothing,
    "mask_token": _nothing,
    "model-index": _of_card("model-index"),
    "models": _words_of_card("models"),
    "paperswithcode_id": _of_card("paperswithcode_id"),
    "pipeline_tag": lambda view: view.repo.pipeline_tag,
    "private": lambda view: view.repo.visibility == "private",
    "region": _nothing,
    "resourceGroup": _nothing,
    "runtime": _runtime,
    "safetensors": lambda view: view.repo.safetensors,
    "sdk": _of_card("sdk"),
    "sha": lambda view: view.sha,
    "siblings": siblings,
    "spaces": _spaces,
    "subdomain": lambda view: view.repo.full_name.lower().replace("/", "-").replace("_", "-").replace(".", "-"),
    "tags": lambda view: view.repo.settings.get("tags", []),
    "transformersInfo": _transformers,
    "trendingScore": lambda view: view.repo.likes,
    "usedStorage": lambda view: view.repo.used_storage_bytes,
    "widgetData": _nothing,
    # Asked for by huggingface_hub before 1.0, which else uploads no large folder.
    "xetEnabled": lambda view: True,
}

_ALWAYS = ("author", "createdAt", "disabled", "gated", "lastModified", "likes", "private", "sha", "siblings", "tags")
_COUNTED = ("downloads",)
_STATED = ("cardData", "usedStorage")
_FULL: Final = {
    "model": (
        *(*_ALWAYS, *_COUNTED, *_STATED),
        *("pipeline_tag", "library_name", "config", "safetensors", "gguf", "transformersInfo", "model-index"),
    ),
    "dataset": (*_ALWAYS, *_COUNTED, *_STATED, "description", "paperswithcode_id"),
    "space": (*_ALWAYS, *_STATED, "sdk", "subdomain", "runtime", "models", "datasets"),
}
_SHORT = ("likes", "trendingScore", "private", "gated", "tags", "createdAt", "lastModified", "author")
_LISTED: Final = {
    "model": (*_SHORT, "downloads", "pipeline_tag", "library_name"),
    "dataset": (*_SHORT, "downloads", "disabled", "description"),
    "space": (*_SHORT, "sdk"),
}
_COMMON = {
    *("author", "cardData", "createdAt", "disabled", "lastModified", "likes", "private", "resourceGroup", "sha"),
    *("siblings", "tags", "trendingScore", "usedStorage", "gated", "xetEnabled"),
}
_EXPANDABLE: Final = {
    "model": _COMMON
    | {"baseModels", "childrenModelCount", "config", "downloads", "downloadsAllTime", "evalResults", "gguf"}
    | {"inference", "inferenceProviderMapping", "library_name", "mask_token", "model-index", "pipeline_tag"}
    | {"safetensors", "spaces", "transformersInfo", "widgetData"},
    "dataset": _COMMON | {"citation", "description", "downloads", "downloadsAllTime", "mainSize", "paperswithcode_id"},
    "space": _COMMON | {"datasets", "models", "region", "runtime", "sdk", "subdomain"},
}
