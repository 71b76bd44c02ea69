"""The soundness audit lists non-finite weights and files that a model does not need."""

from pathlib import Path

import pytest

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.nonfinite import NonFinite
from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.evidence.audit.soundness import MAX_LISTED, audit_soundness
from weighbridge.evidence.record import Audit, Severity

SUBJECT = "ef" * 32


def a_checkpoint(*files: str, tensors: int = 1, dtype: str = "BF16", auto_map: bool = False) -> Checkpoint:
    return Checkpoint(
        root=Path("/nowhere"),
        format="safetensors",
        files=("model.safetensors", *files),
        weight_files=("model.safetensors",),
        tensors=tuple(
            TensorEntry(name=f"t{n}", dtype=dtype, shape=(2,), file="model.safetensors", offset=8 + 4 * n, size_bytes=4)
            for n in range(tensors)
        ),
        config={"auto_map": {"AutoModel": "m.M"}} if auto_map else {},
    )


def rules(audit: Audit) -> list[tuple[str, Severity, str]]:
    return [(finding.rule, finding.severity, finding.place) for finding in audit.findings]


def test_a_sound_version_has_no_findings() -> None:
    files = ("LICENSE", "NOTICE", "README.md", "config.json", "tokenizer.json", "model.sig", "merges.txt", "x.gguf")
    assert not audit_soundness({}, a_checkpoint(*files), SUBJECT).findings


def test_each_tensor_with_non_finite_weights_is_a_high_finding_with_its_place() -> None:
    audit = audit_soundness({"t1": NonFinite(1, 2)}, a_checkpoint(tensors=3), SUBJECT)
    assert rules(audit) == [("soundness/non-finite", Severity.HIGH, "model.safetensors, tensor 't1'")]
    assert "1 NaN and 2 infinite" in audit.findings[0].message


def test_long_lists_are_cut_and_the_rest_is_counted() -> None:
    counts = {f"t{n}": NonFinite(1, 0) for n in range(MAX_LISTED + 7)}
    audit = audit_soundness(counts, a_checkpoint(tensors=MAX_LISTED + 7), SUBJECT)
    assert len(audit.findings) == MAX_LISTED
    assert audit.coverage["findings_not_listed"] == 7


@pytest.mark.parametrize(
    ("file", "rule", "severity"),
    [
        ("pytorch_model.bin", "pickle", Severity.HIGH),
        ("MODEL.PT", "pickle", Severity.HIGH),
        ("sub/x.pkl", "pickle", Severity.HIGH),
        ("modeling_x.py", "code", Severity.HIGH),
        ("lib/libx.so", "code", Severity.HIGH),
        ("libx.so.1.2", "code", Severity.HIGH),
        ("run.sh", "code", Severity.HIGH),
        ("optimizer.pt", "training-file", Severity.HIGH),
        ("training_args.bin", "training-file", Severity.HIGH),
        ("trainer_state.json", "training-file", Severity.HIGH),
        (".env", "training-file", Severity.HIGH),
        (".git/config.json", "training-file", Severity.HIGH),
        ("wandb/summary.json", "training-file", Severity.HIGH),
        ("x.tar.gz", "unknown-file", Severity.LOW),
        ("blob", "unknown-file", Severity.LOW),
    ],
)
def test_files_that_a_model_does_not_need_are_found(file: str, rule: str, severity: Severity) -> None:
    audit = audit_soundness({}, a_checkpoint(file), SUBJECT)
    assert rules(audit) == [(f"soundness/{rule}", severity, file)]


def test_a_configuration_that_asks_for_code_is_a_high_finding() -> None:
    audit = audit_soundness({}, a_checkpoint(auto_map=True), SUBJECT)
    assert rules(audit) == [("soundness/remote-code", Severity.HIGH, "config.json, /auto_map")]


def test_coverage_says_which_types_were_not_examined() -> None:
    audit = audit_soundness({}, a_checkpoint(dtype="I64"), SUBJECT)
    assert audit.coverage["tensors_examined"] == 0
    assert audit.coverage["types_not_examined"] == ["I64"]
