"""The line itself: each stage takes what the stage before it made, and asks for it when it is needed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from weighbridge.derive.make import Workbench
from weighbridge.errors import InputError
from weighbridge.hub.port import Hub
from weighbridge.shell.gate.records import read_records, trust_of
from weighbridge.shell.line.audit import AuditedVersion, Auditor
from weighbridge.shell.line.baseline import baselines
from weighbridge.shell.line.circumstance import with_circumstances
from weighbridge.shell.line.decide import Decided, decide_version
from weighbridge.shell.line.derive import derive_versions
from weighbridge.shell.line.inputs import read_licence
from weighbridge.shell.line.kept import KeptRecords
from weighbridge.shell.line.published import PublishedFile, check_published, read_published
from weighbridge.shell.line.source import Source, read_source
from weighbridge.shell.line.terms import ReleaseTerms, audit_terms, resolve_terms
from weighbridge.shell.line.weigh import Scales, WeighedVersion
from weighbridge.shell.plan.model import Plan
from weighbridge.shell.progress import Progress
from weighbridge.shell.workspace import Workspace


@dataclass(kw_only=True)
class Line:
    """A release plan on its way. Everything is done once, and kept in the work folder for the next run.

    Attributes:
        plan: what to do.
        workspace: the work folder, held.
        bench: what versions are derived with.
        progress: told what is being done.
        threads: how many to use.
        clock: tells the time of decisions.
        hub: where versions are published.
    """

    plan: Plan
    workspace: Workspace
    bench: Workbench
    progress: Progress
    threads: int
    clock: Callable[[], datetime]
    hub: Hub

    @cached_property
    def source(self) -> Source:
        """The internal model, read and found sound."""
        # A mistake shows before hours of work and not after them.
        read_licence(self.plan)
        check_published(self.plan)
        # A release whose licences contradict each other is refused before hours of work, not after them.
        _ = self.terms
        return read_source(self.plan, self.progress, self.threads)

    @cached_property
    def terms(self) -> ReleaseTerms:
        """The chain of parents and what follows from it."""
        return resolve_terms(self.plan)

    def check_finished(self) -> None:
        """Return if an earlier run released something of this plan: what it made is used again.

        Raises:
            InputError: if none did.
        """
        if not any(self.workspace.dossiers.iterdir()):
            raise InputError(
                "nothing was released of this plan yet",
                place=str(self.plan.path),
                hint="Run `weighbridge release` on it; with --hub it publishes there, too.",
            )

    def audited(self) -> tuple[AuditedVersion, ...]:
        """Derive and audit every version."""
        return self._audited

    def weighed(self) -> tuple[WeighedVersion, ...]:
        """Derive, audit and weigh every version."""
        return self._weighed

    def decided(self) -> tuple[Decided, ...]:
        """Derive, audit, weigh and decide on every version."""
        return self._decided

    @cached_property
    def auditor(self) -> Auditor:
        """Audits versions of the internal model."""
        return Auditor(self.plan, self.source, self.workspace, self.progress, self.threads, self.clock)

    @cached_property
    def _kept(self) -> KeptRecords:
        return KeptRecords(self.workspace.evidence)

    @cached_property
    def _audited(self) -> tuple[AuditedVersion, ...]:
        self._scales.check()
        derived = derive_versions(self.plan, self.source, self.terms.license, self.bench)
        return tuple(self._with_terms(self.auditor.audit(version)) for version in derived)

    def _with_terms(self, version: AuditedVersion) -> AuditedVersion:
        subject = version.manifest.digest
        audit = audit_terms(self.plan, self.terms, self.source.checkpoint, version.checkpoint, subject)
        return replace(version, audits=(*version.audits, audit))

    @cached_property
    def published(self) -> tuple[PublishedFile, ...]:
        """Components and data that go along with every version, hashed and searched."""
        return read_published(self.plan, self.auditor, self._audited[0].derived)

    @cached_property
    def _scales(self) -> Scales:
        return Scales(
            plan=self.plan,
            source=self.source,
            workspace=self.workspace,
            kept=self._kept,
            progress=self.progress,
            threads=self.threads,
            clock=self.clock,
            baselines=tuple(baselines(self.plan, self.hub, self.hub.catalogue(), self.progress)),
        )

    @cached_property
    def _weighed(self) -> tuple[WeighedVersion, ...]:
        return self._scales.weigh(self._audited)

    @cached_property
    def _decided(self) -> tuple[Decided, ...]:
        signed = read_records(trust_of(self.plan))
        catalogue = self.hub.catalogue()
        known = (
            replace(v, evidence=with_circumstances(v.evidence, self.plan, signed, catalogue)) for v in self._weighed
        )
        return tuple(decide_version(version, self.plan.policy, self._kept, self.clock) for version in known)
