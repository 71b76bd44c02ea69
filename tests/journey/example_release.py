"""The example, released once for all journey tests: killed twice on the way, and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "smollm2"
KILLED_AFTER_S = (6.0, 14.0)


@dataclass(frozen=True)
class Released:
    """The example after `weighbridge demo`."""

    example: Path
    hub: Path
    key: Path
    environment: Mapping[str, str]
    outcome: Mapping[str, Any]

    def weighbridge(self, *arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """Run the command line as a user would."""
        command = [sys.executable, "-m", "weighbridge", *map(str, arguments)]
        return subprocess.run(
            command, env=dict(self.environment), cwd=cwd, capture_output=True, text=True, timeout=600, check=False
        )


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return the released example, in a folder of its own, with a signing key of its own."""
    folder = tmp_path_factory.mktemp("journey")
    example = folder / "examples" / "smollm2"
    ignored = shutil.ignore_patterns("checkpoints", ".weighbridge", "hub", "download", "__pycache__")
    shutil.copytree(EXAMPLE, example, ignore=ignored)
    # The download is pinned by hash and shared with `make demo`, so that it happens once.
    (EXAMPLE / "download").mkdir(exist_ok=True)
    (example / "download").symlink_to(EXAMPLE / "download", target_is_directory=True)
    environment = {**os.environ, "WEIGHBRIDGE_HOME": str(folder / "home"), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "weighbridge", "demo", "--json", "--example", str(example)]
    for seconds in KILLED_AFTER_S:
        _kill_after(command, environment, seconds)
        assert not (example / "hub" / "current").exists(), "nothing is published before everything is decided"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    return Released(
        example=example,
        hub=example / "hub",
        key=folder / "home" / "release.pub",
        environment=environment,
        outcome=outcome,
    )


def _kill_after(command: list[str], environment: Mapping[str, str], seconds: float) -> None:
    child = subprocess.Popen(
        command, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
