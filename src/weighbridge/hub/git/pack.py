"""A pack: the stream of objects that git sends, version 2 (gitformat-pack), every object whole.

No deltas are made: what compresses badly lies outside git (LFS, Xet), and whole objects can be sent as they are read.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from weighbridge.hub.database.batch import batches
from weighbridge.hub.git.objects import EMPTY_TREE_OID, GitObject, MissingObjectError
from weighbridge.hub.git.tree import ObjectReader

READ_BATCH: Final = 64

_EMPTY_TREE: Final = GitObject("tree", b"")
_TYPES: Final = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}


def write_pack(reader: ObjectReader, oids: Sequence[str], write: Callable[[bytes], None]) -> None:
    """Send a pack of the objects, each read when it is its turn. Raises `MissingObjectError`."""
    digest = hashlib.sha1(usedforsecurity=False)
    for part in _parts(reader, oids):
        digest.update(part)
        write(part)
    write(digest.digest())


def _parts(reader: ObjectReader, oids: Sequence[str]) -> Iterator[bytes]:
    yield b"PACK" + (2).to_bytes(4, "big") + len(oids).to_bytes(4, "big")
    for batch in batches(oids, READ_BATCH):
        # The empty tree exists by definition, stored or not.
        found = {EMPTY_TREE_OID: _EMPTY_TREE, **reader.read_many([oid for oid in batch if oid != EMPTY_TREE_OID])}
        for oid in batch:
            if oid not in found:
                raise MissingObjectError("an object to be sent is not there", place=oid)
            yield from _entry(found[oid])


def _entry(item: GitObject) -> Iterator[bytes]:
    size = len(item.data)
    first = (_TYPES[item.kind] << 4) | (size & 15)
    size >>= 4
    header = bytearray()
    while size:
        header.append(first | 128)
        first, size = size & 127, size >> 7
    header.append(first)
    yield bytes(header)
    yield zlib.compress(item.data, 1)
