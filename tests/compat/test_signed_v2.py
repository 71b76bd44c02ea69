"""A whole dossier, signed and attested, verifies and reads for ever; see `fixtures/README.md`."""

from pathlib import Path

from weighbridge.adopt.verify import verify_attestation, verify_folder
from weighbridge.dossier.bom_reader import read_bom
from weighbridge.dossier.recorded import recorded_openness, recorded_terms
from weighbridge.dossier.release import read_release
from weighbridge.shell.signing import EcKeyVerifier

FIXTURES = Path(__file__).parent / "fixtures"
FOLDER = FIXTURES / "signed-v2"
VERIFIER = EcKeyVerifier.load(FIXTURES / "signed-v2.pub")


def test_folder_and_attestation_verify() -> None:
    found = verify_folder(FOLDER, VERIFIER)
    assert found.problems == ()
    attestation = (FIXTURES / "signed-v2.attestation.json").read_bytes()
    assert verify_attestation(found, attestation, VERIFIER, place="a").startswith("pkg:generic/acme/osprey@")


def test_what_its_record_states_is_read() -> None:
    record = read_release((FOLDER / "release.json").read_bytes(), place="release.json")
    assert record.license == "Apache-2.0 AND MIT"
    terms = recorded_terms(record)
    assert terms is not None
    assert terms.expression == "Apache-2.0 AND MIT"
    openness = recorded_openness(record)
    assert openness is not None
    assert openness.mof_class == ""
    assert [item.name for item in record.disclosure.data] == ["held-out"]


def test_its_bills_of_materials_are_read() -> None:
    for name in ("bom.cdx.json", "bom.spdx3.json"):
        subject = read_bom((FOLDER / name).read_bytes(), place=name).subject
        assert subject is not None
        assert {licence.stated for licence in subject.licences} == {"Apache-2.0 AND MIT"}
