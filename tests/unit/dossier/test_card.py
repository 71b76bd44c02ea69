"""The model card: metadata that the Hugging Face client reads, prose that claims only what was measured."""

import re
from typing import Any

import pytest
import yaml
from builders import DATA, HOSTILE, a_finding, a_record, a_verdict, an_audit
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.dossier.card import escape, model_card, run_commands, verify_commands
from weighbridge.dossier.front_matter import card_metadata, quoted, yaml_lines
from weighbridge.dossier.release import HeldBackSummary, ReleaseRecord, Texts


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
