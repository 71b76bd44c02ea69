"""Lineage of tiny trained models: what was derived is found, what was not is left alone, in every form it comes in."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import _lineage_models as tiny
from tiny import TinyModel

from weighbridge.evidence.audit.lineage.change import Status, counted
from weighbridge.evidence.audit.lineage.compare import Settings, compare
from weighbridge.evidence.audit.lineage.result import Basis, Lineage, Verdict

LAYERS = 3


@pytest.fixture(scope="module")
def models() -> dict[str, list[tiny.Arrays]]:
    """Eight models trained side by side on the same batches, and four of them trained on."""
    import torch

    torch.set_num_threads(1)
    base = tiny.fresh(8, LAYERS, 1)
    before = {name: value.clone() for name, value in base.items()}
    tiny.train(base, steps=30, rate=1e-2, data=1)
    assert all(not torch.equal(value, base[name]) for name, value in before.items())
    tuned = {name: value[:4].clone() for name, value in base.items()}
    tiny.train(tuned, steps=12, rate=3e-3, data=2, grammar_seed=4)
    return {
        "base": [tiny.one(base, number) for number in range(8)],
        "tuned": [tiny.one(tuned, number) for number in range(4)],
    }


def answer(tmp_path: Path, left: tiny.Arrays, right: tiny.Arrays | Path, settings: Settings | None = None) -> Lineage:
    a = tiny.write_folder(tmp_path / "a", left)
    return compare(
        a, right if isinstance(right, Path) else tiny.write_folder(tmp_path / "b", right), settings or Settings()
    )


def test_models_trained_on_the_same_batches_from_other_seeds_are_independent(
    models: dict[str, list[tiny.Arrays]], tmp_path: Path
) -> None:
    for pair in range(4):
        found = answer(tmp_path / str(pair), models["base"][2 * pair], models["base"][2 * pair + 1])
        assert found.verdict is Verdict.UNRELATED, found.sentence()
        assert found.robust is not None
        assert found.robust.z < 6
        assert counted(found.changes)["changed"] > 20
        assert "does not prove independence" in found.limits()


def test_a_fine_tune_is_not_independent_and_its_direction_is_not_claimed(
    models: dict[str, list[tiny.Arrays]], tmp_path: Path
) -> None:
    for number in range(4):
        found = answer(tmp_path / str(number), models["base"][number], models["tuned"][number])
        assert (found.verdict, found.basis) == (Verdict.RELATED, Basis.TEST)
        assert found.log10_p is not None
        assert found.log10_p < -6
        assert found.direction == ""
        assert "trained further" in found.relation
        swapped = compare(tmp_path / str(number) / "b", tmp_path / str(number) / "a")
        assert swapped.z == pytest.approx(found.z, rel=1e-3)


@pytest.mark.parametrize("kind", ["F32", "BF16", "Q8_0", "Q4_0", "Q5_1"])
def test_a_gguf_file_is_its_source_number_by_number(
    models: dict[str, list[tiny.Arrays]], tmp_path: Path, kind: str
) -> None:
    version = tiny.write_gguf(tmp_path / "v" / "model.gguf", models["base"][0], kind)
    found = answer(tmp_path, models["base"][0], version)
    assert found.related
    statuses = {change.status for change in found.changes}
    assert statuses == ({Status.IDENTICAL} if kind == "F32" else {Status.IDENTICAL, Status.ROUNDED})
    assert found.direction == ("" if kind == "F32" else "A to B")
    swapped = compare(version, tmp_path / "a")
    assert {change.status for change in swapped.changes} == statuses
    assert swapped.direction == ("" if kind == "F32" else "B to A")


def test_a_requantised_file_of_another_model_is_not_mistaken_for_a_rounding(
    models: dict[str, list[tiny.Arrays]], tmp_path: Path
) -> None:
    version = tiny.write_gguf(tmp_path / "v" / "model.gguf", models["tuned"][0], "Q8_0")
    found = answer(tmp_path, models["base"][0], version)
    assert found.related
    assert Status.ROUNDED not in {change.status for change in found.changes}
    assert found.direction == ""


@pytest.mark.parametrize("dropped", [(0,), (1,), (2,), (0, 2)])
def test_layers_that_are_gone_are_named(
    models: dict[str, list[tiny.Arrays]], tmp_path: Path, dropped: tuple[int, ...]
) -> None:
    pruned = tiny.without_layers(models["base"][1], dropped)
    found = answer(tmp_path, models["base"][1], pruned)
    assert found.related
    assert f"{len(dropped)} of {LAYERS} layers are gone" in found.relation
    kept = [layer for layer in range(LAYERS) if layer not in dropped]
    assert [row.left for row in found.rows] == [f"layer {layer}" for layer in kept]
    assert counted(found.changes) == {"identical": 2 + 9 * len(kept), "dropped": 9 * len(dropped)}


def test_layers_in_another_order_are_found(models: dict[str, list[tiny.Arrays]], tmp_path: Path) -> None:
    turned = {
        name.replace("layers.0.", "layers.X.")
        .replace("layers.2.", "layers.0.")
        .replace("layers.X.", "layers.2."): value
        for name, value in models["base"][2].items()
    }
    found = answer(tmp_path, models["base"][2], turned)
    assert found.related
    assert [row.left for row in found.rows] == ["layer 2", "layer 1", "layer 0"]
    assert set(counted(found.changes)) == {"identical"}


def test_renumbered_units_need_the_robust_test_and_say_so(models: dict[str, list[tiny.Arrays]], tmp_path: Path) -> None:
    found = answer(tmp_path, models["base"][3], tiny.turned(models["tuned"][3], 5))
    assert (found.verdict, found.basis) == (Verdict.RELATED, Basis.ROBUST)
    assert "no p-value" in found.sentence()
    assert found.robust is not None
    assert found.robust.z > 20
    in_units = [test for test in found.tests if test.name.startswith("layers")]
    assert all(abs(test.z) < 5 for test in in_units)


def test_unknown_names_are_matched_by_shape_and_content(models: dict[str, list[tiny.Arrays]], tmp_path: Path) -> None:
    names = sorted(models["base"][0])
    order = np.random.default_rng(1).permutation(len(names))
    renamed = {f"w{place}": models["tuned"][0][names[place]] for place in order}
    found = answer(tmp_path, models["base"][0], renamed)
    assert found.related
    matched = {(c.left, c.right) for c in found.changes if c.left and c.right and "proj" in c.left}
    assert matched == {(name, f"w{place}") for place, name in enumerate(names) if "proj" in name}
    stranger = {f"w{place}": models["base"][5][names[place]] for place in order}
    assert not answer(tmp_path / "other", models["base"][0], stranger).related


def test_merges_noise_and_exchanged_parts_are_found(models: dict[str, list[tiny.Arrays]], tmp_path: Path) -> None:
    mine, other = models["base"][4], models["base"][5]
    generator = np.random.default_rng(0)
    derived = {
        "merge": {name: ((value + other[name]) / 2).astype(np.float32) for name, value in mine.items()},
        "noise": {
            name: (value + value.std() * generator.standard_normal(value.shape)).astype(np.float32)
            for name, value in mine.items()
        },
        "other MLPs": mine | {name: value for name, value in other.items() if "mlp" in name},
        "other embedding": mine | {"model.embed_tokens.weight": other["model.embed_tokens.weight"]},
    }
    for name, arrays in derived.items():
        found = answer(tmp_path / name, mine, arrays)
        assert found.related, name
        # A merge descends from both.
        assert compare(tiny.write_folder(tmp_path / name / "o", other), tmp_path / name / "b").related == (
            name != "noise"
        )


def test_drawn_permutations_are_reported_beside_the_closed_form(
    models: dict[str, list[tiny.Arrays]], tmp_path: Path
) -> None:
    found = answer(tmp_path, models["base"][0], models["tuned"][0], Settings(permutations=199))
    assert found.monte_carlo == (1 / 200, 199)
    found = answer(tmp_path / "2", models["base"][0], models["base"][1], Settings(permutations=199))
    assert found.monte_carlo is not None
    assert found.monte_carlo[0] > 0.01


def test_a_real_converter_and_its_folder_hold_the_same_numbers(tiny_model: TinyModel) -> None:
    found = compare(tiny_model.folder, tiny_model.gguf)
    assert found.related
    assert set(counted(found.changes)) == {"identical"}
    assert {change.note for change in found.changes} == {"", "rotary order of GGUF"}


def test_json_is_json_and_says_the_same(models: dict[str, list[tiny.Arrays]], tmp_path: Path) -> None:
    found = answer(tmp_path, models["base"][0], models["tuned"][0])
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert document["verdict"] == "not independent"
    assert document["z"] == pytest.approx(found.z)
    assert len(document["tensors"]["list"]) == 2 + 9 * LAYERS
