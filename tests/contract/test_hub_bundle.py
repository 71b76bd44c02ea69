"""Bundles between two hubs that no network joins: small, signed, resumable, and verified to the last byte."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filled_repository import commit
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from running_hub import RunningHub, Silent, running_hub
from sqlalchemy import func, select

from weighbridge.errors import HubError, InputError, VerificationError
from weighbridge.hub.content.content import disown
from weighbridge.hub.database.schema import content, git_object, ref, xorb
from weighbridge.hub.mirror.errors import BundleError, InventoryError, TruncatedBundleError
from weighbridge.hub.mirror.landing import Change
from weighbridge.hub.mirror.manifest import SECTIONS, Front, read_front
from weighbridge.hub.mirror.outgoing import Wanted
from weighbridge.hub.mirror.take_in import TakenIn
from weighbridge.shell.hub.mirror_bundle import PARTIAL, Exported, export, import_bundle, take_inventory
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair

MIB = 2**20
CHILD = Path(__file__).with_name("bundle_child.py")
WHOLE = (Wanted(kind="model", full_name="alice/m"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A hub that exports, one that imports, and the exporter's key; `alice` and `bob` are on both."""

    folder: Path
    near: RunningHub
    far: RunningHub
    signer: EcKeySigner
    verifier: EcKeyVerifier

    def export(self, name: str, wanted: tuple[Wanted, ...] = WHOLE, *, lacking: Path | None = None) -> Exported:
        path = self.folder / name
        return export(self.near.hub, wanted, path, self.signer, lacking=lacking, progress=Silent())

    def import_(self, name: str, *, allow_rollback: bool = False, owner: str | None = None) -> TakenIn:
        return import_bundle(
            self.far.hub,
            self.folder / name,
            self.verifier,
            owner=owner,
            allow_rollback=allow_rollback,
            progress=Silent(),
        )

    def inventory(self) -> Path:
        take_inventory(self.far.hub, self.folder / "inventory")
        return self.folder / "inventory"

    def api(self, hub: RunningHub, user: str = "alice") -> HfApi:
        return HfApi(endpoint=hub.endpoint, token=hub.user(user))

    def front(self, name: str) -> Front:
        with (self.folder / name).open("rb") as file:
            return read_front(file, self.verifier, place=name)


@pytest.fixture
def sides(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sides]:
    """On SQLite; the far side of tests that name `database` is on PostgreSQL too."""
    database = request.getfixturevalue("database") if "database" in request.fixturenames else ""
    signer = create_key_pair(tmp_path / "key.pem", tmp_path / "key.pub")
    with running_hub(tmp_path / "near") as near, running_hub(tmp_path / "far", database=database) as far:
        for hub in (near, far):
            hub.user("alice")
            hub.user("bob")
        verifier = EcKeyVerifier.load(tmp_path / "key.pub")
        made = Sides(folder=tmp_path, near=near, far=far, signer=signer, verifier=verifier)
        made.api(near).create_repo("alice/m")
        yield made


def weights(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def heads(api: HfApi, name: str = "alice/m") -> dict[str, str]:
    listed = api.list_repo_refs(name)
    return {each.ref: each.target_commit for each in (*listed.branches, *listed.tags)}


def downloaded(api: HfApi, folder: Path, path: str = "w.bin", name: str = "alice/m") -> bytes:
    return Path(api.hf_hub_download(name, path, local_dir=folder, force_download=True)).read_bytes()


def counted(hub: RunningHub, table: object) -> int:
    with hub.hub.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def changes(done: TakenIn, number: int = 0) -> dict[str, Change]:
    return {each.name: each.change for each in done.repositories[number].changes}


def test_a_bundle_carries_commits_branches_tags_and_files(database: str, sides: Sides, tmp_path: Path) -> None:
    big = weights(1, 3 * MIB)
    api = sides.api(sides.near)
    commit(sides.near, "alice/m", {"a/b.txt": b"text"}, large={"w.bin": big}, title="Weights")
    api.create_tag("alice/m", tag="v1", tag_message="the first")
    api.create_branch("alice/m", branch="dev")
    sides.export("one")
    done = sides.import_("one")
    assert set(changes(done).values()) == {Change.NEW}
    mine = sides.api(sides.far)
    assert heads(mine) == heads(api)
    assert downloaded(mine, tmp_path / "got") == big
    assert downloaded(mine, tmp_path / "got", "a/b.txt") == b"text"
    assert [c.commit_id for c in mine.list_repo_commits("alice/m")] == [
        c.commit_id for c in api.list_repo_commits("alice/m")
    ]
    again = sides.import_("one")
    assert again.new_bytes == 0
    assert set(changes(again).values()) == {Change.SAME}


def test_one_changed_mebibyte_of_64_makes_a_small_bundle(database: str, sides: Sides, tmp_path: Path) -> None:
    big = bytearray(weights(1, 64 * MIB))
    commit(sides.near, "alice/m", {}, large={"w.bin": bytes(big)})
    sides.export("one")
    sides.import_("one")
    inventory = sides.inventory()
    assert inventory.stat().st_size < 64 * MIB / 1500
    big[20 * MIB : 21 * MIB] = weights(2, MIB)
    commit(sides.near, "alice/m", {}, large={"w.bin": bytes(big)})
    two = sides.export("two", lacking=inventory)
    assert two.size_bytes < 1.25 * MIB
    done = sides.import_("two")
    assert done.new_bytes == two.xorb_bytes
    assert changes(done) == {"refs/heads/main": Change.FORWARD}
    assert downloaded(sides.api(sides.far), tmp_path / "got") == bytes(big)


def test_chunks_that_the_other_side_has_in_other_xorbs_are_not_sent(sides: Sides, tmp_path: Path) -> None:
    big = weights(1, 8 * MIB)
    sides.api(sides.far, "bob").create_repo("bob/other")
    # The same bytes lie there behind others, so that no xorb is the same.
    commit(sides.far, "bob/other", {}, large={"o.bin": weights(5, 3 * MIB) + big})
    commit(sides.near, "alice/m", {}, large={"w.bin": big})
    made = sides.export("one", lacking=sides.inventory())
    assert made.xorb_bytes < MIB
    sides.import_("one")
    assert downloaded(sides.api(sides.far), tmp_path / "got") == big


def test_of_a_shared_xorb_only_the_needed_chunks_are_sent(sides: Sides) -> None:
    """Two repositories share chunks of one xorb: a bundle of one does not hold the other's bytes."""
    api = sides.api(sides.near)
    secret, shared = weights(3, 3 * MIB), weights(4, 3 * MIB)
    api.create_repo("alice/private", private=True)
    commit(sides.near, "alice/private", {}, large={"s.bin": secret + shared})
    commit(sides.near, "alice/m", {}, large={"w.bin": shared + weights(9, MIB)})
    made = sides.export("one")
    assert 4 * MIB - 128 * 1024 < made.xorb_bytes < 4.1 * MIB
    data = made.path.read_bytes()
    # Random bytes do not compress: they lie in the bundle as they are.
    assert not any(secret[at : at + 64] in data for at in range(0, len(secret) - 64, 16 * 1024))
    sides.import_("one")


def test_several_repositories_and_single_branches_go_in_one_bundle(sides: Sides, tmp_path: Path) -> None:
    api = sides.api(sides.near)
    api.create_repo("alice/d", repo_type="dataset", private=True)
    big = weights(1, 2 * MIB)
    commit(sides.near, "alice/d", {"x.csv": b"1,2"}, large={"w.bin": big}, kind="dataset")
    commit(sides.near, "alice/m", {}, large={"w.bin": big})
    api.create_branch("alice/m", branch="dev")
    wanted = (
        Wanted(kind="model", full_name="alice/m", revisions=("dev",)),
        Wanted(kind="dataset", full_name="alice/d"),
    )
    made = sides.export("one", wanted)
    assert made.xorb_bytes < 2.1 * MIB
    sides.import_("one", owner="bob")
    mine = sides.api(sides.far, "bob")
    assert set(heads(mine, "bob/m")) == {"refs/heads/dev"}
    assert mine.dataset_info("bob/d").private
    got = mine.hf_hub_download("bob/d", "w.bin", repo_type="dataset", local_dir=tmp_path / "got")
    assert Path(got).read_bytes() == big
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=sides.far.endpoint, token=False).dataset_info("bob/d")


def test_what_is_not_here_cannot_be_exported(sides: Sides) -> None:
    with pytest.raises(InputError, match="no dataset of this name"):
        sides.export("one", (Wanted(kind="dataset", full_name="alice/none"),))
    with pytest.raises(InputError, match="no branch or tag"):
        sides.export("two", (Wanted(kind="model", full_name="alice/m", revisions=("none",)),))
    (sides.folder / "there").write_bytes(b"mine")
    with pytest.raises(InputError, match="something of this name"):
        sides.export("there")
    assert (sides.folder / "there").read_bytes() == b"mine"


def test_an_unknown_owner_is_named_with_what_to_do(sides: Sides) -> None:
    sides.near.user("carol")
    sides.api(sides.near, "carol").create_repo("carol/m")
    sides.export("one", (Wanted(kind="model", full_name="carol/m"),))
    with pytest.raises(InputError, match="neither a user nor an organisation") as refused:
        sides.import_("one")
    assert "hub org add carol" in refused.value.hint


def test_every_flipped_byte_is_found_whichever_section_it_is_in(sides: Sides) -> None:
    commit(sides.near, "alice/m", {"a.txt": b"text"}, large={"w.bin": weights(1, MIB)})
    good = sides.export("one").path.read_bytes()
    front = sides.front("one")
    places = {"magic": 3, "length": 17, "signature": 40}
    for name in SECTIONS:
        section = front.manifest.section(name)
        places[name] = front.manifest.offset_of(name, front.start) + section.size_bytes // 2
    # Last, since what comes before may be written by then.
    places["bytes"] = front.manifest.end(front.start) - 5000
    for name, at in places.items():
        (sides.folder / name).write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        with pytest.raises(VerificationError):
            sides.import_(name)
        assert counted(sides.far, ref) == 0, name
        if name in SECTIONS:
            assert counted(sides.far, git_object) == 0, name
    (sides.folder / "longer").write_bytes(good + b"x")
    with pytest.raises(BundleError, match="1 bytes follow its end"):
        sides.import_("longer")
    sides.import_("one")
    assert counted(sides.far, ref) == 1


def test_a_transfer_that_was_cut_off_is_told_with_the_byte_to_go_on_from(sides: Sides) -> None:
    commit(sides.near, "alice/m", {}, large={"w.bin": weights(1, MIB)})
    good = sides.export("one").path.read_bytes()
    for held in (5, 18, 300, len(good) // 2, len(good) - 1):
        (sides.folder / "cut").write_bytes(good[:held])
        with pytest.raises(TruncatedBundleError) as told:
            sides.import_("cut")
        assert told.value.held_bytes == held
        assert f"at byte {held}" in told.value.hint
    assert told.value.total_bytes == len(good)
    with (sides.folder / "cut").open("ab") as file:
        file.write(good[told.value.held_bytes :])
    sides.import_("cut")


def test_another_key_and_no_signature_are_refused(sides: Sides) -> None:
    create_key_pair(sides.folder / "other.pem", sides.folder / "other.pub")
    made = sides.export("one")
    stranger = EcKeyVerifier.load(sides.folder / "other.pub")
    options = {"owner": None, "allow_rollback": False, "progress": Silent()}
    with pytest.raises(VerificationError, match="another key"):
        import_bundle(sides.far.hub, made.path, stranger, **options)  # type: ignore[arg-type]
    data = made.path.read_bytes()
    length = int.from_bytes(data[16:20], "little")
    envelope = json.loads(data[20 : 20 + length])
    envelope["dsseEnvelope"]["signatures"] = []
    unsigned = json.dumps(envelope).encode()
    (sides.folder / "unsigned").write_bytes(
        data[:16] + len(unsigned).to_bytes(4, "little") + unsigned + data[20 + length :]
    )
    with pytest.raises(VerificationError, match="signatures"):
        sides.import_("unsigned")
    assert counted(sides.far, ref) == 0


def test_an_older_bundle_moves_nothing_back_unless_that_is_allowed(sides: Sides) -> None:
    commit(sides.near, "alice/m", {"a.txt": b"1"})
    sides.export("old")
    old = heads(sides.api(sides.near))
    commit(sides.near, "alice/m", {"a.txt": b"2"})
    time.sleep(0.002)
    sides.export("new")
    sides.import_("new")
    kept = sides.import_("old")
    assert changes(kept) == {"refs/heads/main": Change.BEHIND}
    assert heads(sides.api(sides.far)) == heads(sides.api(sides.near))
    assert changes(sides.import_("old", allow_rollback=True)) == {"refs/heads/main": Change.FORCED}
    assert heads(sides.api(sides.far)) == old


def test_a_squashed_history_is_followed_by_a_newer_bundle_and_undone_by_no_older_one(sides: Sides) -> None:
    commit(sides.near, "alice/m", {"a.txt": b"1"})
    sides.export("old")
    sides.import_("old")
    sides.api(sides.near).super_squash_history("alice/m")
    time.sleep(0.002)
    sides.export("new")
    assert changes(sides.import_("new")) == {"refs/heads/main": Change.FOLLOWED}
    assert changes(sides.import_("old")) == {"refs/heads/main": Change.DIVERGED}
    assert heads(sides.api(sides.far)) == heads(sides.api(sides.near))


def test_a_bundle_for_another_hub_is_refused_and_nothing_is_visible(sides: Sides, tmp_path: Path) -> None:
    commit(sides.near, "alice/m", {}, large={"w.bin": weights(1, MIB)})
    sides.export("one")
    sides.import_("one")
    commit(sides.near, "alice/m", {}, large={"x.bin": weights(1, MIB) + b"more"})
    sides.export("two", lacking=sides.inventory())
    with running_hub(tmp_path / "third") as third:
        third.user("alice")
        with pytest.raises(BundleError, match="neither here nor in the bundle"):
            import_bundle(
                third.hub, sides.folder / "two", sides.verifier, owner=None, allow_rollback=False, progress=Silent()
            )
        assert counted(third, ref) == 0


def test_a_damaged_inventory_is_refused(sides: Sides) -> None:
    commit(sides.near, "alice/m", {}, large={"w.bin": weights(1, MIB)})
    sides.export("zero")
    sides.import_("zero")
    data = sides.inventory().read_bytes()
    (sides.folder / "inventory").write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    with pytest.raises(InventoryError):
        sides.export("one", lacking=sides.folder / "inventory")


def test_a_file_that_was_deleted_for_good_does_not_stop_a_move(sides: Sides) -> None:
    big = weights(1, MIB)
    commit(sides.near, "alice/m", {}, large={"w.bin": big})
    with sides.near.hub.database.write() as connection:
        disown(connection, 1, (hashlib.sha256(big).hexdigest(),))
    sides.export("one")
    sides.import_("one")
    assert heads(sides.api(sides.far)) == heads(sides.api(sides.near))


def test_two_imports_at_once_leave_one_sound_repository(database: str, sides: Sides, tmp_path: Path) -> None:
    big = weights(1, 8 * MIB)
    commit(sides.near, "alice/m", {"a.txt": b"1"}, large={"w.bin": big})
    sides.export("one")
    failures: list[HubError] = []

    def once() -> None:
        try:
            sides.import_("one")
        except HubError as error:
            failures.append(error)

    threads = [threading.Thread(target=once) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert counted(sides.far, content) == 1
    assert downloaded(sides.api(sides.far), tmp_path / "got") == big
    assert heads(sides.api(sides.far)) == heads(sides.api(sides.near))
    with sides.far.hub.database.read() as connection:
        keys = set(connection.execute(select(xorb.c.key)).scalars())
    assert {item.key for item in sides.far.hub.store.list("xorbs")} == keys


def killed(verb: str, folder: Path, file: Path, key: Path, after_seconds: float) -> bool:
    """Run the child, kill it after a while, and return whether it had not ended by itself."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CHILD), verb, str(folder), str(file), str(key)]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    time.sleep(after_seconds)
    running = child.poll() is None
    child.kill()
    child.wait()
    child.stdout.close()
    return running


def test_a_killed_export_goes_on_and_makes_the_same_bytes(sides: Sides) -> None:
    commit(sides.near, "alice/m", {}, large={"w.bin": weights(1, 48 * MIB)})
    partial = sides.folder / f"one{PARTIAL}"
    for _ in range(2):
        if not killed("export", sides.folder / "near", sides.folder / "one", sides.folder / "key.pem", 0.12):
            break
    if (sides.folder / "one").exists():
        shutil.move(sides.folder / "one", partial)
    # However far it came: cut in the midst of a xorb, with bytes behind that were never written.
    data = partial.read_bytes() if partial.exists() else b""
    keep = max(len(data) * 2 // 3, 0)
    partial.write_bytes(data[:keep] + bytes(5000))
    done = sides.export("one")
    assert not partial.exists()
    if keep > 40 * MIB / 2:
        assert done.kept_bytes > 10 * MIB
    sides.import_("one")
    assert heads(sides.api(sides.far)) == heads(sides.api(sides.near))


def test_a_resumed_export_is_byte_for_byte_the_one_that_was_not_cut_off(sides: Sides) -> None:
    commit(sides.near, "alice/m", {"a.txt": b"text"}, large={"w.bin": weights(1, 40 * MIB)})
    whole = sides.export("one").path.read_bytes()
    partial = sides.folder / f"one{PARTIAL}"
    (sides.folder / "one").unlink()
    for held, kept in ((len(whole) - 1, 30 * MIB), (22 * MIB, 15 * MIB), (100, 0)):
        partial.write_bytes(whole[:held])
        done = sides.export("one")
        assert done.kept_bytes >= kept
        assert done.path.read_bytes() == whole if held > 3000 else done.size_bytes
        done.path.unlink()
    damaged = bytearray(whole[: 30 * MIB])
    damaged[20 * MIB] ^= 1
    partial.write_bytes(damaged)
    assert sides.export("one").path.read_bytes() == whole


def test_an_export_that_another_process_writes_is_left_alone(sides: Sides) -> None:
    import fcntl

    with (sides.folder / f"one{PARTIAL}").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(HubError, match="another export"):
            sides.export("one")


def test_a_killed_import_shows_nothing_and_goes_on(sides: Sides, tmp_path: Path) -> None:
    big = weights(1, 64 * MIB)
    commit(sides.near, "alice/m", {"a.txt": b"1"}, large={"w.bin": big})
    sides.export("one")
    was_killed = 0
    for seconds in (0.05, 0.25):
        if counted(sides.far, ref) == 0:
            was_killed += killed(
                "import", sides.folder / "far", sides.folder / "one", sides.folder / "key.pub", seconds
            )
            if counted(sides.far, ref):
                assert downloaded(sides.api(sides.far), tmp_path / "early") == big
    assert was_killed
    sides.import_("one")
    assert downloaded(sides.api(sides.far), tmp_path / "got") == big
    assert heads(sides.api(sides.far)) == heads(sides.api(sides.near))


def test_the_commands_carry_a_repository_over(sides: Sides) -> None:
    commit(sides.near, "alice/m", {"a.txt": b"1"}, large={"w.bin": weights(1, MIB)})

    def hub(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "weighbridge", "hub", *words, "--json"]
        done = subprocess.run(command, cwd=sides.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made: dict[str, object] = json.loads(done.stdout)
        return made

    hub("inventory", "inv", "--folder", "far")
    words = ("--repo", "model:alice/m@main", "--lacking", "inv", "--key", "key.pem", "--folder", "near")
    assert hub("export", "one", *words)["repositories"] == ["model:alice/m"]
    told = hub("import", "one", "--trust", "key.pub", "--folder", "far")
    assert told["repositories"][0]["refs"][0]["change"] == "new"  # type: ignore[index]
    assert heads(sides.api(sides.far)) == heads(sides.api(sides.near))
