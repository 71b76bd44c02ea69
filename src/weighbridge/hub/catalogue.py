"""What a hub has published, as values and as the bytes of `catalogue.json`. Touches no disk."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.errors import HubError, InputError

FORMAT = "weighbridge-hub-v1"

_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class UnknownModelError(HubError, InputError):
    """Somebody asked for a name that the hub does not have, or that is short for several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedVersion:
    """A version that is ready to be published.

    Attributes:
        name: `owner/name`.
        folder: where its files are.
        manifest: its files, `model.sig` among them; other files of the folder are left out.
        stage: the stage that it enters.
        record: facts for the catalogue, as JSON values.
        attestation: what its publisher attests about it, outside of its signature; empty for nothing.
    """

    name: str
    folder: Path
    manifest: Manifest
    stage: str
    record: Mapping[str, Any]
    attestation: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedVersion:
    """An entry of the catalogue.

    Attributes:
        name: `owner/name`.
        digest: digest of the manifest of all its files, `model.sig` among them.
        stage: the stage that it is in.
        record: facts, as JSON values.
    """

    name: str
    digest: str
    stage: str
    record: Mapping[str, Any]


def read_catalogue(data: bytes, *, place: str) -> Mapping[str, PublishedVersion]:
    """Read what `write_catalogue` wrote.

    Raises:
        HubError: if it is anything else.
    """
    try:
        parsed = json.loads(data)
        if parsed["format"] != FORMAT:
            raise ValueError(f"its format is {parsed['format']!r}, expected {FORMAT!r}")
        return MappingProxyType({name: _published(name, item) for name, item in sorted(parsed["versions"].items())})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HubError(
            f"this is not a catalogue: {error}",
            place=place,
            hint="The file is damaged, or a newer Weighbridge wrote it: update Weighbridge.",
        ) from error


def find(catalogue: Mapping[str, PublishedVersion], name: str, *, place: str) -> PublishedVersion:
    """Return the entry of `owner/name`, or of `name` alone where only one owner has it.

    Raises:
        UnknownModelError: if there is none or there are several; names those that come near.
    """
    if name in catalogue:
        return catalogue[name]
    short: dict[str, list[str]] = {}
    for full in catalogue:
        short.setdefault(full.rpartition("/")[2], []).append(full)
    if len(matches := short.get(name, [])) == 1:
        return catalogue[matches[0]]
    if matches:
        message, near = f"several owners have a model {name!r}", matches
    else:
        message = f"there is no model {name!r} in this hub"
        close = difflib.get_close_matches(name, [*catalogue, *short], n=5, cutoff=0.5)
        near = list(dict.fromkeys(full for item in close for full in short.get(item, [item]))) or list(catalogue)[:5]
    hint = f"Did you mean {' or '.join(near)}?" if near else "Nothing is published here yet."
    raise UnknownModelError(message, place=place, hint=hint)


def check_staged(versions: Sequence[StagedVersion], retire: Sequence[str]) -> None:
    """Raise a `HubError` for names that are not names or occur twice."""
    names = [staged.name for staged in versions]
    for name in names:
        if not _is_name(name):
            raise HubError(
                f"{name!r} is not a model name",
                hint="A name is owner/name, each up to 96 of A-Z a-z 0-9 . _ - and not beginning with a dot.",
            )
    for name in set(names):
        if names.count(name) > 1 or name in retire:
            raise HubError(f"{name!r} occurs twice in what is to be published and retired")


def _is_name(name: str) -> bool:
    parts = name.split("/")
    return len(parts) == 2 and all(_PART.match(part) for part in parts)


def _published(name: str, item: dict[str, Any]) -> PublishedVersion:
    digest, stage, record = item["digest"], item["stage"], item["record"]
    if not (_is_name(name) and isinstance(digest, str) and _SHA256.match(digest)):
        raise ValueError(f"the entry {name!r} has a bad name or digest")
    if not isinstance(stage, str) or not isinstance(record, dict):
        raise ValueError(f"the entry {name!r} has another shape")
    return PublishedVersion(name=name, digest=digest, stage=stage, record=MappingProxyType(record))


def write_catalogue(catalogue: Mapping[str, PublishedVersion]) -> bytes:
    """Return the bytes of `catalogue.json`: the same for the same content."""
    versions = {
        name: {"digest": version.digest, "stage": version.stage, "record": dict(version.record)}
        for name, version in catalogue.items()
    }
    try:
        text = json.dumps(
            {"format": FORMAT, "versions": versions}, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise HubError(f"a record for the catalogue cannot be written as JSON: {error}") from error
    return text.encode() + b"\n"
