"""The publisher's own metadata as a hub holds it: read and checked against the root that made it, expiry apart.

Whoever signs again must not sign what somebody else wrote into the folder in between.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weighbridge.dossier.status import Status, StatusError
from weighbridge.hub.standing import is_status_path
from weighbridge.shell.trust.errors import AlteredMetadataError, ForgedMetadataError, trust_errors
from weighbridge.shell.trust.keys import STAGE_ROLES

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

FOLDER = "metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Metadata whose signatures and hashes hold.

    Attributes:
        root: the newest root.
        timestamp, snapshot: as they are.
        targets: `targets` and the stage roles, by name.
        raw: the bytes of each role's metadata, by role.
        listed: bytes of every target, by path.
        role_of: the role that lists a target, by path.
    """

    root: "Metadata[Root]"
    timestamp: "Metadata[Timestamp]"
    snapshot: "Metadata[Snapshot]"
    targets: "Mapping[str, Metadata[Targets]]"
    raw: Mapping[str, bytes]
    listed: Mapping[str, bytes] = field(repr=False)
    role_of: Mapping[str, str] = field(repr=False)

    def statuses(self) -> dict[str, Status]:
        """Return the statuses among the targets, by path.

        Raises:
            AlteredMetadataError: if one was signed that is none.
        """
        try:
            return {
                path: Status.from_bytes(data, place=path) for path, data in self.listed.items() if is_status_path(path)
            }
        except StatusError as error:
            raise AlteredMetadataError(error.message, place=error.place) from error

    def files(self) -> set[str]:
        """Return the paths of the files that a client of this generation may ask for, those that change in place apart.

        These are kept for one generation longer: somebody may be reading them while the next one is published.
        """
        names = {f"{FOLDER}/{self.snapshot.signed.version}.snapshot.json"}
        names.update(f"{FOLDER}/{item.signed.version}.{role}.json" for role, item in self.targets.items())
        names.update(hashed_path(path, data) for path, data in self.listed.items())
        return names


def hashed_path(path: str, data: bytes) -> str:
    """Return the name under which clients ask for a target: TUF's consistent snapshots put its hash before it."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/{hashlib.sha256(data).hexdigest()}.{name}"


def root_path(version: int) -> str:
    """Return where a hub keeps a version of its root."""
    return f"{FOLDER}/{version}.root.json"


def read_chain(files: Mapping[str, bytes], *, place: str) -> Chain | None:
    """Return the metadata among a state's files; None if there is none.

    Raises:
        TrustError: if a signature, version or hash does not hold.
    """
    if root_path(1) not in files:
        if any(name.startswith(f"{FOLDER}/") for name in files):
            raise AlteredMetadataError("the hub's first root is missing", place=place)
        return None
    with trust_errors(place):
        return _Reader(files, place).chain()


class _Reader:
    def __init__(self, files: Mapping[str, bytes], place: str) -> None:
        self.files, self.place = files, place
        self.raw: dict[str, bytes] = {}

    def load(self, path: str, kind: str) -> "Metadata[Any]":
        from tuf.api.metadata import Metadata

        if path not in self.files:
            raise AlteredMetadataError("this file of the hub's metadata is missing", place=f"{self.place}/{path}")
        loaded: Metadata[Any] = Metadata.from_bytes(self.files[path])
        if loaded.signed.type != kind:
            raise ForgedMetadataError(f"this is {loaded.signed.type}, expected {kind}", place=f"{self.place}/{path}")
        return loaded

    def root(self) -> "Metadata[Root]":
        root, version = self.load(root_path(1), "root"), 1
        root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
        while root_path(version + 1) in self.files:
            newer, version = self.load(root_path(version + 1), "root"), version + 1
            for judge in (root.signed, newer.signed):
                judge.verify_delegate("root", newer.signed_bytes, newer.signatures)
            root = newer
        if root.signed.version != version:
            raise ForgedMetadataError("the newest root states another version than its name", place=self.place)
        self.raw["root"] = self.files[root_path(version)]
        return root

    def role(self, judge: Any, role: str, kind: str, path: str, meta: Any = None) -> "Metadata[Any]":
        loaded = self.load(path, kind)
        judge.verify_delegate(role, loaded.signed_bytes, loaded.signatures)
        if meta is not None:
            meta.verify_length_and_hashes(self.files[path])
            if loaded.signed.version != meta.version:
                raise ForgedMetadataError(f"{role} states another version than is signed", place=self.place)
        self.raw[role] = self.files[path]
        return loaded

    def chain(self) -> Chain:
        root = self.root()
        timestamp = self.role(root.signed, "timestamp", "timestamp", f"{FOLDER}/timestamp.json")
        meta = timestamp.signed.snapshot_meta
        snapshot = self.role(root.signed, "snapshot", "snapshot", f"{FOLDER}/{meta.version}.snapshot.json", meta)
        targets: dict[str, Metadata[Targets]] = {}
        for role in ("targets", *STAGE_ROLES):
            meta = snapshot.signed.meta[f"{role}.json"]
            judge = root.signed if role == "targets" else targets["targets"].signed
            targets[role] = self.role(judge, role, "targets", f"{FOLDER}/{meta.version}.{role}.json", meta)
        role_of = {path: role for role, item in reversed(targets.items()) for path in item.signed.targets}
        if stray := next((path for path in self.files if is_status_path(path) and path not in role_of), None):
            raise ForgedMetadataError("this status was never signed", place=f"{self.place}/{stray}")
        return Chain(
            root=root,
            timestamp=timestamp,
            snapshot=snapshot,
            targets=targets,
            raw=self.raw,
            listed={path: self.target(path, targets[role].signed.targets[path]) for path, role in role_of.items()},
            role_of=role_of,
        )

    def target(self, path: str, signed: Any) -> bytes:
        if path not in self.files:
            raise AlteredMetadataError("this file is signed and missing", place=f"{self.place}/{path}")
        signed.verify_length_and_hashes(self.files[path])
        return self.files[path]
