"""A user's computer: a real `weighbridge hub serve` to talk to, and a home folder for the `hf` command."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hub_process import HubProcess, serving
from huggingface_hub import HfApi, constants, hf_api

HF = str(Path(sys.executable).with_name("hf"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One user at one hub.

    Attributes:
        hub: the server process.
        folder: of everything that clients keep.
        token: of the user alice, who may write.
    """

    hub: HubProcess
    folder: Path
    token: str

    @property
    def api(self) -> HfApi:
        """The client of alice."""
        return HfApi(endpoint=self.hub.endpoint, token=self.token)

    def environ(self, *, token: str | None = None) -> dict[str, str]:
        """Return the environment of a command: nothing of whoever runs the tests is in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGINGFACE"))}
        return {
            **kept,
            "HOME": str(self.folder),
            "HF_HOME": str(self.folder / "huggingface"),
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_TOKEN": self.token if token is None else token,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_COLOR": "1",
            "OMP_NUM_THREADS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "COLUMNS": "400",
        }

    def hf(self, *words: str | Path, token: str | None = None, fails: bool = False, stdin: str = "") -> str:
        """Run the `hf` command, and return what it printed on both outputs."""
        done = subprocess.run(
            [HF, *map(str, words)],
            env=self.environ(token=token),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=self.folder,
        )
        said = re.sub("\x1b\\[[0-9;]*m", "", done.stdout + done.stderr)
        assert (done.returncode != 0) == fails, (words, done.returncode, said[-3000:])
        assert "Traceback" not in said, said[-3000:]
        return said

    def hf_json(self, *words: str | Path) -> Any:
        """Run the `hf` command, and return the JSON that it printed on standard output."""
        done = subprocess.run(
            [HF, *map(str, words), "--json"],
            env=self.environ(),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            cwd=self.folder,
        )
        return json.loads(done.stdout)

    def received_bytes(self) -> float:
        """Return the bytes of request bodies that the server has been sent since its start."""
        told = httpx2.get(f"{self.hub.endpoint}/metrics").text
        found = re.search(r"^weighbridge_hub_received_bytes_total (\S+)$", told, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def requests(self) -> list[dict[str, Any]]:
        """Return what the server has logged of its requests."""
        lines = self.hub.log.read_text().splitlines()
        return [told for line in lines if line.startswith("{") and "path" in (told := json.loads(line))]

    def point_library_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Do what `HF_ENDPOINT`, `HF_HOME` and `HF_TOKEN` do, for a library that is imported already."""
        monkeypatch.setattr(constants, "ENDPOINT", self.hub.endpoint)
        address = self.hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(hf_api.api, "endpoint", self.hub.endpoint)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(self.folder / "cache"))
        monkeypatch.setenv("HF_TOKEN", self.token)


@contextmanager
def a_home(folder: Path) -> Iterator[Home]:
    """Serve a hub with the users alice and bob until the block ends; it must not have logged an error by then."""
    with serving(HubProcess(folder=folder / "hub")) as hub:
        hub.told("user", "add", "alice")
        token = hub.told("token", "add", "alice", "--role", "write")["token"]
        home = folder / "home"
        home.mkdir()
        yield Home(hub=hub, folder=home, token=token)
        assert hub.trouble() == []


def of_bob(home: Home) -> HfApi:
    """Return the client of another user, who is made by this."""
    home.hub.told("user", "add", "bob")
    return HfApi(endpoint=home.hub.endpoint, token=home.hub.told("token", "add", "bob", "--role", "write")["token"])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a folder of a model, with a card, a file that goes by Xet and a folder."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: mit\npipeline_tag: text-generation\n---\n# A model\n")
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "notes.txt").write_text("hello\n")
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 800)
    return folder


def push(api: HfApi, repo: str, folder: Path, *, private: bool = False) -> str:
    """Make a repository of what lies in a folder, and return its commit."""
    api.create_repo(repo, private=private)
    return str(api.upload_folder(repo_id=repo, folder_path=folder).oid)
