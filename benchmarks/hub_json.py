"""Requests per second for `model_info` and `tree` on a hub with 10,000 repositories and 1,000,000 files.

`python -m benchmarks.hub_json [--repositories N] [--database URL] [--seconds N]` needs Debian's `wrk`. It makes hubs of
100 and of N repositories of 100 files each in `benchmarks/data/` (kept for the next run), serves each by two
processes and asks for repositories in random order over 16 connections, on the same two cores. Targets: 1,000
requests a second, 99 of 100 within 50 ms, at most a third slower than with 100 repositories, processes under 300 MiB.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import DATA

FILES = 100
LARGE = 5
CONNECTIONS = 16
WORKERS = 2
OWNER = "loader"
_BATCH = 50

_LUA = """
local counter = 0
math.randomseed(os.time())
request = function()
  local path = string.format("{path}", math.random(0, {last}))
  return wrk.format("GET", path)
end
done = function(summary, latency, requests)
  io.write(string.format("JSON %f %f %d %d\\n", summary.requests / (summary.duration / 1e6),
    latency:percentile(99) / 1000, summary.errors.status, summary.errors.timeout))
end
"""

PATHS = {
    "model_info": f"/api/models/{OWNER}/model-%05d",
    "tree": f"/api/models/{OWNER}/model-%05d/tree/main?recursive=true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What one run of wrk saw: requests a second, and the 99th percentile of the latency in milliseconds."""

    per_second: float
    p99_ms: float


def load(folder: Path, database: str, repositories: int) -> None:
    """Make a hub of so many repositories of `FILES` files each, or go on with one that was interrupted."""
    from sqlalchemy import func, select

    from weighbridge.hub.accounts.caller import Caller
    from weighbridge.hub.accounts.register import add_account, any_user
    from weighbridge.hub.database.schema import repository
    from weighbridge.hub.repositories import facts, lifecycle, weights
    from weighbridge.shell.hub.wiring import open_hub

    hub = open_hub(folder, database=database)
    with hub.database.write() as connection:
        if not any_user(connection):
            add_account(connection, OWNER, "user", now_ms=hub.now_ms())
    with hub.database.read() as connection:
        begin = connection.execute(select(func.count()).select_from(repository)).scalar_one()
    owner = Caller(user_id=1, name=OWNER, grant="write")
    for first in range(begin, repositories, _BATCH):
        with hub.database.write() as connection:
            for number in range(first, min(first + _BATCH, repositories)):
                wish = lifecycle.Wish(kind="model", owner=OWNER, name=f"model-{number:05d}")
                made = lifecycle.create(
                    connection, owner, wish, base_url="", now_ms=hub.now_ms() + number, files=_files(number)
                )
                facts.refresh(connection, hub, made)
        weights.measure_waiting(hub)
        sys.stderr.write(f"\r{first + _BATCH:,} of {repositories:,} repositories")
    sys.stderr.write("\n")
    hub.database.close()


def _files(number: int) -> dict[str, bytes]:
    card = f"---\nlicense: apache-2.0\npipeline_tag: text-generation\ntags: [t{number % 50}]\n---\n# {number}\n"
    files = {"README.md": card.encode()}
    for index in range(LARGE):
        pointer = f"oid sha256:{number:060x}{index:04x}\nsize {1_000_000 + index}\n"
        files[f"model-{index}.safetensors"] = f"version https://git-lfs.github.com/spec/v1\n{pointer}".encode()
    # With `.gitattributes`, which every repository has, they are `FILES`.
    for index in range(FILES - LARGE - 2):
        files[f"folder-{index // 10}/file-{index}.txt"] = f"{number} {index}".encode()
    return files


@contextmanager
def served(
    folder: Path, database: str, *, workers: int = WORKERS, options: tuple[str, ...] = ()
) -> Iterator[tuple[str, int]]:
    """Serve the hub by the command that users type; yields its address and the first process."""
    command = [sys.executable, "-m", "weighbridge", "hub", "serve", "--folder", str(folder), "--port", "0", "--quiet"]
    command += ["--workers", str(workers), "--json", *options]
    process = subprocess.Popen(
        [*command, *(["--database", database] if database else [])], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = ""
        while not lines.rstrip().endswith("}"):
            line = process.stdout.readline()
            if not line:
                raise SystemExit("the hub did not start")
            lines += line
        address = json.loads(lines)["address"]
        for _ in range(100):  # its processes import what they need
            urllib.request.urlopen(f"{address}/health/ready", timeout=120).close()
            time.sleep(0.05)
        yield address, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ask(address: str, what: str, repositories: int, *, seconds: int) -> Answered:
    """Ask for repositories in random order for so long."""
    script = DATA / "hub_json.lua"
    script.write_text(_LUA.replace("{path}", PATHS[what]).replace("{last}", str(repositories - 1)))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), address]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"JSON (\S+) (\S+) (\d+) (\d+)", out)
    if not found or int(found[3]) or int(found[4]):
        raise SystemExit(f"wrk saw errors:\n{out}")
    return Answered(per_second=float(found[1]), p99_ms=float(found[2]))


def peak_mib(first_process: int) -> float:
    """Return the largest resident size that a process of the server ever had."""
    peaks = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        parent = re.search(r"^PPid:\s+(\d+)", text, re.MULTILINE)
        mine = status.parent.name == str(first_process) or (parent and parent[1] == str(first_process))
        peak = re.search(r"^VmHWM:\s+(\d+)", text, re.MULTILINE)
        if mine and peak:
            peaks.append(int(peak[1]) / 1024)
    return max(peaks)


def main() -> None:
    """Print one table and one JSON line; end with an error if a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repositories", type=int, default=10_000)
    parser.add_argument("--database", default="", help="postgresql://… of an empty database, instead of SQLite")
    parser.add_argument("--seconds", type=int, default=15)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk: apt-get install wrk")
    found: dict[str, dict[int, Answered]] = {what: {} for what in PATHS}
    memory: dict[int, float] = {}
    DATA.mkdir(exist_ok=True)
    for repositories in (100, options.repositories):
        folder = DATA / f"hub_{repositories}{'_pg' if options.database else ''}"
        load(folder, options.database, repositories)
        with served(folder, options.database) as (address, process):
            for what in PATHS:
                ask(address, what, repositories, seconds=3)
                found[what][repositories] = ask(address, what, repositories, seconds=options.seconds)
            memory[repositories] = peak_mib(process)
    _tell(found, memory, options.repositories)


def _tell(found: dict[str, dict[int, Answered]], memory: dict[int, float], many: int) -> None:
    print(f"{os.cpu_count()} cores, {WORKERS} processes, {CONNECTIONS} connections, {FILES} files a repository\n")
    print(f"{'':12}{'repositories':>14}{'requests/s':>12}{'p99, ms':>10}{'of 100':>8}")
    missed = []
    for what, runs in found.items():
        for repositories, run in runs.items():
            ratio = run.per_second / runs[100].per_second
            print(f"{what:12}{repositories:>14,}{run.per_second:>12,.0f}{run.p99_ms:>10.1f}{ratio:>8.2f}")
        last = runs[many]
        if last.per_second < 1000 or last.p99_ms >= 50 or last.per_second < runs[100].per_second * 2 / 3:
            missed.append(what)
    print(f"largest process: {max(memory.values()):.0f} MiB")
    if max(memory.values()) >= 300:
        missed.append("memory")
    print(json.dumps({w: {n: [r.per_second, r.p99_ms] for n, r in runs.items()} for w, runs in found.items()}))
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
