"""Inventories, bundles and packs: what is written is read again, and whatever else is refused in one way."""

import contextlib
import hashlib
import io
import tempfile
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from dulwich.pack import create_delta
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.errors import VerificationError
from weighbridge.hub.content.terms import Content, Term
from weighbridge.hub.git.objects import GitObject, oid_of
from weighbridge.hub.mirror.carried import CarriedRef
from weighbridge.hub.mirror.delta import Delta, plan_delta
from weighbridge.hub.mirror.errors import BundleError, InventoryError
from weighbridge.hub.mirror.inventory import Held, HeldRepository, HeldXorb, read_inventory, write_inventory
from weighbridge.hub.mirror.manifest import SECTIONS, Front, Manifest, Section, read_front, write_front
from weighbridge.hub.mirror.pack_reader import PackError, apply_delta, read_pack
from weighbridge.hub.mirror.records import (
    BundledRepository,
    BundledXorb,
    pack_content,
    pack_object,
    pack_repository,
    pack_xorb,
    read_contents,
    read_objects,
    read_repositories,
    read_xorbs,
)
from weighbridge.hub.mirror.section import SectionReader
from weighbridge.hub.xet.merkle import HASH_BYTES, to_hex
from weighbridge.hub.xet.xorb import XorbIndex, read_xorb
from weighbridge.hub.xet.xorb_write import PackedXorb, write_xorbs

HASH = st.binary(min_size=HASH_BYTES, max_size=HASH_BYTES)
OID = st.binary(min_size=20, max_size=20).map(bytes.hex)
REF = st.from_regex(r"refs/(heads|tags)/[a-z]{1,9}", fullmatch=True)


class Key:
    """Signs so that every change shows, without a curve's arithmetic in each example."""

    public_key_pem = b"-----BEGIN PUBLIC KEY-----\n"

    def sign(self, message: bytes) -> bytes:
        return oid_of("blob", message).encode()

    def verify(self, message: bytes, signature: bytes) -> None:
        if signature != self.sign(message):
            raise VerificationError("not good")


HELD_REPOSITORIES = st.builds(
    HeldRepository,
    name=st.text(min_size=1, max_size=20),
    refs=st.lists(st.tuples(REF, OID), max_size=3).map(tuple),
)
HELD_XORBS = st.builds(HeldXorb, hash=HASH, hashes=st.lists(HASH, max_size=4).map(b"".join))


@given(st.lists(HELD_REPOSITORIES, max_size=3), st.lists(HELD_XORBS, max_size=3))
def test_an_inventory_is_read_as_it_was_written(repositories: list[Held], xorbs: list[Held]) -> None:
    out = io.BytesIO()
    assert write_inventory([*repositories, *xorbs], out) == len(out.getvalue())
    assert list(read_inventory(io.BytesIO(out.getvalue()), place="x")) == [*repositories, *xorbs]


@given(st.lists(HELD_REPOSITORIES, max_size=2), st.lists(HELD_XORBS, max_size=2), st.data())
def test_an_inventory_with_any_byte_changed_or_missing_is_refused(
    repositories: list[Held], xorbs: list[Held], data: st.DataObject
) -> None:
    out = io.BytesIO()
    write_inventory([*repositories, *xorbs], out)
    good = out.getvalue()
    at = data.draw(st.integers(0, len(good) - 1))
    flipped = good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :]
    for bad in (flipped, good[:at], good + b"E"):
        with pytest.raises(InventoryError):
            list(read_inventory(io.BytesIO(bad), place="x"))


@given(st.binary(max_size=300))
def test_any_bytes_are_no_inventory_and_no_bundle(data: bytes) -> None:
    with pytest.raises(InventoryError):
        list(read_inventory(io.BytesIO(data), place="x"))
    with pytest.raises(VerificationError):
        read_front(io.BytesIO(data), Key(), place="x")


def section_of(name: str, data: bytes) -> tuple[SectionReader, Section]:
    section = Section(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    empty = Section(size_bytes=0, sha256=hashlib.sha256(b"").hexdigest())
    sections = tuple(section if each == name else empty for each in SECTIONS)
    front = Front(manifest=Manifest(made_ms=1, hub="0" * 64, sections=sections, xorb_bytes=0), start=0)
    return SectionReader(io.BytesIO(data), front, name, place="x"), section


CONTENTS = st.builds(
    Content,
    sha256=HASH.map(bytes.hex),
    xet_hash=HASH.map(to_hex),
    size_bytes=st.integers(0, 2**63),
    terms=st.lists(
        st.builds(Term, HASH.map(to_hex), st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 2**31)),
        max_size=4,
    ).map(tuple),
)
OBJECTS = st.builds(GitObject, st.sampled_from(["blob", "tree", "commit", "tag"]), st.binary(max_size=50))
REPOSITORIES = st.builds(
    BundledRepository,
    kind=st.sampled_from(["model", "dataset", "space"]),
    full_name=st.text(max_size=20),
    visibility=st.sampled_from(["public", "private"]),
    gated=st.sampled_from(["", "auto", "manual"]),
    whole=st.booleans(),
    refs=st.lists(st.builds(CarriedRef, name=REF, oid=OID, commit_oid=OID), max_size=3).map(tuple),
    missing=st.lists(HASH.map(bytes.hex), max_size=2).map(tuple),
)


@given(st.lists(REPOSITORIES, max_size=3), st.lists(OBJECTS, max_size=5), st.lists(CONTENTS, max_size=3))
def test_records_are_read_as_they_were_written(
    repositories: list[BundledRepository], objects: list[GitObject], contents: list[Content]
) -> None:
    reader, _ = section_of("repositories", b"".join(map(pack_repository, repositories)))
    assert list(read_repositories(reader)) == repositories
    reader, _ = section_of("objects", b"".join(pack_object(1, item) for item in objects))
    assert [each.item for each in read_objects(reader, 2)] == objects
    reader, _ = section_of("contents", b"".join(pack_content(content, (0, 1)) for content in contents))
    assert [each.content for each in read_contents(reader, 2)] == contents
    rows = [BundledXorb(hash=b"x" * 32, size_bytes=5, chunk_count=1)] * len(contents)
    reader, _ = section_of("xorbs", b"".join(map(pack_xorb, rows)))
    assert list(read_xorbs(reader)) == rows
    reader.finish()


@given(st.binary(max_size=200))
def test_hostile_records_are_refused_in_one_way(data: bytes) -> None:
    reads: tuple[Any, ...] = (
        ("repositories", lambda reader: read_repositories(reader)),
        ("objects", lambda reader: list(read_objects(reader, 3))),
        ("contents", lambda reader: list(read_contents(reader, 3))),
        ("xorbs", lambda reader: list(read_xorbs(reader))),
    )
    for name, read in reads:
        reader, _ = section_of(name, data)
        try:
            read(reader)
        except BundleError:
            continue


def test_a_section_that_is_not_what_was_signed_is_refused() -> None:
    reader, section = section_of("objects", b"abc")
    sections = tuple(section if each == "objects" else Section(size_bytes=0, sha256="0" * 64) for each in SECTIONS)
    front = Front(manifest=Manifest(made_ms=1, hub="0" * 64, sections=sections, xorb_bytes=0), start=0)
    reader.finish()
    with pytest.raises(BundleError, match="not those that were signed"):
        SectionReader(io.BytesIO(b"abd"), front, "objects", place="x").finish()


@given(st.integers(0, 2**45), st.lists(st.integers(0, 2**40), min_size=4, max_size=4), st.data())
def test_a_front_is_read_as_written_and_no_byte_of_it_can_change(
    made_ms: int, sizes: list[int], data: st.DataObject
) -> None:
    sections = tuple(Section(size_bytes=size, sha256=f"{number:064x}") for number, size in enumerate(sizes))
    manifest = Manifest(made_ms=made_ms, hub="a" * 64, sections=sections, xorb_bytes=7)
    written = write_front(manifest, Key())
    front = read_front(io.BytesIO(written), Key(), place="x")
    assert front == Front(manifest=manifest, start=len(written))
    assert front.manifest.end(front.start) == len(written) + sum(sizes) + 7
    at = data.draw(st.integers(0, len(written) - 1))
    bad = written[:at] + bytes([written[at] ^ data.draw(st.integers(1, 127))]) + written[at + 1 :]
    # What names the key is not signed, and decides nothing.
    with contextlib.suppress(VerificationError):
        assert read_front(io.BytesIO(bad), Key(), place="x").manifest == manifest
    with pytest.raises(VerificationError):
        read_front(io.BytesIO(written[:at]), Key(), place="x")


def chunk(seed: int) -> bytes:
    return Random(seed).randbytes(200 + seed % 100)


class Store:
    """Xorbs of some seeds' chunks, by name."""

    def __init__(self, groups: list[list[int]]) -> None:
        self.xorbs: dict[str, PackedXorb] = {}
        for group in groups:
            for made in write_xorbs(map(chunk, group)):
                self.xorbs[to_hex(made.index.hash)] = made

    def index(self, name: str) -> XorbIndex:
        return self.xorbs[name].index

    def held(self) -> Iterator[HeldXorb]:
        for name in sorted(self.xorbs):
            index = self.xorbs[name].index
            yield HeldXorb(hash=index.hash, hashes=index.hashes)

    def file(self, runs: list[tuple[int, int, int]]) -> Content:
        names = sorted(self.xorbs)
        terms = []
        for which, first, length in runs:
            name = names[which % len(names)]
            index = self.index(name)
            start = first % len(index)
            end = min(len(index), start + 1 + length)
            terms.append(Term(name, start, end, index.raw_bytes_of(start, end)))
        return Content(sha256="0" * 64, xet_hash="0" * 64, size_bytes=0, terms=tuple(terms))


def digests(content: Content, indexes: dict[str, XorbIndex]) -> bytes:
    parts = []
    for term in content.terms:
        index = indexes[term.xorb]
        assert index.raw_bytes_of(term.first_chunk, term.end_chunk) == term.raw_bytes
        parts.append(index.hashes_of(term.first_chunk, term.end_chunk))
    return b"".join(parts)


def sent_indexes(delta: Delta, near: Store) -> dict[str, XorbIndex]:
    """Read what would be sent as whoever gets it does."""
    found = {}
    for sent in delta.sent:
        parts = [
            near.xorbs[piece.xorb].data[slice(*near.index(piece.xorb).byte_range(piece.first, piece.end))]
            for piece in sent.pieces
        ]
        data = b"".join(parts)
        index = read_xorb(data, expected=sent.hash)
        assert (len(data), len(index)) == (sent.size_bytes, sent.chunk_count)
        found[to_hex(sent.hash)] = index
    return found


GROUPS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8), min_size=1, max_size=4)
RUNS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(GROUPS, st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8), max_size=4), st.lists(RUNS, max_size=3))
def test_a_delta_holds_what_is_lacking_and_no_more(
    near_groups: list[list[int]], far_groups: list[list[int]], files: list[list[tuple[int, int, int]]]
) -> None:
    near, far = Store(near_groups), Store(far_groups)
    contents = [near.file(runs) for runs in files]
    delta = plan_delta(contents, near.index, far.held if far_groups else None)
    sent = sent_indexes(delta, near)
    there = {name: made.index for name, made in far.xorbs.items()}
    here = {name: made.index for name, made in near.xorbs.items()}
    for content in contents:
        assert digests(delta.translate(content), {**there, **sent}) == digests(content, here)
    moved = [index.chunk_hash(at) for index in sent.values() for at in range(len(index))]
    needed = {digests(c, here)[at : at + 32] for c in contents for at in range(0, len(digests(c, here)), 32)}
    had = {index.chunk_hash(at) for index in there.values() for at in range(len(index))}
    assert len(set(moved)) == len(moved)
    assert set(moved) == needed - had


def a_pack(entries: list[bytes], count: int | None = None) -> bytes:
    body = b"PACK" + (2).to_bytes(4, "big") + (len(entries) if count is None else count).to_bytes(4, "big")
    body += b"".join(entries)
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def entry(kind: int, data: bytes, between: bytes = b"", size: int | None = None) -> bytes:
    left = len(data) if size is None else size
    byte, left = kind << 4 | left & 15, left >> 4
    head = bytearray()
    while left:
        head.append(byte | 128)
        byte, left = left & 127, left >> 7
    return bytes(head) + bytes([byte]) + between + zlib.compress(data)


def taken(data: bytes) -> dict[str, GitObject]:
    found: dict[str, GitObject] = {}
    with tempfile.TemporaryFile() as file:
        file.write(data)
        read_pack(file, found.__setitem__)
    return found


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=600), st.binary(max_size=600), st.booleans())
def test_deltas_made_by_another_implementation_are_undone(base: bytes, extra: bytes, by_oid: bool) -> None:
    target = base[len(base) // 2 :] + extra + base
    delta = b"".join(create_delta(base, target))
    assert apply_delta(base, delta, limit=10_000) == target
    first = entry(3, base)
    between = bytes.fromhex(oid_of("blob", base)) if by_oid else offset(len(first))
    data = a_pack([first, entry(7 if by_oid else 6, delta, between)])
    assert taken(data) == {oid_of("blob", each): GitObject("blob", each) for each in (base, target)}


def offset(distance: int) -> bytes:
    parts = [distance & 127]
    while distance := distance >> 7:
        distance -= 1
        parts.append(128 | distance & 127)
    return bytes(reversed(parts))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_a_damaged_pack_is_refused_in_one_way(content: bytes, data: st.DataObject) -> None:
    good = a_pack([entry(3, content), entry(3, content + b"x")])
    assert len(taken(good)) == 2
    at = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:at] + bytes([good[at] ^ data.draw(st.integers(1, 255))]) + good[at + 1 :], good[:at]):
        with pytest.raises(PackError):
            taken(bad)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=100))
def test_hostile_entries_and_deltas_are_refused_in_one_way(data: bytes) -> None:
    for bad in (a_pack([data], 1), a_pack([entry(3, b"base"), entry(6, data, b"\x0d")])):
        with contextlib.suppress(PackError):
            assert all(oid == oid_of(item.kind, item.data) for oid, item in taken(bad).items())


def test_bombs_cycles_and_missing_bases_are_refused() -> None:
    bomb = entry(3, bytes(1_000_000), size=10)
    huge = entry(3, b"x", size=2**40)
    lost = entry(7, b"\x01\x01\x01x", bytes(20))
    outside = entry(6, b"\x01\x01\x01x", offset(5000))
    # A delta that says it makes 16 MiB out of a base of 64 KiB, again and again.
    copies = b"\x80\x80\x04" + b"\x80\x80\x80\x08" + b"\x80" * 4000
    for bad in (bomb, huge, lost, outside):
        with pytest.raises(PackError):
            taken(a_pack([bad]))
    with pytest.raises(PackError):
        apply_delta(bytes(65536), copies, limit=64 * 2**20)
    with pytest.raises(PackError):
        apply_delta(b"abc", b"\x03\xff\xff\xff\xff\x7f", limit=1000)
