"""What huggingface_hub builds on commits and files, unmodified against a running hub: cards, file systems, mixins."""

import json
from pathlib import Path
from typing import Any

import pytest
from hub_and_client import BY_LFS
from huggingface_hub import (
    CommitScheduler,
    HfApi,
    HfFileSystem,
    ModelCard,
    ModelCardData,
    PyTorchModelHubMixin,
    constants,
    hf_api,
    metadata_update,
)
from running_hub import RunningHub
from safetensors.numpy import save

pytestmark = BY_LFS


@pytest.fixture(autouse=True)
def _client(monkeypatch: pytest.MonkeyPatch, hub: RunningHub, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    address = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


def test_a_card_is_pushed_loaded_and_its_metadata_updated(api: HfApi, repo: str, hub: RunningHub) -> None:
    token = hub.user("alice")
    card = ModelCard.from_template(
        ModelCardData(language="en", license="mit", library_name="transformers"), model_id="m"
    )
    card.push_to_hub(repo, token=token)
    loaded = ModelCard.load(repo, token=token, ignore_metadata_errors=False)
    assert (loaded.data.license, loaded.data.library_name) == ("mit", "transformers")
    metadata_update(repo, {"tags": ["small", "no"], "pipeline_tag": "text-generation"}, token=token)
    info = api.model_info(repo)
    assert info.pipeline_tag == "text-generation"
    assert {"small", "no"} <= set(info.tags or ())


def test_a_card_with_wrong_metadata_is_refused_before_it_is_uploaded(api: HfApi, repo: str) -> None:
    with pytest.raises(ValueError, match="license"):
        api.upload_file(path_or_fileobj=b"---\nlicense: no-such-licence\n---\n", path_in_repo="README.md", repo_id=repo)
    with pytest.raises(ValueError, match="line 4"):
        api.upload_file(path_or_fileobj=b"---\na: 1\nb: [\n---\n", path_in_repo="README.md", repo_id=repo)
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"# Only words", path_in_repo="README.md", repo_id=repo)


def test_the_file_system_reads_writes_lists_and_deletes(api: HfApi, repo: str) -> None:
    files = HfFileSystem(endpoint=api.endpoint, token=api.token, skip_instance_cache=True)
    with files.open(f"{repo}/data/a.txt", "w") as file:
        file.write("hello")
    with files.open(f"{repo}/w.bin", "wb") as file:
        file.write(bytes(range(256)) * 1000)
    files.invalidate_cache()
    assert files.read_text(f"{repo}/data/a.txt") == "hello"
    with files.open(f"{repo}/w.bin", "rb", block_size=4096) as file:
        file.seek(100_000)
        assert file.read(300) == (bytes(range(256)) * 1000)[100_000:100_300]
    assert {Path(str(path)).name for path in files.find(repo)} == {".gitattributes", "a.txt", "w.bin"}
    files.cp_file(f"{repo}/w.bin", f"{repo}/copy.bin")
    files.rm(f"{repo}/data", recursive=True)
    files.invalidate_cache()
    assert {Path(str(path)).name for path in files.ls(repo, detail=False)} == {".gitattributes", "w.bin", "copy.bin"}


def test_headers_of_safetensors_are_read_from_afar(api: HfApi, repo: str) -> None:
    import numpy as np

    shards = {f"model-{at}.safetensors": {f"w{at}": np.zeros((at + 1, 4), np.float32)} for at in range(3)}
    for name, tensors in shards.items():
        api.upload_file(path_or_fileobj=save(tensors), path_in_repo=name, repo_id=repo)
    index = {"metadata": {"total_size": 96}, "weight_map": {f"w{at}": f"model-{at}.safetensors" for at in range(3)}}
    api.upload_file(
        path_or_fileobj=json.dumps(index).encode(), path_in_repo="model.safetensors.index.json", repo_id=repo
    )
    one_by_one = api.get_safetensors_metadata(repo)
    assert one_by_one.sharded
    assert one_by_one.parameter_count == {"F32": 24}
    at_once = api.get_sharded_safetensors_metadata(repo)
    assert at_once.parameter_count == {"F32": 24}
    assert at_once.weight_map == one_by_one.weight_map


def test_a_scheduler_commits_a_folder_as_it_grows(api: HfApi, repo: str, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    scheduler = CommitScheduler(repo_id=repo, repo_type="model", folder_path=folder, every=60, hf_api=api)
    with scheduler.lock:
        (folder / "a.jsonl").write_text("1\n")
    scheduler.trigger().result()
    with scheduler.lock:
        (folder / "a.jsonl").write_text("1\n2\n")
    scheduler.trigger().result()
    scheduler.stop()
    files = HfFileSystem(endpoint=api.endpoint, token=api.token, skip_instance_cache=True)
    assert files.read_text(f"{repo}/a.jsonl") == "1\n2\n"


def test_a_module_of_torch_is_pushed_and_made_again(api: HfApi, repo: str) -> None:
    import torch

    class Small(torch.nn.Module, PyTorchModelHubMixin, license="mit"):  # type: ignore[misc]
        def __init__(self, width: int = 3) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(width, 2)

    model: Any = Small(width=5)
    model.push_to_hub(repo, token=api.token)
    again: Any = Small.from_pretrained(repo, token=api.token)
    assert torch.equal(model.linear.weight, again.linear.weight)
