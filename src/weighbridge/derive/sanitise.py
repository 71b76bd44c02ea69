"""The first step of every version: copy what may go out, cast on the way, and leave the rest.

Tensors stream through in blocks; memory stays at a few blocks, whatever the checkpoint's size.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from weighbridge.checkpoint.document import parse_document
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.manifest import FileEntry, Manifest
from weighbridge.checkpoint.read import read_folder
from weighbridge.checkpoint.stream import TensorFile
from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.checkpoint.walk import open_inside, read_prefix
from weighbridge.checkpoint.write import SafetensorsWriter, write_bytes
from weighbridge.derive.cast import FLOAT_DTYPES, converter, target_bytes
from weighbridge.derive.executor import Executor
from weighbridge.derive.withhold import Selection
from weighbridge.errors import CheckpointError

MAX_SHARD_BYTES = 5_000_000_000
BLOCK_BYTES = 4 << 20
MAX_JSON_BYTES = 64 << 20
MAX_JSON_DEPTH = 64
MAX_JSON_VALUES = 5_000_000

Scrub = Callable[[str, Any], tuple[Any, Sequence[str]]]
"""Takes a file name and its parsed JSON; returns what may go out, and JSON pointers of what was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanitised:
    """What the step wrote and removed.

    Attributes:
        manifest: the files written.
        scrubbed: `(file, JSON pointer)` of each member that was removed.
    """

    manifest: Manifest
    scrubbed: tuple[tuple[str, str], ...]


def sanitise(
    source: Checkpoint,
    selection: Selection,
    out: Path,
    *,
    dtype: str | None,
    scrub: Scrub | None,
    executor: Executor,
    on_bytes: Callable[[int], None] | None = None,
) -> Sanitised:
    """Write the selected part of `source` into the empty folder `out`.

    Args:
        source: a safetensors checkpoint.
        selection: what goes in.
        out: an empty folder.
        dtype: safetensors name of the type for floating-point tensors; None keeps each as it is.
        scrub: removes metadata from JSON files; None copies them as they are.
        executor: runs shards, and the blocks of a shard, at once.
        on_bytes: told the number of source bytes done, from several threads.

    Raises:
        RecipeError: if a value does not fit into `dtype`.
        CheckpointError: if a JSON file cannot be read.
        WorkspaceError: if `out` cannot be written to.
    """
    shards = plan_shards(selection.tensors, dtype)
    names = shard_names(len(shards))

    def write(job: tuple[str, tuple[TensorEntry, ...]]) -> FileEntry:
        return _write_shard(source.root, job[1], out / job[0], dtype, executor, on_bytes)

    entries = executor.map(write, zip(names, shards, strict=True))
    if len(shards) > 1:
        write_bytes(out / "model.safetensors.index.json", _index(names, shards, dtype))
    scrubbed = [(file, pointer) for file in selection.files for pointer in _copy(source.root, file, out, scrub)]
    small = [name for name in _names_below(out) if name not in names]
    return Sanitised(manifest=Manifest.of([*entries, *read_folder(out, small)]), scrubbed=tuple(scrubbed))


def cast_entry(tensor: TensorEntry, dtype: str | None) -> tuple[str, int]:
    """Return the dtype and size in bytes that `tensor` has in the version."""
    if dtype is None or tensor.dtype not in FLOAT_DTYPES:
        return tensor.dtype, tensor.size_bytes
    return dtype, target_bytes(tensor.size_bytes, tensor.dtype, dtype)


def plan_shards(tensors: Sequence[TensorEntry], dtype: str | None) -> tuple[tuple[TensorEntry, ...], ...]:
    """Divide tensors, in the order in which they lie on disk, into shards of at most `MAX_SHARD_BYTES`.

    A larger tensor gets a shard of its own.
    """
    ordered = sorted(tensors, key=lambda tensor: (tensor.file, tensor.offset))
    cuts, size = [0], 0
    for position, tensor in enumerate(ordered):
        tensor_bytes = cast_entry(tensor, dtype)[1]
        if size and size + tensor_bytes > MAX_SHARD_BYTES:
            cuts.append(position)
            size = 0
        size += tensor_bytes
    return tuple(tuple(ordered[a:b]) for a, b in pairwise([*cuts, len(ordered)]))


def shard_names(count: int) -> tuple[str, ...]:
    """Return the file names that transformers expects of `count` shards."""
    if count == 1:
        return ("model.safetensors",)
    return tuple(f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1))


def _write_shard(
    root: Path,
    tensors: Sequence[TensorEntry],
    path: Path,
    dtype: str | None,
    executor: Executor,
    on_bytes: Callable[[int], None] | None,
) -> FileEntry:
    declared = [(t.name, cast_entry(t, dtype)[0], t.shape) for t in tensors]
    with SafetensorsWriter(path, declared, {"format": "pt"}) as writer:
        for file, group in _by_file(tensors):
            with TensorFile(root / file) as opened:
                for tensor in group:
                    writer.write(tensor.name, _blocks(opened, tensor, cast_entry(tensor, dtype)[0], executor))
                    if on_bytes:
                        on_bytes(tensor.size_bytes)
        return replace(writer.close(), path=PurePosixPath(path.name))


def _blocks(opened: TensorFile, tensor: TensorEntry, target: str, executor: Executor) -> Iterator[memoryview | bytes]:
    """Return the blocks of a tensor as `target`; conversion runs ahead of the writing."""
    if target == tensor.dtype:
        return opened.blocks(tensor, BLOCK_BYTES)
    convert = converter(tensor.dtype, target, tensor.name)

    def convert_at(start: int) -> memoryview | bytes:
        with opened.block(tensor, start, BLOCK_BYTES) as block:
            return convert(block)

    return executor.stream(convert_at, range(0, tensor.size_bytes, BLOCK_BYTES), ahead=executor.workers + 1)


def _by_file(tensors: Sequence[TensorEntry]) -> Iterator[tuple[str, list[TensorEntry]]]:
    group: list[TensorEntry] = []
    for tensor in tensors:
        if group and tensor.file != group[0].file:
            yield group[0].file, group
            group = []
        group.append(tensor)
    if group:
        yield group[0].file, group


def _index(names: Sequence[str], shards: Sequence[Sequence[TensorEntry]], dtype: str | None) -> bytes:
    weight_map: Mapping[str, str] = {t.name: name for name, shard in zip(names, shards, strict=True) for t in shard}
    total = sum(cast_entry(tensor, dtype)[1] for shard in shards for tensor in shard)
    document = {"metadata": {"total_size": total}, "weight_map": weight_map}
    return json.dumps(document, indent=2, sort_keys=True).encode()


def _copy(root: Path, file: str, out: Path, scrub: Scrub | None) -> Sequence[str]:
    """Copy one small file, scrubbed if it is JSON; return pointers of what was removed."""
    path = root / file
    data = _small_file(root, file)
    removed: Sequence[str] = ()
    if scrub is not None and file.lower().endswith(".json"):
        # Of a key that is there twice, a loader may see the one that the scrubber did not; UTF-16 hides from a search.
        document = parse_document(data, place=str(path), max_depth=MAX_JSON_DEPTH, max_values=MAX_JSON_VALUES)
        clean, removed = scrub(file, document)
        if removed:
            data = _json_bytes(clean)
    target = out / file
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, data)
    return removed


def _json_bytes(document: Any) -> bytes:
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # half a character, which only an escape can spell
        return (json.dumps(document, indent=2) + "\n").encode()


def _small_file(root: Path, file: str) -> bytes:
    descriptor = open_inside(root, file)
    try:
        data = read_prefix(descriptor, MAX_JSON_BYTES + 1, place=str(root / file))
    finally:
        os.close(descriptor)
    if len(data) > MAX_JSON_BYTES:
        raise CheckpointError(
            f"larger than {MAX_JSON_BYTES >> 20} MiB, which no configuration or tokenizer is",
            place=str(root / file),
            hint="Leave it out of `keep`, or name it under `hold_back`.",
        )
    return data


def _names_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
