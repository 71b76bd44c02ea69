"""One suite over both engines, then the child processes in which they run."""

import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import CORPUS, TinyModel

from weighbridge.errors import EngineError, InputError, MissingExtraError, WorkspaceError
from weighbridge.evidence.evaluate.distribution import divergence, log_probabilities
from weighbridge.evidence.evaluate.engine import ScoringEngine
from weighbridge.evidence.evaluate.likelihood import Document
from weighbridge.evidence.record import Comparison, Measurement
from weighbridge.shell.engine import libllama, llama_engine, scoring
from weighbridge.shell.engine.child import Child
from weighbridge.shell.engine.llama_engine import LlamaEngine
from weighbridge.shell.engine.scoring import (
    ModelSource,
    Reference,
    make_reference,
    weigh_likelihood,
    weigh_resources,
)
from weighbridge.shell.engine.torch_engine import TorchEngine

DOCUMENTS = tuple(Document(id=f"d{index}", text=text) for index, text in enumerate(CORPUS))


@pytest.fixture(scope="module", params=["llama.cpp", "transformers"])
def engine(request: pytest.FixtureRequest, tiny_model: TinyModel) -> Iterator[ScoringEngine]:
    if request.param == "llama.cpp":
        with LlamaEngine(tiny_model.gguf, context_tokens=256, threads=2) as llama:
            yield llama
    else:
        with TorchEngine(tiny_model.folder, threads=2) as torch_engine:
            yield torch_engine


@pytest.fixture
def gguf(tiny_model: TinyModel) -> ModelSource:
    return ModelSource(path=tiny_model.gguf, kind="gguf", digest="a" * 64)


@pytest.fixture
def folder(tiny_model: TinyModel) -> ModelSource:
    return ModelSource(path=tiny_model.folder, kind="safetensors", digest="b" * 64)


@pytest.fixture(scope="session")
def positions(tiny_model: TinyModel) -> int:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_model.folder / "tokenizer.json"))
    return sum(len(tokenizer.encode(text).ids) - 1 for text in CORPUS)


def named(measurements: tuple[Measurement, ...], measure: str) -> Measurement:
    return next(m for m in measurements if m.measure == measure and m.comparison is Comparison.ABSOLUTE)


class TestEveryEngine:
    def test_scores_every_position_in_float32(self, engine: ScoringEngine, tiny_model: TinyModel) -> None:
        tokens = engine.tokenize(CORPUS[0])
        scores = engine.logits(tokens)
        assert scores.shape == (len(tokens), engine.vocabulary_size) == (len(tokens), tiny_model.vocabulary)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert scores.std() > 0.1

    def test_a_row_depends_on_nothing_that_comes_after_it(self, engine: ScoringEngine) -> None:
        tokens = engine.tokenize(CORPUS[1])
        whole = engine.logits(tokens).copy()
        np.testing.assert_allclose(engine.logits(tokens[:7]), whole[:7], atol=0.02)

    def test_the_same_text_gives_the_same_scores(self, engine: ScoringEngine) -> None:
        tokens = engine.tokenize(CORPUS[2])
        first = engine.logits(tokens).copy()
        engine.logits(engine.tokenize(CORPUS[0]))
        np.testing.assert_array_equal(engine.logits(tokens), first)

    @pytest.mark.parametrize("token", [-1, 320, 2**31])
    def test_a_token_outside_the_vocabulary_is_refused(self, engine: ScoringEngine, token: int) -> None:
        with pytest.raises(EngineError, match="vocabulary of 320"):
            engine.logits([1, token])

    def test_speed_has_one_number_a_repeat(self, engine: ScoringEngine) -> None:
        speed = engine.speed(prefill_tokens=16, decode_tokens=4, repeats=3)
        assert len(speed.prefill_tokens_per_second) == len(speed.decode_tokens_per_second) == 3
        assert min(*speed.prefill_tokens_per_second, *speed.decode_tokens_per_second) > 0

    def test_facts_name_what_is_needed_to_run_it_again(self, engine: ScoringEngine) -> None:
        assert engine.facts.threads == 2
        assert engine.facts.packages["numpy"] == np.__version__
        assert engine.context_length == 512


def test_both_engines_agree_on_tokens_and_distributions(tiny_model: TinyModel) -> None:
    with (
        LlamaEngine(tiny_model.gguf, context_tokens=256, threads=2) as llama,
        TorchEngine(tiny_model.folder, threads=2) as transformers,
    ):
        for text in CORPUS:
            tokens = transformers.tokenize(text)
            assert llama.tokenize(text) == tokens
            targets = np.zeros(len(tokens), dtype=np.int64)
            expected = log_probabilities(transformers.logits(tokens), targets)[0]
            assert divergence(expected, log_probabilities(llama.logits(tokens), targets)[0])[0].max() < 1e-4


def test_too_long_a_text_is_refused_and_prepare_makes_room(tiny_model: TinyModel) -> None:
    with LlamaEngine(tiny_model.gguf, context_tokens=10, threads=1) as llama:
        with pytest.raises(EngineError, match="do not fit a context of 256"):
            llama.logits([1] * 257)
        llama.prepare(257)
        assert llama.logits([1] * 257).shape[0] == 257


def test_a_file_that_is_no_model_names_itself_and_the_reason(tmp_path: Path, tiny_model: TinyModel) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(tiny_model.gguf.read_bytes()[:20_000])
    with pytest.raises(EngineError, match=r"could not be loaded.*fail") as caught:
        LlamaEngine(broken, context_tokens=10, threads=1)
    assert caught.value.place == str(broken)


def test_another_parameter_layout_is_refused_by_name(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_engine, "_DEFAULT_WORDS", (1, 2, 3))
    with pytest.raises(EngineError, match=rf"xllamacpp {libllama.package_version()} lays out"):
        LlamaEngine(tiny_model.gguf, context_tokens=10, threads=1)


def test_without_xllamacpp_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        libllama.library_path()
    assert "weighbridge[run]" in caught.value.hint


def test_weights_that_are_missing_are_an_error_not_random_numbers(tiny_model: TinyModel, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "hf"
    shutil.copytree(tiny_model.folder, copy)
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match=r"1 tensors are missing.*layers\.1\.mlp\.up_proj"):
        TorchEngine(copy, threads=1)


def test_a_folder_without_tokenizer_is_an_error_with_its_place(tiny_model: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as caught:
        TorchEngine(tmp_path, threads=1)
    assert caught.value.place == str(tmp_path / "tokenizer.json")


class TestWeighing:
    @pytest.fixture
    def reference(self, gguf: ModelSource, tmp_path: Path) -> Reference:
        return make_reference(gguf, DOCUMENTS, tmp_path, threads=2)

    def test_a_safetensors_model_against_its_gguf(
        self, folder: ModelSource, gguf: ModelSource, positions: int, tmp_path: Path
    ) -> None:
        seen: list[tuple[int, int]] = []
        reference = make_reference(
            folder, DOCUMENTS, tmp_path, threads=2, progress=lambda done, total: seen.append((done, total))
        )
        assert reference.positions == positions
        assert reference.engine.name == "transformers"
        assert seen[:2] == [(0, 0), (0, positions)], "loading comes first"
        assert seen[-1] == (positions, positions)
        found = weigh_likelihood(gguf, reference, tmp_path, seed=1, threads=2)
        assert named(found, "kl_divergence").value < 1e-4
        assert named(found, "top1_agreement").value > 0.97
        assert named(found, "tokenizer_agreement").value == 1.0
        assert named(found, "perplexity").n == positions
        assert {m.subject for m in found} == {gguf.digest}
        ratio = next(m for m in found if m.comparison is Comparison.RATIO)
        assert ratio.baseline == folder.digest
        assert ratio.value == pytest.approx(1.0, abs=0.01)

    def test_a_model_does_not_differ_from_itself(self, gguf: ModelSource, reference: Reference, tmp_path: Path) -> None:
        found = weigh_likelihood(gguf, reference, tmp_path, seed=1, threads=2)
        assert named(found, "kl_divergence").value == 0.0
        assert named(found, "top1_agreement").value == 1.0

    def test_a_second_weighing_starts_no_engine(
        self, gguf: ModelSource, reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = weigh_likelihood(gguf, reference, tmp_path, seed=1, threads=2)
        speeds = weigh_resources(gguf, tmp_path, threads=2, prefill_tokens=16, decode_tokens=4, repeats=3)
        monkeypatch.setattr(scoring, "Child", None)
        assert make_reference(gguf, DOCUMENTS, tmp_path) == reference
        assert weigh_likelihood(gguf, reference, tmp_path, seed=1) == first
        again = weigh_resources(gguf, tmp_path, threads=2, prefill_tokens=16, decode_tokens=4, repeats=3)
        assert again == speeds

    def test_other_text_or_another_version_is_weighed_anew(
        self, gguf: ModelSource, reference: Reference, tmp_path: Path
    ) -> None:
        assert make_reference(gguf, DOCUMENTS[:2], tmp_path, threads=2).folder != reference.folder
        other = ModelSource(path=gguf.path, kind="gguf", digest="c" * 64)
        weigh_likelihood(gguf, reference, tmp_path, seed=1, threads=2)
        weigh_likelihood(other, reference, tmp_path, seed=1, threads=2)
        assert len(list(tmp_path.glob("likelihood-*"))) == 2

    def test_a_weighing_that_was_stopped_goes_on_where_it_was(
        self, gguf: ModelSource, positions: int, tmp_path: Path
    ) -> None:
        def stop_midway(done: int, total: int) -> None:
            if 0 < done < total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            make_reference(gguf, DOCUMENTS, tmp_path, threads=1, progress=stop_midway)
        (kept,) = tmp_path.glob("reference-*")
        first = next(kept.glob("000000.npz"))
        written = first.stat().st_mtime_ns
        assert not (kept / "run.json").exists()
        seen: list[int] = []
        reference = make_reference(gguf, DOCUMENTS, tmp_path, threads=1, progress=lambda done, _: seen.append(done))
        assert reference.positions == positions
        assert first.stat().st_mtime_ns == written
        assert seen[1] > 0

    def test_damaged_predictions_are_noticed(self, gguf: ModelSource, reference: Reference, tmp_path: Path) -> None:
        stored = reference.folder / "000002.npy"
        data = bytearray(stored.read_bytes())
        data[4096:8192] = bytes(4096)
        stored.write_bytes(data)
        with pytest.raises(WorkspaceError, match="damaged") as caught:
            weigh_likelihood(gguf, reference, tmp_path, seed=1, threads=2)
        assert caught.value.place == str(stored)

    def test_lost_predictions_are_made_again(self, gguf: ModelSource, reference: Reference) -> None:
        stored = reference.folder / "000002.npy"
        before = stored.read_bytes()
        stored.unlink()
        make_reference(gguf, DOCUMENTS, reference.folder.parent, threads=2)
        assert stored.read_bytes() == before

    def test_long_documents_are_cut_and_counted(self, gguf: ModelSource, tmp_path: Path) -> None:
        reference = make_reference(gguf, DOCUMENTS, tmp_path, threads=2, max_tokens_per_document=9)
        assert (reference.positions, reference.truncated) == (8 * len(DOCUMENTS), len(DOCUMENTS))
        found = weigh_likelihood(gguf, reference, tmp_path, seed=1, threads=2)
        assert named(found, "kl_divergence").context["truncated_documents"] == len(DOCUMENTS)
        assert named(found, "tokenizer_agreement").value == 1.0

    def test_nothing_to_predict_names_the_document(self, gguf: ModelSource, tmp_path: Path) -> None:
        documents = (*DOCUMENTS, Document(id="short", text="T"))
        with pytest.raises(InputError, match="fewer than two tokens") as caught:
            make_reference(gguf, documents, tmp_path, threads=1)
        assert caught.value.place == "document 'short'"

    def test_nan_weights_are_an_error_with_document_and_position(
        self, gguf: ModelSource, reference: Reference, tmp_path: Path
    ) -> None:
        import gguf as format_

        broken = tmp_path / "nan.gguf"
        shutil.copy(gguf.path, broken)
        tensor = next(t for t in format_.GGUFReader(broken, "r+").tensors if t.name == "blk.1.ffn_up.weight")
        tensor.data[:] = np.nan
        tensor.data.flush()
        version = ModelSource(path=broken, kind="gguf", digest="e" * 64)
        with pytest.raises(EngineError, match="NaN or an infinity at position 0") as caught:
            weigh_likelihood(version, reference, tmp_path, seed=1, threads=1)
        assert caught.value.place == "document 'd0'"

    def test_another_vocabulary_is_refused(self, gguf: ModelSource, reference: Reference, tmp_path: Path) -> None:
        from dataclasses import replace

        with pytest.raises(EngineError, match="vocabulary of 320 tokens is not the internal model's of 999"):
            weigh_likelihood(gguf, replace(reference, vocabulary=999), tmp_path, seed=1, threads=1)

    def test_a_full_disk_is_noticed_before_the_work(
        self, gguf: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from weighbridge.shell.engine import worker

        monkeypatch.setattr(worker, "free_bytes", lambda path: 1000)
        request: dict[str, Any] = {
            "folder": str(tmp_path),
            "documents": [{"id": "a", "text": CORPUS[0]}],
            "max_tokens": 64,
            "model": {"path": str(gguf.path), "kind": "gguf"},
            "threads": 1,
        }
        with pytest.raises(WorkspaceError, match="1,000 are free"):
            worker.reference(request, lambda message: None)

    def test_memory_is_that_of_the_engine_and_not_of_whoever_started_it(
        self, gguf: ModelSource, tmp_path: Path
    ) -> None:
        ballast = np.ones(400 << 20, dtype=np.uint8)
        found = weigh_resources(gguf, tmp_path, threads=2, prefill_tokens=16, decode_tokens=4, repeats=3)
        assert ballast[-1] == 1
        assert 10 << 20 < named(found, "peak_memory_bytes").value < 300 << 20
        assert named(found, "size_bytes").value == gguf.path.stat().st_size
        decode = named(found, "decode_tokens_per_second")
        assert decode.interval is not None
        assert decode.interval.low <= decode.value <= decode.interval.high


class TestChild:
    @pytest.fixture
    def module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return tmp_path / "misbehaving.py"

    def start(self, **other: Any) -> Child:
        return Child("misbehaving", {}, place="model.gguf", engine="llama.cpp 1", threads=1, **other)

    def test_an_abort_names_engine_signal_and_last_lines(self, module: Path) -> None:
        module.write_text(
            "import os, sys\nfor i in range(1000): print('line', i, file=sys.stderr)\n"
            "print('GGML_ASSERT(n > 0) failed', file=sys.stderr, flush=True)\nos.abort()\n"
        )
        with self.start() as child:
            assert list(child.messages()) == []
            error = child.failure("at document 'd0'")
        assert "llama.cpp 1 was ended by SIGABRT at document 'd0'" in str(error)
        assert "GGML_ASSERT(n > 0) failed" in str(error)
        assert "line 3 " not in str(error)
        assert error.place == "model.gguf"

    def test_one_that_hangs_is_ended_in_time_with_its_children(self, module: Path, tmp_path: Path) -> None:
        module.write_text(
            "import subprocess, sys, pathlib, time\n"
            "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
            f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid))\ntime.sleep(600)\n"
        )
        start = time.monotonic()
        with self.start(timeout_s=1.5) as child:
            assert list(child.messages()) == []
            error = child.failure("while it was loaded")
        assert "took longer than 1.5 s while it was loaded" in str(error)
        assert time.monotonic() - start < 10
        assert _ended(int((tmp_path / "pid").read_text()))

    @pytest.mark.parametrize(
        ("patient", "given", "policy"), [(True, "", "PASSIVE"), (False, "", ""), (True, "ACTIVE", "ACTIVE")]
    )
    def test_patient_threads_sleep_unless_the_user_says_otherwise(
        self, module: Path, monkeypatch: pytest.MonkeyPatch, patient: bool, given: str, policy: str
    ) -> None:
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
        if given:
            monkeypatch.setenv("OMP_WAIT_POLICY", given)
        module.write_text(
            "import json, os\nprint(json.dumps([os.environ.get(k, '') for k in "
            "('OMP_WAIT_POLICY', 'OMP_NUM_THREADS', 'HF_HUB_OFFLINE')]).replace('[', '{\"e\":[') + '}')\n"
        )
        with self.start(patient=patient) as child:
            assert list(child.messages()) == [{"e": [policy, "1", "1"]}]

    def test_a_message_that_is_none_is_an_error(self, module: Path) -> None:
        module.write_text("print('hello')\n")
        with self.start() as child, pytest.raises(EngineError, match="unreadable answer"):
            list(child.messages())

    def test_an_error_of_the_child_keeps_its_class_place_and_hint(self, module: Path) -> None:
        module.write_text(
            "import json\nfrom weighbridge.errors import MissingExtraError\n"
            "from weighbridge.shell.engine.child import describe_error, open_answers\n"
            "open_answers()({'error': describe_error(MissingExtraError('torch', extra='derive'))})\n"
        )
        with self.start() as child, pytest.raises(MissingExtraError, match="'torch'") as caught:
            list(child.messages())
        assert "weighbridge[derive]" in caught.value.hint

    def test_a_child_ends_when_its_parent_is_gone(self, module: Path) -> None:
        module.write_text(
            "import sys, time\nfrom weighbridge.shell.engine.child import follow_parent\n"
            "sys.stdin.buffer.readline()\nfollow_parent()\nprint('{}', flush=True)\ntime.sleep(600)\n"
        )
        with self.start() as child:
            assert next(iter(child.messages())) == {}
            start = time.monotonic()
            child.stop()
        assert time.monotonic() - start < 4
        assert not child.running


def _ended(process: int) -> bool:
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        # Nobody may be left to collect it: a zombie has ended as well.
        if Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
