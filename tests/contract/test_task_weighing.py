"""Real models weighed by tasks and in long contexts: when it stops, and what a killed weighing keeps."""

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from task_bench import WORDS, FolderBench, plain, subject
from tiny import TinyModel

from weighbridge.errors import InputError
from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.probe import Subject
from weighbridge.evidence.record import Comparison
from weighbridge.shell.probe.long_context import LongContextProbe
from weighbridge.shell.probe.task import TaskProbe

pytest.importorskip("torch")
pytest.importorskip("lm_eval")


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
from task_bench import FolderBench, subject
from tiny import TinyModel
import weighbridge.shell.probe.kept_answers as kept
from weighbridge.shell.probe.task import TaskProbe

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
