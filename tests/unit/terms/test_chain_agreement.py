import pytest

from weighbridge.terms.agreement import Stated, disagreements


def found(*licences: str) -> list[tuple[str, str]]:
    statements = [Stated(place=f"place {number}", license=name) for number, name in enumerate(licences)]
    return [(item.first, item.second) for item in disagreements(statements)]


@pytest.mark.parametrize(
    "licences",
    [
        (),
        ("MIT",),
        ("apache-2.0", "Apache-2.0", "Apache License 2.0"),
        ("llama3.2", "LicenseRef-scancode-llama-3.2-license-2024"),
        ("MIT AND Apache-2.0", "apache-2.0 and mit"),
        ("MIT", "", "other", "MIT"),
        ("Acme Own Licence v3", "acme  own licence V3"),
    ],
)
def test_different_names_of_one_licence_agree(licences: tuple[str, ...]) -> None:
    assert found(*licences) == []


def test_every_other_licence_is_named_against_the_first() -> None:
    assert found("Apache-2.0", "apache-2.0", "cc-by-nc-4.0", "other", "llama3.1") == [
        ("place 0", "place 2"),
        ("place 0", "place 4"),
    ]


def test_an_expression_does_not_agree_with_one_of_its_parts() -> None:
    assert found("MIT AND Apache-2.0", "MIT") == [("place 0", "place 1")]


def test_families_do_not_agree() -> None:
    assert found("llama3.1", "llama3.2") == [("place 0", "place 1")]


def test_a_name_that_cannot_be_read_is_said_to_be_so() -> None:
    (item,) = disagreements(
        [Stated(place="README.md", license="apache-2.0"), Stated(place="w.gguf", license="see website!")]
    )

    assert item.message == (
        "README.md states 'apache-2.0', and w.gguf states 'see website!': whether they are the same cannot be read, "
        "as 'see website!' is no licence known to this version"
    )


def test_two_known_licences_are_said_to_be_different() -> None:
    (item,) = disagreements([Stated(place="a", license="mit"), Stated(place="b", license="cc-by-nc-4.0")])

    assert item.message.endswith("they are different licences")


def test_whether_they_differ_is_sure_only_if_every_name_is_known() -> None:
    (known,) = disagreements([Stated(place="a", license="mit"), Stated(place="b", license="cc-by-nc-4.0")])
    (unread,) = disagreements([Stated(place="a", license="modified-mit"), Stated(place="b", license="kimi-k2")])
    assert (known.sure, unread.sure) == (True, False)
