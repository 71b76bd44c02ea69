"""What a hub signs about its versions, and when: python-tuf's own client accepts it."""

import json
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp
from tuf_world import NOW, World, newest, unmodified

from weighbridge.dossier.status import State, Status
from weighbridge.errors import InputError
from weighbridge.shell.trust.errors import StaleMetadataError
from weighbridge.shell.trust.keys import ROLES, KeyFolder, fresh_keys
from weighbridge.shell.trust.repository import Lifetimes


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
