"""Signing and verifying 2 GiB in 8 files, against `model_signing`'s own command line. Wall time of whole processes.

`python -m benchmarks.sign_verify` writes the files to `benchmarks/data/`, warms the page cache, runs every job in turn
(so that a busy moment hits all of them), takes the best of the rounds and deletes the files. `known digests` is what
a release does: the digests come from the pass that audited the bytes, so signing reads nothing again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

FILES = 8
BLOCK_BYTES = 1 << 20
DATA = Path(__file__).parent / "data" / "sign_verify"

_SIGN = """
import sys
from pathlib import Path
from weighbridge.checkpoint.read import read_folder
from weighbridge.dossier.signature import sign_files
from weighbridge.shell.signing import EcKeySigner

root, key, known = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
if known:
    import json
    digests = json.loads(Path(known[0]).read_text())
else:
    digests = {str(entry.path): entry.sha256 for entry in read_folder(root) if str(entry.path) != "model.sig"}
(root / "model.sig").write_bytes(sign_files(digests, name=root.name, signer=EcKeySigner.load(key)))
"""

_VERIFY = """
import sys
from pathlib import Path
from weighbridge.adopt.verify import verify_folder
from weighbridge.shell.signing import EcKeyVerifier

sys.exit(not verify_folder(Path(sys.argv[1]), EcKeyVerifier.load(Path(sys.argv[2]))).ok)
"""


def write_folder(root: Path, total_bytes: int) -> None:
    """Write `FILES` files of random bytes, in blocks."""
    root.mkdir(parents=True)
    for number in range(1, FILES + 1):
        with (root / f"model-{number:05}-of-{FILES:05}.safetensors").open("wb") as file:
            for _ in range(total_bytes // FILES // BLOCK_BYTES):
                file.write(os.urandom(BLOCK_BYTES))


def seconds(command: Sequence[str | Path]) -> float:
    """Run a command to its end and return its wall time."""
    started = time.perf_counter()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return elapsed


def jobs(folder: Path) -> dict[str, Callable[[], float]]:
    """Return the timed jobs by name; each signing job writes the signature that the next verifying job reads."""
    root, key, public, known = folder / "model", folder / "key.pem", folder / "key.pub", folder / "known.json"
    python, signature = sys.executable, root / "model.sig"
    peer = [python, "-m", "model_signing"]
    files = sorted(path for path in root.iterdir() if path != signature)
    return {
        "openssl dgst -sha256 (one core)": lambda: seconds(["openssl", "dgst", "-sha256", *files]),
        "model_signing, import only": lambda: seconds([*peer, "--help"]),
        "weighbridge, import only": lambda: seconds([python, "-c", _VERIFY.rpartition("sys.exit")[0]]),
        "model_signing sign": lambda: seconds(
            [*peer, "sign", "key", root, "--private_key", key, "--signature", signature]
        ),
        "model_signing verify": lambda: seconds(
            [*peer, "verify", "key", root, "--public_key", public, "--signature", signature]
        ),
        "weighbridge sign": lambda: seconds([python, "-c", _SIGN, root, key]),
        "weighbridge verify": lambda: seconds([python, "-c", _VERIFY, root, public]),
        "weighbridge sign, known digests": lambda: seconds([python, "-c", _SIGN, root, key, known]),
    }


def measure(total_bytes: int, rounds: int) -> dict[str, float]:
    """Return the best wall time of every job, in seconds."""
    from weighbridge.checkpoint.read import read_folder
    from weighbridge.shell.signing import create_key_pair

    shutil.rmtree(DATA, ignore_errors=True)
    try:
        write_folder(DATA / "model", total_bytes)
        os.sync()
        create_key_pair(DATA / "key.pem", DATA / "key.pub")
        digests = {str(entry.path): entry.sha256 for entry in read_folder(DATA / "model")}
        (DATA / "known.json").write_text(json.dumps(digests))
        timed = jobs(DATA)
        best = dict.fromkeys(timed, float("inf"))
        for _ in range(rounds):
            for name, job in timed.items():
                best[name] = min(best[name], job())
        return best
    finally:
        shutil.rmtree(DATA, ignore_errors=True)


def ratios(best: dict[str, float]) -> dict[str, float]:
    """Return how many times faster Weighbridge is than `model_signing`."""
    return {
        "sign": best["model_signing sign"] / best["weighbridge sign"],
        "verify": best["model_signing verify"] / best["weighbridge verify"],
        "sign, known digests": best["model_signing sign"] / best["weighbridge sign, known digests"],
        "sign with known digests, then verify": (best["model_signing sign"] + best["model_signing verify"])
        / (best["weighbridge sign, known digests"] + best["weighbridge verify"]),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=2048, help="size of the folder (default: 2048)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of which the best counts (default: 3)")
    options = parser.parse_args()
    best = measure(options.mib << 20, options.rounds)
    print(f"{options.mib} MiB in {FILES} files, {len(os.sched_getaffinity(0))} cores, best of {options.rounds}")
    for name, value in best.items():
        print(f"  {name:34} {value:7.2f} s")
    floor = best["openssl dgst -sha256 (one core)"] / len(os.sched_getaffinity(0))
    print(f"  {'floor: SHA-256 on every core':34} {floor:7.2f} s")
    for name, value in ratios(best).items():
        print(f"  {name + ': times faster':52} {value:5.2f}")


if __name__ == "__main__":
    main()
