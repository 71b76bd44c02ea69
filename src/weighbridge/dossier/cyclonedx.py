"""The bill of materials as a CycloneDX 1.7 ML-BOM.

Format: https://cyclonedx.org/docs/1.7/json/ (ECMA-424). Written as plain values: the official library for Python drops
`modelCard`. What is not known is left out; what has no field of its own is a property `weighbridge:…`.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge.dossier.bom_text import (
    CODE_RELATIONS,
    DATA_RELATIONS,
    NAMESPACE,
    bom_bytes,
    concluded_expression,
    count_of,
    decided_at,
    email_address,
    is_sha256,
    moment_text,
    read_licence,
    text_of,
    web_address,
)
from weighbridge.dossier.disclosure import Component, DataSet, Publisher
from weighbridge.dossier.figure import recipe_text
from weighbridge.dossier.model_card import model_card
from weighbridge.dossier.provenance import MANIFEST_DIGEST, PROVENANCE_NAME
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.registry import Registry, registry

CYCLONEDX_NAME = "bom.cdx.json"
_MODEL = "model"
_NAMELESS = "not named"


def cyclonedx_bom(record: ReleaseRecord, *, licences: Registry | None = None) -> bytes:
    """Return the ML-BOM of a version; the same record gives the same bytes.

    Its time is that of the gate's verdict, and left out before there is one.

    Args:
        record: the version.
        licences: the licences that are known by name; those that ship with Weighbridge if None.
    """
    known = registry() if licences is None else licences
    data = [_data_set(item, known) for item in record.disclosure.data]
    parents = [(parent, index) for index, parent in enumerate(record.parents)]
    others = [_work(p, i, known) for p, i in parents if _kind(p) in DATA_RELATIONS + CODE_RELATIONS]
    parts = [_part(item, index, known) for index, item in enumerate(record.disclosure.components)]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, f'cyclonedx {record.subject}')}",
        "version": 1,
        "metadata": _metadata(record, known),
        "components": [*data, *others, *parts],
        # All files of the version are listed, by the digest that binds them; of everything else only what was stated.
        "compositions": [
            {"aggregate": "complete", "assemblies": [_MODEL]},
            {"aggregate": "unknown", "dependencies": [_MODEL]},
        ],
        "dependencies": [{"ref": _MODEL, "dependsOn": [item["bom-ref"] for item in (*data, *others)]}],
    }
    return bom_bytes(_filled(document))


def _metadata(record: ReleaseRecord, known: Registry) -> dict[str, Any]:
    moment = decided_at(record)
    tool = {"type": "application", "name": "weighbridge", "version": record.weighbridge_version[:1024]}
    return {
        "timestamp": moment_text(moment) if moment else None,
        "tools": {"components": [tool]},
        "component": _model(record, known),
        "supplier": _organisation(record.disclosure.publisher),
    }


def _model(record: ReleaseRecord, known: Registry) -> dict[str, Any]:
    publisher = record.disclosure.publisher
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "group": record.model.rsplit("/", 1)[0],
        "name": record.version,
        "version": record.subject,
        "description": record.texts.summary,
        "publisher": publisher.name,
        "supplier": _organisation(publisher),
        "licenses": _licences(record.license, known, concluded=concluded_expression(record)),
        "modelCard": model_card(record),
        "pedigree": _pedigree(record, known),
        "components": [
            {
                "type": "file",
                "bom-ref": f"file:{entry.path}",
                "name": str(entry.path),
                "hashes": [{"alg": "SHA-256", "content": entry.sha256}],
                "properties": _properties(size_bytes=entry.size_bytes),
            }
            for entry in record.manifest
        ],
        "externalReferences": _references(record),
        "properties": _model_properties(record),
    }


def _model_properties(record: ReleaseRecord) -> list[dict[str, str]]:
    facts: dict[str, object] = {
        "model": record.model,
        f"digest:{MANIFEST_DIGEST}": record.subject,
        "format": record.format,
        **{
            key: count_of(record.architecture, key)
            for key in ("parameters", "context_length", "layers", "vocabulary", "load_bytes")
        },
    }
    opened = record.openness or {}
    facts |= {f"openness:{key}": text_of(opened, key) for key in ("mof_class", "g7_label")}
    osaid = opened.get("osaid_met")
    facts["openness:osaid_met"] = str(osaid).lower() if isinstance(osaid, bool) else None
    held_back = [
        {"name": "weighbridge:held_back", "value": f"{part.description} ({part.count} {part.kind})"}
        for part in record.held_back.parts
    ]
    return _properties(**facts) + held_back


def _pedigree(record: ReleaseRecord, known: Registry) -> dict[str, Any]:
    source = {
        "type": "machine-learning-model",
        "bom-ref": "source",
        "name": "internal model of the publisher",
        "version": record.source_digest[:1024],
        "properties": _properties(**{f"digest:{MANIFEST_DIGEST}": record.source_digest}),
    }
    inherited = [
        _work(parent, index, known)
        for index, parent in enumerate(record.parents)
        if _kind(parent) not in DATA_RELATIONS + CODE_RELATIONS
    ]
    return {"ancestors": [source, *inherited], "notes": "; ".join(recipe_text(step) for step in record.recipe)}


def _kind(parent: Mapping[str, Any]) -> str:
    return text_of(parent, "relation").lower()


def _work(parent: Mapping[str, Any], index: int, known: Registry) -> dict[str, Any]:
    """Return a work that the model descends from; its digest binds a manifest, so it is no hash of a file."""
    kind = _kind(parent)
    ref = str(parent["ref"])
    return {
        "type": "data" if kind in DATA_RELATIONS else "library" if kind in CODE_RELATIONS else "machine-learning-model",
        "bom-ref": f"work:{index}:{ref}",
        "name": ref or _NAMELESS,
        "version": text_of(parent, "digest")[:1024],
        "licenses": _licences(text_of(parent, "license"), known),
        "data": [{"type": "dataset", "name": ref}] if kind in DATA_RELATIONS else None,
        "properties": _properties(
            relation=text_of(parent, "relation"), **{f"digest:{MANIFEST_DIGEST}": text_of(parent, "digest")}
        ),
    }


def _data_set(item: DataSet, known: Registry) -> dict[str, Any]:
    answers = (("personal data", item.personal_data), ("consumer data", item.consumer_data))
    sensitive = [words for words, answer in answers if answer == "yes"]
    where = web_address(item.url)
    facts = {
        "url": "" if where else item.url,
        "path": item.path,
        "roles": ", ".join(item.roles),
        "origin": item.origin,
        "modalities": ", ".join(item.modalities),
        "languages": ", ".join(item.languages),
        **{key: getattr(item, key) for key in ("size_bytes", "records", "tokens", "collected", "first_used")},
        **{key: getattr(item, key) for key in ("purpose", "processing")},
        **{key: getattr(item, key) for key in ("purchased_or_licensed", "copyrighted", "synthetic")},
        **{key: getattr(item, key) for key in ("personal_data", "consumer_data")},
    }
    return {
        "type": "data",
        "bom-ref": f"data:{item.name}",
        "name": item.name or _NAMELESS,
        "licenses": _licences(item.license, known),
        "hashes": [{"alg": "SHA-256", "content": item.sha256}] if is_sha256(item.sha256) else None,
        "data": [
            {
                "type": "dataset",
                "name": item.name,
                "description": item.description,
                "contents": {"url": where},
                "sensitiveData": sensitive,
            }
        ],
        "properties": _properties(**facts),
    }


def _part(item: Component, index: int, known: Registry) -> dict[str, Any]:
    where = web_address(item.url)
    kind = "source-code" if "code" in item.kind else "other"
    return {
        "type": "data",
        "bom-ref": f"part:{index}:{item.kind}",
        "name": item.path or item.kind or _NAMELESS,
        "description": item.description,
        "licenses": _licences(item.license, known),
        "data": [{"type": kind, "name": item.kind, "contents": {"url": where}}],
        "properties": _properties(kind=item.kind, path=item.path, url="" if where else item.url),
    }


def _licences(stated: str, known: Registry, *, concluded: str = "") -> list[dict[str, Any]]:
    """Return what was declared and what was concluded; a name that is no SPDX expression stays a name."""
    found: list[dict[str, Any]] = []
    for text, acknowledgement in ((stated, "declared"), (concluded, "concluded")):
        licence = read_licence(text, known)
        if licence is None:
            continue
        if not licence.expression:
            found.append({"license": {"name": licence.stated, "acknowledgement": acknowledgement}})
            continue
        choice: dict[str, Any] = {"expression": licence.expression, "acknowledgement": acknowledgement}
        if licence.expression.lower() != licence.stated.lower():
            choice["properties"] = _properties(stated=licence.stated)
        found.append(choice)
    return found


def _organisation(publisher: Publisher) -> dict[str, Any] | None:
    contact = email_address(publisher.contact)
    address = {"country": publisher.country, "streetAddress": publisher.address}
    organisation = {
        "name": publisher.name,
        "address": address,
        "url": [web_address(publisher.website)],
        "contact": [{"email": contact} if contact else {"name": publisher.contact}],
    }
    return organisation if publisher.name else None


def _references(record: ReleaseRecord) -> list[dict[str, Any]]:
    """Return the papers beside the weights, relative to the folder of the release, and the publisher's addresses."""
    publisher = record.disclosure.publisher
    mail = email_address(publisher.security_contact)
    security = f"mailto:{mail}" if mail else web_address(publisher.security_contact)
    listed = (
        ("model-card", "README.md"),
        ("license", "LICENSE"),
        ("attestation", PROVENANCE_NAME),
        ("website", web_address(publisher.website)),
        ("security-contact", security.replace("%", "%25") if mail else security),
    )
    return [{"type": kind, "url": url} for kind, url in listed if url]


def _properties(**facts: object) -> list[dict[str, str]]:
    return [
        {"name": f"weighbridge:{key}", "value": str(value)}
        for key, value in facts.items()
        if value not in (None, "", "unknown")
    ]


def _filled(value: Any) -> Any:
    """Return `value` without what is empty: absent is how the format says "not known"."""
    if isinstance(value, Mapping):
        kept = {key: _filled(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if not _is_empty(item)}
    if isinstance(value, list):
        return _without_empty(_filled(item) for item in value)
    return value


def _without_empty(items: Iterable[Any]) -> list[Any]:
    return [item for item in items if not _is_empty(item)]


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | dict) and not value)
