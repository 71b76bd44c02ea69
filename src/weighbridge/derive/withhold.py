"""What of a checkpoint goes into a version, and what stays behind."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.derive.recipe import STANDARD_FILES, WithholdStep
from weighbridge.errors import RecipeError

_WEIGHTS = (".safetensors", ".gguf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A checkpoint, divided.

    Attributes:
        tensors: tensors that a version gets.
        withheld_tensors: tensors that a pattern of the plan names.
        files: files, other than weights, that a version gets.
        withheld_files: files that a pattern of the plan names.
        left_files: files that no pattern names and that are not standard: they stay behind too.
    """

    tensors: tuple[TensorEntry, ...]
    withheld_tensors: tuple[TensorEntry, ...]
    files: tuple[str, ...]
    withheld_files: tuple[str, ...]
    left_files: tuple[str, ...]


def select(checkpoint: Checkpoint, step: WithholdStep) -> Selection:
    """Divide `checkpoint` as `step` says.

    Raises:
        RecipeError: if a pattern matches nothing (a misspelt pattern would let the secret out), a weight file is to
            be withheld whole, no tensor remains, or `keep` would carry further weights, which nothing sanitises.
    """
    names = [tensor.name for tensor in checkpoint.tensors]
    _require_matches("tensors", step.tensors, names)
    _require_matches("files", step.files, checkpoint.files)
    weight_files = set(checkpoint.weight_files) | {f for f in checkpoint.files if f.endswith(".safetensors.index.json")}
    others = [file for file in checkpoint.files if file not in weight_files]
    if hit := [file for file in sorted(weight_files) if _matches(file, step.files)]:
        raise RecipeError(
            f"the plan withholds the weight file {hit[0]!r}", hint="Withhold its tensors by name instead."
        )
    kept = tuple(tensor for tensor in checkpoint.tensors if not _matches(tensor.name, step.tensors))
    if not kept:
        raise RecipeError("the plan withholds every tensor", hint="Narrow the patterns under `hold_back`.")
    withheld_files = tuple(file for file in others if _matches(file, step.files))
    files = tuple(
        file for file in others if file not in withheld_files and (file in STANDARD_FILES or _matches(file, step.keep))
    )
    if carried := [file for file in files if file.lower().endswith(_WEIGHTS)]:
        raise RecipeError(
            f"`keep` names {carried[0]!r}, which holds weights: those go out as tensors of a version, never as a copy",
            hint="Narrow `keep`, or name the file under `hold_back`.",
        )
    return Selection(
        tensors=kept,
        withheld_tensors=tuple(tensor for tensor in checkpoint.tensors if _matches(tensor.name, step.tensors)),
        files=files,
        withheld_files=withheld_files,
        left_files=tuple(file for file in others if file not in files and file not in withheld_files),
    )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _require_matches(what: str, patterns: Sequence[str], names: Sequence[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise RecipeError(
                f"hold_back: no {what} of the checkpoint match {pattern!r}",
                hint=f"Correct the pattern; `weighbridge show CHECKPOINT` lists the {what} that are there.",
            )
