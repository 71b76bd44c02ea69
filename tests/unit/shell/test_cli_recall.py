"""`recall` and `status` as a publisher and an adopter use them."""

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "hub"))

import hub_child

from weighbridge.errors import HubError, InputError, RefusedError
from weighbridge.hub.catalogue import UnknownModelError
from weighbridge.hub.folder import LocalHub
from weighbridge.shell.cli import recall, status
from weighbridge.shell.trust.errors import RolledBackError, StaleMetadataError, TrustError
from weighbridge.shell.trust.repository import signed_files


def call(verb: ModuleType, *arguments: object) -> int:
    """Run a verb with the options that every verb has."""
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    parser.add_argument("--json", action="store_true")
    code: int = verb.run(parser.parse_args([str(argument) for argument in arguments]))
    return code


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalHub:
    """A hub with acme/one and acme/two, its publisher being whoever runs the test."""
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "publisher"))
    hub = LocalHub(tmp_path / "hub")
    publish(hub, tmp_path)
    return hub


def publish(hub: LocalHub, folder: Path, *, days_ago: float = 0) -> None:
    staged = [hub_child.stage(folder / name, f"acme/{name}", 1) for name in ("one", "two")]
    now = datetime.now(UTC) - timedelta(days=days_ago)
    hub.publish(staged, page=hub_child.page, further=signed_files(folder / "publisher", now=now))


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_an_active_version_says_so_and_how_fresh_that_is(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(status, "one", "--hub", hub.root) == 0
    text = capsys.readouterr().out
    assert "acme/one is active since " in text
    assert "timestamp expires first" in text
    assert "(in 14.0 days)" in text
    assert call(status, "acme/one", "--hub", hub.root, "--json") == 0
    said = document(capsys)
    assert said["status"]["state"] == "active"
    assert set(said["metadata"]["expires"]) >= {"root", "timestamp", "snapshot", "targets", "open"}


def test_a_recall_is_said_by_both_verbs(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["one", "--hub", hub.root, "--reason", "It leaks.", "--successor", "two"]
    assert call(recall, *arguments, "--reference", "https://example.org/why") == 0
    text = capsys.readouterr().out
    assert "acme/one is recalled: It leaks.; use acme/two in its place" in text
    assert "status acme/one --hub" in text
    assert call(status, "one", "--hub", hub.root) == 1
    text = capsys.readouterr().out
    for expected in ("acme/one is recalled since", "It leaks.", "acme/two", "x_weighbridge-acme-one-"):
        assert expected in text
    assert call(status, "two", "--hub", hub.root) == 0
    capsys.readouterr()
    assert call(recall, *arguments, "--json") == 0
    said = document(capsys)
    assert not said["changed"]
    advisory = json.loads(Path(said["advisory"]).read_bytes())
    assert advisory["references"] == [{"type": "WEB", "url": "https://example.org/why"}]


def test_a_deprecated_version_may_be_used(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(recall, "one", "--hub", hub.root, "--reason", "Slow.", "--deprecate") == 0
    assert "advisory" not in capsys.readouterr().out
    assert call(status, "one", "--hub", hub.root) == 0
    assert "acme/one is deprecated" in capsys.readouterr().out


def test_the_publisher_chooses_the_advisorys_id(hub: LocalHub, capsys: pytest.CaptureFixture[str]) -> None:
    call(recall, "one", "--hub", hub.root, "--reason", "Bad.", "--advisory-id", "x_acme-2026-0001", "--json")
    assert document(capsys)["status"]["advisory"] == "x_acme-2026-0001"
    assert (hub.root / "advisories" / "x_acme-2026-0001.json").is_file()


def test_wrong_arguments_change_nothing(hub: LocalHub, tmp_path: Path) -> None:
    state = (hub.root / "current").readlink()
    with pytest.raises(UnknownModelError):
        call(recall, "three", "--hub", hub.root, "--reason", "x")
    with pytest.raises(RefusedError, match="without a reason"):
        call(recall, "one", "--hub", hub.root, "--reason", " ")
    with pytest.raises(InputError, match="not a reference"):
        call(recall, "one", "--hub", hub.root, "--reason", "x", "--reference", "file:///etc/passwd")
    with pytest.raises(InputError, match="references belong"):
        call(recall, "one", "--hub", hub.root, "--reason", "x", "--deprecate", "--reference", "https://x.org")
    assert (hub.root / "current").readlink() == state
    with pytest.raises(UnknownModelError):
        call(recall, "one", "--hub", tmp_path / "none", "--reason", "x")
    assert not (tmp_path / "none").exists()


def test_a_folder_is_known_by_its_bytes(hub: LocalHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(hub.path_of("one"), copy)
    assert call(status, copy, "--hub", hub.root) == 0
    assert "acme/one is active" in capsys.readouterr().out
    call(recall, "one", "--hub", hub.root, "--reason", "Bad.")
    assert call(status, copy, "--hub", hub.root) == 1
    capsys.readouterr()
    (copy / "weights").chmod(0o644)
    (copy / "weights").write_text("other")
    assert call(status, copy, "--hub", hub.root) == 3
    assert "unknown: the hub's publisher says nothing about this version with digest" in capsys.readouterr().out


def test_an_adopter_needs_the_root_once(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root.json"
    shutil.copy(hub.root / "metadata" / "root.json", root)
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "adopter"))
    assert call(status, "one", "--hub", hub.root) == 3
    text = capsys.readouterr().out
    assert "unknown" in text
    assert "--root" in text
    assert call(status, "one", "--hub", hub.root, "--root", root) == 0
    assert call(status, "one", "--hub", hub.root) == 0
    capsys.readouterr()
    assert call(status, "acme/none", "--hub", hub.root, "--json") == 3
    assert document(capsys)["status"]["state"] == "unknown"


def test_an_old_copy_fails_after_the_new_one_was_seen(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root.json"
    shutil.copy(hub.root / "metadata" / "root.json", root)
    shutil.copytree(hub.root, tmp_path / "old", symlinks=True)
    call(recall, "one", "--hub", hub.root, "--reason", "Bad.")
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "adopter"))
    assert call(status, "one", "--hub", hub.root, "--root", root) == 1
    with pytest.raises(RolledBackError):
        call(status, "one", "--hub", tmp_path / "old", "--root", root)


def test_expired_metadata_fails_until_it_is_refreshed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "publisher"))
    hub = LocalHub(tmp_path / "hub")
    publish(hub, tmp_path, days_ago=20)
    with pytest.raises(StaleMetadataError):
        call(status, "one", "--hub", hub.root)
    assert call(status, "--refresh", "--hub", hub.root) == 0
    assert "signed again" in capsys.readouterr().out
    assert call(status, "one", "--hub", hub.root, "--refresh", "--json") == 0
    assert document(capsys)["status"]["state"] == "active"


def test_a_hub_without_metadata_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "publisher"))
    hub = LocalHub(tmp_path / "hub")
    hub.publish([hub_child.stage(tmp_path / "one", "acme/one", 1)], page=hub_child.page)
    assert call(status, "one", "--hub", hub.root) == 3
    assert "unknown" in capsys.readouterr().out
    assert call(recall, "one", "--hub", hub.root, "--reason", "Bad.") == 0
    assert call(status, "one", "--hub", hub.root) == 1


def test_nothing_to_look_up_or_to_sign_is_said(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no version is named"):
        call(status, "--hub", hub.root)
    with pytest.raises(HubError, match="nothing is published here"):
        call(status, "--refresh", "--hub", tmp_path / "none")


def test_metadata_that_somebody_wrote_into_the_hub_fails(hub: LocalHub) -> None:
    path = hub.root / "metadata" / "timestamp.json"
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":9'))
    with pytest.raises(TrustError):
        call(status, "one", "--hub", hub.root)
