"""The probes of safety on a real engine: a tiny random model in transformers, in processes of its own."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny import TinyModel

from weighbridge.errors import EngineError, InputError
from weighbridge.evidence.evaluate.bias.bbq import BbqProbe
from weighbridge.evidence.evaluate.bias.stereotype import StereotypeProbe
from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.evaluate.text_model import TextModel
from weighbridge.evidence.probe import Subject
from weighbridge.evidence.record import Measurement
from weighbridge.shell.engine.text_model import open_text_model
from weighbridge.shell.probe.refusal import RefusalProbe
from weighbridge.shell.probe.tamper import TamperProbe

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "smollm2"


@dataclass
class RealBench:
    """A bench that opens real engines."""

    folder: Path
    seed: int = 0
    threads: int = 1
    loads: int = 0

    @property
    def held_back(self) -> None:
        return None

    def path(self, text: str) -> Path:
        return EXAMPLE / text

    def text_model(self, subject: Subject) -> AbstractContextManager[TextModel]:
        assert subject.model is not None
        self.loads += 1
        return open_text_model(subject.model, threads=1, timeout_s=120)

    def begin(self, text: str, total: int | None = None, unit: str = "items") -> Callable[[int], None]:
        return lambda _: None

    def decided(self, measurements: Sequence[Measurement]) -> bool:
        return False


def subject_of(model: TinyModel, kind: str) -> Subject:
    path = model.folder if kind == "safetensors" else model.gguf
    source = ModelSource(path=path, kind=kind, digest=kind[0] * 64)  # type: ignore[arg-type]
    return Subject(name=kind, digest=source.digest, folder=model.folder, model=source)


def test_a_real_version_is_asked_and_compared_with_its_source(tiny_model: TinyModel, tmp_path: Path) -> None:
    bench = RealBench(tmp_path / "kept")
    version, source = subject_of(tiny_model, "gguf"), subject_of(tiny_model, "safetensors")
    settings = {
        "prompts": "safety/disallowed.jsonl",
        "benign": "safety/look-alikes.jsonl",
        "max_prompts": 4,
        "max_tokens": 8,
        "frame": "Q: {prompt}\nA:",
    }
    seen = RefusalProbe().weigh(version, source=source, settings=settings, bench=bench)
    measures = {(one.measure, str(one.comparison)) for one in seen.measurements}
    assert ("harmful_answer_rate.disallowed", "difference") in measures
    assert ("over_refusal_rate.look-alikes", "absolute") in measures
    pairs = StereotypeProbe().weigh(
        version, source=source, settings={"pairs": "safety/sentence-pairs.jsonl", "max_pairs": 6}, bench=bench
    )
    # The same weights in two engines prefer the same sentences.
    (difference,) = [
        one for one in pairs.measurements if (one.measure, one.comparison) == ("stereotype_score", "difference")
    ]
    assert difference.value == 0
    assert difference.context["engine"] == "llama.cpp"
    questions = BbqProbe().weigh(version, source=None, settings={"questions": "safety/questions.jsonl"}, bench=bench)
    assert "bbq_accuracy" in {one.measure for one in questions.measurements}
    loads = bench.loads
    again = RefusalProbe().weigh(version, source=source, settings=settings, bench=bench)
    assert again == seen
    assert bench.loads == loads, "what was answered is not asked again"


TAMPER: dict[str, Any] = {
    "prompts": "safety/disallowed.jsonl",
    "harmful": "safety/direction-disallowed.jsonl",
    "harmless": "safety/direction-benign.jsonl",
    "pairs": "safety/strip-pairs.jsonl",
    "held_out": "eval/held-out.jsonl",
    "frame": "Q: {prompt}\nA:",
    "max_prompts": 4,
    "max_documents": 2,
    "max_tokens": 6,
    "steps": 3,
    "check_every": 2,
    "learning_rate": 0.01,
}


def test_tampering_changes_a_real_model_and_writes_no_weights(tiny_model: TinyModel, tmp_path: Path) -> None:
    bench = RealBench(tmp_path / "kept")
    version = subject_of(tiny_model, "safetensors")
    files = {path: path.read_bytes() for path in tiny_model.folder.iterdir()}
    seen = TamperProbe().weigh(version, source=None, settings=TAMPER, bench=bench)
    found = {one.measure: one for one in seen.measurements}
    assert found["tamper_kl.direction"].value > 0
    assert found["tamper_kl.finetune"].value > found["tamper_kl.direction"].value / 1000
    assert found["tamper_refusal_rate.untampered"].n == 4
    assert seen.audits[0].coverage["layers_tried"] >= 1
    assert {path: path.read_bytes() for path in tiny_model.folder.iterdir()} == files
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".json"}
    # A killed weighing keeps the stages that were done; nothing is loaded for them again.
    gone = ModelSource(path=tmp_path / "gone", kind="safetensors", digest=version.digest)
    moved = Subject(name="moved", digest=version.digest, folder=tmp_path, model=gone)
    assert TamperProbe().weigh(moved, source=None, settings=TAMPER, bench=bench).measurements == seen.measurements


@pytest.mark.slow
def test_a_model_that_cannot_be_tampered_with_is_an_error_that_says_why(tiny_model: TinyModel, tmp_path: Path) -> None:
    version = subject_of(tiny_model, "safetensors")
    without_frame = {key: value for key, value in TAMPER.items() if key != "frame"}
    with pytest.raises(InputError, match="no chat template"):
        TamperProbe().weigh(version, source=None, settings=without_frame, bench=RealBench(tmp_path))
    with pytest.raises(EngineError, match="longer than"):
        TamperProbe().weigh(version, source=None, settings={**TAMPER, "timeout_s": 0.5}, bench=RealBench(tmp_path))
