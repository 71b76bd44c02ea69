"""A data card in Croissant 1.1 with the responsible-AI extension, one for each data set that the publisher discloses.

Formats: https://docs.mlcommons.org/croissant/docs/croissant-spec.html and
https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html .
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.dossier.bom_text import bom_bytes, is_sha256, read_licence, sha256_text, web_address
from weighbridge.dossier.disclosure import DataSet
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.registry import Registry, registry

CROISSANT = "http://mlcommons.org/croissant/1.1"
CROISSANT_RAI = "http://mlcommons.org/croissant/RAI/1.0"
FOLDER = "data"

_FORMATS: Mapping[str, str] = {
    ".jsonl": "application/jsonlines",
    ".json": "application/json",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".parquet": "application/x-parquet",
    ".txt": "text/plain",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
}
_TYPES: Mapping[str, str] = {
    "text": "sc:Text",
    "integer": "sc:Integer",
    "float": "sc:Float",
    "boolean": "sc:Boolean",
}
_COLLECTION_TYPES = {"scraped": "Web Scraping", "user": "User-generated content data"}
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_FILE_ID = "file"

# The context of the specification; readers compare it.
_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    **{
        term: f"cr:{term}"
        for term in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
            "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
            "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
            "separator", "source", "subField", "transform",
        )
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordField:
    """One field of the records of a JSONL file.

    Attributes:
        name: its key; letters, digits and underscores.
        type: `text`, `integer`, `float` or `boolean`.
        description: what it holds.
    """

    name: str
    type: str = "text"
    description: str = ""

    def __post_init__(self) -> None:
        if not _FIELD_NAME.match(self.name) or self.type not in _TYPES:
            raise ValueError(f"not a field of a record: {self.name!r} of type {self.type!r}")


def croissant_name(data_set: DataSet) -> str:
    """Return the path of a data set's card in the release; two names never share one."""
    slug = re.sub(r"[^a-z0-9]+", "-", data_set.name.lower())[:60].strip("-")
    mark = "" if slug and slug == data_set.name else f"-{sha256_text(data_set.name)[:8]}"
    return f"{FOLDER}/{slug}{mark}.croissant.json".replace("/-", "/")


def croissant(
    record: ReleaseRecord,
    data_set: DataSet,
    *,
    fields: Sequence[RecordField] = (),
    licences: Registry | None = None,
) -> bytes:
    """Return the data card of one data set of `record.disclosure`.

    Args:
        record: the version that it ships with.
        data_set: what the publisher states about the data set.
        fields: the fields of its records, if it lies in the release as JSONL and they are known.
        licences: the licences that are known by name; those that ship with Weighbridge if None.

    Raises:
        UnsafePathError: if the path of the data set leads out of the release.
    """
    known = registry() if licences is None else licences
    distribution = _distribution(record, data_set)
    records = _record_set(fields) if distribution and data_set.path.endswith(".jsonl") and fields else None
    card = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CROISSANT, CROISSANT_RAI],
        "name": data_set.name,
        "description": data_set.description.strip(),
        "license": _licence(data_set.license, known),
        "url": web_address(data_set.url),
        "inLanguage": [language for language in data_set.languages if language.strip()],
        "keywords": [f"modality:{modality}" for modality in data_set.modalities if modality.strip()],
        "distribution": distribution,
        "recordSet": records,
        **_responsible(data_set),
    }
    return bom_bytes({key: value for key, value in card.items() if value not in (None, "", [])})


def _licence(stated: str, known: Registry) -> str:
    """Return the address of a licence on the SPDX list, else what was stated."""
    licence = read_licence(stated, known)
    if licence is None:
        return ""
    on_list = licence.expression and not licence.refs and " " not in licence.expression
    return f"https://spdx.org/licenses/{licence.expression}.html" if on_list else licence.stated


def _distribution(record: ReleaseRecord, data_set: DataSet) -> list[dict[str, Any]]:
    """Return the file of the data set, if one lies in the release and its digest is known."""
    if not data_set.path:
        return []
    path = relative_path(data_set.path)
    entry = record.manifest.get(str(path))
    digest = entry.sha256 if entry else data_set.sha256
    # Without a suffix it is a folder, whose digest binds a manifest and is no hash of a file.
    if not is_sha256(digest) or not path.suffix:
        return []
    inside = path.parts[0] == FOLDER and len(path.parts) > 1
    size = entry.size_bytes if entry else data_set.size_bytes
    described = {
        "@type": "cr:FileObject",
        "@id": _FILE_ID,
        "name": path.name,
        # Read from the folder in which the card lies.
        "contentUrl": str(PurePosixPath(*path.parts[1:])) if inside else f"../{path}",
        "contentSize": None if size is None else f"{size} B",
        "encodingFormat": _FORMATS.get(path.suffix.lower(), "application/octet-stream"),
        "sha256": digest,
    }
    return [{key: value for key, value in described.items() if value is not None}]


def _record_set(fields: Sequence[RecordField]) -> list[dict[str, Any]]:
    described = [
        {
            "@type": "cr:Field",
            "@id": f"records/{item.name}",
            "name": item.name,
            **({"description": item.description} if item.description.strip() else {}),
            "dataType": _TYPES[item.type],
            "source": {"fileObject": {"@id": _FILE_ID}, "extract": {"column": item.name}},
        }
        for item in fields
    ]
    return [{"@type": "cr:RecordSet", "@id": "records", "name": "records", "field": described}]


def _responsible(data_set: DataSet) -> dict[str, Any]:
    """Return the fields of the responsible-AI extension that the publisher filled."""
    collection = [f"origin: {data_set.origin}"] if data_set.origin else []
    collection += [f"collected: {data_set.collected.strip()}"] if data_set.collected.strip() else []
    answers = (("personal data", data_set.personal_data), ("consumer data", data_set.consumer_data))
    return {
        "rai:dataCollection": "; ".join(collection),
        "rai:dataCollectionType": [_COLLECTION_TYPES[data_set.origin]] if data_set.origin in _COLLECTION_TYPES else [],
        "rai:dataPreprocessingProtocol": [data_set.processing] if data_set.processing.strip() else [],
        "rai:dataUseCases": [text for text in (data_set.purpose.strip(), ", ".join(data_set.roles)) if text],
        "rai:personalSensitiveInformation": [f"{what}: {said}" for what, said in answers if said != "unknown"],
    }
