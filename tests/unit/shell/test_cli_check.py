"""`weighbridge check` as an adopter uses it: hub, folder, exit codes, and what it writes."""

import argparse
import base64
import json
import re
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "adopt"))

from check_worlds import STATEMENTS, USE, World, write_plain

from weighbridge.dossier.envelope import unseal
from weighbridge.dossier.signature import SIGNATURE_NAME
from weighbridge.dossier.vsa import PREDICATE_TYPE
from weighbridge.errors import InputError
from weighbridge.gate.stage import Stage
from weighbridge.hub.folder import LocalHub
from weighbridge.hub.recall import Notice, advisories, recall
from weighbridge.shell.cli import check
from weighbridge.shell.signing import EcKeyVerifier
from weighbridge.shell.trust.repository import signed_files

Check = Callable[..., tuple[int, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A release in its publisher's hub; whoever checks has a home of their own, and the publisher's root."""
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "adopter"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    made = World(tmp_path).released()
    (tmp_path / "root.json").write_bytes((made.hub / "current" / "metadata" / "root.json").read_bytes())
    (tmp_path / "use.yaml").write_text(USE)
    return made


@pytest.fixture
def run(world: World, capsys: pytest.CaptureFixture[str]) -> Check:
    def call(*arguments: object, use: Path | None = None) -> tuple[int, Any]:
        parser = argparse.ArgumentParser()
        check.add_arguments(parser)
        parser.add_argument("--json", action="store_true")
        given = [str(argument) for argument in arguments]
        capsys.readouterr()
        code = check.run(parser.parse_args([*given, "--use", str(use or world.root / "use.yaml")]))
        out = capsys.readouterr().out
        return code, json.loads(out) if "--json" in given else out

    return call


def in_hub(world: World) -> list[object]:
    return ["acme/osprey", "--hub", world.hub, "--key", world.key, "--root", world.root / "root.json"]


def answers(document: Any) -> dict[int, str]:
    return {item["number"]: item["outcome"] for item in document["answers"]}


def test_a_release_in_order_passes(world: World, run: Check) -> None:
    code, text = run(*in_hub(world))
    assert code == 0
    assert text.startswith("✓ PASS  acme/osprey may be taken into use as planned")
    code, document = run(*in_hub(world), "--json")
    assert (code, document["outcome"]) == (0, "pass")
    assert document["digest"] == next(iter(LocalHub(world.hub).catalogue().values())).digest
    assert len(document["answers"]) == 17


def test_the_use_file_may_name_signers_and_root(world: World, run: Check) -> None:
    use = world.root / "with-trust.yaml"
    use.write_text(USE + "trusted_signers: [{key: release.pub}]\ntrusted_root: root.json\n")
    code, document = run("osprey", "--hub", world.hub, "--json", use=use)
    assert (code, document["outcome"]) == (0, "pass")


def test_a_copy_of_the_folder_is_checked_against_the_hub(world: World, run: Check) -> None:
    code, document = run(world.folder, *in_hub(world)[1:], "--json")
    assert (code, answers(document)[3]) == (0, "pass")
    (world.folder / "config.json").write_text("{}")
    code, document = run(world.folder, *in_hub(world)[1:], "--json")
    assert code == 1
    assert (answers(document)[1], answers(document)[3]) == ("fail", "unknown")


def test_a_plain_folder_is_unknown(world: World, run: Check) -> None:
    folder = write_plain(world.root / "plain")
    code, text = run(folder)
    assert code == 3
    assert text.startswith("? UNKNOWN  Not yet")
    assert "Nobody signed these files" in text


def test_a_recall_fails_with_its_reason(world: World, run: Check) -> None:
    assert run(*in_hub(world))[0] == 0
    further = signed_files(world.home, now=datetime.now(UTC), documents=advisories())
    notice = Notice(stage=Stage.RECALLED, reason="It leaks.")
    recall(LocalHub(world.hub), "acme/osprey", notice, now=datetime.now(UTC), further=further)
    code, text = run(*in_hub(world))
    assert code == 1
    assert "This version is recalled since" in text
    assert "It leaks." in text


def test_a_hub_that_is_held_back_and_one_that_goes_back_in_time_fail(world: World, run: Check, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(world.hub, old, symlinks=True)
    hub = LocalHub(world.hub)
    further = signed_files(world.home, now=datetime.now(UTC) + timedelta(days=1), renew=True)
    hub.amend(lambda catalogue: catalogue, page=lambda _, page: page, further=further)
    assert run(*in_hub(world))[0] == 0
    shutil.rmtree(world.hub)
    shutil.copytree(old, world.hub, symlinks=True)
    code, document = run(*in_hub(world), "--json")
    assert (code, answers(document)[2], answers(document)[3]) == (1, "fail", "unknown")
    assert "goes back in time" in json.dumps(document)


def test_metadata_that_has_expired_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Check) -> None:
    late = World(tmp_path / "late", days_ago=20).released()
    root = late.hub / "current" / "metadata" / "root.json"
    code, document = run("acme/osprey", "--hub", late.hub, "--key", late.key, "--root", root, "--json")
    assert (code, answers(document)[2], answers(document)[3]) == (1, "fail", "unknown")
    assert "out of date" in json.dumps(document)


def test_a_forged_status_fails(world: World, run: Check) -> None:
    [path] = list((world.hub / "current" / "status").rglob("*status.json"))[:1]
    for path in (world.hub / "current" / "status").rglob("*.json"):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b'"active"', b'"actine"'))
    code, document = run(*in_hub(world), "--json")
    assert (code, answers(document)[2], answers(document)[3]) == (1, "fail", "unknown")


def test_without_a_root_the_hubs_word_is_unknown(world: World, run: Check) -> None:
    code, document = run(*in_hub(world)[:5], "--json")
    assert (code, answers(document)[2], answers(document)[3]) == (3, "unknown", "unknown")
    assert "--root" in json.dumps(document)


def test_the_summary_is_signed_and_says_what_was_found(world: World, run: Check, tmp_path: Path) -> None:
    path = tmp_path / "out" / "summary.json"
    assert run(*in_hub(world), "--vsa", path)[0] == 0
    verifier = EcKeyVerifier.load(tmp_path / "adopter" / "release.pub")
    statement = unseal(path.read_bytes(), verifier, predicate_type=PREDICATE_TYPE, place=str(path))
    predicate = statement["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["verifiedLevels"] == ["WEIGHBRIDGE_CHECK_PASSED"]
    assert predicate["policy"]["digest"]["sha256"]
    assert predicate["verifier"]["id"].startswith("https://weighbridge.dev/check/v1#")
    named = {subject["name"]: subject["digest"] for subject in statement["subject"]}
    assert len(named["model.safetensors"]["sha256"]) == 64
    assert {item["uri"] for item in predicate["inputAttestations"]} >= {SIGNATURE_NAME, "release.json"}
    plain = write_plain(world.root / "plain")
    run(plain, "--vsa", path)
    payload = json.loads(base64.b64decode(json.loads(path.read_bytes())["dsseEnvelope"]["payload"]))
    assert payload["predicate"]["verificationResult"] == "FAILED", "unknown has not passed"
    assert payload["predicate"]["verifiedLevels"] == ["FAILED"]


def test_the_notices_are_written_and_never_over_other_files(world: World, run: Check, tmp_path: Path) -> None:
    folder = tmp_path / "notices"
    assert run(*in_hub(world), "--notices", folder)[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["LICENSE", "NOTICE"]
    assert run(*in_hub(world), "--notices", folder)[0] == 0
    (folder / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        run(*in_hub(world), "--notices", folder)


def test_what_was_written_is_named_as_paths(world: World, run: Check, tmp_path: Path) -> None:
    _, out = run(*in_hub(world), "--notices", tmp_path / "n")
    assert f"notices: {tmp_path}/n/LICENSE, {tmp_path}/n/NOTICE\n" in out


def test_the_page_is_written(world: World, run: Check, tmp_path: Path) -> None:
    assert run(*in_hub(world), "--html", tmp_path / "report.html")[0] == 0
    html = (tmp_path / "report.html").read_text()
    assert "Take it into use" in html
    assert not re.search(r"<script|src=|href=\"http", html)


@pytest.mark.parametrize("option", ["--vsa", "--html"])
def test_nothing_but_an_earlier_output_is_written_over(world: World, run: Check, tmp_path: Path, option: str) -> None:
    folder = write_plain(tmp_path / "plain")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "use.yaml")
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html><title>Mine</title>")
    kept = {path: path.read_bytes() for path in (tmp_path / "use.yaml", folder / "config.json", world.key, mine)}
    for path in (*kept, link, Path("/dev/null"), tmp_path, folder / "new.html"):
        with pytest.raises(InputError) as caught:
            run(folder, option, path)
        assert caught.value.hint
    assert {path: path.read_bytes() for path in kept} == kept
    assert not (folder / "new.html").exists()
    assert Path("/dev/null").is_char_device()
    run(folder, option, tmp_path / "out")
    run(folder, option, tmp_path / "out")
    with pytest.raises(InputError, match="no earlier check wrote it"):
        run(folder, "--html" if option == "--vsa" else "--vsa", tmp_path / "out")


def test_notices_are_not_written_over_a_licence_of_somebody_else(world: World, run: Check, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "LICENSE").write_text("Mine.")
    with pytest.raises(InputError, match="no earlier check wrote it"):
        run(*in_hub(world), "--notices", folder)
    assert [path.name for path in folder.iterdir()] == ["LICENSE"]
    assert (folder / "LICENSE").read_text() == "Mine."


def test_our_own_sample_asks_for_a_measurement(world: World, run: Check) -> None:
    use = world.root / "sample.yaml"
    use.write_text(USE.partition("waivers:")[0] + "sample: ours.jsonl\n")
    (world.root / "ours.jsonl").write_text('{"id": "1", "text": "one"}\n{"id": "2", "text": "two"}\n')
    code, document = run(*in_hub(world), "--json", use=use)
    assert (code, answers(document)[15]) == (3, "unknown")
    assert "--measure" in json.dumps(document)
    (world.root / "ours.jsonl").write_text("{")
    _, document = run(*in_hub(world), "--json", use=use)
    assert "ours.jsonl:1" in json.dumps(document)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere/nothing"], "no folder"),
        (["acme/none", "--hub", "HUB"], "no model 'acme/none'"),
        (["acme/osprey", "--hub", "HUB", "--key", "KEY", "--identity", "a", "--issuer", "b"], "name one signer"),
        (["acme/osprey", "--hub", "HUB", "--identity", "a"], "go together"),
        (["acme/osprey", "--hub", "HUB", "--key", "USE"], "no public key"),
        (["acme/osprey", "--hub", "HUB", "--root", "USE"], "no root"),
        (["USE"], "is a file"),
    ],
)
def test_wrong_arguments_are_errors_with_a_hint(world: World, run: Check, arguments: list[str], words: str) -> None:
    known = {"HUB": world.hub, "KEY": world.key, "USE": world.root / "use.yaml"}
    with pytest.raises(InputError, match=words) as caught:
        run(*(known.get(argument, argument) for argument in arguments))
    assert caught.value.hint


def test_names_from_outside_do_not_steer_the_terminal(world: World, run: Check) -> None:
    folder = write_plain(world.root / "plain", 'license: "x\\e[31m[red]"')
    _, text = run(folder)
    assert "\x1b" not in text


def test_a_failure_prints_why_and_what_next(world: World, run: Check) -> None:
    folder = write_plain(world.root / "nc", "license: cc-by-nc-4.0")
    code, text = run(folder, "--all")
    assert code == 1
    assert "Do not take nc into use: question" in text
    assert "next: Ask the licensor" in text
    assert "cc-by-nc-4.0" in text.lower()
    assert STATEMENTS
