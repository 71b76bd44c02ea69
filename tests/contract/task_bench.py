"""A bench with the real engines, tiny models as subjects and plain tasks: what the tests of tasks share."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tiny import TinyModel

from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.evaluate.text_model import TextModel
from weighbridge.evidence.probe import Subject
from weighbridge.evidence.record import Measurement
from weighbridge.shell.engine.text_model import open_text_model

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


def plain(root: Path, count: int, name: str = "plain") -> Path:
    lines = [
        {"id": n, "prompt": f"The {WORDS[n % 10]} {n} is", "choices": [f" {WORDS[(n + k) % 10]}" for k in range(3)]}
        | {"answer": n % 3}
        for n in range(count)
    ]
    path = root / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
