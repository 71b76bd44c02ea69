"""The publisher's keys for the roles of TUF: one Ed25519 key a role, a set of them for each hub.

They lie under `home()/trust/<id of the hub's first root>/`, readable by their owner only. A hub has keys of its own, as
metadata that two hubs' keys sign alike could be moved from one to the other. The root's key is needed only to change
keys and once a year: keep it elsewhere in between.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from weighbridge.errors import InputError, WorkspaceError
from weighbridge.hub.blob import make_folder, sync_folder, write_synced

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

STAGE_ROLES = ("trusted", "gated", "open")
"""The delegated roles: who reads a version differs by stage, and so may who speaks about it."""

TOP_ROLES = ("root", "targets", "snapshot", "timestamp")
ROLES = (*TOP_ROLES, *STAGE_ROLES)

_MAX_PEM_BYTES = 64 * 1024


def hub_id(first_root: bytes) -> str:
    """Return what tells hubs apart whose metadata begins with different roots: the SHA-256 of `1.root.json`, short."""
    return hashlib.sha256(first_root).hexdigest()[:32]


def fresh_keys(roles: Iterable[str] = ROLES) -> dict[str, "CryptoSigner"]:
    """Return a new Ed25519 key for each role. Nothing is written."""
    from securesystemslib.signer import CryptoSigner

    return {role: CryptoSigner.generate_ed25519() for role in roles}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFolder:
    """The keys for one hub.

    Attributes:
        folder: where they lie.
    """

    folder: Path

    @classmethod
    def of(cls, home: Path, first_root: bytes) -> "KeyFolder":
        """Return the folder for the hub whose metadata begins with this root; it need not exist."""
        return cls(folder=home / "trust" / hub_id(first_root))

    def create(self, keys: Mapping[str, "CryptoSigner"], first_root: bytes) -> None:
        """Write a whole set of keys, or nothing.

        Raises:
            WorkspaceError: if the folder exists or cannot be written.
        """
        temporary = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(8)}")
        try:
            make_folder(self.folder.parent)
            self.folder.parent.chmod(0o700)
            temporary.mkdir(mode=0o700)
            try:
                write_synced(temporary / "1.root.json", first_root)
                for role, signer in keys.items():
                    write_synced(temporary / _file_name(role, signer), signer.private_bytes, mode=0o600)
                sync_folder(temporary)
                temporary.rename(self.folder)
                sync_folder(self.folder.parent)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise _not_written(error, self.folder) from error

    def add(self, keys: Mapping[str, "CryptoSigner"]) -> None:
        """Write more keys beside those that are there.

        Raises:
            WorkspaceError: if one cannot be written.
        """
        try:
            for role, signer in keys.items():
                temporary = self.folder / f".{secrets.token_hex(8)}"
                write_synced(temporary, signer.private_bytes, mode=0o600)
                temporary.rename(self.folder / _file_name(role, signer))
            sync_folder(self.folder)
        except OSError as error:
            raise _not_written(error, self.folder) from error

    def load(self) -> Mapping[str, "CryptoSigner"]:
        """Return every key that lies here, by key id.

        Raises:
            InputError: if there are none, others may read them, or one is no Ed25519 or elliptic-curve key.
        """
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix == ".pem")
            found = [_read(path) for path in paths]
        except OSError as error:
            raise InputError(
                f"the keys that sign this hub's metadata are not here: {error.strerror}",
                place=str(self.folder),
                hint="Publish as the user, on the machine and with the $WEIGHBRIDGE_HOME that made this hub, "
                "or bring that folder here.",
            ) from error
        return MappingProxyType({signer.public_key.keyid: signer for signer in found})


def _read(path: Path) -> "CryptoSigner":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise InputError("others may read this private key", place=str(path), hint=f"Close it: chmod 600 '{path}'")
        data = file.read(_MAX_PEM_BYTES)
    try:
        key = load_pem_private_key(data, password=None)
        if isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
            return CryptoSigner(key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError("this is no unencrypted private key in PEM form", place=str(path)) from error
    raise InputError("this is neither an Ed25519 nor an elliptic-curve key", place=str(path))


def _file_name(role: str, signer: "CryptoSigner") -> str:
    return f"{role}-{signer.public_key.keyid[:16]}.pem"


def _not_written(error: OSError, folder: Path) -> WorkspaceError:
    return WorkspaceError(
        f"the keys cannot be written: {error.strerror or error}",
        place=str(folder),
        hint="Give yourself write permission, or name another folder with $WEIGHBRIDGE_HOME.",
    )
