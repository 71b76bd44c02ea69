"""The official in-toto package accepts every statement that a dossier holds; its predicates have the right fields."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "dossier"))

from builders import a_manifest, a_record

from weighbridge.dossier import provenance, publisher, test_result, vsa
from weighbridge.dossier.disclosure import DataSet, Disclosure
from weighbridge.dossier.statement import file_subjects

json_format = pytest.importorskip("google.protobuf.json_format")
BASE = "b" * 64
SIGNED = a_manifest(("model.gguf", 10))


def official(module: str) -> Any:
    return pytest.importorskip(f"in_toto_attestation.{module}")


def statements() -> dict[str, dict[str, Any]]:
    source, end = a_record().source_digest, a_record().subject
    recipe = (
        {"step": "cast", "dtype": "BF16", "engine": "weighbridge sanitise 1", "input": source, "output": BASE},
        {"step": "gguf", "type": "Q4_K_M", "engine": "llama.cpp b1", "input": BASE, "output": end},
    )
    data = DataSet(name="web", roles=("training",), url="https://d.example", license="CC0-1.0", sha256="1" * 64)
    record = a_record(recipe=recipe, disclosure=Disclosure(data=(data,)))
    lines = provenance.provenance_lines(record).splitlines()
    return {
        "provenance, first": json.loads(lines[0]),
        "provenance, last": json.loads(lines[1]),
        "provenance, whole": json.loads(provenance.provenance_lines(a_record())),
        "test result": json.loads(test_result.result_line(record)),
        "publisher": publisher.publisher_statement("acme/osprey", SIGNED, b"signature"),
        "vsa": vsa.vsa_statement(
            subjects=file_subjects(SIGNED),
            resource_uri="pkg:generic/acme/osprey@1",
            verifier_id="https://acme.example/check",
            policy=vsa.Document(uri="our-use.yaml", sha256="1" * 64),
            inputs=(vsa.Document(uri="model.sig", sha256="2" * 64),),
            answers=(vsa.CheckedAnswer(question="1", outcome="pass"),),
            now=datetime(2026, 11, 20, tzinfo=UTC),
        ),
    }


def accepted(statement: dict[str, Any]) -> None:
    """Raise unless the official package takes `statement` for a sound Statement v1."""
    message = official("v1.statement_pb2").Statement()
    official("v1.statement").Statement.copy_from_pb(json_format.Parse(json.dumps(statement), message)).validate()


@pytest.mark.parametrize("name", statements())
def test_every_statement_is_accepted(name: str) -> None:
    accepted(statements()[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": []},
        {"subject": [{"name": "x"}]},
        {"predicateType": ""},
        {"_type": "https://example.org"},
        {"predicate": {}},
    ],
)
def test_what_is_no_statement_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        accepted(statements()["vsa"] | changes)


@pytest.mark.parametrize("name", ["provenance, first", "provenance, last", "provenance, whole"])
def test_the_predicate_is_slsa_provenance(name: str) -> None:
    message = official("predicates.provenance.v1.provenance_pb2").Provenance()
    predicate = json_format.ParseDict(statements()[name]["predicate"], message)
    assert predicate.build_definition.build_type == provenance.BUILD_TYPE
    assert predicate.run_details.builder.id == provenance.BUILDER_ID
    for dependency in predicate.build_definition.resolved_dependencies:
        official("v1.resource_descriptor").ResourceDescriptor.copy_from_pb(dependency).validate()


def test_the_predicate_is_a_test_result() -> None:
    message = official("predicates.test_result.v0.test_result_pb2").TestResult()
    predicate = json_format.ParseDict(statements()["test result"]["predicate"], message)
    assert predicate.result == "PASSED"
    assert len(predicate.passed_tests) == 3
    assert predicate.configuration[0].digest["sha256"]


def test_the_predicate_is_a_verification_summary() -> None:
    predicate = statements()["vsa"]["predicate"]
    levels = predicate.pop("verifiedLevels")  # a list in the specification, one text in the package's message
    assert isinstance(levels, list)
    message = official("predicates.vsa.v1.vsa_pb2").VerificationSummary()
    parsed = json_format.ParseDict(predicate, message, ignore_unknown_fields=True)
    assert (parsed.verification_result, parsed.policy.uri) == ("PASSED", "our-use.yaml")
    assert parsed.time_verified.seconds == 1795132800
    assert parsed.input_attestations[0].digest["sha256"] == "2" * 64
