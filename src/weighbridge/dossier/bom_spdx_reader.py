"""The two shapes of SPDX in JSON: the lists of version 2, and the graph of version 3."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge.dossier.bom import Bom, BomComponent, BomLicence, objects_in, text_in, texts_in

_NOTHING = ("", "NOASSERTION", "NONE")
_LICENCE_RELATIONS = {"hasDeclaredLicense": "declared", "hasConcludedLicense": "concluded"}


def read_spdx2(document: Mapping[str, Any]) -> Bom:
    """Read SPDX 2.2 or 2.3."""
    listed = [*objects_in(document.get("packages")), *objects_in(document.get("files"))]
    items = {component.id: component for component in map(_component2, listed)}
    described = [item for item in texts_in(document.get("documentDescribes")) if item in items]
    ancestors: list[str] = []
    for relation in objects_in(document.get("relationships")):
        kind = text_in(relation.get("relationshipType"))
        start, end = text_in(relation.get("spdxElementId")), text_in(relation.get("relatedSpdxElement"))
        if kind == "DESCRIBES" and end in items and start.endswith("DOCUMENT"):
            described.append(end)
        elif kind == "DESCENDANT_OF":
            ancestors.append(end)
        elif kind == "ANCESTOR_OF":
            ancestors.append(start)
    version = text_in(document.get("spdxVersion")).removeprefix("SPDX-")
    return _bom(version, text_in(document.get("documentNamespace")), items, described, ancestors)


def _component2(item: Mapping[str, Any]) -> BomComponent:
    stated = ((text_in(item.get("licenseDeclared")), "declared"), (text_in(item.get("licenseConcluded")), "concluded"))
    return BomComponent(
        id=text_in(item.get("SPDXID")),
        type=text_in(item.get("primaryPackagePurpose")).lower() or ("file" if "fileName" in item else "package"),
        name=text_in(item.get("name")) or text_in(item.get("fileName")).removeprefix("./"),
        version=text_in(item.get("versionInfo")),
        licences=tuple(BomLicence(stated=text, kind=kind) for text, kind in stated if text not in _NOTHING),
        hashes=tuple(
            (text_in(entry.get("algorithm")).lower(), text_in(entry.get("checksumValue")).lower())
            for entry in objects_in(item.get("checksums"))
        ),
    )


def read_spdx3(document: Mapping[str, Any]) -> Bom:
    """Read SPDX 3.0: elements may be written inside others, but only those at the top of the graph are read."""
    elements = {text_in(element.get("spdxId")): element for element in objects_in(document["@graph"])}
    relations = [element for element in elements.values() if text_in(element.get("type")).endswith("Relationship")]
    licences: dict[str, list[BomLicence]] = defaultdict(list)
    ancestors: list[str] = []
    for relation in relations:
        kind, start = text_in(relation.get("relationshipType")), text_in(relation.get("from"))
        ends = texts_in(relation.get("to"))
        if kind in _LICENCE_RELATIONS:
            stated = (_expression(elements.get(end, {})) for end in ends)
            licences[start] += [
                BomLicence(stated=t, kind=_LICENCE_RELATIONS[kind]) for t in stated if t not in _NOTHING
            ]
        elif kind == "descendantOf":
            ancestors += ends
        elif kind == "ancestorOf":
            ancestors.append(start)
    items = {
        name: _component3(name, element, licences.get(name, ()))
        for name, element in elements.items()
        if text_in(element.get("type"))
        in ("software_File", "software_Package", "ai_AIPackage", "dataset_DatasetPackage")
    }
    infos = (e for e in objects_in(document["@graph"]) if e.get("type") == "CreationInfo")
    version = next((text_in(info.get("specVersion")) for info in infos), "")
    serial = next((name for name, element in elements.items() if element.get("type") == "SpdxDocument"), "")
    return _bom(version, serial, items, _roots(elements, items), ancestors)


def _roots(elements: Mapping[str, Mapping[str, Any]], items: Mapping[str, BomComponent]) -> list[str]:
    """Return what the document's collections are about: their root elements that are no collections themselves."""
    named = [
        root
        for element in elements.values()
        if element.get("type") in ("SpdxDocument", "software_Sbom", "Bom", "Bundle")
        for root in texts_in(element.get("rootElement"))
    ]
    return [root for root in named if root in items]


def _expression(element: Mapping[str, Any]) -> str:
    """Return the expression of a licence element; for the classes of ExpandedLicensing only single listed licences."""
    text = text_in(element.get("simplelicensing_licenseExpression"))
    listed = "https://spdx.org/licenses/"
    name = text_in(element.get("spdxId"))
    if not text and element.get("type") == "expandedlicensing_ListedLicense" and name.startswith(listed):
        return name.removeprefix(listed)
    return text


def _component3(name: str, element: Mapping[str, Any], licences: Iterable[BomLicence]) -> BomComponent:
    return BomComponent(
        id=name,
        type=text_in(element.get("type")),
        name=text_in(element.get("name")),
        version=text_in(element.get("software_packageVersion")),
        licences=tuple(licences),
        hashes=tuple(
            (text_in(entry.get("algorithm")).lower(), text_in(entry.get("hashValue")).lower())
            for entry in objects_in(element.get("verifiedUsing"))
        ),
    )


def _bom(
    version: str, serial: str, items: Mapping[str, BomComponent], described: Iterable[str], ancestors: Iterable[str]
) -> Bom:
    subjects = tuple(dict.fromkeys(described))
    above = tuple(dict.fromkeys(ancestors))
    only = items[subjects[0]] if len(subjects) == 1 else None
    kept = {*above, only.id if only else ""}
    # A parent that the document names without describing it is still stated.
    return Bom(
        format="spdx",
        version=version,
        serial=serial,
        subject=only,
        components=tuple(item for name, item in items.items() if name not in kept),
        ancestors=tuple(items.get(name) or BomComponent(id=name, type="", name=name) for name in above),
    )
