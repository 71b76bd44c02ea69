"""Weigh every version against the internal model."""

from dataclasses import dataclass

from weighbridge.dossier.evidence import Evidence
from weighbridge.evidence.record import Measurement
from weighbridge.shell.engine.scoring import ModelSource, make_reference, weigh_likelihood, weigh_resources
from weighbridge.shell.line.audit import AuditedVersion
from weighbridge.shell.line.source import Source
from weighbridge.shell.plan.model import LikelihoodProbe, Plan, ResourcesProbe
from weighbridge.shell.progress import Progress
from weighbridge.shell.workspace import Workspace

KIND_WORDS = {"safetensors": "transformers", "gguf": "llama.cpp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedVersion:
    """A version with all its evidence."""

    version: AuditedVersion
    evidence: Evidence


def weigh_versions(
    plan: Plan,
    source: Source,
    versions: tuple[AuditedVersion, ...],
    workspace: Workspace,
    progress: Progress,
    threads: int,
) -> tuple[WeighedVersion, ...]:
    """Carry out every probe of the plan on every version."""
    measured: dict[str, tuple[Measurement, ...]] = {version.name: () for version in versions}
    for probe in plan.weigh:
        for version in versions:
            if isinstance(probe, LikelihoodProbe):
                found = _likelihood(plan, probe, source, version, workspace, progress, threads)
            else:
                found = _resources(probe, version, workspace, progress, threads)
            measured[version.name] += found
    return tuple(
        WeighedVersion(
            version=version,
            evidence=Evidence(
                name=version.name,
                subject=version.manifest.digest,
                source=source.digest,
                measurements=measured[version.name],
                audits=version.audits,
            ),
        )
        for version in versions
    )
