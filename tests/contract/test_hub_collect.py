"""Garbage collection frees what is unused and never what is used, also beside uploads and commits."""

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.utils import _xet
from huggingface_hub.utils.tqdm import disable_progress_bars
from running_hub import RunningHub, running_hub
from sqlalchemy import func, insert, select, update
from xet_calls import Cas, noise, prepared

from weighbridge.hub.content.collect import collect
from weighbridge.hub.content.collection import Collected
from weighbridge.hub.content.content import MissingContentError, owned_among
from weighbridge.hub.content.mark import Digests, mark
from weighbridge.hub.content.verify import verify
from weighbridge.hub.database.schema import (
    account,
    bucket_file,
    content,
    dedup_chunk,
    git_object,
    repository,
    server_value,
    upload,
    xorb,
    xorb_owner,
)
from weighbridge.hub.server import HubServer

MIB = 1024 * 1024
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def hub(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningHub]:
    disable_progress_bars()
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    with running_hub(tmp_path / "hub", database=database) as running:
        yield running


@pytest.fixture
def api(hub: RunningHub) -> HfApi:
    api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
    api.create_repo("alice/m")
    return api


def add(api: HfApi, repo: str = "alice/m", **files: bytes) -> None:
    api.create_commit(repo, [CommitOperationAdd(name, data) for name, data in files.items()], commit_message="add")


def drop(api: HfApi, *names: str) -> None:
    api.create_commit("alice/m", [CommitOperationDelete(name) for name in names], commit_message="drop")


def get(api: HfApi, repo: str, name: str, folder: Path, revision: str = "main") -> bytes:
    found = hf_hub_download(repo, name, revision=revision, endpoint=api.endpoint, token=api.token, cache_dir=folder)
    return Path(found).read_bytes()


def counted(hub: HubServer, table: object) -> int:
    with hub.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def keys(hub: HubServer) -> set[str]:
    return {item.key for item in hub.store.list()}


def free(hub: RunningHub) -> Collected:
    """Collect without any grace."""
    return collect(hub.hub, grace_seconds=0, nameless_seconds=0)


def later(hub: HubServer, days: float) -> HubServer:
    """Return the hub with its clock ahead."""
    return HubServer(
        database=hub.database,
        store=hub.store,
        cache=hub.cache,
        secret=hub.secret,
        now_ms=lambda: hub.now_ms() + int(days * DAY_MS),
        settings=hub.settings,
    )


def test_nothing_in_use_is_freed(hub: RunningHub, api: HfApi, tmp_path: Path) -> None:
    one, two, old = noise(2 * MIB, 1), noise(MIB, 2), noise(MIB, 3)
    add(api, one=one, old=old)
    api.create_tag("alice/m", tag="v1")
    drop(api, "old")
    api.create_branch("alice/m", branch="side")
    api.create_commit("alice/m", [CommitOperationAdd("side", two)], commit_message="s", revision="side")
    proposed = noise(MIB, 4)
    api.create_commit("alice/m", [CommitOperationAdd("new", proposed)], commit_message="p", create_pr=True)
    found = free(hub)
    assert (found.deleted_files, found.deleted_xorbs, found.git_objects, found.nameless_objects) == (0, 0, 0, 0)
    assert get(api, "alice/m", "one", tmp_path) == one
    assert get(api, "alice/m", "old", tmp_path, "v1") == old
    assert get(api, "alice/m", "side", tmp_path, "side") == two
    assert get(api, "alice/m", "new", tmp_path, "refs/pr/1") == proposed
    assert list(verify(hub.hub)) == []


def test_squash_and_deletion_of_branches_and_tags_free_what_only_they_held(
    hub: RunningHub, api: HfApi, tmp_path: Path
) -> None:
    kept = noise(MIB, 5)
    add(api, kept=kept)
    add(api, gone=noise(2 * MIB, 6))
    api.create_tag("alice/m", tag="v1")
    drop(api, "gone")
    assert free(hub).freed_bytes == 0
    api.delete_tag("alice/m", tag="v1")
    assert free(hub).freed_bytes == 0, "the history of main holds it"
    api.super_squash_history("alice/m")
    assert free(hub).freed_bytes > 2 * MIB
    assert get(api, "alice/m", "kept", tmp_path) == kept
    assert len(keys(hub.hub)) == counted(hub.hub, xorb)
    assert list(verify(hub.hub)) == []


def test_a_deleted_repository_frees_all_but_what_others_hold(hub: RunningHub, api: HfApi, tmp_path: Path) -> None:
    shared, alone = noise(2 * MIB, 7), noise(2 * MIB, 8)
    add(api, shared=shared)
    add(api, alone=alone)
    api.create_repo("alice/other")
    add(api, "alice/other", same=shared)
    api.delete_repo("alice/m")
    assert 2 * MIB < free(hub).freed_bytes < 5 * MIB
    assert get(api, "alice/other", "same", tmp_path) == shared
    assert list(verify(hub.hub)) == []
    api.delete_repo("alice/other")
    free(hub)
    assert keys(hub.hub) == set()
    for table in (content, xorb, xorb_owner, dedup_chunk, git_object):
        assert counted(hub.hub, table) == 0


def test_what_is_unused_is_condemned_first_and_deleted_after_the_grace_time(hub: RunningHub, api: HfApi) -> None:
    add(api, weights=noise(MIB, 9))
    api.delete_repo("alice/m")
    young = collect(hub.hub, grace_seconds=86400)
    assert (young.condemned_files, young.condemned_xorbs) == (0, 0)
    condemned = collect(later(hub.hub, 1.5), grace_seconds=86400)
    assert (condemned.condemned_files, condemned.condemned_xorbs, condemned.freed_bytes) == (1, 1, 0)
    assert collect(later(hub.hub, 2), grace_seconds=86400).freed_bytes == 0
    rehearsed = collect(later(hub.hub, 3), grace_seconds=86400, dry_run=True)
    assert keys(hub.hub)
    done = collect(later(hub.hub, 3), grace_seconds=86400)
    assert done.freed_bytes > MIB
    # The file goes first, and only then nothing needs the xorb: a rehearsal sees the first step.
    assert rehearsed.deleted_files == done.deleted_files == 1
    assert keys(hub.hub) == set()


def test_use_lifts_the_sentence(hub: RunningHub, api: HfApi, tmp_path: Path) -> None:
    data = noise(MIB, 10)
    add(api, weights=data)
    api.delete_repo("alice/m")
    collect(later(hub.hub, 1.5), grace_seconds=86400)
    api.create_repo("alice/again")
    add(api, "alice/again", weights=data)
    with hub.hub.database.read() as connection:
        assert connection.execute(select(func.count()).where(xorb.c.condemned_ms.is_not(None))).scalar_one() == 0
        assert connection.execute(select(func.count()).where(content.c.condemned_ms.is_not(None))).scalar_one() == 0
    assert collect(later(hub.hub, 9), grace_seconds=86400).freed_bytes == 0
    assert get(api, "alice/again", "weights", tmp_path) == data


def test_what_is_condemned_is_not_offered(hub: RunningHub, api: HfApi) -> None:
    file = prepared(noise(MIB, 11))
    cas = Cas.of(hub.endpoint, str(api.token), "alice/m")
    file.send(cas)
    with hub.hub.database.read() as connection:
        chunk = connection.execute(select(dedup_chunk.c.chunk)).scalars().first()
    assert cas.ask("GET", f"/v1/chunks/default/{chunk}").status == 200
    with hub.hub.database.write() as connection:
        connection.execute(update(xorb).values(condemned_ms=1))
    assert cas.ask("GET", f"/v1/chunks/default/{chunk}").status == 404


def test_a_mark_that_is_wrong_by_now_is_taken_away(hub: RunningHub, api: HfApi, tmp_path: Path) -> None:
    data = noise(MIB, 12)
    add(api, weights=data)
    with hub.hub.database.write() as connection:
        connection.execute(update(xorb).values(condemned_ms=1))
        connection.execute(update(content).values(condemned_ms=1))
    assert free(hub).freed_bytes == 0
    assert get(api, "alice/m", "weights", tmp_path) == data


def test_uploads_that_were_not_committed_last_for_the_grace_time(hub: RunningHub, api: HfApi) -> None:
    file = prepared(noise(MIB, 13))
    cas = Cas.of(hub.endpoint, str(api.token), "alice/m")
    file.send(cas)
    assert collect(later(hub.hub, 0.9), grace_seconds=86400).released_files == 0
    assert cas.ask("GET", f"/v2/reconstructions/{file.hash}").status == 200
    assert collect(later(hub.hub, 1.1), grace_seconds=86400).released_files == 1
    assert collect(later(hub.hub, 2.2), grace_seconds=86400).freed_bytes > MIB


def test_buckets_hold_what_they_name(hub: RunningHub, api: HfApi) -> None:
    with hub.hub.database.write() as connection:
        owner = select(account.c.id).where(account.c.name == "alice").scalar_subquery()
        row = {"kind": "bucket", "owner_id": owner, "full_name": "alice/b", "name_key": "alice/b"}
        connection.execute(insert(repository).values(**row, created_ms=1, modified_ms=1))
    cas = Cas.of(hub.endpoint, str(api.token), "alice/b", kind="buckets", revision="")
    named, unnamed = prepared(noise(MIB, 14)), prepared(noise(MIB, 15))
    named.send(cas)
    unnamed.send(cas)
    with hub.hub.database.write() as connection:
        bucket = connection.execute(select(repository.c.id).where(repository.c.kind == "bucket")).scalar_one()
        entry = {"repository_id": bucket, "path": "a/b", "size_bytes": MIB, "modified_ms": 1}
        connection.execute(insert(bucket_file).values(**entry, sha256=named.entry.sha256))
    assert free(hub).deleted_files == 1
    with hub.hub.database.read() as connection:
        assert owned_among(connection, bucket, [str(named.entry.sha256), str(unnamed.entry.sha256)]) == {
            named.entry.sha256: MIB
        }
    reader = Cas.of(hub.endpoint, str(api.token), "alice/b", kind="buckets", scope="read", revision="")
    assert reader.ask("GET", f"/v2/reconstructions/{named.hash}").status == 200
    assert reader.ask("GET", f"/v2/reconstructions/{unnamed.hash}").status == 404


def test_bytes_without_a_name_go_when_they_are_old(hub: RunningHub, api: HfApi) -> None:
    add(api, weights=noise(MIB, 16))
    store, kept = hub.hub.store, keys(hub.hub)
    with hub.hub.database.read() as connection:
        repo = connection.execute(select(repository.c.id)).scalar_one()
    for name in ("xorbs/ab/lost", "uploads/dead/1.x", "uploads/alive/1.x", "xorbs/ab/granted"):
        store.write(name, b"some bytes")
    now = hub.hub.now_ms()
    with hub.hub.database.write() as connection:
        row = {"repository_id": repo, "hash": "0" * 64, "size_bytes": 1, "created_ms": now}
        alive = {**row, "id": "alive", "kind": "lfs", "expires_ms": now + DAY_MS, "state": {}}
        granted = {**row, "id": "g", "kind": "xorb", "expires_ms": now + DAY_MS, "state": {"key": "xorbs/ab/granted"}}
        dead = {**row, "id": "dead", "kind": "lfs", "expires_ms": now - DAY_MS, "state": {}}
        connection.execute(insert(upload), [alive, granted, dead])
    assert collect(hub.hub, grace_seconds=0).nameless_objects == 0, "an upload may be about to name them"
    found = free(hub)
    assert (found.nameless_objects, found.freed_bytes) == (2, 20)
    assert keys(hub.hub) == kept | {"uploads/alive/1.x", "xorbs/ab/granted"}


def test_a_rehearsal_changes_nothing(hub: RunningHub, api: HfApi) -> None:
    add(api, weights=noise(MIB, 17))
    drop(api, "weights")
    api.super_squash_history("alice/m")
    before = [counted(hub.hub, table) for table in (git_object, content, xorb, xorb_owner, server_value)], keys(hub.hub)
    found = collect(hub.hub, grace_seconds=0, dry_run=True, nameless_seconds=0)
    assert found.git_objects > 0
    assert found.released_files == 1
    after = [counted(hub.hub, table) for table in (git_object, content, xorb, xorb_owner, server_value)], keys(hub.hub)
    assert after == before


def test_a_ref_that_moves_meanwhile_leaves_its_repository_for_the_next_time(
    hub: RunningHub, api: HfApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The commit brings back, between marking and deleting, what was dead when it was marked."""
    data = noise(MIB, 18)
    add(api, weights=data)
    drop(api, "weights")
    api.super_squash_history("alice/m")
    true_mark = mark

    def marks_and_is_late(server: HubServer, repository_id: int, *, before_ms: int) -> object:
        found = true_mark(server, repository_id, before_ms=before_ms)
        add(api, weights=data)
        return found

    monkeypatch.setattr("weighbridge.hub.content.release.mark", marks_and_is_late)
    assert free(hub).busy_repositories == 1
    monkeypatch.undo()
    assert get(api, "alice/m", "weights", tmp_path) == data
    free(hub)
    assert list(verify(hub.hub)) == []


def test_collections_beside_uploads_and_commits_lose_nothing(hub: RunningHub, api: HfApi, tmp_path: Path) -> None:
    """Three collectors go round and round, with a grace of seconds, while files come and go."""
    secret, stop = str(api.token), threading.Event()
    failed: list[BaseException] = []

    def collecting() -> None:
        while not stop.is_set():
            try:
                collect(hub.hub, grace_seconds=4, nameless_seconds=4)
            except (AssertionError, ValueError, KeyError, MissingContentError) as error:
                failed.append(error)
                return

    def uploading(number: int) -> None:
        try:
            cas = Cas.of(hub.endpoint, secret, "alice/m")
            for turn in range(4):
                # Every other file was there before, and may just be collected.
                data = noise(MIB // 2, 20 + (number + turn) % 5)
                file = prepared(data)
                file.send(cas)
                add(api, f"alice/r{number}", weights=data, **{f"t{turn}": b"x" * turn})
                if turn % 2:
                    api.delete_file("weights", f"alice/r{number}")
                    api.super_squash_history(f"alice/r{number}")
        except (AssertionError, OSError, ValueError) as error:
            failed.append(error)

    for number in range(3):
        api.create_repo(f"alice/r{number}")
    collectors = [threading.Thread(target=collecting) for _ in range(2)]
    uploaders = [threading.Thread(target=uploading, args=(number,)) for number in range(3)]
    for thread in (*collectors, *uploaders):
        thread.start()
    for thread in uploaders:
        thread.join()
    stop.set()
    for thread in collectors:
        thread.join()
    assert not failed
    for number in range(3):
        add(api, f"alice/r{number}", last=noise(MIB, 40 + number))
        assert get(api, f"alice/r{number}", "last", tmp_path) == noise(MIB, 40 + number)
    assert list(verify(hub.hub)) == []


def test_a_copy_within_a_repository_keeps_the_bytes(hub: RunningHub, api: HfApi, tmp_path: Path) -> None:
    data = noise(MIB, 50)
    add(api, weights=data)
    api.create_commit(
        "alice/m", [CommitOperationCopy("weights", "copy"), CommitOperationDelete("weights")], commit_message="move"
    )
    api.super_squash_history("alice/m")
    assert free(hub).deleted_files == 0
    assert get(api, "alice/m", "copy", tmp_path) == data


@pytest.mark.parametrize("kept_bytes", [None, 8])
def test_digests_are_held_exactly(kept_bytes: int | None) -> None:
    held, others = ([secrets.token_bytes(20) for _ in range(3000)] for _ in range(2))
    held[0], held[1], others[0] = bytes(20), bytes(7) + b"\1" * 13, b"\1" + bytes(19)
    found = Digests(20, kept_bytes=kept_bytes)
    assert found.holds([held[0].hex()]).tolist() == [False]
    found.add(b"".join(held))
    assert all(found.holds([digest.hex() for digest in held]).tolist())
    assert not any(found.holds([digest.hex() for digest in others]).tolist())
    if kept_bytes is not None:
        return
    fewer = Digests(20)
    fewer.add(b"".join(held[5:]))
    assert sorted(found.lacking(fewer)) == sorted(digest.hex() for digest in held[:5])
