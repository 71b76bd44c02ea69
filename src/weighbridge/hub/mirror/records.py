"""The records of a bundle's sections, as bytes and back. Whatever is read is bounded and checked before it is built.

* `repositories`: a line of JSON each, in the order in which the other sections number them.
* `objects`: u32 repository, u8 kind, u32 length, the bytes of a Git object.
* `contents`: 32 bytes SHA-256, 32 bytes Xet hash, u64 size, u32 count of repositories, each u32; u32 length, terms.
* `xorbs`: 32 bytes hash, u32 length, u32 count of chunks.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from weighbridge.checkpoint.document import parse_object
from weighbridge.dossier.canonical import canonical_bytes
from weighbridge.errors import InputError, VerificationError, WeighbridgeError
from weighbridge.hub.content.terms import Content, pack_terms, unpack_terms
from weighbridge.hub.git.objects import MAX_TREE_BYTES, GitObject, ObjectKind
from weighbridge.hub.mirror.carried import MAX_REFS, CarriedRef
from weighbridge.hub.mirror.errors import BundleError
from weighbridge.hub.mirror.section import SectionReader
from weighbridge.hub.xet.merkle import from_hex, to_hex
from weighbridge.hub.xet.xorb import MAX_XORB_BYTES, MAX_XORB_CHUNKS

MAX_REPOSITORIES: Final = 10_000
MAX_REPOSITORY_BYTES: Final = 64 * 1024 * 1024
MAX_TERMS_BYTES: Final = 256 * 1024 * 1024
KINDS: Final[tuple[ObjectKind, ...]] = ("blob", "tree", "commit", "tag")

_OBJECT: Final = struct.Struct("<IBI")
_CONTENT: Final = struct.Struct("<32s32sQI")
_LONG: Final = struct.Struct("<I")
_XORB: Final = struct.Struct("<32sII")


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledRepository:
    """A repository in a bundle.

    Attributes:
        kind: `model`, `dataset` or `space`.
        full_name: `owner/name`.
        visibility: `public` or `private`.
        gated: ``''``, `auto` or `manual`.
        whole: whether `refs` are all branches and tags that it has.
        refs: the exported ones.
        missing: SHA-256 of files that its commits name and that it does not have any more.
    """

    kind: str
    full_name: str
    visibility: str
    gated: str
    whole: bool
    refs: tuple[CarriedRef, ...]
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        allowed = (("model", "dataset", "space"), ("public", "private"), ("", "auto", "manual"))
        if not all(value in of for value, of in zip((self.kind, self.visibility, self.gated), allowed, strict=True)):
            raise BundleError("it describes a repository of no known kind", place=self.full_name[:80])


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledObject:
    """A Git object, and the number of its repository."""

    repository: int
    item: GitObject


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledContent:
    """A large file, by terms of xorbs that are in the bundle or on the hub for which it was made, and who holds it."""

    content: Content
    repositories: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledXorb:
    """A xorb in the section `bytes`: its hash, its length there, its number of chunks."""

    hash: bytes
    size_bytes: int
    chunk_count: int


def pack_repository(made: BundledRepository) -> bytes:
    """Return the line of a repository."""
    return canonical_bytes(
        {
            "kind": made.kind,
            "name": made.full_name,
            "visibility": made.visibility,
            "gated": made.gated,
            "whole": made.whole,
            "refs": [[ref.name, ref.oid, ref.commit_oid] for ref in made.refs],
            "missing": list(made.missing),
        }
    )


def read_repositories(reader: SectionReader) -> tuple[BundledRepository, ...]:
    """Return the repositories. Raises `BundleError`."""
    if reader.left > MAX_REPOSITORY_BYTES:
        raise reader.wrong(f"descriptions of repositories have at most {MAX_REPOSITORY_BYTES} bytes together")
    data = reader.take(reader.left)
    # Counted first: an empty line takes eight bytes of a list.
    if data.count(b"\n") > MAX_REPOSITORIES:
        raise reader.wrong(f"a bundle holds at most {MAX_REPOSITORIES} repositories")
    try:
        return tuple(
            _repository(parse_object(line, place="", max_depth=4, max_values=4 * MAX_REFS))
            for line in data.splitlines()
        )
    except (InputError, VerificationError, KeyError, TypeError, ValueError) as error:
        raise reader.wrong(f"a repository is not described as it should be: {error}") from error


def pack_object(repository: int, item: GitObject) -> bytes:
    """Return the record of a Git object."""
    return _OBJECT.pack(repository, KINDS.index(item.kind), len(item.data)) + item.data


def read_objects(reader: SectionReader, repositories: int) -> Iterator[BundledObject]:
    """Yield the Git objects; what they say is not looked at yet. Raises `BundleError`."""
    while reader.left:
        repository, kind, size = _OBJECT.unpack(reader.take(_OBJECT.size))
        if repository >= repositories or kind >= len(KINDS) or size > MAX_TREE_BYTES:
            raise reader.wrong("this is no record of a Git object")
        yield BundledObject(repository=repository, item=GitObject(KINDS[kind], reader.take(size)))


def pack_content(content: Content, repositories: tuple[int, ...]) -> bytes:
    """Return the record of a large file."""
    terms = pack_terms(content.terms)
    numbers = (bytes.fromhex(content.sha256), from_hex(content.xet_hash), content.size_bytes, len(repositories))
    holders = b"".join(map(_LONG.pack, repositories))
    return _CONTENT.pack(*numbers) + holders + _LONG.pack(len(terms)) + terms


def read_contents(reader: SectionReader, repositories: int) -> Iterator[BundledContent]:
    """Yield the large files. Raises `BundleError`."""
    while reader.left:
        sha256, xet_hash, size, count = _CONTENT.unpack(reader.take(_CONTENT.size))
        if not 0 < count <= repositories:
            raise reader.wrong("a file is held by repositories that are not in the bundle")
        holders = struct.unpack(f"<{count}I", reader.take(4 * count))
        (length,) = _LONG.unpack(reader.take(_LONG.size))
        if max(holders) >= repositories or length > MAX_TERMS_BYTES:
            raise reader.wrong("this is no record of a file")
        try:
            terms = unpack_terms(reader.take(length))
        except BundleError:
            raise
        except WeighbridgeError as error:
            raise reader.wrong(error.message) from error
        made = Content(sha256=sha256.hex(), xet_hash=to_hex(xet_hash), size_bytes=size, terms=terms)
        yield BundledContent(content=made, repositories=holders)


def pack_xorb(made: BundledXorb) -> bytes:
    """Return the row of a xorb."""
    return _XORB.pack(made.hash, made.size_bytes, made.chunk_count)


def read_xorbs(reader: SectionReader) -> Iterator[BundledXorb]:
    """Yield the rows of the table of xorbs. Raises `BundleError`."""
    while reader.left:
        name, size, count = _XORB.unpack(reader.take(_XORB.size))
        if not 0 < size <= MAX_XORB_BYTES or not 0 < count <= MAX_XORB_CHUNKS:
            raise reader.wrong("a xorb has a size that none has")
        yield BundledXorb(hash=name, size_bytes=size, chunk_count=count)


def _repository(stated: Any) -> BundledRepository:
    if type(stated["whole"]) is not bool or len(stated["refs"]) > MAX_REFS:
        raise ValueError("its refs are not stated as refs are")
    for value in (stated["kind"], stated["name"], stated["visibility"], stated["gated"]):
        if not isinstance(value, str):
            raise TypeError("a text is none")
    refs = tuple(
        CarriedRef(name=str(name), oid=str(oid), commit_oid=str(commit)) for name, oid, commit in stated["refs"]
    )
    return BundledRepository(
        kind=stated["kind"],
        full_name=stated["name"],
        visibility=stated["visibility"],
        gated=stated["gated"],
        whole=stated["whole"],
        refs=refs,
        missing=tuple(map(str, stated["missing"])),
    )
