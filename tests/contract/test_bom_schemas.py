"""Bills of materials and data cards against the official tools: schemas, model bindings and validators."""

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "dossier"))

from bom_builders import a_data_set, a_disclosure, a_rich_record, known_licences
from builders import a_record, an_architecture

from weighbridge.dossier.bom_reader import read_bom
from weighbridge.dossier.croissant import RecordField, croissant, croissant_name
from weighbridge.dossier.cyclonedx import cyclonedx_bom
from weighbridge.dossier.disclosure import (
    DATA_ORIGINS,
    DATA_ROLES,
    YES_NO,
    Component,
    DataSet,
    Disclosure,
    Publisher,
)
from weighbridge.dossier.release import ReleaseRecord, Texts
from weighbridge.dossier.spdx3 import spdx3_bom
from weighbridge.dossier.spdx3_graph import NO_ASSERTION_LICENCE

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_7)
LICENCES = known_licences()

# Every code point, lone surrogates among them, and texts that look like something.
text = st.one_of(
    st.text(st.characters(), max_size=30),
    st.sampled_from([
        "", " ", "https://a.example/x", "https://a b", "x@y.example", "mailto:", "MIT", "MIT AND", "llama3.2",
        "LicenseRef-a", "NOASSERTION", "(", "urn:cdx:x", "\x00", "\ud800", "12.5", "</script>", "ab" * 32,
    ]),
)  # fmt: skip
answer = st.sampled_from(YES_NO)
count = st.one_of(st.none(), st.integers(min_value=-1, max_value=10**18))
data_sets = st.builds(
    DataSet,
    name=text,
    roles=st.lists(st.sampled_from(DATA_ROLES), max_size=2).map(tuple),
    origin=st.sampled_from(("", *DATA_ORIGINS)),
    license=text,
    description=text,
    url=text,
    sha256=text,
    collected=text,
    first_used=text,
    purpose=text,
    processing=text,
    modalities=st.lists(text, max_size=2).map(tuple),
    languages=st.lists(text, max_size=2).map(tuple),
    size_bytes=count,
    records=count,
    tokens=count,
    copyrighted=answer,
    personal_data=answer,
    consumer_data=answer,
    synthetic=answer,
)
publishers = st.builds(
    Publisher, name=text, address=text, country=text, website=text, contact=text, security_contact=text
)
components = st.builds(Component, kind=text, path=text, url=text, license=text, description=text)
statement_ids = ("training.energy_mwh", "training.process", "data.biases", "use.integration", "model.architecture")
disclosures = st.builds(
    Disclosure,
    publisher=publishers,
    data=st.lists(data_sets, max_size=3, unique_by=lambda item: item.name).map(tuple),
    components=st.lists(components, max_size=2).map(tuple),
    statements=st.dictionaries(st.sampled_from(statement_ids), text),
)
parents = st.lists(
    st.fixed_dictionaries(
        {"ref": text},
        optional={
            "relation": st.one_of(st.sampled_from(["finetune", "merge", "train-data", "code", "eval-only"]), text),
            "license": text,
            "digest": text,
        },
    ),
    max_size=3,
).map(tuple)
loose = st.one_of(st.none(), st.booleans(), st.integers(), text, st.lists(text, max_size=1))
languages = st.lists(text, max_size=2).map(tuple)
records = st.builds(
    a_record,
    license=text,
    parents=parents,
    disclosure=disclosures,
    texts=st.builds(Texts, title=text, summary=text, intended_use=text, limitations=text, languages=languages),
    architecture=st.one_of(
        st.just({}), st.just(an_architecture(1)), st.fixed_dictionaries({"family": loose, "parameters": loose})
    ),
    terms=st.one_of(st.none(), st.just({}), st.fixed_dictionaries({"expression": loose})),
    openness=st.one_of(st.none(), st.fixed_dictionaries({"mof_class": loose, "osaid_met": loose})),
    weighbridge_version=text,
    source_digest=text,
    recipe=st.lists(st.fixed_dictionaries({"step": text, "engine": text}), max_size=2).map(tuple),
    audited=st.just(False),
    decided=st.just(True),
    figures=st.sampled_from([None, {}]),
)


def problems(document: bytes) -> list[str]:
    found = VALIDATOR.validate_str(document.decode(), all_errors=True)
    return [] if found is None else [f"{list(error.data.path)}: {error.data.message[:200]}" for error in found]


def loaded(document: bytes) -> tuple[Any, Any]:
    """Parse with the bindings that are generated from the official SHACL model; they refuse unknown properties."""
    from spdx_python_model import load_data

    model, elements = load_data(json.loads(document))
    assert isinstance(elements.link(), set)
    return model, elements


def test_the_validator_would_notice() -> None:
    broken = json.loads(cyclonedx_bom(a_rich_record(), licences=LICENCES))
    broken["metadata"]["component"]["modelCard"]["surprise"] = 1
    assert problems(json.dumps(broken).encode())


@pytest.mark.parametrize("record", [a_rich_record(), a_record(), a_record(figures={}, decided=False, license="")])
def test_a_cyclonedx_bom_is_valid_against_the_official_schema(record: ReleaseRecord) -> None:
    assert problems(cyclonedx_bom(record, licences=LICENCES)) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(records)
def test_whatever_a_record_says_its_cyclonedx_bom_is_valid_and_readable(record: ReleaseRecord) -> None:
    document = cyclonedx_bom(record, licences=LICENCES)
    assert problems(document) == []
    subject = read_bom(document, place="bom.cdx.json").subject
    assert subject is not None
    assert subject.version == record.subject


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(records)
def test_whatever_a_record_says_its_spdx_document_loads_and_keeps_its_minimums(record: ReleaseRecord) -> None:
    document = spdx3_bom(record, licences=LICENCES)
    model, elements = loaded(document)
    # Writing it again is where the bindings count what each class requires.
    model.JSONLDSerializer().serialize_data(elements)
    subject = read_bom(document, place="bom.spdx3.json").subject
    assert subject is not None
    assert subject.version == record.subject


def test_the_spdx_bindings_would_notice() -> None:
    broken = json.loads(spdx3_bom(a_rich_record(), licences=LICENCES))
    package = next(element for element in broken["@graph"] if element["type"] == "ai_AIPackage")
    package["ai_surprise"] = "x"
    with pytest.raises(KeyError, match="ai_surprise"):
        loaded(json.dumps(broken).encode())


def test_an_spdx_document_survives_the_official_bindings_unchanged() -> None:
    document = spdx3_bom(a_rich_record(), licences=LICENCES)
    model, elements = loaded(document)
    again = json.dumps(model.JSONLDSerializer().serialize_data(elements)).replace("_:CreationInfo0", "_:creation")

    def graph(data: str) -> list[str]:
        return sorted(json.dumps(element, sort_keys=True) for element in json.loads(data)["@graph"])

    # The bindings write decimals as texts and the standard's own individuals by their short names.
    expected = document.decode().replace("1200.0", '"1200.0"')
    expected = expected.replace(NO_ASSERTION_LICENCE, "expandedlicensing_NoAssertionLicense")
    assert graph(again) == graph(expected)


# What classes require in https://github.com/spdx/spdx-spec, 3.0.1/rdf/schema.json, less what the bindings check; and
# what the profiles add to AIPackage and DatasetPackage in https://github.com/spdx/spdx-3-model (AI, Dataset).
REQUIRED = {
    "dataset_DatasetPackage": (
        "dataset_datasetType", "originatedBy", "builtTime", "releaseTime", "software_downloadLocation",
        "software_primaryPurpose",
    ),
    "ai_AIPackage": (
        "suppliedBy", "software_downloadLocation", "software_packageVersion", "software_primaryPurpose", "releaseTime",
    ),
    "simplelicensing_SimpleLicensingText": ("simplelicensing_licenseText",),
    "simplelicensing_LicenseExpression": ("simplelicensing_licenseExpression",),
    "Relationship": ("from", "to", "relationshipType"),
}  # fmt: skip


def test_a_document_that_claims_the_ai_and_dataset_profiles_has_what_they_require() -> None:
    from datetime import UTC, datetime

    moment = datetime(2026, 11, 20, tzinfo=UTC)
    record = a_rich_record()
    whole = tuple(
        replace(item, originator="Acme", built="2026-01-02", released="2026-02-03", url="https://data.example/set")
        for item in record.disclosure.data
    )
    record = replace(record, disclosure=replace(record.disclosure, data=whole))
    document = spdx3_bom(record, released=moment, download_location="https://hub.example/acme", licences=LICENCES)
    graph = json.loads(document)["@graph"]
    claimed = next(element for element in graph if element["type"] == "SpdxDocument")["profileConformance"]
    assert {"ai", "dataset"} <= set(claimed)
    for element in graph:
        assert [name for name in REQUIRED.get(element["type"], ()) if name not in element] == []
    loaded(document)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mlcroissant_validates_a_card_and_reads_the_records_that_it_describes(tmp_path: Path) -> None:
    import mlcroissant  # type: ignore[import-untyped]  # it ships no types

    body = b'{"text": "a reef", "year": 2024}\n{"text": "a wreck", "year": 2025}\n'
    data_set = a_data_set(path="eval/reports.jsonl", sha256=hashlib.sha256(body).hexdigest(), size_bytes=len(body))
    (tmp_path / "eval").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "eval" / "reports.jsonl").write_bytes(body)
    path = tmp_path / croissant_name(data_set)
    fields = (RecordField(name="text"), RecordField(name="year", type="integer"))
    path.write_bytes(croissant(a_rich_record(), data_set, fields=fields, licences=LICENCES))
    card = mlcroissant.Dataset(str(path))
    assert not card.metadata.ctx.issues.errors
    assert card.metadata.data_collection == "origin: licensed; collected: 2023-01 to 2024-06"
    assert card.metadata.personal_sensitive_information == ["personal data: no", "consumer data: no"]
    assert [(row["records/text"], row["records/year"]) for row in card.records("records")] == [
        (b"a reef", 2024),
        (b"a wreck", 2025),
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data_sets.filter(lambda item: item.name.strip()))
def test_whatever_a_publisher_says_mlcroissant_accepts_the_card(data_set: DataSet) -> None:
    import mlcroissant

    document = json.loads(croissant(a_rich_record(disclosure=a_disclosure()), data_set, licences=LICENCES))
    assert not mlcroissant.Dataset(document).metadata.ctx.issues.errors
