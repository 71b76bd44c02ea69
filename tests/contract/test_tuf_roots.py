"""Roots of trust: changed, renewed, pinned and refused."""

from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root
from tuf_world import NOW, World, restate, unmodified

from weighbridge.dossier.status import State
from weighbridge.errors import InputError
from weighbridge.shell.trust.client import read_root, trusted_hub
from weighbridge.shell.trust.errors import ForgedMetadataError, NoMetadataError, TrustError
from weighbridge.shell.trust.keys import ROLES, fresh_keys


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
