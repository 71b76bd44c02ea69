"""A release goes to a running hub by its address, through the public API, and adopters read it back by reference."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import RepositoryNotFoundError
from running_hub import RunningHub, running_hub
from small_release import SECRETS, write_release
from sqlalchemy import func, select

from weighbridge.hub.database.schema import xorb
from weighbridge.hub.state import attestation_path
from weighbridge.shell.cli import main

USE = """\
purpose: drafts for our own staff
commercial: true
fields: []
monthly_users: 1000
annual_revenue_usd: 2000000
seat: IE
territories: [IE]
fine_tune: false
distil: false
host: true
redistribute: false
name_as: desk
"""

VERSIONS = ("acme/osprey", "acme/osprey-half")

Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True, kw_only=True)
class World:
    root: Path
    hub: RunningHub
    plan: Path
    token: str

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.hub.endpoint, token=self.token)

    @property
    def anyone(self) -> HfApi:
        return HfApi(endpoint=self.hub.endpoint, token=False)

    @property
    def key(self) -> Path:
        return self.root / "home" / "release.pub"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with running_hub(tmp_path / "server") as hub:
        token = hub.user("mira")
        hub.org("acme", mira="admin")
        monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_TOKEN", token)
        monkeypatch.chdir(tmp_path)
        before = signal.getsignal(signal.SIGTERM)
        yield World(root=tmp_path, hub=hub, plan=write_release(tmp_path / "release"), token=token)
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_a_release_to_an_address_is_there_for_everyone_with_its_signed_statements(world: World, run: Run) -> None:
    code, out, err = run("release", world.plan, "--hub", world.hub.endpoint)
    assert code == 0, err
    assert f"{world.hub.endpoint}/acme/osprey-half" in out
    assert not (world.plan.parent / "hub").exists()
    for name in VERSIONS:
        info = world.anyone.model_info(name, files_metadata=True)
        assert (info.private, info.gated) == (False, False)
        (tag,) = world.anyone.list_repo_refs(name).tags
        assert tag.target_commit == info.sha
    statements = set(world.anyone.list_repo_files("acme/weighbridge", repo_type="dataset"))
    assert {"catalogue.json", "index.html", "metadata/timestamp.json", "status/acme/osprey/status.json"} <= statements
    assert attestation_path("acme/osprey") in statements
    card = world.anyone.hf_hub_download("acme/weighbridge", "index.html", repo_type="dataset")
    assert f'href="{world.hub.endpoint}/acme/osprey/resolve/main/README.md"' in Path(card).read_text()
    everything = b"".join(path.read_bytes() for path in downloaded(world, "acme/osprey").rglob("*") if path.is_file())
    assert not [secret for secret in SECRETS if secret in everything]


def downloaded(world: World, name: str, *more: str) -> Path:
    """Download with the client's own unmodified command; return the folder."""
    folder = world.root / "downloaded" / name
    hf(world, "download", name, "--local-dir", str(folder), *more)
    return folder


def hf(world: World, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("hf")), *arguments]
    environment = {**os.environ, "HF_ENDPOINT": world.hub.endpoint, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment.pop("HF_TOKEN", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def stored_bytes(world: World) -> int:
    with world.hub.hub.database.read() as connection:
        return int(connection.execute(select(func.coalesce(func.sum(xorb.c.size_bytes), 0))).scalar_one())


def edit(plan: Path, old: str, new: str) -> None:
    text = plan.read_text()
    assert old in text
    plan.write_text(text.replace(old, new))


def as_adopter(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Forget who published; return the options that say whom to trust, for verbs that ask for the standing, too."""
    key, root = world.root / "their.pub", world.root / "their-root.json"
    key.write_bytes(world.key.read_bytes())
    api = world.anyone
    root.write_bytes(
        Path(api.hf_hub_download("acme/weighbridge", "metadata/root.json", repo_type="dataset")).read_bytes()
    )
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(world.root / "adopter"))
    monkeypatch.delenv("HF_TOKEN")
    return ("--hub", world.hub.endpoint, "--root", str(root), "--key", str(key))


def test_an_adopter_verifies_and_shows_a_version_by_its_reference(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    digest = world.anyone.list_repo_refs("acme/osprey").tags[0].name
    trust = as_adopter(world, monkeypatch)
    kept = world.root / "kept"
    code, out, err = run("verify", "acme/osprey", *trust, "--to", kept, "--json")
    assert code == 0, err
    assert json.loads(out)["digest"] == json.loads(run("verify", kept, *trust[-2:], "--json")[1])["digest"]
    assert "not known" not in err
    assert run("verify", f"acme/osprey@{digest}", *trust)[0] == 0
    code, out, err = run("status", "acme/osprey", *trust[:2], "--json")
    assert (code, json.loads(out)["status"]["digest"]) == (0, digest)
    code, out, err = run("show", "acme/osprey", *trust[:2], "--json")
    assert (code, json.loads(out)["sound"]) == (0, True), err
    code, _, err = run("run", "acme/osprey", *trust)
    assert (code, "no GGUF file" in err) == (2, True), err


def test_an_adopter_checks_a_version_by_its_reference(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    trust = as_adopter(world, monkeypatch)
    use = world.root / "use.yaml"
    use.write_text(USE)
    code, out, err = run("check", "acme/osprey", "--use", use, *trust, "--json")
    assert code in (0, 1, 3), err
    answers = json.dumps(json.loads(out))
    assert "is there but not signed" not in answers
    assert "expires first" in answers


def test_what_the_clients_own_command_downloads_can_be_verified(world: World, run: Run) -> None:
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    folder = downloaded(world, "acme/osprey")
    assert run("verify", folder, "--key", world.key)[0] == 0
    hf(world, "download", "acme/osprey-half", "--cache-dir", str(world.root / "own"))
    (cached,) = (world.root / "own" / "models--acme--osprey-half" / "snapshots").iterdir()
    code, _, err = run("verify", cached, "--key", world.key)
    assert code == 0, err
    (folder / "extra.py").write_text("print()")
    code, out, _ = run("verify", folder, "--key", world.key)
    assert (code, "extra: extra.py" in out) == (1, True)


def test_a_second_release_sends_only_what_changed(world: World, run: Run) -> None:
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    heads, sent = [world.api.model_info(name).sha for name in VERSIONS], stored_bytes(world)
    assert sent > 0
    state = world.api.dataset_info("acme/weighbridge").sha
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    assert [world.api.model_info(name).sha for name in VERSIONS] == heads
    assert world.api.dataset_info("acme/weighbridge").sha == state
    edit(world.plan, "title: Osprey", "title: Osprey the second")
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    assert stored_bytes(world) == sent
    for name, head in zip(VERSIONS, heads, strict=True):
        tags = world.api.list_repo_refs(name).tags
        assert {tag.target_commit for tag in tags} == {head, world.api.model_info(name).sha}
        assert len(world.api.list_repo_commits(name)) == 3
    code, _, err = run("verify", f"acme/osprey@{heads[0]}", "--hub", world.hub.endpoint, "--key", world.key)
    assert code == 0, err


def test_a_run_that_is_killed_shows_nothing_half_done_and_goes_on(world: World, run: Run) -> None:
    def made(name: str) -> bool:
        return world.api.repo_exists(name)

    points: tuple[Callable[[], bool], ...] = (
        lambda: made("acme/osprey"),
        lambda: made("acme/osprey-half") and bool(world.api.list_repo_refs("acme/osprey").tags),
        lambda: world.api.repo_exists("acme/weighbridge", repo_type="dataset"),
    )
    command = [sys.executable, "-m", "weighbridge", "release", str(world.plan), "--hub", world.hub.endpoint]
    for reached in points:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while not reached() and child.poll() is None:
            assert time.monotonic() < deadline
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for name in VERSIONS:
            try:
                world.anyone.model_info(name)
            except RepositoryNotFoundError:
                continue
            assert run("status", name, "--hub", world.hub.endpoint)[0] == 0, "what is visible has its status"
            assert run("verify", name, "--hub", world.hub.endpoint, "--key", world.key)[0] == 0
    code, _, err = run("release", world.plan, "--hub", world.hub.endpoint)
    assert code == 0, err
    for name in VERSIONS:
        assert run("verify", name, "--hub", world.hub.endpoint, "--key", world.key)[0] == 0
        assert len(world.anyone.list_repo_commits(name)) <= 3


def test_a_recall_is_signed_shown_on_the_card_and_hands_out_nothing_new(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    reason = ("--reason", "It repeats a private address.", "--successor", "acme/osprey-half")
    code, out, err = run("recall", "acme/osprey", "--hub", world.hub.endpoint, *reason)
    assert code == 0, err
    info = world.anyone.model_info("acme/osprey")
    assert (info.private, info.gated) == (False, "manual")
    card = Path(world.api.hf_hub_download("acme/osprey", "README.md")).read_text()
    assert card.startswith("---\n")
    assert "This version is recalled" in card
    assert run("recall", "acme/osprey", "--hub", world.hub.endpoint, *reason)[0] == 0
    assert len(world.api.list_repo_commits("acme/osprey")) == 3
    code, _, err = run("release", world.plan, "--hub", world.hub.endpoint)
    assert (code, "recall is final" in err) == (1, True), err
    trust = as_adopter(world, monkeypatch)
    code, out, _ = run("status", "acme/osprey", *trust[:4])
    assert (code, "recalled" in out) == (1, True)
    for verb in ("verify", "run"):
        code, _, err = run(verb, "acme/osprey", *trust)
        assert (code, "Use acme/osprey-half in its place" in err) == (1, True), err
    use = world.root / "use.yaml"
    use.write_text(USE)
    for reference in ("acme/osprey", f"acme/osprey@{info.sha}"):
        code, out, err = run("check", reference, "--use", use, *trust, "--json")
        assert (code, "is recalled since" in json.loads(out)["message"]) == (1, True), err
        assert "Use acme/osprey-half in its place" in json.loads(out)["hint"]


@pytest.mark.parametrize(("stage", "private", "gated"), [("trusted", True, "manual"), ("gated", False, "auto")])
def test_who_finds_a_version_follows_from_its_stage(
    world: World, run: Run, stage: str, private: bool, gated: str
) -> None:
    edit(world.plan, "gates:\n  open:", f"stage: {stage}\ngates:\n  {stage}:")
    code, _, err = run("release", world.plan, "--hub", world.hub.endpoint)
    assert code == 0, err
    info = world.api.model_info("acme/osprey")
    assert (info.private, info.gated) == (private, gated)
    assert world.api.dataset_info("acme/weighbridge").private is private
    code, _, err = run("verify", "acme/osprey", "--hub", world.hub.endpoint, "--key", world.key)
    assert (code, bool(err)) == (1, True)
    with_token = ("--token-env", "HF_TOKEN")
    code, _, err = run("verify", "acme/osprey", "--hub", world.hub.endpoint, "--key", world.key, *with_token)
    assert code == 0, err
    code, _, err = run("status", "acme/osprey", "--hub", world.hub.endpoint, *with_token)
    assert code == 0, err


def test_a_version_moves_from_stage_to_stage(world: World, run: Run) -> None:
    edit(world.plan, "gates:\n  open:", "stage: trusted\ngates:\n  trusted:")
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    edit(world.plan, "stage: trusted\ngates:\n  trusted:", "gates:\n  open:")
    assert run("release", world.plan, "--hub", world.hub.endpoint)[0] == 0
    info = world.anyone.model_info("acme/osprey")
    assert (info.private, info.gated) == (False, False)
    assert run("verify", "acme/osprey", "--hub", world.hub.endpoint, "--key", world.key)[0] == 0


def test_a_token_that_cannot_publish_is_told_before_any_work(
    world: World, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = ("release", world.plan, "--hub", world.hub.endpoint, "--token-env", "MY_TOKEN")
    tokens = {
        "": "MY_TOKEN is not set",
        "hf_" + "x" * 37: "does not accept the token",
        world.hub.user("mira", role="read"): "may only read",
        world.hub.user("bob"): "cannot publish as acme",
    }
    for token, words in tokens.items():
        monkeypatch.setenv("MY_TOKEN", token)
        code, _, err = run(*release)
        assert (code in (1, 2), words in err, "next:" in err) == (True, True, True), err
        assert "writing BF16" not in err
        assert not token or token not in err
    assert not world.api.repo_exists("acme/osprey")


def test_addresses_that_would_give_the_token_away_are_refused(world: World, run: Run) -> None:
    for address, words in (
        ("http://hub.example.org", "not encrypted"),
        ("https://u:p@hub.example.org", "no web address"),
    ):
        code, _, err = run("release", world.plan, "--hub", address)
        assert (code, words in err) == (2, True), err
    edit(world.plan, "hub: hub", "hub: http://hub.example.org")
    code, _, err = run("release", world.plan)
    assert (code, "release.yaml:" in err, "not encrypted" in err) == (2, True, True), err


def test_a_hub_that_cannot_be_reached_is_named(world: World, run: Run) -> None:
    code, _, err = run("release", world.plan, "--hub", "http://127.0.0.1:9")
    assert (code, "cannot be reached" in err, "127.0.0.1:9" in err) == (1, True, True), err


def test_a_repository_that_holds_something_else_is_left_alone(world: World, run: Run) -> None:
    world.api.create_repo("acme/osprey")
    world.api.upload_file(path_or_fileobj=b"mine", path_in_repo="notes.txt", repo_id="acme/osprey")
    code, _, err = run("release", world.plan, "--hub", world.hub.endpoint)
    assert (code, "holds something else" in err) == (1, True), err
    assert "notes.txt" in world.anyone.list_repo_files("acme/osprey")


def test_what_a_hub_folder_holds_is_published_to_an_address(world: World, run: Run) -> None:
    assert run("publish", world.plan, "--hub", world.hub.endpoint)[0] == 2, "nothing was released yet"
    assert run("release", world.plan)[0] == 0
    folder = world.plan.parent / "hub"
    code, out, err = run("publish", folder, "--hub", world.hub.endpoint, "--only", "acme/osprey")
    assert code == 0, err
    assert run("verify", "acme/osprey", "--hub", world.hub.endpoint, "--key", world.key)[0] == 0
    assert not world.api.repo_exists("acme/osprey-half")
    code, out, err = run("publish", world.plan, "--hub", world.hub.endpoint, "--json")
    assert code == 0, err
    assert [item["name"] for item in json.loads(out)["published"]] == list(VERSIONS)
    assert "writing BF16" not in err
    assert run("status", "acme/osprey-half", "--hub", world.hub.endpoint)[0] == 0


def test_a_hub_folder_whose_bytes_were_altered_is_not_published(world: World, run: Run) -> None:
    assert run("release", world.plan)[0] == 0
    folder = world.plan.parent / "hub"
    weights = folder / "models" / "acme" / "osprey" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    code, _, err = run("publish", folder, "--hub", world.hub.endpoint)
    assert (code, "model.safetensors" in err) == (1, True), err
    assert not world.api.repo_exists("acme/osprey")
