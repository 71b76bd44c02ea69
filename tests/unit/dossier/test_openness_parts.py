"""Which components lie in a release, and `mof.yml` of it in the evaluator's own format."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from builders import a_record

from weighbridge.dossier.croissant import croissant_name
from weighbridge.dossier.disclosure import Component, DataSet, Disclosure, Publisher
from weighbridge.dossier.mof import mof_yaml
from weighbridge.dossier.parts import openness_of, openness_of_folder, release_parts, weights_licence
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.errors import InputError
from weighbridge.terms.openness import KINDS, UNLICENSED, Openness, Part, assess
from weighbridge.terms.openness.component import components

SCHEMA = json.loads((Path(__file__).parents[2] / "cases" / "openness" / "mof_schema.json").read_text(encoding="utf-8"))
DOSSIER = ("README.md", "release.json", "LICENSE", "NOTICE", "model.sig")
CORPUS = DataSet(
    name="corpus", roles=("training",), license="CC-BY-4.0", path="data/corpus.jsonl", url="https://example.com/"
)

UNSTATED = "LicenseRef-not-stated"


def released(*, disclosure: Disclosure | None = None, **changes: Any) -> ReleaseRecord:
    changed: ReleaseRecord = replace(
        a_record(),
        disclosure=disclosure or Disclosure(),
        **{"license": "Apache-2.0", "parents": (), "terms": None, **changes},
    )
    return changed


def files(record: ReleaseRecord, *more: str) -> tuple[str, ...]:
    return (*(str(entry.path) for entry in record.manifest), *DOSSIER, *more)


def parts_of(record: ReleaseRecord, *more: str, recognised: dict[str, str] | None = None) -> dict[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for part in release_parts(record, files(record, *more), recognised=recognised):
        found.setdefault(part.kind, []).append(part)
    return found


def disclosing(*components: Component, data: tuple[DataSet, ...] = ()) -> ReleaseRecord:
    return released(disclosure=Disclosure(components=components, data=data))


def everything() -> tuple[ReleaseRecord, tuple[str, ...]]:
    """A release that holds all that the framework asks for."""
    named = [
        kind
        for kind in KINDS
        if kind
        not in (
            "model-parameters-final",
            "model-card",
            "evaluation-results",
            "data-card",
            "datasets",
            "evaluation-data",
        )
    ]
    held_out = DataSet(name="held-out", roles=("evaluation",), license="CC0-1.0", path="data/held-out.jsonl")
    components = tuple(Component(kind=kind, path=f"more/{kind}", license="MIT") for kind in named)
    record = disclosing(*components, data=(CORPUS, held_out))
    more = [f"more/{kind}/file" for kind in named]
    return record, files(record, *more, CORPUS.path, held_out.path, croissant_name(CORPUS))


def test_an_ordinary_release_holds_weights_card_and_results() -> None:
    record = released()
    found = parts_of(record)
    here = {kind for kind, parts in found.items() if any(part.in_release for part in parts)}
    assert here >= {"model-parameters-final", "model-card", "evaluation-results"}
    assert not here & {"model-architecture", "inference-code", "data-card", "datasets", "training-code"}


def test_weights_that_the_record_names_and_the_release_lacks_do_not_count() -> None:
    assert not [part for part in release_parts(released(), DOSSIER) if part.kind == "model-parameters-final"]


def test_a_known_architecture_is_only_stated_elsewhere() -> None:
    found = parts_of(released())
    for kind in ("model-architecture", "inference-code"):
        (part,) = found[kind]
        assert not part.in_release
        assert part.place.startswith("llama.cpp, https://")
        assert part.license == "MIT"
    unheard = released(architecture={**a_record().architecture, "family": "unheard-of"})
    assert "model-architecture" not in parts_of(unheard)


def test_modelling_code_in_the_release_is_the_architecture() -> None:
    found = parts_of(released(), "code/modeling_osprey.py")["model-architecture"]
    assert [(part.place, part.in_release) for part in found if part.in_release] == [("code/modeling_osprey.py", True)]


def test_a_component_counts_where_its_files_lie() -> None:
    here = Component(kind="training-code", path="train", license="MIT")
    found = parts_of(disclosing(here), "train/main.py")["training-code"]
    assert found == [Part(kind="training-code", license="MIT", place="train")]


@pytest.mark.parametrize("path", ["train", "trai", "train/main", ""])
def test_a_component_whose_files_are_not_there_is_only_stated(path: str) -> None:
    claimed = Component(kind="training-code", path=path, url="https://example.com/train", license="MIT")
    (part,) = parts_of(disclosing(claimed), "training/main.py")["training-code"]
    assert not part.in_release
    assert part.place == "https://example.com/train"


def test_a_component_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="'weights' is no component") as caught:
        release_parts(disclosing(Component(kind="weights", path="x")), ())
    assert "model-parameters-final" in caught.value.hint


def test_a_licence_file_in_a_components_folder_is_believed() -> None:
    silent = Component(kind="training-code", path="train")
    (part,) = parts_of(disclosing(silent), "train/main.py", recognised={"train/LICENSE": "GPL-3.0-only"})[
        "training-code"
    ]
    assert part.license == "GPL-3.0-only"


def test_where_a_licence_file_says_otherwise_both_have_to_be_open() -> None:
    claimed = Component(kind="training-code", path="train", license="MIT")
    (part,) = parts_of(disclosing(claimed), "train/main.py", recognised={"train/LICENSE.txt": "CC-BY-NC-4.0"})[
        "training-code"
    ]
    assert part.license == "CC-BY-NC-4.0 AND MIT"


def test_a_licence_file_of_the_release_that_says_otherwise_counts_for_all_of_it() -> None:
    record = released()
    found = openness_of(record, files(record), recognised={"LICENSE": "CC-BY-NC-4.0"})
    assert not any(item.open for item in found.components)
    (weights,) = parts_of(record, recognised={"LICENSE": "CC-BY-NC-4.0"})["model-parameters-final"]
    assert weights.license == "Apache-2.0 AND CC-BY-NC-4.0"


def test_a_data_set_without_a_licence_is_not_covered_by_that_of_the_release() -> None:
    found = parts_of(disclosing(data=(replace(CORPUS, license=""),)), CORPUS.path)
    assert found["datasets"] == [Part(kind="datasets", license=UNLICENSED, place=CORPUS.path)]


def test_a_data_set_that_is_named_by_address_is_only_stated() -> None:
    found = parts_of(disclosing(data=(CORPUS,)))["datasets"]
    assert found == [Part(kind="datasets", license="CC-BY-4.0", in_release=False, place="https://example.com/")]


def test_data_cards_are_of_training_data() -> None:
    held_out = DataSet(name="held-out", roles=("evaluation",))
    record = disclosing(data=(held_out,))
    assert "data-card" not in parts_of(record, croissant_name(held_out))
    trained = disclosing(data=(CORPUS, held_out))
    assert [part.in_release for part in parts_of(trained, croissant_name(CORPUS))["data-card"]] == [True]
    assert [part.in_release for part in parts_of(trained)["data-card"]] == [False]


def test_without_measurements_there_are_no_results() -> None:
    assert "evaluation-results" not in parts_of(released(measurements=(), verdict=None))


@pytest.mark.parametrize(
    ("license", "parents", "terms", "expected"),
    [
        ("Apache-2.0", (), None, "Apache-2.0"),
        ("Apache-2.0", ({"ref": "a/b", "relation": "finetune", "license": "MIT"},), None, "Apache-2.0 AND MIT"),
        ("Apache-2.0", ({"ref": "a/b", "relation": "quantise", "license": ""},), None, f"Apache-2.0 AND {UNSTATED}"),
        ("Apache-2.0", ({"ref": "a/b", "relation": "merge", "license": "Other"},), None, f"Apache-2.0 AND {UNSTATED}"),
        ("Apache-2.0", ({"ref": "a/b", "relation": "train-data", "license": "CC-BY-NC-4.0"},), None, "Apache-2.0"),
        ("MIT", (), {"expression": "Apache-2.0 AND MIT"}, "Apache-2.0 AND MIT"),
        ("MIT", ({"ref": "a/b", "relation": "finetune", "license": "MIT OR ISC"},), None, "(ISC OR MIT) AND MIT"),
    ],
)  # fmt: skip
def test_weights_are_under_all_that_they_inherit(license: str, parents: Any, terms: Any, expected: str) -> None:  # noqa: A002
    assert weights_licence(released(license=license, parents=parents, terms=terms)) == expected


def test_an_apache_claim_over_a_closed_parent_opens_nothing() -> None:
    parent = {"ref": "a/b", "relation": "finetune", "license": "CC-BY-NC-4.0"}
    record = released(parents=(parent,))
    weights = next(s for s in openness_of(record, files(record)).components if s.component == "model-parameters-final")
    assert not weights.open
    assert weights.why == f"{weights.places[0]}: licence CC-BY-NC-4.0 is not open"


def test_a_release_with_everything_reaches_the_first_class() -> None:
    record, paths = everything()
    found = openness_of(record, paths)
    assert found.mof_class == "I", found.mof_missing_next
    assert found.osaid_met
    assert found.g7_label == "Open Source AI with Open Data"
    for path in (CORPUS.path, croissant_name(CORPUS), "README.md", "more/training-code/file"):
        assert openness_of(record, [item for item in paths if item != path]).mof_class != "I"


def test_an_ordinary_release_reaches_no_class_and_says_what_would_help() -> None:
    record = released()
    found = openness_of(record, files(record))
    assert (found.mof_class, found.g7_label, found.g7_as_stated.label) == ("", "", "Open Weights AI")
    missing = {item.component: item.why for item in found.mof_missing_next}
    assert set(missing) == {"model-architecture", "technical-report", "data-card"}
    assert "stated elsewhere, not checked: llama.cpp" in missing["model-architecture"]
    assert found.eu_index["paper"] == "unknown", "nobody said that there is no paper"


def test_bases_are_those_whose_weights_went_in() -> None:
    parents = (
        {"ref": "base/model", "relation": "finetune", "license": "MIT"},
        {"ref": "some/data", "relation": "train-data", "license": "MIT"},
    )
    record = released(parents=parents)
    reasons = {item.dimension: item.why for item in openness_of(record, files(record)).eu_ratings}
    assert "base/model" in reasons["weights_basemodel"]
    assert "some/data" not in reasons["weights_basemodel"]


def test_a_strangers_folder_shows_what_lies_in_it_and_leaves_the_rest_unknown() -> None:
    names = ("README.md", "config.json", "model.safetensors", "modeling_own.py", "LICENSE")
    found = openness_of_folder(names, license="apache-2.0", recognised={"LICENSE": "Apache-2.0"})
    opened = {item.component for item in found.components if item.open}
    assert opened == {"model-parameters-final", "model-architecture", "model-card", "model-metadata"}
    assert "closed" not in found.eu_index.values()
    assert (found.mof_class, found.g7_label) == ("", "")


def test_a_strangers_folder_is_no_more_open_than_what_it_descends_from() -> None:
    for licence, why in (("", "'LicenseRef-not-stated' is not known"), ("CC-BY-NC-4.0", "CC-BY-NC-4.0 is not open")):
        parent = {"ref": "a/b", "relation": "quantise", "license": licence}
        found = openness_of_folder(["m.gguf"], license="mit", parents=[parent], format="gguf", family="llama")
        weights = next(item for item in found.components if item.component == "model-parameters-final")
        assert why in weights.why
        assert found.eu_index["weights_basemodel"] == "unknown"
    unlicensed = openness_of_folder(["m.gguf"], license="")
    assert not any(item.open for item in unlicensed.components)


def with_openness(record: ReleaseRecord, paths: tuple[str, ...]) -> ReleaseRecord:
    return replace(record, openness=openness_of(record, paths).to_json())


def read_mof(data: bytes) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(data)
    checker = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    # The evaluator's reader leaves dates as they are written; PyYAML does so too, because they are quoted.
    checker.validate(read)
    return read


def test_the_schema_refuses_what_is_no_mof_file() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({"framework": {"name": "Other"}})


def reassess(data: dict[str, Any]) -> str:
    """The class that the evaluator would come to, by its rules, from nothing but its own file."""
    kinds = {item.name: item.id for item in components()}
    parts = [Part(kind=kinds[item["name"]], license=item["license"]) for item in data["release"]["components"]]
    return assess(parts, license_of_release=data["release"]["license"]["distribution"]["name"]).mof_class


def test_mof_yaml_is_valid_and_leads_the_evaluator_to_the_same_class() -> None:
    for record, paths in ((released(), files(released())), everything()):
        record = with_openness(record, paths)
        read = read_mof(mof_yaml(record))
        assert record.openness is not None
        assert reassess(read) == record.openness["mof_class"]
        assert read["release"]["date"] == "2026-11-16"
        assert read["framework"]["version"] == "1.0"


def test_mof_yaml_lists_only_what_lies_in_the_release() -> None:
    claimed = Component(kind="training-code", url="https://example.com/train", license="MIT")
    record = disclosing(claimed)
    read = read_mof(mof_yaml(with_openness(record, files(record))))
    assert {item["name"] for item in read["release"]["components"]} == {
        "Model parameters (Final)", "Model card", "Evaluation results"
    }  # fmt: skip
    assert {item["license"] for item in read["release"]["components"]} == {"Apache-2.0"}


def test_mof_yaml_names_the_publisher_and_the_base() -> None:
    parents = ({"ref": "base/model", "relation": "quantise", "license": "MIT"},)
    record = released(
        disclosure=Disclosure(publisher=Publisher(name="Osprey Labs", contact="a@example.com")), parents=parents
    )
    release = read_mof(mof_yaml(with_openness(record, files(record))))["release"]
    assert (release["producer"], release["contact"], release["origin"]) == (
        "Osprey Labs",
        "a@example.com",
        "base/model",
    )


@pytest.mark.parametrize(
    "licence", ["OpenMDW-1.1", "llama3.2", "LicenseRef-proprietary", "A licence: 'of' \"ours\"\n- x: 1", ""]
)
def test_mof_yaml_is_valid_with_any_licence(licence: str) -> None:
    record = released(license=licence)
    read = read_mof(mof_yaml(with_openness(record, files(record))))
    assert len(read["release"]["components"]) == 3


def test_mof_yaml_is_the_same_every_time() -> None:
    record = with_openness(*everything())
    assert mof_yaml(record) == mof_yaml(record)


def test_mof_yaml_needs_openness_and_a_day() -> None:
    record = released()
    with pytest.raises(InputError, match="does not say how open"):
        mof_yaml(record)
    undecided = with_openness(replace(record, verdict=None), files(record))
    with pytest.raises(InputError, match="no day of release"):
        mof_yaml(undecided)
    assert read_mof(mof_yaml(undecided, released="2026-11-22"))["release"]["date"] == "2026-11-22"


def test_a_forged_class_does_not_get_into_mof_yaml() -> None:
    record = released()
    forged = openness_of(record, files(record)).to_json() | {"mof_class": "I"}
    with pytest.raises(ValueError, match="do not follow"):
        mof_yaml(replace(record, openness=forged))


def test_openness_goes_through_a_record_and_back() -> None:
    record = with_openness(*everything())
    read = ReleaseRecord.from_json(json.loads(record.to_bytes()))
    assert read.openness is not None
    assert Openness.from_json(read.openness) == openness_of(*everything())
