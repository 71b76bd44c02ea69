"""One provenance statement for each transformation; the chain of digests has no gap."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import SOURCE, a_record

from weighbridge.dossier.disclosure import DataSet, Disclosure
from weighbridge.dossier.provenance import provenance_lines, provenance_statement, transformations
from weighbridge.dossier.release import ReleaseRecord

BASE, CONVERTED, CALIBRATION = "b" * 64, "c" * 64, "d" * 64


def a_chain(**changes: Any) -> ReleaseRecord:
    end = a_record().subject
    recipe = (
        {"step": "withhold", "engine": "weighbridge sanitise 1"},
        {"step": "cast", "dtype": "BF16", "engine": "weighbridge sanitise 1", "input": SOURCE, "output": BASE},
        {"step": "gguf", "type": "BF16", "engine": "llama.cpp b1", "input": BASE, "output": CONVERTED},
        {
            "step": "quantise", "type": "Q4_K_M", "engine": "llama.cpp b1", "importance": CALIBRATION,
            "input": CONVERTED, "output": end,
        },
    )  # fmt: skip
    return a_record(**{"recipe": recipe, **changes})


def lines(record: ReleaseRecord) -> list[dict[str, Any]]:
    return [json.loads(line) for line in provenance_lines(record).splitlines()]


def dependencies(statement: dict[str, Any]) -> list[dict[str, Any]]:
    found = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert isinstance(found, list)
    return found


def test_each_transformation_is_a_statement_and_steps_stay_together() -> None:
    first, second, third = lines(a_chain())
    recipes = [s["predicate"]["buildDefinition"]["externalParameters"]["recipe"] for s in (first, second, third)]
    assert [[step["step"] for step in recipe] for recipe in recipes] == [["withhold", "cast"], ["gguf"], ["quantise"]]
    assert all("input" not in step and "output" not in step for recipe in recipes for step in recipe)


def test_the_statements_are_a_chain_from_the_source_to_the_payload() -> None:
    record = a_chain()
    first, second, third = lines(record)
    assert dependencies(first)[0] == {"name": "source", "digest": {"weighbridgeManifestV1": SOURCE}}
    assert first["subject"] == [{"name": "intermediate", "digest": {"weighbridgeManifestV1": BASE}}]
    assert dependencies(second)[0]["digest"] == first["subject"][0]["digest"]
    assert dependencies(third)[0]["digest"] == second["subject"][0]["digest"]
    assert third["subject"] == [{"name": str(e.path), "digest": {"sha256": e.sha256}} for e in record.manifest]
    invocations = {s["predicate"]["runDetails"]["metadata"]["invocationId"] for s in (first, second, third)}
    assert len(invocations) == 3


def test_parents_and_data_stand_where_they_were_used() -> None:
    data = (
        DataSet(name="web", roles=("training",), license="CC-BY-4.0", url="https://d.example/web", sha256="1" * 64),
        DataSet(name="sample", roles=("calibration",), license="CC0-1.0", sha256=CALIBRATION),
        DataSet(name="exam", roles=("evaluation",), sha256="2" * 64),
    )
    first, second, third = lines(a_chain(disclosure=Disclosure(data=data)))
    names = [[item["name"] for item in dependencies(statement)] for statement in (first, second, third)]
    assert names == [
        ["source", "base/falcon-small", "web", "weighbridge"],
        ["intermediate", "llama.cpp"],
        ["intermediate", "sample", "llama.cpp"],
    ]
    web = dependencies(first)[2]
    assert web["digest"] == {"sha256": "1" * 64}
    assert web["annotations"]["license"] == "CC-BY-4.0"


def test_a_parent_is_pinned_by_its_digest_and_one_for_comparison_is_no_dependency() -> None:
    parents = (
        {"ref": "base/x", "relation": "merge", "license": "MIT", "digest": "3" * 64},
        {"ref": "rival/y", "relation": "eval-only"},
    )
    first = lines(a_chain(parents=parents))[0]
    assert [item["name"] for item in dependencies(first)] == ["source", "base/x", "weighbridge"]
    assert dependencies(first)[1]["digest"] == {"weighbridgeManifestV1": "3" * 64}


def test_a_record_without_digests_keeps_its_single_statement() -> None:
    [only] = provenance_lines(a_record()).splitlines()
    assert json.loads(only) == provenance_statement(a_record())
    assert transformations(a_record()) == ()


def test_steps_after_the_last_digest_end_at_the_payload() -> None:
    recipe = ({"step": "cast", "output": BASE}, {"step": "gguf", "type": "F16"})
    assert [item.output for item in transformations(a_record(recipe=recipe))] == [BASE, a_record().subject]


def test_a_gap_between_two_transformations_is_refused() -> None:
    recipe = ({"step": "cast", "output": BASE}, {"step": "gguf", "input": CONVERTED, "output": a_record().subject})
    with pytest.raises(ValueError, match="began at"):
        provenance_lines(a_record(recipe=recipe))


def test_a_recipe_that_ends_elsewhere_is_refused() -> None:
    with pytest.raises(ValueError, match="not at the payload"):
        provenance_lines(a_record(recipe=({"step": "cast", "output": BASE},)))


def test_a_time_is_stated_for_the_last_only() -> None:
    noon = datetime(2026, 11, 16, 12, tzinfo=UTC)
    times = [b"finishedOn" in line for line in provenance_lines(a_chain(), finished_at=noon).splitlines()]
    assert times == [False, False, True]
