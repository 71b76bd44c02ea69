"""What the hub needs fails beneath it (disk, store, database): nothing is lost, and nothing false is said."""

import errno
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hub_client import new_repository, noise
from huggingface_hub import HfApi
from running_hub import RunningHub, running_hub
from sqlalchemy import text
from xet_calls import Cas, prepared
from xet_calls import ask as ask_raw

from weighbridge.errors import InputError
from weighbridge.hub.content.verify import verify
from weighbridge.hub.database import connect
from weighbridge.hub.database.connect import Database, DatabaseError, DatabaseFullError
from weighbridge.hub.database.lease import leased
from weighbridge.hub.http.outage import outage, reason
from weighbridge.hub.server import HubServer
from weighbridge.hub.store.port import ByteStoreError, StoreFullError
from weighbridge.shell.hub.folder_store import FolderByteStore
from weighbridge.shell.hub.store import open_store
from weighbridge.shell.hub.wiring import UnusableHubError, open_hub

_YEAR_MS = 365 * 24 * 3600 * 1000


def _secret(api: HfApi) -> str:
    return str(api.token)


@pytest.fixture
def xet_file(hub: RunningHub, api: HfApi, repo: str) -> str:
    """The address of a file of 3 MB in the repository."""
    data = noise(3_000_000, 7)
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
    return f"{hub.endpoint}/{repo}/resolve/main/w.bin"


@contextmanager
def _cache_blocked(hub: RunningHub, folder: Path) -> Iterator[None]:
    """Put a file where the cache has its folder: nobody writes to that, an administrator neither."""
    place = hub.hub.cache._folder
    aside = folder / "cache-aside"
    if place.exists():
        place.rename(aside)
    place.write_bytes(b"")
    try:
        yield
    finally:
        place.unlink()
        if aside.exists():
            aside.rename(place)


def test_a_file_is_sent_although_the_cache_cannot_be_written(
    hub: RunningHub, api: HfApi, xet_file: str, tmp_path: Path
) -> None:
    with _cache_blocked(hub, tmp_path):
        found = ask_raw("GET", xet_file, Authorization=f"Bearer {api.token}")
    assert (found.status, found.body) == (200, noise(3_000_000, 7))


def test_an_answer_that_has_begun_is_cut_and_not_followed_by_another(
    hub: RunningHub, api: HfApi, repo: str, xet_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert xet_file
    found = api.list_repo_tree(repo)
    (xet_hash,) = [item.xet_hash for item in found if item.path == "w.bin"]  # type: ignore[union-attr]
    cas = Cas.of(hub.endpoint, _secret(api), repo, scope="read")
    plan = json.loads(cas.ask("GET", f"/v1/reconstructions/{xet_hash}").body)
    ((part,),) = plan["fetch_info"].values()
    start, last = part["url_range"]["start"], part["url_range"]["end"]

    def failing(self: FolderByteStore, key: str, **named: int) -> Iterator[bytes]:
        yield b"\0" * 1000
        raise ByteStoreError("the store is gone", place=key)

    # As of an object store: no file of this machine, and bytes by requests of which one fails.
    monkeypatch.setattr(FolderByteStore, "local_path", lambda *_: None)
    monkeypatch.setattr(FolderByteStore, "open_blocks", failing)
    address = part["url"].removeprefix(hub.endpoint)
    with socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2])), timeout=20) as wire:
        wire.sendall(f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes={start}-{last}\r\n\r\n".encode())
        said = b""
        try:
            while block := wire.recv(65536):
                said += block
        except ConnectionResetError:
            pass  # cut, which is what a client must see
    head, _, body = said.partition(b"\r\n\r\n")
    # The answer may be cut before any of it was read; what there is of it is never a second answer.
    assert not head or head.startswith(b"HTTP/1.1 206 ")
    assert body.strip(b"\0") == b""
    assert len(body) < last - start


@pytest.mark.parametrize("error", [MemoryError(), ValueError("a defect")], ids=["memory", "defect"])
def test_no_xorb_exists_whose_bytes_were_not_stored(
    hub: RunningHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file = prepared(repo.encode() + noise(300_000, 11))
    cas = Cas.of(hub.endpoint, _secret(api), repo)

    def failing(*_: object) -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(FolderByteStore, "write", failing)
        assert cas.put_xorb(file.xorbs[0]).status >= 500
    assert cas.put_shard(file.shard).status == 400
    file.send(cas)
    assert list(verify(hub.hub)) == []


def test_a_full_database_is_said_so_and_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as running:
        api = HfApi(endpoint=running.endpoint, token=running.user("alice"))
        repo = new_repository(api, "full")
        with running.hub.database.write() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        limit, refused = f"PRAGMA max_page_count={pages}", []
        # The limit is each connection's own: the pool hands on one that has it.
        unbounded = Database.write

        @contextmanager
        def bounded(self: Database) -> "Iterator[object]":
            with unbounded(self) as connection:
                connection.execute(text(limit))
                yield connection

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Database, "write", bounded)
            for number in range(400):
                found = ask_raw(
                    "POST",
                    f"{running.endpoint}/api/repos/create",
                    json.dumps({"name": f"n{number}"}).encode(),
                    Authorization=f"Bearer {api.token}",
                    Content_Type="application/json",
                )
                if found.status != 200:
                    refused.append(found)
                    break
            assert api.model_info(repo).id == repo
        assert [found.status for found in refused] == [507]
        assert "no room left" in str(refused[0].document()["error"])
        with running.hub.database.write() as connection:
            connection.execute(text("PRAGMA max_page_count=1000000"))
        limit = "PRAGMA max_page_count=1000000"
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Database, "write", bounded)
            assert api.create_repo("alice/again").repo_id == "alice/again"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 507),
        (StoreFullError("full", place="s3://b/k"), 507),
        (DatabaseFullError("full", place="db"), 507),
        (OSError(errno.EMFILE, "Too many open files"), 503),
        (ByteStoreError("gone", place="s3://b/k", hint="Look."), 503),
        (MemoryError(), 503),
    ],
)
def test_an_outage_is_one_sentence_for_the_client_and_its_reason_for_the_log(
    error: OSError | ByteStoreError | MemoryError, status: int
) -> None:
    answer = outage(error)
    assert answer.status == status
    assert "s3://" not in answer.message
    assert reason(error)


def test_a_full_store_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    from weighbridge.hub.store.disk import disk_errors

    with pytest.raises(StoreFullError), disk_errors("here"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ByteStoreError) as caught, disk_errors("here"):
        raise OSError(errno.EIO, "Input/output error")
    assert not isinstance(caught.value, StoreFullError)


def test_a_store_that_does_not_answer_is_not_taken_for_damage(
    hub: RunningHub, xet_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert xet_file
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = open_store(
        "s3://bucket/hub",
        environ={
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        },
    )
    there = hub.hub
    with pytest.raises(ByteStoreError, match="refused or failed"):
        list(
            verify(
                HubServer(
                    database=there.database, store=away, cache=there.cache, secret=there.secret, now_ms=there.now_ms
                )
            )
        )
    assert list(verify(there)) == []


def test_connections_that_the_database_has_closed_meanwhile_are_made_anew(
    tmp_path: Path, new_postgresql: Callable[[], str]
) -> None:
    address = new_postgresql()
    with running_hub(tmp_path / "hub", database=address) as running:
        api = HfApi(endpoint=running.endpoint, token=running.user("alice"))
        repo = new_repository(api, "pool")
        with psycopg.connect(address, autocommit=True) as other:
            ended = other.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert ended is not None
        assert ended[0] > 0
        for _ in range(5):
            assert api.model_info(repo).id == repo


def test_a_database_that_says_nothing_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_PATIENCE", {**connect._PATIENCE, "connect_timeout": 2})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = Database(f"postgresql://u:p@127.0.0.1:{silent.getsockname()[1]}/hub")
        began = time.monotonic()
        with pytest.raises(DatabaseError) as caught, database.read():
            pass
    assert time.monotonic() - began < 8
    assert "--database" in caught.value.hint
    assert connect._PATIENCE["tcp_user_timeout"] == 30_000


def test_a_lease_from_a_clock_that_was_set_back_holds_nobody_up(hub: RunningHub) -> None:
    database, now_ms = hub.hub.database, hub.hub.now_ms
    with pytest.raises(RuntimeError), leased(database, "job", holder="dead", now_ms=lambda: now_ms() + _YEAR_MS):
        _leave_lease(database)
    with leased(database, "job", holder="living", now_ms=now_ms) as ours:
        assert ours
        with leased(database, "job", holder="another", now_ms=now_ms) as theirs:
            assert not theirs


def _leave_lease(database: Database) -> None:
    """Let the lease stay where it is, as a holder that is killed does."""
    with database.write() as connection:
        connection.execute(text("UPDATE lease SET holder = 'killed' WHERE name = 'job'"))
    raise RuntimeError


@pytest.mark.parametrize("store", ["s3:/bucket/x", "gs:bucket", "S3:bucket"])
def test_a_slip_in_the_name_of_a_store_makes_no_folder(store: str) -> None:
    with pytest.raises(ByteStoreError, match="names no store"):
        open_store(store)


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("postgresql://user:hidden@:port/name", "not the address"),
        ("postgresql//user:hidden@host/name", "not the address"),
        ("postgresql://user:hidden@127.0.0.1:1/name", "refused"),
        ("sqlite:////proc/none/hub.sqlite", "folder"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_of_what_was_given(tmp_path: Path, database: str, said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        open_hub(tmp_path / "hub", database=database)
    error = caught.value
    assert isinstance(error, UnusableHubError | InputError)
    assert "hidden" not in f"{error} {error.hint}"
    assert "\n" not in str(error)
    assert error.hint
