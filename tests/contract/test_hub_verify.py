"""Verification finds every flipped bit and missing byte, and says which revisions they touch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, RepoFolder
from huggingface_hub.utils import _xet
from huggingface_hub.utils.tqdm import disable_progress_bars
from running_hub import RunningHub, running_hub
from sqlalchemy import delete, insert, select, update
from xet_calls import Cas, noise, prepared

from weighbridge.hub.content.terms import Term, pack_terms
from weighbridge.hub.content.verify import Damage, verify
from weighbridge.hub.content.verify_repository import Touched
from weighbridge.hub.database.schema import (
    account,
    bucket_file,
    content,
    content_owner,
    git_object,
    ref,
    repository,
    xorb,
)

MIB = 1024 * 1024


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningHub]:
    disable_progress_bars()
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    with running_hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def api(hub: RunningHub) -> HfApi:
    """A repository with a file that moved and one of text, tagged on its way; and another repository beside it."""
    api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
    api.create_repo("alice/m")
    api.create_repo("alice/sound")
    add(api, "alice/sound", **{"weights": noise(MIB, 1)})
    add(api, "alice/m", **{"in/weights.bin": noise(2 * MIB, 2), "notes.txt": b"some text\n"})
    api.create_tag("alice/m", tag="v1")
    add(api, "alice/m", **{"more": noise(MIB, 3)})
    return api


def add(api: HfApi, repo: str, **files: bytes) -> None:
    api.create_commit(repo, [CommitOperationAdd(name, data) for name, data in files.items()], commit_message="add")


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.chmod(0o600)
    path.write_bytes(bytes(data))


def xorb_of(hub: RunningHub, data: bytes) -> tuple[str, Path]:
    from weighbridge.hub.xet.merkle import to_hex

    name = to_hex(prepared(data).xorbs[0].index.hash)
    with hub.hub.database.read() as connection:
        key = connection.execute(select(xorb.c.key).where(xorb.c.hash == name)).scalar_one()
    path = hub.hub.store.local_path(key)
    assert path is not None
    return name, path


def found(hub: RunningHub) -> list[Damage]:
    return list(verify(hub.hub))


def revisions(damage: Damage) -> set[tuple[str, str, str]]:
    return {(touched.repository, touched.revision, touched.path) for touched in damage.touched}


def test_a_sound_hub_has_no_damage(hub: RunningHub, api: HfApi) -> None:
    assert found(hub) == []


@pytest.mark.parametrize("at", [0, 3, 12, MIB, -1])
def test_a_flipped_bit_of_a_xorb_is_found_with_all_that_it_touches(hub: RunningHub, api: HfApi, at: int) -> None:
    name, path = xorb_of(hub, noise(2 * MIB, 2))
    flip(path, at)
    (damage,) = found(hub)
    assert damage.what == f"xorb {name}"
    named = {(r, v) for r, v, _ in revisions(damage)}
    assert {path for _, _, path in revisions(damage)} == {"in/weights.bin"}
    assert {("model alice/m", "refs/heads/main"), ("model alice/m", "refs/tags/v1")} <= named
    assert "in/weights.bin" in str(damage)


def test_a_missing_xorb_and_one_cut_short_are_found(hub: RunningHub, api: HfApi) -> None:
    (missing, gone), (short, cut) = xorb_of(hub, noise(2 * MIB, 2)), xorb_of(hub, noise(MIB, 3))
    gone.unlink()
    cut.chmod(0o600)
    cut.write_bytes(cut.read_bytes()[:-1])
    damages = {damage.what: damage for damage in found(hub)}
    assert set(damages) == {f"xorb {missing}", f"xorb {short}"}
    assert {path for _, _, path in revisions(damages[f"xorb {short}"])} == {"more"}
    assert {revision for _, revision, _ in revisions(damages[f"xorb {short}"])} == {"refs/heads/main"}


def test_a_file_that_is_put_together_wrongly_is_found(hub: RunningHub, api: HfApi) -> None:
    name, _ = xorb_of(hub, noise(2 * MIB, 2))
    with hub.hub.database.write() as connection:
        row = connection.execute(select(content).where(content.c.size_bytes == 2 * MIB)).one()
        wrong = pack_terms([Term(name, 1, 2, 65536)])
        connection.execute(update(content).where(content.c.sha256 == row.sha256).values(terms=wrong))
    (damage,) = found(hub)
    assert damage.what == f"file {row.sha256}"
    assert ("model alice/m", "refs/tags/v1", "in/weights.bin") in revisions(damage)


def test_damaged_and_missing_git_objects_are_found(hub: RunningHub, api: HfApi) -> None:
    with hub.hub.database.write() as connection:
        text = connection.execute(
            select(git_object.c.oid).where(git_object.c.kind == "blob", git_object.c.data == b"some text\n")
        ).scalar_one()
        connection.execute(update(git_object).where(git_object.c.oid == text).values(data=b"some taxt\n"))
    (damage,) = found(hub)
    assert damage.what == f"git object {text}"
    assert ("model alice/m", "refs/tags/v1", "notes.txt") in revisions(damage)
    assert ("model alice/m", "refs/heads/main", "notes.txt") in revisions(damage)
    with hub.hub.database.write() as connection:
        connection.execute(delete(git_object).where(git_object.c.oid == text))
    (damage,) = found(hub)
    assert (damage.what, damage.problem) == (f"git object {text}", "is missing")
    assert ("model alice/m", "refs/heads/main", "notes.txt") in revisions(damage)


def test_a_missing_folder_and_a_ref_to_nowhere_are_found(hub: RunningHub, api: HfApi) -> None:
    listed = api.list_repo_tree("alice/m")
    oid = next(item.tree_id for item in listed if isinstance(item, RepoFolder))
    with hub.hub.database.write() as connection:
        connection.execute(delete(git_object).where(git_object.c.oid == oid))
        repo = connection.execute(select(repository.c.id).where(repository.c.full_name == "alice/sound")).scalar_one()
        lost = {"repository_id": repo, "name": "refs/heads/lost", "oid": "ab" * 20, "commit_oid": "ab" * 20}
        connection.execute(insert(ref).values(**lost, updated_ms=1))
    damages = {damage.what: damage for damage in found(hub)}
    assert set(damages) == {f"git object {oid}", f"git object {'ab' * 20}"}
    assert ("model alice/m", "refs/heads/main", "in") in revisions(damages[f"git object {oid}"])
    assert damages[f"git object {'ab' * 20}"].touched == (
        Touched(repository="model alice/sound", revision="refs/heads/lost", path=""),
    )


def test_a_file_that_its_repository_lost_is_found(hub: RunningHub, api: HfApi) -> None:
    with hub.hub.database.write() as connection:
        sha256 = connection.execute(select(content.c.sha256).where(content.c.size_bytes == 2 * MIB)).scalar_one()
        connection.execute(delete(content_owner).where(content_owner.c.sha256 == sha256))
    (damage,) = found(hub)
    assert (damage.what, damage.problem) == (f"file {sha256}", "is not held by this repository")
    assert ("model alice/m", "refs/tags/v1", "in/weights.bin") in revisions(damage)


def test_buckets_and_what_nobody_uses_are_told_apart(hub: RunningHub, api: HfApi) -> None:
    with hub.hub.database.write() as connection:
        owner = select(account.c.id).where(account.c.name == "alice").scalar_subquery()
        row = {"kind": "bucket", "owner_id": owner, "full_name": "alice/b", "name_key": "alice/b"}
        connection.execute(insert(repository).values(**row, created_ms=1, modified_ms=1))
    cas = Cas.of(hub.endpoint, str(api.token), "alice/b", kind="buckets", revision="")
    named, unnamed = prepared(noise(MIB, 8)), prepared(noise(MIB, 9))
    named.send(cas)
    unnamed.send(cas)
    with hub.hub.database.write() as connection:
        bucket = connection.execute(select(repository.c.id).where(repository.c.kind == "bucket")).scalar_one()
        entry = {"repository_id": bucket, "path": "a/b", "size_bytes": MIB, "modified_ms": 1}
        connection.execute(insert(bucket_file).values(**entry, sha256=named.entry.sha256))
    (used, one), (unused, two) = xorb_of(hub, named.data), xorb_of(hub, unnamed.data)
    flip(one, 100)
    flip(two, 100)
    damages = {damage.what: damage for damage in found(hub)}
    assert revisions(damages[f"xorb {used}"]) == {("bucket alice/b", "", "a/b")}
    assert damages[f"xorb {unused}"].touched == ()
    assert "nothing uses it" in str(damages[f"xorb {unused}"])
