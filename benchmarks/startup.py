"""How long `weighbridge --help` takes, against starting the interpreter alone.

Floor: `python -c pass` in the same environment. Limit of the project: 0.25 s on an idle machine.
"""

import json
import subprocess
import sys
import time

ROUNDS = 9


def seconds(arguments: list[str]) -> float:
    """Return the wall time of one child process."""
    began = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the best of several interleaved rounds."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "weighbridge --help": [sys.executable, "-m", "weighbridge", "--help"],
    }
    best = {name: min(seconds(command) for _ in range(ROUNDS)) for name, command in commands.items()}
    for name, value in best.items():
        print(f"{name:24} {value * 1000:7.0f} ms")
    ratio = best["weighbridge --help"] / best["python -c pass"]
    print(json.dumps({"benchmark": "startup", "seconds": best, "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    main()
