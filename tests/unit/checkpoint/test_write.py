import errno
import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.write import AtomicFile, SafetensorsWriter, write_bytes
from weighbridge.errors import WorkspaceError

TENSORS = [("a", "F32", (2, 3)), ("b", "I64", (2,)), ("none", "F16", (0, 4)), ("s", "U8", ())]
A = np.arange(6, dtype="<f4").reshape(2, 3)
B = np.array([5, -7], dtype="<i8")


def test_a_file_is_what_the_reference_implementation_reads(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with SafetensorsWriter(path, TENSORS, {"format": "pt"}) as writer:
        writer.write("a", [A[:1].tobytes(), A[1:].data])
        writer.write("b", [B.data])
        writer.write("none", [np.zeros((0, 4), "<f2").data])
        writer.write("s", [b"", b"\x09"])
        entry = writer.close()
    theirs = load_file(path)
    assert np.array_equal(theirs["a"], A)
    assert np.array_equal(theirs["b"], B)
    assert theirs["none"].shape == (0, 4)
    assert theirs["s"] == 9
    data = path.read_bytes()
    assert (str(entry.path), entry.size_bytes) == (path.name, len(data))
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert [tensor.name for tensor in Checkpoint.open(path).tensors] == ["a", "b", "none", "s"]
    assert list(tmp_path.iterdir()) == [path]


def test_large_blocks_may_be_reused_by_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    block = bytearray(3 << 20)
    expected = hashlib.sha256()

    def blocks() -> Iterator[memoryview]:
        for number in range(8):
            block[:] = bytes([number]) * len(block)
            expected.update(block)
            yield memoryview(block)

    with SafetensorsWriter(path, [("big", "U8", (8 * len(block),)), ("s", "U8", (5,))], {}) as writer:
        writer.write("big", blocks())
        writer.write("s", [b"small"])
        expected.update(b"small")
        entry = writer.close()
    data = path.read_bytes()
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    offset = Checkpoint.open(path).tensor("big").offset
    assert hashlib.sha256(data[offset:]).digest() == expected.digest()


@contextmanager
def nothing_is_left(folder: Path, kind: type[Exception], match: str) -> Iterator[None]:
    with pytest.raises(kind, match=match):
        yield
    assert list(folder.iterdir()) == []


def test_an_error_of_the_caller_leaves_nothing(tmp_path: Path) -> None:
    with nothing_is_left(tmp_path, RuntimeError, "mine"), SafetensorsWriter(tmp_path / "m", TENSORS, {}) as writer:
        writer.write("a", [A.tobytes()])
        raise RuntimeError("mine")


def test_leaving_without_close_leaves_nothing(tmp_path: Path) -> None:
    with SafetensorsWriter(tmp_path / "m", TENSORS, {}) as writer:
        writer.write("a", [A.tobytes()])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [A.tobytes()[:-1], A.tobytes() + b"x", b""])
def test_another_size_than_declared_is_refused(tmp_path: Path, data: bytes) -> None:
    with nothing_is_left(tmp_path, ValueError, "declared"), SafetensorsWriter(tmp_path / "m", TENSORS, {}) as writer:
        writer.write("a", [data])


def test_another_order_than_declared_is_refused(tmp_path: Path) -> None:
    with (
        nothing_is_left(tmp_path, ValueError, "the next one declared is 'a'"),
        SafetensorsWriter(tmp_path / "m", TENSORS, {}) as writer,
    ):
        writer.write("b", [B.tobytes()])


def test_a_tensor_too_many_is_refused(tmp_path: Path) -> None:
    with nothing_is_left(tmp_path, ValueError, "none"), SafetensorsWriter(tmp_path / "m", [], {}) as writer:
        writer.write("b", [])


def test_missing_tensors_are_refused(tmp_path: Path) -> None:
    with nothing_is_left(tmp_path, ValueError, "not written"), SafetensorsWriter(tmp_path / "m", TENSORS, {}) as writer:
        writer.write("a", [A.tobytes()])
        writer.close()


def test_a_missing_folder_is_an_error_of_the_work_folder(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught:
        SafetensorsWriter(tmp_path / "nowhere/m", TENSORS, {})
    assert caught.value.place == str(tmp_path / "nowhere/m")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [100, 1 << 20, (1 << 20) + 1000, 3 << 20])
def test_running_out_of_room_leaves_nothing(tmp_path: Path, limit: int) -> None:
    with (
        nothing_is_left(tmp_path, WorkspaceError, "File too large"),
        files_of_at_most(limit),
        SafetensorsWriter(tmp_path / "m", [("t", "U8", (8 << 20,))], {}) as writer,
    ):
        writer.write("t", [bytes(8 << 20)])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_errors_of_the_system_say_what_to_do(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "m"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(WorkspaceError, match=os.strerror(number)) as caught:
        write_bytes(path, b"new")
    assert caught.value.place == str(path)
    assert caught.value.hint
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_replace_the_old_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_bytes(path, b"old")
    with AtomicFile(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        assert [other.name[0] for other in tmp_path.iterdir() if other != path] == ["."]
        file.close()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_over_a_folder_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(WorkspaceError):
        write_bytes(tmp_path / "x", b"new")
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_failing_close_cleans_up_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "replace", refuse)
    file = AtomicFile(tmp_path / "x")
    file.write(b"new")
    with pytest.raises(WorkspaceError):
        file.close()
    assert list(tmp_path.iterdir()) == []
