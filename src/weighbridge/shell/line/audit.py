"""Audit every version: one pass over its bytes for digests, soundness and the proof of absence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.manifest import Manifest
from weighbridge.checkpoint.read import NonFiniteCounter, read_folder
from weighbridge.errors import DigestMismatchError
from weighbridge.evidence.audit import held_back, leak, soundness
from weighbridge.evidence.record import Audit
from weighbridge.shell.line.derive import DerivedVersion
from weighbridge.shell.line.kept import KeptRecords
from weighbridge.shell.line.source import Source
from weighbridge.shell.line.withheld import held_back as held_back_of
from weighbridge.shell.line.withheld import kept_pieces
from weighbridge.shell.progress import Progress

MAX_TEXT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedVersion:
    """A version with its audits."""

    derived: DerivedVersion
    checkpoint: Checkpoint
    audits: tuple[Audit, ...]

    @property
    def name(self) -> str:
        """`owner/version`."""
        return self.derived.name

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.derived.folder

    @property
    def manifest(self) -> Manifest:
        """Its files."""
        return self.derived.manifest

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, for the command line."""
        return {
            "name": self.name,
            "format": self.checkpoint.format,
            "folder": str(self.folder),
            "subject": self.manifest.digest,
            "size_bytes": self.manifest.size_bytes,
            "recipe": self.derived.recipe.to_json(),
            "engines": list(self.derived.made.engines),
            "reused": self.derived.made.result.reused,
            "manifest": self.manifest.to_json(),
            "audits": [audit.to_json() for audit in self.audits],
        }


def audit_version(
    source: Source, version: DerivedVersion, kept: KeptRecords, progress: Progress, threads: int
) -> AuditedVersion:
    """Audit one version, unless these exact bytes were audited for the same secrets before."""
    checkpoint = Checkpoint.open(version.folder)
    depends_on = {
        "subject": version.manifest.digest,
        "source": source.digest,
        "withhold": version.recipe.withhold.to_json(),
        "scrubbed": [list(item) for item in version.made.scrubbed],
        "probes": [held_back.PROBE_VERSION, leak.PROBE_VERSION, soundness.PROBE_VERSION],
    }

    def make() -> list[dict[str, Any]]:
        return [audit.to_json() for audit in _audit(source, version, checkpoint, progress, threads)]

    audits = tuple(Audit.from_json(item) for item in kept.get_or_make(depends_on, make))
    return AuditedVersion(derived=version, checkpoint=checkpoint, audits=audits)


def _audit(
    source: Source, version: DerivedVersion, checkpoint: Checkpoint, progress: Progress, threads: int
) -> tuple[Audit, ...]:
    made, subject = version.made, version.manifest.digest
    progress.begin(f"learning what must not be in {version.name}")
    secrets = held_back_of(source.checkpoint, made.selection, made.scrubbed)
    search = held_back.HeldBackSearch(secrets, kept=kept_pieces(source.checkpoint, made.selection))
    counter = NonFiniteCounter(checkpoint.tensors)
    advance = progress.begin(f"searching {version.name} for what is held back", version.manifest.size_bytes)
    read = read_folder(version.folder, visitors=[counter, search], threads=threads, on_bytes=advance)
    if read != version.manifest:
        raise DigestMismatchError("a derived version changed on disk", place=str(version.folder))
    return (
        search.audit(subject, read.size_bytes),
        leak.audit_leaks(_texts(checkpoint), checkpoint.metadata, subject),
        soundness.audit_soundness(counter.counts, checkpoint, subject),
    )


def _texts(checkpoint: Checkpoint) -> dict[str, bytes]:
    files = [file for file in checkpoint.files if file not in checkpoint.weight_files]
    sized = [file for file in files if (checkpoint.root / file).stat().st_size <= MAX_TEXT_BYTES]
    return {file: (checkpoint.root / file).read_bytes() for file in sized}
