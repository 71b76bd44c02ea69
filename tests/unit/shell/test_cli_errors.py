"""Whatever is wrong, the command line says so in words, in JSON where asked, and with the right exit code."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from weighbridge.checkpoint.write import SafetensorsWriter
from weighbridge.shell.cli import main
from weighbridge.shell.cli.main import VERBS
from weighbridge.shell.home import load_signer
from weighbridge.shell.signing import EcKeySigner, EcKeyVerifier, create_key_pair
from weighbridge.shell.wiring import publisher

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def model(folder: Path, name: str = "a.weight") -> Path:
    folder.mkdir(parents=True)
    with SafetensorsWriter(folder / "model.safetensors", [(name, "F32", (2,))], {}) as writer:
        writer.write(name, [bytes(8)])
        writer.close()
    return folder


NEEDED = {"verify": ["--key", "none.pub"], "demo": ["--example", "nowhere"]}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_answers_a_wrong_path_in_json(verb: str, run: Run) -> None:
    path = [] if verb == "demo" else ["no/such"]
    code, out, err = run(verb, *path, *NEEDED.get(verb, []), "--json")
    document = json.loads(out)
    # A hub that is not there says nothing about anybody, which is an answer of its own.
    assert code == (3 if verb == "status" else 2)
    assert document.get("hint") or document["problems"][0]["hint"]
    assert "Traceback" not in err


def test_who_has_no_key_is_told_which_one_to_take(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    code, _, err = run("run", model(tmp_path / "m"))
    assert (code, "no signing key of your own" in err, "--key" in err) == (2, True, True), err
    code, _, err = run("publish", tmp_path / "hub", "--hub", "http://127.0.0.1:9")
    assert (code, "no signing key of your own" in err, "WEIGHBRIDGE_HOME" in err) == (2, True, True), err


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("wrong", [["--nope"], ["--threads", "0"], ["--threads", "-1"], ["--threads", "9" * 30]])
def test_every_verb_answers_a_wrong_argument_in_json(verb: str, wrong: list[str], run: Run) -> None:
    if verb == "init" and wrong[0] == "--threads":
        return
    path = [] if verb == "demo" else ["no/such"]
    code, out, err = run(verb, *path, *NEEDED.get(verb, []), *wrong, "--json")
    document = json.loads(out)
    assert code == 2
    assert document["error"] == "UsageError"
    assert f"weighbridge {verb} --help" in document["hint"] or "weighbridge --help" in document["hint"]
    assert err.startswith("error: ")


def test_an_unknown_verb_is_answered_in_json(run: Run) -> None:
    code, out, _ = run("frobnicate", "--json")
    assert code == 2
    assert "frobnicate" in json.loads(out)["message"]


def test_show_prints_a_sound_checkpoint_for_people_with_its_whole_digest(tmp_path: Path, run: Run) -> None:
    folder = model(tmp_path / "m")
    digest = json.loads(run("show", folder, "--json")[1])["digest"]
    code, out, _ = run("show", folder, "--tensors")
    assert code == 0
    assert digest in out
    assert "F32 2" in out
    assert out.endswith("sound\n")


def test_show_says_what_to_do_next(tmp_path: Path, run: Run) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"PK\x03\x04rest")
    code, out, _ = run("show", tmp_path / "m")
    assert code == 2
    assert "problem: pytorch_model.bin" in out
    assert "next: Pickle files run code" in out


@pytest.mark.parametrize("name", ["[/b]", "[red]x[bold", "🦉'\"", "tail\\", "%s{x}"])
def test_names_are_shown_as_they_are_and_never_as_markup(tmp_path: Path, run: Run, name: str) -> None:
    code, out, _ = run("show", model(tmp_path / name, name), "--tensors")
    assert code == 0
    assert out.count(name) == 2


def test_a_file_whose_name_is_no_text_is_reported_on_any_terminal(tmp_path: Path, run: Run) -> None:
    folder = model(tmp_path / "m")
    with open(os.fsencode(folder) + b"/\xff.txt", "w"):  # noqa: PTH123  # such a name is bytes
        pass
    code, out, _ = run("show", folder)
    assert code == 2
    assert r"\udcff.txt" in out
    assert f"problem: {folder}" in out


def test_paths_that_no_room_expects_are_answered(run: Run) -> None:
    code, _, err = run("run", "a" * 300)
    assert code in (1, 2)
    assert "File name too long" in err
    assert "next:" in err


@pytest.mark.parametrize("verb", ["show", "init"])
def test_output_that_nobody_reads_is_no_error_message(tmp_path: Path, verb: str) -> None:
    folder = model(tmp_path / "m")
    command = [sys.executable, "-m", "weighbridge", verb, str(folder), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert "Traceback" not in err
    assert "Exception" not in err


def test_a_full_standard_output_is_an_error(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "weighbridge", "show", str(model(tmp_path / "m"))]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_init_refuses_to_write_the_plan_into_the_model(tmp_path: Path, run: Run) -> None:
    folder = model(tmp_path / "m")
    code, _, err = run("init", folder, "--out", folder / "release.yaml")
    assert code == 2
    assert "--out ../release.yaml" in err
    assert not (folder / "release.yaml").exists()


def test_run_of_a_name_that_the_hub_lacks_is_unusable_input(run: Run) -> None:
    code, _, err = run("run", "acme/osprey", "--hub", "nowhere")
    assert code == 2
    assert "acme/osprey" in err


def test_a_public_key_of_somebody_else_beside_the_private_one_is_noticed(tmp_path: Path) -> None:
    from weighbridge.errors import InputError

    create_key_pair(tmp_path / "mine.pem", tmp_path / "mine.pub")
    create_key_pair(tmp_path / "theirs.pem", tmp_path / "theirs.pub")
    (tmp_path / "theirs.pub").replace(tmp_path / "mine.pub")
    with pytest.raises(InputError, match="not the public half"):
        publisher(None, tmp_path / "mine.pem")
    (tmp_path / "mine.pub").unlink()
    made = publisher(None, tmp_path / "mine.pem")
    assert made.public_key is not None
    assert isinstance(made.signer, EcKeySigner)
    assert EcKeyVerifier.load(made.public_key).public_key_pem == made.signer.public_key_pem


def test_two_first_uses_at_once_agree_on_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = create_key_pair(tmp_path / "home" / "release.key", tmp_path / "home" / "release.pub")
    # As this process saw it a moment ago: no key yet.
    seen = iter([False])
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: next(seen, exists(path)))
    signer, written = load_signer(None)
    assert signer.public_key_pem == theirs.public_key_pem
    assert written is None
