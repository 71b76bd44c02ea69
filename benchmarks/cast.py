"""Casting a 2 GiB fp32 checkpoint to bf16 with its manifest, against `cp` of the input plus one hash of it.

The peer does less: it reads the bytes, writes them and hashes them, and converts nothing. Both run in child processes,
interleaved, with the input in the page cache; the best of three rounds counts. Peak memory is what the child read of
itself (VmHWM) at its end, less the same of a child that only imports what the cast needs. (`ru_maxrss` would not do: a
child takes over the peak of its parent.)
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import DATA
from weighbridge.checkpoint.write import SafetensorsWriter

ROUNDS = 3
TENSORS, ROWS, COLUMNS = 64, 2048, 4096  # 64 tensors of 32 MiB: 2 GiB

IMPORT = """
import sys
from pathlib import Path
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.derive.sanitise import sanitise
from weighbridge.derive.recipe import WithholdStep
from weighbridge.derive.withhold import select
from weighbridge.shell.executor import LocalExecutor
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""
CAST = (
    IMPORT
    + """
source = Checkpoint.open(Path(sys.argv[1]))
with LocalExecutor(int(sys.argv[3])) as executor:
    out = Path(sys.argv[2]); out.mkdir()
    done = sanitise(source, select(source, WithholdStep()), out, dtype="BF16", scrub=None, executor=executor)
    assert done.manifest.digest
peak()
"""
)


def make_checkpoint(folder: Path) -> Path:
    """Write the fp32 checkpoint, one tensor at a time."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    declared = [(f"layer.{number:02}.weight", "F32", (ROWS, COLUMNS)) for number in range(TENSORS)]
    with SafetensorsWriter(folder / "model.safetensors", declared, {"format": "pt"}) as writer:
        for name, _, _ in declared:
            values = generator.standard_normal(ROWS * COLUMNS, dtype=np.float32)
            writer.write(name, [values.data.cast("B")])
        writer.close()
    return folder / "model.safetensors"


def timed(arguments: list[str], out: Path) -> tuple[float, int]:
    """Return wall seconds of one child and the peak resident bytes that it prints; `out` is removed around it."""
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    shutil.rmtree(out, ignore_errors=True)
    return seconds, int(done.stdout) * 1024 if done.stdout.strip().isdigit() else 0


def main() -> None:
    """Print one table and one JSON line."""
    folder, out = DATA / "cast", DATA / "cast-out"
    shutil.rmtree(folder, ignore_errors=True)
    file = make_checkpoint(folder)
    copy_and_hash = f'mkdir -p "{out}" && cp "{file}" "{out}/" && openssl dgst -sha256 "{file}"'
    commands = {
        "cp + openssl dgst -sha256": ["sh", "-c", copy_and_hash],
        "cast, 1 worker": [sys.executable, "-c", CAST, str(folder), str(out), "1"],
        "cast, 2 workers": [sys.executable, "-c", CAST, str(folder), str(out), "2"],
    }
    try:
        runs = [{name: timed(command, out) for name, command in commands.items()} for _ in range(ROUNDS)]
        idle = timed([sys.executable, "-c", IMPORT + "\npeak()"], out)[1]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    best = {name: min(run[name][0] for run in runs) for name in commands}
    floor = best["cp + openssl dgst -sha256"]
    result = {}
    for name, seconds in best.items():
        peak = max(min(run[name][1] for run in runs) - idle, 0)
        print(f"{name:28} {seconds:6.2f} s   ratio {seconds / floor:5.2f}   memory {peak / 2**20:6.0f} MiB")
        result[name] = {"seconds": round(seconds, 3), "ratio": round(seconds / floor, 3), "peak_bytes": peak}
    largest = ROWS * COLUMNS * 4
    print(json.dumps({"benchmark": "cast", "largest_tensor_bytes": largest, "results": result}))


if __name__ == "__main__":
    main()
