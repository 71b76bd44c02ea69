"""The bill of materials as SPDX 3.0.1 in JSON-LD, with the AI, Dataset, Software and SimpleLicensing profiles.

Format: https://spdx.github.io/spdx-spec/v3.0.1/ . What is not known is left out, which in SPDX 3 says that nothing is
asserted; where a relationship has to have an end, it is the standard's own `NoAssertion…`. A profile is only listed as
conformed to if what it requires is known.
"""

import json
import re
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from weighbridge.dossier.bom_text import (
    CODE_RELATIONS,
    DATA_RELATIONS,
    NAMESPACE,
    bom_bytes,
    concluded_expression,
    decided_at,
    is_sha256,
    moment_text,
    sha256_text,
    text_of,
    web_address,
)
from weighbridge.dossier.disclosure import DataSet
from weighbridge.dossier.figure import recipe_text
from weighbridge.dossier.model_card import TASK, metric_name, training_kwh
from weighbridge.dossier.provenance import MANIFEST_DIGEST
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.dossier.spdx3_graph import Graph
from weighbridge.errors import InputError
from weighbridge.evidence.record import Measurement
from weighbridge.terms.registry import Registry, registry

SPDX3_NAME = "bom.spdx3.json"
CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"

_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\Z", re.ASCII)
_DATA_TYPES = ("audio", "image", "text", "video")
_TRAINING_ROLES = ("training", "fine-tuning", "calibration")


def spdx3_bom(
    record: ReleaseRecord,
    *,
    created: datetime | None = None,
    released: datetime | None = None,
    download_location: str = "",
    licences: Registry | None = None,
) -> bytes:
    """Return the SPDX document of a version; the same arguments give the same bytes.

    Args:
        record: the version.
        created: when the document is made; the time of the gate's verdict if None.
        released: when the version was or will be released; left out if None.
        download_location: HTTP address at which it can be had; left out if empty or anything else.
        licences: the licences that are known by name; those that ship with Weighbridge if None.

    Raises:
        InputError: if there is no time: neither `created` nor a verdict that says when it was decided.
        ValueError: if a time has no time zone.
    """
    moment = created or decided_at(record)
    if moment is None:
        raise InputError(
            f"an SPDX document of {record.version} needs the time of its making",
            hint="Let the gate decide first, or pass the time.",
        )
    # The record and the time name the document, so that no two documents give one identifier two contents.
    content = json.dumps(record.to_json(), sort_keys=True)
    name = f"spdx {sha256_text(content)} {moment_text(moment)} {released} {sha256_text(download_location)}"
    graph = Graph(
        base=f"urn:uuid:{uuid.uuid5(NAMESPACE, name)}#", licences=registry() if licences is None else licences
    )
    creator = _creator(graph, record)
    graph.creation(created=moment_text(moment), created_by=[creator], tool=f"weighbridge {record.weighbridge_version}")
    model = _model(graph, record, creator, released=released, download_location=download_location)
    _files(graph, record, model)
    _data_sets(graph, record, model)
    _works(graph, record, model)
    graph.declare_licence(model, record.license, relation="hasDeclaredLicense")
    graph.declare_licence(model, concluded_expression(record), relation="hasConcludedLicense")
    complete = released is not None and bool(web_address(download_location))
    data = record.disclosure.data
    profiles = (["ai"] if complete else []) + (["dataset"] if data and all(map(_is_complete, data)) else [])
    _document(graph, record, model, profiles=profiles)
    return bom_bytes({"@context": CONTEXT, "@graph": graph.elements})


def _creator(graph: Graph, record: ReleaseRecord) -> str:
    """Return the publisher: by legal name, else by the name under which it publishes."""
    publisher = record.disclosure.publisher
    owner = record.model.rsplit("/", 1)[0]
    website = web_address(publisher.website)
    refs = [{"type": "ExternalRef", "externalRefType": "altWebPage", "locator": [website]}] if website else None
    if publisher.name:
        return graph.add("Organization", "publisher", name=publisher.name, externalRef=refs)
    comment = "The name under which the model is published; a legal name is not stated."
    return graph.add("Agent", "publisher", name=owner, comment=comment, externalRef=refs)


def _model(
    graph: Graph, record: ReleaseRecord, creator: str, *, released: datetime | None, download_location: str
) -> str:
    statements = record.disclosure.statements
    family = text_of(record.architecture, "family")
    steps = "; ".join(recipe_text(step) for step in record.recipe)
    return graph.add(
        "ai_AIPackage",
        "model",
        name=record.version,
        summary=record.texts.title,
        description=record.texts.summary,
        comment=f"{MANIFEST_DIGEST} digest of all its files: {record.subject}. Made from the internal model: {steps}.",
        suppliedBy=creator,
        originatedBy=[creator],
        releaseTime=moment_text(released) if released else None,
        software_primaryPurpose="model",
        software_packageVersion=record.subject,
        software_downloadLocation=web_address(download_location),
        software_homePage=web_address(record.disclosure.publisher.website),
        ai_domain=[TASK],
        ai_typeOfModel=[family] if family else None,
        ai_informationAboutApplication=_together(record.texts.intended_use, text_of(statements, "use.integration")),
        ai_informationAboutTraining=_together(
            text_of(statements, "training.process"), text_of(statements, "training.rationale")
        ),
        ai_limitation=record.texts.limitations,
        ai_modelDataPreprocessing=_preprocessing(record.disclosure.data),
        ai_metric=[_metric(item) for item in record.measurements],
        ai_energyConsumption=_energy(statements),
    )


def _preprocessing(data: tuple[DataSet, ...]) -> list[str]:
    used = (item.processing.strip() for item in data if set(item.roles) & set(_TRAINING_ROLES))
    return list(dict.fromkeys(text for text in used if text))


def _metric(item: Measurement) -> dict[str, str]:
    interval = item.interval
    sampled = (
        f" ({interval.low!r} to {interval.high!r} at {interval.confidence:g}, {interval.method})" if interval else ""
    )
    data = f" on sha256:{item.data}" if item.data else ""
    return {"type": "DictionaryEntry", "key": metric_name(item), "value": f"{item.value!r}{sampled}{data}"}


def _energy(statements: Mapping[str, str]) -> dict[str, Any] | None:
    kwh = training_kwh(statements)
    if kwh is None:
        return None
    quantity = {"type": "ai_EnergyConsumptionDescription", "ai_energyQuantity": kwh, "ai_energyUnit": "kilowattHour"}
    return {"type": "ai_EnergyConsumption", "ai_trainingEnergyConsumption": [quantity]}


def _together(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text.strip())


def _files(graph: Graph, record: ReleaseRecord, model: str) -> None:
    found = [
        graph.add(
            "software_File",
            f"file-{index}",
            name=str(entry.path),
            comment=f"{entry.size_bytes} bytes",
            software_primaryPurpose="model" if str(entry.path).endswith((".safetensors", ".gguf")) else "file",
            verifiedUsing=[_hash(entry.sha256)],
        )
        for index, entry in enumerate(record.manifest)
    ]
    graph.relate(model, "contains", found, completeness="complete")


def _hash(sha256: str) -> dict[str, str]:
    return {"type": "Hash", "algorithm": "sha256", "hashValue": sha256}


def _data_sets(graph: Graph, record: ReleaseRecord, model: str) -> None:
    trained, tested = [], []
    for index, item in enumerate(record.disclosure.data):
        element = _data_set(graph, item, f"data-{index}")
        if set(item.roles) & set(_TRAINING_ROLES):
            trained.append(element)
        if "evaluation" in item.roles:
            tested.append(element)
        graph.declare_licence(element, item.license, relation="hasDeclaredLicense")
    # Whether more data was used than the publisher lists cannot be known from the list.
    graph.relate(model, "trainedOn", trained, completeness="noAssertion")
    graph.relate(model, "testedOn", tested, completeness="noAssertion")


def _data_set(graph: Graph, item: DataSet, name: str) -> str:
    types = [kind if kind in _DATA_TYPES else "other" for kind in item.modalities]
    collected = f"; collected {item.collected}" if item.collected else ""
    comment = ", ".join((*item.roles, *item.languages)) + (f"; in the release as {item.path}" if item.path else "")
    return graph.add(
        "dataset_DatasetPackage",
        name,
        name=item.name,
        description=item.description,
        comment=comment,
        verifiedUsing=[_hash(item.sha256)] if is_sha256(item.sha256) else None,
        originatedBy=[graph.agent(item.originator)] if item.originator.strip() else None,
        builtTime=_day(item.built),
        releaseTime=_day(item.released),
        software_primaryPurpose="data",
        software_homePage=web_address(item.url),
        software_downloadLocation=web_address(item.url),
        dataset_datasetType=list(dict.fromkeys(types)) or ["noAssertion"],
        dataset_datasetSize=item.size_bytes if item.size_bytes is not None and item.size_bytes >= 0 else None,
        dataset_dataCollectionProcess=f"{item.origin}{collected}".removeprefix("; "),
        dataset_dataPreprocessing=[item.processing] if item.processing.strip() else None,
        dataset_intendedUse=item.purpose,
        # Personal data need not be sensitive: only its absence answers the question.
        dataset_hasSensitivePersonalInformation="no" if item.personal_data == "no" else "noAssertion",
    )


def _is_complete(item: DataSet) -> bool:
    """Say whether what the Dataset profile requires of a data set is stated."""
    return all((item.originator.strip(), _day(item.built), _day(item.released), web_address(item.url)))


def _day(text: str) -> str | None:
    return f"{text}T00:00:00Z" if _DAY.match(text) else None


def _works(graph: Graph, record: ReleaseRecord, model: str) -> None:
    """Add the internal model and every parent, each by the relation that its edge states."""
    # Plain packages: of AIPackage and DatasetPackage the profiles want to know what is not stated about these.
    source = graph.add(
        "software_Package",
        "source",
        name="internal model of the publisher",
        comment=f"{MANIFEST_DIGEST} digest of all its files: {record.source_digest}",
        software_packageVersion=record.source_digest,
        software_primaryPurpose="model",
    )
    ends: dict[str, list[str]] = {"descendantOf": [source], "trainedOn": [], "testedOn": [], "dependsOn": []}
    for index, parent in enumerate(record.parents):
        kind = text_of(parent, "relation").lower()
        relation = {"train-data": "trainedOn", "eval-only": "testedOn", "code": "dependsOn"}.get(kind, "descendantOf")
        ends[relation].append(_work(graph, parent, f"work-{index}", kind))
    for relation, elements in ends.items():
        graph.relate(model, relation, elements, completeness="noAssertion", note="-works")


def _work(graph: Graph, parent: Mapping[str, Any], name: str, kind: str) -> str:
    digest = text_of(parent, "digest")
    pinned = f"; {MANIFEST_DIGEST} digest of all its files: {digest}" if digest else ""
    common = {
        "name": str(parent["ref"]),
        "comment": f"relation: {text_of(parent, 'relation') or 'not stated'}{pinned}",
        "software_packageVersion": digest,
    }
    if kind in DATA_RELATIONS:
        element = graph.add("software_Package", name, **common, software_primaryPurpose="data")
    elif kind in CODE_RELATIONS:
        element = graph.add("software_Package", name, **common, software_primaryPurpose="source")
    else:
        element = graph.add("software_Package", name, **common, software_primaryPurpose="model")
    graph.declare_licence(element, text_of(parent, "license"), relation="hasDeclaredLicense")
    return element


def _document(graph: Graph, record: ReleaseRecord, model: str, *, profiles: list[str]) -> None:
    bom = graph.add(
        "software_Sbom",
        "sbom",
        name=f"{record.reference} bill of materials",
        rootElement=[model],
        element=graph.names(),
        profileConformance=["core", "software", "simpleLicensing", *profiles],
    )
    graph.add(
        "SpdxDocument",
        "document",
        name=f"{record.reference} SPDX document",
        rootElement=[bom],
        element=graph.names(),
        profileConformance=["core", "software", "simpleLicensing", *profiles],
    )
