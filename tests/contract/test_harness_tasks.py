"""Tasks of the real harness: its own numbers for each document, and hostile tasks end as errors."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from task_bench import SEED, WORDS, FolderBench, a_model, subject
from tiny import TinyModel

from weighbridge.errors import EngineError, InputError
from weighbridge.evidence.evaluate.task.scored import Scored
from weighbridge.evidence.record import Comparison
from weighbridge.shell.engine.lm_eval_task import open_task
from weighbridge.shell.probe.task import TaskProbe
from weighbridge.shell.probe.task_file import read_tasks

pytest.importorskip("torch")
pytest.importorskip("lm_eval")


def a_harness_task(root: Path, name: str = "words", count: int = 12, **more: Any) -> Path:
    """Write a multiple-choice task with a few-shot split, and return its YAML."""
    documents = [
        {
            "question": f"What stands at the {WORDS[n % 10]} number {n}?",
            "options": [WORDS[(n * 3 + k) % 10] + " " + "x" * k for k in range(3)],
            "right": n % 3,
            "kind": WORDS[n % 4],
        }
        for n in range(count)
    ]
    for split, part in (("test", documents), ("shots", documents[: count // 2])):
        (root / f"{name}-{split}.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in part))
    config: dict[str, Any] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {split: f"{name}-{split}.jsonl" for split in ("test", "shots")}},
        "test_split": "test",
        "fewshot_split": "shots",
        "output_type": "multiple_choice",
        "doc_to_text": "Q: {{question}}\nA:",
        "doc_to_choice": "options",
        "doc_to_target": "right",
        "metric_list": [{"metric": metric, "aggregation": "mean"} for metric in ("acc", "acc_norm")],
        **more,
    }
    path = root / f"{name}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


GENERATED: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{kind}}",
    "generation_kwargs": {"until": ["\n", "x"], "max_gen_toks": 12},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "filter_list": [
        {"name": "whole", "filter": [{"function": "take_first"}]},
        {"name": "letters", "filter": [{"function": "regex", "regex_pattern": "([a-z]+)"}, {"function": "take_first"}]},
    ],
}


@contextmanager
def harness(path: Path, root: Path, **more: Any) -> Iterator[Any]:
    (file,) = read_tasks(path)
    options = {"few_shot": None, "chat": False, "seed": SEED, "threads": 1, "timeout_s": 300.0, **more}
    with open_task(file.config, place=str(path), folder=root / "harness", **options) as task:
        yield task


def by_doc(scored: Sequence[Scored]) -> dict[int, dict[str, float]]:
    return {item.doc: dict(item.metrics) for item in scored}


REFERENCE = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM

folder, out, *configs = sys.argv[1:]
from transformers import AutoTokenizer, PreTrainedTokenizerFast
tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=folder + "/tokenizer.json", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
)
lm = HFLM(pretrained=folder, tokenizer=tokenizer, dtype="float32", device="cpu", batch_size=1, add_bos_token=False)
found = {}
for config in map(json.loads, configs):
    shots = config.pop("shots")
    task = ConfigurableTask(config=config)
    done = simple_evaluate(lm, tasks=[task], num_fewshot=shots, bootstrap_iters=0, fewshot_random_seed=1234)
    for sample in done["samples"][config["task"]]:
        metrics = {name: sample[name] for name in sample["metrics"]}
        found.setdefault(f"{config['task']}-{shots}", []).append([sample["doc_id"], sample["filter"], metrics])
json.dump(found, open(out, "w"))
"""


def reference(tiny: TinyModel, root: Path, tasks: Sequence[tuple[Path, int]]) -> dict[str, list[Any]]:
    """Return what the harness's own `hf` backend says of each document."""
    configs = []
    for path, shots in tasks:
        (file,) = read_tasks(path)
        configs.append(json.dumps({**file.config, "shots": shots}))
    environment = {**os.environ, "HF_HOME": str(root / "reference"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", REFERENCE, str(tiny.folder), str(root / "reference.json"), *configs]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, list[Any]] = json.loads((root / "reference.json").read_text())
    return found


@pytest.mark.slow
def test_every_document_gets_the_number_that_the_harness_gives_it_with_its_own_backend(
    tiny_model: TinyModel, tmp_path: Path
) -> None:
    choice, written = a_harness_task(tmp_path, count=80), a_harness_task(tmp_path, "spoken", **GENERATED)
    wanted = reference(tiny_model, tmp_path, [(choice, 0), (choice, 3), (written, 0)])
    rest = [doc for doc in range(80) if doc not in (2, 70, 79)]
    with a_model(tiny_model, "safetensors") as model:
        for shots in (0, 3):
            with harness(choice, tmp_path, few_shot=shots) as task:
                found = by_doc([*task.score(model, [79, 2, 70]), *task.score(model, rest)])
            assert found == {doc: metrics for doc, _, metrics in wanted[f"words-{shots}"]}, f"{shots} examples"
        with harness(written, tmp_path) as task:
            found = by_doc(task.score(model, range(task.size)))
    theirs: dict[int, dict[str, float]] = {}
    for doc, way, metrics in wanted["spoken-0"]:
        theirs.setdefault(doc, {})[f"exact_match.{way}"] = metrics["exact_match"]
    assert found == theirs


@pytest.mark.slow
def test_what_a_document_is_asked_does_not_depend_on_its_company(tiny_model: TinyModel, tmp_path: Path) -> None:
    class Listening:
        """A model that notes what it is asked."""

        def __init__(self) -> None:
            self.heard: list[tuple[str, str]] = []

        def continuations(self, requests: Sequence[tuple[str, str]]) -> Iterator[Any]:
            self.heard += requests
            from weighbridge.evidence.evaluate.text_model import Continuation

            return iter([Continuation(log_likelihood=-1.0, tokens=1, greedy=False) for _ in requests])

    with harness(a_harness_task(tmp_path, count=10), tmp_path, few_shot=2) as task:
        together, alone = Listening(), Listening()
        task.score(together, [4, 9, 1])
        for doc in (1, 4, 9):
            task.score(alone, [doc])
    assert together.heard == alone.heard
    assert len({context for context, _ in alone.heard}) == 3


@pytest.mark.slow
def test_a_task_measures_version_against_source_and_is_not_asked_twice(tiny_model: TinyModel, tmp_path: Path) -> None:
    a_harness_task(tmp_path)
    bench, settings = FolderBench(tmp_path), {"file": "words.yaml"}
    probe = TaskProbe()

    found = probe.weigh(
        subject(tiny_model), source=subject(tiny_model, "safetensors"), settings=settings, bench=bench
    ).measurements

    named = {(m.measure, m.comparison) for m in found}
    assert {("accuracy.words", Comparison.ABSOLUTE), ("accuracy.words", Comparison.DIFFERENCE)} <= named
    (flips,) = [m for m in found if m.measure == "flip_rate.words"]
    assert flips.value == 0, "the same weights in two engines"
    (accuracy,) = [m for m in found if (m.measure, m.comparison) == ("accuracy.words", Comparison.ABSOLUTE)]
    assert accuracy.n == 12
    assert accuracy.context["engine"] == "llama.cpp"
    assert accuracy.context["dtype"]
    assert accuracy.context["harness"].startswith("lm-eval 0.")

    again = FolderBench(tmp_path)
    resumed = probe.weigh(
        subject(tiny_model), source=subject(tiny_model, "safetensors"), settings=settings, bench=again
    ).measurements
    assert again.loaded == []
    assert resumed == found


HOSTILE_TEMPLATES = {
    "loops for ever": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{{question}}",
    "takes all memory": "{{ question ~ 'x' * 99999999999 }}",
    "writes without end": "{{ question * 1000000 }}",
    "reaches out": "{{ question.__class__.__mro__[1].__subclasses__() }}",
    "lacks a field": "{{ nowhere if question }}{{ elsewhere }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE_TEMPLATES)
def test_a_hostile_template_ends_as_an_error_in_bounded_time(what: str, tiny_model: TinyModel, tmp_path: Path) -> None:
    path = a_harness_task(tmp_path, doc_to_text="question")
    (file,) = read_tasks(path)
    config = {**file.config, "doc_to_text": HOSTILE_TEMPLATES[what]}
    began = time.monotonic()
    with (
        pytest.raises((InputError, EngineError)) as caught,
        a_model(tiny_model) as model,
        open_task(
            config, place="t.yaml", folder=tmp_path / "h", few_shot=0, chat=False, seed=1, threads=1, timeout_s=40.0
        ) as task,
    ):
        task.score(model, [0])
    assert time.monotonic() - began < 100
    assert caught.value.place.startswith("t.yaml")


@pytest.mark.slow
def test_a_metric_that_is_a_folder_of_code_is_refused_and_not_run(tiny_model: TinyModel, tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    path = a_harness_task(tmp_path, metric_list=[{"metric": str(evil), "aggregation": "mean"}])

    with pytest.raises(InputError, match="has no metric"), harness(path, tmp_path):
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_task_without_a_number_for_each_document_says_so(tmp_path: Path) -> None:
    rolling: dict[str, Any] = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_choice": None,
        "doc_to_target": "question",
    }
    path = a_harness_task(tmp_path, metric_list=[{"metric": "word_perplexity"}], **rolling)

    with pytest.raises(InputError, match="no metric of this task is a number"), harness(path, tmp_path):
        pass
