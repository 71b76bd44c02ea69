"""Documents are tests: every code block runs, and generated pages are up to date.

The blocks of one document run in order in one shell, in a folder with `examples/smollm2` as `make demo` leaves it.

* `sh`, `python`: run; must end with 0, or with N where the block's first line reads `# exits N`.
* `yaml`: a release plan, or a part of one; must be YAML, and whole plans must load.
* `json`, `toml`: must parse. `text` is output, and is not run.
* `make TARGET`: the target must exist (the suite itself is one of them).
"""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from example_release import Released

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "python", "yaml", "json", "toml", "text"}

pytestmark = pytest.mark.journey


def blocks(document: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(document.read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_block_runs(document: Path, request: pytest.FixtureRequest) -> None:
    found = blocks(document)
    assert {language for language, _ in found} <= LANGUAGES, "every block says what it is"
    for language, text in found:
        if language == "json":
            json.loads(text)
        elif language == "toml":
            tomllib.loads(text)
        elif language == "yaml":
            yaml.safe_load(text)
    script = [shell(language, text) for language, text in found if language in ("sh", "python")]
    if script:
        run("\n".join(["set -e", *script]), request.getfixturevalue("released"))


def shell(language: str, text: str) -> str:
    """Return a block as shell commands that end the script if it does not do as it should."""
    lines = [
        "make -C " + str(REPOSITORY) + " -n " + line[5:] if line.startswith("make ") else line
        for line in text.splitlines()
    ]
    body = "\n".join(lines)
    if language == "python":
        body = f"{sys.executable} - <<'END_OF_BLOCK'\n{body}\nEND_OF_BLOCK"
    expected = re.match(r"# exits (\d)", text)
    if expected is None:
        return body
    return f"set +e; ( {body}\n); code=$?; set -e; test $code = {expected.group(1)}"


def run(script: str, released: Released) -> None:
    folder = released.example.parents[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    child = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env={**released.environment, "PATH": path, "MAKEFLAGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=300)
    finally:
        if child.poll() is None or "&" in script:
            stop_group(child.pid)
    assert child.returncode == 0, output[-4000:]


def stop_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGTERM)
    except ProcessLookupError:
        return


def test_generated_reference_is_up_to_date() -> None:
    command = [sys.executable, str(REPOSITORY / "tools" / "reference.py"), "--check"]
    done = subprocess.run(command, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
