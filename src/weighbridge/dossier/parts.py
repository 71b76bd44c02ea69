"""Which components of a model really lie in a release, and which are only said to be elsewhere.

What counts, component by component:

* The weights are the `.safetensors` and `.gguf` files of the payload, under the licence that the chain of parents comes
  to, never under a laxer one that was only declared.
* The code of the architecture counts where it lies in the release: `modeling_*.py`, or what the publisher names. That
  transformers or llama.cpp implement an architecture of this name is noted as stated elsewhere, for it and for code to
  run it: a configuration that names an architecture is not its code.
* Model card and evaluation results are those that Weighbridge writes from what was measured.
* A data card counts for each data set that the model was trained on, as the publisher states them; if none is stated,
  there is no data card, whatever was used to weigh the model.
* A data set without a stated licence has none: it seldom is the publisher's own, and the licence of the release does
  not cover it.
* All else counts where the publisher names its path and files lie there. What is named by address is stated elsewhere.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from weighbridge.dossier.disclosure import DataSet
from weighbridge.dossier.release import CARD_NAME, RELEASE_NAME, ReleaseRecord
from weighbridge.errors import InputError
from weighbridge.terms.chain import WEIGHT_RELATIONS
from weighbridge.terms.expression import Expression, join, parse, unreadable
from weighbridge.terms.openness.component import KINDS, UNLICENSED, Part, load
from weighbridge.terms.openness.openness import Openness, assess
from weighbridge.terms.registry import OTHER, registry

_WEIGHTS = (".safetensors", ".gguf")
_TRAINING = ("training", "fine-tuning")
_METADATA = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


def openness_of(
    record: ReleaseRecord, paths: Iterable[str], *, recognised: Mapping[str, str] | None = None
) -> Openness:
    """Recompute how open a release is from its files and what its record discloses.

    Args:
        record: the record; what it says of its own openness is not read.
        paths: every file of the release, payload and dossier, relative to its root.
        recognised: licences that were recognised in files of the release: path to identifier.

    Raises:
        InputError: if the publisher names a component that does not exist.
    """
    found = dict(recognised or {})
    disclosure = record.disclosure
    return assess(
        release_parts(record, paths, recognised=found),
        license_of_release=_with_recognised(record.license, found, ""),
        bases=_bases(record.parents),
        complete=bool(disclosure.components or disclosure.data),
    )


def openness_of_folder(
    paths: Iterable[str],
    *,
    license: str,  # noqa: A002  # what it is called everywhere
    recognised: Mapping[str, str] | None = None,
    parents: Sequence[Mapping[str, Any]] = (),
    format: str = "",  # noqa: A002  # as in a record
    family: str = "",
    more: Sequence[Part] = (),
) -> Openness:
    """Recompute how open a folder is that no record describes; what is not in it may be anywhere.

    Args:
        paths: every file, relative to the root.
        license: as its card states it; empty if it does not.
        recognised: licences that were recognised in files: path to identifier.
        parents: what the card states that it descends from, each with `ref`, `relation` and, where known, `license`.
        format: `safetensors` or `gguf`; empty if not known.
        family: name of its architecture; empty if not known.
        more: parts that the caller knows of, such as results on the card.
    """
    found, names = dict(recognised or {}), tuple(sorted(set(paths)))
    root = _with_recognised(license, found, "")
    weights = [path for path in names if PurePosixPath(path).suffix in _WEIGHTS]
    parts = (
        *_weight_parts(weights, _inherited(root, parents) if root or parents else ""),
        *(Part(kind="model-architecture", place=path) for path in names if _is_modelling(path)),
        *_implemented(format, family),
        *(Part(kind="model-card", place=path) for path in names if path == CARD_NAME),
        *_metadata(names),
        *more,
    )
    return assess(parts, license_of_release=root, bases=_bases(parents), complete=False)


def release_parts(
    record: ReleaseRecord, paths: Iterable[str], *, recognised: Mapping[str, str] | None = None
) -> tuple[Part, ...]:
    """Return the parts of a release; arguments and errors as those of `openness_of`."""
    release = _Release(record=record, paths=tuple(sorted(set(paths))), recognised=dict(recognised or {}))
    return (
        *_weights(release),
        *_code(release),
        *_documents(release),
        *_data(release),
        *_named(release),
        *_metadata(release.paths),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    record: ReleaseRecord
    paths: tuple[str, ...]
    recognised: Mapping[str, str]

    def holds(self, path: str) -> bool:
        """Say whether `path` is a file of the release, or a folder with files in it."""
        inside = path.rstrip("/") + "/"
        return bool(path) and any(item == path or item.startswith(inside) for item in self.paths)

    def licence(self, stated: str, path: str) -> str:
        return _with_recognised(stated, self.recognised, path)


def _bases(parents: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(parent["ref"]) for parent in parents if _is_base(parent)))


def _is_base(parent: Mapping[str, Any]) -> bool:
    return parent.get("relation") in WEIGHT_RELATIONS


def _with_recognised(stated: str, recognised: Mapping[str, str], folder: str) -> str:
    """Return the licence of a folder: as stated, and as the LICENSE files in it say. Where they differ, both."""
    root = PurePosixPath(folder)
    names = [stated] if stated else []
    for path, licence in sorted(recognised.items()):
        file = PurePosixPath(path)
        if file.parent == root and file.name.upper().startswith(("LICENSE", "LICENCE", "COPYING")):
            names.append(licence)
    return _joined(names)


def _weights(release: _Release) -> Iterator[Part]:
    payload = (str(entry.path) for entry in release.record.manifest if entry.path.suffix in _WEIGHTS)
    licence, root = weights_licence(release.record), release.licence("", "")
    # The LICENSE file of the root is part of what the whole release is under.
    yield from _weight_parts(
        (path for path in payload if path in release.paths), _joined([licence, root]) if root else licence
    )


def _weight_parts(paths: Iterable[str], licence: str) -> Iterator[Part]:
    for path in paths:
        yield Part(kind="model-parameters-final", license=licence, place=path)


def weights_licence(record: ReleaseRecord) -> str:
    """Return the licence of the weights: what the chain comes to, joined with every parent's that it leaves out.

    A parent without a stated licence leaves a name in it that no licence goes by.
    """
    return _inherited(str((record.terms or {}).get("expression") or record.license), record.parents)


def _inherited(declared: str, parents: Iterable[Mapping[str, Any]]) -> str:
    names = [declared]
    for parent in parents:
        if _is_base(parent):
            stated = str(parent.get("license") or "")
            names.append("" if stated.lower() in (OTHER, "unknown") else stated)
    return _joined(names)


def _joined(names: Iterable[str]) -> str:
    """Return an expression that asks for all of `names`, or nothing for none of them."""
    read = [_read(name) for name in names]
    return join(read) if read else ""


def _read(name: str) -> Expression:
    try:
        return parse(name, registry())
    except InputError:
        return unreadable(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Software:
    name: str
    format: str
    license: str
    url: str
    families: frozenset[str]


def _code(release: _Release) -> Iterator[Part]:
    for path in release.paths:
        if _is_modelling(path) and not _is_named(release, path):
            yield Part(kind="model-architecture", place=path)
    yield from _implemented(release.record.format, str(release.record.architecture.get("family")))


def _is_modelling(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.startswith("modeling_") and name.endswith(".py")


def _implemented(format_name: str, family: str) -> Iterator[Part]:
    for software in _implementations():
        if software.format == format_name and family in software.families:
            place = f"{software.name}, {software.url}"
            for kind in ("model-architecture", "inference-code"):
                yield Part(kind=kind, license=software.license, in_release=False, place=place)


def _metadata(paths: Iterable[str]) -> Iterator[Part]:
    for path in paths:
        if path in _METADATA:
            yield Part(kind="model-metadata", place=path)


@functools.cache
def _implementations() -> tuple[_Software, ...]:
    tables = load("implementations.toml")["software"]
    return tuple(_Software(**{**table, "families": frozenset(table["families"])}) for table in tables)


def _is_named(release: _Release, path: str) -> bool:
    named = (item.path.rstrip("/") for item in release.record.disclosure.components if item.path)
    return any(path == item or path.startswith(f"{item}/") for item in named)


def _documents(release: _Release) -> Iterator[Part]:
    if CARD_NAME in release.paths:
        yield Part(kind="model-card", place=CARD_NAME)
    if release.record.measurements and RELEASE_NAME in release.paths:
        yield Part(kind="evaluation-results", place=RELEASE_NAME)
    for item in release.record.disclosure.data:
        if _is_training(item):
            from weighbridge.dossier.croissant import croissant_name

            place = croissant_name(item)
            yield Part(kind="data-card", in_release=place in release.paths, place=place)


def _is_training(item: DataSet) -> bool:
    return any(role in _TRAINING for role in item.roles)


def _data(release: _Release) -> Iterator[Part]:
    for item in release.record.disclosure.data:
        kinds = (("datasets", _is_training(item)), ("evaluation-data", "evaluation" in item.roles))
        here = release.holds(item.path)
        for kind, plays in kinds:
            if plays:
                licence = release.licence(item.license, item.path) if here else item.license
                place = item.path if here else item.url or item.name
                yield Part(kind=kind, license=licence or UNLICENSED, in_release=here, place=place)


def _named(release: _Release) -> Iterator[Part]:
    for item in release.record.disclosure.components:
        if item.kind not in KINDS:
            raise InputError(
                f"{item.kind!r} is no component of a model", hint=f"The components are {', '.join(KINDS)}."
            )
        here = release.holds(item.path)
        licence = release.licence(item.license, item.path) if here else item.license
        yield Part(kind=item.kind, license=licence, in_release=here, place=item.path if here else item.url or item.path)
