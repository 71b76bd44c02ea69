import json

import pytest

from weighbridge.terms.compare import Comparison, Stricter, compare
from weighbridge.terms.fact import Activity, Licence
from weighbridge.terms.registry import registry


def known(name: str) -> Licence:
    licence = registry().get(name)
    assert licence is not None
    return licence


def stricter(comparison: Comparison) -> dict[Activity, Stricter]:
    return {row.activity: row.stricter for row in comparison.activities}


@pytest.mark.parametrize("name", ["MIT", "CC-BY-NC-4.0", "GPL-3.0-only"])
def test_a_licence_does_not_differ_from_itself(name: str) -> None:
    comparison = compare(known(name), known(name))

    assert comparison.differences == ()
    assert not any(row.only_first or row.only_second for row in comparison.activities)
    assert set(stricter(comparison).values()) <= {Stricter.NEITHER, Stricter.UNCLEAR}


def test_copyleft_grants_less_than_a_permissive_licence() -> None:
    rows = stricter(compare(known("MIT"), known("GPL-3.0-only")))

    assert rows[Activity.REDISTRIBUTE] is Stricter.SECOND
    assert rows[Activity.USE] is Stricter.NEITHER
    assert stricter(compare(known("GPL-3.0-only"), known("MIT")))[Activity.REDISTRIBUTE] is Stricter.FIRST


def test_non_commercial_grants_less_for_every_answered_activity() -> None:
    comparison = compare(known("CC-BY-4.0"), known("CC-BY-NC-4.0"))
    rows = stricter(comparison)

    assert rows[Activity.COMMERCIAL] is Stricter.SECOND
    assert rows[Activity.USE] is Stricter.SECOND
    assert rows[Activity.REDISTRIBUTE] is Stricter.SECOND
    assert rows[Activity.TRAIN_ON_OUTPUTS] is Stricter.UNCLEAR
    use = next(row for row in comparison.activities if row.activity is Activity.USE)
    assert use.only_second == ("non-commercial only",)


def test_limits_of_different_kinds_are_not_ranked() -> None:
    rows = stricter(compare(known("llama3.1"), known("CC-BY-NC-4.0")))

    assert rows[Activity.USE] is Stricter.UNCLEAR
    assert rows[Activity.COMMERCIAL] is Stricter.SECOND


def test_a_condition_in_words_is_a_limit_of_its_own() -> None:
    rows = stricter(compare(known("C-UDA-1.0"), known("llama3.1")))

    assert rows[Activity.USE] is Stricter.UNCLEAR


def test_unknown_is_never_ranked() -> None:
    rows = stricter(compare(known("LicenseRef-proprietary"), known("MIT")))

    assert set(rows.values()) == {Stricter.UNCLEAR}


def test_facts_that_differ_are_told_in_words_and_as_json() -> None:
    comparison = compare(known("OpenMDW-1.0"), known("OpenMDW-1.1"))

    assert [difference.fact for difference in comparison.differences] == ["termination"]
    assert "copyright" in comparison.differences[0].second
    assert json.loads(json.dumps(comparison.to_json()))["first"] == "OpenMDW-1.0"


def test_a_threshold_is_told_with_its_measuring_date() -> None:
    found = {item.fact: item for item in compare(known("llama3.1"), known("llama3.2")).differences}["thresholds"]

    assert "700,000,000 monthly users of the licensee and affiliates" in found.first
    assert "23 July 2024" in found.first
    assert "25 September 2024" in found.second
