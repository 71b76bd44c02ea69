"""Licence expressions, addresses and times as the bills of materials need them."""

from datetime import UTC, datetime

import pytest
from bom_builders import LLAMA, known_licences
from builders import a_record

from weighbridge.dossier.bom_text import (
    bom_bytes,
    decided_at,
    email_address,
    licence_reference,
    moment_text,
    read_licence,
    spdx_expression,
    web_address,
)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("apache-2.0", "Apache-2.0"),
        (" MIT  and ( apache-2.0 OR LicenseRef-own.1 ) ", "MIT AND (Apache-2.0 OR LicenseRef-own.1)"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("DocumentRef-a:LicenseRef-b", "DocumentRef-a:LicenseRef-b"),
        (LLAMA, LLAMA),
    ],
)
def test_an_expression_of_spdx_gets_its_canonical_form(text: str, expression: str) -> None:
    assert spdx_expression(text) == expression


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "llama3.2", "gpl", "Apache 2.0", "MIT AND", "AND MIT", "(MIT", "MIT)", "()", "MIT MIT", "NOASSERTION",
        "MIT WITH MIT", "MIT WITH (MIT)", "(MIT) WITH Classpath-exception-2.0", "Classpath-exception-2.0", "MIT WITH",
        "MIT\x00", "MIT; DROP", "MIT/Apache-2.0", "(" * 3000 + "MIT" + ")" * 3000, "MIT OR " * 2000 + "MIT", "WITH",
    ],
)  # fmt: skip
def test_what_is_no_expression_of_spdx_is_none(text: str) -> None:
    assert spdx_expression(text) == ""


def test_a_name_on_cards_reads_as_the_expression_of_that_licence() -> None:
    licence = read_licence("Llama3.2 ", known_licences())
    assert licence is not None
    assert (licence.stated, licence.expression, licence.refs) == ("Llama3.2", LLAMA, (LLAMA,))


def test_a_name_that_nobody_knows_has_no_expression() -> None:
    licence = read_licence("the sea licence", known_licences())
    assert licence is not None
    assert (licence.stated, licence.expression) == ("the sea licence", "")


@pytest.mark.parametrize("nothing", ["", "  ", None, 3, ["MIT"]])
def test_no_text_states_no_licence(nothing: object) -> None:
    assert read_licence(nothing, known_licences()) is None


def test_the_references_of_an_expression_are_found_in_brackets_too() -> None:
    licence = read_licence("MIT AND (LicenseRef-a OR LicenseRef-b) AND LicenseRef-a", known_licences())
    assert licence is not None
    assert licence.refs == ("LicenseRef-a", "LicenseRef-b")


def test_licences_without_a_name_get_references_of_their_own() -> None:
    names = [licence_reference(text) for text in ("the sea licence", "the sea-licence", "海", "")]
    assert len(set(names)) == len(names)
    assert all(spdx_expression(name) == name for name in names)


@pytest.mark.parametrize(
    "address",
    ["https://acme.example", "http://a.example:8080/x?y=1#z", "https://a.example/%20/(b)", "https://localhost/x"],
)
def test_a_plain_address_is_one(address: str) -> None:
    assert web_address(f" {address} ") == address


@pytest.mark.parametrize(
    "text",
    [
        "", "acme.example", "javascript:alert(1)", "https://", "https://a b", "https://user:pass@a.example",
        "https://a.example/%zz", 'https://a.example/"', "https://a.example/\nx", "ftp://a.example", "https://a.example/é",
    ],
)  # fmt: skip
def test_anything_else_is_no_address(text: str) -> None:
    assert web_address(text) == ""


def test_electronic_mail_addresses_are_told_from_other_contacts() -> None:
    assert email_address(" models@acme.example") == "models@acme.example"
    assert [email_address(text) for text in ("", "models", "a@b", "a b@c.example", "https://a@b.example")] == [""] * 5


def test_a_moment_is_written_in_utc_and_needs_a_zone() -> None:
    assert moment_text(datetime.fromisoformat("2026-11-16T11:30:00.5+02:00")) == "2026-11-16T09:30:00Z"
    with pytest.raises(ValueError, match="time zone"):
        moment_text(datetime(2026, 11, 16))  # noqa: DTZ001 - that it has none is the point


@pytest.mark.parametrize("said", ["", "soon", "2026-11-16T09:30:00", "9999-12-31T23:59:59-23:00"])
def test_a_verdict_that_does_not_say_when_has_no_time(said: str) -> None:
    verdict = {"stage": "open", "passed": False, "decided_at": said, "answers": []}
    assert decided_at(a_record(verdict=verdict)) is None
    assert decided_at(a_record(verdict=None)) is None
    assert decided_at(a_record()) == datetime(2026, 11, 16, 9, 30, tzinfo=UTC)


def test_what_utf8_cannot_say_is_replaced_and_a_nan_refused() -> None:
    assert bom_bytes({"a": "x\ud800y é"}).decode() == '{\n  "a": "x\ufffdy é"\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        bom_bytes({"a": float("nan")})
