"""Which files of a folder are its weights, and whether they are complete."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

from weighbridge.checkpoint.manifest import relative_path
from weighbridge.checkpoint.tensor import TensorEntry, quoted
from weighbridge.checkpoint.walk import Report
from weighbridge.errors import CheckpointError, UnsafePathError, UnsupportedFormatError

INDEX_NAME = "model.safetensors.index.json"

PICKLE_HINT = (
    "Pickle files run code when they are opened, so they are never opened here. In a sandbox without network and "
    "secrets, convert them to safetensors with a tool that you trust (for example transformers' "
    "`save_pretrained`), then give the folder that it wrote."
)
_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf\Z", re.ASCII)

Format = Literal["safetensors", "gguf"]


def select_weights(
    files: Sequence[str], magic: Callable[[str], bytes], *, place: str
) -> tuple[Format, tuple[str, ...]]:
    """Return the format and the weight files: those directly in the folder, safetensors before GGUF.

    Files in sub-folders (adapters, checkpoints of training) and other formats beside them are no weights of it.

    Args:
        files: every file of the folder.
        magic: returns the first bytes of a file; asked of files that may be pickles, where nothing else is found.
        place: the folder, for errors.

    Raises:
        UnsupportedFormatError: if there are none; says what to do about pickles.
    """
    top = [file for file in files if "/" not in file]
    for form in ("safetensors", "gguf"):
        found = tuple(file for file in top if file.endswith(f".{form}"))
        if found or (form == "safetensors" and INDEX_NAME in top):
            return form, found
    for file in top:
        if file.lower().endswith(_PICKLE_SUFFIXES) and magic(file).startswith((_ZIP_MAGIC, *_PICKLE_MAGIC)):
            raise UnsupportedFormatError(
                "the weights are Python pickles (PyTorch), which are never opened here", place=file, hint=PICKLE_HINT
            )
    raise UnsupportedFormatError(
        "there are no weights that can be read",
        place=place,
        hint="Give a folder with .safetensors or .gguf files directly in it, or one such file. Convert other formats "
        "with the tools of the framework that wrote them.",
    )


def check_index(
    index: Mapping[str, Any],
    weight_files: Sequence[str],
    tensors: Sequence[TensorEntry],
    unread: Collection[str],
    report: Report,
) -> None:
    """Report where `model.safetensors.index.json` and the shards disagree.

    Args:
        index: the parsed index.
        weight_files: the safetensors files that are there.
        tensors: those in their headers.
        unread: weight files whose headers could not be read; nothing is said about their tensors.
        report: takes each problem.
    """
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(file, str) for file in weight_map.values()):
        return report(CheckpointError("weight_map must map tensor names to file names", place=INDEX_NAME))
    there = set(weight_files)
    for file in sorted(set(weight_map.values())):
        _check_shard_name(file, there, report)
    for file in sorted(there - set(weight_map.values())):
        report(
            CheckpointError(
                "the index does not know this weight file",
                place=file,
                hint=f"Remove the file from the folder, or name it in {INDEX_NAME}.",
            )
        )
    where = {tensor.name: tensor.file for tensor in tensors}
    for name, file in weight_map.items():
        if file in there and file not in unread and where.get(name) != file:
            found = f"it is in {where[name]}" if name in where else "no shard has it"
            report(
                CheckpointError(
                    f"the index puts the tensor in {quoted(file)}, but {found}", place=_at(INDEX_NAME, name)
                )
            )
    for name, file in where.items():
        if name not in weight_map:
            report(CheckpointError("the index does not know this tensor", place=_at(file, name)))
    if not unread and there >= set(weight_map.values()):
        _check_total(index.get("metadata"), tensors, report)
    return None


def check_split(files: Sequence[str], metadata: Mapping[str, Mapping[str, Any]], report: Report) -> None:
    """Report missing files of split GGUFs (`NAME-00001-of-00003.gguf`), and key-values that contradict their names.

    Source of naming and keys: llama.cpp's `llama_split_path` and `split.no`, `split.count`.
    """
    sets: dict[tuple[str, int], list[int]] = {}
    for file in files:
        match = _SPLIT.match(file)
        if match is None:
            continue
        number, count = int(match["number"]), int(match["count"])
        if not 1 <= number <= count:
            report(CheckpointError("the file's number is not within its count", place=file))
            continue
        sets.setdefault((match["stem"], count), []).append(number)
        for key, expected in (("split.no", number - 1), ("split.count", count)):
            stated = metadata.get(file, {}).get(key, expected)
            if stated != expected:
                report(CheckpointError(f"{key} is {stated!r:.40}, but the name says {expected}", place=file))
    for (stem, count), numbers in sets.items():
        missing = sorted(set(range(1, count + 1)) - set(numbers))
        if missing:
            report(
                CheckpointError(
                    f"{len(missing)} of the {count} parts of the split model are missing, the first is "
                    + _split_name(stem, missing[0], count),
                    place=_split_name(stem, numbers[0], count),
                    hint="Download the missing parts.",
                )
            )


def split_siblings(name: str, listing: Callable[[], Sequence[str]]) -> tuple[str, ...]:
    """Return the files that a single weight file stands for: all parts of a split GGUF that are there, or itself."""
    match = _SPLIT.match(name)
    if match is None:
        return (name,)
    return tuple(sorted(file for file in listing() if _same_set(file, match["stem"], int(match["count"]))))


def _check_shard_name(file: str, there: Collection[str], report: Report) -> None:
    try:
        relative_path(file)
    except UnsafePathError as problem:
        return report(UnsafePathError(problem.message, place=INDEX_NAME))
    if "/" in file or not file.endswith(".safetensors"):
        return report(
            CheckpointError(f"{quoted(file)} is no safetensors file directly in the folder", place=INDEX_NAME)
        )
    if file not in there:
        return report(
            CheckpointError(
                f"the index names {quoted(file)}, which is missing",
                place=INDEX_NAME,
                hint="Download the missing shard.",
            )
        )
    return None


def _check_total(metadata: object, tensors: Sequence[TensorEntry], report: Report) -> None:
    stated = metadata.get("total_size") if isinstance(metadata, dict) else None
    actual = sum(tensor.size_bytes for tensor in tensors)
    if stated is not None and (isinstance(stated, bool) or stated != actual):
        report(
            CheckpointError(
                f"metadata.total_size is {stated!r:.40}, but the tensors take {actual} bytes", place=INDEX_NAME
            )
        )


def _same_set(file: str, stem: str, count: int) -> bool:
    match = _SPLIT.match(file)
    return match is not None and match["stem"] == stem and int(match["count"]) == count


def _split_name(stem: str, number: int, count: int) -> str:
    return f"{stem}-{number:05d}-of-{count:05d}.gguf"


def _at(file: str, name: str) -> str:
    return f"{file}: tensor {quoted(name)}"
