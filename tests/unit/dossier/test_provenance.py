"""The provenance statement: in-toto and SLSA, reproducible, without a clock."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from builders import SOURCE, a_record

from weighbridge.dossier.provenance import provenance_lines, provenance_statement


def definition(**changes: Any) -> dict[str, Any]:
    build = provenance_statement(a_record(**changes))["predicate"]["buildDefinition"]
    assert isinstance(build, dict)
    return build


def test_the_subjects_are_the_payload_files() -> None:
    record = a_record("osprey-135m", kind="BF16")
    statement = provenance_statement(record)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert statement["subject"] == [{"name": str(e.path), "digest": {"sha256": e.sha256}} for e in record.manifest]
    assert len(statement["subject"]) == 4


def test_it_is_one_json_line() -> None:
    line = provenance_lines(a_record())
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == provenance_statement(a_record())


def test_it_names_recipe_source_parents_and_engines() -> None:
    build = definition()
    assert build["buildType"] == "https://weighbridge.dev/derive/v1"
    assert build["externalParameters"]["recipe"][-1]["type"] == "Q4_K_M"
    source, parent, engine = build["resolvedDependencies"]
    assert source["digest"] == {"weighbridgeManifestV1": SOURCE}
    assert parent["name"] == "base/falcon-small"
    assert parent["annotations"] == {"role": "parent", "relation": "finetune", "license": "Apache-2.0"}
    assert (engine["name"], engine["annotations"]["version"]) == ("llama.cpp", "b11549")


def test_an_engine_that_was_used_twice_is_named_once() -> None:
    steps = tuple({"step": step, "engine": "llama.cpp b1"} for step in ("gguf", "prune"))
    assert [d["name"] for d in definition(recipe=steps, parents=())["resolvedDependencies"]] == ["source", "llama.cpp"]


def test_a_parent_without_a_digest_claims_none() -> None:
    assert "digest" not in definition()["resolvedDependencies"][1]
    known = definition(parents=({"ref": "base/x", "digest": "ab"},))["resolvedDependencies"][1]
    assert known["digest"] == {"weighbridgeManifestV1": "ab"}


def test_the_invocation_follows_from_the_inputs() -> None:
    def invocation(**changes: Any) -> str:
        return str(provenance_statement(a_record(**changes))["predicate"]["runDetails"]["metadata"]["invocationId"])

    assert invocation() == invocation()
    assert invocation() != invocation(source_digest="1" * 64, decided=False)
    assert invocation() != invocation(weighbridge_version="9")


def test_no_clock_unless_one_is_given() -> None:
    assert provenance_lines(a_record()) == provenance_lines(a_record())
    assert b"finishedOn" not in provenance_lines(a_record())
    noon = datetime(2026, 11, 16, 13, tzinfo=timezone(timedelta(hours=1)))
    metadata = provenance_statement(a_record(), finished_at=noon)["predicate"]["runDetails"]["metadata"]
    assert metadata["finishedOn"] == noon.astimezone(UTC).strftime("%Y-%m-%dT12:00:00Z")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        provenance_statement(a_record(), finished_at=datetime(2026, 11, 16))  # noqa: DTZ001  # what is being refused
