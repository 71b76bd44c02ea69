"""`weighbridge evaluate` on real models: compares, resumes, refuses, and leaves no process behind."""

import argparse
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from task_bench import plain
from tiny import TinyModel

from weighbridge.errors import InputError
from weighbridge.shell.cli import evaluate

pytest.importorskip("torch")
pytest.importorskip("lm_eval")


def evaluated(*arguments: object) -> tuple[int, dict[str, Any]]:
    """Run the verb as a command, and return its exit code and document."""
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    parser.add_argument("--json", action="store_true")
    with redirect_stdout(io.StringIO()) as out:
        code = evaluate.run(parser.parse_args([*map(str, arguments), "--json", "--threads", "1"]))
    return code, json.loads(out.getvalue())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weighbridge" / "evaluated"


def two_files(tiny: TinyModel, root: Path) -> tuple[Path, Path]:
    """Return two GGUF files of the same bytes, in folders of their own."""
    paths = []
    for name in ("one", "two"):
        (root / name).mkdir()
        shutil.copy(tiny.gguf, root / name / f"{name}.gguf")
        paths.append(root / name / f"{name}.gguf")
    return paths[0], paths[1]


def test_the_verb_compares_models_and_keeps_their_answers(tiny_model: TinyModel, tmp_path: Path, cache: Path) -> None:
    one, two = two_files(tiny_model, tmp_path)
    tasks = ["--task", plain(tmp_path, 20), "--limit", 12, "--samples", tmp_path / "samples"]

    code, found = evaluated(one, "--versus", two, *tasks)

    assert code == 0
    assert [model["model"] for model in found["models"]] == [str(two), str(one)]
    measures = {(m["measure"], m["comparison"]): m for m in found["models"][1]["measurements"]}
    assert measures[("accuracy.plain", "absolute")]["n"] == 12
    assert "Clopper" in measures[("accuracy.plain", "absolute")]["interval"]["method"]
    assert measures[("flip_rate.plain", "absolute")]["value"] == 0
    assert len((tmp_path / "samples" / "2-one.gguf" / "plain.jsonl").read_bytes().splitlines()) == 12
    before = {path: path.read_bytes() for path in cache.glob("answers-*")}
    assert before
    assert evaluated(one, "--versus", two, *tasks) == (code, found)
    assert {path: path.read_bytes() for path in cache.glob("answers-*")} == before


def test_the_verb_goes_on_where_a_task_cannot_be_asked_and_says_so(
    tiny_model: TinyModel, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "yard " * 4000, "choices": ["a", "b"], "answer": 0}))

    code, found = evaluated(tiny_model.gguf, "--task", tmp_path / "long.jsonl", "--task", plain(tmp_path, 5))

    assert code == 2
    (model,) = found["models"]
    assert {m["measure"] for m in model["measurements"]} == {"accuracy.plain", "accuracy_normalised.plain"}
    assert "long: " in model["problems"][0]
    assert "not measured" in capsys.readouterr().err


def test_the_verb_measures_size_memory_and_speed(tiny_model: TinyModel, cache: Path) -> None:
    code, found = evaluated(tiny_model.gguf, "--resources")
    assert code == 0
    units = {m["measure"]: m["unit"] for m in found["models"][0]["measurements"]}
    assert {"byte", "token/s"} == set(units.values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "nothing to ask"),
        (["nowhere", "--resources"], "no such model"),
        (["http://127.0.0.1:1/v1", "--resources"], "name is missing"),
        (["x", "--task", "nowhere.jsonl"], "nowhere.jsonl"),
        (["x", "--task", "a.jsonl", "--task", "A.jsonl"], "a second task"),
        (["x", "--resources", "--limit", "0"], "at least 1"),
    ],
)
def test_the_verb_refuses_what_it_cannot_ask(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "A"):
        plain(tmp_path, 2, name)
    with pytest.raises(InputError) as caught:
        evaluated(*arguments)
    assert says in f"{caught.value}"


class Serves(BaseHTTPRequestHandler):
    """A server that writes the same to every prompt, and has no likelihoods."""

    def do_GET(self) -> None:
        self._answer({"data": [{"id": "osprey", "owned_by": "tests"}]})

    def do_POST(self) -> None:
        json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(
            {"choices": [{"text": " 4", "index": 0, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
        )

    def _answer(self, document: object) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_verb_asks_what_is_served_already_and_keeps_no_answers_of_it(tmp_path: Path, cache: Path) -> None:
    lines = [{"prompt": f"{n} + {n} =", "answer": str(2 * n)} for n in range(1, 5)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Serves)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/v1#osprey"
        code, found = evaluated(address, "--task", tmp_path / "sums.jsonl", "--task", plain(tmp_path, 3))
    finally:
        server.shutdown()
        server.server_close()

    (model,) = found["models"]
    values = {m["measure"]: m["value"] for m in model["measurements"]}
    assert values == {"exact_match.sums": 0.25, "contains.sums": 0.25}
    assert code == 2
    assert model["problems"][0].startswith("plain: "), "this server tells no likelihoods"
    assert model["digest"] == address
    assert not list(cache.glob("answers-*"))


def test_an_interrupted_evaluation_leaves_no_process_behind(tiny_model: TinyModel, tmp_path: Path) -> None:
    plain(tmp_path, 3000)
    script = (
        "import argparse; from weighbridge.shell.cli import evaluate as e; p = argparse.ArgumentParser();"
        "e.add_arguments(p); p.add_argument('--json', action='store_true'); e.run(p.parse_args())"
    )
    command = [sys.executable, "-c", script, str(tiny_model.gguf), "--task", "plain.jsonl", "--threads", "1"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    child = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.DEVNULL,
        text=True,
        # A suite that runs in the background has SIGINT ignored, and its children would have, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cache/weighbridge/evaluated/answers-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    mine = children(child.pid)
    child.send_signal(signal.SIGINT)
    assert child.wait(20) != 0
    assert mine, "the engine has a process of its own"
    time.sleep(0.2)
    assert [pid for pid in mine if Path(f"/proc/{pid}").exists()] == []


def children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(status.parent.name))
    return found
