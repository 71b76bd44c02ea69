from pathlib import Path

import pytest

from weighbridge.errors import InputError
from weighbridge.terms.licence import KNOWN, Parent, Relation, check_licence, licence_text, notice

ROOT = Path(__file__).parents[3]
WITH_TEXT = [licence.id for licence in KNOWN.values() if licence.text_file]
WITHOUT_TEXT = [licence.id for licence in KNOWN.values() if not licence.text_file]


def test_the_apache_text_is_the_one_of_this_repository() -> None:
    assert licence_text("Apache-2.0") == (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("license_id", WITH_TEXT)
def test_a_text_is_complete_and_has_no_gap_left(license_id: str) -> None:
    text = licence_text(license_id, copyright_line="2026 Acme Ltd")

    assert len(text) > 700
    assert "{copyright}" not in text
    assert ("Copyright (c) 2026 Acme Ltd" in text) is KNOWN[license_id].needs_copyright


@pytest.mark.parametrize("license_id", WITHOUT_TEXT)
def test_a_licence_whose_text_does_not_ship_needs_it_supplied(license_id: str) -> None:
    with pytest.raises(InputError, match="must be supplied") as refused:
        check_licence(license_id, text_supplied=False)

    assert "license_file" in refused.value.hint
    check_licence(license_id, text_supplied=True)


def test_an_unknown_licence_says_what_to_do() -> None:
    with pytest.raises(InputError, match="not known to this version") as refused:
        check_licence("Acme-Community-1.0", text_supplied=False)

    assert "Supply the text with `license_file`" in refused.value.hint
    check_licence("Acme-Community-1.0", text_supplied=True)


def test_a_licence_in_other_case_is_offered_in_its_own() -> None:
    with pytest.raises(InputError) as refused:
        check_licence("apache-2.0", text_supplied=False)

    assert "Did you mean Apache-2.0?" in refused.value.hint


def test_a_text_with_a_copyright_line_needs_year_and_holder() -> None:
    with pytest.raises(InputError, match="year and holder") as refused:
        check_licence("MIT", text_supplied=False, copyright_line=" ")

    assert "copyright:" in refused.value.hint
    check_licence("MIT", text_supplied=True)


@pytest.mark.parametrize("license_id", ["", "../LICENSE", "MIT\nGPL", "a" * 300])
def test_what_is_no_identifier_is_refused_even_with_a_text(license_id: str) -> None:
    with pytest.raises(InputError, match="not a licence identifier"):
        check_licence(license_id, text_supplied=True)


def test_a_notice_names_parents_and_changes_and_claims_nothing() -> None:
    text = notice(
        "acme/osprey",
        [Parent(ref="base/falcon-small", relation=Relation.FINETUNE, license="llama3.2")],
        license_id="Apache-2.0",
        title="Osprey",
        copyright_line="2026 Acme Ltd",
        changes=["The weights were quantised to Q4_K_M."],
    )

    assert text.startswith("Osprey\nacme/osprey\nCopyright 2026 Acme Ltd\n")
    assert "Licence of this release: Apache-2.0." in text
    assert "  - base/falcon-small (finetune), licence: llama3.2\n" in text
    assert text.endswith("  - The weights were quantised to Q4_K_M.\n")
    assert not any(word in text.lower() for word in ("permit", "may use", "free to"))


def test_a_notice_without_parents_says_nothing_about_them() -> None:
    assert notice("acme/osprey", [], license_id="MIT") == (
        "acme/osprey\n\nLicence of this release: MIT. Its text is in the file LICENSE.\n"
    )
