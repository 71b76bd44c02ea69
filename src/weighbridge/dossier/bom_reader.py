"""What somebody else's bill of materials states: CycloneDX 1.2 and later, SPDX 2.2, 2.3 and 3.0, as JSON.

It is read to be compared with what else a release states. Nothing in it is believed, and what cannot be read in one
place does not hide what stands in another.

Formats: https://cyclonedx.org/docs/1.7/json/ and https://spdx.github.io/spdx-spec/ .
"""

from collections.abc import Iterator, Mapping
from typing import Any

from weighbridge.checkpoint.document import parse_object
from weighbridge.dossier.bom import Bom, BomComponent, BomLicence, objects_in, text_in
from weighbridge.errors import CheckpointError, InputError

MAX_BOM_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 500_000

_HINT = "Obtain it again, or leave it out: without it, what it would state is unknown."


def read_bom(data: bytes, *, place: str) -> Bom:
    """Read a bill of materials in any of the formats; which one it is says the document itself.

    Args:
        data: the file.
        place: names it in errors.

    Raises:
        InputError: if it has more than `MAX_BOM_BYTES` (found before anything is parsed), is nested too deep, holds too
            many values, has a key twice, is not JSON, or is no bill of materials.
    """
    if len(data) > MAX_BOM_BYTES:
        raise InputError(
            f"a bill of materials of {len(data):,} bytes is more than {MAX_BOM_BYTES:,}", place=place, hint=_HINT
        )
    try:
        document = parse_object(data, place=place, max_depth=MAX_DEPTH, max_values=MAX_VALUES)
    except CheckpointError as error:
        raise InputError(error.message, place=place, hint=_HINT) from error
    if document.get("bomFormat") == "CycloneDX":
        return _read_cyclonedx(document)
    if isinstance(document.get("spdxVersion"), str):
        from weighbridge.dossier.bom_spdx_reader import read_spdx2

        return read_spdx2(document)
    if isinstance(document.get("@graph"), list) and "spdx.org" in str(document.get("@context")):
        from weighbridge.dossier.bom_spdx_reader import read_spdx3

        return read_spdx3(document)
    raise InputError("neither CycloneDX nor SPDX", place=place, hint="A bill of materials is one of the two, as JSON.")


def _read_cyclonedx(document: Mapping[str, Any]) -> Bom:
    metadata = _object(document.get("metadata"))
    subject = _object(metadata.get("component"))
    ancestors = objects_in(_object(subject.get("pedigree")).get("ancestors"))
    others = [*objects_in(subject.get("components")), *objects_in(document.get("components"))]
    return Bom(
        format="cyclonedx",
        version=text_in(document.get("specVersion")),
        serial=text_in(document.get("serialNumber")),
        subject=_component(subject) if subject else None,
        components=tuple(_component(item) for item in _nested(others)),
        ancestors=tuple(_component(item) for item in ancestors),
    )


def _nested(items: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield components and the components in them."""
    waiting = items[::-1]
    while waiting:
        item = waiting.pop()
        yield item
        waiting.extend(objects_in(item.get("components"))[::-1])


def _component(item: Mapping[str, Any]) -> BomComponent:
    group, name = text_in(item.get("group")), text_in(item.get("name"))
    return BomComponent(
        id=text_in(item.get("bom-ref")),
        type=text_in(item.get("type")),
        name=f"{group}/{name}" if group else name,
        version=text_in(item.get("version")),
        licences=tuple(_licences(item.get("licenses"))),
        hashes=tuple(
            (text_in(entry.get("alg")).lower().replace("sha-", "sha"), text_in(entry.get("content")).lower())
            for entry in objects_in(item.get("hashes"))
        ),
    )


def _licences(choices: object) -> Iterator[BomLicence]:
    for choice in objects_in(choices):
        licence = _object(choice.get("license"))
        stated = text_in(choice.get("expression")) or text_in(licence.get("id")) or text_in(licence.get("name"))
        if stated:
            kind = text_in(choice.get("acknowledgement")) or text_in(licence.get("acknowledgement"))
            yield BomLicence(stated=stated, kind=kind if kind in ("declared", "concluded") else "")


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
