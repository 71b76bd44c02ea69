"""The built-in probes keep the promises of their ports, as a stranger's must."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import TinyModel

from weighbridge.checkpoint.write import SafetensorsWriter
from weighbridge.evidence.audit.file_probes import LeakProbe, SoundnessProbe
from weighbridge.evidence.audit.files.probe import FileSecurity
from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.probe import Bench, FileProbe, Probe, Subject
from weighbridge.shell.cli.output import TerminalProgress
from weighbridge.shell.probe.bench import LocalBench
from weighbridge.shell.probe.task import TaskProbe
from weighbridge.testing import FileProbeSuite, ProbeSuite


def a_bench(folder: Path) -> Bench:
    return LocalBench(folder=folder / "bench", base=folder, seed=3, threads=1, progress=TerminalProgress())


def write_weights(folder: Path, value: float) -> None:
    with SafetensorsWriter(folder / "model.safetensors", [("w", "F32", (4,))], {"format": "pt"}) as writer:
        writer.write("w", [np.full(4, value, np.float32).tobytes()])
        writer.close()


class FileProbeCase(FileProbeSuite):
    def bench(self, folder: Path) -> Bench:
        return a_bench(folder)

    def good(self, folder: Path) -> None:
        write_weights(folder, 0.5)
        (folder / "config.json").write_text('{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}')


class TestSoundness(FileProbeCase):
    def probe(self) -> FileProbe:
        return SoundnessProbe()

    def bad(self, folder: Path) -> None:
        write_weights(folder, float("nan"))


class TestLeaks(FileProbeCase):
    def probe(self) -> FileProbe:
        return LeakProbe()

    def bad(self, folder: Path) -> None:
        write_weights(folder, 0.5)
        (folder / "config.json").write_text('{"wandb_run_id": "wb-3k9xq2vd7h"}')


class TestFileSecurity(FileProbeCase):
    def probe(self) -> FileProbe:
        return FileSecurity()

    def bad(self, folder: Path) -> None:
        write_weights(folder, 0.5)
        (folder / "weights.bin").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")


class ProbeCase(ProbeSuite):
    tiny: TinyModel

    @pytest.fixture(autouse=True)
    def _models(self, tiny_model: TinyModel, tmp_path: Path) -> None:
        self.tiny = tiny_model

    def subjects(self) -> tuple[Subject, Subject]:
        version = ModelSource(path=self.tiny.gguf, kind="gguf", digest="a" * 64)
        source = ModelSource(path=self.tiny.folder, kind="safetensors", digest="b" * 64)
        return (
            Subject(name="version", digest=version.digest, folder=self.tiny.gguf.parent, model=version),
            Subject(name="source", digest=source.digest, folder=self.tiny.folder, model=source),
        )

    def lines(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    def bench(self, folder: Path) -> Bench:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data.jsonl").write_text("\n".join(map(json.dumps, self.lines())))
        return a_bench(folder)


class TestTask(ProbeCase):
    def probe(self) -> Probe:
        return TaskProbe()

    def settings(self) -> Mapping[str, Any]:
        return {"file": "data.jsonl"}

    def lines(self) -> list[dict[str, Any]]:
        choices = [" one", " two", " three"]
        return [{"id": str(n), "prompt": f"Truck {n} weighs", "choices": choices, "answer": n % 3} for n in range(6)]
