"""Folders made to break the check: each must end in an answer or a clear error, in bounded memory."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from check_worlds import World, outcome, reasons, report_of, subject_of, trusting, write_plain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighbridge.adopt.check.answer import Outcome
from weighbridge.errors import InputError, WeighbridgeError
from weighbridge.terms.licence import licence_text


def test_a_bom_of_100_mb_is_not_read_into_memory(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "m")
    with (folder / "bom.cdx.json").open("wb") as file:
        file.write(b'{"bomFormat": "CycloneDX", "components": [')
        file.truncate(100 << 20)
    tracemalloc.start()
    try:
        report = report_of(subject_of(folder))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert outcome(report, 5) == "unknown"
    assert "bill of materials cannot be read: it has more than" in reasons(report, 5)


def test_a_bom_that_fits_but_swells_is_refused(tmp_path: Path) -> None:
    swollen = b'{"bomFormat":"CycloneDX","components":[' + b"{}," * 600_000 + b"{}]}"
    report = report_of(subject_of(write_plain(tmp_path / "m", files={"bom.cdx.json": swollen})))
    assert outcome(report, 5) == "unknown"
    assert "more than 500,000 values" in reasons(report, 5)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("license: mit\nlicense: gpl-3.0", "given twice"),
        ("a: &a [x]\nb: *a", "anchors"),
        ("a: !!python/object/apply:os.system [ls]", "tags"),
        ("a: [" * 40 + "]" * 40, "nested at most"),
        ("license: [mit", "not YAML"),
    ],
)
def test_a_card_that_is_a_trap_is_unknown_with_line_and_column(tmp_path: Path, card: str, words: str) -> None:
    report = report_of(subject_of(write_plain(tmp_path / "m", card)))
    assert outcome(report, 5) == "unknown"
    assert words in reasons(report, 5)
    assert "README.md:" in reasons(report, 5)


def test_a_card_whose_metadata_contradicts_itself_never_passes(tmp_path: Path) -> None:
    card = "license: [mit, cc-by-nc-4.0]\nbase_model: [a/b, a/b]\nbase_model_relation: [x]\ndatasets: {a: 1}"
    report = report_of(subject_of(write_plain(tmp_path / "m", card)))
    assert outcome(report, 7) == "fail", "both of them hold, and one forbids commercial use"


@pytest.mark.parametrize("base", ["{name: meta-llama/Llama-3.1-8B}", "7", "[[a/b]]", "[a/b, {c: d}]"])
def test_a_base_that_is_no_text_is_not_taken_for_none(tmp_path: Path, base: str) -> None:
    report = report_of(subject_of(write_plain(tmp_path / "m", f"license: mit\nbase_model: {base}")))
    assert outcome(report, 6) == outcome(report, 7) == outcome(report, 8) == "unknown"
    assert "the card's `base_model` names, no text" in reasons(report, 7)


@pytest.mark.parametrize("name", ["LICENSE", "LICENSES", "LICENSE.md"])
def test_a_licence_that_is_a_link_out_of_the_folder_settles_nothing(tmp_path: Path, name: str) -> None:
    folder = write_plain(tmp_path / "m", "license: mit")
    (tmp_path / "elsewhere").write_text(licence_text("MIT", copyright_line="2019 Somebody"))
    (folder / name).symlink_to(tmp_path / "elsewhere")
    report = report_of(subject_of(folder))
    assert outcome(report, 1) == "fail"
    assert {outcome(report, number) for number in (5, 7, 8, 9)} == {"unknown"}
    assert f"{name} was not read: a symbolic link leads out of the folder." in reasons(report, 5)
    assert "The licence is not there." in reasons(report, 4), "nothing signed stands behind a link"


@pytest.mark.parametrize(
    "card",
    [
        "license: mit\nbase_model: m",
        "license: mit\nbase_model: " + json.dumps(["a/b\u0007", "x" * 500]),
        "license: mit\nbase_model: " + json.dumps([f"a/{n}" for n in range(300)]),
        "license: " + "(" * 500,
        "license: 7\nlicense_name: [a]\npipeline_tag: {a: b}",
    ],
)
def test_an_odd_card_never_ends_in_a_traceback(tmp_path: Path, card: str) -> None:
    report = report_of(subject_of(write_plain(tmp_path / "m", card)))
    assert report.outcome in (Outcome.FAIL, Outcome.UNKNOWN)
    json.dumps(report.to_json())


def test_links_pipes_and_names_that_are_no_text_fail(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "m")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    (Path(os.fsdecode(bytes(str(folder), "utf-8") + b"/\xff.txt"))).write_bytes(b"x")
    report = report_of(subject_of(folder))
    assert outcome(report, 1) == "fail"
    for words in ("leads out of the folder", "not a regular file", "leads to a folder that holds it"):
        assert words in reasons(report, 1)


def test_an_empty_folder_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file in this folder"):
        subject_of(tmp_path / "empty")
    with pytest.raises(WeighbridgeError):
        subject_of(tmp_path / "missing")


def test_a_signature_that_is_a_bomb_is_bad_and_not_a_crash(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write()
    world.sign()
    for bundle in (b"", b"{" * 100_000, b"[1]", b'{"a":1,"a":2}', b"\xff\xfe"):
        (world.folder / "model.sig").write_bytes(bundle)
        report = report_of(subject_of(world.folder, *trusting(world.key)))
        assert outcome(report, 2) == "fail"


def test_a_record_with_two_keys_of_one_name_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write()
    data = (world.folder / "release.json").read_bytes()
    (world.folder / "release.json").write_bytes(data[:-2] + b',"license":"MIT"}')
    world.sign()
    report = report_of(subject_of(world.folder, *trusting(world.key)))
    assert outcome(report, 1) == "fail"
    assert "occurs twice" in reasons(report, 1)


VALUES: Any = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**70),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=6), st.integers(), max_size=3),
)


def mutate(value: Any, trail: list[int], replacement: Any) -> Any:
    """Replace one value deep in a JSON document."""
    if not trail or not isinstance(value, dict | list) or not value:
        return replacement
    if isinstance(value, dict):
        key = sorted(value)[trail[0] % len(value)]
        return {**value, key: mutate(value[key], trail[1:], replacement)}
    at = trail[0] % len(value)
    return [*value[:at], mutate(value[at], trail[1:], replacement), *value[at + 1 :]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    from weighbridge.dossier.disclosure import Component, DataSet, Disclosure

    disclosure = Disclosure(
        statements={"model.monetised": "no"},
        data=(DataSet(name="d", roles=("training",), url="https://example.org"),),
        components=(Component(kind="training-code", path="code", license="MIT"),),
    )
    parents = ({"ref": "a/b", "relation": "finetune", "license": "MIT", "digest": "cd" * 32},)
    made = World(tmp_path_factory.mktemp("w"), changes={"disclosure": disclosure, "parents": parents})
    made.write()
    from weighbridge.adopt.check.questions_content import recomputed_openness

    subject = subject_of(made.folder)
    assert subject.terms is not None
    made.changes = {
        **made.changes,
        "terms": subject.terms.to_json(),
        "openness": recomputed_openness(subject).to_json(),
    }
    made.write()
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trail=st.lists(st.integers(0, 40), min_size=1, max_size=6), replacement=VALUES)
def test_any_damage_to_a_record_ends_in_an_answer(world: World, trail: list[int], replacement: Any) -> None:
    document = json.loads((world.folder / "release.json").read_bytes())
    original = (world.folder / "release.json").read_bytes()
    try:
        damaged = json.dumps(mutate(document, trail, replacement)).encode()
        (world.folder / "release.json").write_bytes(damaged)
        report = report_of(subject_of(world.folder))
        json.dumps(report.to_json())
        assert report.outcome is not Outcome.PASS
    finally:
        (world.folder / "release.json").write_bytes(original)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trail=st.lists(st.integers(0, 40), min_size=1, max_size=5), replacement=VALUES)
@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json", "bom.cdx.json"])
def test_any_damage_to_a_json_file_ends_in_an_answer(
    world: World, name: str, trail: list[int], replacement: Any
) -> None:
    original = (world.folder / name).read_bytes()
    try:
        damaged = json.dumps(mutate(json.loads(original), trail, replacement))
        (world.folder / name).write_text(damaged)
        assert report_of(subject_of(world.folder)).outcome is not Outcome.PASS
    finally:
        (world.folder / name).write_bytes(original)
