"""Sign what passed, publish it into a local hub, and write the page that shows the whole family."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weighbridge import __version__
from weighbridge.checkpoint.write import write_bytes
from weighbridge.derive.store import DerivationStore
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.dossier.signature import Signer, key_hint
from weighbridge.hub.folder import LocalHub, PublishedVersion, StagedVersion
from weighbridge.hub.page import Family, VersionView, render_page
from weighbridge.hub.publish import Candidate, publish
from weighbridge.shell.line.decide import Decided
from weighbridge.shell.line.inputs import read_licence
from weighbridge.shell.line.line import Line
from weighbridge.shell.line.stage import Staged, release_record, stage

PAGE_NAME = "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A version that is in the hub."""

    name: str
    folder: Path
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a release.

    Attributes:
        published: versions that are in the hub now, in the plan's order.
        refused: versions that the gate refused.
        hub: the hub's folder.
        page: the page of the family.
        public_key: what to verify with.
    """

    published: tuple[Released, ...]
    refused: tuple[Decided, ...]
    hub: Path
    page: Path
    public_key: Path

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {
            "published": [
                {"name": v.name, "folder": str(v.folder), "digest": v.digest, "size_bytes": v.size_bytes}
                for v in self.published
            ],
            "refused": [{"name": d.name, "verdict": d.verdict.to_json()} for d in self.refused],
            "hub": str(self.hub),
            "page": str(self.page),
            "public_key": str(self.public_key),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Who releases, and where to.

    Attributes:
        hub: folder of the hub; None for the plan's.
        signer: signs the versions.
        public_key: file of the public half.
    """

    hub: Path | None
    signer: Signer
    public_key: Path

    def release(self, line: Line) -> Outcome:
        """Publish every version that passes; write the page into the hub, or into the work folder if none does.

        Raises:
            RefusedError: if the hub decides otherwise, or a dossier would give away a secret.
            HubError: if the hub cannot be written to; what was there before stays.
        """
        read_licence(line.plan)
        decided = line.decided()
        records = {d.name: release_record(line.plan, line.source, d) for d in decided}
        passed = [d for d in decided if d.verdict.passed]
        hub = LocalHub(self.hub or line.plan.hub_path)
        page = line.workspace.root / PAGE_NAME
        family = self._family(line, records, decided)
        write_bytes(page, render_page(family).encode())
        staged: dict[str, Staged] = {}
        if passed:
            store = DerivationStore(line.workspace.dossiers)
            for d in passed:
                line.progress.begin(f"writing and signing the dossier of {d.name}")
                staged[d.name] = stage(line.plan, line.source, line.auditor, d, records[d.name], store, self.signer)
            self._publish(line, hub, passed, staged, family)
            page = hub.root / PAGE_NAME
        return Outcome(
            published=tuple(self._released(hub, d.name, staged[d.name]) for d in passed),
            refused=tuple(d for d in decided if not d.verdict.passed),
            hub=hub.root,
            page=page,
            public_key=self.public_key,
        )

    def _publish(
        self, line: Line, hub: LocalHub, passed: list[Decided], staged: Mapping[str, Staged], family: Family
    ) -> None:
        count = "1 version" if len(passed) == 1 else f"{len(passed)} versions"
        line.progress.begin(f"publishing {count} to {hub.root}")
        stage_name = str(line.plan.policy.stage)
        candidates = [
            Candidate(
                staged=StagedVersion(
                    name=d.name,
                    folder=staged[d.name].folder,
                    manifest=staged[d.name].manifest,
                    stage=stage_name,
                    record={
                        "family": line.plan.model,
                        "subject": d.weighed.evidence.subject,
                        "dossier_files": list(staged[d.name].dossier_files),
                    },
                ),
                evidence=d.weighed.evidence,
            )
            for d in passed
        ]

        def page(catalogue: Mapping[str, PublishedVersion]) -> str:
            names = {candidate.staged.name for candidate in candidates}
            others = tuple((name, f"models/{name}") for name in catalogue if name not in names)
            text = render_page(replace(family, neighbours=others))
            what = f"the page of {line.plan.model}"
            line.auditor.refuse_leaks(what, {PAGE_NAME: text.encode()}, passed[0].weighed.version.derived)
            return text

        publish(hub, candidates, line.plan.policy, now=line.clock(), page=page)

    def _family(self, line: Line, records: Mapping[str, ReleaseRecord], decided: tuple[Decided, ...]) -> Family:
        versions = tuple(
            VersionView(
                record=records[d.name],
                published=d.verdict.passed,
                path=f"models/{d.name}" if d.verdict.passed else "",
            )
            for d in decided
        )
        return Family(
            model=line.plan.model,
            title=line.plan.title or line.plan.model,
            summary=line.plan.summary,
            source={
                "digest": line.source.digest,
                "architecture": line.source.architecture.to_json(),
                "size_bytes": sum(t.size_bytes for t in line.source.checkpoint.tensors),
            },
            versions=versions,
            held_back=versions[0].record.held_back,
            key_fingerprint=key_hint(self.signer.public_key_pem),
            generated_with=f"Weighbridge {__version__}",
        )

    def _released(self, hub: LocalHub, name: str, staged: Staged) -> Released:
        return Released(
            name=name,
            folder=hub.root / "models" / name,
            digest=staged.manifest.digest,
            size_bytes=staged.manifest.size_bytes,
        )
