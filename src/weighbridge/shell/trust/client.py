"""The adopter's side: what a hub's publisher says about a version now, checked against a root that the adopter trusts.

The checks are those of `tuf.ngclient`, unmodified. What was seen last is kept below `home()/seen/`, so that metadata
that goes back in time is found; metadata that stands still is found when it expires.
"""

import hashlib
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.dossier.status import MAX_STATUS_BYTES, Status, StatusError, utc_text
from weighbridge.errors import InputError
from weighbridge.hub.blob import hub_errors, make_folder, write_synced
from weighbridge.hub.lock import held_lock
from weighbridge.hub.standing import status_path
from weighbridge.shell.small_file import read_small
from weighbridge.shell.trust.errors import AlteredMetadataError, ForgedMetadataError, NoMetadataError, trust_errors
from weighbridge.shell.trust.fetch import fetcher_of, is_address
from weighbridge.shell.trust.keys import hub_id

if TYPE_CHECKING:
    from tuf.ngclient import Updater

_MAX_ROOT_BYTES = 512_000
_MAX_ADVISORY_BYTES = 1 << 20
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How new the metadata is that was just checked.

    Attributes:
        root_id: which trusted root it goes back to; see `keys.hub_id`.
        versions: version of each role's metadata that was read.
        expires: when each expires.
    """

    root_id: str
    versions: Mapping[str, int]
    expires: Mapping[str, datetime]

    @property
    def first_to_expire(self) -> tuple[str, datetime]:
        """The role that expires first, and when."""
        return min(self.expires.items(), key=lambda item: item[1])

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form."""
        return {
            "root": self.root_id,
            "versions": dict(self.versions),
            "expires": {role: utc_text(moment) for role, moment in self.expires.items()},
        }


class TrustedHub:
    """A hub whose metadata is good and fresh. Made by `trusted_hub`; reads no more than it is asked for."""

    def __init__(self, updater: "Updater", *, seen: Path, base: str, place: str, root_id: str) -> None:
        self._updater, self._seen, self._base = updater, seen, base
        self.place, self.root_id = place, root_id

    def status(self, name: str, digest: str = "") -> Status | None:
        """Return what the publisher says about a version now; None if nothing.

        Args:
            name: `owner/name`.
            digest: of the manifest of all its files; empty for the version that has the name now.

        Raises:
            TrustError: if metadata or status are not what was promised.
            NoMetadataError: if a file that is signed is not there.
        """
        current = self._status(status_path(name), name)
        if not digest or (current is not None and current.digest == digest):
            return current
        return self._status(status_path(name, digest), name, digest)

    def advisory(self, identifier: str) -> bytes | None:
        """Return an advisory, in OSV form; None if there is none.

        Raises:
            TrustError: if it is not what was promised.
        """
        return self._target(f"advisories/{identifier}.json", _MAX_ADVISORY_BYTES)

    def freshness(self) -> Freshness:
        """Return how new the metadata is that was read so far."""
        from tuf.api.metadata import Metadata

        signed: dict[str, Any] = {
            path.stem: Metadata.from_file(str(path)).signed for path in sorted(self._seen.glob("*.json"))
        }
        # A role that nothing was asked of may lie here from an earlier time.
        listed = {name.removesuffix(".json"): item.version for name, item in signed["snapshot"].meta.items()}
        read = {role: item for role, item in signed.items() if listed.get(role, item.version) == item.version}
        return Freshness(
            root_id=self.root_id,
            versions={role: item.version for role, item in read.items()},
            expires={role: item.expires for role, item in read.items()},
        )

    def _status(self, path: str, name: str, digest: str = "") -> Status | None:
        data = self._target(path, MAX_STATUS_BYTES)
        if data is None:
            return None
        try:
            status = Status.from_bytes(data, place=f"{self.place}/{path}")
        except StatusError as error:
            raise AlteredMetadataError(f"what is signed is no status: {error.message}", place=error.place) from error
        if status.name != name or (digest and status.digest != digest):
            raise ForgedMetadataError(
                f"the status signed for {name} speaks of {status.name} {status.digest}", place=f"{self.place}/{path}"
            )
        return status

    def _target(self, path: str, most_bytes: int) -> bytes | None:
        with trust_errors(self.place), tempfile.TemporaryDirectory() as folder:
            info = self._updater.get_targetinfo(path)
            if info is None:
                return None
            if info.length > most_bytes:
                raise AlteredMetadataError(f"{path} has {info.length} bytes, more than {most_bytes}", place=self.place)
            return Path(
                self._updater.download_target(info, str(Path(folder) / "target"), target_base_url=self._base)
            ).read_bytes()


@contextmanager
def trusted_hub(location: str, home: Path, *, root: bytes | None = None, token: str = "") -> Iterator[TrustedHub]:
    """Read a hub's metadata, check it, and remember it as seen.

    Args:
        location: a hub's folder, a plain copy of one, or a web address of either.
        home: `weighbridge.shell.home.home()`.
        root: `root.json` as the adopter got it from the publisher; it is remembered for this hub. None for the one that
            was given before, or that this person's own hub began with.
        token: for a web server that shows the metadata to its own people only.

    Raises:
        TrustError: if the metadata is expired, older than what was seen before, altered, or not signed as it must be.
        NoMetadataError: if there is none, it cannot be reached, or no root is trusted for this hub.
        InputError: if `root` is no root.
    """
    with hub_errors(home):
        pinned = _pinned(location, home, root)
        root_id = hub_id(pinned)
        seen = home / "seen" / root_id
        make_folder(seen)
        # Two at once would fight over the names that python-tuf gives its files.
        with held_lock(home / "seen" / f"{root_id}.lock", wait_seconds=_LOCK_SECONDS):
            hub = _checked(location, seen, pinned, root_id, token)
            if root is not None:
                pin(location, home, root)
            yield hub


def _checked(location: str, seen: Path, pinned: bytes, root_id: str, token: str) -> TrustedHub:
    from tuf.ngclient import Updater

    fetcher, base = fetcher_of(location, token=token)
    with trust_errors(location):
        updater = Updater(str(seen), f"{base}metadata/", fetcher=fetcher, bootstrap=pinned)
        updater.refresh()
    return TrustedHub(updater, seen=seen, base=base, place=location, root_id=root_id)


def read_root(path: Path) -> bytes:
    """Return the bytes of a `root.json` that an adopter has.

    Raises:
        InputError: if it cannot be read or is no root that signs itself.
    """
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    hint = "The publisher's hub holds it as metadata/root.json; take it from a source that you trust."
    data = read_small(path, _MAX_ROOT_BYTES, "the trusted root", hint=hint)
    try:
        loaded = Metadata[Root].from_bytes(data)
        if loaded.signed.type != "root":
            raise RepositoryError(f"its type is {loaded.signed.type}")
        loaded.signed.verify_delegate("root", loaded.signed_bytes, loaded.signatures)
    except RepositoryError as error:
        raise InputError(f"this is no root of TUF metadata: {error}", place=str(path), hint=hint) from error
    return data


def _pinned(location: str, home: Path, root: bytes | None) -> bytes:
    if root is not None:
        return root
    pinned = _pin_path(location, home)
    if pinned.is_file():
        return pinned.read_bytes()
    if not is_address(location):
        first = Path(location) / "metadata" / "1.root.json"
        if first.is_file() and (own := home / "trust" / hub_id(first.read_bytes()) / "1.root.json").is_file():
            return own.read_bytes()
        if not first.is_file():
            raise NoMetadataError("this hub says nothing about its versions: it holds no metadata", place=location)
    raise NoMetadataError(
        "no root is trusted for this hub, so that nothing it says can be checked",
        place=location,
        hint="Get the publisher's root.json from a source that you trust (not from the hub itself), "
        "and give it once with --root.",
    )


def _pin_path(location: str, home: Path) -> Path:
    name = location.rstrip("/") if is_address(location) else str(Path(location).resolve())
    return home / "pins" / f"{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.root.json"


def pin(location: str, home: Path, root: bytes) -> None:
    """Remember the root that is trusted for a hub."""
    path = _pin_path(location, home)
    if path.is_file() and path.read_bytes() == root:
        return
    make_folder(path.parent)
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    write_synced(temporary, root)
    temporary.replace(path)
