"""The model card: metadata that the Hugging Face client reads, prose that claims only what was measured."""

import re
from typing import Any

import pytest
import yaml
from builders import DATA, HOSTILE, a_finding, a_record, a_verdict, an_audit
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st
from terms_builders import LLAMA, resolved

from weighbridge.dossier.card import escape, model_card, run_commands, verify_commands
from weighbridge.dossier.disclosure import DataSet, Disclosure
from weighbridge.dossier.front_matter import HUB_ONLY, card_metadata, is_repository, quoted, yaml_lines
from weighbridge.dossier.release import HeldBackSummary, ReleaseRecord, Texts
from weighbridge.terms.registry import registry


def parsed(record: ReleaseRecord) -> ModelCardData:
    data = ModelCard(model_card(record)).data
    assert isinstance(data, ModelCardData)
    return data


def test_the_hugging_face_client_reads_the_metadata() -> None:
    data = parsed(a_record())
    assert data.license == "apache-2.0"
    assert data.language == ["en"]
    assert data.base_model == ["base/falcon-small"]
    assert data.get("base_model_relation") == "quantized"
    assert data.library_name == "gguf"
    assert data.pipeline_tag == "text-generation"
    assert {"weighbridge", "gguf", "q4_k_m"} <= set(data.tags or [])


def test_safetensors_belong_to_transformers_and_keep_their_relation() -> None:
    data = parsed(a_record("osprey-135m", kind="BF16"))
    assert data.library_name == "transformers"
    assert data.get("base_model_relation") == "finetune"


def test_an_unquantised_gguf_is_no_quantised_model() -> None:
    record = a_record(recipe=({"step": "gguf", "type": "BF16"},))
    assert card_metadata(record)["base_model_relation"] == "finetune"


def test_our_measurements_are_eval_results_of_the_client() -> None:
    results = parsed(a_record()).eval_results
    assert results is not None
    ratio = next(r for r in results if r.metric_name == "perplexity, ratio against the internal model")
    assert isinstance(ratio, EvalResult)
    assert (ratio.metric_type, ratio.metric_value, ratio.dataset_args) == ("perplexity", 1.064, {"sha256": DATA})
    assert ratio.metric_args is not None
    assert ratio.metric_args["low"] == 1.041
    assert ratio.metric_args["n"] == 2292


def test_the_client_writes_back_what_it_read() -> None:
    card = ModelCard(model_card(a_record()))
    again = ModelCard(str(card))
    assert yaml.safe_load(again.data.to_yaml()) == yaml.safe_load(card.data.to_yaml())
    assert yaml.safe_load(card.data.to_yaml()) == card_metadata(a_record())


def test_without_measurements_there_are_no_eval_results() -> None:
    record = a_record(figures={})
    assert parsed(record).eval_results is None
    assert "model-index" not in card_metadata(record)


def test_a_licence_that_the_hub_does_not_know_is_named() -> None:
    data = parsed(a_record(license='LicenseRef-Acme: 1 "x" # y'))
    assert data.license == "other"
    assert data.license_name == 'LicenseRef-Acme: 1 "x" # y'
    assert data.license_link == "LICENSE"


def test_a_parent_that_is_no_repository_is_no_base_model() -> None:
    record = a_record(parents=({"ref": "our own model\n- evil/model", "relation": "finetune"},))
    assert "base_model" not in card_metadata(record)
    assert "evil/model" in model_card(record)


def test_a_licence_of_the_registry_goes_by_its_name_on_the_hub_and_reads_back_as_itself() -> None:
    for licence in registry().all:
        fields = card_metadata(a_record(license=licence.id))
        stated = fields["license"] if fields["license"] != "other" else fields["license_name"]
        assert registry().get(stated) is licence
        assert (fields["license"] == "other") is ("license_link" in fields)
    assert parsed(a_record(license="Llama3.2")).license == "llama3.2"
    assert parsed(a_record(license="GPL-3.0-only")).license == "gpl-3.0"
    assert parsed(a_record(license="GPL-3.0-or-later")).license_name == "GPL-3.0-or-later"
    assert parsed(a_record(license="qwen")).license == "other"


def test_a_licence_of_the_hub_that_the_registry_lacks_keeps_its_name() -> None:
    assert parsed(a_record(license="OSL-3.0")).license == "osl-3.0"
    assert [name for name in HUB_ONLY if registry().get(name)] == [], "one table says what a licence is called"


def test_the_licence_in_force_counts_and_not_the_one_declared() -> None:
    data = parsed(resolved(("base/m", "finetune", "MIT"))[0])
    assert (data.license, data.license_name, data.license_link) == ("other", "Apache-2.0 AND MIT", "LICENSE")
    llama = parsed(resolved(LLAMA, license="llama3.2", version="Llama-osprey")[0])
    assert (llama.license, llama.license_name) == ("llama3.2", None)


def a_parent(ref: str, relation: str, **more: str) -> dict[str, str]:
    return {"ref": ref, "relation": relation, "license": "MIT", **more}


def test_only_direct_parents_by_weights_are_base_models() -> None:
    parents = (
        a_parent("base/direct", "merge"),
        a_parent("base/far", "finetune", of="base/direct"),
        a_parent("base/teacher", "distil"),
        a_parent("base/data", "train-data"),
        a_parent("base/code", "code"),
        {"ref": "base/unsaid"},
    )
    record = a_record("osprey-135m", kind="BF16", parents=parents)
    data = parsed(record)
    assert (data.base_model, data.get("base_model_relation")) == (["base/direct"], "merge")
    assert "base_model" not in card_metadata(a_record(parents=parents[1:]))


def test_a_parent_of_a_parent_is_told_as_that() -> None:
    card = model_card(a_record(parents=(a_parent("base/far", "finetune", of="base/direct"),)))
    assert "- base/far: finetune, licence MIT; base/direct descends from it" in card


def test_many_parents_do_not_drown_the_card() -> None:
    card = model_card(a_record(parents=tuple(a_parent(f"base/m{index}", "merge") for index in range(90))))
    assert "- base/m23: merge, licence MIT\n- and 66 more, in the release record\n" in card


def test_bases_of_several_relations_have_none_in_common() -> None:
    parents = (a_parent("base/a", "merge"), a_parent("base/b", "finetune"), a_parent("base/a", "adapter"))
    metadata = card_metadata(a_record("osprey-135m", kind="BF16", parents=parents))
    assert metadata["base_model"] == ["base/a", "base/b"]
    assert "base_model_relation" not in metadata


def a_data_set(name: str, url: str = "", role: str = "training") -> DataSet:
    return DataSet(name=name, roles=(role,), url=url)


def test_data_sets_are_those_of_the_hub_that_it_was_trained_on() -> None:
    sets = (
        a_data_set("acme/corpus"),
        a_data_set("web text", "https://huggingface.co/datasets/acme/web/"),
        a_data_set("acme/elsewhere", "https://acme.example/data"),
        a_data_set("our own texts"),
        a_data_set("acme/held-out", role="evaluation"),
        a_data_set("acme/web", role="fine-tuning"),
    )
    data = parsed(a_record(disclosure=Disclosure(data=sets)))
    assert data.datasets == ["acme/corpus", "acme/web"]
    assert "datasets" not in card_metadata(a_record(disclosure=Disclosure(data=sets[2:5])))


NAMES = st.text(alphabet="aZ0_-./ é", max_size=12) | st.from_regex(r"[a-z.-]{1,97}/[a-z.-]{1,97}", fullmatch=True)


@given(NAMES)
def test_what_is_taken_for_a_repository_is_one_for_the_client(name: str) -> None:
    if is_repository(name):
        validate_repo_id(name)
        assert "/" in name


@pytest.mark.parametrize("name", ["a/b", "HuggingFaceTB/SmolLM2-135M", "x_1/y.z"])
def test_an_owner_and_a_name_are_a_repository(name: str) -> None:
    assert is_repository(name)


@pytest.mark.parametrize(
    "name", ["b", "a/b/c", "a/b\n", "a--b/c", "a/b..c", "a/b.git", "a/-b", "é/b", f"{'a' * 60}/{'b' * 60}"]
)
def test_anything_else_is_none(name: str) -> None:
    assert not is_repository(name)


HOSTILE_TEXTS = st.text(min_size=0, max_size=60)


@given(HOSTILE_TEXTS)
def test_any_text_survives_the_metadata(text: str) -> None:
    assert yaml.safe_load(quoted(text)) == text


SCALARS = st.one_of(
    st.text(max_size=20), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(st.one_of(SCALARS, st.dictionaries(st.text(max_size=9), inner, max_size=3)), max_size=3),
        st.dictionaries(st.text(max_size=9), inner, max_size=3),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=9), VALUES, min_size=1, max_size=4))
def test_any_metadata_reads_back_as_it_was(data: dict[str, Any]) -> None:
    assert yaml.safe_load("\n".join(yaml_lines(data))) == data
    assert yaml.safe_load("\n".join(yaml_lines(data, short=tuple(data)))) == data


def test_short_mappings_stand_on_one_line_and_what_nests_does_not() -> None:
    data = {"args": {"n": 3, "unit": "1"}, "other": {"args": {"deep": [1]}}}
    lines = list(yaml_lines(data, short=("args",)))
    assert lines[0] == 'args: {"n": 3, unit: "1"}'
    assert lines[1:] == ["other:", "  args:", "    deep:", "    - 1"]


@given(HOSTILE_TEXTS.filter(lambda text: bool(text.strip())))
def test_escaped_text_holds_no_markup_and_one_line(text: str) -> None:
    shown = escape(text)
    assert "\n" not in shown
    assert "<" not in shown
    assert ">" not in shown
    assert re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|$]", shown) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# a heading", "\\# a heading"),
        ("1. a list", "&#49;. a list"),
        ("12.4 [11, 13]", "12.4 \\[11, 13\\]"),
        ("- a list", "\\- a list"),
        ("-0.5", "-0.5"),
        ("a | b\n\n| c", "a \\| b \\| c"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("<b>\\", "&lt;b&gt;\\\\"),
    ],
)
def test_markup_in_a_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_hostile_texts_stay_texts() -> None:
    evil = f"{HOSTILE}\n---\nlicense: mit\n# Heading [link](https://evil.example) | cell"
    texts = Texts(title=evil, summary=evil, intended_use=evil, limitations=evil, languages=(evil,), contact=evil)
    card = model_card(a_record(texts=texts, license=evil, parents=({"ref": evil, "license": evil, "relation": evil},)))
    _, metadata, body = re.split(r"^---\n", card, maxsplit=2, flags=re.MULTILINE)
    assert yaml.safe_load(metadata)["license"] == "other"
    assert "<script>" not in body
    assert not re.search(r"(?<!\\)\]\(", body)
    assert not re.search(r"^# Heading", body, re.MULTILINE)


def test_the_card_says_in_words_how_close_it_is() -> None:
    card = model_card(a_record())
    assert (
        "its perplexity is 1.06 times the internal model's (95 % interval 1.04 to 1.09, "
        "from 2,292 positions in 24 documents)" in card
    )
    assert "a KL divergence of 0.054 nats on average (95 % interval 0.047 to 0.062" in card
    assert "in 87.6 % of the positions (95 % interval 86.1 % to 89.0 %" in card


def test_what_was_not_measured_is_said() -> None:
    card = model_card(a_record(figures={}))
    assert card.count("not measured") >= 4
    assert "No measurement of this version exists." in card


def test_the_card_says_in_public_words_what_was_held_back() -> None:
    card = model_card(a_record())
    assert "| The internal tool adapter | tensors | 60 | 4.92 MB |" in card
    assert "found nothing" in card


def test_findings_and_missing_audits_are_not_hidden() -> None:
    subject = a_record().subject
    assert "found 1 thing to look at" in model_card(a_record(audits=(an_audit(subject, a_finding(subject)),)))
    assert "was not audited" in model_card(a_record(audited=False))
    assert "Nothing was held back" in model_card(a_record(held_back=HeldBackSummary()))


def test_a_refusal_is_on_the_card() -> None:
    record = a_record(verdict=a_verdict(a_record().measurements, ratio_limit=1.01))
    assert "refused for stage open: 2 of 3 rules met" in model_card(record)
    assert "not decided" in model_card(a_record(decided=False))


def test_the_card_tells_how_to_run_each_format() -> None:
    assert "llama-server --model ./osprey-135m-q4_k_m/osprey-135m-q4_k_m.gguf" in model_card(a_record())
    assert "AutoModelForCausalLM" in model_card(a_record("osprey-135m", kind="BF16"))


def test_the_card_tells_how_to_verify_with_two_tools() -> None:
    card = model_card(a_record())
    assert "weighbridge verify ./osprey-135m-q4_k_m --key release.pub" in card
    assert "model_signing verify key ./osprey-135m-q4_k_m --signature ./osprey-135m-q4_k_m/model.sig" in card


def test_a_name_cannot_smuggle_a_command() -> None:
    record = a_record("a; rm -rf $HOME `id`")
    for command in (*run_commands(record), *verify_commands(record)):
        assert re.search(r"'[^']*a; rm -rf \$HOME `id`[^']*'", command.text)


def test_the_python_example_is_python() -> None:
    command = run_commands(a_record('it\'s "odd"', kind="BF16"))[0]
    assert command.language == "python"
    compile(command.text, "card", "exec")


def test_the_same_record_gives_the_same_card() -> None:
    assert model_card(a_record()) == model_card(a_record())
