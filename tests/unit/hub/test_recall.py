"""A recalled version stays listed, is no longer handed out, and never comes back."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weighbridge.dossier.status import State, Status
from weighbridge.errors import HubError, InputError, RefusedError
from weighbridge.gate.stage import Stage
from weighbridge.hub.catalogue import PublishedVersion, StagedVersion
from weighbridge.hub.folder import LocalHub
from weighbridge.hub.recall import Notice, advisories, recall, with_notices
from weighbridge.hub.standing import RecalledError, caution, said_of, signed_statuses, status_path

NOW = datetime(2026, 11, 22, 9, 30, 15, 999, tzinfo=UTC)
RECALL = Notice(stage=Stage.RECALLED, reason="It repeats <private> data.", successor="two")
CHILD = Path(__file__).with_name("amend_child.py")


@pytest.fixture(scope="module")
def child() -> Iterator[ModuleType]:
    sys.path.insert(0, str(CHILD.parent))
    try:
        import hub_child

        yield hub_child
    finally:
        sys.path.remove(str(CHILD.parent))


@pytest.fixture
def hub(tmp_path: Path, child: ModuleType) -> LocalHub:
    hub = LocalHub(tmp_path / "hub")
    hub.publish([child.stage(tmp_path / name, f"acme/{name}", 1) for name in ("one", "two")], page=child.page)
    return hub


def statuses(catalogue: Mapping[str, PublishedVersion], before: Mapping[str, bytes]) -> dict[str, bytes]:
    """Further files without signatures: every status, and those of before."""
    said = {status_path(name): s.to_bytes() for name, version in catalogue.items() if (s := said_of(version))}
    return {**before, **said}


def test_a_recalled_version_stays_listed_and_is_not_handed_out(hub: LocalHub) -> None:
    folder = hub.path_of("one")
    status, changed = recall(hub, "one", RECALL, now=NOW)
    assert changed
    assert (status.name, status.state, status.successor, status.circle) == (
        "acme/one", State.RECALLED, "acme/two", "open",
    )  # fmt: skip
    assert status.since == NOW.replace(microsecond=0)
    assert status.advisory.startswith("x_weighbridge-acme-one-")
    assert hub.catalogue()["acme/one"].stage == "recalled"
    assert said_of(hub.catalogue()["acme/one"]) == status
    with pytest.raises(RecalledError, match="since 2026-11-22T09:30:15Z: It repeats <private> data") as caught:
        hub.path_of("acme/one")
    assert "acme/two" in caught.value.hint
    assert hub.path_of("acme/one", even_recalled=True) == folder
    assert hub.path_of("two")
    assert hub.verify() == ()


def test_a_superseded_version_is_handed_out_with_a_warning(hub: LocalHub) -> None:
    notice = Notice(stage=Stage.SUPERSEDED, reason="The new one is smaller.", successor="acme/two")
    status, _ = recall(hub, "one", notice, now=NOW)
    assert status.state == State.DEPRECATED
    assert status.advisory == ""
    assert hub.path_of("one")
    assert caution(said_of(hub.catalogue()["acme/one"])) == (
        "acme/one is deprecated since 2026-11-22T09:30:15Z: The new one is smaller.; use acme/two in its place"
    )
    assert caution(said_of(hub.catalogue()["acme/two"])) == ""


def test_saying_the_same_again_changes_nothing(hub: LocalHub) -> None:
    first, _ = recall(hub, "one", RECALL, now=NOW)
    state = (hub.root / "current").readlink()
    again, changed = recall(hub, "one", RECALL, now=NOW + timedelta(days=1))
    assert (again, changed) == (first, False)
    assert (hub.root / "current").readlink() == state


def test_moves_follow_the_table_of_stages(hub: LocalHub) -> None:
    recall(hub, "one", Notice(stage=Stage.SUPERSEDED, reason="Old."), now=NOW)
    recall(hub, "one", Notice(stage=Stage.RECALLED, reason="Bad."), now=NOW)
    with pytest.raises(RefusedError, match="recalled cannot become superseded"):
        recall(hub, "one", Notice(stage=Stage.SUPERSEDED, reason="Not so bad."), now=NOW)
    with pytest.raises(RefusedError, match="recalled cannot become recalled"):
        recall(hub, "one", Notice(stage=Stage.RECALLED, reason="Another reason."), now=NOW)
    with pytest.raises(RefusedError, match="cannot become open"):
        recall(hub, "two", Notice(stage=Stage.OPEN, reason="x"), now=NOW)


@pytest.mark.parametrize("reason", ["", " \n ", "\x1b[31m"])
def test_a_recall_needs_a_reason_in_plain_text(hub: LocalHub, reason: str) -> None:
    state = (hub.root / "current").readlink()
    with pytest.raises(RefusedError, match="without a reason"):
        recall(hub, "one", Notice(stage=Stage.RECALLED, reason=reason), now=NOW)
    assert (hub.root / "current").readlink() == state


def test_a_reason_that_nobody_would_read_is_refused_and_not_repeated(hub: LocalHub) -> None:
    with pytest.raises(InputError, match="2,001 characters, more than 2,000") as caught:
        recall(hub, "one", Notice(stage=Stage.RECALLED, reason="r" * 2001), now=NOW)
    assert "rrr" not in str(caught.value)
    assert "--reference" in caught.value.hint
    assert recall(hub, "one", Notice(stage=Stage.RECALLED, reason="r" * 2000), now=NOW)[1]


def test_names_successors_and_ids_that_cannot_be_are_refused(hub: LocalHub) -> None:
    for notice, expected in (
        (Notice(stage=Stage.RECALLED, reason="x", successor="one"), "is the same"),
        (Notice(stage=Stage.RECALLED, reason="x", successor="three"), "no model 'three'"),
        (Notice(stage=Stage.RECALLED, reason="x" * 5000), "more than 2,000"),
        (Notice(stage=Stage.RECALLED, reason="x", advisory="../x"), "advisory"),
    ):
        with pytest.raises(InputError, match=expected):
            recall(hub, "one", notice, now=NOW)
    with pytest.raises(InputError, match="no model"):
        recall(hub, "three", RECALL, now=NOW)
    recall(hub, "two", Notice(stage=Stage.RECALLED, reason="x"), now=NOW)
    with pytest.raises(InputError, match="recalled itself"):
        recall(hub, "one", RECALL, now=NOW)


def test_recalled_bytes_cannot_be_published_again_under_any_name(
    hub: LocalHub, tmp_path: Path, child: ModuleType
) -> None:
    recall(hub, "one", RECALL, now=NOW)
    same = child.stage(tmp_path / "one", "acme/one", 1)
    other = StagedVersion(name="acme/x", folder=same.folder, manifest=same.manifest, stage="open", record={})
    for staged in (same, other):
        with pytest.raises(RecalledError, match="repeats") as caught:
            hub.publish([staged], page=child.page)
        assert "final" in caught.value.hint


def test_a_recalled_payload_cannot_come_back_under_another_dossier(tmp_path: Path, child: ModuleType) -> None:
    hub = LocalHub(tmp_path / "hub")

    def staged(name: str, generation: int) -> StagedVersion:
        made = child.stage(tmp_path / name, "acme/one", generation)
        return StagedVersion(
            name="acme/one", folder=made.folder, manifest=made.manifest, stage="open", record={"subject": "f" * 64}
        )

    hub.publish([staged("a", 1)], page=lambda _: "")
    recall(hub, "one", Notice(stage=Stage.RECALLED, reason="Bad weights."), now=NOW)
    with pytest.raises(RecalledError, match="Bad weights"):
        hub.publish([staged("b", 2)], page=lambda _: "")


def test_a_recall_outlives_a_newer_version_of_the_same_name(hub: LocalHub, tmp_path: Path, child: ModuleType) -> None:
    recall(hub, "one", RECALL, now=NOW, further=statuses)
    newer = child.stage(tmp_path / "newer", "acme/one", 2)
    old = hub.files()[status_path("acme/one")]
    digest = Status.from_bytes(old, place="").digest

    def further(catalogue: Mapping[str, PublishedVersion], before: Mapping[str, bytes]) -> dict[str, bytes]:
        return {status_path("acme/one", digest): before[status_path("acme/one")]}

    hub.publish([newer], page=child.page, further=further)
    assert hub.path_of("one")
    assert set(signed_statuses(hub.files())) == {status_path("acme/one", digest)}
    with pytest.raises(RecalledError):
        hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)


def test_superseded_bytes_that_are_published_again_stay_superseded(
    hub: LocalHub, tmp_path: Path, child: ModuleType
) -> None:
    recall(hub, "one", Notice(stage=Stage.SUPERSEDED, reason="Old."), now=NOW)
    hub.publish([child.stage(tmp_path / "one", "acme/one", 1)], page=child.page)
    assert hub.catalogue()["acme/one"].stage == "superseded"


def test_further_files_are_published_by_the_same_step_and_stay_until_they_are_made_anew(
    hub: LocalHub, tmp_path: Path, child: ModuleType
) -> None:
    recall(hub, "one", RECALL, now=NOW, further=statuses)
    path = status_path("acme/one")
    assert (hub.root / path).read_bytes() == hub.files()[path]
    assert (hub.root / "status").readlink() == Path("current/status")
    hub.publish([child.stage(tmp_path / "three", "acme/three", 1)], page=child.page)
    assert path in hub.files()
    assert hub.verify() == ()
    (hub.root / path).write_bytes(b"altered")
    assert "was altered" in "".join(hub.verify())


def test_a_further_file_that_nobody_published_is_found(hub: LocalHub) -> None:
    (hub.root / "current" / "status").mkdir()
    (hub.root / "current" / "status" / "x.json").write_text("{}")
    assert "was altered" in "".join(hub.verify())


@pytest.mark.parametrize(
    "name", ["x.json", "catalogue.json", "models/a", "status/../x", "/status/x", "status", "metadata//x", "blobs/x"]
)
def test_further_files_stay_in_their_folders(hub: LocalHub, name: str) -> None:
    state = (hub.root / "current").readlink()
    with pytest.raises(HubError):
        hub.amend(lambda catalogue: catalogue, page=lambda _, page: page, further=lambda *_: {name: b"x"})
    assert (hub.root / "current").readlink() == state


def test_one_further_file_cannot_lie_below_another(hub: LocalHub) -> None:
    files = {"status/a": b"x", "status/a/b": b"x"}
    with pytest.raises(HubError, match="below another file"):
        hub.amend(lambda catalogue: catalogue, page=lambda _, page: page, further=lambda *_: files)


def test_amending_cannot_change_which_versions_there_are(hub: LocalHub) -> None:
    with pytest.raises(HubError, match="can be amended"):
        hub.amend(lambda _: {}, page=lambda _, page: page)


def test_a_status_in_the_catalogue_that_is_none_is_refused(hub: LocalHub) -> None:
    recall(hub, "one", RECALL, now=NOW)
    path = hub.root / "current" / "catalogue.json"
    document: dict[str, Any] = json.loads(path.read_bytes())
    document["versions"]["acme/one"]["record"]["status"]["state"] = "fine"
    path.write_text(json.dumps(document))
    with pytest.raises(HubError, match="status is not one"):
        hub.path_of("one")


def test_the_page_says_it_at_its_top_once_and_escaped(hub: LocalHub) -> None:
    page = "<html><body><nav></nav><main id=x><h1>One</h1></main></body></html>"
    recall(hub, "one", RECALL, now=NOW)
    catalogue = hub.catalogue()
    once = with_notices(page, catalogue)
    assert once.startswith("<html><body><nav></nav><main id=x><!-- notices -->")
    assert "It repeats &lt;private&gt; data." in once
    assert "Use <strong>acme/two</strong>" in once
    assert with_notices(once, catalogue) == once
    assert with_notices(once, {}) == page
    assert "recalled" in (hub.root / "index.html").read_text()


def test_every_version_under_one_id_is_in_one_advisory(hub: LocalHub) -> None:
    for name in ("one", "two"):
        recall(hub, name, Notice(stage=Stage.RECALLED, reason=f"Bad {name}.", advisory="x_acme-1"), now=NOW)
    made = advisories()(hub.catalogue(), {})
    document = json.loads(made["advisories/x_acme-1.json"])
    assert [item["package"]["name"] for item in document["affected"]] == ["acme/one", "acme/two"]
    assert advisories()(hub.catalogue(), made) == made


def test_a_kill_at_any_touch_of_the_disk_leaves_what_was_said_before_or_the_new_word(tmp_path: Path) -> None:
    command = [sys.executable, str(CHILD), str(tmp_path / "hub"), str(tmp_path / "work")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] > 30
    assert found["old"] > found["new"] >= 2
