"""What all git objects have in common: a kind, bytes, and an oid that follows from both.

An object's oid is the SHA-1 of `kind`, a blank, its size, a NUL and its bytes (`git help hash-object`).
"""

import hashlib
from typing import Final, Literal, NamedTuple

from weighbridge.errors import InputError

ObjectKind = Literal["blob", "tree", "commit", "tag"]

KINDS: Final[tuple[ObjectKind, ...]] = ("commit", "tree", "blob", "tag")
EMPTY_TREE_OID: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


class GitObjectError(InputError):
    """Bytes that are not a sound git object, or facts that no git object can state."""

    hint = "Run `weighbridge hub verify` if the hub itself stored it; otherwise the sender must repair it."


class MissingObjectError(GitObjectError):
    """An object that another one names is not there. `place` is its oid."""

    hint = "Run `weighbridge hub verify`: it names the revisions that lack objects."


class GitObject(NamedTuple):
    """An object as it is stored: its kind, and its bytes without git's header."""

    kind: ObjectKind
    data: bytes


def oid_of(kind: ObjectKind, data: bytes) -> str:
    """Return the oid of an object: the SHA-1 of its header and bytes, 40 hexadecimal digits."""
    # Git's identifiers are SHA-1 by its format; what must resist forgery is identified by SHA-256 elsewhere.
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def blob_header(size_bytes: int) -> bytes:
    """Return what SHA-1 takes in before a blob's bytes, for whoever hashes them as they pass."""
    return b"blob %d\0" % size_bytes
