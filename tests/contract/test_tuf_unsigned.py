"""What a publisher never signs: whatever somebody else wrote into the hub's folder."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tuf_world import NOW, World, page, restate, stage

from weighbridge.dossier.status import State, Status
from weighbridge.errors import HubError, InputError, WeighbridgeError
from weighbridge.hub.standing import status_path
from weighbridge.shell.trust.errors import ForgedMetadataError, TrustError
from weighbridge.shell.trust.repository import signed_files


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
    world.hub.publish([stage(tmp_path / "one", "acme/one", 1)], page=page)
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
    world.hub.publish([], page=page, retire=["acme/two"], further=signed_files(world.publisher, now=NOW))
    assert world.look("acme/two") is None
    gone = world.look("acme/two", digest=stage(world.root / "t", "acme/two", 2).manifest.digest)
    assert gone is not None
    assert "taken out" in gone.reason


def kept(world: World, name: str) -> str:
    return next(
        p for p in world.hub.files() if p.startswith(f"status/{name}/") and p.count(".") == 1 and p != status_path(name)
    )
