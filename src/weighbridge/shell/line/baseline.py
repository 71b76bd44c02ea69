"""What versions are weighed against beside the internal model: parents, and versions that are published already."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.read import read_folder
from weighbridge.errors import CheckpointError, InputError
from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.probe import Subject
from weighbridge.gate.rule import PARENT, SOURCE, MeasureRule
from weighbridge.hub.catalogue import PublishedVersion
from weighbridge.hub.port import Hub
from weighbridge.shell.plan.model import ParentPlan, Plan
from weighbridge.shell.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A model that rules compare versions with.

    Attributes:
        subject: the model.
        measures: names of the measures that rules ask about, `*` standing for any text.
    """

    subject: Subject
    measures: tuple[str, ...]

    def wants(self, measure: str) -> bool:
        """Say whether a rule asks how a version compares with it in `measure`."""
        return any(fnmatchcase(measure, asked) for asked in self.measures)


def baselines(
    plan: Plan, hub: Hub, catalogue: Mapping[str, PublishedVersion], progress: Progress
) -> Iterator[Baseline]:
    """Yield what the plan's rules name after `versus`, but for the source and for what is not there.

    A rule about what is not there is not measured, and the gate says so.

    Raises:
        InputError: if a parent's weights are other bytes than its `digest` says.
        CheckpointError: if weights cannot be read.
    """
    rules = [rule for rule in plan.policy.rules if isinstance(rule, MeasureRule)]
    for versus in sorted({rule.versus for rule in rules if rule.versus not in (None, SOURCE)}, key=str):
        measures = tuple(rule.measure for rule in rules if rule.versus == versus)
        if versus == PARENT:
            for parent in plan.parents:
                if parent.weights_path is not None and parent.digest and not parent.of:
                    yield Baseline(subject=_parent(parent, parent.weights_path, progress), measures=measures)
        elif (entry := catalogue.get(str(versus))) is not None:
            folder = hub.path_of(entry.name)
            digest = str(entry.record.get("subject"))
            yield Baseline(subject=_subject(entry.name, folder, digest), measures=measures)


def _parent(parent: ParentPlan, path: Path, progress: Progress) -> Subject:
    """Return a parent once its bytes are those that the plan pins."""
    root = path if path.is_dir() else path.parent
    names = None if path.is_dir() else [path.name]
    manifest = read_folder(root, names, on_bytes=progress.begin(f"reading the weights of {parent.ref}"))
    subject = _subject(parent.ref, path, parent.digest)
    weights = [entry.sha256 for entry in manifest if str(entry.path) in _weights(subject)]
    if parent.digest != manifest.digest and weights != [parent.digest]:
        raise InputError(
            f"these are other bytes than those that `digest` pins for {parent.ref}",
            place=str(path),
            hint="Correct `weights` or `digest` of the parent in the plan.",
        )
    return subject


def _weights(subject: Subject) -> tuple[str, ...]:
    return tuple(map(str, subject.checkpoint.weight_files)) if subject.checkpoint is not None else ()


def _subject(name: str, path: Path, digest: str) -> Subject:
    checkpoint = Checkpoint.open(path)
    return Subject(
        name=name, digest=digest, folder=checkpoint.root, model=model_source(checkpoint, digest), checkpoint=checkpoint
    )


def model_source(checkpoint: Checkpoint, digest: str) -> ModelSource:
    """Return what engines load of a checkpoint.

    Raises:
        CheckpointError: if it holds no weights.
    """
    if checkpoint.format == "gguf":
        if not checkpoint.weight_files:
            raise CheckpointError("there are no weights", place=str(checkpoint.root))
        return ModelSource(path=checkpoint.root / checkpoint.weight_files[0], kind="gguf", digest=digest)
    return ModelSource(path=checkpoint.root, kind="safetensors", digest=digest)
