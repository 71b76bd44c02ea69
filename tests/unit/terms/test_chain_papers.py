import hashlib
from typing import Any

import pytest

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.errors import InputError
from weighbridge.terms.chain import Chain, Edge, Relation, Work
from weighbridge.terms.fact import Source
from weighbridge.terms.papers import papers
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve

LLAMA = "LicenseRef-scancode-llama-3.2-license-2024"


def ship(declared: str, *parents: Work, relation: Relation = Relation.MERGE, **more: Any) -> dict[str, str]:
    root = Work(ref="acme/Llama-ours", license=declared)
    edges = tuple(Edge(child=root.ref, parent=parent.ref, relation=relation) for parent in parents)
    chain = Chain(root=root.ref, works=(root, *parents), edges=edges)
    terms = resolve(chain, declared=declared, registry=registry(), model_name=root.ref)
    given: dict[str, Any] = {"model": "acme/Llama-ours-gguf", "copyright_line": "2026 Acme", **more}
    found = papers(terms, chain, registry(), **given)
    assert all(str(relative_path(path)) == path for path in found)
    assert len({path.lower() for path in found}) == len(found)
    return {path: content.decode("utf-8") for path, content in found.items()}


def archived(name: str) -> str:
    licence = registry().get(name)
    text = registry().text(licence) if licence else None
    assert text
    return text


def test_one_licence_ships_as_its_text_with_the_publisher_in_it() -> None:
    found = ship("MIT")

    assert list(found) == ["LICENSE", "NOTICE"]
    assert found["LICENSE"] == archived("MIT").replace("{copyright}", "2026 Acme")


def test_the_publishers_own_text_is_taken_word_for_word() -> None:
    assert ship("MIT", license_text=b"our words\n")["LICENSE"] == "our words\n"
    assert ship("LicenseRef-Acme", license_text="our words\n")["LICENSE"] == "our words\n"


def test_a_licence_whose_text_nobody_has_is_refused() -> None:
    with pytest.raises(InputError, match="LicenseRef-Acme neither came along nor is archived") as refused:
        ship("LicenseRef-Acme")

    assert "license_file" in refused.value.hint


def test_a_parent_under_the_same_licence_keeps_its_copyright_line() -> None:
    theirs = archived("MIT").replace("{copyright}", "2020 Someone")
    found = ship("MIT", Work(ref="s/base", license="mit", license_text=theirs))

    assert "2026 Acme" in found["LICENSE"]
    assert found["THIRD_PARTY/MIT.txt"] == theirs


def test_parents_with_different_texts_each_keep_theirs() -> None:
    texts = [archived("MIT").replace("{copyright}", year) for year in ("2020 A", "2021 B")]
    parents = [Work(ref=f"s/{n}", license="mit", license_text=text) for n, text in enumerate(texts)]
    found = ship("MIT", *parents)

    shipped = {content for path, content in found.items() if path.startswith("THIRD_PARTY/MIT")}
    assert shipped == set(texts)


def test_parents_whose_text_did_not_come_along_are_credited_in_one() -> None:
    found = ship("MIT", Work(ref="s/a", license="mit"), Work(ref="s/b", license="mit"))

    assert list(found) == ["LICENSE", "NOTICE", "THIRD_PARTY/MIT.txt"]
    assert "the authors of s/a, s/b" in found["THIRD_PARTY/MIT.txt"]


def test_the_licence_of_a_teacher_ships_only_if_it_is_carried_on() -> None:
    assert "THIRD_PARTY/MIT.txt" not in ship("MIT", Work(ref="t/t", license="mit"), relation=Relation.DISTIL)
    found = ship("gemma AND MIT", Work(ref="google/gemma", license="gemma"), relation=Relation.DISTIL)
    assert "google/gemma" in found["LICENSE"]


def test_the_same_text_is_not_shipped_twice() -> None:
    text = archived("Apache-2.0")

    assert list(ship("Apache-2.0", Work(ref="s/base", license="apache-2.0", license_text=text))) == [
        "LICENSE",
        "NOTICE",
    ]


def test_several_licences_ship_an_index_that_names_each_with_its_file() -> None:
    base = Work(ref="meta-llama/Llama-3.2-1B", license="llama3.2")
    found = ship("llama3.2 AND MIT", base)

    assert f"MIT AND {LLAMA}" in found["LICENSE"] or f"{LLAMA} AND MIT" in found["LICENSE"]
    assert f"  - {LLAMA}: THIRD_PARTY/{LLAMA}.txt\n" in found["LICENSE"]
    assert "      meta-llama/Llama-3.2-1B\n" in found["LICENSE"]
    assert found[f"THIRD_PARTY/{LLAMA}.txt"] == archived("llama3.2")
    assert "Permission is hereby granted" in found["THIRD_PARTY/MIT.txt"]


def test_a_choice_ships_every_text() -> None:
    found = ship("MIT OR Apache-2.0")

    assert {"THIRD_PARTY/MIT.txt", "THIRD_PARTY/Apache-2.0.txt"} <= set(found)
    assert "Apache-2.0 OR MIT" in found["LICENSE"]


def test_a_text_that_is_missing_is_named_in_the_index() -> None:
    found = ship("MIT AND LicenseRef-Theirs", Work(ref="s/base", license="LicenseRef-Theirs"))

    assert "LicenseRef-Theirs: its text did not come along" in found["LICENSE"]
    assert "THIRD_PARTY/LicenseRef-Theirs.txt" not in found


def test_the_notice_has_the_words_that_licences_ask_for() -> None:
    found = ship("llama3.2", Work(ref="meta-llama/base", license="llama3.2"), changes=("stored as BF16",))["NOTICE"]
    lines = found.splitlines()

    assert (
        "Llama 3.2 is licensed under the Llama 3.2 Community License, Copyright © Meta Platforms, Inc. "
        "All Rights Reserved." in lines
    )
    assert "Built with Llama" in lines
    assert "Names of models made from it have to begin with: Llama" in lines
    assert "  - stored as BF16" in lines


def test_a_badge_above_a_threshold_says_so() -> None:
    found = ship("kimi-k2", Work(ref="moonshotai/Kimi-K2", license="kimi-k2"))["NOTICE"]

    assert "Above 100,000,000 (monthly_users) or 20,000,000 (monthly_revenue_usd) of kimi-k2" in found
    assert "\nKimi K2\n" in found


def test_notices_of_weights_are_kept_and_those_of_data_are_not() -> None:
    parent = Work(ref="s/base", license="Apache-2.0", notice="Base\nCopyright 2020 S\n")

    assert "NOTICE of s/base:\n\nBase\nCopyright 2020 S\n" in ship("Apache-2.0", parent)["NOTICE"]
    assert "Copyright 2020 S" not in ship("Apache-2.0", parent, relation=Relation.TRAIN_DATA)["NOTICE"]


def test_policies_ship_by_the_hash_of_their_bytes() -> None:
    found = ship("llama3.2", Work(ref="meta-llama/base", license="llama3.2"))
    (path,) = [path for path in found if path.startswith("USE_POLICY/")]

    digest = hashlib.sha256(found[path].encode("utf-8")).hexdigest()
    assert path == f"USE_POLICY/llama3.2-use-policy@{digest[:12]}.txt"
    assert path in found["NOTICE"]


def test_a_policy_that_came_with_a_work_is_named_by_address_and_hash() -> None:
    policy = Source(url="https://example.org/aup", sha256="ab" * 32, what="use-policy")
    parent = Work(ref="s/base", license="MIT", use_policies=(policy,))

    assert f"https://example.org/aup (seen on an unknown day, SHA-256 {'ab' * 32})" in ship("MIT", parent)["NOTICE"]


def test_a_hostile_name_stays_in_the_folder() -> None:
    parent = Work(ref="../../etc/passwd", license="../../../etc/passwd", license_text="theirs")
    found = ship("MIT", parent)

    assert {path.split("/")[0] for path in found} == {"LICENSE", "NOTICE", "THIRD_PARTY"}
    assert all(".." not in path for path in found)
