import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf_encoder as encoder
import pytest

from weighbridge.checkpoint import folder, gguf
from weighbridge.checkpoint.folder import Checkpoint, inspect
from weighbridge.checkpoint.safetensors import build_header
from weighbridge.errors import CheckpointError, HeaderError, UnsafePathError, UnsupportedFormatError

INDEX = "model.safetensors.index.json"
SHARDS = {"model-00001-of-00002.safetensors": ("a", "b"), "model-00002-of-00002.safetensors": ("c",)}


def a_weight_file(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = build_header([(name, "BF16", (2, 2)) for name in names], {"format": "pt"})
    path.write_bytes(header + bytes(8 * len(names)))


def an_index(root: Path, weight_map: object, **metadata: Any) -> None:
    (root / INDEX).write_text(json.dumps({"metadata": metadata, "weight_map": weight_map}))


def sharded(root: Path, shards: Mapping[str, tuple[str, ...]] = SHARDS) -> dict[str, str]:
    for file, names in shards.items():
        a_weight_file(root / file, *names)
    weight_map = {name: file for file, names in shards.items() for name in names}
    an_index(root, weight_map, total_size=24)
    return weight_map


def a_gguf(path: Path, *names: str, **keys: int) -> None:
    infos = [encoder.tensor_info(name, (8,), 0, 32 * number) for number, name in enumerate(names)]
    kvs = [encoder.key_value(key.replace("_", "."), 2, value) for key, value in keys.items()]
    path.write_bytes(encoder.file(kvs, infos, bytes(32 * len(names))))


def problem_of(root: Path) -> CheckpointError:
    """Return the only problem; `open` must raise the same."""
    found = inspect(root)
    assert found.checkpoint is None
    (problem,) = found.problems
    with pytest.raises(type(problem)) as caught:
        Checkpoint.open(root)
    assert str(caught.value) == str(problem)
    assert problem.place
    assert problem.hint
    return problem


def test_a_single_file_folder_is_opened(tmp_path: Path) -> None:
    a_weight_file(tmp_path / "model.safetensors", "b", "a")
    a_weight_file(tmp_path / "adapters/x/adapter_model.safetensors", "lora")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "optimizer.pt").write_bytes(pickle.dumps({}))
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.format == "safetensors"
    assert checkpoint.files == (
        "adapters/x/adapter_model.safetensors",
        "config.json",
        "model.safetensors",
        "optimizer.pt",
    )
    assert checkpoint.weight_files == ("model.safetensors",)
    assert [tensor.name for tensor in checkpoint.tensors] == ["a", "b"]
    assert checkpoint.config == {"model_type": "llama"}
    assert checkpoint.metadata == {"model.safetensors": {"format": "pt"}}
    assert checkpoint.parameters == 8
    assert inspect(tmp_path).checkpoint == checkpoint


def test_tensors_are_found_by_name(tmp_path: Path) -> None:
    a_weight_file(tmp_path / "model.safetensors", "b", "a")
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.tensor("b").offset < checkpoint.tensor("a").offset
    for name in ("", "aa", "z"):
        with pytest.raises(CheckpointError, match="no tensor"):
            checkpoint.tensor(name)


def test_a_sharded_folder_is_opened(tmp_path: Path) -> None:
    sharded(tmp_path)
    checkpoint = Checkpoint.open(tmp_path)
    assert checkpoint.weight_files == tuple(SHARDS)
    assert [(tensor.name, tensor.file[:11]) for tensor in checkpoint.tensors] == [
        ("a", "model-00001"),
        ("b", "model-00001"),
        ("c", "model-00002"),
    ]


def test_a_single_file_is_opened(tmp_path: Path) -> None:
    a_weight_file(tmp_path / "x.safetensors", "a")
    a_gguf(tmp_path / "x.gguf", "g")
    (tmp_path / "config.json").write_text("{}")
    for name, tensor in (("x.safetensors", "a"), ("x.gguf", "g")):
        checkpoint = Checkpoint.open(tmp_path / name)
        assert (checkpoint.root, checkpoint.files, checkpoint.format) == (tmp_path, (name,), name[2:])
        assert checkpoint.tensor(tensor).file == name
        assert checkpoint.config == {}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    problem = problem_of(tmp_path)
    assert "model-00002-of-00002.safetensors" in problem.message
    assert "missing" in problem.message
    assert problem.place == INDEX


def test_a_shard_that_the_index_does_not_know_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    a_weight_file(tmp_path / "model-00003-of-00003.safetensors")
    assert problem_of(tmp_path).place == "model-00003-of-00003.safetensors"


def test_an_index_without_any_shard_is_refused(tmp_path: Path) -> None:
    an_index(tmp_path, {"a": "model-00001-of-00001.safetensors"})
    assert "missing" in problem_of(tmp_path).message


@pytest.mark.parametrize("path", ["../x.safetensors", "/etc/x.safetensors", "a/../../x.safetensors"])
def test_an_index_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    weight_map = sharded(tmp_path)
    an_index(tmp_path, {**weight_map, "z": path})
    assert isinstance(problem_of(tmp_path), UnsafePathError)


def test_an_index_may_not_name_sub_folders(tmp_path: Path) -> None:
    weight_map = sharded(tmp_path)
    a_weight_file(tmp_path / "sub/x.safetensors", "z")
    an_index(tmp_path, {**weight_map, "z": "sub/x.safetensors"})
    assert "directly in the folder" in problem_of(tmp_path).message


@pytest.mark.parametrize(
    ("change", "message", "place"),
    [
        ({"a": "model-00002-of-00002.safetensors"}, "but it is in model-00001", f"{INDEX}: tensor 'a'"),
        ({"z": "model-00002-of-00002.safetensors"}, "no shard has it", f"{INDEX}: tensor 'z'"),
    ],
)
def test_an_index_that_lies_about_a_tensor_is_refused(
    tmp_path: Path, change: dict[str, str], message: str, place: str
) -> None:
    an_index(tmp_path, {**sharded(tmp_path), **change})
    problem = problem_of(tmp_path)
    assert message in problem.message
    assert problem.place == place


def test_a_tensor_that_the_index_does_not_know_is_named(tmp_path: Path) -> None:
    weight_map = sharded(tmp_path)
    del weight_map["b"]
    an_index(tmp_path, weight_map)
    assert problem_of(tmp_path).place == "model-00001-of-00002.safetensors: tensor 'b'"


@pytest.mark.parametrize("total", [23, "24", True, -1])
def test_a_wrong_total_size_is_refused(tmp_path: Path, total: object) -> None:
    an_index(tmp_path, sharded(tmp_path), total_size=total)
    assert "total_size" in problem_of(tmp_path).message


@pytest.mark.parametrize("content", ["[]", "{", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{}", "[" * 9999])
def test_an_unsound_index_is_refused(tmp_path: Path, content: str) -> None:
    a_weight_file(tmp_path / "model.safetensors", "a")
    (tmp_path / INDEX).write_text(content)
    assert problem_of(tmp_path).place == INDEX


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    a_weight_file(tmp_path / "one.safetensors", "a")
    a_weight_file(tmp_path / "two.safetensors", "a")
    assert problem_of(tmp_path).place == "two.safetensors: tensor 'a'"


def test_two_models_in_one_gguf_folder_are_told_apart_by_advice(tmp_path: Path) -> None:
    a_gguf(tmp_path / "q4.gguf", "a")
    a_gguf(tmp_path / "q8.gguf", "a")
    assert "name the file" in problem_of(tmp_path).hint
    assert Checkpoint.open(tmp_path / "q8.gguf").files == ("q8.gguf",)


def split(root: Path, count: int = 3) -> list[Path]:
    paths = [root / f"m-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]
    for number, path in enumerate(paths):
        a_gguf(path, f"t{number}", split_no=number, split_count=count)
    return paths


def test_a_split_gguf_is_one_checkpoint_by_folder_and_by_any_part(tmp_path: Path) -> None:
    paths = split(tmp_path)
    a_gguf(tmp_path / "other-00001-of-00001.gguf", "o")
    assert [tensor.name for tensor in Checkpoint.open(tmp_path).tensors] == ["o", "t0", "t1", "t2"]
    assert Checkpoint.open(paths[1]).files == tuple(path.name for path in paths)


def test_a_missing_part_of_a_split_gguf_is_named(tmp_path: Path) -> None:
    paths = split(tmp_path)
    paths[1].unlink()
    assert "m-00002-of-00003.gguf" in problem_of(tmp_path).message
    assert "m-00002-of-00003.gguf" in problem_of(paths[0]).message


def test_a_huge_split_count_costs_nothing(tmp_path: Path) -> None:
    a_gguf(tmp_path / "m-00007-of-99999.gguf", "a")
    assert "99998 of the 99999" in problem_of(tmp_path).message


def test_a_part_whose_keys_contradict_its_name_is_refused(tmp_path: Path) -> None:
    a_gguf(tmp_path / "m-00001-of-00001.gguf", "a", split_no=5, split_count=1)
    assert "split.no is 5" in problem_of(tmp_path).message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.PTH", "x.ckpt", "x.pkl"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_alone_are_never_opened_and_the_error_says_what_to_do(tmp_path: Path, name: str, zipped: bool) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "exploded",)

    if zipped:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    else:
        (tmp_path / name).write_bytes(pickle.dumps(Bomb(), protocol=2))
    for root in (tmp_path, tmp_path / name):
        problem = problem_of(root)
        assert isinstance(problem, UnsupportedFormatError)
        assert "sandbox" in problem.hint
        assert "safetensors" in problem.hint
    assert not (tmp_path / "exploded").exists()


def test_a_folder_without_weights_is_refused_with_the_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.bin").write_bytes(b"not a pickle")
    problem = problem_of(tmp_path)
    assert isinstance(problem, UnsupportedFormatError)
    assert ".gguf" in problem.hint


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b'{"a":' * 500])
def test_an_unsound_config_is_refused(tmp_path: Path, content: bytes) -> None:
    a_weight_file(tmp_path / "model.safetensors", "a")
    (tmp_path / "config.json").write_bytes(content)
    assert problem_of(tmp_path).place == "config.json"


def test_a_huge_config_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_CONFIG_BYTES", 100)
    a_weight_file(tmp_path / "model.safetensors", "a")
    (tmp_path / "config.json").write_text('{"a": "' + "x" * 100 + '"}')
    assert "larger than 100 bytes" in problem_of(tmp_path).message


def test_inspection_collects_everything(tmp_path: Path) -> None:
    sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"short")
    a_weight_file(tmp_path / "extra.safetensors", "z")
    (tmp_path / "config.json").write_text("[")
    (tmp_path / "broken").symlink_to("nothing")
    found = inspect(tmp_path)
    assert [problem.place for problem in found.problems] == [
        "broken",
        "model-00002-of-00002.safetensors",
        "extra.safetensors",
        "extra.safetensors: tensor 'z'",
        "config.json",
    ]
    assert "extra.safetensors" in found.files
    assert isinstance(found.problems[1], HeaderError)


def test_inspection_lists_no_endless_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_PROBLEMS", 10)
    an_index(tmp_path, {str(number): f"{number}.safetensors" for number in range(100)})
    problems = inspect(tmp_path).problems
    assert len(problems) == 11
    assert "more than 10 problems" in problems[-1].message


def test_a_link_to_a_file_elsewhere_is_refused_as_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    a_weight_file(tmp_path / "blobs/0f", "a")
    (tmp_path / "snapshot/model.safetensors").symlink_to("../blobs/0f")
    with pytest.raises(UnsafePathError) as caught:
        Checkpoint.open(tmp_path / "snapshot/model.safetensors")
    assert "local_dir" in caught.value.hint


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no such" in problem_of(tmp_path / "nowhere").message


def test_a_large_gguf_header_is_read_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_gguf(tmp_path / "m.gguf", *(f"t{number}" for number in range(50)))
    whole = Checkpoint.open(tmp_path)
    monkeypatch.setattr(folder, "_FIRST_GGUF_BYTES", 16)
    assert Checkpoint.open(tmp_path) == whole
    monkeypatch.setattr(gguf, "MAX_HEADER_BYTES", 64)
    with pytest.raises(HeaderError, match="more than 64 bytes"):
        Checkpoint.open(tmp_path)
