"""A record that the first version wrote is read for ever; see `fixtures/README.md`."""

import json
from pathlib import Path

from weighbridge.dossier.card import model_card
from weighbridge.dossier.diff import diff
from weighbridge.dossier.provenance import provenance_lines
from weighbridge.dossier.release import RELEASE_SCHEMA, read_release

DATA = (Path(__file__).parent / "fixtures" / "release-v1.json").read_bytes()


def test_a_record_of_version_1_is_read_with_nothing_made_up() -> None:
    record = read_release(DATA, place="release.json")

    assert record.reference == "example/smollm2-135m-gguf-q8_0"
    assert len(record.measurements) == 9
    assert (record.terms, record.openness) == (None, None)
    assert record.disclosure.data == ()
    assert record.decision is not None
    assert record.decision.passed


def test_what_is_made_of_it_today_still_can_be_made() -> None:
    record = read_release(DATA, place="release.json")

    assert "smollm2-135m-gguf-q8\\_0" in model_card(record) or "smollm2-135m-gguf-q8_0" in model_card(record)
    [statement] = [json.loads(line) for line in provenance_lines(record).splitlines()]
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    assert diff(record, record) == ()


def test_written_again_it_is_of_todays_schema_and_says_the_same() -> None:
    record = read_release(DATA, place="release.json")
    again = read_release(record.to_bytes(), place="release.json")

    assert again == record
    assert json.loads(record.to_bytes())["schema"] == RELEASE_SCHEMA
