import hashlib

import pytest

from weighbridge.terms.fact import Licence
from weighbridge.terms.recognise import MAX_TEXT_BYTES, normalise, recognise
from weighbridge.terms.registry import registry

WITH_TEXT = [licence for licence in registry().all if licence.text_file]
TEMPLATES = ["MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC"]


def text_of(licence_id: str) -> str:
    licence = registry().get(licence_id)
    assert licence is not None
    text = registry().text(licence)
    assert text is not None
    return text


@pytest.mark.parametrize("licence", WITH_TEXT, ids=lambda licence: licence.id)
def test_an_archived_text_is_recognised_by_its_bytes(licence: Licence) -> None:
    data = text_of(licence.id).encode()
    found = recognise(data)

    assert found.how == "exact"
    assert licence.id in found.candidates
    assert found.licence_id == found.candidates[0]
    assert found.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("licence", WITH_TEXT, ids=lambda licence: licence.id)
def test_line_ends_indents_and_quotation_marks_do_not_count(licence: Licence) -> None:
    text = text_of(licence.id).replace("{copyright}", "2026 Acme Ltd")
    assert licence.id in recognise(text.replace(" ", "\u00a0")).candidates
    changed = "\ufeff" + text.replace("\n", "\r\n   ").replace("'", "\u2019") + "\n\n"

    assert licence.id in recognise(changed).candidates
    assert recognise(changed).how == "normalised"


@pytest.mark.parametrize("licence_id", TEMPLATES)
@pytest.mark.parametrize(
    "head",
    [
        "Copyright (c) 2026 Acme Ltd",
        "Copyright 2019-2026 The Acme Authors. All rights reserved.",
        "Copyright (c) 2020 One\nCopyright (c) 2021 Two\n\nAll rights reserved.",
        "\u00a9 2026 Acme, Inc. <legal@acme.example>",
        "",
    ],
)
def test_the_lines_of_year_and_holder_are_a_slot(licence_id: str, head: str) -> None:
    body = text_of(licence_id).partition("{copyright}")[2]

    assert recognise(f"{head}\n{body}").licence_id == licence_id


@pytest.mark.parametrize("title", ["MIT License", "The MIT License (MIT)", "# MIT License"])
def test_the_usual_titles_may_stand_above(title: str) -> None:
    body = text_of("MIT").partition("{copyright}")[2]

    assert recognise(f"{title}\n\nCopyright (c) 2026 Acme\n{body}").licence_id == "MIT"


@pytest.mark.parametrize(
    "head",
    [
        "Copyright (c) 2026 Acme. You may not use this commercially.",
        "Copyright (c) 2026 Acme (non-commercial use only)",
        "Copyright (c) 2026 Acme\nFor research.",
        "Modified MIT License\n\nCopyright (c) 2026 Acme",
        "Copyright (c) " + "a" * 300,
        "Apache License\n\nCopyright (c) 2026 Acme",
    ],
)
def test_the_slot_has_no_room_for_a_term(head: str) -> None:
    body = text_of("MIT").partition("{copyright}")[2]

    assert recognise(f"{head}\n{body}").licence_id is None


def test_a_clause_after_the_text_makes_it_another_one() -> None:
    text = text_of("MIT").replace("{copyright}", "2026 Acme")

    assert recognise(f"{text}\nOur only modification is that you must show our name.").licence_id is None


def test_apache_may_come_filled_in_and_without_its_appendix() -> None:
    text = text_of("Apache-2.0")
    bare = text[: text.index("APPENDIX")]
    filled = text.replace("Copyright [yyyy] [name of copyright owner]", "Copyright 2026 Acme Ltd")

    assert filled != text
    assert {recognise(form).licence_id for form in (bare, filled, f"Copyright 2026 Acme\n\n{text}")} == {"Apache-2.0"}
    assert recognise(f"{bare}\nYou owe us a drink.").licence_id is None
    assert recognise(text.replace("Copyright [yyyy]", "You must pay. Copyright [yyyy]")).licence_id is None


def test_one_text_of_two_licences_names_both_and_claims_the_narrower() -> None:
    found = recognise(text_of("GPL-3.0-or-later"))

    assert found.licence_id == "GPL-3.0-only"
    assert found.candidates == ("GPL-3.0-only", "GPL-3.0-or-later")


def test_versions_of_a_licence_are_told_apart() -> None:
    assert recognise(text_of("OpenMDW-1.1")).licence_id == "OpenMDW-1.1"
    assert recognise(text_of("OpenMDW-1.0")).licence_id == "OpenMDW-1.0"
    renamed = text_of("OpenMDW-1.1").replace("version 1.1 (OpenMDW-1.1)", "version 1.0 (OpenMDW-1.0)")
    assert recognise(renamed).licence_id is None


@pytest.mark.parametrize(
    ("licence_id", "old", "new"),
    [
        ("Apache-2.0", "You may reproduce", "You may not reproduce"),
        ("MIT", "without restriction", "with restriction"),
        ("MIT", "free of charge", "for a charge"),
        ("CC-BY-4.0", "irrevocable", "revocable"),
        ("GPL-3.0-only", "You may charge any price", "You may charge no price"),
        ("Apache-2.0", "no-charge", "no charge"),
        ("MIT", "Permission", "Per mission"),
        ("MIT", "the Software", "the software"),
    ],
)
def test_a_changed_word_is_never_recognised(licence_id: str, old: str, new: str) -> None:
    text = text_of(licence_id)
    changed = text.replace(old, new, 1)

    assert changed != text
    assert recognise(changed).licence_id is None


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"a" * (MAX_TEXT_BYTES + 1), "\ud800", b"\x00" * 100])
def test_what_is_no_licence_text_is_none(data: bytes | str) -> None:
    found = recognise(data)

    assert found.licence_id is None
    assert found.how == ""
    assert len(found.sha256) == 64


def test_normal_form_keeps_every_word_and_its_case() -> None:
    assert normalise("\ufeffA\u00a0\u201cB\u201d\r\n\tc \u2014 d\u2019s") == 'A "B" c - d\'s'
