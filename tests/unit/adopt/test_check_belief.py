"""What is believed: a text that nobody knows, a statement that nobody signed, and a kind that nothing shows."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from check_worlds import (
    STATEMENTS,
    USE,
    World,
    our_use,
    outcome,
    reasons,
    report_of,
    subject_of,
    trusting,
    write_plain,
    write_weights,
)

from weighbridge.adopt.check.answer import Outcome
from weighbridge.adopt.check.questions_terms import notices
from weighbridge.adopt.check.subject import SampleFacts, Subject
from weighbridge.dossier.disclosure import DataSet, Disclosure
from weighbridge.evidence.record import Measurement
from weighbridge.shell.check.lineage import modalities
from weighbridge.terms.chain import Chain, Edge, Relation, Work
from weighbridge.terms.licence import licence_text
from weighbridge.terms.papers import papers
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve

APACHE = licence_text("Apache-2.0")
MIT = licence_text("MIT", copyright_line="2019 Somebody")
WHOLE = "Apache-2.0 AND MIT"
PARENT = {"ref": "base/falcon", "relation": "finetune", "license": "MIT", "digest": "cd" * 32}
BY_TERMS = (5, 7, 8, 9)


def answers(subject: Subject, *numbers: int, use: str = USE) -> set[str]:
    report = report_of(subject, our_use(use))
    return {outcome(report, number) for number in numbers}


# Texts that nobody knows


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ("mit", "ACME RESEARCH LICENCE. LIMITED TO NON-COMMERCIAL RESEARCH."),
        ("apache-2.0", APACHE.replace("perpetual", "revocable") + "\nSPDX: Apache-2.0\n"),
        (WHOLE, f"m is under these licences:\n\n    {WHOLE}\n\nNo commercial use.\n"),
    ],
)
def test_a_licence_file_that_only_mentions_what_is_stated_settles_nothing(
    tmp_path: Path, stated: str, text: str
) -> None:
    folder = write_plain(tmp_path / "m", f"license: {stated}", {"LICENSE": text})
    assert answers(subject_of(folder), *BY_TERMS) == {"unknown"}


@pytest.mark.parametrize(
    "name",
    [
        "MODEL_LICENSE",
        "EULA.txt",
        "TERMS_OF_USE.md",
        "COPYING.LESSER",
        "LICENCE.md",
        "LICENSE-NC",
        "NOTICE-LICENSE.txt",
        "LICENSE.pdf",
        "docs/LICENSE",
        "THIRD_PARTY/weights.txt",
    ],
)
def test_a_file_called_like_a_licence_is_looked_at_and_named(tmp_path: Path, name: str) -> None:
    files = {"LICENSE": APACHE, name: "No commercial use by anybody."}
    subject = subject_of(write_plain(tmp_path / "m", files=files))
    assert answers(subject, *BY_TERMS) == {"unknown"}
    assert name in reasons(report_of(subject), 5)


@pytest.mark.parametrize("name", ["weights/LICENSE", "LICENSES/CC-BY-NC-4.0.txt", "THIRD_PARTY/data.txt"])
def test_a_known_licence_that_nothing_states_is_not_passed_over(tmp_path: Path, name: str) -> None:
    files = {"LICENSE": APACHE, name: licence_text("CC-BY-NC-4.0")}
    subject = subject_of(write_plain(tmp_path / "m", files=files))
    assert answers(subject, *BY_TERMS) == {"unknown"}
    assert f"{name} is the text of CC-BY-NC-4.0, and nothing says what" in reasons(report_of(subject), 7)
    same = {"LICENSE": APACHE, name: APACHE}
    assert answers(subject_of(write_plain(tmp_path / "same", files=same)), *BY_TERMS) == {"pass"}


def test_a_licence_beside_the_weights_that_the_record_states_is_no_question(tmp_path: Path) -> None:
    data = Disclosure(
        statements=STATEMENTS, data=(DataSet(name="questions", roles=("evaluation",), license="CC0-1.0"),)
    )
    files: dict[str, bytes | str] = {"THIRD_PARTY/CC0-1.0.txt": licence_text("CC0-1.0")}
    for stated, expected in ((data, "pass"), (Disclosure(statements=STATEMENTS), "unknown")):
        world = World(tmp_path / expected, files=files, changes={"disclosure": stated})
        world.write()
        world.sign()
        assert answers(trusted(world), 7) == {expected}


def test_a_licence_that_is_called_a_notice_is_a_licence(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "m", files={"LICENSE": APACHE, "NOTICE": licence_text("CC-BY-NC-4.0")})
    assert answers(subject_of(folder), 5) == {"fail"}


def test_a_name_that_nobody_knows_may_be_another_one_of_the_text(tmp_path: Path) -> None:
    card = "license: other\nlicense_name: modified-mit\nlicense_link: LICENSE"
    folder = write_plain(tmp_path / "m", card, {"LICENSE": licence_text("kimi-k2")})
    assert answers(subject_of(folder), 5, 7) == {"unknown"}
    assert "whether they are the same cannot be read" in reasons(report_of(subject_of(folder)), 5)


def test_a_licence_too_large_to_be_read_is_unknown_and_named(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "m")
    with (folder / "LICENSE").open("wb") as file:
        file.truncate(200 << 20)
    subject = subject_of(folder)
    assert answers(subject, *BY_TERMS) == {"unknown"}
    assert "LICENSE was not read: it is larger than a licence is" in reasons(report_of(subject), 5)


def test_files_that_are_no_papers_are_no_licences(tmp_path: Path) -> None:
    files = {"LICENSE": APACHE, "license_plates.csv": "a,b\n", "NOTICE": "Osprey\n", "terminal.txt": "x"}
    assert answers(subject_of(write_plain(tmp_path / "m", files=files)), 5, 7, 8, 9) == {"pass"}


@pytest.mark.parametrize("stated", ["unknown", '" other "', "Unknown", "NOASSERTION", '" "'])
def test_a_word_for_no_licence_states_none(tmp_path: Path, stated: str) -> None:
    folder = write_plain(tmp_path / "m", f"license: {stated}", metadata={"license": "unknown"})
    report = report_of(subject_of(folder))
    assert outcome(report, 5) == "unknown"
    assert "Nothing states a licence." in reasons(report, 5)


def test_a_list_with_a_choice_in_it_keeps_what_else_is_listed(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "m", "license: [mit OR gpl-3.0, cc-by-nc-4.0]")
    assert answers(subject_of(folder), 7) == {"fail"}


# The list of several licences


def several(root: Path, *, card: str = WHOLE, **changes: str) -> World:
    """Return a release that is declared Apache-2.0 and inherits MIT, with the papers that a release gets."""
    own = Work(ref="acme/osprey", license="Apache-2.0", license_text=APACHE)
    parent = Work(ref=PARENT["ref"], license="MIT", digest=PARENT["digest"], license_text=MIT)
    edge = Edge(child=own.ref, parent=parent.ref, relation=Relation.FINETUNE)
    chain = Chain(root=own.ref, works=(own, parent), edges=(edge,))
    terms = resolve(chain, declared="Apache-2.0", registry=registry(), model_name="osprey")
    assert terms.expression == WHOLE
    found = papers(terms, chain, registry(), model="acme/osprey", license_text=APACHE)
    files: dict[str, bytes | str] = {**found, "README.md": f"---\nlicense: {card}\n---\n# Osprey\n", **changes}
    world = World(
        root,
        parents=(PARENT,),
        files=files,
        changes={"license": WHOLE, "terms": terms.to_json()},
        statements=STATEMENTS,
    )
    world.write()
    world.sign()
    return world


def trusted(world: World) -> Subject:
    return subject_of(world.folder, *trusting(world.key))


def test_the_list_that_a_release_carries_is_recognised_with_every_text_in_it(tmp_path: Path) -> None:
    subject = trusted(several(tmp_path))
    assert answers(subject, 5, 6, 7, 8, 9) == {"pass"}
    ours = notices(subject, our_use())
    assert "THIRD_PARTY/Apache-2.0-AND-MIT.txt" not in ours, "the list is no licence text"


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        ("LICENSE", "Each text", "No commercial use. Each text"),
        ("LICENSE", "      base/falcon", "      base/falcon, for research only"),
        ("LICENSE", "THIRD_PARTY/MIT.txt", "THIRD_PARTY/Apache-2.0.txt"),
        ("LICENSE", "  - MIT: THIRD_PARTY/MIT.txt\n", ""),
        ("THIRD_PARTY/MIT.txt", "without restriction", "for research"),
    ],
)
def test_a_changed_list_or_a_changed_text_in_it_is_unknown(tmp_path: Path, path: str, before: str, after: str) -> None:
    world = several(tmp_path)
    text = (world.folder / path).read_text()
    assert before in text
    (world.folder / path).write_text(text.replace(before, after, 1))
    world.sign()
    assert answers(trusted(world), *BY_TERMS) == {"unknown"}


def test_one_part_may_be_stated_alone_where_a_signed_record_states_the_whole(tmp_path: Path) -> None:
    world = several(tmp_path, card="apache-2.0")
    assert answers(trusted(world), 5) == {"pass"}
    assert answers(subject_of(world.folder), 5) == {"fail"}, "nobody vouches for the record"
    other = several(tmp_path / "b", card="cc-by-nc-4.0")
    assert answers(trusted(other), 5) == {"fail"}


# Statements that nobody signed


@pytest.mark.parametrize("how", ["unsigned", "edited", "nobody trusted"])
def test_what_an_unsigned_record_states_answers_nothing(tmp_path: Path, how: str) -> None:
    world = World(tmp_path, parents=({**PARENT, "license": "Apache-2.0"},))
    world.write()
    world.sign()
    signers = trusting(world.key)
    assert answers(subject_of(world.folder, *signers), 6, 13, 16) == {"pass"}
    if how == "unsigned":
        (world.folder / "model.sig").unlink()
    elif how == "edited":
        record = json.loads((world.folder / "release.json").read_text())
        record["disclosure"]["statements"]["model.monetised"] = "not at all"
        (world.folder / "release.json").write_text(json.dumps(record))
    else:
        signers = ()
    subject = subject_of(world.folder, *signers)
    away = USE.replace("seat: IE", "seat: US").replace("[IE]", "[US]")
    assert answers(subject, 6, 13, 16) == answers(subject, 14, use=away) == {"unknown"}
    report = report_of(subject)
    assert all("obody that you trust vouches" in reasons(report, number) for number in (6, 7, 8, 9, 13, 16))
    assert report.outcome is not Outcome.PASS


def test_a_source_that_only_an_unsigned_record_pins_is_unknown(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write()
    assert answers(subject_of(world.folder), 6) == {"unknown"}


def test_a_figure_that_reproduces_counts_if_somebody_vouches_for_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    write_weights(world.folder)
    figure = Measurement(
        measure="perplexity",
        subject=world.record().subject,
        data="ef" * 32,
        probe="x",
        probe_version="1",
        value=9.0,
        unit="1",
    )
    world.changes = {"measurements": (figure,)}
    world.write()
    world.sign()
    sample = SampleFacts(place="ours.jsonl", digest="ef" * 32, measurements=(figure,))
    assert answers(replace(trusted(world), sample=sample), 15) == {"pass"}
    assert answers(replace(subject_of(world.folder), sample=sample), 15) == {"unknown"}


# What it takes and gives

LLAMA_TEXT = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 32}
MLLAMA: dict[str, Any] = {"architectures": ["MllamaForConditionalGeneration"], "model_type": "mllama"}


@pytest.mark.parametrize(
    ("config", "card", "headers", "expected"),
    [
        (LLAMA_TEXT, {}, (), {"text"}),
        ({"model_type": "llama"}, {"tags": ["german"]}, (), {"text"}),
        ({}, {"pipeline_tag": "text-generation"}, (), {"text"}),
        ({}, {}, ({"general.architecture": "llama"},), {"text"}),
        ({**MLLAMA, "vision_config": {}}, {}, (), {"image", "text"}),
        ({}, {"pipeline_tag": "image-text-to-text"}, (), {"image", "text"}),
        (MLLAMA, {}, (), {"text", "unknown"}),
        (MLLAMA, {"pipeline_tag": "text-generation"}, (), {"text", "unknown"}),
        ({}, {}, (), {"text", "unknown"}),
        ({}, {"tags": ["vision"], "pipeline_tag": "text-generation"}, (), {"text", "unknown"}),
        (LLAMA_TEXT, {"base_model": ["meta-llama/Llama-3.2-11B-Vision"]}, (), {"text", "unknown"}),
        ({**LLAMA_TEXT, "mm_projector": 1}, {}, (), {"text", "unknown"}),
        ({**LLAMA_TEXT, "architectures": "LlamaForCausalLM"}, {}, (), {"text", "unknown"}),
        ({}, {"pipeline_tag": "text-generation"}, ({"general.architecture": "mllama"},), {"text", "unknown"}),
        ({}, {}, ({"general.architecture": "llama"}, {"general.architecture": "clip"}), {"text", "unknown"}),
    ],
)
def test_text_alone_has_to_be_shown(
    config: dict[str, Any], card: dict[str, Any], headers: tuple[dict[str, Any], ...], expected: set[str]
) -> None:
    assert set(modalities(config, card, headers)) == expected


@pytest.mark.parametrize(("config", "card"), [(MLLAMA, ""), (None, "\ntags: [vision]")])
def test_a_limit_for_models_that_see_is_open_where_nothing_shows_what_it_takes(
    tmp_path: Path, config: dict[str, Any] | None, card: str
) -> None:
    folder = write_plain(tmp_path / "Llama-ours", f"license: llama3.2{card}")
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    use = USE.replace("name_as: desk", "name_as: Llama-desk")
    assert answers(subject_of(folder), 7, 8, use=use) == {"unknown"}


def test_a_model_of_text_alone_is_not_held_back_by_a_limit_for_models_that_see(tmp_path: Path) -> None:
    assert answers(subject_of(write_plain(tmp_path / "Llama-ours", "license: llama3.2")), 7) == {"pass"}


def seeing(root: Path, *, stated: bool = True) -> World:
    """Return a release of text alone that was made from a model that sees."""
    own = Work(ref="acme/osprey", license="llama3.2")
    parent = Work(ref="meta/vision", license="llama3.2", digest="cd" * 32, modalities=("text", "image"))
    edge = Edge(child=own.ref, parent=parent.ref, relation=Relation.FINETUNE)
    chain = Chain(root=own.ref, works=(own, parent), edges=(edge,))
    terms = resolve(chain, declared="llama3.2", registry=registry(), model_name="Llama-osprey")
    listed = {"ref": parent.ref, "relation": "finetune", "license": "llama3.2", "digest": parent.digest}
    changes = {"license": "llama3.2", "terms": terms.to_json() if stated else None}
    world = World(root, licence="llama3.2", parents=(listed,), changes=changes)
    world.write()
    world.sign()
    return world


def test_text_alone_that_was_made_from_a_model_that_sees_stays_under_its_limit(tmp_path: Path) -> None:
    report = report_of(trusted(seeing(tmp_path)))
    assert "Your seat IE lies in EU" in reasons(report, 7)
    assert outcome(report, 7) == "fail"
    assert answers(trusted(seeing(tmp_path / "b", stated=False)), 7) == {"unknown"}


def test_a_base_that_only_the_card_of_a_release_names_is_not_left_out(tmp_path: Path) -> None:
    world = World(tmp_path, files={"README.md": "---\nlicense: apache-2.0\nbase_model: base/falcon\n---\n"})
    world.write()
    world.sign()
    report = report_of(trusted(world))
    assert outcome(report, 7) == "unknown"
    assert "No licence is stated for base/falcon" in reasons(report, 7)
