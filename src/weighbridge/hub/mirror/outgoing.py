"""A bundle on its way out: planned from the database alone, then written from its beginning or from anywhere in it.

The same hub, repositories, inventory, time and key give the same bytes: so an export that was killed goes on where its
file ends.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from sqlalchemy import Connection, select

from weighbridge.errors import InputError
from weighbridge.hub.content.content import Content, ContentError, many, owned_among
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import repository, xorb
from weighbridge.hub.mirror.carried import PREFIXES, CarriedRef
from weighbridge.hub.mirror.closure import closure
from weighbridge.hub.mirror.delta import Delta, SentXorb, plan_delta
from weighbridge.hub.mirror.inventory import HeldRepository, HeldXorb, read_inventory
from weighbridge.hub.mirror.manifest import Manifest, Section, hub_name
from weighbridge.hub.mirror.records import (
    BundledRepository,
    BundledXorb,
    pack_content,
    pack_object,
    pack_repository,
    pack_xorb,
)
from weighbridge.hub.mirror.target import target_of
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.refs import Ref, list_refs
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.xorb import XorbIndex, each_chunk

_BATCH: Final = 64

OpenInventory = Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A repository to be exported: its kind, its full name, and branches or tags; all of them if none is named."""

    kind: str
    full_name: str
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """A repository with what of it is sent: oids of all objects, and of what each pointer stands for."""

    id: int
    described: BundledRepository
    oids: tuple[str, ...]
    shas: frozenset[str]


class Outgoing:
    """A bundle that is planned.

    Attributes:
        manifest: its manifest.
        repositories: what is in it.
        sent: its xorbs, in the order of their bytes.
    """

    def __init__(
        self, hub: HubServer, wanted: tuple[Wanted, ...], inventory: OpenInventory | None, *, made_ms: int
    ) -> None:
        """Plan it. Raises `InputError` for what is not here, `InventoryError`, `GitObjectError`."""
        self._hub = hub
        held = _held_refs(inventory, {f"{each.kind}:{each.full_name}" for each in wanted}) if inventory else {}
        with hub.database.read() as connection:
            self._chosen = tuple(_choose(connection, each, held) for each in wanted)
            self._contents = _contents(connection, self._chosen)
        chunks = (lambda: _held_xorbs(inventory)) if inventory else None
        self._delta: Delta = plan_delta([content for content, _ in self._contents], self._index, chunks)
        self.sent: tuple[SentXorb, ...] = self._delta.sent
        self.repositories = tuple(each.described for each in self._chosen)
        self.manifest = Manifest(
            made_ms=made_ms,
            hub=hub_name(hub.secret),
            sections=tuple(_summed(part) for part in self._sections()),
            xorb_bytes=sum(each.size_bytes for each in self.sent),
        )

    def sections(self) -> Iterator[bytes]:
        """Yield the bytes of all sections but the last."""
        for section in self._sections():
            yield from section

    def xorb(self, sent: SentXorb) -> Iterator[bytes]:
        """Yield the bytes of a xorb, each chunk of which was found sound. Raises `XorbError`, `ByteStoreError`."""
        for piece in sent.pieces:
            key, index = self._stored(piece.xorb)
            data = self._hub.store.read_range(key, *index.byte_range(piece.first, piece.end))
            for _ in each_chunk(data, index=index, first=piece.first):
                pass
            yield data

    def _sections(self) -> Iterator[Iterator[bytes]]:
        yield (pack_repository(each.described) for each in self._chosen)
        yield self._objects()
        yield (pack_content(self._delta.translate(content), holders) for content, holders in self._contents)
        rows = (BundledXorb(hash=s.hash, size_bytes=s.size_bytes, chunk_count=s.chunk_count) for s in self.sent)
        yield (pack_xorb(row) for row in rows)

    def _objects(self) -> Iterator[bytes]:
        for number, chosen in enumerate(self._chosen):
            for part in batches(chosen.oids, _BATCH):
                with self._hub.database.read() as connection:
                    found = DatabaseObjects(connection, chosen.id).read_many(part)
                yield from (pack_object(number, found[oid]) for oid in part)

    def _index(self, name: str) -> XorbIndex:
        return self._stored(name)[1]

    def _stored(self, name: str) -> tuple[str, XorbIndex]:
        with self._hub.database.read() as connection:
            row = connection.execute(select(xorb.c.key, xorb.c.chunks).where(xorb.c.hash == name)).one_or_none()
        if row is None:
            raise ContentError(f"the xorb {name} of a file to be exported is not there")
        return row.key, XorbIndex.from_bytes(row.chunks)


def inventory_of(hub: HubServer) -> Iterator[HeldRepository | HeldXorb]:
    """Yield what this hub has, as `write_inventory` takes it; what is about to be collected is left out."""
    with hub.database.read() as connection:
        yield from _repositories(connection)
        last = ""
        while True:
            page = select(xorb.c.hash, xorb.c.chunks).where(xorb.c.hash > last, xorb.c.condemned_ms.is_(None))
            rows = connection.execute(page.order_by(xorb.c.hash).limit(_BATCH)).all()
            if not rows:
                return
            for row in rows:
                index = XorbIndex.from_bytes(row.chunks)
                yield HeldXorb(hash=index.hash, hashes=index.hashes)
            last = rows[-1].hash


def _repositories(connection: Connection) -> Iterator[HeldRepository]:
    listed = select(repository.c.id, repository.c.kind, repository.c.full_name).where(repository.c.kind != "bucket")
    for row in connection.execute(listed.order_by(repository.c.kind, repository.c.full_name)).all():
        refs = tuple((ref.name, ref.commit_oid) for ref in _movable(list_refs(connection, row.id)))
        yield HeldRepository(name=f"{row.kind}:{row.full_name}", refs=refs)


def _movable(refs: tuple[Ref, ...]) -> tuple[Ref, ...]:
    return tuple(ref for ref in refs if ref.name.startswith(PREFIXES))


def _held_refs(inventory: OpenInventory, names: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the commits that the other hub has of these repositories; reads the inventory to its end."""
    found: dict[str, tuple[str, ...]] = {}
    with inventory() as source:
        for held in read_inventory(source, place="inventory"):
            if isinstance(held, HeldRepository) and held.name in names:
                found[held.name] = tuple(dict.fromkeys(oid for _, oid in held.refs))
    return found


def _held_xorbs(inventory: OpenInventory) -> Iterator[HeldXorb]:
    with inventory() as source:
        for held in read_inventory(source, place="inventory"):
            if isinstance(held, HeldXorb):
                yield held


def _choose(connection: Connection, wanted: Wanted, held: dict[str, tuple[str, ...]]) -> _Chosen:
    repo = target_of(connection, wanted.kind, wanted.full_name, lock=False)
    if repo is None:
        raise InputError(
            f"this hub has no {wanted.kind} of this name",
            place=wanted.full_name,
            hint="Give --repo model:OWNER/NAME, dataset:OWNER/NAME or space:OWNER/NAME.",
        )
    listed = _movable(list_refs(connection, repo.id))
    refs = _named(repo, listed, wanted.revisions) if wanted.revisions else listed
    reader = DatabaseObjects(connection, repo.id)
    theirs = held.get(f"{wanted.kind}:{wanted.full_name}", ())
    needed = closure(reader, (ref.oid for ref in refs), (oid for oid in theirs if reader.has_commit(oid)))
    shas: set[str] = set()
    for part in batches(needed.blobs):
        shas.update(blob.lfs_sha256 for blob in reader.blobs(part).values() if blob.lfs_sha256)
    there = owned_among(connection, repo.id, shas)
    described = BundledRepository(
        kind=repo.kind,
        full_name=repo.full_name,
        visibility=repo.visibility,
        gated=repo.gated,
        whole=not wanted.revisions,
        refs=tuple(CarriedRef(name=ref.name, oid=ref.oid, commit_oid=ref.commit_oid) for ref in refs),
        missing=tuple(sorted(shas - there.keys())),
    )
    oids = (*needed.tags, *needed.commits, *needed.trees, *needed.blobs)
    return _Chosen(id=repo.id, described=described, oids=oids, shas=frozenset(there))


def _named(repo: Repository, refs: tuple[Ref, ...], revisions: tuple[str, ...]) -> tuple[Ref, ...]:
    chosen = []
    for revision in revisions:
        names = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        found = next((ref for name in names for ref in refs if ref.name == name), None)
        if found is None:
            raise InputError(
                f"{repo.full_name} has no branch or tag of this name",
                place=revision[:200],
                hint="Commits move as parts of branches and tags: make one for it.",
            )
        chosen.append(found)
    return tuple(dict.fromkeys(chosen))


def _contents(connection: Connection, chosen: tuple[_Chosen, ...]) -> tuple[tuple[Content, tuple[int, ...]], ...]:
    """Return the large files in order of their SHA-256, each with the numbers of the repositories that hold it."""
    holders: dict[str, list[int]] = {}
    for number, each in enumerate(chosen):
        for sha256 in each.shas:
            holders.setdefault(sha256, []).append(number)
    found = many(connection, holders)
    return tuple((found[sha256], tuple(holders[sha256])) for sha256 in sorted(found))


def _summed(parts: Iterator[bytes]) -> Section:
    digest, size = hashlib.sha256(), 0
    for part in parts:
        digest.update(part)
        size += len(part)
    return Section(size_bytes=size, sha256=digest.hexdigest())
