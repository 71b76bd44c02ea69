"""Elements of an SPDX 3.0.1 document as they are gathered: identifiers, relationships and licences.

Format: https://spdx.github.io/spdx-spec/v3.0.1/serializations/ .
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from weighbridge.dossier.bom_text import StatedLicence, licence_reference, read_licence, sha256_text
from weighbridge.terms.registry import Registry

CREATION = "_:creation"
NO_ASSERTION_LICENCE = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"
NO_ASSERTION = "NOASSERTION"
_NO_TEXT = "Its text is not archived here; it lies beside the weights or with its publisher."


@dataclass(slots=True, kw_only=True)
class Graph:
    """The elements of one document, in the order in which they were added.

    Attributes:
        base: what every identifier begins with.
        licences: the licences that are known by name.
        elements: what was added, JSON-LD.
    """

    base: str
    licences: Registry
    elements: list[dict[str, Any]] = field(default_factory=list)
    _licence_elements: dict[str, str] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _identifiers: set[str] = field(default_factory=set)

    def creation(self, *, created: str, created_by: Sequence[str], tool: str) -> None:
        """Add who made the document and when; every element refers to it."""
        used = self.add("Tool", "tool", name=tool)
        information = {
            "type": "CreationInfo",
            "@id": CREATION,
            "specVersion": "3.0.1",
            "created": created,
            "createdBy": list(created_by),
            "createdUsing": [used],
        }
        self.elements.insert(0, information)

    def add(self, kind: str, node: str, /, **properties: Any) -> str:
        """Add an element of class `kind`, named `node`, and return its identifier.

        Properties without a value are left out.

        Raises:
            ValueError: if there is a `node` already.
        """
        identifier = f"{self.base}{node}"
        if identifier in self._identifiers:
            raise ValueError(f"the document has an element {node!r} already")
        self._identifiers.add(identifier)
        stated = {key: value for key, value in properties.items() if value is not None and value not in ("", [])}
        self.elements.append({"type": kind, "spdxId": identifier, "creationInfo": CREATION, **stated})
        return identifier

    def agent(self, name: str) -> str:
        """Return the identifier of somebody of this name, added when they are first named."""
        node = f"agent-{sha256_text(name.strip())[:16]}"
        identifier = f"{self.base}{node}"
        return identifier if identifier in self._identifiers else self.add("Agent", node, name=name.strip())

    def relate(self, start: str, relation: str, ends: Sequence[str], *, completeness: str = "", note: str = "") -> None:
        """Say how `start` relates to `ends`; nothing is said about none."""
        if ends:
            name = f"{start.removeprefix(self.base)}-{relation}{note}"
            properties: dict[str, Any] = {"from": start, "relationshipType": relation, "to": list(ends)}
            self.add("Relationship", name, **properties, completeness=completeness or None)

    def names(self) -> list[str]:
        """Return the identifiers of all elements so far."""
        return [element["spdxId"] for element in self.elements if "spdxId" in element]

    def declare_licence(self, element: str, text: str, *, relation: str) -> None:
        """Relate `element` to the licence that `text` states, or to the standard's "no assertion"."""
        licence = read_licence(text, self.licences)
        self.relate(element, relation, [NO_ASSERTION_LICENCE if licence is None else self._licence(licence)])

    def _licence(self, licence: StatedLicence) -> str:
        expression = licence.expression or licence_reference(licence.stated)
        if expression not in self._licence_elements:
            refs = licence.refs if licence.expression else (expression,)
            custom = [self._custom(ref, licence) for ref in refs if ref.startswith("LicenseRef-")]
            self._licence_elements[expression] = self.add(
                "simplelicensing_LicenseExpression",
                f"licence-{sha256_text(expression)[:16]}",
                simplelicensing_licenseExpression=expression,
                simplelicensing_customIdToUri=custom,
            )
        return self._licence_elements[expression]

    def _custom(self, ref: str, licence: StatedLicence) -> dict[str, str]:
        """Return where the text of a `LicenseRef-…` is, adding it first; a text that is not archived is not made up."""
        if ref not in self._texts:
            known = self.licences.get(ref)
            text = None if known is None else self.licences.text(known)
            self._texts[ref] = self.add(
                "simplelicensing_SimpleLicensingText",
                f"text-{sha256_text(ref)[:16]}",
                name=licence.stated if known is None and not licence.expression else known.name if known else ref,
                comment=None if text else _NO_TEXT,
                simplelicensing_licenseText=text or NO_ASSERTION,
            )
        return {"type": "DictionaryEntry", "key": ref, "value": self._texts[ref]}
