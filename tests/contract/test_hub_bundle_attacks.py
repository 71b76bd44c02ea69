"""Bundles that are signed by the right key and mean harm: what they state is believed no more than a stranger's."""

import hashlib
import io
import json
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from filled_repository import commit
from huggingface_hub import HfApi
from running_hub import Silent, running_hub
from sqlalchemy import select

from weighbridge.dossier.canonical import canonical_bytes
from weighbridge.errors import WeighbridgeError
from weighbridge.hub.accounts.register import add_account
from weighbridge.hub.content.terms import Content, Term, pack_terms
from weighbridge.hub.database.schema import ref
from weighbridge.hub.git.objects import oid_of
from weighbridge.hub.mirror import records
from weighbridge.hub.mirror.manifest import SECTIONS, Manifest, Section, read_front, write_front
from weighbridge.hub.mirror.outgoing import Wanted
from weighbridge.hub.mirror.section import SectionReader
from weighbridge.hub.mirror.take_in import TakenIn, take_in
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.merkle import from_hex, to_hex
from weighbridge.shell.hub.mirror_bundle import export
from weighbridge.shell.hub.wiring import open_hub
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair


class Signed:
    """A good bundle, and ways to change and sign it again; and an empty hub that is to take it in."""

    def __init__(self, good: bytes, signer: EcKeySigner, verifier: EcKeyVerifier, folder: Path) -> None:
        self.good, self.signer, self.verifier, self._folder = good, signer, verifier, folder
        self.front = read_front(io.BytesIO(good), verifier, place="good")
        self.parts: dict[str, bytes] = {}
        for name in (*SECTIONS, "bytes"):
            at = self.front.manifest.offset_of(name, self.front.start)
            end = self.front.manifest.section(name).size_bytes + at if name in SECTIONS else len(good)
            self.parts[name] = good[at:end]
        self._hubs: list[HubServer] = []

    def made(self, **changed: bytes) -> bytes:
        parts = {**self.parts, **changed}
        sections = tuple(
            Section(size_bytes=len(parts[name]), sha256=hashlib.sha256(parts[name]).hexdigest()) for name in SECTIONS
        )
        manifest = Manifest(made_ms=1, hub="a" * 64, sections=sections, xorb_bytes=len(parts["bytes"]))
        return write_front(manifest, self.signer) + b"".join(parts[name] for name in (*SECTIONS, "bytes"))

    @property
    def hub(self) -> HubServer:
        if not self._hubs:
            self.renew()
        return self._hubs[-1]

    def renew(self) -> None:
        made = open_hub(self._folder / f"far-{len(self._hubs)}")
        self._hubs.append(made)
        with made.database.write() as connection:
            add_account(connection, "alice", "user", now_ms=1)

    def close(self) -> None:
        for hub in self._hubs:
            hub.database.close()

    def take_in(self, data: bytes, *, source: BinaryIO | None = None) -> TakenIn:
        return take_in(
            self.hub,
            source or io.BytesIO(data),
            len(data),
            self.verifier,
            place="evil",
            rename=lambda each: each.full_name,
            allow_rollback=False,
            progress=Silent(),
        )

    def is_refused(self, data: bytes = b"", **changed: bytes) -> None:
        self.renew()
        began = time.monotonic()
        with pytest.raises(WeighbridgeError) as caught:
            self.take_in(data or self.made(**changed))
        assert len(str(caught.value)) < 2000
        assert time.monotonic() - began < 10
        assert self.refs() == []

    def refs(self) -> list[str]:
        with self.hub.database.read() as connection:
            return list(connection.execute(select(ref.c.commit_oid)).scalars())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, EcKeySigner, EcKeyVerifier]:
    folder = tmp_path_factory.mktemp("bundles")
    signer = create_key_pair(folder / "key.pem", folder / "key.pub")
    wanted = (Wanted(kind="model", full_name="alice/m"),)
    with running_hub(folder / "near") as near:
        HfApi(endpoint=near.endpoint, token=near.user("alice")).create_repo("alice/m")
        commit(near, "alice/m", {"a.txt": b"text"}, large={"w.bin": random.Random(1).randbytes(300_000)})
        made = export(near.hub, wanted, folder / "good", signer, lacking=None, progress=Silent())
    return made.path.read_bytes(), signer, EcKeyVerifier.load(folder / "key.pub")


@pytest.fixture
def signed(exported: tuple[bytes, EcKeySigner, EcKeyVerifier], tmp_path: Path) -> Iterator[Signed]:
    made = Signed(*exported, tmp_path)
    yield made
    made.close()


def repository(signed: Signed, **changed: Any) -> bytes:
    return canonical_bytes({**json.loads(signed.parts["repositories"]), **changed})


def evil_tree(name: bytes) -> bytes:
    """Return objects of a commit whose tree names a file so; the ref of `with_tree` leads to it."""
    made = b"100644 " + name + b"\0" + bytes.fromhex(oid_of("blob", b"x"))
    return record(0, 0, b"x") + record(0, 1, made) + record(0, 2, commit_of(made))


def commit_of(tree: bytes) -> bytes:
    who = b"a <a@b> 1 +0000"
    return b"tree " + oid_of("tree", tree).encode() + b"\nauthor " + who + b"\ncommitter " + who + b"\n\nt\n"


def record(repository: int, kind: int, data: bytes, size: int | None = None) -> bytes:
    return struct.pack("<IBI", repository, kind, len(data) if size is None else size) + data


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "../m"}, {"name": "alice/../m"}, {"name": "alice"}, {"name": "alice/\0"}, {"name": "nobody/m"},
        {"name": 7},
        {"kind": "bucket"}, {"kind": ["model"]}, {"visibility": "open"}, {"gated": None}, {"whole": 1}, {"refs": 7},
        {"refs": [["refs/pr/1", "c" * 40, "c" * 40]]}, {"refs": [["refs/heads/../x", "c" * 40, "c" * 40]]},
        {"refs": [["refs/heads/a", "x", "c" * 40]]}, {"refs": [["refs/heads/a"]]}, {"refs": {"a": 1}}, {"missing": 7},
        {"refs": [["refs/heads/a", "c" * 40, "c" * 40]]}, {"refs": [["refs/heads/\ud800", "c" * 40, "c" * 40]]},
    ],
)  # fmt: skip
def test_no_description_of_a_repository_is_believed(signed: Signed, changed: dict[str, Any]) -> None:
    try:
        data = repository(signed, **changed)
    except UnicodeEncodeError:
        return
    signed.is_refused(repositories=data)


def test_a_ref_leads_to_what_it_is_said_to_lead_to(signed: Signed) -> None:
    tree = b"100644 a\0" + bytes.fromhex(oid_of("blob", b"x"))
    objects = record(0, 0, b"x") + record(0, 1, tree) + record(0, 2, commit_of(tree))
    head = oid_of("commit", commit_of(tree))
    for refs in ([["refs/heads/a", oid_of("tree", tree), head]], [["refs/heads/a", head, "c" * 40]]):
        signed.is_refused(
            repositories=repository(signed, refs=refs), objects=objects, contents=b"", xorbs=b"", bytes=b""
        )


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"a/b", b"", b"a\\b", b"\xff"])
def test_no_tree_names_what_leads_out(signed: Signed, name: bytes) -> None:
    tree = b"100644 " + name + b"\0" + bytes.fromhex(oid_of("blob", b"x"))
    head = oid_of("commit", commit_of(tree))
    signed.is_refused(
        repositories=repository(signed, refs=[["refs/heads/main", head, head]]), objects=evil_tree(name),
        contents=b"", xorbs=b"", bytes=b"",
    )  # fmt: skip


def test_no_record_reads_beyond_its_section(signed: Signed) -> None:
    for objects in (
        record(0, 0, b"x", 2**31), record(7, 0, b"x"), record(0, 9, b"x"), record(0, 1, b"x"), record(0, 2, b"tree x"),
        record(0, 0, b"x", 100), b"\0" * 5, signed.parts["objects"][:-1],
    ):  # fmt: skip
        signed.is_refused(objects=objects)
    good = signed.parts["contents"]
    for contents in (
        good[:-1], good[:72] + struct.pack("<I", 2**32 - 1) + good[76:], good[:76] + struct.pack("<I", 9) + good[80:],
        good[:80] + struct.pack("<I", 2**28) + good[84:], good[:64] + struct.pack("<Q", 2**63) + good[72:],
    ):  # fmt: skip
        signed.is_refused(contents=contents)
    xorbs = signed.parts["xorbs"]
    for table in (
        b"", xorbs[:-1], xorbs + xorbs, xorbs[:32] + struct.pack("<II", 2**31, 1), xorbs[:36] + struct.pack("<I", 1),
        b"\0" * 32 + xorbs[32:],
    ):  # fmt: skip
        signed.is_refused(xorbs=table)


def test_no_table_of_repositories_takes_more_than_it_holds(signed: Signed) -> None:
    signed.is_refused(repositories=b"\n" * records.MAX_REPOSITORIES * 50)
    signed.is_refused(repositories=signed.parts["repositories"] * (records.MAX_REPOSITORIES + 1))
    signed.is_refused(repositories=b"[" * 100_000)


def test_a_file_of_a_petabyte_is_not_reread(signed: Signed) -> None:
    rows = records.read_xorbs(SectionReader(io.BytesIO(signed.good), signed.front, "xorbs", place="good"))
    held = next(rows)
    raw_bytes = sum(term.raw_bytes for term in next(read_good_contents(signed)).terms)
    term = Term(xorb=to_hex(held.hash), first_chunk=0, end_chunk=held.chunk_count, raw_bytes=raw_bytes)
    count = signed.hub.settings.max_file_bytes // raw_bytes + 1
    terms = pack_terms((term,) * min(count, 200_000))
    stated = struct.pack("<32s32sQI", b"s" * 32, from_hex("a" * 64), count * raw_bytes, 1) + struct.pack("<I", 0)
    signed.is_refused(contents=stated + struct.pack("<I", len(terms)) + terms)


def read_good_contents(signed: Signed) -> Iterator[Content]:
    reader = SectionReader(io.BytesIO(signed.good), signed.front, "contents", place="good")
    return (each.content for each in records.read_contents(reader, 1))


def test_damaged_and_bombing_chunks_are_refused(signed: Signed) -> None:
    data = bytearray(signed.parts["bytes"])
    # The header of a chunk: version, packed length (3), scheme, unpacked length (3).
    for at, value in ((0, 9), (1, 0xFF), (4, 7), (5, 0xFF), (7, 0xFF), (4, 1), (4, 2), (100, data[100] ^ 1)):
        bad = bytearray(data)
        bad[at] = value
        signed.is_refused(bytes=bytes(bad))
    signed.is_refused(bytes=bytes(reversed(data)))
    signed.is_refused(bytes=bytes(data[: len(data) // 2]))


def test_sections_in_another_order_are_refused(signed: Signed) -> None:
    signed.is_refused(objects=signed.parts["contents"], contents=signed.parts["objects"])
    signed.is_refused(repositories=signed.parts["xorbs"], xorbs=signed.parts["repositories"])


class Changing(io.BytesIO):
    """A file that somebody changes while it is imported: after so many reads, from `at` on, it holds something else."""

    def __init__(self, data: bytes, at: int, after: int) -> None:
        super().__init__(data)
        self._at, self._left = at, after

    def read(self, size: int | None = -1) -> bytes:
        self._left -= 1
        if self._left == 0:
            here = self.tell()
            self.seek(self._at)
            self.write(b"\x5a" * 16)
            self.seek(here)
        return super().read(size)


@pytest.mark.parametrize("name", [*SECTIONS, "bytes"])
def test_of_a_file_that_changes_while_it_is_imported_nothing_is_taken_that_was_not_signed(
    signed: Signed, name: str
) -> None:
    signed.take_in(signed.good)
    wanted = signed.refs()
    good = signed.made()
    at = read_front(io.BytesIO(good), signed.verifier, place="good").manifest.offset_of(
        name, len(good) - sum(len(part) for part in signed.parts.values())
    )
    refused = 0
    # Each reading of a section is a few reads: some of these come before the first, most between two.
    for after in range(3, 21, 2):
        signed.renew()
        try:
            signed.take_in(good, source=Changing(good, at + len(signed.parts[name]) // 2, after))
        except WeighbridgeError:
            refused += 1
            assert signed.refs() == []
        else:
            assert signed.refs() == wanted
    assert refused > 0


def test_what_is_well_made_is_taken_in(signed: Signed) -> None:
    taken = signed.take_in(signed.made())
    assert [each.full_name for each in taken.repositories] == ["alice/m"]
    assert len(signed.refs()) == 1
