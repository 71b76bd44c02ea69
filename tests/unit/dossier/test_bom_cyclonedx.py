"""What the CycloneDX ML-BOM of a version states, and what it leaves out."""

import json
from typing import Any

from bom_builders import CORPUS, LLAMA, a_data_set, a_disclosure, a_rich_record, known_licences
from builders import a_record

from weighbridge.dossier.cyclonedx import cyclonedx_bom
from weighbridge.dossier.disclosure import Publisher
from weighbridge.dossier.release import ReleaseRecord


def bom(record: ReleaseRecord) -> dict[str, Any]:
    document = json.loads(cyclonedx_bom(record, licences=known_licences()))
    assert isinstance(document, dict)
    return document


def model(**changes: Any) -> dict[str, Any]:
    component = bom(a_rich_record(**changes))["metadata"]["component"]
    assert isinstance(component, dict)
    return component


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {item["name"].removeprefix("weighbridge:"): item["value"] for item in component.get("properties", [])}


def test_the_same_record_gives_the_same_bytes_and_another_version_another_serial_number() -> None:
    assert cyclonedx_bom(a_rich_record()) == cyclonedx_bom(a_rich_record())
    other = bom(a_record("osprey-135m", kind="BF16"))
    assert other["serialNumber"] != bom(a_rich_record())["serialNumber"]


def test_the_time_is_that_of_the_verdict_and_absent_before_there_is_one() -> None:
    assert bom(a_rich_record())["metadata"]["timestamp"] == "2026-11-16T09:30:00Z"
    assert "timestamp" not in bom(a_rich_record(verdict=None))["metadata"]


def test_the_model_is_named_by_its_digest_and_lists_every_file_with_its_hash() -> None:
    record = a_rich_record()
    component = model()
    assert component["version"] == record.subject
    assert component["type"] == "machine-learning-model"
    assert {(item["name"], item["hashes"][0]["content"]) for item in component["components"]} == {
        (str(entry.path), entry.sha256) for entry in record.manifest
    }
    # A digest of a manifest is no hash of a file.
    assert "hashes" not in component


def test_the_declared_and_the_concluded_licence_stand_side_by_side() -> None:
    declared, concluded = model()["licenses"]
    assert (declared["expression"], declared["acknowledgement"]) == (LLAMA, "declared")
    assert declared["properties"] == [{"name": "weighbridge:stated", "value": "llama3.2"}]
    assert (concluded["expression"], concluded["acknowledgement"]) == (f"Apache-2.0 AND {LLAMA}", "concluded")


def test_without_resolved_terms_nothing_is_concluded() -> None:
    for terms in (None, {}, {"expression": None}, {"expression": 7}, {"expression": ""}):
        assert [item["acknowledgement"] for item in model(terms=terms)["licenses"]] == ["declared"]


def test_a_licence_that_is_no_spdx_expression_stays_a_name() -> None:
    assert model(license="the sea licence", terms=None)["licenses"] == [
        {"license": {"name": "the sea licence", "acknowledgement": "declared"}}
    ]


def test_measurements_keep_their_interval_unit_and_what_they_are_compared_with() -> None:
    metrics = {item["type"]: item for item in model()["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    ratio = metrics["perplexity, ratio to the internal model"]
    assert ratio["value"] == "1.064"
    assert ratio["confidenceInterval"] == {"lowerBound": "1.041", "upperBound": "1.089"}
    assert ratio["slice"].startswith("data sha256:")
    assert "kl_divergence [nat/token]" in metrics
    assert "confidenceInterval" not in metrics["peak_memory_bytes [byte]"]


def test_ancestors_are_the_internal_model_and_the_works_whose_weights_were_taken() -> None:
    source, base = model()["pedigree"]["ancestors"]
    assert source["version"] == a_rich_record().source_digest
    assert base["name"] == "meta-llama/Llama-3.2-1B"
    assert base["licenses"] == [
        {
            "expression": LLAMA,
            "acknowledgement": "declared",
            "properties": [{"name": "weighbridge:stated", "value": "llama3.2"}],
        }
    ]
    assert properties(base) == {"relation": "finetune", "digest:weighbridgeManifestV1": "ab" * 32}
    assert "gguf" in model()["pedigree"]["notes"].lower()


def test_data_and_code_that_a_model_came_from_are_no_ancestors() -> None:
    kinds = {item["name"]: item["type"] for item in bom(a_rich_record())["components"]}
    assert kinds["sea/reports"] == kinds["sea/exam"] == "data"
    assert kinds["sea/trainer"] == "library"


def test_a_data_set_says_what_its_publisher_says() -> None:
    component = bom(a_rich_record())["components"][0]
    assert component["name"] == "Ocean Corpus"
    assert component["hashes"] == [{"alg": "SHA-256", "content": CORPUS}]
    assert component["licenses"][0]["expression"] == "CC-BY-4.0"
    assert component["data"][0]["contents"] == {"url": "https://data.example/ocean"}
    assert "sensitiveData" not in component["data"][0]
    said = properties(component)
    assert said["personal_data"] == "no"
    assert said["tokens"] == "4000"
    assert "copyrighted" not in said, "unknown is absent"
    assert model()["modelCard"]["modelParameters"]["datasets"][0] == {"ref": component["bom-ref"]}


def test_only_data_that_is_sensitive_is_listed_as_sensitive() -> None:
    data = a_data_set(personal_data="yes", consumer_data="unknown")
    component = bom(a_rich_record(disclosure=a_disclosure(data=(data,))))["components"][0]
    assert component["data"][0]["sensitiveData"] == ["personal data"]


def test_an_address_that_is_none_is_kept_as_text() -> None:
    data = a_data_set(url="ask Bob <bob>", sha256="not a hash")
    component = bom(a_rich_record(disclosure=a_disclosure(data=(data,))))["components"][0]
    assert "contents" not in component["data"][0]
    assert "hashes" not in component
    assert properties(component)["url"] == "ask Bob <bob>"


def test_energy_is_stated_only_as_the_publisher_states_it() -> None:
    considerations = model()["modelCard"]["considerations"]
    (energy,) = considerations["environmentalConsiderations"]["energyConsumptions"]
    assert energy["activityEnergyCost"] == {"value": 1200.0, "unit": "kWh"}
    vague = a_disclosure(statements={"training.energy_mwh": "about 1.2"})
    assert "environmentalConsiderations" not in model(disclosure=vague)["modelCard"]["considerations"]


def test_the_publisher_is_the_supplier_and_nobody_is_made_up() -> None:
    assert model()["supplier"]["name"] == "Acme Sea Models Ltd"
    assert model()["supplier"]["contact"] == [{"email": "models@acme.example"}]
    nobody = model(disclosure=a_disclosure(publisher=Publisher()))
    assert "supplier" not in nobody
    assert "publisher" not in nobody
    assert nobody["group"] == "acme"


def test_what_is_held_back_and_how_open_it_is_are_properties() -> None:
    found = [(item["name"], item["value"]) for item in model()["properties"]]
    assert ("weighbridge:held_back", "The internal tool adapter (60 tensors)") in found
    assert ("weighbridge:openness:mof_class", "III") in found
    assert ("weighbridge:openness:osaid_met", "false") in found


def test_every_reference_is_unique_and_every_link_leads_somewhere() -> None:
    document = bom(a_rich_record())
    refs: list[str] = []

    def gather(value: Any) -> None:
        if isinstance(value, dict):
            refs.extend([value["bom-ref"]] if "bom-ref" in value else [])
            for item in value.values():
                gather(item)
        elif isinstance(value, list):
            for item in value:
                gather(item)

    gather(document)
    assert len(refs) == len(set(refs))
    linked = {ref for item in document["dependencies"] for ref in (item["ref"], *item["dependsOn"])}
    assert linked | {"model"} <= set(refs)
