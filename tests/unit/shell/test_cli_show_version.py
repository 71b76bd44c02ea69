"""`show` says what a version's record states, and that a damaged one is damaged."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "dossier"))

from builders import a_record

from weighbridge.checkpoint.write import SafetensorsWriter
from weighbridge.shell.cli import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with SafetensorsWriter(tmp_path / "model.safetensors", [("w", "F32", (4,))], {"format": "pt"}) as writer:
        writer.write("w", [np.ones(4, dtype=np.float32).data.cast("B")])
        writer.close()
    return tmp_path


def test_a_checkpoint_without_a_record_states_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(folder), "--json"]) == 0
    assert "states" not in json.loads(capsys.readouterr().out)


def test_a_version_states_its_name_and_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = a_record()
    (folder / "release.json").write_bytes(record.to_bytes())
    assert main(["show", str(folder), "--json"]) == 0
    states = json.loads(capsys.readouterr().out)["states"]
    assert states["version"] == record.reference
    assert states["weights_digest"] == record.subject
    assert main(["show", str(folder)]) == 0
    assert record.reference in capsys.readouterr().out


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"schema": 1}', b"\xff"])
def test_a_damaged_record_is_a_problem_with_its_place(
    folder: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "release.json").write_bytes(data)
    assert main(["show", str(folder), "--json"]) == 2
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert problem["place"] == str(folder / "release.json")
