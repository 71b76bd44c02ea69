"""The proof of absence: reading and hashing 1 GiB with a search for 64 MiB of held-back content, against without.

`python -m benchmarks.absence` writes two files of bf16-like weights and 64 MiB of other ones to `benchmarks/data/` and
deletes them at the end. Names and strings are sought in the same pass: `long names` are 30 tensor names of 15 bytes or
more, `and short` adds a run id, a home path and a module name of less, which need a finer grid. Every round is a fresh
child process pinned to its cores, with the files in the page cache; times are of the pass alone, the building of the
tables is given apart. Jobs take turns and the best of the rounds counts.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from benchmarks import DATA
from benchmarks._data import timed

ROUNDS = 4
FILES, FILE_BYTES = 2, 512 << 20
HELD_BACK_BYTES = 64 << 20
JOBS = ("none", "content", "long names", "and short")
LIMIT_BYTES = 64 << 20

PASS = """
import json, os, sys, time
from pathlib import Path
folder, job, cores = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
from weighbridge.checkpoint.read import read_folder
from weighbridge.evidence.audit.held_back import HeldBack, HeldBackSearch, Piece
held = folder / "held-back"
piece = Piece(kind="file", label="held-back", path=held, offset=0, size_bytes=held.stat().st_size)
long = tuple(f"model.layers.{n}.adapter.lora_A.weight" for n in range(30))
short = ("run-4fz81", "/home/lena", "adapter") if job == "and short" else ()
sought = HeldBack(pieces=(piece,), names=long if job != "content" else (), strings=short)
began = time.perf_counter()
search = HeldBackSearch(sought) if job != "none" else None
built = time.perf_counter()
cpu = time.process_time()
manifest = read_folder(folder / "version", visitors=[search] if search else [], threads=cores)
done = time.perf_counter()
cpu = time.process_time() - cpu
if search:
    audit = search.audit(manifest.digest, manifest.size_bytes)
    assert not audit.findings and audit.coverage["stride_bytes"] == 4096, audit
print(json.dumps({
    "seconds": done - built,
    "cpu_seconds": cpu,
    "build_seconds": built - began,
    "tables": search.size_bytes if search else 0,
}))
"""


def make(folder: Path) -> None:
    """Write the version and what is held back: upper halves of normally distributed fp32 values."""
    (folder / "version").mkdir(parents=True)
    generator = np.random.default_rng(0)
    targets = [(folder / "version" / f"weights-{n}.bin", FILE_BYTES) for n in range(FILES)]
    for path, size in (*targets, (folder / "held-back", HELD_BACK_BYTES)):
        with path.open("wb") as file:
            for _ in range(size // (16 << 20)):
                values = generator.standard_normal(8 << 20, dtype=np.float32) * np.float32(0.02)
                file.write((values.view(np.uint32) >> 16).astype(np.uint16).tobytes())


def measure(folder: Path, cores: int) -> dict[str, dict[str, float]]:
    """Return the best of several interleaved rounds of each job."""
    rounds: dict[str, list[dict[str, float]]] = {job: [] for job in JOBS}
    for _ in range(ROUNDS):
        for job in JOBS:
            _, printed = timed([sys.executable, "-c", PASS, folder, job, str(cores)])
            rounds[job].append(json.loads(printed))
    return {job: {key: min(one[key] for one in found) for key in found[0]} for job, found in rounds.items()}


def main() -> None:
    """Print one table and one JSON line."""
    folder = DATA / "absence"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        make(folder)
        results = {cores: measure(folder, cores) for cores in (1, 2)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratios: dict[str, float] = {}
    print(f"{'1 GiB against 64 MiB':24} {'cores':>5} {'GiB/s':>7} {'ratio':>6} {'CPU':>5} {'build s':>8} {'MiB':>6}")
    for cores, found in results.items():
        for job, one in found.items():
            ratio = one["seconds"] / found["none"]["seconds"]
            ratios[f"{job}, {cores}"] = round(ratio, 3)
            cpu = one["cpu_seconds"] / found["none"]["cpu_seconds"]
            speed = FILES * FILE_BYTES / one["seconds"] / (1 << 30)
            tables = one["tables"] / (1 << 20)
            print(f"{job:22} {cores:5} {speed:7.2f} {ratio:6.2f} {cpu:5.2f} {one['build_seconds']:8.2f} {tables:6.1f}")
            assert one["tables"] <= LIMIT_BYTES
    print(json.dumps({"benchmark": "absence", "ratios": ratios}))


if __name__ == "__main__":
    main()
