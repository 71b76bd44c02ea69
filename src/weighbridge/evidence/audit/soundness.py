"""Whether a version is sound: finite weights, and only kinds of file that a model needs."""

from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from weighbridge.checkpoint.dtype import FLOATS
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.nonfinite import NonFinite
from weighbridge.checkpoint.scale import SCALE_OFFSETS
from weighbridge.checkpoint.tensor import quoted
from weighbridge.evidence.record import Audit, Finding, Severity

__all__ = ["PROBE", "PROBE_VERSION", "audit_soundness"]

PROBE = "soundness"
PROBE_VERSION = "1"

MAX_LISTED = 50
"""Findings of one rule that are listed; the rest is counted."""

_PICKLES = frozenset(
    (
        ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".npy", ".npz",
    )
)  # fmt: skip
_CODE = frozenset(
    (
        ".py", ".pyc", ".pyd", ".so", ".dylib", ".dll", ".exe", ".sh", ".bash", ".zsh", ".bat", ".cmd", ".ps1",
        ".js", ".mjs", ".jar", ".class", ".whl", ".egg", ".pl", ".rb", ".php", ".lua", ".wasm", ".ipynb",
    )
)  # fmt: skip
_KNOWN = frozenset(
    (
        ".safetensors", ".gguf", ".json", ".jsonl", ".jinja", ".txt", ".md", ".model", ".sig", ".yaml", ".yml",
        ".svg", ".png", ".jpg", ".jpeg", ".html", ".pdf", ".csv", ".sigstore", ".pem", ".tiktoken", ".spm",
        ".cff",
    )
)  # fmt: skip
_KNOWN_NAMES = frozenset(
    (
        "LICENSE", "LICENCE", "NOTICE", "README", "COPYING", ".gitattributes",
    )
)  # fmt: skip
_TRAINING = (
    "optimizer.*", "scheduler.*", "rng_state*", "trainer_state.json", "training_args.*", "scaler.pt",
    "events.out.tfevents*", ".env", ".netrc", "id_rsa", "wandb-*", "*.log",
)  # fmt: skip
_TRAINING_FOLDERS = frozenset(
    (
        ".git", "wandb", "mlruns", "runs", "lightning_logs", "__pycache__", ".cache", ".ipynb_checkpoints",
    )
)  # fmt: skip

_KINDS: Mapping[str, tuple[Severity, str]] = {
    "pickle": (Severity.HIGH, "this kind of file is, or can hold, a Python pickle: loading it runs whatever it says"),
    "code": (Severity.HIGH, "this file is code: some loaders run it on the adopter's machine"),
    "training-file": (Severity.HIGH, "this file belongs to the training, not to the model"),
    "unknown-file": (Severity.LOW, "nothing here understands this kind of file, so nobody looked inside"),
}


def audit_soundness(non_finite: Mapping[str, NonFinite], checkpoint: Checkpoint, subject: str) -> Audit:
    """Say what is unsound about a version, from its file list and the counts that its reading gave.

    Args:
        non_finite: tensor to counts, of those tensors that have any (`checkpoint.read.NonFiniteCounter`).
        checkpoint: the version.
        subject: its digest.
    """
    findings: list[Finding] = []
    listed: Counter[str] = Counter()
    for rule, severity, message, place in (
        *_weights(non_finite, checkpoint),
        *_files(checkpoint),
        *_config(checkpoint),
    ):
        listed[rule] += 1
        if listed[rule] <= MAX_LISTED:
            findings.append(
                Finding(
                    rule=f"{PROBE}/{rule}",
                    severity=severity,
                    message=message,
                    subject=subject,
                    place=place,
                    probe=PROBE,
                    probe_version=PROBE_VERSION,
                )
            )
    unexamined = [t for t in checkpoint.tensors if t.dtype not in FLOATS and t.dtype not in SCALE_OFFSETS]
    coverage = {
        "files": len(checkpoint.files),
        "tensors": len(checkpoint.tensors),
        "tensors_examined": len(checkpoint.tensors) - len(unexamined),
        "types_not_examined": sorted({tensor.dtype for tensor in unexamined}),
        "findings_not_listed": sum(max(count - MAX_LISTED, 0) for count in listed.values()),
    }
    return Audit(probe=PROBE, probe_version=PROBE_VERSION, subject=subject, findings=tuple(findings), coverage=coverage)


_Row = tuple[str, Severity, str, str]


def _weights(non_finite: Mapping[str, NonFinite], checkpoint: Checkpoint) -> Iterator[_Row]:
    for tensor in checkpoint.tensors:
        counts = non_finite.get(tensor.name)
        if counts is not None and (counts.nan or counts.infinite):
            message = (
                f"{counts.nan:,} NaN and {counts.infinite:,} infinite weights among {tensor.parameters:,}: "
                "whatever passes through them is lost"
            )
            yield "non-finite", Severity.HIGH, message, f"{tensor.file}, tensor {quoted(tensor.name)}"


def _files(checkpoint: Checkpoint) -> Iterator[_Row]:
    for file in checkpoint.files:
        kind = _kind(file)
        if kind is not None:
            severity, message = _KINDS[kind]
            yield kind, severity, message, file


def _kind(file: str) -> str | None:
    """Return the rule that objects to a file of this name, or None."""
    path = PurePosixPath(file)
    lowered = path.name.lower()
    suffix = PurePosixPath(lowered).suffix
    if _TRAINING_FOLDERS.intersection(path.parts[:-1]) or any(fnmatchcase(lowered, glob) for glob in _TRAINING):
        return "training-file"
    if suffix in _PICKLES:
        return "pickle"
    # A shared library may carry its version behind the suffix: libx.so.1.2
    if suffix in _CODE or ".so." in lowered:
        return "code"
    if suffix in _KNOWN or path.name in _KNOWN_NAMES or PurePosixPath(path.name).stem in _KNOWN_NAMES:
        return None
    return "unknown-file"


def _config(checkpoint: Checkpoint) -> Iterator[_Row]:
    if checkpoint.config.get("auto_map"):
        message = "the configuration asks loaders to run code that comes with the model, or from another repository"
        yield "remote-code", Severity.HIGH, message, "config.json, /auto_map"
