"""Inventories and bundles as files: written to be resumed, and given their names when they are whole."""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from weighbridge.dossier.signature import Verifier
from weighbridge.errors import HubError, InputError, WeighbridgeError
from weighbridge.hub.blob import hub_errors, sync_folder
from weighbridge.hub.mirror.inventory import write_inventory
from weighbridge.hub.mirror.manifest import read_front, write_front
from weighbridge.hub.mirror.outgoing import OpenInventory, Outgoing, Wanted, inventory_of
from weighbridge.hub.mirror.records import BundledRepository
from weighbridge.hub.mirror.take_in import TakenIn, take_in
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.errors import XorbError
from weighbridge.hub.xet.xorb import read_xorb
from weighbridge.shell.progress import Progress
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier

PARTIAL: Final = ".partial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export wrote.

    Attributes:
        path: the bundle.
        size_bytes: its length.
        xorb_bytes: how much of that are chunks.
        kept_bytes: how much an export that was cut off had written, and was found sound.
        repositories: what is in it.
    """

    path: Path
    size_bytes: int
    xorb_bytes: int
    kept_bytes: int
    repositories: tuple[BundledRepository, ...]


def take_inventory(hub: HubServer, path: Path) -> int:
    """Write this hub's inventory into a file, which replaces an older one; return its length.

    Raises:
        HubError: if it cannot be written.
    """
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with hub_errors(path):
        try:
            with half.open("xb") as file:
                size = write_inventory(inventory_of(hub), file)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)
        finally:
            half.unlink(missing_ok=True)
        sync_folder(path.absolute().parent)
    return size


def export(
    hub: HubServer,
    wanted: tuple[Wanted, ...],
    path: Path,
    signer: EcKeySigner,
    *,
    lacking: Path | None,
    progress: Progress,
) -> Exported:
    """Write a bundle; goes on with what an earlier run left in `PATH.partial`, as far as that is sound.

    Args:
        hub: the hub.
        wanted: the repositories.
        path: the bundle, which must not exist yet.
        signer: who signs.
        lacking: the inventory of the other side; None if it has nothing.
        progress: is told.

    Raises:
        InputError: if there is something of this name, or a repository is not here.
        HubError: if it cannot be written, or another process writes it just now.
    """
    if os.path.lexists(path):
        raise InputError("there is something of this name", place=str(path), hint="Name a file that does not exist.")
    partial = path.with_name(path.name + PARTIAL)
    with hub_errors(partial), _alone(partial) as file:
        outgoing, front = _planned(hub, wanted, signer, lacking, file)
        total = outgoing.manifest.end(len(front))
        advance = progress.begin("writing the bundle", total)
        writing = _Writing(file)
        for part in _parts(front, outgoing):
            advance(writing.put(part))
        for sent in outgoing.sent:
            if writing.has_xorb(sent.hash, sent.size_bytes):
                advance(sent.size_bytes)
                continue
            for block in outgoing.xorb(sent):
                advance(writing.put(block))
        writing.finish()
        partial.rename(path)
        sync_folder(path.absolute().parent)
    return Exported(
        path=path,
        size_bytes=total,
        xorb_bytes=outgoing.manifest.xorb_bytes,
        kept_bytes=writing.kept_bytes,
        repositories=outgoing.repositories,
    )


def import_bundle(
    hub: HubServer, path: Path, verifier: Verifier, *, owner: str | None, allow_rollback: bool, progress: Progress
) -> TakenIn:
    """Verify a bundle and add what it holds, under its own owners or under `owner`.

    Raises:
        InputError: if there is no such file, or an owner is not on this hub.
        VerificationError: if anything is not what was signed, or somebody else signed it.
        HubError: if the hub fails.
    """

    def renamed(each: BundledRepository) -> str:
        return f"{owner}/{each.full_name.partition('/')[2]}" if owner else each.full_name

    with _open(path) as file, hub_errors(path):
        size = os.fstat(file.fileno()).st_size
        return take_in(
            hub,
            file,
            size,
            verifier,
            place=str(path),
            rename=renamed,
            allow_rollback=allow_rollback,
            progress=progress,
        )


def _planned(
    hub: HubServer, wanted: tuple[Wanted, ...], signer: EcKeySigner, lacking: Path | None, file: BinaryIO
) -> tuple[Outgoing, bytes]:
    """Plan the bundle that the file is the beginning of; if it is that of another one, plan anew."""
    begun = _begun(file, signer)
    opened = _inventory(lacking)
    if begun is not None:
        outgoing = Outgoing(hub, wanted, opened, made_ms=begun)
        front = write_front(outgoing.manifest, signer)
        file.seek(0)
        if file.read(len(front)) == front:
            return outgoing, front
    outgoing = Outgoing(hub, wanted, opened, made_ms=hub.now_ms())
    return outgoing, write_front(outgoing.manifest, signer)


def _inventory(lacking: Path | None) -> OpenInventory | None:
    return None if lacking is None else lambda: _open(lacking)


def _open(path: Path) -> BinaryIO:
    try:
        # Without blocking: nobody may write to a pipe that stands there.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(f"it cannot be read: {error.strerror}", place=str(path), hint="Check the path.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError("this is no regular file", place=str(path), hint="Check the path.")
    return os.fdopen(descriptor, "rb")


def _begun(file: BinaryIO, signer: EcKeySigner) -> int | None:
    """Return when the bundle was planned that this file is the beginning of; None if it is none of ours."""
    file.seek(0)
    try:
        return read_front(file, _own(signer), place="").manifest.made_ms
    except WeighbridgeError:
        return None


def _own(signer: EcKeySigner) -> EcKeyVerifier:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(signer.public_key_pem)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return EcKeyVerifier.of(key)


def _parts(front: bytes, outgoing: Outgoing) -> Iterator[bytes]:
    yield front
    yield from outgoing.sections()


class _Writing:
    """Writes a file from its beginning, and leaves alone what is there already and right."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._is_new = False
        self._at = 0
        self.kept_bytes = 0
        file.seek(0)

    def put(self, data: bytes) -> int:
        """Let these bytes come next, and return how many they are."""
        if not self._is_new and self._file.read(len(data)) == data:
            self.kept_bytes += len(data)
        else:
            self._write_from_here()
            self._file.write(data)
        self._at += len(data)
        return len(data)

    def has_xorb(self, expected: bytes, size: int) -> bool:
        """Return whether the next bytes are this xorb already; if not, it has to be `put`."""
        if self._is_new:
            return False
        data = self._file.read(size)
        try:
            sound = len(data) == size and read_xorb(data, expected=expected).serialised_bytes == size
        except XorbError:
            sound = False
        if not sound:
            self._write_from_here()
            return False
        self.kept_bytes += size
        self._at += size
        return True

    def finish(self) -> None:
        """Cut off what follows, and make all of it durable."""
        self._write_from_here()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write_from_here(self) -> None:
        if not self._is_new:
            self._is_new = True
            self._file.seek(self._at)
            self._file.truncate()


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """Open the file for reading and writing, made if it is not there, by one process at a time."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HubError("another export writes this bundle", place=str(path), hint="Wait for its end.") from error
        yield file
