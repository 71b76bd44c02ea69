"""Send versions that a hub folder has published to another hub, once the gate has let each through again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.adopt.verify import verify_folder
from weighbridge.dossier.status import State
from weighbridge.errors import RefusedError, VerificationError
from weighbridge.hub.catalogue import PublishedVersion, StagedVersion, find
from weighbridge.hub.folder import LocalHub
from weighbridge.hub.port import Hub
from weighbridge.hub.publish import Candidate, admit
from weighbridge.hub.recall import advisories, with_notices
from weighbridge.hub.standing import state_of
from weighbridge.hub.state import PAGE, attestation_path, read_bounded
from weighbridge.shell.gate.released import read_released
from weighbridge.shell.home import home
from weighbridge.shell.signing import EcKeyVerifier
from weighbridge.shell.trust.repository import signed_files

if TYPE_CHECKING:
    from weighbridge.shell.progress import Progress


LeftOut = tuple[str, str]
"""Name of a version, and why it is not sent."""


def admitted(
    source: LocalHub, names: Sequence[str], key: Path, progress: "Progress", *, now: datetime
) -> tuple[tuple[StagedVersion, ...], tuple[LeftOut, ...]]:
    """Return the versions of a hub folder that may go to another hub, and those that stay behind.

    Each is read and compared with its publisher's signature, and the gate decides again, by the rules and on the
    evidence that its signed record holds.

    Args:
        source: the hub folder.
        names: `owner/name` of those that are wanted; nothing for all that are neither recalled nor superseded.
        key: public key of whoever signed them.
        progress: told what is done.
        now: when.

    Raises:
        InputError: if there is no such version.
        VerificationError: if one is not what its publisher signed.
        RefusedError: if the gate does not let one through.
        HubError: if the hub folder cannot be read.
    """
    catalogue = source.catalogue()
    wanted = [find(catalogue, name, place=source.place) for name in names] if names else list(catalogue.values())
    left_out = tuple((v.name, f"it is {v.stage}") for v in wanted if state_of(v) != State.ACTIVE)
    files = source.files()
    active = [version for version in wanted if state_of(version) == State.ACTIVE]
    return tuple(_admitted(source, version, key, files, progress, now) for version in active), left_out


def _admitted(
    source: LocalHub,
    version: PublishedVersion,
    key: Path,
    files: Mapping[str, bytes],
    progress: "Progress",
    now: datetime,
) -> StagedVersion:
    folder = source.path_of(version.name)
    advance = progress.begin(f"reading every byte of {version.name}")
    found = verify_folder(folder, EcKeyVerifier.load(key), on_bytes=advance)
    if not found.ok:
        first = found.problems[0]
        raise VerificationError(f"{first.kind}: {first.message}", place=str(folder / first.path))
    manifest = source.manifest(version.name)
    staged = StagedVersion(
        name=version.name,
        folder=folder,
        manifest=manifest,
        stage=version.stage,
        record=version.record,
        attestation=files.get(attestation_path(version.name), b""),
    )
    released = read_released(folder)
    policy = released.policy
    if policy is None or released.record.reference != version.name or version.stage != policy.stage:
        raise RefusedError(
            f"the record of {version.name} does not say what its gate asked for the stage {version.stage}",
            place=str(folder),
            hint="Release it again with this Weighbridge.",
        )
    admit(Candidate(staged=staged, evidence=released.evidence), policy, now=now)
    return staged


def publish_staged(hub: Hub, source: LocalHub, staged: Sequence[StagedVersion], *, now: datetime) -> str:
    """Publish versions that were admitted, with the page that their hub folder has; return the id of the hub's state.

    Raises:
        RecalledError: if one of them was recalled on this hub.
        HubError: if the hub cannot be written to.
    """
    text = read_bounded(source.root / "current" / PAGE).decode("utf-8", "replace")
    further = signed_files(home(), now=now, documents=advisories())
    return hub.publish(staged, page=lambda catalogue: with_notices(text, catalogue), further=further)
