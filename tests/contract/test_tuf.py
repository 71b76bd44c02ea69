"""The metadata about a hub's versions: python-tuf's own client accepts it, and every attack on it is found."""

import http.server
import json
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import Updater

from weighbridge.dossier.status import State, Status
from weighbridge.errors import HubError, InputError, WeighbridgeError
from weighbridge.gate.stage import Stage
from weighbridge.hub.folder import LocalHub
from weighbridge.hub.recall import Notice, advisories, recall
from weighbridge.hub.standing import status_path
from weighbridge.hub.state import read_state, state_id
from weighbridge.shell.trust import fetch
from weighbridge.shell.trust.client import TrustedHub, read_root, trusted_hub
from weighbridge.shell.trust.errors import (
    AlteredMetadataError,
    ForgedMetadataError,
    NoMetadataError,
    RolledBackError,
    StaleMetadataError,
    TrustError,
)
from weighbridge.shell.trust.keys import ROLES, KeyFolder, fresh_keys
from weighbridge.shell.trust.repository import Lifetimes, signed_files

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "hub"))

import hub_child

NOW = datetime.now(UTC).replace(microsecond=0)
RECALL = Notice(stage=Stage.RECALLED, reason="It repeats private data.", successor="acme/two")


@dataclass(frozen=True)
class World:
    """A publisher with a hub, and an adopter with a home of their own."""

    root: Path

    @property
    def hub(self) -> LocalHub:
        return LocalHub(self.root / "hub")

    @property
    def publisher(self) -> Path:
        return self.root / "publisher"

    @property
    def pinned(self) -> bytes:
        return (self.hub.root / "metadata" / "1.root.json").read_bytes()

    def publish(self, name: str = "one", generation: int = 1, now: datetime = NOW, **settings: Any) -> str:
        staged = hub_child.stage(self.root / f"{name}{generation}", f"acme/{name}", generation)
        further = signed_files(self.publisher, now=now, documents=advisories(), **settings)
        return self.hub.publish([staged], page=hub_child.page, further=further)

    def renew(self, now: datetime = NOW, **settings: Any) -> str:
        further = signed_files(self.publisher, now=now, **settings)
        return self.hub.amend(lambda catalogue: catalogue, page=lambda _, page: page, further=further)

    def recall(self, name: str = "one", now: datetime = NOW) -> Status:
        further = signed_files(self.publisher, now=now, documents=advisories())
        return recall(self.hub, name, RECALL, now=now, further=further)[0]

    def look(self, name: str = "acme/one", hub: Path | str = "", digest: str = "", root: bytes = b"") -> Status | None:
        with self.client(hub, root) as client:
            return client.status(name, digest)

    @contextmanager
    def client(self, hub: Path | str = "", root: bytes = b"") -> Iterator[TrustedHub]:
        with trusted_hub(str(hub or self.hub.root), self.root / "adopter", root=root or self.pinned) as client:
            yield client

    def copy(self, name: str) -> Path:
        target = self.root / name
        shutil.copytree(self.hub.root, target, symlinks=True)
        return target


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.publish("two")
    world.publish("one")
    return world


@pytest.fixture
def served(world: World) -> Iterator[str]:
    """The hub's folder behind a web server that knows nothing of it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(world.hub.root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def unmodified(served: str, folder: Path, pinned: bytes) -> Updater:
    folder.mkdir(exist_ok=True)
    return Updater(
        str(folder), f"{served}/metadata/", target_dir=str(folder), target_base_url=f"{served}/", bootstrap=pinned
    )


# What is signed, and how


def test_the_unmodified_client_accepts_it_over_http(world: World, served: str, tmp_path: Path) -> None:
    client = unmodified(served, tmp_path / "client", world.pinned)
    info = client.get_targetinfo("status/acme/one/status.json")
    assert info is not None
    data = Path(client.download_target(info)).read_bytes()
    assert data == (world.hub.root / "status/acme/one/status.json").read_bytes()
    assert Status.from_bytes(data, place="").state == State.ACTIVE
    assert client.get_targetinfo("status/acme/none/status.json") is None


def test_a_recall_reaches_the_unmodified_client_and_ours(world: World, served: str, tmp_path: Path) -> None:
    unmodified(served, tmp_path / "client", world.pinned).refresh()
    said = world.recall()
    client = unmodified(served, tmp_path / "client", world.pinned)
    info = client.get_targetinfo("status/acme/one/status.json")
    assert info is not None
    assert Status.from_bytes(Path(client.download_target(info)).read_bytes(), place="") == said
    assert world.look() == world.look(hub=served) == said
    assert said.state == State.RECALLED
    with world.client() as ours:
        advisory = ours.advisory(said.advisory)
        assert advisory is not None
        assert json.loads(advisory)["id"] == said.advisory
        assert ours.advisory("x_none") is None


def test_a_client_in_the_middle_of_reading_is_not_disturbed_by_a_publish(
    world: World, served: str, tmp_path: Path
) -> None:
    client = unmodified(served, tmp_path / "client", world.pinned)
    client.refresh()
    world.recall()
    info = client.get_targetinfo("status/acme/one/status.json")
    assert info is not None
    assert Status.from_bytes(Path(client.download_target(info)).read_bytes(), place="").state == State.ACTIVE


def test_each_version_is_listed_by_the_role_of_its_stage(world: World) -> None:
    metadata = {path: data for path, data in world.hub.files().items() if path.startswith("metadata/")}

    def listed(role: str) -> set[str]:
        newest = max((p for p in metadata if p.endswith(f".{role}.json")), key=lambda p: int(p[9:].split(".")[0]))
        return set(Metadata[Targets].from_bytes(metadata[newest]).signed.targets)

    assert listed("open") == {"status/acme/one/status.json", "status/acme/two/status.json"}
    assert listed("targets") == listed("gated") == listed("trusted") == set()
    keys = {role: signer.public_key.keyid for role, signer in fresh_keys().items()}
    assert len(set(keys.values())) == len(ROLES), "every role has a key of its own"


def test_the_same_content_is_signed_again_only_when_half_of_a_lifetime_is_over(world: World) -> None:
    first = (world.hub.root / "current").readlink().name
    before = dict(world.hub.files())
    assert world.publish("one", now=NOW + timedelta(days=6)) == first
    assert world.publish("one", now=NOW + timedelta(days=8)) != first
    after = dict(world.hub.files())
    changed = {path for path in after if before.get(path) != after[path]}
    assert changed == {"metadata/timestamp.json"}
    world.publish("one", now=NOW + timedelta(days=46))
    versions = Metadata[Snapshot].from_bytes(newest(world, "snapshot")).signed.meta
    assert {meta.version for name, meta in versions.items() if name in ("gated.json", "trusted.json")} == {2}


def newest(world: World, role: str) -> bytes:
    files = {path: data for path, data in world.hub.files().items() if path.endswith(f".{role}.json")}
    return files[max(files, key=lambda path: int(path[len("metadata/") :].split(".")[0]))]


def test_renewing_gives_the_short_lived_roles_their_whole_lifetime_again(world: World) -> None:
    world.renew(now=NOW + timedelta(days=1), renew=True, lifetimes=Lifetimes(timestamp=timedelta(days=3)))
    timestamp = Metadata[Timestamp].from_bytes((world.hub.root / "metadata/timestamp.json").read_bytes()).signed
    assert timestamp.expires == NOW + timedelta(days=4)
    assert Metadata[Snapshot].from_bytes(newest(world, "snapshot")).signed.expires == NOW + timedelta(days=31)
    assert world.look() is not None


def test_keys_are_for_their_owner_only(world: World) -> None:
    folder = KeyFolder.of(world.publisher, world.pinned).folder
    keys = sorted(folder.glob("*.pem"))
    assert {key.name.partition("-")[0] for key in keys} == set(ROLES)
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    keys[0].chmod(0o644)
    with pytest.raises(InputError, match="others may read"):
        world.publish("one", 2)


def test_the_root_key_may_be_kept_elsewhere(world: World) -> None:
    folder = KeyFolder.of(world.publisher, world.pinned).folder
    (root_key,) = folder.glob("root-*.pem")
    root_key.rename(world.root / "safe.pem")
    world.publish("one", 2)
    assert world.look() is not None
    with pytest.raises(InputError, match="only with the root's key"):
        world.renew(rotate=("timestamp",))
    with pytest.raises(StaleMetadataError, match="its key is not here"):
        world.renew(now=NOW + timedelta(days=400))


def test_without_the_keys_nothing_is_signed(world: World) -> None:
    state = (world.hub.root / "current").readlink()
    shutil.rmtree(world.publisher)
    with pytest.raises(InputError, match="keys that sign this hub's metadata are not here"):
        world.publish("one", 2)
    assert (world.hub.root / "current").readlink() == state


# What the publisher does not sign


def restate(world: World) -> None:
    """Give the current state the id that its altered files have, as somebody who knows the format would."""
    current = world.hub.root / "current"
    state = current.resolve()
    made = state.rename(state.with_name(state_id(read_state(state))))
    current.unlink()
    current.symlink_to(f"states/{made.name}")


def rewrite(world: World, change: Callable[[dict[str, Any]], None]) -> None:
    path = world.hub.root / "current" / "catalogue.json"
    document = json.loads(path.read_bytes())
    change(document["versions"])
    path.write_text(json.dumps(document))


def add_version(versions: dict[str, Any]) -> None:
    versions["acme/evil"] = {"digest": "e" * 64, "stage": "open", "record": {}}


def change_digest(versions: dict[str, Any]) -> None:
    versions["acme/one"]["digest"] = "f" * 64


def swap_bytes(versions: dict[str, Any]) -> None:
    versions["acme/one"]["digest"] = versions["acme/two"]["digest"]


@pytest.mark.parametrize("change", [add_version, change_digest, swap_bytes])
@pytest.mark.parametrize("careful", [False, True])
def test_a_catalogue_that_somebody_wrote_is_never_signed(
    world: World, change: Callable[[dict[str, Any]], None], careful: bool
) -> None:
    rewrite(world, change)
    if careful:
        restate(world)
    before = {path.name for path in (world.hub.root / "metadata").iterdir()}
    for act in (lambda: world.renew(renew=True), lambda: world.recall("two"), lambda: world.publish("three")):
        with pytest.raises(HubError, match="never signed" if careful else "was altered") as caught:
            act()
        assert str(world.hub.root) in caught.value.place
        assert caught.value.hint
    assert {path.name for path in (world.hub.root / "metadata").iterdir()} == before


def test_a_status_that_was_never_signed_is_found(world: World) -> None:
    rewrite(world, lambda versions: versions.update({"acme/evil": versions["acme/two"]}))
    genuine = Status.from_bytes((world.hub.root / "status/acme/two/status.json").read_bytes(), place="")
    forged = world.hub.root / "status" / "acme" / "evil" / "status.json"
    forged.parent.mkdir()
    forged.write_bytes(replace(genuine, name="acme/evil").to_bytes())
    restate(world)
    with pytest.raises(ForgedMetadataError, match="never signed"):
        world.renew(renew=True)


def test_a_version_whose_manifest_is_gone_is_not_signed_again(world: World) -> None:
    manifest = world.hub.root / "manifests" / f"{world.hub.catalogue()['acme/one'].digest}.json"
    manifest.unlink()
    with pytest.raises(HubError, match="its manifest is missing") as caught:
        world.renew(renew=True)
    assert caught.value.place == str(manifest)
    world.publish("one")
    assert manifest.is_file()


def test_what_was_published_before_anything_was_signed_is_signed_by_the_next_step(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.hub.publish([hub_child.stage(tmp_path / "one", "acme/one", 1)], page=hub_child.page)
    world.renew()
    assert (status := world.look()) is not None
    assert status.state == State.ACTIVE


def test_a_pipe_in_place_of_metadata_is_refused(world: World) -> None:
    path = world.hub.root / "metadata" / "timestamp.json"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(HubError, match="no regular file"):
        world.renew(renew=True)


def test_what_was_signed_stands_against_a_catalogue_that_says_less(world: World) -> None:
    said = world.recall()
    path = world.hub.root / "current" / "catalogue.json"
    document = json.loads(path.read_bytes())
    document["versions"]["acme/one"]["stage"] = "open"
    del document["versions"]["acme/one"]["record"]["status"]
    path.write_text(json.dumps(document))
    restate(world)
    world.renew(renew=True)
    assert world.look() == said


@pytest.mark.parametrize("path", ["status/acme/one/status.json", "metadata/timestamp.json", "metadata/1.trusted.json"])
def test_files_that_somebody_altered_are_not_signed_again(world: World, path: str) -> None:
    file = world.hub.root / path
    file.write_bytes(file.read_bytes().replace(b"acme/one", b"acme/two").replace(b"20", b"21"))
    with pytest.raises(HubError, match="was altered"):
        world.renew(renew=True)
    restate(world)
    with pytest.raises(WeighbridgeError) as caught:
        world.renew(renew=True)
    assert isinstance(caught.value, TrustError | InputError)


def test_an_earlier_version_keeps_its_status_under_its_digest(world: World) -> None:
    digest = world.hub.catalogue()["acme/one"].digest
    said = world.recall()
    world.publish("one", 2)
    current = world.look()
    assert current is not None
    assert current.state == State.ACTIVE
    assert world.look(digest=digest) == said
    world.publish("two", 2)
    two = world.look("acme/two", digest=Status.from_bytes(world.hub.files()[kept(world, "acme/two")], place="").digest)
    assert two is not None
    assert (two.state, two.successor) == (State.DEPRECATED, "acme/two")
    world.hub.publish([], page=hub_child.page, retire=["acme/two"], further=signed_files(world.publisher, now=NOW))
    assert world.look("acme/two") is None
    gone = world.look("acme/two", digest=hub_child.stage(world.root / "t", "acme/two", 2).manifest.digest)
    assert gone is not None
    assert "taken out" in gone.reason


def kept(world: World, name: str) -> str:
    return next(
        p for p in world.hub.files() if p.startswith(f"status/{name}/") and p.count(".") == 1 and p != status_path(name)
    )


# Attacks on the adopter


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
    staged = hub_child.stage(world.root / "one1", "acme/one", 1)
    other.publish([staged], page=hub_child.page, further=signed_files(world.publisher, now=NOW))
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


# Roots


def test_every_key_can_be_changed_and_clients_follow(world: World, served: str, tmp_path: Path) -> None:
    first = world.pinned
    assert world.look() is not None
    old = world.copy("old")
    world.renew(rotate=ROLES)
    files = world.hub.files()
    assert "metadata/2.root.json" in files
    before, after = (Metadata[Root].from_bytes(files[f"metadata/{v}.root.json"]).signed for v in (1, 2))
    assert not {k for r in before.roles.values() for k in r.keyids} & {
        k for r in after.roles.values() for k in r.keyids
    }
    assert world.look(root=first) is not None
    assert unmodified(served, tmp_path / "new", first).get_targetinfo("status/acme/one/status.json") is not None
    world.renew(rotate=("open",))
    world.recall()
    said = world.look(root=first)
    assert said is not None
    assert said.state == State.RECALLED
    with pytest.raises(TrustError):
        world.look(hub=old, root=first)


def test_a_new_root_that_the_old_key_did_not_sign_is_found(world: World) -> None:
    forged = Metadata[Root].from_bytes(world.pinned)
    key = fresh_keys(["root"])["root"]
    forged.signed.version = 2
    forged.signed.revoke_key(forged.signed.roles["root"].keyids[0], "root")
    forged.signed.add_key(key.public_key, "root")
    forged.sign(key)
    (world.hub.root / "metadata" / "2.root.json").write_bytes(forged.to_bytes())
    with pytest.raises(ForgedMetadataError):
        world.look()
    restate(world)
    with pytest.raises(ForgedMetadataError):
        world.renew(renew=True)


def test_a_root_is_renewed_before_it_expires(world: World) -> None:
    world.renew(now=NOW + timedelta(days=200))
    root = Metadata[Root].from_bytes((world.hub.root / "metadata/root.json").read_bytes()).signed
    assert (root.version, root.expires) == (2, NOW + timedelta(days=565))


def test_without_a_trusted_root_nothing_is_believed(world: World, tmp_path: Path) -> None:
    with (
        pytest.raises(NoMetadataError, match="no root is trusted") as caught,
        trusted_hub(str(world.hub.root), tmp_path / "stranger"),
    ):
        pass
    assert "--root" in caught.value.hint


def test_a_root_is_remembered_for_its_hub_and_ones_own_hub_is_trusted(world: World) -> None:
    assert world.look() is not None
    for home in (world.root / "adopter", world.publisher):
        with trusted_hub(str(world.hub.root), home) as client:
            assert client.status("acme/one") is not None
            assert client.freshness().first_to_expire == ("timestamp", NOW + timedelta(days=14))


def test_a_root_that_does_not_fit_the_hub_is_not_remembered(world: World, tmp_path: Path) -> None:
    forger = World(tmp_path / "forger")
    forger.publish("one")
    with pytest.raises(ForgedMetadataError):
        world.look(root=forger.pinned)
    assert not (world.root / "adopter" / "pins").exists()


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 600_000, b" " * 600_000])
def test_a_file_that_is_no_root_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "root.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"no root|larger than 512,000 bytes"):
        read_root(path)
    with pytest.raises(InputError, match="no such file"):
        read_root(tmp_path / "none.json")


def test_a_root_that_does_not_sign_itself_is_refused(world: World, tmp_path: Path) -> None:
    forged = Metadata[Root].from_bytes(world.pinned)
    forged.signed.expires += timedelta(days=9000)
    (tmp_path / "root.json").write_bytes(forged.to_bytes())
    with pytest.raises(InputError, match="no root"):
        read_root(tmp_path / "root.json")
