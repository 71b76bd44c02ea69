"""Data cards: what they state about a data set, and where its file lies."""

import hashlib
import json
from typing import Any

import pytest
from bom_builders import CORPUS, a_data_set, a_rich_record, known_licences

from weighbridge.dossier.croissant import RecordField, croissant, croissant_name
from weighbridge.dossier.disclosure import DataSet
from weighbridge.errors import UnsafePathError


def card(data_set: DataSet, **arguments: Any) -> dict[str, Any]:
    document = json.loads(croissant(a_rich_record(), data_set, licences=known_licences(), **arguments))
    assert isinstance(document, dict)
    return document


def test_a_card_says_what_the_publisher_says() -> None:
    document = card(a_data_set())
    assert document["name"] == "Ocean Corpus"
    assert document["license"] == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert document["url"] == "https://data.example/ocean"
    assert document["inLanguage"] == ["en", "fr"]
    assert document["rai:dataCollection"] == "origin: licensed; collected: 2023-01 to 2024-06"
    assert document["rai:personalSensitiveInformation"] == ["personal data: no", "consumer data: no"]
    assert document["rai:dataUseCases"] == ["General knowledge of the sea.", "training"]
    assert document["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]


def test_what_is_not_stated_is_absent() -> None:
    document = card(DataSet(name="x", roles=()))
    assert set(document) == {"@context", "@type", "conformsTo", "name", "keywords"}


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        ("llama3.2", "llama3.2"),
        ("the sea licence", "the sea licence"),
        ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("ISC", "https://spdx.org/licenses/ISC.html"),
    ],
)
def test_only_a_licence_on_the_spdx_list_becomes_an_address(stated: str, shown: str) -> None:
    assert card(a_data_set(license=stated))["license"] == shown


@pytest.mark.parametrize(
    ("path", "address"),
    [("data/a b.jsonl", "a b.jsonl"), ("eval/x.parquet", "../eval/x.parquet"), ("data.jsonl", "../data.jsonl")],
)
def test_a_file_is_addressed_from_where_the_card_lies(path: str, address: str) -> None:
    (file,) = card(a_data_set(path=path))["distribution"]
    assert file["contentUrl"] == address
    assert file["sha256"] == CORPUS


def test_a_file_of_the_version_has_the_hash_of_its_manifest() -> None:
    name = "osprey-135m-q4_k_m.gguf"
    (file,) = card(a_data_set(path=name, sha256=""))["distribution"]
    assert file["sha256"] == hashlib.sha256(name.encode()).hexdigest()
    assert file["contentSize"] == "105454304 B"


@pytest.mark.parametrize("changes", [{"path": ""}, {"path": "data/folder"}, {"path": "d/x.csv", "sha256": "unknown"}])
def test_without_file_or_hash_there_is_no_distribution(changes: dict[str, str]) -> None:
    assert "distribution" not in card(a_data_set(**changes))


def test_a_path_out_of_the_release_is_refused() -> None:
    with pytest.raises(UnsafePathError):
        card(a_data_set(path="../secret.jsonl"))


def test_records_are_described_only_for_jsonl_with_known_fields() -> None:
    fields = (RecordField(name="text", description="A report."), RecordField(name="year", type="integer"))
    (records,) = card(a_data_set(path="data/x.jsonl"), fields=fields)["recordSet"]
    assert [(item["name"], item["dataType"]) for item in records["field"]] == [
        ("text", "sc:Text"),
        ("year", "sc:Integer"),
    ]
    assert "recordSet" not in card(a_data_set(path="data/x.csv"), fields=fields)
    assert "recordSet" not in card(a_data_set(path="data/x.jsonl"))
    with pytest.raises(ValueError, match="not a field"):
        RecordField(name="a.b")
    with pytest.raises(ValueError, match="not a field"):
        RecordField(name="a", type="picture")


def test_no_two_names_share_a_card() -> None:
    names = ["ocean", "Ocean", "ocean!", "海", "", "-", "a" * 200, "a" * 201, "../x", "ocean corpus"]
    paths = [croissant_name(a_data_set(name)) for name in names]
    assert len(set(paths)) == len(paths)
    assert paths[0] == "data/ocean.croissant.json"
    assert all(path.startswith("data/") and path.count("/") == 1 and ".." not in path for path in paths)
    assert all(not path.removeprefix("data/").startswith(("-", ".")) for path in paths)


def test_personal_data_that_nobody_answered_for_is_not_answered_for() -> None:
    document = card(a_data_set(personal_data="unknown", consumer_data="yes"))
    assert document["rai:personalSensitiveInformation"] == ["consumer data: yes"]
