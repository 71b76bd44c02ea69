"""Every attack on the metadata that an adopter reads is found, and a missing answer is never a good one."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf_world import NOW, World, newest, page, stage

from weighbridge.errors import InputError
from weighbridge.hub.folder import LocalHub
from weighbridge.shell.trust import fetch
from weighbridge.shell.trust.client import read_root
from weighbridge.shell.trust.errors import (
    AlteredMetadataError,
    ForgedMetadataError,
    NoMetadataError,
    RolledBackError,
    StaleMetadataError,
    TrustError,
)
from weighbridge.shell.trust.keys import KeyFolder, fresh_keys
from weighbridge.shell.trust.repository import Lifetimes, signed_files


def test_an_old_copy_is_found_after_the_new_one_was_seen(world: World) -> None:
    old = world.copy("old")
    world.recall()
    assert world.look() is not None
    with pytest.raises(RolledBackError, match="goes back in time"):
        world.look(hub=old)


def test_metadata_that_stands_still_is_found_when_it_expires(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.publish(now=NOW - timedelta(days=15))
    with pytest.raises(StaleMetadataError, match=r"timestamp\.json is expired") as caught:
        world.look()
    assert "--refresh" in caught.value.hint
    world.renew(renew=True)
    assert world.look() is not None


@pytest.mark.parametrize(
    ("role", "lifetimes"),
    [
        ("snapshot", Lifetimes(snapshot=timedelta(days=2))),
        ("targets", Lifetimes(targets=timedelta(days=2))),
        ("root", Lifetimes(root=timedelta(days=2))),
    ],
)
def test_every_role_expires(tmp_path: Path, role: str, lifetimes: Lifetimes) -> None:
    world = World(tmp_path)
    world.publish(now=NOW - timedelta(days=3), lifetimes=lifetimes)
    with pytest.raises(StaleMetadataError, match="expired"):
        world.look()


def altered(world: World, change: Callable[[Path], None]) -> Path:
    """A copy of the hub after its recall, with something done to its metadata; the adopter saw the hub before it."""
    assert world.look() is not None
    world.recall()
    copy = world.copy("altered")
    change(copy)
    return copy


def test_a_new_name_on_old_targets_is_found(world: World) -> None:
    version = Metadata[Targets].from_bytes(newest(world, "open")).signed.version

    def mix(hub: Path) -> None:
        metadata = hub / "metadata"
        (metadata / f"{version + 1}.open.json").write_bytes((metadata / f"{version}.open.json").read_bytes())

    with pytest.raises(AlteredMetadataError):
        world.look(hub=altered(world, mix))


def test_an_old_snapshot_under_a_new_timestamp_is_found(world: World) -> None:
    version = Metadata[Snapshot].from_bytes(newest(world, "snapshot")).signed.version

    def mix(hub: Path) -> None:
        metadata = hub / "metadata"
        (metadata / f"{version + 1}.snapshot.json").write_bytes((metadata / f"{version}.snapshot.json").read_bytes())

    with pytest.raises(AlteredMetadataError):
        world.look(hub=altered(world, mix))


def test_an_old_status_in_place_of_the_new_one_is_found(world: World) -> None:
    old = (world.hub.root / "status/acme/one/status.json").read_bytes()

    def replay(hub: Path) -> None:
        for path in (hub / "status/acme/one").iterdir():
            path.write_bytes(old)

    with pytest.raises(AlteredMetadataError):
        world.look(hub=altered(world, replay))


def test_a_snapshot_that_leaves_a_role_out_is_found(world: World) -> None:
    assert world.look() is not None
    keys = KeyFolder.of(world.publisher, world.pinned).load()
    metadata = world.hub.root / "metadata"
    root = Metadata[Root].from_bytes(world.pinned).signed
    snapshot = Metadata[Snapshot].from_bytes(newest(world, "snapshot"))
    del snapshot.signed.meta["open.json"]
    snapshot.signed.version += 1
    snapshot.sign(keys[root.roles["snapshot"].keyids[0]])
    timestamp = Metadata[Timestamp].from_bytes((metadata / "timestamp.json").read_bytes())
    timestamp.signed.version += 1
    timestamp.signed.snapshot_meta = type(timestamp.signed.snapshot_meta)(snapshot.signed.version)
    timestamp.sign(keys[root.roles["timestamp"].keyids[0]])
    (metadata / f"{snapshot.signed.version}.snapshot.json").write_bytes(snapshot.to_bytes())
    (metadata / "timestamp.json").write_bytes(timestamp.to_bytes())
    with pytest.raises(RolledBackError, match=r"missing info for 'open\.json'"):
        world.look()


def test_another_publishers_hub_is_found(world: World, tmp_path: Path) -> None:
    forger = World(tmp_path / "forger")
    forger.publish("one")
    with pytest.raises(ForgedMetadataError, match="no valid signature"):
        world.look(hub=forger.hub.root)


def test_the_same_publishers_other_hub_is_found(world: World) -> None:
    other = LocalHub(world.root / "other")
    staged = stage(world.root / "one1", "acme/one", 1)
    other.publish([staged], page=page, further=signed_files(world.publisher, now=NOW))
    with pytest.raises(ForgedMetadataError):
        world.look(hub=other.root)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "open"])
def test_metadata_signed_with_another_key_is_found(world: World, role: str) -> None:
    forged = Metadata[Any].from_bytes(
        (world.hub.root / "metadata/timestamp.json").read_bytes() if role == "timestamp" else newest(world, role)
    )
    forged.signed.expires += timedelta(days=1000)
    forged.sign(fresh_keys(["x"])["x"])
    name = "timestamp.json" if role == "timestamp" else f"{forged.signed.version}.{role}.json"
    (world.hub.root / "metadata" / name).write_bytes(forged.to_bytes())
    with pytest.raises((ForgedMetadataError, AlteredMetadataError)):
        world.look()


BYTES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "huge": lambda data: data + b" " * 30_000_000,
    "deep": lambda data: b"[" * 15_000,
    "no text": lambda data: b"\xff\xfe" + data,
    "another type": lambda data: b'{"signatures": [], "signed": {"_type": "root"}}',
    "a flipped bit": lambda data: data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
}


@pytest.mark.parametrize("name", ["timestamp", "snapshot", "targets", "open", "status"])
@pytest.mark.parametrize("change", list(BYTES))
def test_damaged_bytes_are_found(world: World, name: str, change: str) -> None:
    if name == "status":
        paths = sorted((world.hub.root / "status/acme/one").iterdir())
    elif name == "timestamp":
        paths = [world.hub.root / "metadata/timestamp.json"]
    else:
        paths = sorted((world.hub.root / "metadata").glob(f"*.{name}.json"))
    for path in paths:
        path.write_bytes(BYTES[change](path.read_bytes()))
    with pytest.raises(TrustError) as caught:
        world.look()
    assert caught.value.hint
    assert caught.value.place


@pytest.mark.parametrize("name", ["timestamp.json", "*.snapshot.json", "*.targets.json", "*.open.json"])
def test_missing_metadata_is_unknown_and_not_fine(world: World, name: str) -> None:
    for path in (world.hub.root / "metadata").glob(name):
        path.unlink()
    with pytest.raises(NoMetadataError):
        world.look()


def test_metadata_that_is_no_file_is_never_read(world: World) -> None:
    path = world.hub.root / "metadata" / "timestamp.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(NoMetadataError):
        world.look()


def test_a_server_that_cannot_be_reached_leaves_it_unknown(world: World) -> None:
    with pytest.raises(NoMetadataError):
        world.look(hub="http://127.0.0.1:9")


@pytest.fixture(params=["body", "headers"])
def slow_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A web server that never ends: it sends a byte now and then, which no time-out of a socket notices."""
    done = threading.Event()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if request.param == "body":
                self.send_response(200)
                self.end_headers()
            else:
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
            with suppress(OSError):
                while not done.wait(0.05):
                    self.wfile.write(b"x")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    done.set()
    server.shutdown()
    server.server_close()


def test_a_server_that_sends_a_byte_now_and_then_is_given_up(
    world: World, slow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MAX_FETCH_SECONDS", 0.5)
    with pytest.raises(NoMetadataError, match=r"not there whole after 0\.5 seconds"):
        world.look(hub=slow_server)


def test_what_is_no_web_address_is_refused(world: World) -> None:
    for location in ("http://[::", "https://[x]/"):
        with pytest.raises(InputError, match="no web address"):
            world.look(hub=location)


def test_a_pipe_in_place_of_a_root_or_a_key_is_refused(world: World, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", mode=0o600)
    with pytest.raises(InputError, match="is a pipe"):
        read_root(tmp_path / "pipe")
    (tmp_path / "pipe").rename(KeyFolder.of(world.publisher, world.pinned).folder / "root-0.pem")
    with pytest.raises(InputError, match="no unencrypted private key"):
        world.renew(renew=True)


def test_a_status_that_speaks_of_another_version_is_found(world: World) -> None:
    further = signed_files(
        world.publisher,
        now=NOW,
        documents=lambda catalogue, signed: {"status/acme/three/status.json": signed["status/acme/one/status.json"]},
    )
    world.hub.amend(lambda catalogue: catalogue, page=lambda _, page: page, further=further)
    with pytest.raises(ForgedMetadataError, match="speaks of acme/one"):
        world.look("acme/three")
