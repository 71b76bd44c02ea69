"""One word changed, dropped, put in or swapped anywhere in the terms: the text is never recognised as what it was."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.terms.recognise import normalise, recognise
from weighbridge.terms.registry import registry

IDS = [licence.id for licence in registry().all if licence.text_file]
# Year and holder, at the top or in an appendix, are a slot and no terms.
SLOT_LINE = re.compile(r"\A\s*Copyright .*$|^\s*Copyright .*(?:\[yyyy\]|<year>).*$", re.MULTILINE)
OTHER_WORDS = ["not", "may", "must", "commercial", "never", "x", "unless", "EUROPE", "2026"]


def terms_of(licence_id: str) -> tuple[str, str]:
    """Return what stands before the terms and the terms themselves."""
    licence = registry().get(licence_id)
    assert licence is not None
    text = registry().text(licence)
    assert text is not None
    head, slot, body = text.rpartition("{copyright}")
    return (f"{head}2026 Acme Ltd", body) if slot else ("", text)


def spans(text: str) -> list[tuple[int, int]]:
    slots = [match.span() for match in SLOT_LINE.finditer(text)]
    return [
        match.span()
        for match in re.finditer(r"\S+", text)
        if not any(start <= match.start() < end for start, end in slots)
    ]


@pytest.mark.parametrize("kind", ["change", "drop", "insert", "swap"])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_one_word_makes_it_another_text(kind: str, data: st.DataObject) -> None:
    head, text = terms_of(data.draw(st.sampled_from(IDS)))
    words = spans(text)
    position = data.draw(st.integers(0, len(words) - 2))
    (start, end), (next_start, next_end) = words[position], words[position + 1]
    other = data.draw(st.sampled_from(OTHER_WORDS) | st.sampled_from([text[a:b] for a, b in words[:500]]))
    changed = {
        "change": f"{text[:start]}{other}{text[end:]}",
        "drop": f"{text[:start]}{text[end:]}",
        "insert": f"{text[:start]}{other} {text[start:]}",
        "swap": f"{text[:start]}{text[next_start:next_end]}{text[end:next_start]}{text[start:end]}{text[next_end:]}",
    }[kind]

    assert recognise(head + text).licence_id is not None
    if normalise(changed) != normalise(text):
        assert recognise(head + changed).licence_id is None


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_white_space_alone_changes_nothing(data: st.DataObject) -> None:
    head, text = terms_of(data.draw(st.sampled_from(IDS)))
    position = data.draw(st.sampled_from([match.start() for match in re.finditer(r"(?<=\S)\s+(?=\S)", text)]))
    gap = data.draw(st.text(alphabet=" \t\u00a0", min_size=1, max_size=5))
    whole = head + text
    changed = f"{whole[: len(head) + position]}{gap}{whole[len(head) + position :]}"

    assert recognise(changed).candidates == recognise(whole).candidates


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=400) | st.binary(max_size=400))
def test_any_input_gets_an_answer(text: str | bytes) -> None:
    assert recognise(text).licence_id is None
