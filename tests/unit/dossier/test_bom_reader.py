"""Bills of materials of strangers: what is read from them, and what is refused."""

import json
from typing import Any

import pytest
from bom_builders import LLAMA, a_rich_record, known_licences

from weighbridge.dossier.bom import BomLicence
from weighbridge.dossier.bom_reader import MAX_BOM_BYTES, read_bom
from weighbridge.dossier.cyclonedx import cyclonedx_bom
from weighbridge.dossier.spdx3 import spdx3_bom
from weighbridge.errors import InputError


def read(document: Any) -> Any:
    return read_bom(json.dumps(document).encode(), place="bom.json")


@pytest.mark.parametrize("write", [cyclonedx_bom, spdx3_bom])
def test_our_own_are_read_back(write: Any) -> None:
    record = a_rich_record()
    bom = read_bom(write(record, licences=known_licences()), place="bom.json")
    assert bom.subject is not None
    assert bom.subject.version == record.subject
    assert bom.subject.licences == (
        BomLicence(stated=LLAMA, kind="declared"),
        BomLicence(stated=f"Apache-2.0 AND {LLAMA}", kind="concluded"),
    )
    assert [item.name for item in bom.ancestors] == ["internal model of the publisher", "meta-llama/Llama-3.2-1B"]
    assert bom.ancestors[1].licences == (BomLicence(stated=LLAMA, kind="declared"),)
    assert {entry: bom.hash_of(entry) for entry in map(str, (e.path for e in record.manifest))} == {
        str(entry.path): entry.sha256 for entry in record.manifest
    }
    trainer = next(item for item in bom.components if item.name == "sea/trainer")
    assert trainer.licences == (BomLicence(stated="GPL-3.0-only", kind="declared"),)


def test_a_stranger_s_cyclonedx_says_what_it_says() -> None:
    bom = read({
        "bomFormat": "CycloneDX", "specVersion": "1.6",
        "metadata": {"component": {
            "type": "machine-learning-model", "name": "m", "licenses": [{"license": {"id": "MIT"}}],
            "pedigree": {"ancestors": [{"name": "base", "type": "machine-learning-model"}]}}},
        "components": [{"name": "a", "type": "file", "components": [
            {"name": "b", "type": "file", "hashes": [{"alg": "SHA-256", "content": "AB"}],
             "licenses": [{"license": {"name": "own", "acknowledgement": "concluded"}}, {"expression": "MIT"}]}]}],
    })  # fmt: skip
    assert (bom.format, bom.version, bom.serial) == ("cyclonedx", "1.6", "")
    assert bom.subject.licences == (BomLicence(stated="MIT"),)
    assert [item.name for item in bom.ancestors] == ["base"]
    assert [item.name for item in bom.components] == ["a", "b"]
    assert bom.components[1].licences == (BomLicence(stated="own", kind="concluded"), BomLicence(stated="MIT"))
    assert bom.hash_of("b") == "ab"
    assert bom.hash_of("a") == ""


def test_an_spdx_2_document_is_read() -> None:
    package = {
        "SPDXID": "SPDXRef-m",
        "name": "m",
        "versionInfo": "1",
        "licenseDeclared": "Apache-2.0",
        "licenseConcluded": "NOASSERTION",
        "checksums": [{"algorithm": "SHA256", "checksumValue": "CD"}],
    }
    bom = read({
        "spdxVersion": "SPDX-2.3", "documentNamespace": "https://a.example/1", "packages": [package],
        "files": [{"SPDXID": "SPDXRef-f", "fileName": "./w.bin"}],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-m"},
            {"spdxElementId": "SPDXRef-m", "relationshipType": "DESCENDANT_OF", "relatedSpdxElement": "SPDXRef-base"},
        ],
    })  # fmt: skip
    assert (bom.version, bom.serial) == ("2.3", "https://a.example/1")
    assert bom.subject.name == "m"
    assert bom.subject.licences == (BomLicence(stated="Apache-2.0", kind="declared"),)
    assert bom.subject.hashes == (("sha256", "cd"),)
    assert [item.name for item in bom.ancestors] == ["SPDXRef-base"], "named, though not described"
    assert [item.name for item in bom.components] == ["w.bin"]


def test_a_document_about_several_things_has_no_one_subject() -> None:
    packages = [{"SPDXID": f"SPDXRef-{name}", "name": name} for name in "ab"]
    bom = read({"spdxVersion": "SPDX-2.3", "packages": packages, "documentDescribes": ["SPDXRef-a", "SPDXRef-b"]})
    assert bom.subject is None
    assert len(bom.components) == 2


def test_two_hashes_that_differ_are_no_hash() -> None:
    component = {
        "name": "w",
        "type": "file",
        "hashes": [{"alg": "SHA-256", "content": value} for value in ("aa", "bb")],
    }
    assert read({"bomFormat": "CycloneDX", "components": [component]}).hash_of("w") == ""


def test_a_bom_of_100_megabytes_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(InputError, match="is more than") as caught:
        read_bom(bytes(100_000_000), place="bom.json")
    assert caught.value.place == "bom.json"
    assert caught.value.hint
    assert MAX_BOM_BYTES < 100_000_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not an object"),
        (b"{}", "neither CycloneDX nor SPDX"),
        (b'{"bomFormat": "CycloneDX", "bomFormat": "SPDX"}', "occurs twice"),
        (b'{"bomFormat":' + b"[" * 100_000, "levels deep"),
        (b'{"bomFormat": "CycloneDX", "x": [' + b"0," * 600_000 + b"0]}", "values"),
        (b'{"@graph": [], "@context": "https://example.org"}', "neither"),
        (b"\xff", "UTF-8"),
    ],
)
def test_what_is_no_bill_of_materials_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_bom(data, place="bom.json")
    assert caught.value.place == "bom.json"


@pytest.mark.parametrize("junk", [None, 1, "x", [], {}, [1], [[]], [None], {"a": 1}, [{"licenses": 1, "hashes": [1]}]])
def test_fields_of_another_shape_are_passed_over(junk: Any) -> None:
    component = {"name": junk, "licenses": junk, "hashes": junk, "components": junk, "pedigree": junk}
    read({"bomFormat": "CycloneDX", "metadata": junk, "components": junk})
    read({"bomFormat": "CycloneDX", "metadata": {"component": component}, "components": [component]})
    read({"spdxVersion": "SPDX-2.3", "packages": junk, "files": junk, "relationships": junk, "documentDescribes": junk})
    element = {"type": junk, "spdxId": junk, "from": junk, "to": junk, "rootElement": junk, "verifiedUsing": junk}
    read({"@context": ["https://spdx.org/rdf/3.0.1/spdx-context.jsonld"], "@graph": [element, junk]})
