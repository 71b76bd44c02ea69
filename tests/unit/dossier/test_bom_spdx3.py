"""What the SPDX 3 document of a version states, and what it leaves out."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bom_builders import LLAMA, a_data_set, a_disclosure, a_rich_record, known_licences
from builders import a_record

from weighbridge.dossier.disclosure import Publisher
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.dossier.spdx3 import spdx3_bom
from weighbridge.errors import InputError

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


class Document:
    """Elements by class and identifier, and relationships by their names."""

    def __init__(self, record: ReleaseRecord, **arguments: Any) -> None:
        self.graph = json.loads(spdx3_bom(record, licences=known_licences(), **arguments))["@graph"]
        self.elements = {element["spdxId"]: element for element in self.graph if "spdxId" in element}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [element for element in self.graph if element["type"] == kind]

    def named(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = [e for e in self.elements.values() if e.get("name") == name]
        (element,) = found
        return element

    def related(self, start: dict[str, Any], kind: str) -> list[str]:
        found = [r for r in self.of("Relationship") if r["from"] == start["spdxId"] and r["relationshipType"] == kind]
        return [end for relation in found for end in relation["to"]]

    def licences(self, element: dict[str, Any], kind: str = "hasDeclaredLicense") -> list[str]:
        ends = self.related(element, kind)
        return [self.elements.get(end, {}).get("simplelicensing_licenseExpression", end) for end in ends]


def test_the_same_arguments_give_the_same_bytes_and_others_other_identifiers() -> None:
    assert spdx3_bom(a_rich_record()) == spdx3_bom(a_rich_record())
    first, second = Document(a_rich_record()), Document(a_rich_record(), created=NOW)
    assert not set(first.elements) & set(second.elements)


def test_no_two_elements_share_an_identifier() -> None:
    document = Document(a_rich_record())
    assert len(document.elements) == len([element for element in document.graph if "spdxId" in element])


def test_the_time_is_that_of_the_verdict_unless_it_is_given() -> None:
    assert Document(a_rich_record()).of("CreationInfo")[0]["created"] == "2026-11-16T09:30:00Z"
    assert Document(a_rich_record(), created=NOW).of("CreationInfo")[0]["created"] == "2026-11-20T08:00:00Z"
    with pytest.raises(InputError, match="needs the time of its making"):
        spdx3_bom(a_rich_record(verdict=None))


def test_the_model_is_an_ai_package_with_its_measurements_and_limits() -> None:
    (model,) = Document(a_rich_record()).of("ai_AIPackage")
    assert model["software_packageVersion"] == a_rich_record().subject
    assert model["software_primaryPurpose"] == "model"
    assert model["ai_limitation"].startswith("It invents facts")
    assert model["ai_informationAboutTraining"] == "One epoch, cosine schedule."
    metric = next(item for item in model["ai_metric"] if item["key"].startswith("perplexity, ratio"))
    assert metric["value"].startswith("1.064 (1.041 to 1.089 at 0.95, ")
    (energy,) = model["ai_energyConsumption"]["ai_trainingEnergyConsumption"]
    assert (energy["ai_energyQuantity"], energy["ai_energyUnit"]) == (1200.0, "kilowattHour")


def test_what_is_not_known_is_left_out_and_conformance_not_claimed() -> None:
    document = Document(a_rich_record())
    (model,) = document.of("ai_AIPackage")
    assert "releaseTime" not in model
    assert "software_downloadLocation" not in model
    assert document.of("SpdxDocument")[0]["profileConformance"] == ["core", "software", "simpleLicensing"]


def test_with_time_and_place_of_release_the_ai_profile_is_conformed_to() -> None:
    document = Document(a_rich_record(), released=NOW, download_location="https://hub.example/acme/osprey")
    (model,) = document.of("ai_AIPackage")
    assert model["releaseTime"] == "2026-11-20T08:00:00Z"
    assert model["software_downloadLocation"] == "https://hub.example/acme/osprey"
    assert "ai" in document.of("SpdxDocument")[0]["profileConformance"]
    elsewhere = Document(a_rich_record(), released=NOW, download_location="somewhere")
    assert "ai" not in elsewhere.of("SpdxDocument")[0]["profileConformance"]
    assert "dataset" not in document.of("SpdxDocument")[0]["profileConformance"], "not all say when"


def test_every_file_is_contained_with_its_hash() -> None:
    record = a_record("osprey-135m", kind="BF16")
    document = Document(record)
    files = {element["name"]: element["verifiedUsing"][0]["hashValue"] for element in document.of("software_File")}
    assert files == {str(entry.path): entry.sha256 for entry in record.manifest}
    (model,) = document.of("ai_AIPackage")
    assert len(document.related(model, "contains")) == len(files)


def test_data_is_what_it_was_used_for() -> None:
    document = Document(a_rich_record())
    (model,) = document.of("ai_AIPackage")
    names = {kind: {document.elements[end]["name"] for end in document.related(model, kind)} for kind in
             ("trainedOn", "testedOn", "dependsOn", "descendantOf")}  # fmt: skip
    assert names == {
        "trainedOn": {"Ocean Corpus", "sea/reports"},
        "testedOn": {"held-out", "sea/exam"},
        "dependsOn": {"sea/trainer"},
        "descendantOf": {"internal model of the publisher", "meta-llama/Llama-3.2-1B"},
    }


def test_personal_data_need_not_be_sensitive() -> None:
    for answer, said in (("no", "no"), ("yes", "noAssertion"), ("unknown", "noAssertion")):
        disclosure = a_disclosure(data=(a_data_set(personal_data=answer),))
        data = Document(a_rich_record(disclosure=disclosure)).named("Ocean Corpus")
        assert data["dataset_hasSensitivePersonalInformation"] == said


def test_each_work_keeps_its_own_licence() -> None:
    document = Document(a_rich_record())
    (model,) = document.of("ai_AIPackage")
    assert document.licences(model) == [LLAMA]
    assert document.licences(model, "hasConcludedLicense") == [f"Apache-2.0 AND {LLAMA}"]
    assert document.licences(document.named("meta-llama/Llama-3.2-1B")) == [LLAMA]
    assert document.licences(document.named("sea/trainer")) == ["GPL-3.0-only"]
    assert document.licences(document.named("Ocean Corpus")) == ["CC-BY-4.0"]


def test_no_licence_is_no_assertion_in_the_words_of_the_standard() -> None:
    document = Document(a_rich_record(terms=None))
    (model,) = document.of("ai_AIPackage")
    (nothing,) = document.licences(model, "hasConcludedLicense")
    assert nothing.endswith("/ExpandedLicensing/NoAssertionLicense")
    assert document.licences(document.named("held-out")) == [nothing]


def test_a_custom_licence_is_declared_with_its_archived_text() -> None:
    document = Document(a_rich_record())
    expression = next(
        e for e in document.of("simplelicensing_LicenseExpression") if e["simplelicensing_licenseExpression"] == LLAMA
    )
    (entry,) = expression["simplelicensing_customIdToUri"]
    assert entry["key"] == LLAMA
    assert document.elements[entry["value"]]["simplelicensing_licenseText"].startswith("MIT License")


def test_a_licence_that_nobody_knows_is_declared_without_making_up_its_text() -> None:
    document = Document(a_rich_record(license="the sea licence"))
    (model,) = document.of("ai_AIPackage")
    (expression,) = document.licences(model)
    assert expression.startswith("LicenseRef-weighbridge-stated-the-sea-licence-")
    text = document.named("the sea licence")
    assert text["simplelicensing_licenseText"] == "NOASSERTION"


def test_a_publisher_without_a_legal_name_is_the_owner_of_the_model() -> None:
    assert Document(a_rich_record()).of("Organization")[0]["name"] == "Acme Sea Models Ltd"
    document = Document(a_rich_record(disclosure=a_disclosure(publisher=Publisher())))
    assert not document.of("Organization")
    (agent,) = document.of("Agent")
    assert agent["name"] == "acme"
    assert "not stated" in agent["comment"]
