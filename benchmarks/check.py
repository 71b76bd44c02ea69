"""A whole `weighbridge check` of a 2 GiB release, against hashing the same bytes alone.

`python -m benchmarks.check` writes a checkpoint of 8 shards with a release's dossier to `benchmarks/data/`, warms the
page cache, runs both jobs in turn and takes the best of the rounds. Both are measured twice: as whole processes, with
start-up and imports, and inside one process, without them. The target is a check that takes at most 1.15 times the
hash alone; `openssl dgst -sha256` and `sha256sum` are what people would run without Weighbridge.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks._data import make_checkpoint, timed

DATA = Path(__file__).parent / "data" / "check"
SHARDS = 8
TARGET = 1.15

_HASH = """
import sys
from pathlib import Path
from weighbridge.checkpoint.read import read_folder

read_folder(Path(sys.argv[1]))
"""
_CHECK = """
import argparse, contextlib, io, sys
from weighbridge.shell.cli import check

parser = argparse.ArgumentParser()
check.add_arguments(parser)
parser.add_argument("--json", action="store_true")
options = parser.parse_args(sys.argv[1:])
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    code = check.run(options)
sys.exit(0 if code in (0, 3) else 1)
"""
_INSIDE = """
import contextlib, io, json, os, sys, time
from pathlib import Path
from weighbridge.checkpoint.read import read_folder
import argparse
from weighbridge.shell.cli import check

parser = argparse.ArgumentParser()
check.add_arguments(parser)
parser.add_argument("--json", action="store_true")
options = parser.parse_args(sys.argv[1:])
best = {"hash": float("inf"), "check": float("inf")}
for _ in range(int(os.environ["ROUNDS"])):
    began = time.perf_counter()
    read_folder(Path(options.reference))
    best["hash"] = min(best["hash"], time.perf_counter() - began)
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        check.run(options)
    best["check"] = min(best["check"], time.perf_counter() - began)
print(json.dumps(best))
"""
USE = "purpose: a benchmark\ncommercial: true\nfields: []\nmonthly_users: 10\nseat: IE\nterritories: [IE]\n"


def write_release(folder: Path) -> None:
    """Write a signed 2 GiB release: weights, card, licence, record; its key lies beside it."""
    from weighbridge.checkpoint.read import read_folder
    from weighbridge.dossier.cyclonedx import cyclonedx_bom
    from weighbridge.dossier.release import ReleaseRecord, Texts
    from weighbridge.dossier.signature import sign_files
    from weighbridge.shell.signing import create_key_pair
    from weighbridge.terms.licence import licence_text

    root = folder / "model"
    make_checkpoint(root, shards=SHARDS)
    (root / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    manifest = read_folder(root)
    record = ReleaseRecord(
        model="bench/large",
        version="large",
        subject=manifest.digest,
        manifest=manifest,
        source_digest="ab" * 32,
        source_architecture={},
        architecture={"family": "llama"},
        format="safetensors",
        recipe=({"step": "withhold"},),
        license="Apache-2.0",
        texts=Texts(title="Large"),
        weighbridge_version="0",
    )
    dossier = {
        "README.md": b"---\nlicense: apache-2.0\n---\n# Large\n",
        "LICENSE": licence_text("Apache-2.0").encode(),
        "bom.cdx.json": cyclonedx_bom(record),
        "release.json": record.to_bytes(),
    }
    for name, data in dossier.items():
        (root / name).write_bytes(data)
    signer = create_key_pair(folder / "key.pem", folder / "key.pub")
    digests = {str(entry.path): entry.sha256 for entry in read_folder(root)}
    (root / "model.sig").write_bytes(sign_files(digests, name="large", signer=signer))
    (folder / "use.yaml").write_text(USE)


def jobs(folder: Path) -> dict[str, Callable[[], float]]:
    """Return the timed jobs by name; each is a whole process."""
    root = folder / "model"
    arguments = [str(root), "--use", str(folder / "use.yaml"), "--key", str(folder / "key.pub")]
    home = {"WEIGHBRIDGE_HOME": str(folder / "home")}
    files = sorted(root.glob("*.safetensors"))
    return {
        "openssl dgst -sha256 (one core)": lambda: timed(["openssl", "dgst", "-sha256", *files])[0],
        "sha256sum (one core)": lambda: timed(["sha256sum", *files])[0],
        "weighbridge's hash alone": lambda: timed([sys.executable, "-c", _HASH, root])[0],
        "weighbridge check": lambda: timed([sys.executable, "-c", _CHECK, *arguments], home)[0],
    }


def inside(folder: Path, rounds: int) -> dict[str, float]:
    """Return best wall times of hash and check in one process, start-up and imports left out."""
    arguments = [str(folder / "model"), "--use", str(folder / "use.yaml"), "--key", str(folder / "key.pub")]
    environment = {**os.environ, "WEIGHBRIDGE_HOME": str(folder / "home"), "ROUNDS": str(rounds)}
    command = [sys.executable, "-c", _INSIDE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    best: dict[str, float] = json.loads(done.stdout)
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of which the best counts (default: 7)")
    options = parser.parse_args()
    shutil.rmtree(DATA, ignore_errors=True)
    try:
        write_release(DATA)
        os.sync()
        timed_jobs = jobs(DATA)
        best = dict.fromkeys(timed_jobs, float("inf"))
        for _ in range(options.rounds):
            for name, job in timed_jobs.items():
                best[name] = min(best[name], job())
        within = inside(DATA, options.rounds)
    finally:
        shutil.rmtree(DATA, ignore_errors=True)
    print(f"2 GiB in {SHARDS} files, {len(os.sched_getaffinity(0))} cores, best of {options.rounds}")
    for name, value in best.items():
        print(f"  {name:34} {value:7.2f} s")
    print(f"  {'inside one process: hash alone':34} {within['hash']:7.2f} s")
    print(f"  {'inside one process: check':34} {within['check']:7.2f} s")
    processes = best["weighbridge check"] / best["weighbridge's hash alone"]
    print(f"  check / hash alone, whole processes: {processes:.3f} (target {TARGET})")
    print(f"  check / hash alone, inside one process: {within['check'] / within['hash']:.3f} (target {TARGET})")
    for name in ("openssl dgst -sha256 (one core)", "sha256sum (one core)"):
        print(f"  check / {name}: {best['weighbridge check'] / best[name]:.3f} (target {TARGET})")


if __name__ == "__main__":
    main()
