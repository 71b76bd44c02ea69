"""Files that come without Xet are cut, stored, found again, and read back in any range."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from weighbridge.hub.content import ingest as ingest_module
from weighbridge.hub.content.content import Content, owned
from weighbridge.hub.content.ingest import ingest
from weighbridge.hub.content.read import blocks, whole_file
from weighbridge.hub.database.schema import account, content, repository, xorb
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.gear import Chunker
from weighbridge.hub.xet.merkle import chunk_hash, file_hash, to_hex
from weighbridge.shell.hub.wiring import open_hub

MIB = 1024 * 1024


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.setattr(ingest_module, "XORB_BYTES", MIB)
    opened = open_hub(tmp_path / "hub")
    with opened.database.write() as connection:
        who = {"name": "a", "name_key": "a", "kind": "user", "created_ms": 1}
        connection.execute(insert(account).values(id=1, **who))
        what = {"kind": "model", "owner_id": 1, "created_ms": 1, "modified_ms": 1}
        for number in (1, 2):
            name = {"full_name": f"a/{number}", "name_key": f"a/{number}"}
            connection.execute(insert(repository).values(id=number, **name, **what))
    yield opened
    opened.database.close()


def _noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def _take(hub: HubServer, data: bytes, *, repository_id: int = 1, size: int | None = None) -> Content:
    parts = (data[at : at + 300_000] for at in range(0, len(data), 300_000))
    size_bytes = len(data) if size is None else size
    return ingest(hub, repository_id, parts, sha256=hashlib.sha256(data).hexdigest(), size_bytes=size_bytes)


def _count(hub: HubServer, table: object) -> int:
    with hub.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def _stored_bytes(hub: HubServer) -> int:
    return sum(item.size_bytes for item in hub.store.list("xorbs"))


def test_a_file_is_read_back_in_any_range(hub: HubServer) -> None:
    data = _noise(5 * MIB + 17)
    held = _take(hub, data)
    assert b"".join(blocks(hub, held)) == data
    random_ = random.Random(2)
    for _ in range(40):
        start = random_.randrange(len(data))
        end = min(len(data) + 5, start + random_.choice((1, 100, 200_000, 4 * MIB)))
        assert b"".join(blocks(hub, held, start, end)) == data[start:end]
    path = whole_file(hub, held)
    assert path is not None
    assert path.read_bytes() == data


def test_its_xet_hash_is_that_of_the_chunks_a_client_would_cut(hub: HubServer) -> None:
    data = _noise(2 * MIB)
    cutter = Chunker()
    chunks = [*cutter.feed(data), *cutter.finish()]
    expected = file_hash(b"".join(chunk_hash(chunk) for chunk in chunks), [len(chunk) for chunk in chunks])
    assert _take(hub, data).xet_hash == to_hex(expected)


def test_an_empty_file_is_a_file(hub: HubServer) -> None:
    held = _take(hub, b"")
    assert held.terms == ()
    assert list(blocks(hub, held)) == []


def test_a_new_version_stores_what_changed_only(hub: HubServer) -> None:
    data = _noise(8 * MIB)
    _take(hub, data)
    before = _stored_bytes(hub)
    changed = data[: 3 * MIB] + _noise(100_000, seed=2) + data[3 * MIB :]
    held = _take(hub, changed, repository_id=2)
    assert _stored_bytes(hub) - before < 400_000
    assert b"".join(blocks(hub, held)) == changed


def test_a_file_that_repeats_itself_is_stored_once(hub: HubServer) -> None:
    part = _noise(2 * MIB)
    held = _take(hub, part * 4)
    assert _stored_bytes(hub) < 3 * MIB
    assert b"".join(blocks(hub, held)) == part * 4


def test_bytes_that_are_known_are_held_by_whoever_brings_them_again(hub: HubServer) -> None:
    data = _noise(300_000)
    first = _take(hub, data)
    xorbs = _count(hub, xorb)
    assert _take(hub, data, repository_id=2) == first
    assert _count(hub, xorb) == xorbs
    with hub.database.read() as connection:
        assert owned(connection, 2, first.sha256) == first


@pytest.mark.parametrize("size", [299_999, 300_001])
def test_what_is_not_what_was_announced_does_not_exist(hub: HubServer, size: int) -> None:
    data = _noise(300_000)
    with pytest.raises(Refusal) as refused:
        _take(hub, data, size=size)
    assert refused.value.status == 422
    with pytest.raises(Refusal, match="SHA-256"):
        ingest(hub, 1, [data], sha256="0" * 64, size_bytes=len(data))
    assert _count(hub, content) == 0
