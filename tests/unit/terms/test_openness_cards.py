"""The rules of openness on what publishers state, and on what the framework's own evaluator made of its test files."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from weighbridge.terms.openness import UNLICENSED, Openness, Part, assess
from weighbridge.terms.openness.mof import next_class, progress

CASES = Path(__file__).parents[2] / "cases" / "openness"


def load(file: str, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads((CASES / file).read_text(encoding="utf-8"))[table]
    return found


def opened(case: dict[str, Any]) -> Openness:
    by_type = dict(case["license"])
    distribution = by_type.pop("distribution", "")
    parts = [Part(kind=kind, license=licence, place=kind) for kind, licence in case["components"].items()]
    return assess(parts, license_of_release=distribution, licenses_by_type=by_type)


CARDS = load("published_cards.toml", "card")


@pytest.mark.parametrize("card", CARDS, ids=[card["id"] for card in CARDS])
def test_a_published_card_is_classed_as_the_rules_say(card: dict[str, Any]) -> None:
    found, expect = opened(card), card["expect"]
    wrong_type = [item.component for item in found.components if item.open and not item.fits]
    assert found.mof_class == expect["mof_class"]
    assert {item.component for item in found.mof_missing_next} == set(expect["missing_next"])
    assert set(wrong_type) == set(expect["wrong_type"])
    assert len([text for text in found.warnings if "not written for" in text]) == len(wrong_type)
    assert all(item.why for item in found.mof_missing_next)
    if "osaid_not_met" in expect:
        assert {item.id for item in found.osaid if item.answer != "met"} == set(expect["osaid_not_met"])
        assert found.osaid_met is (not expect["osaid_not_met"])
    if "g7" in expect:
        assert found.g7_label == expect["g7"]
        assert bool(found.g7.why) is (found.g7_label != "Open Source AI with Open Data")


@pytest.mark.parametrize("card", CARDS, ids=[card["id"] for card in CARDS])
def test_what_is_only_stated_reaches_no_class_and_no_label(card: dict[str, Any]) -> None:
    here = opened(card)
    by_type = dict(card["license"])
    distribution = by_type.pop("distribution", "")
    parts = [
        Part(kind=k, license=v, in_release=False, place="https://example.com/") for k, v in card["components"].items()
    ]
    there = assess(parts, license_of_release=distribution, licenses_by_type=by_type)
    assert (there.mof_class, there.g7_label, there.osaid_met) == ("", "", False)
    assert (there.mof_class_as_stated, there.g7_as_stated.label) == (here.mof_class, here.g7.label)
    assert len(there.stated_elsewhere) == len(parts)


FILES = load("evaluator_results.toml", "file")


@pytest.mark.parametrize("file", FILES, ids=[file["id"] for file in FILES])
def test_class_and_progress_are_those_of_the_frameworks_own_evaluator(file: dict[str, Any]) -> None:
    found = opened(file)
    met, asked = progress({item.component: item for item in found.components}, next_class(found.mof_class))
    assert found.mof_class == file["mof_class"]
    assert met / asked * 100 == pytest.approx(file["progress"])


def test_enough_cards_of_every_class_are_tested() -> None:
    classes = [card["expect"]["mof_class"] for card in CARDS] + [file["mof_class"] for file in FILES]
    assert len(CARDS) >= 15
    assert all(classes.count(name) >= 2 for name in ("", "III", "II", "I"))
    assert any(UNLICENSED in card["components"].values() for card in CARDS)
