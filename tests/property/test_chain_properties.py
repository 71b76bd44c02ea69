"""What holds for every chain of real licences, whatever its shape."""

import itertools
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.errors import InputError
from weighbridge.terms.chain import Chain, ChainError, Edge, Relation, Work
from weighbridge.terms.expression import parse
from weighbridge.terms.fact import Activity, Metric
from weighbridge.terms.permit import permit
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve
from weighbridge.terms.terms import ORDER, Terms
from weighbridge.terms.use import Use

IDS = [licence.id for licence in registry().all]
STATED = st.one_of(
    st.sampled_from([*IDS, "", "other", "LicenseRef-Nobody", "see the site!"]),
    st.tuples(st.sampled_from(IDS), st.sampled_from(["AND", "OR"]), st.sampled_from(IDS)).map(" ".join),
)
MODALITIES = st.sampled_from([("text",), ("text", "image"), ("audio",)])


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """Return a chain of at most seven works; edges lead from earlier to later ones, so that there is no cycle."""
    count = draw(st.integers(1, 7))
    works = tuple(
        Work(
            ref=f"m/{number}",
            license=draw(STATED),
            digest=draw(st.sampled_from(["", "0" * 64])),
            modalities=draw(MODALITIES),
            license_text=draw(st.sampled_from([None, "text"])),
        )
        for number in range(count)
    )
    pairs = [(child, parent) for parent in range(count) for child in range(parent)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=10)) if pairs else []
    edges = tuple(
        Edge(child=f"m/{child}", parent=f"m/{parent}", relation=draw(st.sampled_from(Relation)))
        for child, parent in chosen
    )
    return Chain(root="m/0", works=works, edges=edges)


def terms_of(chain: Chain, declared: str) -> Terms:
    return resolve(chain, declared=declared, registry=registry(), model_name="Llama-3-ours")


@given(chain=chains(), declared=STATED, stated=STATED, relation=st.sampled_from(Relation), data=st.data())
@settings(deadline=None, max_examples=150)
def test_a_further_parent_allows_nothing_and_takes_no_duty_away(
    chain: Chain, declared: str, stated: str, relation: Relation, data: st.DataObject
) -> None:
    child = data.draw(st.sampled_from([work.ref for work in chain.works]))
    more = Chain(
        root=chain.root,
        works=(*chain.works, Work(ref="new/parent", license=stated)),
        edges=(*chain.edges, Edge(child=child, parent="new/parent", relation=relation)),
    )
    before, after = terms_of(chain, declared), terms_of(more, declared)

    for activity in Activity:
        answers = [ORDER.index(terms.permissions[activity].answer) for terms in (before, after)]
        assert answers[0] <= answers[1]
    for kind in ("duties", "thresholds", "fields", "territories"):
        had = {(item.licence, getattr(item, "duty", None) or item.fact) for item in getattr(before, kind)}
        assert had <= {(item.licence, getattr(item, "duty", None) or item.fact) for item in getattr(after, kind)}
    assert set(before.licences) <= set(after.licences)


@given(chain=chains(), declared=STATED, data=st.data())
@settings(deadline=None, max_examples=75)
def test_the_order_of_works_and_edges_makes_no_difference(chain: Chain, declared: str, data: st.DataObject) -> None:
    mixed = Chain(
        root=chain.root,
        works=tuple(data.draw(st.permutations(chain.works))),
        edges=tuple(data.draw(st.permutations(chain.edges))),
    )

    assert terms_of(mixed, declared) == terms_of(chain, declared)


@given(chain=chains(), declared=STATED)
@settings(deadline=None, max_examples=75)
def test_json_forms_read_back(chain: Chain, declared: str) -> None:
    terms = terms_of(chain, declared)

    assert Chain.from_json(json.loads(json.dumps(chain.to_json()))) == chain
    assert Terms.from_json(json.loads(json.dumps(terms.to_json()))) == terms


@given(chain=chains(), declared=STATED)
@settings(deadline=None, max_examples=75)
def test_the_expression_in_force_is_one_that_can_be_read_and_holds_what_is_inherited(
    chain: Chain, declared: str
) -> None:
    terms = terms_of(chain, declared)
    named = {leaf.id for leaf in parse(terms.expression, registry()).leaves}

    assert set(terms.licences) <= named


@given(chain=chains(), declared=STATED)
@settings(deadline=None, max_examples=75)
def test_a_use_that_states_nothing_is_never_allowed_more_than_one_that_fits(chain: Chain, declared: str) -> None:
    terms = terms_of(chain, declared)
    fits = Use(commercial=False, fields=(), seat="US", territories=(), amounts=dict.fromkeys(Metric, 0))
    order = ("pass", "unknown", "fail")
    for silent, fitting in zip(permit(terms, Use()), permit(terms, fits), strict=True):
        # The question about business is answered for information where there is none.
        assert silent.question == "commercial" or order.index(silent.outcome) >= order.index(fitting.outcome)
        assert silent.outcome != "pass" or not terms.fields


@given(text=st.one_of(st.text(max_size=80), st.text(alphabet="()ANDORWITH+ MIT", max_size=120)))
@settings(deadline=None, max_examples=400)
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    place = ""
    try:
        expression = parse(text, registry(), place="card")
    except InputError as error:
        place = error.place
    else:
        assert parse(expression.text, registry()).text == expression.text
        place = "card"
    assert place == "card"


@given(
    edges=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14),
)
@settings(deadline=None, max_examples=150)
def test_a_chain_is_refused_exactly_when_it_has_a_cycle(edges: list[tuple[int, int]]) -> None:
    reach = {number: {parent for child, parent in edges if child == number} for number in range(7)}
    for _ in range(7):
        reach = {number: found.union(*(reach[other] for other in found)) for number, found in reach.items()}
    cyclic = any(number in found for number, found in reach.items())
    try:
        Chain(
            root="m/0",
            works=tuple(Work(ref=f"m/{number}") for number in range(7)),
            edges=tuple(Edge(child=f"m/{c}", parent=f"m/{p}", relation=Relation.MERGE) for c, p in edges),
        )
    except ChainError as error:
        assert cyclic
        names = error.message.partition(": ")[2].split(" -> ")
        assert names[0] == names[-1]
        pairs = {(f"m/{child}", f"m/{parent}") for child, parent in edges}
        assert set(itertools.pairwise(names)) <= pairs
    else:
        assert not cyclic
