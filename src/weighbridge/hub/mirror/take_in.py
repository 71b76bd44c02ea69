"""A bundle on its way in: the signature first, then every byte, then all refs in one transaction.

Run again after a kill, or twice at once, it does what is left to be done: xorbs and files that are here are not entered
again, objects neither, and refs that are where they should be stay.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from weighbridge.dossier.signature import Verifier
from weighbridge.hub.git.objects import GitObject, GitObjectError, oid_of
from weighbridge.hub.mirror.arriving import Arriving
from weighbridge.hub.mirror.entering import Entrance, enter_xorb, has_xorb
from weighbridge.hub.mirror.errors import BundleError
from weighbridge.hub.mirror.landing import Arrival, RefChange, land
from weighbridge.hub.mirror.manifest import SECTIONS, Front, check_length, read_front
from weighbridge.hub.mirror.records import (
    BundledRepository,
    BundledXorb,
    read_contents,
    read_objects,
    read_repositories,
    read_xorbs,
)
from weighbridge.hub.mirror.section import SectionReader
from weighbridge.hub.mirror.target import target
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.merkle import to_hex

Rename = Callable[[BundledRepository], str]


class Progress(Protocol):
    """Shows what is being done; see `shell.progress`."""

    def begin(self, text: str, total: int | None = None, *, unit: str = "bytes") -> Callable[[int], None]:
        """Say that `text` is being done, and return what is to be called with each amount done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did to a repository."""

    kind: str
    full_name: str
    changes: tuple[RefChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What an import did: the repositories, and how many bytes of xorbs were new here."""

    repositories: tuple[Imported, ...]
    new_bytes: int


def take_in(
    hub: HubServer,
    source: BinaryIO,
    size_bytes: int,
    verifier: Verifier,
    *,
    place: str,
    rename: Rename,
    allow_rollback: bool,
    progress: Progress,
) -> TakenIn:
    """Verify the bundle in a file and add what it holds.

    Args:
        hub: the hub.
        source: the file, which can be read and sought.
        size_bytes: its length.
        verifier: whose bundles are taken.
        place: names the file in messages.
        rename: the full name that a repository of the bundle has here.
        allow_rollback: let refs go backwards, and over what was changed here.
        progress: is told.

    Raises:
        VerificationError: if anything is not what was signed; nothing of it is visible then.
        InputError: if an owner is not on this hub.
        HubError: if the hub fails.
    """
    front = read_front(source, verifier, place=place)
    check_length(front, size_bytes, place=place)
    bundle = _Bundle(source, front, place)
    bundle.check_sections(progress)
    repositories = bundle.repositories()
    names = [rename(each) for each in repositories]
    ids = _targets(hub, repositories, names)
    commits = _objects(hub, bundle, ids)
    new_bytes = _xorbs(hub, bundle, progress)
    _contents(hub, bundle, ids, progress)
    return TakenIn(
        repositories=_landed(hub, front, repositories, names, commits, allow_rollback=allow_rollback),
        new_bytes=new_bytes,
    )


class _Bundle:
    """The sections of one file, each read from its beginning and hashed again whenever it is read."""

    def __init__(self, source: BinaryIO, front: Front, place: str) -> None:
        self.source = source
        self.front = front
        self.place = place

    def section(self, name: str) -> SectionReader:
        return SectionReader(self.source, self.front, name, place=self.place)

    def check_sections(self, progress: Progress) -> None:
        """Raise `BundleError` unless every section but the xorbs' bytes is what was signed."""
        advance = progress.begin("checking what was signed", sum(s.size_bytes for s in self.front.manifest.sections))
        for name in SECTIONS:
            self.section(name).finish()
            advance(self.front.manifest.section(name).size_bytes)

    def repositories(self) -> tuple[BundledRepository, ...]:
        reader = self.section("repositories")
        found = read_repositories(reader)
        reader.finish()
        return found

    def xorbs(self) -> Iterator[tuple[int, BundledXorb]]:
        """Yield the xorbs and where in the file they begin."""
        reader = self.section("xorbs")
        rows = list(read_xorbs(reader))
        reader.finish()
        at = self.front.manifest.offset_of("bytes", self.front.start)
        if at + sum(row.size_bytes for row in rows) != self.front.manifest.end(self.front.start):
            raise BundleError("its table of xorbs does not fit its length", place=self.place)
        for row in rows:
            yield at, row
            at += row.size_bytes


def _targets(hub: HubServer, repositories: tuple[BundledRepository, ...], names: list[str]) -> tuple[int, ...]:
    ids: dict[int, int] = {}
    with hub.database.write() as connection:
        for number in _order(repositories, names):
            ids[number] = target(connection, repositories[number].kind, names[number], now_ms=hub.now_ms()).id
    return tuple(ids[number] for number in range(len(names)))


def _order(repositories: tuple[BundledRepository, ...], names: list[str]) -> list[int]:
    """Return the order in which rows are locked: the same for all, so that two imports never wait for each other."""
    return sorted(range(len(names)), key=lambda number: (repositories[number].kind, names[number].lower()))


def _objects(hub: HubServer, bundle: _Bundle, ids: tuple[int, ...]) -> list[dict[str, GitObject]]:
    """Write files and folders; return commits and tags of each repository, which are written at the very end."""
    arriving = [Arriving(hub, repository_id) for repository_id in ids]
    reader = bundle.section("objects")
    for each in read_objects(reader, len(ids)):
        try:
            arriving[each.repository].take(oid_of(each.item.kind, each.item.data), each.item)
        except GitObjectError as error:
            raise reader.wrong(f"a Git object is unsound: {error.message}") from error
    reader.finish()
    for one in arriving:
        one.flush()
    return [one.commits for one in arriving]


def _xorbs(hub: HubServer, bundle: _Bundle, progress: Progress) -> int:
    advance = progress.begin("adding chunks", bundle.front.manifest.xorb_bytes)
    new_bytes = 0
    for offset, row in bundle.xorbs():
        if not has_xorb(hub, to_hex(row.hash)):
            enter_xorb(hub, row, bundle.source, offset, place=bundle.place)
            new_bytes += row.size_bytes
        advance(row.size_bytes)
    return new_bytes


def _contents(hub: HubServer, bundle: _Bundle, ids: tuple[int, ...], progress: Progress) -> None:
    advance = progress.begin("rereading the files")
    entrance = Entrance(hub, ids, place=bundle.place)
    reader = bundle.section("contents")
    for bundled in read_contents(reader, len(ids)):
        advance(entrance.enter(bundled))
    reader.finish()


def _landed(
    hub: HubServer,
    front: Front,
    repositories: tuple[BundledRepository, ...],
    names: list[str],
    commits: list[dict[str, GitObject]],
    *,
    allow_rollback: bool,
) -> tuple[Imported, ...]:
    done = []
    with hub.database.write() as connection:
        for number in _order(repositories, names):
            each = repositories[number]
            repo = target(connection, each.kind, names[number], now_ms=hub.now_ms())
            arrival = _arrival(front, each)
            changes = land(connection, hub, repo, arrival, commits[number], allow_rollback=allow_rollback)
            done.append(Imported(kind=each.kind, full_name=repo.full_name, changes=changes))
    return tuple(done)


def _arrival(front: Front, each: BundledRepository) -> Arrival:
    return Arrival(
        source=f"hub {front.manifest.hub} {each.kind}:{each.full_name}",
        refs=each.refs,
        whole=each.whole,
        made_ms=front.manifest.made_ms,
        visibility=each.visibility,
        gated=each.gated,
        missing=frozenset(each.missing),
    )
