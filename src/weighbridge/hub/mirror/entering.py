"""Xorbs and large files of a bundle on their way in: everything is recomputed before a row is written.

No repository becomes a holder of the xorbs themselves: they may hold more than its files. A file is entered with all
that its hashes say; a xorb that no file came to use is collected after the grace time.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import BinaryIO, Final

from sqlalchemy import select, update

from weighbridge.errors import HubError, WeighbridgeError
from weighbridge.hub.content.content import Content, add_contents, insert_missing, many, new_xorb_key, own
from weighbridge.hub.content.read import blocks
from weighbridge.hub.database.schema import dedup_chunk, xorb
from weighbridge.hub.mirror.errors import BundleError
from weighbridge.hub.mirror.records import BundledContent, BundledXorb
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.dedup_shard import dedup_eligible
from weighbridge.hub.xet.errors import XetError
from weighbridge.hub.xet.merkle import MerkleTree, to_hex
from weighbridge.hub.xet.xorb import XorbIndex, XorbReader

_BLOCK_BYTES: Final = 1024 * 1024
_KEPT_INDEXES: Final = 64


def has_xorb(hub: HubServer, name: str) -> bool:
    """Return whether the xorb is here; if so, it is kept for another grace time."""
    with hub.database.write() as connection:
        fresh = update(xorb).where(xorb.c.hash == name).values(condemned_ms=None, created_ms=hub.now_ms())
        return connection.execute(fresh).rowcount == 1


def enter_xorb(hub: HubServer, row: BundledXorb, source: BinaryIO, offset: int, *, place: str) -> None:
    """Verify a xorb that lies in the file at `offset`, store it, and let it exist.

    Raises:
        BundleError: if it is not what its hash says.
        ByteStoreError: if the store fails.
    """
    name = to_hex(row.hash)
    key = new_xorb_key(name)
    reader = XorbReader(expected=row.hash)
    found: list[XorbIndex] = []

    def verified() -> Iterator[bytes]:
        source.seek(offset)
        left = row.size_bytes
        while left:
            block = source.read(min(left, _BLOCK_BYTES))
            if not block:
                raise BundleError("the file ends inside a xorb", place=f"{place}, byte {offset}")
            left -= len(block)
            reader.feed(block)
            yield block
        index = reader.finish()
        if index.serialised_bytes != row.size_bytes or len(index) != row.chunk_count:
            raise BundleError("a xorb is not as the table states it", place=f"{place}, byte {offset}")
        found.append(index)

    try:
        hub.store.write(key, verified())
    except XetError as error:
        raise BundleError(f"{error.place}: {error.message}", place=f"{place}, section bytes, byte {offset}") from error
    _name(hub, found[0], key)


class Entrance:
    """Enters large files, whose xorbs are here by now."""

    def __init__(self, hub: HubServer, repositories: tuple[int, ...], *, place: str) -> None:
        self._hub = hub
        self._repositories = repositories
        self._place = place
        self._find = lru_cache(maxsize=_KEPT_INDEXES)(self._index)

    def enter(self, bundled: BundledContent) -> int:
        """Make the repositories holders of the file, and return how many bytes had to be read for that.

        Raises:
            BundleError: if it is not what its hashes say, or needs a xorb that is neither here nor in the bundle.
        """
        made = bundled.content
        if made.size_bytes > self._hub.settings.max_file_bytes:
            raise self._wrong(made, f"a file of {made.size_bytes:,} bytes; this hub takes fewer")
        with self._hub.database.read() as connection:
            known = many(connection, (made.sha256,)).get(made.sha256)
        same = known is not None and known.xet_hash == made.xet_hash and known.size_bytes == made.size_bytes
        if not same:
            check_content(self._hub, made, self._find, lambda message: self._wrong(made, message))
        now_ms = self._hub.now_ms()
        with self._hub.database.write() as connection:
            for number in bundled.repositories:
                if same:
                    own(connection, self._repositories[number], made.sha256, now_ms=now_ms)
                else:
                    add_contents(connection, self._repositories[number], (made,), now_ms=now_ms)
        return 0 if same else made.size_bytes

    def _index(self, name: str) -> XorbIndex:
        with self._hub.database.read() as connection:
            packed = connection.execute(select(xorb.c.chunks).where(xorb.c.hash == name)).scalar_one_or_none()
        if packed is None:
            raise BundleError(
                f"a file needs the xorb {name}, which is neither here nor in the bundle",
                place=self._place,
                hint="The bundle was made for another hub, or by an old inventory: export again with a new one.",
            )
        return XorbIndex.from_bytes(packed)

    def _wrong(self, made: Content, message: str) -> BundleError:
        return BundleError(message, place=f"{self._place}, file {made.sha256}")


def check_content(
    hub: HubServer, made: Content, find: Callable[[str], XorbIndex], wrong: Callable[[str], WeighbridgeError]
) -> None:
    """Recompute all that a file's hashes say from the xorbs here: first its Xet hash, then its SHA-256.

    `find` returns the index of a xorb; what `wrong` makes of a message is raised if the file is another one.
    """
    tree = MerkleTree()
    for term in made.terms:
        index = find(term.xorb)
        if term.end_chunk > len(index) or term.first_chunk >= term.end_chunk:
            raise wrong("it names chunks that its xorb does not have")
        if index.raw_bytes_of(term.first_chunk, term.end_chunk) != term.raw_bytes:
            raise wrong("its chunks have another length than it states")
        hashes = index.hashes_of(term.first_chunk, term.end_chunk)
        tree.extend(hashes, index.raw_lengths_of(term.first_chunk, term.end_chunk))
    if to_hex(tree.file_hash()) != made.xet_hash or tree.total_bytes != made.size_bytes:
        raise wrong("its chunks make another file")
    digest = hashlib.sha256()
    for block in blocks(hub, made):
        digest.update(block)
    if digest.hexdigest() != made.sha256:
        raise wrong(f"its bytes have the SHA-256 {digest.hexdigest()}")


def _name(hub: HubServer, index: XorbIndex, key: str) -> None:
    row = {
        "hash": to_hex(index.hash),
        "key": key,
        "size_bytes": index.serialised_bytes,
        "raw_bytes": index.raw_bytes,
        "chunk_count": len(index),
        "chunks": index.to_bytes(),
        "created_ms": hub.now_ms(),
    }
    with hub.database.write() as connection:
        is_new = insert_missing(connection, xorb, (row,)) == 1
        if is_new:
            offered = ({"chunk": to_hex(index.chunk_hash(at)), "xorb": row["hash"]} for at in dedup_eligible(index))
            insert_missing(connection, dedup_chunk, offered)
    if not is_new:
        hub.store.delete((key,))
        if not has_xorb(hub, to_hex(index.hash)):
            raise HubError("a xorb was collected meanwhile", place=str(row["hash"]), hint="Import the bundle again.")
