"""Openness over any parts: more open parts never make a release less open, and no statement makes it more so."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.terms.openness import KINDS, UNLICENSED, Openness, Part, assess
from weighbridge.terms.openness.component import CLASSES
from weighbridge.terms.openness.g7 import LABELS

LICENCES = ("", UNLICENSED, "Apache-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CDLA-Permissive-2.0", "llama3.1", "Unheard Of")
RANK = ("", *CLASSES)
LABEL_RANK = ("", *LABELS)

part = st.builds(
    Part,
    kind=st.sampled_from(KINDS),
    license=st.sampled_from(LICENCES),
    in_release=st.booleans(),
    place=st.sampled_from(("a", "b/c", "https://example.com/")),
)
parts = st.lists(part, max_size=24)
everything = [Part(kind=kind, license="Apache-2.0", place="x") for kind in KINDS]


@given(parts, st.sampled_from(LICENCES))
def test_what_is_only_stated_never_makes_a_release_more_open(given_parts: list[Part], licence: str) -> None:
    found = assess(given_parts, license_of_release=licence)
    here = assess([item for item in given_parts if item.in_release], license_of_release=licence)
    assert RANK.index(found.mof_class) <= RANK.index(here.mof_class)
    assert LABEL_RANK.index(found.g7_label) <= LABEL_RANK.index(here.g7_label)
    assert found.osaid_met <= here.osaid_met


@given(st.sets(st.sampled_from(KINDS)), st.sampled_from(KINDS))
def test_an_open_component_more_never_lowers_the_class(kinds: set[str], more: str) -> None:
    fewer = assess([item for item in everything if item.kind in kinds], license_of_release="")
    grown = assess([item for item in everything if item.kind in kinds | {more}], license_of_release="")
    assert RANK.index(grown.mof_class) >= RANK.index(fewer.mof_class)
    assert LABEL_RANK.index(grown.g7_label) >= LABEL_RANK.index(fewer.g7_label)


@given(parts)
def test_a_closed_part_more_never_raises_the_class(given_parts: list[Part]) -> None:
    before = assess(given_parts, license_of_release="Apache-2.0")
    closed = [replace(item, license="CC-BY-NC-4.0") for item in given_parts]
    after = assess([*given_parts, *closed], license_of_release="Apache-2.0")
    assert RANK.index(after.mof_class) <= RANK.index(before.mof_class)


@given(parts, st.sampled_from(LICENCES), st.booleans(), st.lists(st.just("base/model"), max_size=1))
def test_every_answer_has_its_reason_and_reads_back(
    given_parts: list[Part], licence: str, complete: bool, bases: list[str]
) -> None:
    found = assess(given_parts, license_of_release=licence, complete=complete, bases=bases)
    assert Openness.from_json(found.to_json()) == found
    reasons = [item.why for item in found.osaid] + [item.why for item in found.eu_ratings]
    assert all(reasons)
    assert all(item.why for item in found.mof_missing_next)
    assert all(item.open or item.why for item in found.components)
    assert found.g7.why or found.g7_label == LABELS[-1]
    assert (found.mof_next == "") is (found.mof_class == "I")


@given(parts)
def test_order_of_parts_does_not_matter_for_the_verdicts(given_parts: list[Part]) -> None:
    one = assess(given_parts, license_of_release="MIT")
    other = assess(list(reversed(given_parts)), license_of_release="MIT")
    assert (one.mof_class, one.g7_label, one.osaid_met, dict(one.eu_index)) == (
        other.mof_class, other.g7_label, other.osaid_met, dict(other.eu_index)
    )  # fmt: skip
