"""Recognising a licence text among all archived ones, after load, against hashing the same bytes with SHA-256.

Every archived text is recognised as it is kept (`exact`) and with other line ends, which makes it go through the words
(`normalised`); a text with one changed word shows what an answer of "none" costs, and the search for the nearest one.
Limit of the project: a median of 50 ms over the exact texts. Load is what the first call of a process pays, once.
"""

import hashlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

ROUNDS = 5
LIMIT_MS = 50
_LOAD = """
import time
began = time.perf_counter()
from weighbridge.terms.recognise import recognise
recognise(b"")
print(time.perf_counter() - began)
"""


def best_ms(job: Callable[[bytes], object], data: bytes, *, same: bool = True) -> float:
    """Return the shortest of several runs over `data`, in milliseconds.

    With `same` false, each run gets a line end more: what was seen before is remembered, and would be looked up.
    """
    times = []
    for run in range(ROUNDS):
        text = data if same else data + b"\n" * (run + 1)
        began = time.perf_counter()
        job(text)
        times.append(time.perf_counter() - began)
    return min(times) * 1000


def load_ms() -> float:
    """Return how long a fresh process takes to read the facts and index the texts, in milliseconds."""
    runs = (
        subprocess.run([sys.executable, "-c", _LOAD], check=True, capture_output=True, text=True).stdout
        for _ in range(ROUNDS)
    )
    return min(map(float, runs)) * 1000


def measure() -> dict[str, list[float]]:
    """Return the time of every job over every archived text, in milliseconds."""
    from weighbridge.terms.difference import nearest
    from weighbridge.terms.recognise import recognise
    from weighbridge.terms.registry import archived, registry

    texts = [archived(file) for file in sorted({licence.text_file for licence in registry().all} - {""})]
    recognise(b"")
    nearest(texts[0])
    found: dict[str, list[float]] = {
        name: [] for name in ("SHA-256", "exact", "normalised", "one word changed", "nearest")
    }
    for text in texts:
        data, other_ends = text.encode(), text.replace("\n", "\r\n").encode()
        half = len(text) // 2
        changed = f"{text[:half]} CHANGED {text[half:]}"
        assert recognise(data).how == "exact"
        assert recognise(changed).licence_id is None
        found["SHA-256"].append(best_ms(hashlib.sha256, data))
        found["exact"].append(best_ms(recognise, data))
        found["normalised"].append(best_ms(recognise, other_ends, same=False))
        found["one word changed"].append(best_ms(recognise, changed.encode(), same=False))
        found["nearest"].append(best_ms(lambda text: nearest(text.decode()), changed.encode()))
    return found


def main() -> None:
    """Measure and print; fail if the limit is not met."""
    found = measure()
    print(f"{len(found['exact'])} texts, best of {ROUNDS}; load once a process: {load_ms():.0f} ms")
    for name, times in found.items():
        print(f"  {name:18} median {statistics.median(times):8.3f} ms, worst {max(times):8.3f} ms")
    medians = {name: round(statistics.median(times), 4) for name, times in found.items()}
    ratio = medians["exact"] / medians["SHA-256"]
    print(json.dumps({"benchmark": "licence_detect", "median_ms": medians, "exact_to_sha256": round(ratio, 2)}))
    if medians["exact"] >= LIMIT_MS:
        sys.exit(f"the median of {medians['exact']} ms is over the limit of {LIMIT_MS} ms")


if __name__ == "__main__":
    main()
