"""Weigh every version against the internal model."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from weighbridge.dossier.evidence import Evidence
from weighbridge.errors import RecipeError
from weighbridge.evidence.evaluate.engine import ModelSource
from weighbridge.evidence.record import Measurement
from weighbridge.shell.engine.scoring import DEFAULT_MAX_TOKENS, make_reference, weigh_likelihood, weigh_resources
from weighbridge.shell.line.audit import AuditedVersion
from weighbridge.shell.line.inputs import read_documents
from weighbridge.shell.line.source import Source
from weighbridge.shell.plan.model import LikelihoodPlan, Plan
from weighbridge.shell.progress import Progress
from weighbridge.shell.workspace import Workspace

SERVED_DTYPE = "bfloat16"
"""What transformers serves in. Likelihoods are computed in float32, so that only the weights differ."""

ENGINES = {"safetensors": "transformers", "gguf": "llama.cpp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedVersion:
    """A version with all its evidence."""

    version: AuditedVersion
    evidence: Evidence

    @property
    def name(self) -> str:
        """`owner/version`."""
        return self.version.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """What versions are weighed with."""

    plan: Plan
    source: Source
    workspace: Workspace
    progress: Progress
    threads: int

    def check(self) -> None:
        """Read the held-out text, so that a wrong file is found before anything is derived.

        Raises:
            InputError: if it cannot be used.
        """
        for probe in self.plan.weigh:
            if isinstance(probe, LikelihoodPlan):
                read_documents(probe)

    def weigh(self, versions: tuple[AuditedVersion, ...]) -> tuple[WeighedVersion, ...]:
        """Carry out every probe of the plan on every version."""
        measured: dict[str, tuple[Measurement, ...]] = {version.name: () for version in versions}
        for probe in self.plan.weigh:
            found = (
                self._likelihood(probe, versions) if isinstance(probe, LikelihoodPlan) else self._resources(versions)
            )
            for name, measurements in found.items():
                measured[name] += measurements
        return tuple(self._weighed(version, measured[version.name]) for version in versions)

    def _weighed(self, version: AuditedVersion, measurements: tuple[Measurement, ...]) -> WeighedVersion:
        evidence = Evidence(
            name=version.name,
            subject=version.manifest.digest,
            source=self.source.digest,
            measurements=measurements,
            audits=version.audits,
        )
        return WeighedVersion(version=version, evidence=evidence)

    def _likelihood(
        self, probe: LikelihoodPlan, versions: tuple[AuditedVersion, ...]
    ) -> dict[str, tuple[Measurement, ...]]:
        reference = make_reference(
            ModelSource(path=self.source.checkpoint.root, kind="safetensors", digest=self.source.digest),
            read_documents(probe),
            self.workspace.likelihood,
            threads=self.threads,
            progress=self._positions("scoring the held-out text with the internal model"),
            max_tokens_per_document=probe.max_tokens_per_document or DEFAULT_MAX_TOKENS,
        )
        return {
            version.name: weigh_likelihood(
                _model(version),
                reference,
                self.workspace.likelihood,
                seed=self.plan.seed,
                confidence=probe.confidence,
                threads=self.threads,
                progress=self._positions(f"weighing {version.name} in {ENGINES[version.checkpoint.format]}"),
            )
            for version in versions
        }

    def _resources(self, versions: tuple[AuditedVersion, ...]) -> dict[str, tuple[Measurement, ...]]:
        return {
            version.name: weigh_resources(
                replace(_model(version), dtype=SERVED_DTYPE),
                self.workspace.likelihood,
                threads=self.threads,
                progress=self._positions(f"timing {version.name} in {ENGINES[version.checkpoint.format]}"),
            )
            for version in versions
        }

    def _positions(self, text: str) -> Callable[[int, int], None]:
        """Return a callback that shows positions done, once it knows how many there are."""
        total_shown, shown = -1, 0
        advance: Callable[[int], None] = _nowhere

        def show(done: int, total: int) -> None:
            nonlocal advance, total_shown, shown
            if total != total_shown:
                known = total if total > 1 else None
                advance, total_shown = self.progress.begin(text, known, unit="positions"), total
            advance(done - shown)
            shown = done

        return show


def _nowhere(amount: int) -> None:
    """Show nothing."""


def _model(version: AuditedVersion) -> ModelSource:
    checkpoint = version.checkpoint
    if checkpoint.format == "gguf":
        return ModelSource(
            path=checkpoint.root / checkpoint.weight_files[0], kind="gguf", digest=version.manifest.digest
        )
    if checkpoint.format == "safetensors":
        return ModelSource(path=checkpoint.root, kind="safetensors", digest=version.manifest.digest)
    raise RecipeError(f"no engine weighs {checkpoint.format}", place=str(checkpoint.root))
