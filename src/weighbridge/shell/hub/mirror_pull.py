"""Copying a repository from another hub: Git objects or remade commits, large files, and all refs at the end.

Files and folders are written as they come, and nobody can see them; commits and refs appear in one transaction once
everything they need is here and was verified. A pull that is run again fetches only what is not here yet.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from weighbridge.errors import InputError
from weighbridge.hub.database.batch import batches
from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import GitObject, GitObjectError, oid_of
from weighbridge.hub.git.paths import shown
from weighbridge.hub.git.pointer import LfsPointer, encode_pointer, parse_pointer
from weighbridge.hub.mirror.arriving import Arriving
from weighbridge.hub.mirror.carried import CarriedRef
from weighbridge.hub.mirror.closure import closure
from weighbridge.hub.mirror.errors import IncompleteError, LyingSourceError, SourceError
from weighbridge.hub.mirror.held_files import Head, HeldFiles, WantedFile
from weighbridge.hub.mirror.landing import Arrival, Last, RefChange, land
from weighbridge.hub.mirror.pack_reader import read_pack
from weighbridge.hub.mirror.replay import SourceCommit, SourceFile, remade, replayed, tree_of
from weighbridge.hub.mirror.target import target, target_of
from weighbridge.hub.mirror.whereabouts import whereabouts
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.refs import MAIN, list_refs
from weighbridge.hub.server import HubServer
from weighbridge.shell.hub.mirror_api import SourceApi, SourceInfo, chosen
from weighbridge.shell.hub.mirror_files import LfsPlaces, Locate, Place, fetch_small
from weighbridge.shell.hub.mirror_git import Advertised, GitRefusedError, advertised, fetch_pack
from weighbridge.shell.hub.mirror_http import Remote
from weighbridge.shell.hub.mirror_large import LargeFiles
from weighbridge.shell.hub.mirror_xet import XetSource, with_xet_hashes
from weighbridge.shell.progress import Progress

_OTHER_NAME: Final = "Pull fewer branches by --revision, or into another repository by --to OWNER/NAME."


@dataclass(frozen=True, slots=True, kw_only=True)
class PullWish:
    """What is to be pulled.

    Attributes:
        address: of the other hub.
        kind: `model`, `dataset` or `space`.
        full_name: the repository there.
        target: its full name here.
        revisions: branches and tags; all of them if none is named.
        allow_rollback: move refs also backwards, and over what was changed here.
        by_api: do not ask for Git objects, though the source may have them.
    """

    address: str
    kind: str
    full_name: str
    target: str
    revisions: tuple[str, ...] = ()
    allow_rollback: bool = False
    by_api: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull did.

    Attributes:
        full_name: of the repository here.
        way: `git` if commits are those of the source, `api` if they were made again.
        fetched_files: large files that were not here before.
        fetched_bytes: what came over the network for them.
        missing: SHA-256 of files that commits name and the source lacks.
        changes: what happened to the refs.
    """

    full_name: str
    way: str
    fetched_files: int
    fetched_bytes: int
    missing: tuple[str, ...]
    changes: tuple[RefChange, ...]


def pull(hub: HubServer, wish: PullWish, *, token: str, progress: Progress) -> Pulled:
    """Copy a repository, or bring the copy up to date.

    Raises:
        InputError: for an address, name or revision that is none, or an owner who is not on this hub.
        SourceError: if the source cannot be reached, or answers nonsense.
        VerificationError: if it sends something else than it names; nothing of it is visible.
        HubError: if this hub fails.
    """
    made_ms = hub.now_ms()
    remote = Remote(wish.address, token)
    api = SourceApi(remote, wish.kind, wish.full_name)
    progress.begin(f"asking {shown(remote.address)}")
    info = api.info()
    with hub.database.write() as connection:
        repository_id = target(connection, wish.kind, wish.target, now_ms=made_ms).id
    source = None if wish.by_api else advertised(remote, f"{api.path}.git")
    pulling = _Pull(
        hub=hub,
        remote=remote,
        api=api,
        repository_id=repository_id,
        wish=wish,
        progress=progress,
        arriving=Arriving(hub, repository_id),
        large=LargeFiles(
            hub, repository_id, remote, XetSource(remote, api), _held(hub, repository_id, remote, wish).at
        ),
    )
    refs, way = pulling.refs(source)
    return _landed(pulling, refs, info, made_ms, way)


def _landed(pulling: "_Pull", refs: tuple[CarriedRef, ...], info: SourceInfo, made_ms: int, way: str) -> Pulled:
    hub, wish = pulling.hub, pulling.wish
    pulling.progress.begin("checking that all is there")
    arrival = Arrival(
        source=source_name(pulling.remote, wish),
        refs=refs,
        whole=not wish.revisions,
        made_ms=made_ms,
        visibility=info.visibility,
        gated=info.gated,
        missing=frozenset(pulling.missing),
    )
    with hub.database.write() as connection:
        repo = target(connection, wish.kind, wish.target, now_ms=made_ms)
        changes = land(connection, hub, repo, arrival, pulling.arriving.commits, allow_rollback=wish.allow_rollback)
    return Pulled(
        full_name=repo.full_name,
        way=way,
        fetched_files=pulling.large.fetched.files,
        fetched_bytes=pulling.large.fetched.size_bytes,
        missing=tuple(sorted(pulling.missing)),
        changes=changes,
    )


def _held(hub: HubServer, repository_id: int, remote: Remote, wish: PullWish) -> HeldFiles:
    """Return what the copy has now, so that new versions need not come whole."""
    stands_for = {here: source for source, here in _remade_before(hub, repository_id, remote, wish).items()}
    with hub.database.read() as connection:
        refs = sorted(list_refs(connection, repository_id), key=lambda ref: (ref.name != MAIN, ref.name))
    tips = dict.fromkeys(ref.commit_oid for ref in refs)
    return HeldFiles(hub, repository_id, (Head(here=tip, source=stands_for.get(tip, tip)) for tip in tips))


def _remade_before(hub: HubServer, repository_id: int, remote: Remote, wish: PullWish) -> dict[str, str]:
    """Return the commits that were made again here, by those of the source that they stand for."""
    with hub.database.read() as connection:
        repo = target_of(connection, wish.kind, wish.target, lock=False)
        last = Last.of(repo.settings if repo else {}, source_name(remote, wish))
        reader = DatabaseObjects(connection, repository_id)
        return replayed(reader, (oid for oid in last.refs.values() if reader.has_commit(oid)))


def source_name(remote: Remote, wish: PullWish) -> str:
    """Return how the source is remembered in the repository that comes from it."""
    return f"{remote.address} {wish.kind}:{wish.full_name}"


@dataclass(slots=True, kw_only=True)
class _Pull:
    """One pull under way: what it has learnt and written so far."""

    hub: HubServer
    remote: Remote
    api: SourceApi
    repository_id: int
    wish: PullWish
    progress: Progress
    arriving: Arriving
    large: LargeFiles
    missing: set[str] = field(default_factory=set)

    def refs(self, source: Advertised | None) -> tuple[tuple[CarriedRef, ...], str]:
        """Fetch everything in the way that the source allows; return the refs that were chosen, and the way."""
        if source is not None:
            try:
                return self.by_git(source), "git"
            except GitRefusedError as error:
                if not self._may_remake():
                    message = f"{error.message}; its commits cannot be made again where they lie with their own ids"
                    raise SourceError(message, place=error.place, hint=_OTHER_NAME) from error
                self.progress.note(f"{error.message}. Commits are made again from what the API tells.")
        return self.by_api(), "api"

    def by_git(self, source: Advertised) -> tuple[CarriedRef, ...]:
        """Fetch Git objects and large files; return the refs that were chosen."""
        refs = chosen(source.refs, self.wish.revisions, self.wish.full_name)
        tips = self._tips()
        wants = [ref.oid for ref in refs if not self._has(ref.oid)]
        if wants:
            self.progress.begin("fetching Git objects")
            with tempfile.TemporaryFile() as spool:
                fetch_pack(self.remote, source, wants, tips, spool)
                read_pack(spool, self._take)
            self.arriving.flush()
        self._large({ref.oid for ref in refs}, LfsPlaces(self.remote, source.url))
        return refs

    def by_api(self) -> tuple[CarriedRef, ...]:
        """Make commits again from what the API tells; return refs that name them."""
        refs = chosen(self.api.refs(), self.wish.revisions, self.wish.full_name)
        known = _remade_before(self.hub, self.repository_id, self.remote, self.wish)
        made = []
        for ref in refs:
            oid = self._history(ref, known)
            made.append(CarriedRef(name=ref.name, oid=oid, commit_oid=oid))
        return tuple(made)

    def _history(self, ref: CarriedRef, known: dict[str, str]) -> str:
        """Make the commits of one ref that are not known yet, oldest first; return the last one's oid."""
        if ref.commit_oid in known:
            return known[ref.commit_oid]
        new: list[SourceCommit] = []
        parent: str | None = None
        for commit in self.api.commits(ref.commit_oid):
            if commit.oid in known:
                parent = known[commit.oid]
                break
            new.append(commit)
        if not new or new[0].oid != ref.commit_oid:
            raise SourceError(f"its history of {ref.name} does not begin with its head", place=self.wish.full_name)
        advance = self.progress.begin(f"making {ref.name} again", len(new), unit="commits")
        for commit in reversed(new):
            parent = known[commit.oid] = self._remake(commit, parent)
            advance(1)
        assert parent is not None, "there was at least one commit"
        return parent

    def _remake(self, commit: SourceCommit, parent: str | None) -> str:
        files = self.api.files(commit.oid)
        oids = self._blobs(commit.oid, files)
        try:
            tree, trees = tree_of(files, oids)
            oid, item = remade(commit, tree, parent)
        except InputError as error:
            raise SourceError(f"no commit can be made of it: {error}", place=commit.oid) from error
        for tree_oid, each in trees.items():
            self._take(tree_oid, each)
        self._take(oid, item)
        self.arriving.flush()
        return oid

    def _blobs(self, commit_oid: str, files: Sequence[SourceFile]) -> dict[str, str]:
        """Bring every file of a commit that is not here yet; return the oids of their blobs by path."""
        large = {file.sha256: file for file in files if file.sha256}
        pointers = {
            sha256: encode_pointer(LfsPointer(sha256=sha256, size_bytes=f.size_bytes)) for sha256, f in large.items()
        }
        oids = {file.path: oid_of("blob", pointers[file.sha256]) if file.sha256 else file.oid for file in files}
        with self.hub.database.read() as connection:
            there = set(DatabaseObjects(connection, self.repository_id).blobs(oids.values()))
        self._fetch(
            [
                WantedFile(sha256=sha256, size_bytes=f.size_bytes, commit=commit_oid, path=f.path, xet_hash=f.xet_hash)
                for sha256, f in large.items()
            ],
            lambda wanted: {
                sha256: Place(url=self.api.address(commit_oid, large[sha256].path), headers={}) for sha256 in wanted
            },
        )
        for data in pointers.values():
            self._take(oid_of("blob", data), GitObject("blob", data))
        for file in files:
            if file.sha256 is None and file.oid not in there:
                data = fetch_small(self.remote, self.api.address(commit_oid, file.path), file.oid, file.size_bytes)
                if parse_pointer(data) is not None:
                    raise LyingSourceError(
                        "a pointer to a large file is said to be a small one", place=shown(file.path)
                    )
                self._take(file.oid, GitObject("blob", data))
                there.add(file.oid)
        return oids

    def _large(self, wants: set[str], locate: Locate) -> None:
        """Fetch the large files behind some commits that the repository does not hold yet."""
        wanted: dict[str, WantedFile] = {}
        with self.hub.database.read() as connection:
            objects = DatabaseObjects(connection, self.repository_id)
            reader = InMemoryObjects(self.arriving.commits, behind=objects)
            try:
                needed = closure(reader, wants, (ref.commit_oid for ref in list_refs(connection, self.repository_id)))
                large = {
                    oid: WantedFile(sha256=blob.lfs_sha256, size_bytes=blob.lfs_size_bytes)
                    for part in batches(needed.blobs)
                    for oid, blob in objects.blobs(part).items()
                    if blob.lfs_sha256 is not None and blob.lfs_size_bytes is not None
                }
                for seen in whereabouts(reader, needed.commits, large):
                    file = large.pop(seen.blob)
                    wanted[file.sha256] = replace(file, commit=seen.commit, path=seen.path)
            except GitObjectError as error:
                raise IncompleteError(f"the source sent something that does not hang together: {error}") from error
        # What lies at no path that is asked for comes by its SHA-256 alone.
        wanted.update((file.sha256, file) for file in large.values())
        self._fetch(with_xet_hashes(self.api, tuple(wanted.values())), locate)

    def _fetch(self, wanted: Sequence[WantedFile], locate: Locate) -> None:
        if not wanted:
            return
        advance = self.progress.begin("fetching large files", sum(file.size_bytes for file in wanted))
        self.missing.update(self.large.fetch(wanted, locate, advance=advance))

    def _tips(self) -> tuple[str, ...]:
        with self.hub.database.read() as connection:
            return tuple(dict.fromkeys(ref.commit_oid for ref in list_refs(connection, self.repository_id)))

    def _may_remake(self) -> bool:
        """Whether nothing is here but what was made again before: it would all seem to be rewritten."""
        made = set(_remade_before(self.hub, self.repository_id, self.remote, self.wish).values())
        return made.issuperset(self._tips())

    def _has(self, oid: str) -> bool:
        with self.hub.database.read() as connection:
            return any(oid == ref.oid for ref in list_refs(connection, self.repository_id))

    def _take(self, oid: str, item: GitObject) -> None:
        try:
            self.arriving.take(oid, item)
        except GitObjectError as error:
            raise SourceError(f"it sends a {item.kind} that no hub may hold: {error}", place=oid) from error
