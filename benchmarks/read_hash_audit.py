"""Reading, hashing and auditing 2 GiB in one pass, against `openssl dgst -sha256` of the same bytes.

`python -m benchmarks.read_hash_audit` writes an fp32 checkpoint twice, in 4 shards and as one file, to
`benchmarks/data/`, and deletes it at the end. Times are of whole child processes, interpreter start and imports
included, with the files in the page cache; the commands take turns, and the best of the rounds counts. The peer only
hashes; ours also checks the headers and every element for NaN and infinity. "1 core" is pinned to one.
"""

import json
import shutil
import sys
from pathlib import Path

from benchmarks import DATA
from benchmarks._data import make_checkpoint, timed

ROUNDS = 3
SHARDS = {"4 shards": 4, "1 file": 1}

AUDIT = """
import os, sys
from pathlib import Path
cores = int(sys.argv[2])
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.read import NonFiniteCounter, read_folder
checkpoint = Checkpoint.open(Path(sys.argv[1]))
counter = NonFiniteCounter(checkpoint.tensors)
manifest = read_folder(checkpoint.root, checkpoint.files, visitors=[counter], threads=cores)
assert manifest.digest and not counter.counts
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024)
"""


def measure(folder: Path, shards: int) -> dict[str, tuple[float, int]]:
    """Return (best seconds, peak resident bytes; 0 for the peer) of each command over a checkpoint of so many files."""
    files = make_checkpoint(folder, shards=shards)
    commands: dict[str, list[str | Path]] = {
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", *files],
        "one pass, 1 core": [sys.executable, "-c", AUDIT, folder, "1"],
        "one pass, 2 cores": [sys.executable, "-c", AUDIT, folder, "2"],
    }
    timed(commands["openssl dgst -sha256"])
    rounds = [{name: timed(command) for name, command in commands.items()} for _ in range(ROUNDS)]
    return {
        name: (
            min(found[name][0] for found in rounds),
            max(int(found[name][1]) for found in rounds) if name.startswith("one pass") else 0,
        )
        for name in commands
    }


def main() -> None:
    """Print one table and one JSON line."""
    results: dict[str, dict[str, dict[str, float]]] = {}
    for layout, shards in SHARDS.items():
        folder = DATA / "read_hash_audit"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            measured = measure(folder, shards)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        peer = measured["openssl dgst -sha256"][0]
        for name, (seconds, peak) in measured.items():
            memory = f"   peak {peak / 2**20:5.0f} MiB" if peak else ""
            print(f"{layout:9} {name:22} {seconds:6.2f} s   ratio {seconds / peer:5.2f}{memory}", flush=True)
        results[layout] = {
            name: {"seconds": round(seconds, 3), "ratio": round(seconds / peer, 3), "peak_bytes": peak}
            for name, (seconds, peak) in measured.items()
        }
    print(json.dumps({"benchmark": "read_hash_audit", "rounds": ROUNDS, "results": results}))


if __name__ == "__main__":
    main()
