from pathlib import Path

import pytest

from weighbridge.checkpoint.architecture import Architecture
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.gate.policy import PROVEN_ABSENT
from weighbridge.shell.plan import CastStep, Plan, WithheldFiles, WithheldMetadata, WithheldTensors, read_plan
from weighbridge.shell.plan.starter import starter_plan


def a_checkpoint(root: Path, *files: str, tensors: tuple[str, ...] = ("lm_head.weight",)) -> Checkpoint:
    entries = tuple(
        TensorEntry(name=name, dtype="BF16", shape=(2,), file="model.safetensors", offset=0, size_bytes=4)
        for name in tensors
    )
    return Checkpoint(
        root=root,
        format="safetensors",
        files=tuple(sorted((*files, "config.json", "model.safetensors"))),
        weight_files=("model.safetensors",),
        tensors=entries,
    )


def an_architecture(parameters: int = 135_000_000) -> Architecture:
    return Architecture(
        family="llama",
        parameters=parameters,
        dtypes=(("BF16", parameters),),
        context_length=8192,
        layers=30,
        vocabulary=49152,
        load_bytes=parameters * 2,
        cache_bytes_per_1000_tokens=None,
    )


def the_plan(text: str) -> Plan:
    return read_plan(text.encode(), path=Path("/plans/release.yaml"))


def test_a_starter_plan_loads_as_it_stands(tmp_path: Path) -> None:
    plan = the_plan(starter_plan(a_checkpoint(tmp_path), an_architecture(), "acme/osprey"))

    assert plan.model == "acme/osprey"
    assert plan.source_path == tmp_path
    assert plan.versions[0].steps == (CastStep(dtype="bf16"),)
    assert [version.name for version in plan.versions] == [
        "osprey",
        "osprey-gguf-q8_0",
        "osprey-gguf-q6_k",
        "osprey-gguf-q4_k_m",
    ]
    assert plan.policy.rules[0] == PROVEN_ABSENT
    assert plan.hold_back == (WithheldMetadata(),)


def test_what_looks_internal_is_held_back_and_nothing_twice(tmp_path: Path) -> None:
    checkpoint = a_checkpoint(
        tmp_path,
        "optimizer.pt",
        "trainer_state.json",
        "training_args.bin",
        "wandb/run-1/config.yaml",
        "adapters/internal.bin",
        "ema.pt",
        "tokenizer.json",
        tensors=("lm_head.weight", "reward_head.weight"),
    )

    plan = the_plan(starter_plan(checkpoint, an_architecture(), "acme/osprey"))

    assert [item.pattern for item in plan.hold_back if isinstance(item, WithheldTensors)] == ["*reward_head*"]
    assert [item.pattern for item in plan.hold_back if isinstance(item, WithheldFiles)] == [
        "optimizer*",
        "trainer_state.json",
        "training_args.bin",
        "*.pt",
        "wandb/*",
        "adapters/*",
    ]


@pytest.mark.parametrize(
    ("parameters", "types"),
    [
        (135_000_000, ["Q8_0", "Q6_K", "Q4_K_M"]),
        (7_000_000_000, ["Q8_0", "Q5_K_M", "Q4_K_M"]),
        (70_000_000_000, ["Q6_K", "Q4_K_M", "Q3_K_M"]),
    ],
)
def test_quantisation_types_fit_the_size(tmp_path: Path, parameters: int, types: list[str]) -> None:
    plan = the_plan(starter_plan(a_checkpoint(tmp_path), an_architecture(parameters), "acme/osprey"))

    assert [version.gguf.type for version in plan.versions if version.gguf] == types


def test_the_licence_of_the_card_is_offered_for_confirmation(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# Osprey\n")

    text = starter_plan(a_checkpoint(tmp_path, "README.md"), an_architecture(), "acme/osprey")

    assert the_plan(text).license == "Apache-2.0"
    assert "confirm the licence" in text


@pytest.mark.parametrize(
    "card", ["license: apache-2.0\n", "---\nlicense: mystery\n---\n", "---\nlicense: other\n---\n"]
)
def test_no_licence_is_made_up(tmp_path: Path, card: str) -> None:
    (tmp_path / "README.md").write_text(card)

    plan = the_plan(starter_plan(a_checkpoint(tmp_path, "README.md", "LICENSE"), an_architecture(), "acme/osprey"))

    assert plan.license == "LicenseRef-proprietary"
    assert plan.license_path == tmp_path / "LICENSE"


@pytest.mark.parametrize(
    "source", ["no", "a: b", "#x", "mit Ümlaut 🦅", 'quo"te', "back\\slash", " spaced ", "new\nline", "{x}", "x" * 500]
)
def test_any_path_of_the_source_survives(tmp_path: Path, source: str) -> None:
    text = starter_plan(a_checkpoint(tmp_path), an_architecture(), "acme/osprey", source=source)

    assert the_plan(text).source_path == Path("/plans") / source


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("osprey", "your-organisation/osprey"),
        ("Acme/Osprey 135M!", "Acme/osprey-135m"),
        ("/", "your-organisation/model"),
        ("..//--", "your-organisation/model"),
        ("a/" + "b" * 300, "a/" + "b" * 64),
    ],
)
def test_any_name_becomes_one_that_a_hub_accepts(tmp_path: Path, name: str, model: str) -> None:
    assert the_plan(starter_plan(a_checkpoint(tmp_path), an_architecture(), name)).model == model


def test_a_gguf_source_is_told_that_versions_come_from_safetensors(tmp_path: Path) -> None:
    checkpoint = Checkpoint(
        root=tmp_path, format="gguf", files=("osprey.gguf",), weight_files=("osprey.gguf",), tensors=()
    )

    text = starter_plan(checkpoint, an_architecture(), "acme/osprey")

    assert the_plan(text).source_path == tmp_path / "osprey.gguf"
    assert "derived from safetensors" in text


def test_a_starter_plan_has_a_comment_on_every_section(tmp_path: Path) -> None:
    text = starter_plan(a_checkpoint(tmp_path), an_architecture(), "acme/osprey")

    assert all(section.startswith("#") or section.startswith("model:") for section in text.split("\n\n"))
    assert "135,000,000 parameters, context of 8,192 tokens" in text
