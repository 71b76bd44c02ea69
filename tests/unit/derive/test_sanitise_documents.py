"""JSON that a loader and a searcher could read differently does not go out."""

import json
from pathlib import Path

import pytest

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.write import SafetensorsWriter
from weighbridge.derive.recipe import WithholdStep
from weighbridge.derive.sanitise import sanitise
from weighbridge.derive.withhold import select
from weighbridge.errors import CheckpointError, RecipeError
from weighbridge.evidence.audit.leak import scrub_json
from weighbridge.shell.executor import LocalExecutor


def sanitised(root: Path, document: bytes, keep: tuple[str, ...] = ()) -> Path:
    source, out = root / "in", root / "out"
    source.mkdir()
    out.mkdir()
    with SafetensorsWriter(source / "model.safetensors", [("a", "F32", (1,))], {}) as writer:
        writer.write("a", [b"\0\0\0\0"])
        writer.close()
    (source / "tokenizer_config.json").write_bytes(document)
    checkpoint = Checkpoint.open(source)

    def scrub(file: str, value: object) -> tuple[object, list[str]]:
        clean, removed = scrub_json(value)
        return clean, [item.pointer for item in removed]

    with LocalExecutor(1) as executor:
        selection = select(checkpoint, WithholdStep(keep=keep))
        sanitise(checkpoint, selection, out, dtype=None, scrub=scrub, executor=executor)
    return out / "tokenizer_config.json"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"chat_template": "/home/mira.okafor/x"}'.encode("utf-16"), "UTF-8"),
        (b'{"_name_or_path": "/home/mira.okafor/x", "_name_or_path": "ok"}', "twice"),
        (b"[" * 100_000, "deep"),
        (b"{", "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_a_document_with_two_readings_is_refused(tmp_path: Path, document: bytes, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        sanitised(tmp_path, document)
    assert caught.value.place.endswith("tokenizer_config.json")


def test_a_document_with_half_a_character_is_scrubbed_all_the_same(tmp_path: Path) -> None:
    written = sanitised(tmp_path, rb'{"a": "\ud800", "_name_or_path": "/home/mira.okafor/x"}')
    assert json.loads(written.read_bytes()) == {"a": "\ud800"}


def test_a_document_with_nothing_to_remove_keeps_its_bytes(tmp_path: Path) -> None:
    document = b'{ "model_max_length" :512 }\n'
    assert sanitised(tmp_path, document).read_bytes() == document


def test_a_kept_file_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="larger than 64 MiB"):
        sanitised(tmp_path, b'{"a": "' + b"x" * (65 << 20) + b'"}')


@pytest.mark.parametrize("pattern", ["more.gguf", "*", "sub/*"])
def test_weights_are_never_carried_as_they_are(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "in").mkdir()
    for name in ("more.gguf", "sub/more.safetensors"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"weights")
    with SafetensorsWriter(tmp_path / "in" / "model.safetensors", [("a", "F32", (1,))], {}) as writer:
        writer.write("a", [b"\0\0\0\0"])
        writer.close()
    checkpoint = Checkpoint.open(tmp_path / "in")
    with pytest.raises(RecipeError, match="holds weights"):
        select(checkpoint, WithholdStep(keep=(pattern,)))
    withheld = WithholdStep(keep=(pattern,), files=("more.gguf", "sub/*"))
    assert select(checkpoint, withheld).files == ()
