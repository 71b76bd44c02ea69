"""Sign what passed, publish it into a hub, and write the page that shows the whole family."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weighbridge import __version__
from weighbridge.checkpoint.write import write_bytes
from weighbridge.derive.store import DerivationStore
from weighbridge.dossier.compose import with_openness
from weighbridge.dossier.evidence import Standing
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.dossier.signature import BundleSigner, Signer, key_hint
from weighbridge.hub.catalogue import PublishedVersion, StagedVersion
from weighbridge.hub.folder import LocalHub
from weighbridge.hub.page import Family, VersionView, render_page
from weighbridge.hub.port import Hub
from weighbridge.hub.publish import Candidate, publish
from weighbridge.hub.recall import advisories, with_notices
from weighbridge.shell.home import home
from weighbridge.shell.line.circumstance import HISTORY, entered
from weighbridge.shell.line.decide import Decided
from weighbridge.shell.line.line import Line
from weighbridge.shell.line.stage import Staged, Stager, release_record
from weighbridge.shell.trust.repository import signed_files
from weighbridge.terms.recognise import recognise

PAGE_NAME = "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A version that is in the hub.

    Attributes:
        name: `owner/name`.
        folder: its files on this machine: in the hub's folder, or as they were sent to a hub behind an address.
        digest: of the manifest of all its files.
        size_bytes: of all of them together.
        url: its address; empty in a hub that is a folder.
    """

    name: str
    folder: Path
    digest: str
    size_bytes: int
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        facts = {"name": self.name, "folder": str(self.folder), "digest": self.digest, "size_bytes": self.size_bytes}
        return facts | ({"url": self.url} if self.url else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a release.

    Attributes:
        published: versions that are in the hub now, in the plan's order.
        refused: versions that the gate refused.
        hub: the hub's folder or address.
        page: the page of the family.
        public_key: the publisher's public key; None if certificates or an identity vouch for the publisher.
        verify_with: options of `weighbridge verify` that say whom to trust.
    """

    published: tuple[Released, ...]
    refused: tuple[Decided, ...]
    hub: str
    page: Path
    public_key: Path | None
    verify_with: str

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {
            "published": [version.to_json() for version in self.published],
            "refused": [{"name": d.name, "verdict": d.verdict.to_json()} for d in self.refused],
            "hub": self.hub,
            "page": str(self.page),
            "public_key": None if self.public_key is None else str(self.public_key),
            "verify_with": self.verify_with,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Who releases, and where to.

    Attributes:
        hub: folder of the hub; None for the line's.
        signer: signs the versions.
        public_key: file of the public half; None where certificates or a service vouch for the signer.
        verify_with: options of `weighbridge verify` that say whom to trust.
        hash_type: hash of the files in signatures.
    """

    hub: Path | None
    signer: Signer | BundleSigner
    public_key: Path | None
    verify_with: str
    hash_type: str = "sha256"

    def release(self, line: Line) -> Outcome:
        """Publish every version that passes; write the page into the hub, or into the work folder if none does.

        Raises:
            RefusedError: if the hub decides otherwise, or a dossier would give away a secret.
            HubError: if the hub cannot be written to; what was there before stays.
        """
        hub = LocalHub(self.hub) if self.hub else line.hub
        hub.check_writable()
        decided = line.decided()
        records = {d.name: self._record(line, d) for d in decided}
        passed = [d for d in decided if d.verdict.passed]
        page = line.workspace.root / PAGE_NAME
        family = self._family(line, records, decided)
        write_bytes(page, render_page(family).encode())
        staged: dict[str, Staged] = {}
        if passed:
            stager = Stager(
                plan=line.plan,
                source=line.source,
                terms=line.terms,
                published=line.published,
                auditor=line.auditor,
                store=DerivationStore(line.workspace.dossiers),
                signer=self.signer,
                hash_type=self.hash_type,
            )
            for d in passed:
                line.progress.begin(f"writing and signing the dossier of {d.name}")
                staged[d.name] = stager.stage(d, records[d.name])
            self._publish(line, hub, passed, staged, family)
            page = hub.root / PAGE_NAME if isinstance(hub, LocalHub) else page
        return Outcome(
            published=tuple(self._released(hub, d.name, staged[d.name]) for d in passed),
            refused=tuple(d for d in decided if not d.verdict.passed),
            hub=hub.place,
            page=page,
            public_key=self.public_key,
            verify_with=self.verify_with,
        )

    def _record(self, line: Line, decided: Decided) -> ReleaseRecord:
        record = release_record(line.plan, line.source, line.terms, decided)
        licence = recognise(line.terms.licence).licence_id
        beside = ["LICENSE", *(str(file.entry.path) for file in line.published)]
        return with_openness(record, beside, recognised={"LICENSE": licence} if licence else {})

    def _publish(
        self, line: Line, hub: Hub, passed: list[Decided], staged: Mapping[str, Staged], family: Family
    ) -> None:
        count = "1 version" if len(passed) == 1 else f"{len(passed)} versions"
        line.progress.begin(f"publishing {count} to {hub.place}")
        now, before = line.clock(), hub.catalogue()
        candidates = [
            Candidate(
                staged=StagedVersion(
                    name=d.name,
                    folder=staged[d.name].folder,
                    manifest=staged[d.name].manifest,
                    stage=str(line.plan.policy.stage),
                    record={
                        "family": line.plan.model,
                        "subject": d.weighed.evidence.subject,
                        "dossier_files": list(staged[d.name].dossier_files),
                        HISTORY: entered(
                            before.get(d.name),
                            Standing(stage=str(line.plan.policy.stage), since=now, subject=d.weighed.evidence.subject),
                        ),
                    },
                    attestation=staged[d.name].attestation,
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
            return with_notices(text, catalogue)

        further = signed_files(home(), now=now, documents=advisories())
        publish(hub, candidates, line.plan.policy, now=now, page=page, further=further)

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
            key_fingerprint="" if isinstance(self.signer, BundleSigner) else key_hint(self.signer.public_key_pem),
            generated_with=f"Weighbridge {__version__}",
        )

    def _released(self, hub: Hub, name: str, staged: Staged) -> Released:
        return Released(
            name=name,
            folder=hub.root / "models" / name if isinstance(hub, LocalHub) else staged.folder,
            url="" if isinstance(hub, LocalHub) else hub.link_to(name),
            digest=staged.manifest.digest,
            size_bytes=staged.manifest.size_bytes,
        )
