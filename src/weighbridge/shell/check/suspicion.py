"""What in a folder could run when somebody loads the model: pickles, programs, custom code, archives, templates.

Nothing is opened with the library that would load it. What is not on a short list of formats that hold data only is
unknown: that a file looks harmless is no reason to pass it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from weighbridge.adopt.check.answer import Outcome
from weighbridge.adopt.check.subject import Sighting
from weighbridge.checkpoint.document import parse_object
from weighbridge.errors import CheckpointError
from weighbridge.shell.check.capture import Capture, is_licence_name
from weighbridge.shell.check.chat_template import template_sightings
from weighbridge.shell.check.hidden_text import hidden_characters


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PICKLES = frozenset((".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".mar", ".nemo"))
_ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".whl", ".npz"))
_SCRIPTED = frozenset((".html", ".htm", ".svg", ".pdf", ".js", ".xml", ".ipynb", ".docx", ".xlsx"))
_GRAPHS = frozenset(
    (".h5", ".hdf5", ".keras", ".pb", ".onnx", ".tflite", ".mlmodel", ".engine", ".plan", ".npy", ".ot")
)
_DATA = _words(
    """.safetensors .gguf .json .jsonl .txt .md .rst .yaml .yml .toml .cfg .ini .csv .tsv .jinja .jinja2 .model .spm
    .vocab .bpe .merges .tiktoken .parquet .arrow .png .jpg .jpeg .gif .webp .ico .wav .mp3 .flac .ogg .mp4 .bib .cff
    .sig .pem .pub .lock .gitattributes .gitignore .spdx"""
)
_SOURCE = frozenset((".py", ".sh", ".bash", ".ps1", ".bat", ".c", ".cpp", ".cu", ".rs", ".go", ".java", ".r", ".pl"))
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x7fELF", "a program (ELF)"),
    (b"\xcf\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "a program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a program (Mach-O or Java)"),
    (b"\x00asm", "a program (WebAssembly)"),
)
_PACKED = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf", b"(\xb5/\xfd", b"Rar!")
_PICKLE_STARTS = b"}])(c\x95NKXhU\x8c\x8a\x8d"
_AWAY = "Obtain a copy without it (weights as safetensors or GGUF hold no code), and never load it."
_READ_IT = "Read it before anybody runs it, or leave it out."
_MAX_DEPTH, _MAX_VALUES = 64, 2_000_000
_MAX_SIGHTINGS = 200
_CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")


def folder_sightings(
    capture: Capture,
    files: Iterable[str],
    *,
    weights: Iterable[str],
    metadata: Mapping[str, Mapping[str, Any]],
    published_code: Iterable[str],
) -> tuple[tuple[Sighting, ...], tuple[tuple[str, int], ...]]:
    """Return what was seen, and what was looked at.

    Args:
        capture: what the pass over the bytes kept.
        files: every file.
        weights: those whose headers were found sound: they hold tensors and nothing else.
        metadata: header key-values of weight files; GGUF keeps chat templates there.
        published_code: files and folders that the publisher discloses as parts of the work, such as training code.
    """
    names, sound = tuple(files), frozenset(weights)
    disclosed = tuple(item.rstrip("/") for item in published_code if item)
    found = [s for path in names if (s := _file(path, capture.heads.get(path, b""), sound, disclosed)) is not None]
    configs = {path: data for path in names if (data := _json(capture, path)) is not None}
    for path, data in configs.items():
        found += _custom_code(path, data)
    templates = dict(_templates(capture, names, configs, metadata))
    for place, source in templates.items():
        found += template_sightings(source, place)
    found += _differing(templates)
    found += _hidden(capture)
    for path in capture.too_large:
        message = "it is larger than files of its kind are, and was not looked into"
        found.append(Sighting(place=path, message=message, outcome=Outcome.UNKNOWN, remedy=_READ_IT))
    if len(found) > _MAX_SIGHTINGS:
        more = f"{len(found) - _MAX_SIGHTINGS} more things were seen than are listed"
        found.sort(key=lambda item: item.outcome is not Outcome.FAIL)
        found = [*found[:_MAX_SIGHTINGS], Sighting(place="the folder", message=more, outcome=Outcome.UNKNOWN)]
    return tuple(found), (("file", len(names)), ("chat template", len(templates)))


def _file(path: str, head: bytes, sound: frozenset[str], disclosed: tuple[str, ...]) -> Sighting | None:
    suffix = PurePosixPath(path).suffix.lower()
    if path in sound:
        return None
    if what := _program(head):
        return Sighting(place=path, message=f"it is {what}", outcome=Outcome.FAIL, remedy=_AWAY)
    if suffix in _PICKLES or _is_pickle(head) or (suffix == ".bin" and head.startswith(b"PK\x03\x04")):
        message = "it is a pickle, which runs whatever its maker put into it when it is loaded"
        return Sighting(place=path, message=message, outcome=Outcome.FAIL, remedy=_AWAY)
    if suffix in _ARCHIVES or head.startswith(_PACKED):
        message = "it is an archive, and was not opened"
        return Sighting(place=path, message=message, outcome=Outcome.UNKNOWN, remedy=_READ_IT)
    if head.startswith(b"#!") or suffix in _SOURCE:
        return _source(path, suffix, disclosed)
    if suffix in _SCRIPTED:
        message = "files of its kind can hold scripts, and it was not looked into"
        return Sighting(place=path, message=message, outcome=Outcome.UNKNOWN, remedy=_READ_IT)
    if suffix in _GRAPHS or suffix == ".bin" or not _is_data(path, suffix, head):
        message = "nobody here knows what loading it does"
        return Sighting(place=path, message=message, outcome=Outcome.UNKNOWN, remedy=_READ_IT)
    return None


def _program(head: bytes) -> str:
    if head.startswith(b"MZ") and b"\0" in head:
        return "a program (Windows)"
    return next((what for magic, what in _MAGIC if head.startswith(magic)), "")


def _is_pickle(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5 and head[2] in _PICKLE_STARTS


def _source(path: str, suffix: str, disclosed: tuple[str, ...]) -> Sighting:
    if path.rpartition("/")[0].rpartition("/")[2] == "custom_generate":
        message = "it is code that transformers runs with `trust_remote_code`"
        return Sighting(place=path, message=message, outcome=Outcome.FAIL, remedy="Load it without trust_remote_code.")
    if any(path == item or path.startswith(f"{item}/") for item in disclosed):
        message = "it is source code that the publisher discloses as part of the work; nothing loads it by itself"
        return Sighting(place=path, message=message, outcome=None)
    message = f"it is source code ({suffix or 'a script'}), and nothing says what it is for"
    return Sighting(place=path, message=message, outcome=Outcome.UNKNOWN, remedy=_READ_IT)


def _is_data(path: str, suffix: str, head: bytes) -> bool:
    if suffix in _DATA or is_licence_name(path):
        return True
    if path.rpartition("/")[2].lower() in (".gitattributes", ".gitignore", "readme", "version", "authors", "merges"):
        return b"\0" not in head
    return False


def _json(capture: Capture, path: str) -> Mapping[str, Any] | None:
    name = path.rpartition("/")[2]
    data = capture.text(path)
    if data is None or (name not in _CONFIGS and name not in ("chat_template.json", "modules.json")):
        return None
    if name == "modules.json":
        data = b'{"modules":' + data + b"}"
    try:
        return parse_object(data, place=path, max_depth=_MAX_DEPTH, max_values=_MAX_VALUES)
    except CheckpointError as error:
        return {"": error.message}


def _custom_code(path: str, data: Mapping[str, Any]) -> Iterator[Sighting]:
    if "" in data and len(data) == 1:
        message = f"it cannot be read, so what it makes a loader do is not known: {data['']}"
        yield Sighting(place=path, message=message, outcome=Outcome.UNKNOWN, remedy="Tell the publisher.")
    if data.get("auto_map"):
        named = json.dumps(data["auto_map"])[:200]
        message = f"it tells loaders to run code that comes with the model (auto_map {named})"
        remedy = "Load it without trust_remote_code, or take a model that your tools know by themselves."
        yield Sighting(place=path, message=message, outcome=Outcome.FAIL, remedy=remedy)
    modules = data.get("modules")
    for item in modules if isinstance(modules, list) else ():
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
            message = f"it tells sentence-transformers to import {str(kind)[:80]!r}"
            yield Sighting(place=path, message=message, outcome=Outcome.FAIL, remedy=_READ_IT)


def _templates(
    capture: Capture,
    files: Iterable[str],
    configs: Mapping[str, Mapping[str, Any]],
    metadata: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str]]:
    for path in files:
        if path.endswith((".jinja", ".jinja2")) and (data := capture.text(path)) is not None:
            yield path, data.decode("utf-8", "replace")
    for path, config in configs.items():
        yield from _named(path, "chat_template", config.get("chat_template"))
    for path, values in metadata.items():
        for key, value in values.items():
            if key.startswith("tokenizer.chat_template") and isinstance(value, str):
                yield f"{path}: {key}", value


def _named(path: str, key: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield a template, or each of a list of named ones."""
    if isinstance(value, str):
        yield f"{path}: {key}", value
    for number, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict) and isinstance(item.get("template"), str):
            yield f"{path}: {key} {str(item.get('name', number))[:40]!r}", item["template"]


def _differing(templates: Mapping[str, str]) -> Iterator[Sighting]:
    plain = {place: text for place, text in templates.items() if _is_default(place)}
    if len({text.strip() for text in plain.values()}) > 1:
        message = (
            f"{' and '.join(sorted(plain)[:4])} hold different chat templates: which one counts depends on the loader"
        )
        yield Sighting(place="the folder", message=message, outcome=Outcome.UNKNOWN, remedy="Ask the publisher.")


def _is_default(place: str) -> bool:
    name = place.rpartition("/")[2]
    default = place.endswith((": chat_template", ": tokenizer.chat_template")) or name.startswith("chat_template.jinja")
    return default and "/" not in place.partition(":")[0]


def _hidden(capture: Capture) -> Iterator[Sighting]:
    for path in capture.kept:
        if PurePosixPath(path).suffix.lower() in (".md", ".txt", ".py", ".yaml", ".yml", ".json", ""):
            text = capture.text(path) or b""
            if not text.isascii():
                yield from hidden_characters(text.decode("utf-8", "replace"), path, template=False)
