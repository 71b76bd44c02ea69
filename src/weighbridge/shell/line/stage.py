"""Put a version together with its dossier, sign it, and stage it for a hub."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from weighbridge import __version__
from weighbridge.checkpoint.architecture import describe
from weighbridge.checkpoint.manifest import FileEntry, Manifest
from weighbridge.checkpoint.write import write_bytes
from weighbridge.derive.recipe import step_key
from weighbridge.derive.store import DerivationStore
from weighbridge.dossier.card import CARD_NAME, model_card
from weighbridge.dossier.provenance import PROVENANCE_NAME, provenance_line
from weighbridge.dossier.release import RELEASE_NAME, ReleaseRecord, Texts
from weighbridge.dossier.signature import SIGNATURE_NAME, Signer, key_hint, sign_files
from weighbridge.errors import InputError
from weighbridge.shell.line.audit import Auditor
from weighbridge.shell.line.decide import Decided
from weighbridge.shell.line.inputs import read_licence
from weighbridge.shell.line.source import Source
from weighbridge.shell.line.withheld import summary
from weighbridge.shell.plan.model import Plan
from weighbridge.terms.licence import notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A signed version, ready to be published.

    Attributes:
        folder: payload and dossier.
        manifest: every file of it, `model.sig` among them.
        dossier_files: those that are not payload.
    """

    folder: Path
    manifest: Manifest
    dossier_files: tuple[str, ...]


def release_record(plan: Plan, source: Source, decided: Decided) -> ReleaseRecord:
    """Return everything that the dossier states about one version."""
    weighed = decided.weighed
    version, made = weighed.version, weighed.version.derived.made
    return ReleaseRecord(
        model=plan.model,
        version=version.name.split("/")[1],
        subject=version.manifest.digest,
        manifest=version.manifest,
        source_digest=source.digest,
        source_architecture=source.architecture.to_json(),
        architecture=describe(version.checkpoint).to_json(),
        format=version.checkpoint.format,
        recipe=tuple(_public_recipe(weighed.version.derived.recipe.to_json(), made.engines, made.result.facts)),
        license=plan.license,
        parents=tuple(parent.to_json() for parent in plan.parents),
        texts=Texts(
            title=plan.title or plan.model,
            summary=plan.summary,
            intended_use=plan.intended_use,
            limitations=plan.limitations,
            languages=plan.languages,
            contact=plan.contact,
        ),
        held_back=summary(plan.hold_back, source.checkpoint, made),
        measurements=weighed.evidence.measurements,
        audits=weighed.evidence.audits,
        verdict=decided.verdict.to_json(),
        weighbridge_version=__version__,
    )


def _public_recipe(
    steps: list[dict[str, Any]], engines: tuple[str, ...], facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the steps without what would name the things that are held back."""
    public = []
    for step in steps:
        if step["step"] == "withhold":
            public.append({"step": "withhold", "engine": engines[0]})
        elif step["step"] == "gguf":
            fallback = {name: facts[name] for name in ("fallback_tensors",) if name in facts}
            public.append({**step, "engine": engines[-1], **fallback})
        else:
            public.append({**step, "engine": engines[0]})
    return public


def stage(
    plan: Plan,
    source: Source,
    auditor: Auditor,
    decided: Decided,
    record: ReleaseRecord,
    store: DerivationStore,
    signer: Signer,
) -> Staged:
    """Return the version with its dossier, signed; one that was staged before for the same content is used again.

    Raises:
        InputError: if the version holds a file with the name of a dossier file.
        RefusedError: if the dossier itself would give away something that is held back.
    """
    version = decided.weighed.version
    dossier = dossier_files(plan, record)
    if clash := [str(entry.path) for entry in version.manifest if str(entry.path) in (*dossier, SIGNATURE_NAME)]:
        raise InputError(
            f"the version holds a file named {clash[0]!r}, which the dossier writes", hint="Leave it out of `keep`."
        )
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in dossier.items()}
    parameters = {"payload": version.manifest.digest, "dossier": digests}
    key = step_key(source.digest, parameters, f"signed by {key_hint(signer.public_key_pem)}")

    def make(folder: Path) -> tuple[Manifest, Mapping[str, Any]]:
        auditor.refuse_leaks(f"the dossier of {decided.name}", dossier, version.derived)
        for name, data in dossier.items():
            write_bytes(folder / name, data)
        for entry in version.manifest:
            _link(version.folder / entry.path, folder / entry.path)
        entries = [*version.manifest, *(_entry(name, data) for name, data in dossier.items())]
        signature = sign_files({str(e.path): e.sha256 for e in entries}, name=version.name, signer=signer)
        write_bytes(folder / SIGNATURE_NAME, signature)
        return Manifest.of([*entries, _entry(SIGNATURE_NAME, signature)]), {}

    derived = store.get_or_make(key, make)
    return Staged(folder=derived.folder, manifest=derived.manifest, dossier_files=(*sorted(dossier), SIGNATURE_NAME))


def dossier_files(plan: Plan, record: ReleaseRecord) -> dict[str, bytes]:
    """Return the dossier, file by file, but for the signature."""
    changes = tuple(f"{step['step']}: {_words(step)}" for step in record.recipe)
    text = notice(
        record.reference,
        plan.parents,
        license_id=plan.license,
        title=plan.title,
        copyright_line=plan.copyright_line,
        changes=changes,
    )
    return {
        CARD_NAME: model_card(record).encode(),
        RELEASE_NAME: record.to_bytes(),
        PROVENANCE_NAME: provenance_line(record),
        "LICENSE": read_licence(plan),
        "NOTICE": text.encode(),
    }


def _words(step: Mapping[str, Any]) -> str:
    if step["step"] == "gguf":
        return f"converted to GGUF and stored as {step['type']} by {step['engine']}"
    if step["step"] == "cast":
        return f"stored as {step['dtype']}"
    return "internal tensors, files and metadata were left out"


def _entry(name: str, data: bytes) -> FileEntry:
    return FileEntry(path=PurePosixPath(name), size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
