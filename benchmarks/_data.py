"""Checkpoints to measure on, made block by block, and the timing of child processes."""

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from weighbridge.checkpoint.write import SafetensorsWriter, write_bytes

ROWS, COLUMNS = 2048, 4096
TENSOR_BYTES = ROWS * COLUMNS * 4
TENSORS = 64


def make_checkpoint(folder: Path, *, shards: int) -> list[Path]:
    """Write 2 GiB of normally distributed fp32 weights (64 tensors of 32 MiB) and return the weight files.

    Every tensor is the same random block, turned by another number of bytes: hashing and auditing take as long for
    any finite values.
    """
    folder.mkdir(parents=True)
    block = np.random.default_rng(0).standard_normal(ROWS * COLUMNS, dtype=np.float32)
    weight_map: dict[str, str] = {}
    files: list[Path] = []
    for shard in range(shards):
        name = "model.safetensors" if shards == 1 else f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        declared = [
            (f"layer.{number:02}.weight", "F32", (ROWS, COLUMNS))
            for number in range(TENSORS * shard // shards, TENSORS * (shard + 1) // shards)
        ]
        with SafetensorsWriter(folder / name, declared, {"format": "pt"}) as writer:
            for number, (tensor, _, _) in enumerate(declared):
                writer.write(tensor, [np.roll(block, number + 100 * shard).data])
            writer.close()
        weight_map |= dict.fromkeys((tensor for tensor, _, _ in declared), name)
        files.append(folder / name)
    if shards > 1:
        index = {"metadata": {"total_size": TENSORS * TENSOR_BYTES}, "weight_map": weight_map}
        write_bytes(folder / "model.safetensors.index.json", json.dumps(index).encode())
    return files


def timed(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """Run a child to its end; return its wall time in seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return seconds, done.stdout
