"""What transformers, datasets and pandas do with a hub, as they are, against `weighbridge hub serve`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_home import Home, a_home
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from tiny import TinyModel, tiny_model

__all__ = ["tiny_model"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with a_home(tmp_path_factory.mktemp("models")) as running:
        yield running


@pytest.fixture(autouse=True)
def _here(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.point_library_here(monkeypatch)


@pytest.fixture(scope="module")
def model(tiny_model: TinyModel) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model.folder)


def test_a_model_and_its_tokenizer_are_pushed_and_come_back_the_same(
    home: Home, model: Any, tiny_model: TinyModel, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(tiny_model.folder / "tokenizer.json"))
    model.push_to_hub("alice/llama", private=True, token=home.token)
    tokenizer.push_to_hub("alice/llama", token=home.token)
    ours = {"cache_dir": tmp_path, "token": home.token}
    assert AutoConfig.from_pretrained("alice/llama", **ours).hidden_size == 64
    words = "The weighbridge weighs"
    assert AutoTokenizer.from_pretrained("alice/llama", **ours)(words)["input_ids"] == tokenizer(words)["input_ids"]
    again = AutoModelForCausalLM.from_pretrained("alice/llama", **ours).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())
    told, read = home.api.model_info("alice/llama").safetensors, home.api.get_safetensors_metadata("alice/llama")
    assert told is not None
    assert told.parameters == read.parameter_count


def test_a_sharded_model_is_read_at_a_revision(home: Home, model: Any, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model.push_to_hub("alice/shards", max_shard_size="60KB", token=home.token)
    home.api.create_tag("alice/shards", tag="whole")
    home.api.delete_file("model.safetensors.index.json", "alice/shards")
    found = home.api.get_safetensors_metadata("alice/shards", revision="whole")
    assert found.sharded
    assert len(found.files_metadata) > 1
    again = AutoModelForCausalLM.from_pretrained(
        "alice/shards", revision="whole", token=home.token, cache_dir=tmp_path
    ).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())


def test_a_push_can_be_a_pull_request(home: Home, model: Any) -> None:
    home.api.create_repo("alice/proposed")
    model.push_to_hub("alice/proposed", create_pr=True, token=home.token)
    assert not home.api.file_exists("alice/proposed", "model.safetensors")
    assert home.api.file_exists("alice/proposed", "model.safetensors", revision="refs/pr/1")


def test_what_is_not_there_is_named(home: Home, tiny_model: TinyModel, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    home.api.create_repo("alice/empty")
    home.api.upload_file(
        path_or_fileobj=tiny_model.folder / "config.json", path_in_repo="config.json", repo_id="alice/empty"
    )
    with pytest.raises(OSError, match="not a valid model identifier") as missing:
        AutoConfig.from_pretrained("alice/nothing", token=home.token, cache_dir=tmp_path)
    assert isinstance(missing.value.__cause__, RepositoryNotFoundError)
    with pytest.raises(OSError, match="not a valid git identifier") as unknown:
        AutoConfig.from_pretrained("alice/empty", revision="nowhere", token=home.token, cache_dir=tmp_path)
    assert isinstance(unknown.value.__cause__, RevisionNotFoundError)
    with pytest.raises(OSError, match=r"does not appear to have a file named pytorch_model\.bin or model\.safetensors"):
        AutoModelForCausalLM.from_pretrained("alice/empty", token=home.token, cache_dir=tmp_path)


# `datasets` and the file system of `hf://` read HF_ENDPOINT when they are imported: they need a process of their own.
_DATASETS = """
import json, sys
import datasets, pandas
datasets.disable_progress_bars()
rows = {"n": list(range(100)), "t": [f"row {n}" for n in range(100)]}
made = datasets.Dataset.from_dict(rows)
parts = datasets.DatasetDict(train=made.select(range(80)), test=made.select(range(80, 100)))
parts.push_to_hub("alice/rows", private=True)
made.push_to_hub("alice/rows", config_name="other", split="train", num_shards=2)
told = {
    "splits": {name: len(part) for name, part in datasets.load_dataset("alice/rows").items()},
    "configs": sorted(datasets.get_dataset_config_names("alice/rows")),
    "streamed": next(iter(datasets.load_dataset("alice/rows", "other", split="train", streaming=True))),
    "lines": datasets.load_dataset("alice/lines", split="train", revision="v1")[3],
    "parquet": list(pandas.read_parquet("hf://datasets/alice/rows/data/test-00000-of-00001.parquet")["n"])[:2],
}
pandas.DataFrame({"z": [1]}).to_csv("hf://datasets/alice/lines/z.csv")
for name, named in (("alice/nothing", {}), ("alice/lines", {"revision": "nowhere"})):
    try:
        datasets.load_dataset(name, **named)
    except datasets.exceptions.DatasetNotFoundError as error:
        told[name] = str(error)
json.dump(told, open(sys.argv[1], "w"))
"""


def test_a_dataset_is_pushed_loaded_and_streamed(home: Home, tmp_path: Path) -> None:
    home.api.create_repo("alice/lines", repo_type="dataset")
    lines = b"\n".join(json.dumps({"a": number}).encode() for number in range(10))
    home.api.upload_file(path_or_fileobj=lines, path_in_repo="data.jsonl", repo_id="alice/lines", repo_type="dataset")
    home.api.create_tag("alice/lines", tag="v1", repo_type="dataset")
    answer = tmp_path / "told.json"
    done = subprocess.run(
        [sys.executable, "-c", _DATASETS, str(answer)],
        env=home.environ(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(answer.read_text()) == {
        "splits": {"train": 80, "test": 20},
        "configs": ["default", "other"],
        "streamed": {"n": 0, "t": "row 0"},
        "lines": {"a": 3},
        "parquet": [80, 81],
        "alice/nothing": "Dataset 'alice/nothing' doesn't exist on the Hub or cannot be accessed.",
        "alice/lines": "Revision 'nowhere' doesn't exist for dataset 'alice/lines' on the Hub.",
    }
    assert home.api.file_exists("alice/lines", "z.csv", repo_type="dataset")
