"""The seventeen questions, each asked of a real folder that should make it pass, fail or stay open."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from check_worlds import (
    NOW,
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

from weighbridge.adopt.check.answer import Outcome, Waiver, worst
from weighbridge.adopt.check.check import QUESTIONS, check
from weighbridge.adopt.check.questions_terms import notices
from weighbridge.adopt.check.subject import Standing, Subject
from weighbridge.checkpoint.read import read_folder
from weighbridge.dossier.status import State, Status
from weighbridge.shell.check.signed import TrustedSigner
from weighbridge.shell.signing import create_key_pair
from weighbridge.terms.licence import licence_text

GOOD_STANDING = Standing(asked="hub", fresh="timestamp expires first, on 2026-12-01T00:00:00Z")
LLAMA = {"ref": "meta-llama/Llama-3.2-1B", "relation": "finetune", "license": "llama3.2", "digest": "cd" * 32}


def standing(state: State = State.ACTIVE, **changes: str) -> Standing:
    reason = "" if state is State.ACTIVE else "It leaks its training data."
    status = Status(name="acme/osprey", digest="0" * 64, state=state, since=NOW, reason=reason, **changes)
    return Standing(asked="hub", fresh=GOOD_STANDING.fresh, status=status)


def signed(tmp_path: Path, **changes: object) -> tuple[World, Subject]:
    world = World(tmp_path, **changes)  # type: ignore[arg-type]
    world.write()
    world.sign()
    return world, subject_of(world.folder, *trusting(world.key), standing=standing())


def test_a_release_in_order_passes_every_question_that_is_asked(tmp_path: Path) -> None:
    _, subject = signed(tmp_path)
    report = report_of(subject)
    assert [str(item.counts_as) for item in report.answers] == [
        *["pass"] * 13,
        "not asked",
        *["pass"] * 3,
    ], report.to_json()
    assert report.outcome is Outcome.PASS
    assert "by a waiver" in report.sentence
    assert [question.number for question in QUESTIONS] == list(range(1, 18))


def test_a_plain_folder_is_unknown_where_nobody_says_anything_and_says_so(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "m"))
    report = report_of(subject)
    assert report.outcome is Outcome.UNKNOWN
    unknown = [item.question.number for item in report.answers if item.outcome is Outcome.UNKNOWN]
    assert unknown == [1, 2, 3, 4, 6, 9, 13, 15, 16, 17]
    assert "No licence text came along" in reasons(report, 9)
    assert outcome(report, 7) == outcome(report, 8) == outcome(report, 12) == "pass"
    assert "names no base model" in reasons(report, 6)


# 1 and 2: bytes and signer


@pytest.mark.parametrize("hash_type", ["sha256", "blake3"])
def test_a_changed_a_missing_and_an_extra_file_fail(tmp_path: Path, hash_type: str) -> None:
    world = World(tmp_path)
    world.write()
    world.sign(hash_type)
    assert outcome(report_of(subject_of(world.folder, *trusting(world.key))), 1) == "pass"
    (world.folder / "config.json").write_text('{"model_type": "gpt2"}')
    (world.folder / "NOTICE").unlink()
    (world.folder / "extra.txt").write_text("x")
    report = report_of(subject_of(world.folder, *trusting(world.key)))
    assert outcome(report, 1) == "fail"
    for words in ("config.json has other bytes", "NOTICE is signed but not there", "extra.txt is there but not signed"):
        assert words in reasons(report, 1)
    assert outcome(report, 2) == "unknown", "the signer is good; whether their word is fresh is not known"


def test_another_key_fails_and_a_missing_one_is_unknown(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write()
    world.sign()
    create_key_pair(tmp_path / "other.key", tmp_path / "other.pub")
    report = report_of(subject_of(world.folder, *trusting(tmp_path / "other.pub"), standing=standing()))
    assert outcome(report, 2) == "fail"
    assert "another key" in reasons(report, 2)
    assert outcome(report, 1) == "unknown"
    unnamed = report_of(subject_of(world.folder, standing=standing()))
    assert outcome(unnamed, 2) == outcome(unnamed, 1) == "unknown"
    either = subject_of(world.folder, *trusting(tmp_path / "other.pub"), *trusting(world.key), standing=standing())
    assert outcome(report_of(either), 2) == "pass"


def test_a_release_whose_signature_was_taken_away_fails(tmp_path: Path) -> None:
    world = World(tmp_path)
    report = report_of(subject_of(world.write(), *trusting_new(world)))
    assert outcome(report, 1) == "fail"
    assert "taken away" in reasons(report, 1)


def trusting_new(world: World) -> tuple[TrustedSigner, ...]:
    world.signer()
    return trusting(world.key)


def test_a_signed_record_about_other_bytes_fails(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write()
    (world.folder / "config.json").write_text('{"model_type": "llama"}')
    world.sign()
    report = report_of(subject_of(world.folder, *trusting(world.key), standing=standing()))
    assert outcome(report, 1) == "fail"
    assert "other bytes than its record states" in reasons(report, 1)


@pytest.mark.parametrize(
    "words", ["the hub's metadata is out of date: timestamp", "the hub's metadata has no valid signature"]
)
def test_metadata_that_cannot_be_trusted_fails_the_signer_and_leaves_the_recall_open(
    tmp_path: Path, words: str
) -> None:
    world, _ = signed(tmp_path)
    said = Standing(asked="hub", distrust=words, hint="Take a fresh copy.")
    report = report_of(subject_of(world.folder, *trusting(world.key), standing=said))
    assert outcome(report, 2) == "fail"
    assert words in reasons(report, 2)
    assert outcome(report, 3) == "unknown"


# 3: recall


def test_a_recalled_version_fails_and_names_what_to_use(tmp_path: Path) -> None:
    world, _ = signed(tmp_path)
    said = standing(State.RECALLED, successor="acme/osprey-2")
    report = report_of(subject_of(world.folder, *trusting(world.key), standing=said))
    assert outcome(report, 3) == "fail"
    assert "leaks" in reasons(report, 3)
    assert "Use acme/osprey-2 in its place." in report.answers[2].remedies


def test_a_deprecated_version_is_not_recalled_and_says_what_to_use(tmp_path: Path) -> None:
    world, _ = signed(tmp_path)
    said = standing(State.DEPRECATED, successor="acme/osprey-2")
    report = report_of(subject_of(world.folder, *trusting(world.key), standing=said))
    assert outcome(report, 3) == "pass"
    assert "deprecated since" in reasons(report, 3)
    assert "Use acme/osprey-2 in its place" in reasons(report, 3)
    assert all(item.reasons for item in report.answers if item.outcome is not Outcome.NOT_ASKED)


def test_a_recalled_ancestor_fails_and_a_silent_one_is_unknown(tmp_path: Path) -> None:
    world, subject = signed(tmp_path, licence="Apache-2.0", parents=({**LLAMA, "license": "Apache-2.0"},))
    assert outcome(report_of(subject), 3) == "unknown"
    ancestor = Status(name=LLAMA["ref"], digest="cd" * 32, state=State.RECALLED, since=NOW, reason="Backdoor.")
    said = Standing(asked="hub", fresh="f", status=standing().status, ancestors={LLAMA["ref"]: ancestor})
    report = report_of(subject_of(world.folder, *trusting(world.key), standing=said))
    assert outcome(report, 3) == "fail"
    assert "Its ancestor meta-llama/Llama-3.2-1B is recalled" in reasons(report, 3)


def test_an_unsigned_word_of_a_recall_is_heeded(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "m"), standing=Standing(asked="hub", catalogue_says="It is recalled."))
    assert outcome(report_of(subject), 3) == "fail"


# 4: what the signature covers


def test_what_is_required_has_to_be_there(tmp_path: Path) -> None:
    _, subject = signed(tmp_path)
    assert outcome(report_of(subject), 4) == "pass"
    use = our_use(USE + "required: {documents: [README.md, 'data/*.json']}\n")
    report = report_of(subject, use)
    assert outcome(report, 4) == "fail"
    assert "data/*.json" in reasons(report, 4)


def test_a_bom_about_other_bytes_fails(tmp_path: Path) -> None:
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "metadata": {"component": {"type": "machine-learning-model", "name": "acme/osprey"}},
        "components": [
            {"type": "file", "name": "config.json", "hashes": [{"alg": "SHA-256", "content": "11" * 32}]},
        ],
    }
    _, subject = signed(tmp_path, files={"bom.cdx.json": json.dumps(bom)})
    report = report_of(subject)
    assert outcome(report, 4) == "fail"
    assert "speaks of other bytes than those of config.json" in reasons(report, 4)


# 5: agreement


def test_a_card_and_a_header_that_disagree_fail(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "m", "license: llama3.1", metadata={"license": "cc-by-nc-4.0"})
    report = report_of(subject_of(folder))
    assert outcome(report, 5) == "fail"
    assert "README.md states 'llama3.1', and model.safetensors: license states 'cc-by-nc-4.0'" in reasons(report, 5)


def test_a_header_that_gives_the_name_of_another_licence_is_heard(tmp_path: Path) -> None:
    named = {"general.license": "other", "general.license.name": "cc-by-nc-4.0"}
    report = report_of(subject_of(write_plain(tmp_path / "m", metadata=named)))
    assert outcome(report, 5) == "fail"
    assert "model.safetensors: general.license.name states 'cc-by-nc-4.0'" in reasons(report, 5)


def test_a_licence_file_with_one_changed_word_is_unknown(tmp_path: Path) -> None:
    text = licence_text("Apache-2.0")
    good = write_plain(tmp_path / "good", files={"LICENSE": text})
    assert outcome(report_of(subject_of(good)), 5) == "pass"
    bad = write_plain(tmp_path / "bad", files={"LICENSE": text.replace("perpetual,", "temporary,", 1)})
    assert outcome(report_of(subject_of(bad)), 5) == "unknown"


def test_a_claim_that_is_laxer_than_what_is_inherited_fails(tmp_path: Path) -> None:
    _, subject = signed(tmp_path, licence="MIT", parents=(LLAMA,))
    report = report_of(subject)
    assert outcome(report, 5) == "fail"
    assert "llama3.2" in reasons(report, 5)


def test_nothing_stated_is_unknown_and_not_allowed(tmp_path: Path) -> None:
    report = report_of(subject_of(write_plain(tmp_path / "m", "language: en")))
    assert outcome(report, 5) == outcome(report, 7) == outcome(report, 8) == "unknown"


# 6: ancestors


def test_a_pinned_ancestor_passes_and_one_without_digest_does_not(tmp_path: Path) -> None:
    pinned = {"ref": "base/falcon", "relation": "finetune", "license": "Apache-2.0", "digest": "cd" * 32}
    _, subject = signed(tmp_path / "a", parents=(pinned,))
    assert outcome(report_of(subject), 6) == "pass"
    _, subject = signed(tmp_path / "b", parents=({**pinned, "digest": ""},))
    assert outcome(report_of(subject), 6) == "unknown"
    report = report_of(subject_of(write_plain(tmp_path / "c", "license: apache-2.0\nbase_model: base/falcon")))
    assert outcome(report, 6) == "unknown"
    assert "base/falcon is named without a digest" in reasons(report, 6)


def test_a_chain_that_runs_in_a_circle_fails_and_its_terms_are_unknown(tmp_path: Path) -> None:
    circle = (
        {"ref": "a/b", "relation": "finetune", "license": "MIT"},
        {"ref": "c/d", "relation": "finetune", "license": "MIT", "of": "a/b"},
        {"ref": "a/b", "relation": "finetune", "license": "MIT", "of": "c/d"},
    )
    world = World(tmp_path, changes={"parents": circle}, files={"bom.cdx.json": "{}"})
    world.write()
    world.sign()
    report = report_of(subject_of(world.folder, *trusting(world.key)))
    assert outcome(report, 6) == "fail"
    assert outcome(report, 7) == "unknown"


# 7, 8, 9: our use


def llama(tmp_path: Path, card: str = "") -> Subject:
    text = f"license: llama3.2\nbase_model: meta-llama/Llama-3.2-1B\n{card}"
    return subject_of(write_plain(tmp_path / "Llama-3.2-ours", text))


def test_what_the_use_file_leaves_out_is_unknown(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "Llama-ours", "license: llama3.1", {"LICENSE": licence_text("llama3.1")})
    subject = subject_of(folder)
    empty = our_use("purpose: x\n")
    report = report_of(subject, empty)
    assert outcome(report, 7) == outcome(report, 8) == "unknown"
    assert "`redistribute`" in reasons(report, 8)
    assert "Fill it in in our-use.yaml." in report.answers[6].remedies


def test_too_many_users_fail_by_the_clause(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "m", "license: qwen"))
    report = report_of(subject, our_use(USE.replace("monthly_users: 1000", "monthly_users: 120000000")))
    assert outcome(report, 7) == "fail"
    assert "100,000,000" in reasons(report, 7)


def test_non_commercial_weights_fail_a_company(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "m", "license: cc-by-nc-4.0"))
    assert outcome(report_of(subject), 7) == "fail"
    private = our_use(USE.replace("commercial: true", "commercial: false"))
    assert outcome(report_of(subject, private), 7) == "pass"


def test_a_derivative_has_to_bear_the_prefix(tmp_path: Path) -> None:
    folder = write_plain(tmp_path / "Llama-3.1-ours", "license: llama3.1")
    text = USE.replace("redistribute: false", "redistribute: true")
    report = report_of(subject_of(folder), our_use(text))
    assert outcome(report, 8) == "fail"
    assert "does not begin with 'Llama'" in reasons(report, 8)
    named = our_use(text.replace("name_as: desk", "name_as: Llama-desk"))
    assert outcome(report_of(subject_of(folder), named), 8) == "pass"
    unnamed = our_use(text.replace("name_as: desk\n", ""))
    assert outcome(report_of(subject_of(folder), unnamed), 8) == "unknown"


def test_a_service_makes_a_derivative_available_and_needs_the_name(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "Llama-m", "license: llama3.1", {"LICENSE": licence_text("llama3.1")}))
    served = report_of(subject, our_use(USE))
    assert outcome(served, 8) == "fail"
    assert "desk does not begin with 'Llama'" in reasons(served, 8)
    assert outcome(report_of(subject, our_use(USE.replace("host: true", "host: false"))), 8) == "pass"


def test_a_name_may_have_hyphens_where_the_licence_has_spaces(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "m", "license: llama3", {"LICENSE": licence_text("llama3")}))
    for name, expected in (("Llama-3-desk", "pass"), ("Llama-desk", "fail")):
        found = report_of(subject, our_use(USE.replace("name_as: desk", f"name_as: {name}")))
        assert outcome(found, 8) == expected, name


def test_vision_from_llama_3_2_fails_a_seat_in_the_union(tmp_path: Path) -> None:
    folder = write_plain(
        tmp_path / "Llama-ours",
        "license: llama3.2\nbase_model: meta-llama/Llama-3.2-11B-Vision\nbase_model_relation: quantized\n"
        "pipeline_tag: image-text-to-text",
    )
    report = report_of(subject_of(folder))
    assert outcome(report, 7) == "fail"
    assert "IE lies in EU" in reasons(report, 7)
    assert outcome(report_of(subject_of(folder), our_use(USE.replace("seat: IE", "seat: CA"))), 7) != "fail"


def test_the_notices_are_written_from_the_texts(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "Llama-ours", "license: llama3.1"))
    files = notices(subject, our_use())
    assert b"LLAMA 3.1 COMMUNITY LICENSE" in files["LICENSE"]
    assert b"Built with Llama" in files["NOTICE"]
    report = report_of(subject)
    assert "Show prominently: Built with Llama" in reasons(report, 9)


def test_nothing_planned_is_not_asked(tmp_path: Path) -> None:
    text = USE.replace("fine_tune: true", "fine_tune: false").replace("host: true", "host: false")
    report = report_of(subject_of(write_plain(tmp_path / "m")), our_use(text))
    assert outcome(report, 8) == "not asked"


# 10: adapters


def test_an_adapter_needs_the_base_that_it_was_made_for(tmp_path: Path) -> None:
    base = tmp_path / "base"
    write_weights(base)
    digest = read_folder(base).digest
    parent = {"ref": "base/falcon", "relation": "adapter", "license": "Apache-2.0", "digest": digest}
    world = World(tmp_path / "a", parents=(parent,))
    world.write()
    world.sign()
    asked = report_of(subject_of(world.folder, *trusting(world.key), base_folder=base))
    assert outcome(asked, 10) == "pass"
    assert outcome(report_of(subject_of(world.folder, *trusting(world.key), base=digest)), 10) == "pass"
    assert outcome(report_of(subject_of(world.folder, *trusting(world.key), base="0" * 64)), 10) == "fail"
    assert outcome(report_of(subject_of(world.folder, *trusting(world.key))), 10) == "unknown"
    (base / "config.json").write_text("{}")
    assert outcome(report_of(subject_of(world.folder, *trusting(world.key), base_folder=base)), 10) == "fail"
    gone = subject_of(world.folder, *trusting(world.key), base_folder=tmp_path / "gone")
    assert outcome(report_of(gone), 10) == "unknown"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"base_model_name_or_path": "google/gemma-2-2b"}, "No licence is stated for google/gemma-2-2b"),
        ({}, "the base of its adapter, which nothing names"),
    ],
)
def test_an_adapter_is_not_allowed_by_its_own_licence_alone(tmp_path: Path, config: object, words: str) -> None:
    folder = write_plain(tmp_path / "m", "license: mit", {"adapter_config.json": json.dumps(config)})
    report = report_of(subject_of(folder))
    assert outcome(report, 6) == outcome(report, 7) == outcome(report, 8) == outcome(report, 9) == "unknown"
    assert words in reasons(report, 7)
    assert "LicenseRef-not-stated does not" not in reasons(report, 7), (
        "a placeholder settles nothing, and is no licence"
    )


def test_a_base_is_counted_once_however_it_is_spelt(tmp_path: Path) -> None:
    card = "license: mit\nbase_model: google/Gemma-2-2B\nbase_model_relation: adapter"
    config = json.dumps({"base_model_name_or_path": "/models/gemma-2-2b/"})
    chain = subject_of(write_plain(tmp_path / "m", card, {"adapter_config.json": config})).chain
    assert chain is not None
    assert [(edge.parent, str(edge.relation)) for edge in chain.edges] == [("google/Gemma-2-2B", "adapter")]


def test_an_adapter_by_its_configuration_is_not_pinned(tmp_path: Path) -> None:
    config = json.dumps({"base_model_name_or_path": "base/falcon", "peft_type": "LORA"})
    subject = subject_of(write_plain(tmp_path / "m", files={"adapter_config.json": config}), base="0" * 64)
    report = report_of(subject)
    assert outcome(report, 10) == "unknown"
    assert "base/falcon, which it does not pin" in reasons(report, 10)


# 11: openness


def test_openness_is_recomputed_and_a_claim_of_more_fails(tmp_path: Path) -> None:
    from weighbridge.adopt.check.questions_content import recomputed_openness

    _, subject = signed(tmp_path / "a")
    assert recomputed_openness(subject).mof_class == ""
    components = tuple(
        {"kind": kind, "path": f"{kind}.md", "url": "", "license": "Apache-2.0", "description": ""}
        for kind in ("technical-report", "evaluation-results", "data-card", "model-architecture")
    )
    from weighbridge.dossier.disclosure import Component, Disclosure

    disclosed = Disclosure(statements=STATEMENTS, components=tuple(Component(**item) for item in components))
    files = {f"{item['kind']}.md": "words" for item in components}
    world = World(tmp_path / "b", files=files, changes={"disclosure": disclosed})
    world.write()
    full = recomputed_openness(subject_of(world.folder))
    assert full.mof_class == "III"
    world.changes = {"disclosure": disclosed, "openness": full.to_json()}
    world.write()
    world.sign()
    assert outcome(report_of(subject_of(world.folder, *trusting(world.key))), 11) == "pass"
    (world.folder / "data-card.md").unlink()
    world.sign()
    report = report_of(subject_of(world.folder, *trusting(world.key)))
    assert outcome(report, 11) == "fail"
    assert "claims more" in reasons(report, 11)


def test_required_openness_that_is_not_there_fails(tmp_path: Path) -> None:
    _, subject = signed(tmp_path)
    use = our_use(USE + "required: {openness: {mof_class: II, osaid: true}}\n")
    report = report_of(subject, use)
    assert outcome(report, 11) == "fail"
    assert "You require MOF class II" in reasons(report, 11)
    label = our_use(USE + "required: {openness: {g7_label: Open Weights AI}}\n")
    assert outcome(report_of(subject, label), 11) == "unknown", "it is reached with what is stated to lie elsewhere"


# 13, 14, 16: duties


def test_duties_of_a_general_purpose_model_have_to_be_met(tmp_path: Path) -> None:
    said = {**STATEMENTS, "eu.general_purpose": "yes"}
    _, subject = signed(tmp_path, statements=said)
    report = report_of(subject)
    assert outcome(report, 13) == "fail"
    assert "eu/training_summary.md" in " ".join(report.answers[12].remedies)


def test_outside_of_europe_nobody_asks(tmp_path: Path) -> None:
    _, subject = signed(tmp_path, statements={**STATEMENTS, "eu.general_purpose": "yes"})
    away = our_use(USE.replace("seat: IE", "seat: US").replace("[IE]", "[US]"))
    report = report_of(subject, away)
    assert outcome(report, 13) == "not asked"
    assert outcome(report, 14) == "pass"
    here = our_use(USE.replace("territories: [IE]\n", ""))
    assert outcome(report_of(subject, here), 14) == "pass", "not stated is asked, and the publisher owes nothing"
    silent = World(tmp_path / "b", statements={})
    silent.write()
    assert outcome(report_of(subject_of(silent.folder), away), 14) == "unknown"


def test_a_large_fine_tune_makes_us_provider(tmp_path: Path) -> None:
    _, subject = signed(tmp_path)
    use = our_use(USE.replace("0.001", "0.5"))
    assert outcome(report_of(subject, use), 13) == "fail"
    unsaid = our_use(USE.replace("fine_tune_compute_share: 0.001\n", ""))
    assert outcome(report_of(subject, unsaid), 13) == "unknown"


@pytest.mark.parametrize(("said", "expected"), [("no", "fail"), ("", "unknown"), ("perhaps", "unknown")])
def test_worst_case_tuning_is_what_the_publisher_states(tmp_path: Path, said: str, expected: str) -> None:
    _, subject = signed(tmp_path, statements={**STATEMENTS, "safety.worst_case_fine_tuning": said})
    assert outcome(report_of(subject), 16) == expected


# 15: evidence


def test_our_rules_are_decided_anew_on_signed_measurements(tmp_path: Path) -> None:
    from weighbridge.evidence.record import Comparison, Interval, Measurement

    world = World(tmp_path)
    write_weights(world.folder)
    subject = world.record().subject
    ratio = Measurement(
        measure="perplexity",
        value=1.05,
        unit="1",
        subject=subject,
        probe="likelihood",
        probe_version="1",
        n=2000,
        interval=Interval(low=1.03, high=1.07, confidence=0.95, method="bootstrap"),
        comparison=Comparison.RATIO,
        baseline="ab" * 32,
    )
    world.changes = {"measurements": (ratio,)}
    world.write()
    world.sign()
    found = subject_of(world.folder, *trusting(world.key), standing=standing())

    def asked(limit: float, measure: str = "perplexity") -> str:
        rule = f"{{measure: {measure}, versus: source, at_most_ratio: {limit}}}"
        use = our_use(USE + f"required: {{evidence: [{rule}]}}\n")
        return str(report_of(found, use).answers[14].counts_as)

    assert asked(1.1) == "pass"
    assert asked(1.06) == "fail", "the interval reaches above the limit"
    report = report_of(found, our_use(USE + "required: {evidence: [{measure: harm, at_most: 0.1}]}\n", waivers=()))
    assert outcome(report, 15) == "unknown"
    unsigned = subject_of(world.folder)
    rule = "required: {evidence: [{measure: perplexity, versus: source, at_most_ratio: 1.1}]}\n"
    assert "proves nothing" in reasons(report_of(unsigned, our_use(USE + rule)), 15)


# Waivers and the verdict


def test_a_waiver_counts_until_it_expires_and_never_for_a_failure(tmp_path: Path) -> None:
    _, subject = signed(tmp_path)
    good = report_of(subject)
    assert good.answers[14].waiver is not None
    late = check(subject, our_use(), now=datetime(2027, 2, 1, tzinfo=UTC))
    assert late.outcome is Outcome.UNKNOWN
    assert "expired on 2027-01-31" in reasons(late, 17)
    folder = write_plain(tmp_path / "m", "license: cc-by-nc-4.0")
    waiver = Waiver(question=7, by="Ada", until=NOW + timedelta(days=9), reason="we like it")
    failed = report_of(subject_of(folder), our_use(waivers=(waiver,)))
    assert outcome(failed, 7) == "fail"
    assert failed.answers[6].counts_as is Outcome.FAIL
    assert "cannot waive" in reasons(failed, 17)


def test_the_last_question_lists_what_is_open_and_who_answers_for_it(tmp_path: Path) -> None:
    _, subject = signed(tmp_path)
    report = report_of(subject)
    assert "Question 15: 1 fact unknown, waived by Ada until 2027-01-31" in reasons(report, 17)
    assert outcome(report, 17) == "pass"


def test_the_worst_answer_is_the_verdict_and_nothing_is_no_pass() -> None:
    assert worst([]) is Outcome.UNKNOWN
    assert worst([Outcome.PASS, Outcome.NOT_ASKED]) is Outcome.PASS
    assert worst([Outcome.PASS, Outcome.UNKNOWN]) is Outcome.UNKNOWN
    assert worst([Outcome.UNKNOWN, Outcome.FAIL, Outcome.PASS]) is Outcome.FAIL
    assert [o.exit_code for o in (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN)] == [0, 1, 3]


def test_a_report_without_a_time_zone_is_refused(tmp_path: Path) -> None:
    subject = subject_of(write_plain(tmp_path / "m"))
    with pytest.raises(ValueError, match="time zone"):
        check(subject, our_use(), now=datetime(2026, 1, 1))  # noqa: DTZ001  # that is the point


def test_removing_files_from_a_copy_is_seen(tmp_path: Path) -> None:
    world, _ = signed(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(world.folder, copy)
    (copy / "LICENSE").unlink()
    report = report_of(subject_of(copy, *trusting(world.key), standing=standing()))
    assert outcome(report, 1) == "fail"
    assert outcome(report, 4) == "unknown"
