"""Read the internal model: one pass over its bytes, one look at its headers."""

from collections.abc import Callable
from dataclasses import dataclass

from weighbridge.checkpoint.architecture import Architecture, describe
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.manifest import Manifest
from weighbridge.checkpoint.read import NonFiniteCounter, read_folder
from weighbridge.errors import CheckpointError
from weighbridge.shell.line.inputs import check_patterns
from weighbridge.shell.plan.model import Plan
from weighbridge.shell.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The internal model."""

    checkpoint: Checkpoint
    manifest: Manifest
    architecture: Architecture

    @property
    def digest(self) -> str:
        """Digest of every file of the folder."""
        return self.manifest.digest


def read_source(plan: Plan, progress: Progress, threads: int) -> Source:
    """Open and read the internal model of `plan`.

    Raises:
        PlanError: if a pattern of the plan holds nothing back.
        CheckpointError: if it is unsound, or holds NaN or infinite weights: what is derived from them would be, too.
    """
    path = plan.source_path
    checkpoint = Checkpoint.open(path)
    check_patterns(plan, checkpoint)
    counter = NonFiniteCounter(checkpoint.tensors)
    manifest = read_folder(
        checkpoint.root,
        checkpoint.files,
        visitors=[counter],
        threads=threads,
        on_bytes=_bytes_of(checkpoint, progress),
    )
    if counter.counts:
        name, count = next(iter(sorted(counter.counts.items())))
        raise CheckpointError(
            f"{count.nan} NaN and {count.infinite} infinite weights; {len(counter.counts) - 1} more tensors have some",
            place=f"{path}: tensor {name}",
            hint="Go back to a checkpoint from before training diverged; `weighbridge show` lists every such tensor.",
        )
    return Source(checkpoint=checkpoint, manifest=manifest, architecture=describe(checkpoint))


def _bytes_of(checkpoint: Checkpoint, progress: Progress) -> Callable[[int], None]:
    size = sum((checkpoint.root / file).stat().st_size for file in checkpoint.files)
    return progress.begin("reading, hashing and checking the internal model", size)
