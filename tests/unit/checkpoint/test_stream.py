import os
import subprocess
import sys
from pathlib import Path

import pytest

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.safetensors import build_header
from weighbridge.checkpoint.stream import TensorFile
from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.errors import ChangedError, CheckpointError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    content = os.urandom(10_000) + b"xyz"
    header = build_header([("a", "U8", (10_000,)), ("b", "U8", (3,)), ("none", "U8", (0,))], {})
    (tmp_path / "m.safetensors").write_bytes(header + content)
    return Checkpoint.open(tmp_path)


def test_blocks_joined_are_the_tensor(checkpoint: Checkpoint) -> None:
    path = checkpoint.root / "m.safetensors"
    data = path.read_bytes()
    with TensorFile(path) as file:
        for entry in checkpoint.tensors:
            expected = data[entry.offset : entry.end]
            for size in (1_000, 4096, 1 << 20):
                blocks = [bytes(block) for block in file.blocks(entry, size)]
                assert b"".join(blocks) == expected
                assert all(len(block) == size for block in blocks[:-1])
            assert bytes(file.whole(entry)) == expected


def test_blocks_stay_valid_while_the_file_is_open(checkpoint: Checkpoint) -> None:
    entry = checkpoint.tensor("a")
    with TensorFile(checkpoint.root / entry.file) as file:
        kept = list(file.blocks(entry, 4096))
        assert b"".join(kept) == bytes(file.whole(entry))
        assert all(block.readonly for block in kept)


def test_views_may_outlive_the_file(checkpoint: Checkpoint) -> None:
    entry = checkpoint.tensor("b")
    with TensorFile(checkpoint.root / entry.file) as file:
        view = file.whole(entry)
    file.close()
    assert bytes(view) == b"xyz"


def test_a_tensor_outside_the_file_is_refused(checkpoint: Checkpoint) -> None:
    size = (checkpoint.root / "m.safetensors").stat().st_size
    entry = TensorEntry(name="z", dtype="U8", shape=(2,), file="m.safetensors", offset=size - 1, size_bytes=2)
    with TensorFile(checkpoint.root / entry.file) as file, pytest.raises(CheckpointError, match="tensor 'z'"):
        list(file.blocks(entry))


def test_a_file_that_shrinks_is_an_error_not_a_crash(checkpoint: Checkpoint) -> None:
    entry = checkpoint.tensor("a")
    path = checkpoint.root / entry.file
    with TensorFile(path) as file:
        blocks = file.blocks(entry, 4096)
        next(blocks)
        os.truncate(path, 100)
        with pytest.raises(ChangedError):
            next(blocks)


def test_an_empty_file_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with TensorFile(tmp_path / "empty") as file:
        assert file.size_bytes == 0


@pytest.mark.parametrize("name", ["nothing", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError):
        TensorFile(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_resident_memory_stays_near_the_block_size(tmp_path: Path) -> None:
    size = 256 << 20
    path = tmp_path / "big"
    with path.open("wb") as file:
        for _ in range(256):
            file.write(b"\x01" * (1 << 20))
    code = f"""
from pathlib import Path
from weighbridge.checkpoint.stream import TensorFile
from weighbridge.checkpoint.tensor import TensorEntry

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) << 10

entry = TensorEntry(name="t", dtype="U8", shape=({size},), file="big", offset=0, size_bytes={size})
before = peak()
with TensorFile(Path({str(path)!r})) as file:
    assert sum(bytes(block).count(1) for block in file.blocks(entry)) == {size}
print(peak() - before)
"""
    grown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert int(grown) < 64 << 20
