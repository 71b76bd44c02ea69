"""What single libraries import by a name in their configuration: PEFT, diffusers, sentence-transformers, servers."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from weighbridge.evidence.audit.files.configuration_kernel import inspect_packages
from weighbridge.evidence.audit.files.seen import Seen, shown, suspect
from weighbridge.evidence.record import Severity

_PEFT_LIBRARIES = ("transformers", "peft", "diffusers")
_DIFFUSERS_LIBRARIES = ("diffusers", "transformers", "stable_diffusion")
_MAX_OBJECTS = 100_000


def _imports(library: str, named: object, place: str) -> Seen:
    message = f"it tells {library} to import {str(named)[:80]!r}"
    return suspect("foreign-import", message, place, Severity.HIGH)


def _members(base: str, document: object) -> Iterator[Seen]:
    waiting: list[tuple[str, object]] = [("", document)]
    for _ in range(_MAX_OBJECTS):
        if not waiting:
            return
        place, value = waiting.pop()
        if isinstance(value, list):
            waiting.extend((place, item) for item in value if isinstance(item, list | dict))
        elif isinstance(value, Mapping):
            waiting.extend(
                (f"{place}/{str(key)[:80]}", item) for key, item in value.items() if isinstance(item, list | dict)
            )
            yield from _member(value, place[:200])


def _member(value: Mapping[str, Any], place: str) -> Iterator[Seen]:
    mapping = value.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    if library is not None and not (isinstance(library, str) and library.split(".")[0] in _PEFT_LIBRARIES):
        yield _imports("PEFT", library, place)
    function = value.get("activation_function")
    if isinstance(function, str) and "." in function and not function.startswith("torch.nn."):
        yield _imports("sentence-transformers", function, place)


def _modules(base: str, document: object) -> Iterator[Seen]:
    for item in document if base == "modules.json" and isinstance(document, list) else ():
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
            yield _imports("sentence-transformers", kind, "")


def _pipeline(base: str, document: object) -> Iterator[Seen]:
    """Look at the parts of a diffusers pipeline: each is named by [library, class]."""
    if base != "model_index.json" or not isinstance(document, Mapping):
        return
    for key, value in document.items():
        library = value[0] if isinstance(value, list) and len(value) == 2 else None
        if isinstance(library, str) and (key == "_class_name" or library not in _DIFFUSERS_LIBRARIES):
            yield _imports("diffusers", library, f"/{str(key)[:80]}")


def _hooks(base: str, document: object) -> Iterator[Seen]:
    """Files that servers and editors run: launch tasks, hooks of package managers."""
    if base == "package.json" and isinstance(document, Mapping) and isinstance(document.get("scripts"), Mapping):
        hooks = sorted({"preinstall", "install", "postinstall", "prepare"} & document["scripts"].keys())
        if hooks:
            message = f"installing it runs a script ({', '.join(hooks)})"
            yield suspect("install-hook", message, "/scripts", Severity.HIGH)
    if base in ("tasks.json", "launch.json") and "command" in json.dumps(document)[:100_000]:
        yield suspect("editor-task", "an editor that opens the folder may run its commands", "", Severity.MEDIUM)
    if base == "adapter_config.json" and isinstance(document, Mapping):
        parent = document.get("base_model_name_or_path")
        if isinstance(parent, str) and parent.startswith(("http:", "https:", "file:", "/", "..")):
            yield suspect("base-elsewhere", f"its base is a link or path: {shown(parent)}", "", Severity.LOW)


LIBRARY_RULES: tuple[Callable[[str, object], Iterator[Seen]], ...] = (
    _members,
    _modules,
    _pipeline,
    _hooks,
    inspect_packages,
)
