"""The publisher's side: sign what a hub says about its versions, in the same step that publishes them.

Roles: the root names the keys; `targets` delegates to one role a stage (`trusted`, `gated`, `open`), which lists each
version's `status.json` and the advisories; `snapshot` binds the versions of all of them together, and `timestamp`, the
shortest-lived, binds the snapshot. The same content gives the same bytes until half of a lifetime is over.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.dossier.status import State, Status
from weighbridge.errors import InputError
from weighbridge.hub.catalogue import PublishedVersion
from weighbridge.hub.folder import Further
from weighbridge.hub.standing import said_of, status_path
from weighbridge.shell.trust.chain import FOLDER, Chain, hashed_path, read_chain, root_path
from weighbridge.shell.trust.errors import StaleMetadataError
from weighbridge.shell.trust.keys import STAGE_ROLES, TOP_ROLES, KeyFolder, fresh_keys

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, Key
    from tuf.api.metadata import Delegations, Metadata, Root, Signed

Documents = Callable[[Mapping[str, PublishedVersion], Mapping[str, bytes]], Mapping[str, bytes]]
"""Makes advisories (path to bytes) from the new catalogue and from the files that were signed before."""

PATHS = ("status/*/*/*.json", "advisories/*.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long metadata is good for. What has less than half of it left is signed again by the next publish."""

    root: timedelta = timedelta(days=365)
    targets: timedelta = timedelta(days=90)
    snapshot: timedelta = timedelta(days=30)
    timestamp: timedelta = timedelta(days=14)

    def of(self, role: str) -> timedelta:
        """Return the lifetime of a role; the stage roles have that of `targets`."""
        lifetime: timedelta = getattr(self, role if role in TOP_ROLES else "targets")
        return lifetime


def signed_files(
    home: Path,
    *,
    now: datetime,
    lifetimes: Lifetimes | None = None,
    renew: bool = False,
    rotate: Sequence[str] = (),
    documents: Documents | None = None,
) -> Further:
    """Return what makes the signed files of a hub's next state, for `LocalHub.publish` and `LocalHub.amend`.

    The keys are made when a hub is published to for the first time. What it returns raises a `TrustError` if the
    metadata that is there is not what these keys signed, and an `InputError` if the keys are not there.

    Args:
        home: `weighbridge.shell.home.home()`; the keys lie below it.
        now: when it is signed.
        lifetimes: how long it is good for.
        renew: give `snapshot` and `timestamp` their whole lifetime again, even if nothing changed.
        rotate: roles that get a new key in place of theirs; a new root, signed with the old key too, says so.
        documents: makes advisories that come along.
    """
    moment = now.replace(microsecond=0)

    def further(catalogue: Mapping[str, PublishedVersion], before: Mapping[str, bytes]) -> Mapping[str, bytes]:
        chain = read_chain(before, place="the hub's metadata")
        work = _Signing(chain=chain, before=before, now=moment, lifetimes=lifetimes or Lifetimes(), renew=renew)
        work.open_keys(home, rotate)
        signed_before = chain.listed if chain else {}
        statuses = statuses_of(catalogue, chain.statuses() if chain else {}, now=moment)
        advisories = {path: data for path, data in signed_before.items() if path.startswith("advisories/")}
        advisories.update(documents(catalogue, signed_before) if documents else {})
        return work.sign(statuses, advisories)

    return further


def statuses_of(
    catalogue: Mapping[str, PublishedVersion], signed: Mapping[str, Status], *, now: datetime
) -> dict[str, Status]:
    """Return every status of a hub by path: of what is published, and of what was published before.

    A catalogue is not signed: where it says less than what was signed before, the signed word stands.
    """
    statuses: dict[str, Status] = {}
    for name, version in catalogue.items():
        path = status_path(name)
        fresh = said_of(version) or _active(version, now)
        earlier = signed.get(path)
        same = earlier is not None and earlier.digest == version.digest
        statuses[path] = _later(earlier, fresh) if earlier and same else fresh
    for path, status in signed.items():
        current = statuses.get(status_path(status.name))
        if current is not None and current.digest == status.digest:
            continue
        if path == status_path(status.name):
            reason = "A newer version was published under this name." if current else "It was taken out of the hub."
            status = _buried(status, reason, status.name if current else "", now)
        statuses[status_path(status.name, status.digest)] = status
    return statuses


def _active(version: PublishedVersion, now: datetime) -> Status:
    subject = version.record.get("subject")
    return Status(
        name=version.name,
        digest=version.digest,
        subject=subject if isinstance(subject, str) else "",
        state=State.ACTIVE,
        since=now,
        circle=version.stage if version.stage in STAGE_ROLES else "",
    )


def _later(signed: Status, fresh: Status) -> Status:
    if fresh.state.severity > signed.state.severity:
        return fresh
    if signed.state != State.ACTIVE:
        return signed
    return replace(fresh, since=signed.since)


def _buried(status: Status, reason: str, successor: str, now: datetime) -> Status:
    if status.state != State.ACTIVE:
        return status
    return replace(status, state=State.DEPRECATED, since=now, reason=reason, successor=successor)


@dataclass(slots=True, kw_only=True)
class _Signing:
    chain: Chain | None
    before: Mapping[str, bytes]
    now: datetime
    lifetimes: Lifetimes
    renew: bool
    keys: Mapping[str, "CryptoSigner"] = field(default_factory=dict)
    made: dict[str, bytes] = field(default_factory=dict)
    delegations: "Delegations | None" = None
    fresh: Mapping[str, "CryptoSigner"] = field(default_factory=dict)

    def open_keys(self, home: Path, rotate: Sequence[str]) -> None:
        if self.chain is None:
            fresh = fresh_keys()
            self.keys = {signer.public_key.keyid: signer for signer in fresh.values()}
            self.made[root_path(1)] = first = self._first_root(fresh)
            KeyFolder.of(home, first).create(fresh, first)
            self.delegations = _delegations({role: signer.public_key for role, signer in fresh.items()})
            return
        folder = KeyFolder.of(home, self.before[root_path(1)])
        self.fresh = fresh_keys(rotate)
        self.keys = {**folder.load(), **{signer.public_key.keyid: signer for signer in self.fresh.values()}}
        self.delegations = self.chain.targets["targets"].signed.delegations
        if stages := [role for role in rotate if role in STAGE_ROLES]:
            assert self.delegations is not None
            assert self.delegations.roles is not None
            held = {role: self.delegations.keys[item.keyids[0]] for role, item in self.delegations.roles.items()}
            self.delegations = _delegations(held | {role: self.fresh[role].public_key for role in stages})
        # On the disk before anything that they sign.
        folder.add(self.fresh)

    def sign(self, statuses: Mapping[str, Status], advisories: Mapping[str, bytes]) -> Mapping[str, bytes]:
        contents = {path: status.to_bytes() for path, status in statuses.items()} | dict(advisories)
        circle = {path: status.circle or "targets" for path, status in statuses.items()}
        about = {f"advisories/{status.advisory}.json": circle[path] for path, status in statuses.items()}
        roles = {path: circle.get(path) or about.get(path) or self._role_before(path) for path in contents}
        root = self._root()
        listed = {
            role: self._targets(root, role, {path: contents[path] for path in contents if roles[path] == role})
            for role in ("targets", *STAGE_ROLES)
        }
        snapshot = self._snapshot(root, listed)
        changed = self._timestamp(root, snapshot)
        if self.chain is not None and not changed and not self.made:
            return self.before
        self.made.update(contents)
        self.made.update((hashed_path(path, data), data) for path, data in contents.items())
        return {**self._kept(), **self.made}

    def _role_before(self, path: str) -> str:
        return self.chain.role_of.get(path, "targets") if self.chain else "targets"

    def _kept(self) -> dict[str, bytes]:
        """Return the files of the state before that somebody may be asking for, and every root there ever was."""
        if self.chain is None:
            return {}
        names = self.chain.files() | {f"{FOLDER}/root.json", f"{FOLDER}/timestamp.json"}
        names |= {root_path(version) for version in range(1, self.chain.root.signed.version + 1)}
        return {name: self.before[name] for name in sorted(names) if name in self.before}

    def _fresh_enough(self, signed: "Signed", role: str) -> bool:
        if self.renew and role in ("snapshot", "timestamp"):
            return False
        return signed.expires - self.now >= self.lifetimes.of(role) / 2

    def _signed(self, signed: "Signed", keyids: list[str], role: str) -> bytes:
        from tuf.api.metadata import Metadata

        metadata: Metadata[Any] = Metadata(signed)
        signers = [self.keys[keyid] for keyid in keyids if keyid in self.keys]
        if not signers:
            raise InputError(
                f"the key of the role {role!r} is not here",
                place=str(keyids),
                hint="Bring the key file back into the folder `trust` of $WEIGHBRIDGE_HOME, and run the command again.",
            )
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def _first_root(self, fresh: Mapping[str, "CryptoSigner"]) -> bytes:
        from tuf.api.metadata import Root

        root = Root(version=1, expires=self.now + self.lifetimes.root, consistent_snapshot=True)
        for role in TOP_ROLES:
            root.add_key(fresh[role].public_key, role)
        return self._signed(root, root.roles["root"].keyids, "root")

    def _root(self) -> "Root":
        from tuf.api.metadata import Metadata, Root

        if self.chain is None:
            data = self.made[root_path(1)]
            self.made[f"{FOLDER}/root.json"] = data
            return Metadata[Root].from_bytes(data).signed
        old = self.chain.root.signed
        has_key = any(keyid in self.keys for keyid in old.roles["root"].keyids)
        rotated = [role for role in TOP_ROLES if role in self.fresh]
        if not rotated and (self._fresh_enough(old, "root") or not has_key):
            if old.is_expired(self.now):
                raise StaleMetadataError(
                    "the hub's root has expired, and its key is not here to renew it",
                    hint="Bring the key file `root-….pem` back into the folder `trust` of $WEIGHBRIDGE_HOME.",
                )
            return old
        if not has_key:
            raise InputError(
                "keys can be changed only with the root's key, and it is not here",
                hint="Bring the key file `root-….pem` back into the folder `trust` of $WEIGHBRIDGE_HOME.",
            )
        root = Metadata[Root].from_bytes(self.chain.raw["root"]).signed
        root.version, root.expires = old.version + 1, self.now + self.lifetimes.root
        for role in rotated:
            for keyid in tuple(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            root.add_key(self.fresh[role].public_key, role)
        # Whoever trusts the old root follows only where its own key leads.
        keyids = dict.fromkeys((*old.roles["root"].keyids, *root.roles["root"].keyids))
        data = self._signed(root, list(keyids), "root")
        self.made |= {root_path(root.version): data, f"{FOLDER}/root.json": data}
        return root

    def _targets(self, root: "Root", role: str, contents: Mapping[str, bytes]) -> tuple[int, bytes]:
        from tuf.api.metadata import TargetFile, Targets

        listed = {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in sorted(contents.items())}
        delegations = self.delegations if role == "targets" else None
        old = self.chain.targets[role].signed if self.chain else None
        judge = self.delegations if role in STAGE_ROLES else root
        assert judge is not None
        assert judge.roles is not None
        keyids = judge.roles[role].keyids
        unchanged = old is not None and old.targets == listed and old.delegations == delegations
        if old is not None and self.chain is not None and unchanged and self._still(old, role, keyids):
            return old.version, self.chain.raw[role]
        version = old.version + 1 if old else 1
        expires = self.now + self.lifetimes.targets
        targets = Targets(version=version, expires=expires, targets=listed, delegations=delegations)
        data = self._signed(targets, keyids, role)
        self.made[f"{FOLDER}/{version}.{role}.json"] = data
        return version, data

    def _still(self, old: "Signed", role: str, keyids: list[str]) -> bool:
        """Say whether metadata is fresh enough, and signed by a key that the role has now."""
        assert self.chain is not None
        top: dict[str, Metadata[Any]] = {"snapshot": self.chain.snapshot, "timestamp": self.chain.timestamp}
        metadata: Metadata[Any] = top[role] if role in top else self.chain.targets[role]
        return self._fresh_enough(old, role) and any(keyid in metadata.signatures for keyid in keyids)

    def _snapshot(self, root: "Root", listed: Mapping[str, tuple[int, bytes]]) -> tuple[int, bytes]:
        from tuf.api.metadata import MetaFile, Snapshot

        meta = {f"{role}.json": MetaFile.from_data(v, data, ["sha256"]) for role, (v, data) in listed.items()}
        old, keyids = self.chain.snapshot.signed if self.chain else None, root.roles["snapshot"].keyids
        if old is not None and self.chain is not None and old.meta == meta and self._still(old, "snapshot", keyids):
            return old.version, self.chain.raw["snapshot"]
        version = old.version + 1 if old else 1
        snapshot = Snapshot(version=version, expires=self.now + self.lifetimes.snapshot, meta=meta)
        data = self._signed(snapshot, keyids, "snapshot")
        self.made[f"{FOLDER}/{version}.snapshot.json"] = data
        return version, data

    def _timestamp(self, root: "Root", snapshot: tuple[int, bytes]) -> bool:
        """Sign the timestamp; say whether it is a new one."""
        from tuf.api.metadata import MetaFile, Timestamp

        meta = MetaFile.from_data(*snapshot, ["sha256"])
        old, keyids = self.chain.timestamp.signed if self.chain else None, root.roles["timestamp"].keyids
        path = f"{FOLDER}/timestamp.json"
        if old is not None and old.snapshot_meta == meta and self._still(old, "timestamp", keyids):
            return False
        version = old.version + 1 if old else 1
        timestamp = Timestamp(version=version, expires=self.now + self.lifetimes.timestamp, snapshot_meta=meta)
        self.made[path] = self._signed(timestamp, keyids, "timestamp")
        return True


def _delegations(public: "Mapping[str, Key]") -> "Delegations":
    from tuf.api.metadata import DelegatedRole, Delegations

    return Delegations(
        keys={public[role].keyid: public[role] for role in STAGE_ROLES},
        roles={
            role: DelegatedRole(role, [public[role].keyid], threshold=1, terminating=False, paths=list(PATHS))
            for role in STAGE_ROLES
        },
    )
