"""What is wrong with a card is said before it is committed."""

import pytest

from weighbridge.hub.repositories.card_check import EMPTY, check_card


@pytest.mark.parametrize(
    "card",
    [
        "license: apache-2.0",
        "license: other\nlicense_name: mine",
        "license: [mit, apache-2.0]",
        "license: llama3.1\nlanguage: [en, no]\ntags: a",
        "model-index:\n- name: m\n  results:\n  - task: {type: t}\n    dataset: {name: d, type: d}\n"
        "    metrics: [{type: a, value: 1}]",
    ],
)
def test_a_card_in_order_has_neither_errors_nor_warnings(card: str) -> None:
    assert check_card(f"---\n{card}\n---\n# Text", "model") == ((), ())


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("license: gpl-9", "\"license\": 'gpl-9' is not known"),
        ("license: 7", '"license" must be a string'),
        ("tags: [1]", '"tags" must be'),
        ("pipeline_tag: [a]", '"pipeline_tag" must be a string'),
        ("model-index: 1", '"model-index" must be an array'),
        ("model-index:\n- name: m\n  results:\n  - task: {type: t}", "results[0].dataset"),
        ("a: 1\nb: }", "line 3"),
        ("a: &x 1\nb: *x", "line 3: aliases"),
        ("- just\n- a list", "no mapping"),
        ("a: [" * 100, "line"),
        ("{" * 3000 + "}" * 3000, ""),
        ("a: !!python/object/apply:os.system [x]", "no mapping"),
    ],
)
def test_what_is_wrong_is_named(card: str, expected: str) -> None:
    errors, _ = check_card(f"---\n{card}\n---\n", "model")
    assert errors
    assert expected in errors[0]


def test_missing_metadata_is_a_warning_only() -> None:
    assert check_card("# Title", "model") == ((), (EMPTY,))
    assert check_card("", "dataset") == ((), (EMPTY,))
    assert check_card("---\n---\ntext", "model") == ((), (EMPTY,))


def test_metadata_without_an_end_is_an_error() -> None:
    assert check_card("---\nlicense: mit\n", "model")[0]


def test_a_space_names_an_sdk_that_exists() -> None:
    assert check_card("---\nsdk: docker\n---\n", "space") == ((), ())
    assert "sdk" in check_card("---\nsdk: cobol\n---\n", "space")[0][0]
