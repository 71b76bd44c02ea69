"""What another hub says of its files, whatever it is; and where its chunks are found here."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.hub.content.terms import Term
from weighbridge.hub.mirror.errors import SourceError
from weighbridge.hub.mirror.held_chunks import HeldChunks, Run
from weighbridge.hub.mirror.source_plan import SourceTerm, read_plan
from weighbridge.hub.xet.xorb import MAX_XORB_BYTES, MAX_XORB_CHUNKS

NAMES = [f"{number:064x}" for number in range(4)]
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_COUNT = st.integers(-2, 40) | st.integers(MAX_XORB_CHUNKS - 1, 2**70) | _ANY
_CHUNKS = st.fixed_dictionaries({"start": _COUNT, "end": _COUNT}) | _ANY
_TERM = st.fixed_dictionaries(
    {"hash": st.sampled_from(NAMES) | _ANY, "range": _CHUNKS, "unpacked_length": st.integers(0, 2**22) | _ANY}
)
_BYTES = st.fixed_dictionaries({"start": st.integers(-1, 2**27) | _ANY, "end": st.integers(-1, 2**27) | _ANY})
_FETCH = st.fixed_dictionaries({"range": _CHUNKS, "url": st.text(max_size=20) | _ANY, "url_range": _BYTES | _ANY})
_PLANS = st.fixed_dictionaries(
    {
        "offset_into_first_range": st.just(0) | _ANY,
        "terms": st.lists(_TERM, max_size=3) | _ANY,
        "fetch_info": st.dictionaries(
            st.sampled_from(NAMES) | st.text(max_size=4), st.lists(_FETCH, max_size=3), max_size=3
        )
        | _ANY,
    }
)


@given(stated=_PLANS | _ANY, size=st.integers(0, 2**23))
def test_whatever_a_source_says_of_a_file_is_bounded_or_refused(stated: Any, size: int) -> None:
    try:
        plan = read_plan(stated, size_bytes=size, place="somewhere")
    except SourceError:
        return
    assert sum(term.raw_bytes for term in plan.terms) == size
    for term in plan.terms:
        assert 0 <= term.first < term.end <= MAX_XORB_CHUNKS
        found = plan.range_of(term)
        if found is not None:
            assert found.first <= term.first < term.end <= found.end
            assert 0 <= found.start < found.stop <= MAX_XORB_BYTES


def _plan(total: int) -> dict[str, Any]:
    term = {"hash": NAMES[1], "range": {"start": 2, "end": 5}, "unpacked_length": total}
    fetch = {"range": {"start": 0, "end": 9}, "url": "http://x/", "url_range": {"start": 100, "end": 999}}
    narrow = {**fetch, "range": {"start": 2, "end": 6}}
    return {"offset_into_first_range": 0, "terms": [term], "fetch_info": {NAMES[1]: [fetch, narrow]}}


def test_a_plan_is_read_and_the_narrowest_range_taken() -> None:
    plan = read_plan(_plan(3000), size_bytes=3000, place="")
    assert plan.terms == (SourceTerm(NAMES[1], 2, 5, 3000),)
    found = plan.range_of(plan.terms[0])
    assert found is not None
    assert (found.first, found.end, found.start, found.stop) == (2, 6, 100, 1000)
    assert plan.same_range(found) is found


def _cut(data: st.DataObject, count: int) -> list[int]:
    marks = data.draw(st.sets(st.integers(1, max(count - 1, 1)), max_size=5)) if count > 1 else set()
    edges = [0, *sorted(marks), count]
    return [end - start for start, end in pairwise(edges)]


@given(data=st.data(), count=st.integers(1, 60))
def test_the_chunks_of_a_file_are_found_however_both_sides_put_it_together(data: st.DataObject, count: int) -> None:
    """Chunk n of the file lies somewhere there and somewhere here: whoever asks by the one learns the other."""
    there, here = [], []
    stated, terms = [], []
    for number, length in enumerate(_cut(data, count)):
        first = data.draw(st.integers(0, 50))
        there += [(f"there {number}", first + step) for step in range(length)]
        stated.append(SourceTerm(f"there {number}", first, first + length, length))
    for number, length in enumerate(_cut(data, count)):
        first = data.draw(st.integers(0, MAX_XORB_CHUNKS - length))
        here += [(f"here {number}", first + step) for step in range(length)]
        terms.append(Term(f"here {number}", first, first + length, length))
    held = HeldChunks()
    assert held.learn_file(stated, terms)
    at = 0
    for term in stated:
        assert held.knows(term.xorb, term.first, term.end)
        assert not held.knows(term.xorb, term.first, term.end + 1)
        found = [(run.xorb, n) for run in held.find(term.xorb, term.first, term.end) for n in range(run.first, run.end)]
        assert found == here[at : at + len(found)]
        at += len(found)
    assert at == len(there) == count
    assert not held.learn_file(stated, [*terms, Term("here more", 0, 1, 1)])


def test_what_is_on_its_way_is_expected_once_and_forgotten_if_it_fails() -> None:
    held = HeldChunks()
    held.learn("x", 3, [Run("a", 0, 2)])
    assert held.jobs("x", 0, 6) is None
    held.expect("x", 0, 4, 7)
    held.expect("x", 2, 6, 8)
    assert held.jobs("x", 0, 6) == frozenset((7, 8))
    assert held.jobs("x", 3, 5) == frozenset()
    assert held.knows("x", 3, 5)
    assert not held.knows("x", 2, 5)
    held.learn("x", 0, [Run("b", 9, 13)])
    held.forget("x", 0, 4, 7)
    assert list(held.find("x", 0, 5)) == [Run("b", 9, 13), Run("a", 1, 2)]
    held.forget("x", 2, 6, 8)
    assert held.jobs("x", 0, 6) is None


def test_neighbouring_numbers_of_two_xorbs_are_not_one_run() -> None:
    held = HeldChunks()
    held.learn("x", 0, [Run("a", MAX_XORB_CHUNKS - 1, MAX_XORB_CHUNKS), Run("b", 0, 2)])
    assert list(held.find("x", 0, 3)) == [Run("a", MAX_XORB_CHUNKS - 1, MAX_XORB_CHUNKS), Run("b", 0, 2)]
