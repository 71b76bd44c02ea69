"""A text that came along with a work and is not that of the licence it states leaves open what holds."""

import time

import pytest

from weighbridge.terms.chain import Chain, Edge, Relation, Work
from weighbridge.terms.fact import Activity, Answer
from weighbridge.terms.papers import papers
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve
from weighbridge.terms.terms import Terms

FORBIDDING = "No commercial use by anybody. No redistribution.\n"


def text_of(licence_id: str, holder: str = "2024 Acme Ltd") -> str:
    licence = registry().get(licence_id)
    assert licence is not None
    text = registry().text(licence)
    assert text is not None
    return text.replace("{copyright}", holder)


def terms(
    *works: Work, relation: Relation = Relation.FINETUNE, declared: str = "MIT", text: str | None = None
) -> Terms:
    root = Work(ref="acme/ours", license=declared, license_text=text)
    edges = tuple(Edge(child=root.ref, parent=work.ref, relation=relation) for work in works)
    chain = Chain(root=root.ref, works=(root, *works), edges=edges)
    return resolve(chain, declared=declared, registry=registry(), model_name="ours")


def a_parent(licence: str, text: str | None) -> Work:
    return Work(ref="theirs/base", license=licence, digest="0" * 64, license_text=text)


def remarks(found: Terms) -> list[tuple[str, str]]:
    return [(item.work, item.message) for item in found.unknowns if item.rule == "text-differs"]


@pytest.mark.parametrize("relation", [Relation.FINETUNE, Relation.ADAPTER, Relation.DISTIL])
def test_a_parent_with_a_text_of_its_own_making_leaves_every_permission_unknown(relation: Relation) -> None:
    found = terms(a_parent("mit", FORBIDDING), relation=relation)

    assert remarks(found) == [("theirs/base", "the text that came with theirs/base is not that of MIT: read it")]
    assert {found.permissions[activity].answer for activity in Activity} == {Answer.UNKNOWN}


def test_a_text_of_another_licence_is_named() -> None:
    ((work, message),) = remarks(terms(a_parent("mit", text_of("CC-BY-NC-4.0"))))

    assert (work, "is that of CC-BY-NC-4.0, not of MIT" in message) == ("theirs/base", True)


def test_the_text_of_the_model_itself_is_compared_too() -> None:
    found = terms(text=FORBIDDING)

    assert remarks(found) == [("acme/ours", "the text that came with acme/ours is not that of MIT: read it")]
    assert found.permissions[Activity.COMMERCIAL].answer is Answer.UNKNOWN


@pytest.mark.parametrize("relation", [Relation.TRAIN_DATA, Relation.CODE])
def test_what_lies_beside_the_weights_is_noted_and_leaves_their_terms(relation: Relation) -> None:
    found = terms(a_parent("mit", FORBIDDING), relation=relation)

    assert [work for work, _ in remarks(found)] == ["theirs/base"]
    assert found.permissions[Activity.COMMERCIAL].answer is Answer.YES


@pytest.mark.parametrize(
    ("licence", "text"),
    [
        ("mit", text_of("MIT")),
        ("mit", text_of("MIT", "the authors of theirs/base-3.2_x, other/one.v2 and others")),
        ("mit", None),
        ("GPL-3.0-or-later", text_of("GPL-3.0-only")),
        ("MIT AND Apache-2.0", text_of("MIT")),
        ("MIT OR Apache-2.0", text_of("Apache-2.0")),
        ("devstral-modified-mit", "words of its own\n"),
        ("LicenseRef-Acme", "words of its own\n"),
        ("", "words of its own\n"),
    ],
)
def test_the_text_of_the_stated_licence_or_one_that_nobody_can_compare_is_no_remark(
    licence: str, text: str | None
) -> None:
    assert remarks(terms(a_parent(licence, text), declared="Apache-2.0")) == []


@pytest.mark.parametrize(
    ("licence", "text"),
    [
        ("MIT AND Apache-2.0", FORBIDDING),
        ("MIT OR Apache-2.0", text_of("CC-BY-NC-4.0")),
        ("Apache-2.0 WITH LLVM-exception", FORBIDDING),
        ("Apache-2.0", f"{text_of('Apache-2.0')}\nYou owe us a drink.\n"),
    ],
)
def test_any_other_text_is_one(licence: str, text: str) -> None:
    assert len(remarks(terms(a_parent(licence, text), declared="Apache-2.0"))) == 1


def test_the_index_that_a_release_of_several_licences_carries_is_its_own_text() -> None:
    root = Work(ref="acme/ours", license="Apache-2.0 AND MIT")
    parent = a_parent("mit", text_of("MIT"))
    chain = Chain(
        root=root.ref,
        works=(root, parent),
        edges=(Edge(child=root.ref, parent=parent.ref, relation=Relation.FINETUNE),),
    )
    resolved = resolve(chain, declared=root.license, registry=registry(), model_name="ours")
    index = papers(resolved, chain, registry(), model=root.ref)["LICENSE"].decode()

    assert "under these licences" in index
    assert remarks(terms(declared=root.license, text=index)) == []
    assert len(remarks(terms(declared=root.license, text=f"{index}Companies pay.\n"))) == 1
    assert len(remarks(terms(declared="Apache-2.0 AND ISC", text=index))) == 1


def test_two_hundred_parents_with_texts_of_their_own_take_little_time() -> None:
    works = [
        Work(ref=f"a/{n}", license="mit", digest="0" * 64, license_text=text_of("MIT", f"2024 Acme{n}"))
        for n in range(100)
    ]
    works += [Work(ref=f"b/{n}", license="gpl-3.0", license_text=FORBIDDING * 300) for n in range(100)]
    terms(*works)
    began = time.perf_counter()

    assert len(remarks(terms(*works))) == 100
    assert time.perf_counter() - began < 1


def test_a_conflict_reads_as_one_sentence() -> None:
    works = (Work(ref="a/m", license="Apache-2.0"), Work(ref="g/base", license="gemma"))
    edge = Edge(child="a/m", parent="g/base", relation=Relation.FINETUNE)
    chain = Chain(root="a/m", works=works, edges=(edge,))
    (conflict,) = resolve(chain, declared="Apache-2.0", registry=registry(), model_name="m").conflicts
    assert "its limit of use would be dropped" in conflict.message
    assert ". (" not in conflict.message
