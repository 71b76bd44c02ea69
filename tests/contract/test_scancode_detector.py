"""The adapter over ScanCode's real index: likenesses, with its known mistakes, and nothing left behind."""

import os
import tempfile
from pathlib import Path

import pytest

from weighbridge.errors import InputError
from weighbridge.shell.licence_detector import ScanCodeDetector
from weighbridge.terms.recognise import MAX_TEXT_BYTES, recognise
from weighbridge.terms.registry import archived

pytest.importorskip("licensedcode", reason="the extra `detect` is not installed")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> ScanCodeDetector:
    before = {name for name in os.environ if name.startswith("SCANCODE")}
    temporary = set(Path(tempfile.gettempdir()).glob("weighbridge-licence-*"))
    made = ScanCodeDetector()

    assert {name for name in os.environ if name.startswith("SCANCODE")} == before
    assert set(Path(tempfile.gettempdir()).glob("weighbridge-licence-*")) <= temporary
    return made


def test_it_names_itself_with_its_version(detector: ScanCodeDetector) -> None:
    assert detector.name.startswith("scancode-toolkit-mini 32.")


def test_a_changed_word_is_a_likeness_to_it_and_no_recognition_to_us(detector: ScanCodeDetector) -> None:
    text = archived("Apache-2.0.txt").replace("You may reproduce", "You may not reproduce")
    best = detector.match(text)[0]

    assert best.licence_ids == ("Apache-2.0",)
    assert best.coverage == 100
    assert 99 < best.score < 100
    assert recognise(text).licence_id is None


def test_it_takes_openmdw_1_1_for_1_0_and_we_do_not(detector: ScanCodeDetector) -> None:
    text = archived("OpenMDW-1.1.txt")

    assert detector.match(text)[0].licence_ids == ("OpenMDW-1.0",)
    assert detector.match(text)[0].score == 99
    assert recognise(text).licence_id == "OpenMDW-1.1"


def test_two_licences_in_one_file_are_both_found_with_their_lines(detector: ScanCodeDetector) -> None:
    first = archived("MIT.txt").replace("{copyright}", "2026 Acme")
    text = f"{first}\n\n{archived('ISC.txt').replace('{copyright}', '2026 Other')}"
    matches = detector.match(text)

    assert {licence_id for match in matches for licence_id in match.licence_ids} == {"MIT", "ISC"}
    assert min(match.first_line for match in matches if "ISC" in match.licence_ids) > len(first.splitlines())


def test_a_licence_that_only_scancode_knows_has_none_of_our_ids(detector: ScanCodeDetector) -> None:
    (match,) = detector.match("SPDX-License-Identifier: Watcom-1.0")

    assert match.expression == "Watcom-1.0"
    assert match.licence_ids == ()


def test_prose_has_no_match(detector: ScanCodeDetector) -> None:
    assert detector.match("The quick brown fox jumps over the lazy dog.") == ()


def test_a_text_without_end_is_refused(detector: ScanCodeDetector) -> None:
    with pytest.raises(InputError, match="not looked at"):
        detector.match("a " * MAX_TEXT_BYTES)
