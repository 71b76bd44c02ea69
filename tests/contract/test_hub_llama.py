"""`-hf owner/name[:quant]` of llama.cpp against `weighbridge hub serve`: what arrives, and resumed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_home import Home, a_home
from huggingface_hub import HfApi
from tiny import TinyModel, tiny_model

__all__ = ["tiny_model"]

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_model: TinyModel) -> Iterator[Home]:
    with a_home(tmp_path_factory.mktemp("llama")) as running:
        for name, private in (("open", False), ("closed", True)):
            _fill(running.api, f"alice/{name}", tiny_model.gguf, private=private)
        yield running


def test_the_quantisation_that_is_asked_for_arrives_and_answers(
    home: Home, tiny_model: TinyModel, tmp_path: Path
) -> None:
    told = _llama(home, "alice/open:F32", cache=tmp_path)
    assert Path(told["path"]).name == "tiny-F32.gguf"
    assert Path(told["path"]).read_bytes() == tiny_model.gguf.read_bytes()
    assert told["answer"]["completion_tokens"] == 4
    # The folders are those of huggingface_hub, which finds the file there.
    kept = HfApi(endpoint=home.hub.endpoint, token=False).hf_hub_download(
        "alice/open", "tiny-F32.gguf", cache_dir=tmp_path, local_files_only=True
    )
    assert Path(kept).samefile(told["path"])


def test_a_private_repository_needs_the_token(home: Home, tmp_path: Path) -> None:
    assert _llama(home, "alice/closed", cache=tmp_path) == {"path": ""}
    assert _llama(home, "alice/closed", home.token, cache=tmp_path)["answer"]["completion_tokens"] == 4


def test_a_download_that_was_cut_off_is_resumed(home: Home, tiny_model: TinyModel, tmp_path: Path) -> None:
    info = home.api.get_paths_info("alice/open", "tiny-F32.gguf")[0]
    blobs = tmp_path / "models--alice--open" / "blobs"
    blobs.mkdir(parents=True)
    whole = tiny_model.gguf.read_bytes()
    sha256 = info.lfs.sha256  # type: ignore[union-attr]
    (blobs / f"{sha256}.downloadInProgress").write_bytes(whole[:100_000])
    seen = len(home.requests())
    told = _llama(home, "alice/open:F32", cache=tmp_path)
    assert Path(told["path"]).read_bytes() == whole
    fetched = [one for one in home.requests()[seen:] if one["method"] == "GET" and "/resolve/" in one["path"]]
    assert [(one["status"], one["sent_bytes"]) for one in fetched] == [(206, len(whole) - 100_000)]


_OLDER = """
import json, os, sys
from cyllama.llama import llama_cpp
print(json.dumps(llama_cpp.get_hf_file(sys.argv[1], bearer_token=sys.argv[2])))
llama_cpp.download_model(hf_repo=sys.argv[1], bearer_token=sys.argv[2])
"""


def test_who_asks_the_hub_to_choose_the_file_is_answered(home: Home, tiny_model: TinyModel, tmp_path: Path) -> None:
    # cyllama downloads as llama.cpp did before it listed the files of a repository for itself.
    pytest.importorskip("cyllama")
    environ = {**home.environ(token=""), "LLAMA_CACHE_MODEL_ENDPOINT": home.hub.endpoint, "HOME": str(tmp_path)}
    for asked, name in (("alice/closed:F32", "tiny-F32.gguf"), ("alice/closed", "tiny-Q8_0.gguf")):
        done = subprocess.run(
            [sys.executable, "-c", _OLDER, asked, home.token],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout.splitlines()[0])["gguf_file"] == name
        assert any(path.read_bytes() == tiny_model.gguf.read_bytes() for path in tmp_path.rglob(f"*{name}"))


def _fill(api: HfApi, repo: str, gguf: Path, *, private: bool) -> None:
    api.create_repo(repo, private=private)
    for name in ("tiny-F32.gguf", "tiny-Q8_0.gguf"):
        api.upload_file(path_or_fileobj=gguf, path_in_repo=name, repo_id=repo)


def _llama(home: Home, repository: str, token: str = "", *, cache: Path) -> Any:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("llama_download.py")), repository, token],
        env={**home.environ(token=""), "LLAMA_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"path"')]
    assert lines, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(lines[-1])
