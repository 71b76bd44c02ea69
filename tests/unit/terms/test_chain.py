import itertools
import json
from typing import Any

import pytest

from weighbridge.errors import InputError
from weighbridge.terms.chain import MAX_WORKS, Chain, ChainError, Edge, Relation, Work
from weighbridge.terms.fact import Source

A_DIGEST = "ab" * 32


def a_chain(*edges: tuple[str, str], relation: Relation = Relation.FINETUNE) -> Chain:
    refs = sorted({ref for edge in edges for ref in edge} | {"a/root"})
    return Chain(
        root="a/root",
        works=tuple(Work(ref=ref) for ref in refs),
        edges=tuple(Edge(child=child, parent=parent, relation=relation) for child, parent in edges),
    )


def test_a_cycle_is_refused_and_named_from_child_to_parent() -> None:
    with pytest.raises(ChainError) as refused:
        a_chain(("a/root", "a/x"), ("a/x", "a/y"), ("a/y", "a/z"), ("a/z", "a/x"))

    assert refused.value.message == "the chain runs in a cycle: a/x -> a/y -> a/z -> a/x"
    assert refused.value.place == "a/x"


def test_a_cycle_beside_the_root_is_refused_too() -> None:
    with pytest.raises(ChainError, match="b/x -> b/y -> b/x"):
        a_chain(("a/root", "a/x"), ("b/x", "b/y"), ("b/y", "b/x"))


def test_a_work_is_no_parent_of_itself() -> None:
    with pytest.raises(ChainError, match="cycle: a/root -> a/root"):
        a_chain(("a/root", "a/root"))


def test_a_cycle_of_thousands_is_found_without_recursion() -> None:
    refs = [f"m/{number:05}" for number in range(MAX_WORKS)]
    edges = tuple(Edge(child=c, parent=p, relation=Relation.MERGE) for c, p in itertools.pairwise(refs))
    works = tuple(Work(ref=ref) for ref in refs)
    Chain(root=refs[0], works=works, edges=edges)

    with pytest.raises(ChainError, match=r"m/00000 -> m/00001 -> .* -> … -> m/00000"):
        Chain(root=refs[0], works=works, edges=(*edges, Edge(child=refs[-1], parent=refs[0], relation=Relation.MERGE)))


def test_a_diamond_is_no_cycle() -> None:
    assert a_chain(("a/root", "a/x"), ("a/root", "a/y"), ("a/x", "a/z"), ("a/y", "a/z")).root == "a/root"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"root": "a/other"}, "the root is 'a/other', which is not among the works"),
        ({"works": (Work(ref="a/root"), Work(ref="a/root"))}, "given twice"),
        ({"edges": (Edge(child="a/root", parent="a/none", relation=Relation.CODE),)}, "the code parent of a/root"),
        ({"edges": (Edge(child="a/none", parent="a/root", relation=Relation.CODE),)}, "the child of a code edge"),
        ({"works": tuple(Work(ref=f"a/{n}") for n in range(MAX_WORKS + 1))}, "more than 10,000 works"),
        (
            {"works": (Work(ref="a/root"), *(Work(ref=f"a/{n}", license=f"L-{n}") for n in range(500)))},
            "more than 500 different licences",
        ),
    ],
)
def test_a_chain_that_names_what_is_not_there_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ChainError, match=words) as refused:
        Chain(**{"root": "a/root", "works": (Work(ref="a/root"),), **change})

    assert isinstance(refused.value, InputError)
    assert refused.value.hint


@pytest.mark.parametrize(
    "bad",
    [
        {"ref": ""},
        {"ref": "a/\nb"},
        {"ref": "a" * 500},
        {"digest": "abc"},
        {"digest": "AB" * 32},
        {"license": "x" * 3_000},
        {"modalities": ("Text",)},
        {"modalities": ("text",) * 100},
        {"license_text": "x" * (2 << 20)},
        {"notice": "x" * (1 << 20)},
    ],
)
def test_a_work_of_no_sound_form_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ChainError):
        Work(**{"ref": "a/b", **bad})


def test_json_form_reads_back() -> None:
    policy = Source(url="https://example.org/aup", sha256=A_DIGEST, what="use-policy")
    chain = Chain(
        root="a/root",
        works=(
            Work(ref="a/root", license="MIT", modalities=("text", "image")),
            Work(ref="a/x", digest=A_DIGEST, license_text="words", notice="n", use_policies=(policy,)),
        ),
        edges=(Edge(child="a/root", parent="a/x", relation=Relation.TRAIN_DATA),),
    )

    assert Chain.from_json(json.loads(json.dumps(chain.to_json()))) == chain


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("root",), 3, "expected str"),
        (("works", 0, "colour"), "red", "unknown key 'colour'"),
        (("edges", 0, "relation"), "cousin", "'cousin' is no Relation"),
        (("works", 0, "modalities"), "text", "expected list"),
        (("works",), {}, "expected list"),
        (("works", 0, "use_policies"), [{"url": "u", "seen": "yesterday"}], "is no date"),
    ],
)
def test_json_of_another_shape_is_refused(path: tuple[Any, ...], value: object, words: str) -> None:
    form = a_chain(("a/root", "a/x")).to_json()
    part: Any = form
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value

    with pytest.raises(ChainError, match=words):
        Chain.from_json(form)


def test_json_without_a_needed_key_is_refused() -> None:
    form = a_chain().to_json()
    del form["works"]

    with pytest.raises(ChainError, match="'works' is missing"):
        Chain.from_json(form)


def test_json_with_a_cycle_is_refused() -> None:
    form = a_chain(("a/root", "a/x")).to_json()
    form["edges"].append({"child": "a/x", "parent": "a/root", "relation": "merge"})

    with pytest.raises(ChainError, match="cycle"):
        Chain.from_json(form)
