"""Tasks asked of real models by the real harness: its numbers, hostile tasks, and what a killed weighing keeps."""

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny import TinyModel

from weighbridge.errors import EngineError, InputError
from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.evaluate.task.scored import Scored
from weighbridge.evidence.evaluate.text_model import TextModel
from weighbridge.evidence.probe import Subject
from weighbridge.evidence.record import Comparison, Measurement
from weighbridge.shell.cli import evaluate
from weighbridge.shell.engine.lm_eval_task import open_task
from weighbridge.shell.engine.text_model import open_text_model
from weighbridge.shell.probe.long_context import LongContextProbe
from weighbridge.shell.probe.task import TaskProbe
from weighbridge.shell.probe.task_file import read_tasks

pytest.importorskip("torch")
pytest.importorskip("lm_eval")


WORDS = ("weighbridge", "truck", "yard", "model", "error", "language", "version", "bars", "internal", "tonnes")
SEED = 1234


class FolderBench:
    """A bench over one folder with the real engines; counts the questions that reach them."""

    def __init__(self, root: Path, *, stops_after: int = 1_000_000) -> None:
        self.root, self.seed, self.threads, self.held_back = root, SEED, 1, None
        self.looks: list[tuple[Measurement, ...]] = []
        self.loaded: list[str] = []
        self.said: list[str] = []
        self._stops_after = stops_after

    @property
    def folder(self) -> Path:
        (self.root / "work").mkdir(exist_ok=True)
        return self.root / "work"

    def path(self, text: str) -> Path:
        return self.root / text

    @contextmanager
    def text_model(self, subject: Subject) -> Iterator[TextModel]:
        assert subject.model is not None
        self.loaded.append(subject.name)
        with open_text_model(subject.model, threads=1, timeout_s=300) as model:
            yield model

    def begin(self, text: str, total: int | None = None, unit: str = "items") -> Callable[[int], None]:
        self.said.append(text)
        return lambda amount: None

    def decided(self, measurements: Sequence[Measurement]) -> bool:
        self.looks.append(tuple(measurements))
        return len(self.looks) >= self._stops_after


def subject(tiny: TinyModel, kind: str = "gguf") -> Subject:
    path = tiny.gguf if kind == "gguf" else tiny.folder
    digest = "sha256:" + ("a" if kind == "gguf" else "b") * 64
    model = ModelSource(path=path, kind="gguf" if kind == "gguf" else "safetensors", digest=digest)
    return Subject(name=kind, digest=digest, folder=path.parent, model=model)


@contextmanager
def a_model(tiny: TinyModel, kind: str = "gguf") -> Iterator[TextModel]:
    model = subject(tiny, kind).model
    assert model is not None
    with open_text_model(model, threads=1, timeout_s=300) as opened:
        yield opened


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


def plain(root: Path, count: int, name: str = "plain") -> Path:
    lines = [
        {"id": n, "prompt": f"The {WORDS[n % 10]} {n} is", "choices": [f" {WORDS[(n + k) % 10]}" for k in range(3)]}
        | {"answer": n % 3}
        for n in range(count)
    ]
    path = root / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def version(tiny_model: TinyModel) -> Subject:
    return subject(tiny_model)


def test_a_weighing_stops_when_the_gate_is_decided(version: Subject, tmp_path: Path) -> None:
    plain(tmp_path, 400)
    bench = FolderBench(tmp_path, stops_after=2)

    seen = TaskProbe().weigh(version, source=None, settings={"file": "plain.jsonl"}, bench=bench)

    accuracy = next(m for m in seen.measurements if m.measure == "accuracy.plain")
    assert accuracy.n == 64 + 128
    assert accuracy.interval is not None
    assert accuracy.interval.method.startswith("anytime-valid")
    assert [look[0].n for look in bench.looks] == [64, 192]
    assert len(seen.samples["plain.jsonl"].splitlines()) == 192


def test_a_model_that_writes_nonsense_without_end_is_cut_and_counted_wrong(version: Subject, tmp_path: Path) -> None:
    lines = [{"id": n, "prompt": f"{n} + {n} =", "answer": str(2 * n), "stop": ["\n"]} for n in range(5)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    seen = TaskProbe().weigh(
        version, source=None, settings={"file": "sums.jsonl", "max_tokens": 40}, bench=FolderBench(tmp_path)
    )

    assert next(m.value for m in seen.measurements if m.measure == "exact_match.sums") == 0
    for line in seen.samples["sums.jsonl"].splitlines():
        assert len(json.loads(line)["version"]["answer"]) <= 400


def test_one_task_that_cannot_be_asked_leaves_the_others_measured(version: Subject, tmp_path: Path) -> None:
    plain(tmp_path, 10)
    endless = {"prompt": "yard " * 4000, "choices": [" a", " b"], "answer": 0}
    (tmp_path / "endless.jsonl").write_text(json.dumps(endless) + "\n")
    bench = FolderBench(tmp_path)

    seen = TaskProbe().weigh(version, source=None, settings={"file": ["endless.jsonl", "plain.jsonl"]}, bench=bench)

    assert {m.measure for m in seen.measurements} == {"accuracy.plain", "accuracy_normalised.plain"}
    (finding,) = [finding for audit in seen.audits for finding in audit.findings]
    assert (finding.rule, finding.place) == ("task/not-asked", "endless")
    assert any("not measured: endless" in said and "context" in said for said in bench.said)


def test_examples_stand_before_each_question_and_shift_no_document(version: Subject, tmp_path: Path) -> None:
    plain(tmp_path, 12)
    probe = TaskProbe()
    shots = [
        probe.weigh(version, source=None, settings={"file": "plain.jsonl", "few_shot": n}, bench=FolderBench(tmp_path))
        for n in (0, 2)
    ]
    likeliest = [
        [json.loads(line)["version"]["answer"] for line in s.samples["plain.jsonl"].splitlines()] for s in shots
    ]
    assert likeliest[0] != likeliest[1]
    with pytest.raises(InputError, match="too few for 12 examples"):
        probe.weigh(version, source=None, settings={"file": "plain.jsonl", "few_shot": 12}, bench=FolderBench(tmp_path))


KILLED = """
import os, sys, signal
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_tasks import FolderBench, TaskProbe, subject
from tiny import TinyModel
import weighbridge.shell.probe.kept_answers as kept

add, calls = kept.KeptAnswers.add, []
def then_die(self, scored, facts):
    add(self, scored, facts)
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
kept.KeptAnswers.add = then_die
tiny = TinyModel(folder=Path({folder!r}), gguf=Path({gguf!r}), vocabulary=320)
TaskProbe().weigh(subject(tiny), source=None, settings={{"file": "plain.jsonl"}}, bench=FolderBench(Path({root!r})))
"""


def test_a_weighing_that_was_killed_goes_on_and_asks_nothing_twice(tiny_model: TinyModel, tmp_path: Path) -> None:
    plain(tmp_path, 200)
    script = KILLED.format(
        tests=str(Path(__file__).parent), folder=str(tiny_model.folder), gguf=str(tiny_model.gguf), root=str(tmp_path)
    )
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    (kept,) = (tmp_path / "work").glob("answers-*.jsonl")
    before = kept.read_text()
    with kept.open("a") as file:
        file.write('{"scored": {"doc": 7, "metr')  # half a line, as a kill leaves it

    resumed = TaskProbe().weigh(
        subject(tiny_model), source=None, settings={"file": "plain.jsonl"}, bench=FolderBench(tmp_path)
    )

    assert before.count('"scored"') == 128
    documents = [
        json.loads(line)["scored"]["doc"]
        for line in kept.read_text().splitlines()
        if line.endswith("}") and line.startswith('{"scored"')
    ]
    assert sorted(documents) == list(range(200)), "each once"
    (tmp_path / "fresh").mkdir()
    plain(tmp_path / "fresh", 200)
    fresh = TaskProbe().weigh(
        subject(tiny_model), source=None, settings={"file": "plain.jsonl"}, bench=FolderBench(tmp_path / "fresh")
    )
    assert [replace(m, measured_at=None) for m in resumed.measurements] == [
        replace(m, measured_at=None) for m in fresh.measurements
    ]
    assert resumed.samples == fresh.samples
    assert all(m.measured_at for m in resumed.measurements)


def test_files_of_one_folder_are_not_taken_for_each_other(tiny_model: TinyModel, tmp_path: Path) -> None:
    plain(tmp_path, 8)
    other = tmp_path / "other.gguf"
    other.symlink_to(tiny_model.gguf)
    bench = FolderBench(tmp_path)
    for path in (tiny_model.gguf, other):
        model = ModelSource(path=path, kind="gguf", digest="sha256:" + "c" * 64)
        one = Subject(name=path.name, digest=model.digest, folder=path.parent, model=model)
        TaskProbe().weigh(one, source=None, settings={"file": "plain.jsonl"}, bench=bench)
    assert bench.loaded == [tiny_model.gguf.name, "other.gguf"]


def test_long_contexts_are_asked_of_both_where_there_is_room(tiny_model: TinyModel, tmp_path: Path) -> None:
    sentences = " ".join(f"The {word} stands in the yard number {n}." for n, word in enumerate(WORDS))
    (tmp_path / "filler.txt").write_text(sentences)
    settings = {"filler": "filler.txt", "lengths": [256, 400, 4096], "depths": [0, 1], "repeats": 2, "distractors": 2}
    bench = FolderBench(tmp_path)
    version = subject(tiny_model)
    internal = replace(version, name="internal", digest="sha256:" + "d" * 64)

    seen = LongContextProbe().weigh(version, source=internal, settings=settings, bench=bench)

    counted = {(m.measure, m.comparison): m.n for m in seen.measurements}
    assert counted[("long_context_recall.256", Comparison.ABSOLUTE)] == 4
    assert counted[("long_context_recall", Comparison.DIFFERENCE)] == 8
    assert ("long_context_recall.4096", Comparison.ABSOLUTE) not in counted, "the model has room for 512 tokens"
    assert all(m.context["engine"] == "llama.cpp" for m in seen.measurements)
    again = LongContextProbe().weigh(version, source=internal, settings=settings, bench=bench)
    assert again == seen


def evaluated(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Run the verb as a command, and return its exit code and document."""
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    parser.add_argument("--json", action="store_true")
    with redirect_stdout(io.StringIO()) as out:
        code = evaluate.run(parser.parse_args([*map(str, arguments), "--json", "--threads", "1"]))
    return code, json.loads(out.getvalue())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weighbridge" / "evaluated"


def two_files(tiny: TinyModel, root: Path) -> tuple[Path, Path]:
    """Return two GGUF files of the same bytes, in folders of their own."""
    paths = []
    for name in ("one", "two"):
        (root / name).mkdir()
        shutil.copy(tiny.gguf, root / name / f"{name}.gguf")
        paths.append(root / name / f"{name}.gguf")
    return paths[0], paths[1]


def test_the_verb_compares_models_and_keeps_their_answers(tiny_model: TinyModel, tmp_path: Path, cache: Path) -> None:
    one, two = two_files(tiny_model, tmp_path)
    tasks = ["--task", plain(tmp_path, 20), "--limit", 12, "--samples", tmp_path / "samples"]

    code, found = evaluated(one, "--versus", two, *tasks)

    assert code == 0
    assert [model["model"] for model in found["models"]] == [str(two), str(one)]
    measures = {(m["measure"], m["comparison"]): m for m in found["models"][1]["measurements"]}
    assert measures[("accuracy.plain", "absolute")]["n"] == 12
    assert "Clopper" in measures[("accuracy.plain", "absolute")]["interval"]["method"]
    assert measures[("flip_rate.plain", "absolute")]["value"] == 0
    assert len((tmp_path / "samples" / "2-one.gguf" / "plain.jsonl").read_bytes().splitlines()) == 12
    before = {path: path.read_bytes() for path in cache.glob("answers-*")}
    assert before
    assert evaluated(one, "--versus", two, *tasks) == (code, found)
    assert {path: path.read_bytes() for path in cache.glob("answers-*")} == before


def test_the_verb_goes_on_where_a_task_cannot_be_asked_and_says_so(
    tiny_model: TinyModel, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "yard " * 4000, "choices": ["a", "b"], "answer": 0}))

    code, found = evaluated(tiny_model.gguf, "--task", tmp_path / "long.jsonl", "--task", plain(tmp_path, 5))

    assert code == 2
    (model,) = found["models"]
    assert {m["measure"] for m in model["measurements"]} == {"accuracy.plain", "accuracy_normalised.plain"}
    assert "long: " in model["problems"][0]
    assert "not measured" in capsys.readouterr().err


def test_the_verb_measures_size_memory_and_speed(tiny_model: TinyModel, cache: Path) -> None:
    code, found = evaluated(tiny_model.gguf, "--resources")
    assert code == 0
    units = {m["measure"]: m["unit"] for m in found["models"][0]["measurements"]}
    assert {"byte", "token/s"} == set(units.values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nothing to ask"),
        (["nowhere", "--resources"], "no such model"),
        (["http://127.0.0.1:1/v1", "--resources"], "name is missing"),
        (["x", "--task", "nowhere.jsonl"], "nowhere.jsonl"),
        (["x", "--task", "a.jsonl", "--task", "A.jsonl"], "a second task"),
        (["x", "--resources", "--limit", "0"], "at least 1"),
    ],
)
def test_the_verb_refuses_what_it_cannot_ask(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "A"):
        plain(tmp_path, 2, name)
    with pytest.raises(InputError) as caught:
        evaluated(*arguments)
    assert says in f"{caught.value}"


class Serves(BaseHTTPRequestHandler):
    """A server that writes the same to every prompt, and has no likelihoods."""

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "osprey", "owned_by": "tests"}]})

    def do_POST(self) -> None:
        json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(
            {"choices": [{"text": " 4", "index": 0, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
        )

    def _answer(self, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_verb_asks_what_is_served_already_and_keeps_no_answers_of_it(tmp_path: Path, cache: Path) -> None:
    lines = [{"prompt": f"{n} + {n} =", "answer": str(2 * n)} for n in range(1, 5)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Serves)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/v1#osprey"
        code, found = evaluated(address, "--task", tmp_path / "sums.jsonl", "--task", plain(tmp_path, 3))
    finally:
        server.shutdown()
        server.server_close()

    (model,) = found["models"]
    values = {m["measure"]: m["value"] for m in model["measurements"]}
    assert values == {"exact_match.sums": 0.25, "contains.sums": 0.25}
    assert code == 2
    assert model["problems"][0].startswith("plain: "), "this server tells no likelihoods"
    assert model["digest"] == address
    assert not list(cache.glob("answers-*"))


def test_an_interrupted_evaluation_leaves_no_process_behind(tiny_model: TinyModel, tmp_path: Path) -> None:
    plain(tmp_path, 3000)
    script = (
        "import argparse; from weighbridge.shell.cli import evaluate as e; p = argparse.ArgumentParser();"
        "e.add_arguments(p); p.add_argument('--json', action='store_true'); e.run(p.parse_args())"
    )
    command = [sys.executable, "-c", script, str(tiny_model.gguf), "--task", "plain.jsonl", "--threads", "1"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    child = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
        text=True,
        # A suite that runs in the background has SIGINT ignored, and its children would have, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cache/weighbridge/evaluated/answers-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    mine = children(child.pid)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) != 0
    assert mine, "the engine has a process of its own"
    time.sleep(0.2)
    assert [pid for pid in mine if Path(f"/proc/{pid}").exists()] == []


def children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found
