"""A hub that is a folder: content-addressed, published to atomically, readable by any tool.

::

    blobs/sha256/ab/abcd…      the bytes, each once, read-only
    manifests/<digest>.json    what a version holds; the digest binds names, sizes and bytes
    versions/<digest>/…        a version as a folder; its files are hard links to blobs
    states/<id>/               catalogue.json, index.html, models/<owner>/<name> -> the version,
                               metadata/, status/<owner>/<name>/ and advisories/: what is signed about the versions
    current -> states/<id>     replacing this one symbolic link publishes everything at once
    models, index.html, …      -> current/…, for people and web servers
    .incoming/                 what is not finished; swept by the next publish
    .lock                      held by whoever publishes

A kill at any moment leaves the old state or the new one. Readers take no lock.
"""

import errno
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.errors import HubError
from weighbridge.hub.blob import (
    BlobFolder,
    children,
    hub_errors,
    link_or_copy,
    make_folder,
    remove,
    sync_folder,
    write_synced,
)
from weighbridge.hub.catalogue import (
    PublishedVersion,
    StagedVersion,
    check_staged,
    find,
    read_catalogue,
)
from weighbridge.hub.damage import Hashes, damage
from weighbridge.hub.lock import held_lock
from weighbridge.hub.port import Further
from weighbridge.hub.standing import check_known, check_not_recalled, check_offered, entry_of
from weighbridge.hub.state import (
    CATALOGUE,
    FRESH_COPY,
    FURTHER_FOLDERS,
    MODELS,
    PAGE,
    attestation_path,
    check_state,
    read_bounded,
    read_state,
    state_files,
    state_id,
    write_state,
)

__all__ = ["Further", "LocalHub", "PublishedVersion", "StagedVersion"]

_STATE_ID = re.compile(r"[0-9a-f]{32}\Z")
_READ_ATTEMPTS = 8
_T = TypeVar("_T")


class LocalHub:
    """The hub in one folder. Opening creates nothing; the first publish does."""

    def __init__(self, root: Path, *, lock_wait_seconds: float = 60.0) -> None:
        self.root = root
        self.lock_wait_seconds = lock_wait_seconds
        self._incoming = root / ".incoming"
        self._blobs = BlobFolder(root / "blobs" / "sha256", self._incoming)

    @property
    def place(self) -> str:
        """The folder, as people name it."""
        return str(self.root)

    @property
    def statements(self) -> str:
        """The folder below which what is signed lies: the hub's own."""
        return str(self.root)

    # What readers use

    def catalogue(self) -> Mapping[str, PublishedVersion]:
        """Return what is published, by name in order.

        Raises:
            HubError: if the catalogue cannot be read or is not one.
        """
        data = self._current(lambda state: read_bounded(state / CATALOGUE), CATALOGUE)
        if data is None:
            return MappingProxyType({})
        return read_catalogue(data, place=str(self.root / "current" / CATALOGUE))

    def files(self) -> Mapping[str, bytes]:
        """Return the further files of the current state by path: metadata, statuses and advisories.

        Raises:
            HubError: if they cannot be read.
        """
        files = self._current(read_state) or {}
        return MappingProxyType({name: data for name, data in files.items() if name not in (CATALOGUE, PAGE)})

    def path_of(self, name: str, *, even_recalled: bool = False) -> Path:
        """Return the folder of a published version.

        Args:
            name: `owner/name`, or `name` alone where only one owner has it.
            even_recalled: hand out a version that its publisher recalled, too.

        Raises:
            HubError: if there is none, several, or the folder is gone.
            RecalledError: if it is recalled.
        """
        version = find(self.catalogue(), name, place=str(self.root))
        if not even_recalled:
            check_offered(version)
        folder = self._version_folder(version.digest)
        if not folder.is_dir():
            raise HubError(
                f"the files of {version.name} are gone", place=str(folder), hint="Publish this version again."
            )
        return folder.resolve()

    def manifest(self, name: str) -> Manifest:
        """Return what a published version holds: every file, `model.sig` among them.

        Raises:
            HubError: if there is no such version, or its manifest is damaged.
        """
        with hub_errors(self.root):
            return self._manifest(find(self.catalogue(), name, place=str(self.root)).digest)

    def link_to(self, name: str) -> str:
        """Return where the version `owner/name` lies."""
        return str(self.root / MODELS / name)

    def verify(self) -> tuple[str, ...]:
        """Read again every byte that the current state needs; return what is wrong, one line each."""
        problems: list[str] = []
        hashes: Hashes = {}
        with hub_errors(self.root):
            catalogue = self.catalogue()
            stated = self._current(lambda state: (state.name, state_id(read_state(state))))
            if stated is not None and stated[0] != stated[1]:
                problems.append(f"states/{stated[0]}: what is signed, catalogue.json or index.html was altered")
            for version in catalogue.values():
                problems.extend(f"{version.name}: {text}" for text in self._damage(version.digest, hashes))
        return tuple(problems)

    # What publishers use

    def check_writable(self) -> None:
        """Return if the hub's folder, where it is there, may be written to.

        Raises:
            HubError: if not.
        """
        if self.root.is_dir() and not os.access(self.root, os.W_OK):
            with hub_errors(self.root):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.root))

    def publish(
        self,
        versions: Sequence[StagedVersion],
        *,
        page: Callable[[Mapping[str, PublishedVersion]], str],
        retire: Sequence[str] = (),
        move: bool = False,
        further: Further | None = None,
    ) -> str:
        """Publish all of `versions` and take back the names in `retire`, in one step.

        Args:
            versions: what to publish; a name that is there already gets the new version.
            page: makes `index.html` from the catalogue as it will be. Called while the lock is held.
            retire: names to take out of the catalogue; those that are not in it are fine.
            move: let the hub have the staged files themselves where it can, in place of copies.
            further: makes the further files of the state. Called while the lock is held; without it they stay.

        Returns:
            The id of the state that is current now. Content that is published already changes nothing.

        Raises:
            HubError: if somebody else is publishing for too long, the disk is full or not writable, the current state
                was altered, or a staged file is not what its manifest states. What was published before stays as it
                was.
            RecalledError: if one of the versions was recalled before.
        """
        check_staged(versions, retire)
        with self._locked():
            before, files = self._unaltered()
            self._sweep()
            check_not_recalled(versions, before, files)
            catalogue = {name: entry for name, entry in before.items() if name not in retire}
            attested = {}
            for staged in versions:
                self._store(staged, move=move)
                catalogue[staged.name] = entry_of(staged, before.get(staged.name))
                attested[attestation_path(staged.name)] = staged.attestation
            return self._commit(catalogue, page, further, files, attested)

    def amend(
        self,
        change: Callable[[Mapping[str, PublishedVersion]], Mapping[str, PublishedVersion]],
        *,
        page: Callable[[Mapping[str, PublishedVersion], str], str],
        further: Further | None = None,
    ) -> str:
        """Change what is said about published versions, in one step; return the id of the state that is current now.

        Args:
            change: makes the new catalogue from the current one. Called while the lock is held, as the others are.
            page: makes the new `index.html` from the new catalogue and the current page.
            further: makes the further files of the state; without it they stay.

        Raises:
            HubError: if somebody else is publishing for too long, the folder cannot be written to, the current state
                was altered, or a name or digest would be another one.
        """
        with self._locked():
            before, files = self._unaltered()
            self._sweep()
            text = (self._current(lambda state: read_bounded(state / PAGE), PAGE) or b"").decode("utf-8", "replace")
            catalogue = change(before)
            if {n: v.digest for n, v in catalogue.items()} != {n: v.digest for n, v in before.items()}:
                raise HubError("only what is said about versions can be amended, not which ones there are")
            return self._commit(catalogue, lambda ordered: page(ordered, text), further, files)

    def prune(self) -> int:
        """Delete versions and blobs that the current state does not need; return how many bytes that freed.

        Raises:
            HubError: if the folder cannot be locked or written, or the current state was altered.
        """
        with self._locked():
            before, _ = self._unaltered()
            self._sweep()
            kept = {version.digest for version in before.values()}
            for path in children(self.root / "manifests"):
                if path.stem not in kept:
                    path.unlink()
            for path in children(self.root / "versions"):
                if path.name not in kept:
                    self._discard(path)
            needed = {entry.sha256 for digest in kept for entry in self._manifest(digest)}
            unused = [blob for fan in children(self._blobs.root) for blob in children(fan) if blob.name not in needed]
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
        for path in children(self._incoming):
            remove(path)
        current = self._current_id()
        for state in children(self.root / "states"):
            if state.name != current:
                self._discard(state)

    def _discard(self, path: Path) -> None:
        # Renamed first: what is deleted in part must not be found under a name that promises it whole.
        doomed = self._incoming / f"doomed-{path.name}"
        path.rename(doomed)
        remove(doomed)

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

    def _commit(
        self,
        catalogue: Mapping[str, PublishedVersion],
        page: Callable[[Mapping[str, PublishedVersion]], str],
        further: Further | None,
        before: Mapping[str, bytes],
        attested: Mapping[str, bytes] | None = None,
    ) -> str:
        ordered = MappingProxyType(dict(sorted(catalogue.items())))
        for version in ordered.values():
            self._check_there(version)
        files, kept = state_files(ordered, before, attested or {}, page=page, further=further)
        state, current = state_id(files), self._current_id()
        for name in (MODELS, PAGE, *FURTHER_FOLDERS):
            wanted = name in (MODELS, PAGE) or any(path.startswith(f"{name}/") for path in kept)
            if wanted and not os.path.lexists(self.root / name):
                self._place(self.root / name, lambda path, to=f"current/{name}": path.symlink_to(to))  # type: ignore[misc]
        if state == current:
            return state
        unchanged = frozenset(name for name, data in kept.items() if before.get(name) == data)
        old = None if current is None else self.root / "states" / current
        self._place(
            self.root / "states" / state,
            lambda path: write_state(path, files, ordered, before=old, unchanged=unchanged),
        )
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
                remove(temporary)
                raise
            sync_folder(final.parent)

    def _version_folder(self, digest: str) -> Path:
        return self.root / "versions" / digest

    def _manifest_path(self, digest: str) -> Path:
        return self.root / "manifests" / f"{digest}.json"

    def _manifest(self, digest: str) -> Manifest:
        path = self._manifest_path(digest)
        try:
            manifest = Manifest.from_json(json.loads(read_bounded(path)))
        except ValueError as error:
            raise HubError(f"this is not a manifest: {error}", place=str(path)) from error
        if manifest.digest != digest:
            raise HubError("the manifest is not the one that its name states", place=str(path))
        return manifest

    def _check_there(self, version: PublishedVersion) -> None:
        """Return if the hub holds the manifest of a version: nothing is said about bytes that never were here.

        Raises:
            HubError: if it does not.
        """
        try:
            self._manifest(version.digest)
        except FileNotFoundError as error:
            raise HubError(
                f"the catalogue lists {version.name}, and its manifest is missing",
                place=str(self._manifest_path(version.digest)),
                hint=FRESH_COPY,
            ) from error

    def _damage(self, digest: str, hashes: Hashes) -> Iterator[str]:
        try:
            manifest = self._manifest(digest)
        except (HubError, OSError) as error:
            yield f"its manifest cannot be used: {error}"
            return
        yield from damage(self.root, self._version_folder(digest), manifest, self._blobs, hashes)

    # How the current state is read

    def _unaltered(self) -> tuple[Mapping[str, PublishedVersion], Mapping[str, bytes]]:
        """Return the catalogue and the further files, which a new state and its signatures build upon.

        Raises:
            HubError: if they are not what was published.
        """
        read = self._current(lambda state: (state, read_state(state)))
        if read is None:
            return MappingProxyType({}), MappingProxyType({})
        state, files = read
        check_state(state, files)
        place = str(self.root / "current" / CATALOGUE)
        catalogue = read_catalogue(files.pop(CATALOGUE, b""), place=place)
        files.pop(PAGE, None)
        check_known(catalogue, files, place=place)
        return catalogue, MappingProxyType(files)

    def _current_id(self) -> str | None:
        try:
            state = (self.root / "current").readlink().name
        except FileNotFoundError:
            return None
        if not _STATE_ID.match(state):
            raise HubError("this link does not lead to a state", place=str(self.root / "current"))
        return state

    def _current(self, read: Callable[[Path], _T], name: str = "") -> _T | None:
        """Return what `read` returns for the folder of the current state; None if nothing was ever published."""
        with hub_errors(self.root):
            for _ in range(_READ_ATTEMPTS):
                state = self._current_id()
                if state is None:
                    return None
                try:
                    return read(self.root / "states" / state)
                except FileNotFoundError:
                    # Two publishes may have passed since the link was read; then the state is gone and another current.
                    if self._current_id() == state:
                        break
        raise HubError(
            "the current state is damaged: a file is missing",
            place=str(self.root / "current" / name),
            hint="Publish again into a new hub folder.",
        )
