import pytest
from license_expression import get_spdx_licensing  # type: ignore[import-untyped]

from weighbridge.errors import InputError
from weighbridge.terms import exception
from weighbridge.terms.expression import MAX_DEPTH, MAX_LENGTH, join, keeps, parse, unreadable
from weighbridge.terms.registry import registry


@pytest.mark.parametrize(
    ("stated", "normal"),
    [
        ("mit", "MIT"),
        ("llama3.2", "LicenseRef-scancode-llama-3.2-license-2024"),
        ("LLAMA3.2 and mit", "LicenseRef-scancode-llama-3.2-license-2024 AND MIT"),
        ("MIT AND Apache-2.0", "Apache-2.0 AND MIT"),
        ("MIT AND (MIT)", "MIT"),
        ("MIT OR Apache-2.0", "Apache-2.0 OR MIT"),
        ("ISC and (MIT or Apache-2.0)", "(Apache-2.0 AND ISC) OR (ISC AND MIT)"),
        ("GPL-2.0-only with Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("Apache-2.0+", "Apache-2.0+"),
        ("zlib", "Zlib"),
        ("Acme_Own", "LicenseRef-Acme-Own"),
        ("LicenseRef-Acme", "LicenseRef-Acme"),
    ],
)
def test_names_and_expressions_have_one_normal_form(stated: str, normal: str) -> None:
    assert parse(stated, registry()).text == normal
    assert parse(normal, registry()).text == normal


def test_a_name_that_is_not_known_is_kept_without_facts() -> None:
    (leaf,) = parse("Zlib", registry()).leaves

    assert leaf.licence is None
    assert leaf.id == "Zlib"


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("", "no licence is stated"),
        ("  ", "no licence is stated"),
        ("MIT AND", "not a licence expression"),
        ("MIT Apache-2.0", "at character 5"),
        ("MIT AND ()", "the bracket at character 10 closes nothing"),
        ("(MIT", "not closed"),
        ("MIT)", "character 4"),
        ("MIT; Apache-2.0", "';' at character 4"),
        ("MIT\x00", "at character 4"),
        ("(" * (MAX_DEPTH + 1) + "MIT" + ")" * (MAX_DEPTH + 1), "beyond reason"),
        ("MIT OR " * 200 + "MIT", "beyond reason"),
        ("x" * (MAX_LENGTH + 1), "more than 2,000"),
        (" AND ".join(f"(MIT OR a{number})" for number in range(7)), "more than 64 alternatives"),
        (" AND ".join(f"(a{number} OR b{number})" for number in range(7)), "more than 64 alternatives"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(stated: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        parse(stated, registry(), place="README.md")

    assert refused.value.place == "README.md"
    assert refused.value.hint


def test_the_join_is_sorted_and_unique_and_one_stays_itself() -> None:
    mit, choice = parse("MIT", registry()), parse("ISC OR Apache-2.0", registry())

    assert join([mit]) == join([mit, mit]) == "MIT"
    assert join([choice]) == "Apache-2.0 OR ISC"
    assert join([mit, choice, parse("Apache-2.0", registry())]) == "Apache-2.0 AND (Apache-2.0 OR ISC) AND MIT"


@pytest.mark.parametrize(
    ("stated", "name"), [("", "LicenseRef-not-stated"), ("see our site!", "LicenseRef-see-our-site")]
)
def test_what_cannot_be_read_still_has_a_name_for_an_expression(stated: str, name: str) -> None:
    assert unreadable(stated).text == name


@pytest.mark.parametrize(
    ("declared", "inherited", "kept"),
    [
        ("MIT", "MIT", True),
        ("MIT", "Apache-2.0", False),
        ("GPL-3.0-only", "GPL-2.0-or-later", True),
        ("GPL-2.0-only", "GPL-3.0-or-later", False),
        ("GPL-3.0-only", "GPL-2.0-only", False),
        ("AGPL-3.0-only", "GPL-3.0-or-later", False),
        ("GPL-2.0-only", "GPL-2.0-only WITH Classpath-exception-2.0", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only", False),
        ("GPL-3.0-only", "GPL-2.0-or-later WITH Classpath-exception-2.0", True),
        ("Apache-2.0", "Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0", "Apache-2.0 WITH Commons-Clause", False),
        ("GPL-3.0-only", "GPL-2.0-or-later WITH Commons-Clause", False),
        ("MPL-2.0", "MPL-2.0 WITH MPL-2.0-no-copyleft-exception", False),
    ],
)
def test_a_licence_is_kept_by_itself_or_by_what_it_lets_one_choose(declared: str, inherited: str, kept: bool) -> None:
    (mine,), (theirs,) = parse(declared, registry()).leaves, parse(inherited, registry()).leaves

    assert keeps(mine, theirs) is kept


@pytest.mark.parametrize(
    ("stated", "known"),
    [
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0+ with classpath-exception-2.0", True),
        ("Apache-2.0 WITH Commons-Clause", False),
        ("apache-2.0 with no-commercial-use", False),
        ("GPL-2.0+ WITH Commons-Clause", False),
        ("Apache-2.0 WITH SHL-2.1", False),
        ("MPL-2.0 WITH MPL-2.0-no-copyleft-exception", False),
    ],
)
def test_only_a_rider_that_adds_permissions_leaves_a_licence_known(stated: str, known: bool) -> None:
    (leaf,) = parse(stated, registry()).leaves

    assert (leaf.licence is not None) is known
    assert " WITH " in leaf.expression


def test_every_exception_that_counts_is_on_the_list_of_spdx() -> None:
    known = {name.lower() for name, symbol in get_spdx_licensing().known_symbols.items() if symbol.is_exception}

    assert known >= exception._ADDING
