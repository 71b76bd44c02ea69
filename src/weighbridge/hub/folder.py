"""A hub that is a folder: content-addressed, published to atomically, readable by any tool.

::

    blobs/sha256/ab/abcd…      the bytes, each once, read-only
    manifests/<digest>.json    what a version holds; the digest binds names, sizes and bytes
    versions/<digest>/…        a version as a folder; its files are hard links to blobs
    states/<id>/               catalogue.json, index.html, models/<owner>/<name> -> the version
    current -> states/<id>     replacing this one symbolic link publishes everything at once
    models, index.html         -> current/…, for people
    .incoming/                 what is not finished; swept by the next publish
    .lock                      held by whoever publishes

A kill at any moment leaves the old state or the new one. Readers take no lock.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.errors import HubError
from weighbridge.hub.blob import (
    BlobFolder,
    hub_errors,
    link_or_copy,
    make_folder,
    sha256_of,
    sync_folder,
    write_synced,
)
from weighbridge.hub.catalogue import (
    PublishedVersion,
    StagedVersion,
    check_staged,
    find,
    read_catalogue,
    write_catalogue,
)
from weighbridge.hub.lock import held_lock

__all__ = ["LocalHub", "PublishedVersion", "StagedVersion"]

_STATE_ID = re.compile(r"[0-9a-f]{32}\Z")
_MAX_CATALOGUE_BYTES = 256 * 1024 * 1024
_READ_ATTEMPTS = 8


class LocalHub:
    """The hub in one folder. Opening creates nothing; the first publish does."""

    def __init__(self, root: Path, *, lock_wait_seconds: float = 60.0) -> None:
        self.root = root
        self.lock_wait_seconds = lock_wait_seconds
        self._incoming = root / ".incoming"
        self._blobs = BlobFolder(root / "blobs" / "sha256", self._incoming)

    # What readers use

    def catalogue(self) -> Mapping[str, PublishedVersion]:
        """Return what is published, by name in order.

        Raises:
            HubError: if the catalogue cannot be read or is not one.
        """
        data = self._state_bytes("catalogue.json")
        if data is None:
            return MappingProxyType({})
        return read_catalogue(data, place=str(self.root / "current" / "catalogue.json"))

    def path_of(self, name: str) -> Path:
        """Return the folder of a published version.

        Args:
            name: `owner/name`, or `name` alone where only one owner has it.

        Raises:
            HubError: if there is none, several, or the folder is gone.
        """
        version = find(self.catalogue(), name, place=str(self.root))
        folder = self._version_folder(version.digest)
        if not folder.is_dir():
            raise HubError(
                f"the files of {version.name} are gone", place=str(folder), hint="Publish this version again."
            )
        return folder.resolve()

    def verify(self) -> tuple[str, ...]:
        """Read again every byte that the current state needs; return what is wrong, one line each."""
        problems: list[str] = []
        hashes: dict[tuple[int, int], tuple[str, int]] = {}
        with hub_errors(self.root):
            catalogue = self.catalogue()
            files = {name: self._state_bytes(name) or b"" for name in ("catalogue.json", "index.html")}
            if (current := self._current_id()) is not None and current != _state_id(files):
                problems.append(f"states/{current}: catalogue.json or index.html was altered")
            for version in catalogue.values():
                problems.extend(f"{version.name}: {text}" for text in self._verify_version(version.digest, hashes))
        return tuple(problems)

    # What publishers use

    def publish(
        self,
        versions: Sequence[StagedVersion],
        *,
        page: Callable[[Mapping[str, PublishedVersion]], str],
        retire: Sequence[str] = (),
        move: bool = False,
    ) -> str:
        """Publish all of `versions` and take back the names in `retire`, in one step.

        Args:
            versions: what to publish; a name that is there already gets the new version.
            page: makes `index.html` from the catalogue as it will be. Called while the lock is held.
            retire: names to take out of the catalogue; those that are not in it are fine.
            move: let the hub have the staged files themselves where it can, in place of copies.

        Returns:
            The id of the state that is current now. Content that is published already changes nothing.

        Raises:
            HubError: if somebody else is publishing for too long, the disk is full or not writable, or a staged file
                is not what its manifest states. What was published before stays as it was.
        """
        check_staged(versions, retire)
        with self._locked():
            self._sweep()
            catalogue = {name: entry for name, entry in self.catalogue().items() if name not in retire}
            for staged in versions:
                self._store(staged, move=move)
                catalogue[staged.name] = PublishedVersion(
                    name=staged.name, digest=staged.manifest.digest, stage=staged.stage, record=staged.record
                )
            ordered = MappingProxyType(dict(sorted(catalogue.items())))
            return self._commit(ordered, page(ordered))

    def prune(self) -> int:
        """Delete versions and blobs that the current state does not need; return how many bytes that freed.

        Raises:
            HubError: if the folder cannot be locked or written.
        """
        with self._locked():
            self._sweep()
            kept = {version.digest for version in self.catalogue().values()}
            for path in _children(self.root / "manifests"):
                if path.stem not in kept:
                    path.unlink()
            for path in _children(self.root / "versions"):
                if path.name not in kept:
                    self._discard(path)
            needed = {entry.sha256 for digest in kept for entry in self._manifest(digest)}
            unused = [blob for fan in _children(self._blobs.root) for blob in _children(fan) if blob.name not in needed]
            freed = sum(blob.stat().st_size for blob in unused)
            for blob in unused:
                blob.unlink()
            return freed

    # How it is stored

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with hub_errors(self.root):
            make_folder(self._incoming)
            with held_lock(self.root / ".lock", wait_seconds=self.lock_wait_seconds):
                yield

    def _sweep(self) -> None:
        """Delete what killed publishers left behind, and states that are no longer current."""
        for path in _children(self._incoming):
            _remove(path)
        current = self._current_id()
        for state in _children(self.root / "states"):
            if state.name != current:
                self._discard(state)

    def _discard(self, path: Path) -> None:
        # Renamed first: what is deleted in part must not be found under a name that promises it whole.
        doomed = self._incoming / f"doomed-{path.name}"
        path.rename(doomed)
        _remove(doomed)

    def _store(self, staged: StagedVersion, *, move: bool) -> None:
        self._blobs.add_all(staged.folder, staged.manifest, move=move)
        digest = staged.manifest.digest
        manifest_path = self._manifest_path(digest)
        if not manifest_path.exists():
            text = json.dumps(staged.manifest.to_json(), ensure_ascii=False, indent=1)
            self._place(manifest_path, lambda path: write_synced(path, text.encode(), mode=0o444))
        if not self._version_folder(digest).exists():
            self._place(self._version_folder(digest), lambda path: self._link_version(path, staged.manifest))

    def _link_version(self, folder: Path, manifest: Manifest) -> None:
        folder.mkdir()
        made = {folder}
        for entry in manifest:
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            made.update(parent for parent in target.parents if parent.is_relative_to(folder))
            link_or_copy(self._blobs.path_of(entry.sha256), target)
        for made_folder in made:
            sync_folder(made_folder)

    def _commit(self, catalogue: Mapping[str, PublishedVersion], page: str) -> str:
        files = {"catalogue.json": write_catalogue(catalogue), "index.html": page.encode()}
        state = _state_id(files)
        for name, target in (("models", "current/models"), ("index.html", "current/index.html")):
            if not os.path.lexists(self.root / name):
                self._place(self.root / name, lambda path, target=target: path.symlink_to(target))  # type: ignore[misc]
        if state == self._current_id():
            return state
        folder = self.root / "states" / state
        self._place(folder, lambda path: _write_state(path, files, catalogue))
        self._place(self.root / "current", lambda path: path.symlink_to(f"states/{state}"))
        return state

    def _place(self, final: Path, make: Callable[[Path], object]) -> None:
        """Let `make` build something under a temporary name, then give it its final one, on the disk."""
        temporary = self._incoming / f"{final.name}.new"
        with hub_errors(final):
            try:
                make(temporary)
                make_folder(final.parent)
                temporary.replace(final)
            except BaseException:
                # On a full disk every byte counts; a kill leaves this to the next sweep.
                _remove(temporary)
                raise
            sync_folder(final.parent)

    def _version_folder(self, digest: str) -> Path:
        return self.root / "versions" / digest

    def _manifest_path(self, digest: str) -> Path:
        return self.root / "manifests" / f"{digest}.json"

    def _manifest(self, digest: str) -> Manifest:
        path = self._manifest_path(digest)
        try:
            manifest = Manifest.from_json(json.loads(_read_bounded(path)))
        except ValueError as error:
            raise HubError(f"this is not a manifest: {error}", place=str(path)) from error
        if manifest.digest != digest:
            raise HubError("the manifest is not the one that its name states", place=str(path))
        return manifest

    def _verify_version(self, digest: str, hashes: dict[tuple[int, int], tuple[str, int]]) -> Iterator[str]:
        try:
            manifest = self._manifest(digest)
        except (HubError, OSError) as error:
            yield f"its manifest cannot be used: {error}"
            return
        expected = {str(entry.path) for entry in manifest}
        folder = self._version_folder(digest)
        for extra in sorted(_files_below(folder) - expected):
            yield f"{extra} does not belong to it"
        for entry in manifest:
            for path in (self._blobs.path_of(entry.sha256), folder / entry.path):
                if fault := _fault(path, (entry.sha256, entry.size_bytes), hashes):
                    yield f"{entry.path}: {path.relative_to(self.root)} {fault}"

    # How the current state is read

    def _current_id(self) -> str | None:
        try:
            state = (self.root / "current").readlink().name
        except FileNotFoundError:
            return None
        if not _STATE_ID.match(state):
            raise HubError("this link does not lead to a state", place=str(self.root / "current"))
        return state

    def _state_bytes(self, name: str) -> bytes | None:
        """Return a file of the current state; None if nothing was ever published."""
        with hub_errors(self.root):
            for _ in range(_READ_ATTEMPTS):
                state = self._current_id()
                if state is None:
                    return None
                try:
                    return _read_bounded(self.root / "states" / state / name)
                except FileNotFoundError:
                    # Two publishes may have passed since the link was read; then the state is gone and another current.
                    if self._current_id() == state:
                        break
        raise HubError(
            "the current state is damaged: a file is missing",
            place=str(self.root / "current" / name),
            hint="Publish again into a new hub folder.",
        )


def _state_id(files: Mapping[str, bytes]) -> str:
    return hashlib.sha256(b"".join(b"%d\n%s" % (len(data), data) for data in files.values())).hexdigest()[:32]


def _write_state(folder: Path, files: Mapping[str, bytes], catalogue: Mapping[str, PublishedVersion]) -> None:
    folder.mkdir()
    for name, data in files.items():
        write_synced(folder / name, data)
    models = folder / "models"
    models.mkdir()
    for name, version in catalogue.items():
        link = models / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(f"../../../../versions/{version.digest}")
    for path in (*models.iterdir(), models, folder):
        sync_folder(path)


def _fault(path: Path, expected: tuple[str, int], hashes: dict[tuple[int, int], tuple[str, int]]) -> str:
    """Say what is wrong with a stored file; empty if nothing is. Two names of the same bytes are read once."""
    try:
        found = path.stat()
        key = (found.st_dev, found.st_ino)
        if key not in hashes:
            hashes[key] = sha256_of(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if hashes[key] == expected else f"is damaged: its SHA-256 is {hashes[key][0]}"


def _files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()}


def _read_bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        # `read` sets aside as much memory as it is asked for.
        data = file.read(min(os.fstat(file.fileno()).st_size, _MAX_CATALOGUE_BYTES) + 1)
    if len(data) > _MAX_CATALOGUE_BYTES:
        raise HubError(f"the file is larger than {_MAX_CATALOGUE_BYTES} bytes", place=str(path))
    return data


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
