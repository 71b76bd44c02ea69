"""Measuring again on our own text, with a real engine on a tiny model."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "adopt"))

from check_worlds import NOW, World, our_use, outcome, reasons, report_of, subject_of
from tiny import TinyModel

from weighbridge.adopt.check.subject import SignatureCheck, Signing
from weighbridge.evidence.record import Measurement
from weighbridge.shell.check.measure import with_sample
from weighbridge.shell.cli.output import TerminalProgress

TEXTS = [
    {"id": "a", "text": "The weighbridge weighs every truck before it may leave the yard."},
    {"id": "b", "text": "A version is weighed against the internal model, with error bars."},
    {"id": "c", "text": "Nobody weighed this one, and it is not in the record."},
]


@pytest.fixture
def folder(tiny_model: TinyModel, tmp_path: Path) -> Path:
    made = tmp_path / "m"
    made.mkdir()
    (made / "tiny-F32.gguf").write_bytes(tiny_model.gguf.read_bytes())
    (made / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "ours.jsonl").write_text("".join(json.dumps(item) + "\n" for item in TEXTS))
    return made


def test_figures_reproduce_or_fail(folder: Path, tmp_path: Path) -> None:
    with TerminalProgress() as progress:
        found = with_sample(subject_of(folder), tmp_path / "ours.jsonl", measure=True, progress=progress, threads=1)
    assert found.sample is not None
    assert found.sample.problem == ""
    [ours] = [m for m in found.sample.measurements if m.measure == "perplexity" and m.comparison == "absolute"]
    assert outcome(report_of(found), 15) == "unknown", "its record states nothing to compare with"

    def stated(value: float, state: Signing = Signing.GOOD) -> str:
        world = World(tmp_path / str(value))
        world.write()
        record = world.record()
        said = Measurement(
            measure="perplexity",
            value=value,
            unit="1",
            subject=record.subject,
            probe="likelihood",
            probe_version="1",
            data=ours.data,
        )
        vouched = SignatureCheck(state=state)
        subject = replace(found, record=replace(record, measurements=(said,)), signature=vouched)
        report = report_of(subject, our_use(), NOW)
        assert "perplexity" in reasons(report, 15)
        return outcome(report, 15)

    assert stated(ours.value) == "pass"
    assert stated(ours.value * 0.9) == "fail"
    assert stated(ours.value * 1.0001, Signing.UNCHECKED) == "unknown", "nobody vouches for the figure"


def test_what_would_run_code_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    (folder / "evil.pt").write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")
    with TerminalProgress() as progress:
        found = with_sample(subject_of(folder), tmp_path / "ours.jsonl", measure=True, progress=progress)
    assert found.sample is not None
    assert found.sample.measurements == ()
    assert "not loaded" in found.sample.problem
