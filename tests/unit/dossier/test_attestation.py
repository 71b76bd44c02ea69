"""Test results, the publisher's attestation, verification summaries, and the envelope that they are signed in."""

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import a_finding, a_manifest, a_record, an_answer

from weighbridge.dossier import publisher, test_result, vsa
from weighbridge.dossier.envelope import MAX_ATTESTATION_BYTES, seal, unseal
from weighbridge.dossier.statement import file_subjects
from weighbridge.errors import VerificationError
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SIGNED = a_manifest(("model.gguf", 10), ("README.md", 5))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[EcKeySigner, EcKeyVerifier]:
    folder: Path = tmp_path_factory.mktemp("keys")
    signer = create_key_pair(folder / "key.pem", folder / "key.pub")
    return signer, EcKeyVerifier.load(folder / "key.pub")


def result(**changes: Any) -> dict[str, Any]:
    predicate = test_result.result_statement(a_record(**changes))["predicate"]
    assert isinstance(predicate, dict)
    return predicate


def test_each_rule_is_a_test_and_what_was_not_measured_failed() -> None:
    answers = [an_answer("a"), an_answer("b", "not met"), an_answer("c", "not measured")]
    stated = result(verdict={"stage": "open", "passed": False, "decided_at": "", "answers": answers})
    assert (stated["passedTests"], stated["failedTests"]) == (["a"], ["b", "c"])
    assert stated["result"] == "FAILED"


def test_a_rule_that_is_met_over_findings_is_a_warning() -> None:
    finding = a_finding(a_record().subject).to_json()
    answers = [an_answer("a"), {**an_answer("b"), "findings": [finding]}]
    stated = result(verdict={"stage": "open", "passed": True, "decided_at": "", "answers": answers})
    assert (stated["passedTests"], stated["warnedTests"], stated["result"]) == (["a"], ["b"], "WARNED")
    assert result()["result"] == "PASSED"


def test_the_configuration_binds_policy_probes_data_and_every_number() -> None:
    record = a_record()
    configuration = {item["name"]: item for item in result()["configuration"]}
    assert configuration["release.json"]["digest"]["sha256"] == hashlib.sha256(record.to_bytes()).hexdigest()
    assert "perplexity (ratio)" in configuration["likelihood 1"]["annotations"]["measures"]
    other = {**(record.verdict or {}), "answers": [an_answer("other")]}
    policies = [result(verdict=verdict)["configuration"][0]["digest"] for verdict in (record.verdict, other)]
    assert policies[0] != policies[1]


def test_without_a_verdict_there_is_no_test_result() -> None:
    with pytest.raises(ValueError, match="no gate has decided"):
        test_result.result_line(a_record(decided=False))


def test_a_sealed_statement_comes_back_and_an_altered_one_does_not(keys: tuple[EcKeySigner, EcKeyVerifier]) -> None:
    signer, verifier = keys
    statement = publisher.publisher_statement("acme/osprey", SIGNED, b"signature")
    sealed = seal(statement, signer)
    assert unseal(sealed, verifier, predicate_type=publisher.PREDICATE_TYPE, place="p") == statement
    bundle = json.loads(sealed)
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"]).replace(b"osprey", b"falcon")
    envelope["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(VerificationError, match="does not match"):
        unseal(json.dumps(bundle).encode(), verifier, predicate_type=publisher.PREDICATE_TYPE, place="p")


def test_a_good_signature_about_something_else_proves_nothing(keys: tuple[EcKeySigner, EcKeyVerifier]) -> None:
    signer, verifier = keys
    sealed = seal(publisher.publisher_statement("acme/osprey", SIGNED, b"s"), signer)
    with pytest.raises(VerificationError, match=r"not https://slsa\.dev"):
        unseal(sealed, verifier, predicate_type=vsa.PREDICATE_TYPE, place="p")


def test_another_key_is_refused(keys: tuple[EcKeySigner, EcKeyVerifier], tmp_path: Path) -> None:
    other = create_key_pair(tmp_path / "k.pem", tmp_path / "k.pub")
    sealed = seal(publisher.publisher_statement("acme/osprey", SIGNED, b"s"), other)
    with pytest.raises(VerificationError, match="another key"):
        unseal(sealed, keys[1], predicate_type=publisher.PREDICATE_TYPE, place="p")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"payload": 1, "payloadType": "application/vnd.in-toto+json", "signatures": [{}]}',
        b'{"payload": "e30=", "payloadType": "text/plain", "signatures": [{"sig": "AA=="}]}',
        b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": []}',
        b'{"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [1]}',
        b'{"payload": "e30=", "payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{}]}',
        b"[" * 100_000,
        b" " * (MAX_ATTESTATION_BYTES + 1),
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes, keys: tuple[EcKeySigner, EcKeyVerifier]) -> None:
    with pytest.raises(VerificationError) as caught:
        unseal(data, keys[1], predicate_type=vsa.PREDICATE_TYPE, place="attestation.json")
    assert caught.value.place == "attestation.json"


def test_the_publisher_binds_manifest_and_signature() -> None:
    statement = publisher.publisher_statement("acme/osprey", SIGNED, b"signature", release_id="acme/family")
    assert publisher.check_publisher(statement, SIGNED, b"signature", place="p").startswith("pkg:generic/acme/osprey@")
    with pytest.raises(VerificationError, match="another manifest"):
        publisher.check_publisher(statement, SIGNED.without("README.md"), b"signature", place="p")
    with pytest.raises(VerificationError, match=r"another model\.sig"):
        publisher.check_publisher(statement, SIGNED, b"other", place="p")


@pytest.mark.parametrize(
    "changes",
    [{"subject": None}, {"subject": [1]}, {"subject": [{"name": "manifest", "digest": 1}]}, {"predicate": {}}],
)
def test_an_attestation_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    statement = publisher.publisher_statement("acme/osprey", SIGNED, b"s") | changes
    with pytest.raises(VerificationError):
        publisher.check_publisher(statement, SIGNED, b"s", place="p")


def test_a_package_url_without_a_version_is_refused() -> None:
    with pytest.raises(ValueError, match="package URL"):
        publisher.publisher_statement("acme/osprey", SIGNED, b"s", purl="pkg:huggingface/acme/osprey")
    with pytest.raises(ValueError, match="not the signature"):
        publisher.publisher_statement("acme/osprey", a_manifest(("model.sig", 1)), b"s")


def summarised(*answers: vsa.CheckedAnswer) -> dict[str, Any]:
    statement = vsa.vsa_statement(
        subjects=file_subjects(SIGNED),
        resource_uri="pkg:generic/acme/osprey@1",
        verifier_id="https://acme.example/check",
        policy=vsa.Document(uri="our-use.yaml", sha256="1" * 64),
        inputs=(vsa.Document(uri="model.sig", sha256="2" * 64),),
        answers=answers,
        now=NOW,
    )
    predicate = statement["predicate"]
    assert isinstance(predicate, dict)
    return predicate


PASS, UNKNOWN = vsa.CheckedAnswer(question="1", outcome="pass"), vsa.CheckedAnswer(question="2", outcome="unknown")


def test_a_summary_passes_only_if_every_question_does() -> None:
    assert summarised(PASS)["verificationResult"] == "PASSED"
    failed = summarised(PASS, UNKNOWN)
    assert (failed["verificationResult"], failed["verifiedLevels"]) == ("FAILED", ["FAILED"])
    assert failed[vsa.ANSWERS_FIELD][1]["outcome"] == "unknown"
    assert not any(level.startswith("SLSA_") for level in summarised(PASS)["verifiedLevels"])


def test_a_waiver_counts_until_it_ends_and_is_stated() -> None:
    waiver = vsa.Waiver(by="A. Person", until=NOW, why="internal test")
    passed = summarised(PASS, replace(UNKNOWN, waiver=waiver))
    assert passed["verificationResult"] == "PASSED"
    assert passed[vsa.ANSWERS_FIELD][1]["waiver"]["by"] == "A. Person"
    late = replace(waiver, until=NOW - timedelta(seconds=1))
    assert summarised(PASS, replace(UNKNOWN, waiver=late))["verificationResult"] == "FAILED"


def test_a_check_that_asked_nothing_verifies_nothing() -> None:
    with pytest.raises(ValueError, match="without questions"):
        summarised()
