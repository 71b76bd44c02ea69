"""A repository with one large file pulled from a hub into another, and again after 1 MiB of it was changed.

`python -m benchmarks.hub_pull [--mebibytes N]` needs room for five such files in `benchmarks/data/`, which it frees at
the end. Both hubs and the peer, `hf download` of the same files, share this machine's cores. What the source sends is
counted on its way. Target: of the changed file it sends less than 4 MiB.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import DATA
from benchmarks.hub_bytes import MIB, _write
from benchmarks.hub_json import served

NAME = "operator/large"
MAX_CHANGED_MIB = 4.0

_UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("operator/large", exist_ok=True)
api.upload_file(path_or_fileobj=sys.argv[1], path_in_repo="w.bin", repo_id="operator/large")
"""
_DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download("operator/large", local_dir=sys.argv[1])
"""


def main() -> None:
    """Print one table and one JSON line; end with an error if the target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mebibytes", type=int, default=256)
    size = parser.parse_args().mebibytes * MIB
    root = DATA / "hub_pull"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        figures = _measure(root, size)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for name, value in figures.items():
        print(f"{name:24}{value:10.2f}")
    print(json.dumps(figures))
    if figures["changed sent MiB"] >= MAX_CHANGED_MIB:
        raise SystemExit("missed: changed")


def _measure(root: Path, size: int) -> dict[str, float]:
    file = root / "w.bin"
    _write(file, size)
    figures: dict[str, float] = {}
    with served(root / "source", "", workers=1) as (source, _):
        relay = _Relay(source)
        token = (root / "source" / "operator-token").read_text().strip()
        quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(root / "home")}
        environment = {**os.environ, "HF_ENDPOINT": relay.address, "HF_TOKEN": token, **quiet}
        hub = [sys.executable, "-m", "weighbridge", "hub"]
        here = ["--folder", str(root / "here")]
        _run([*hub, "org", "add", "mirrors", *here], environment)
        pull = [*hub, "pull", NAME, "--from", relay.address, "--to", "mirrors/large", *here]
        for which in ("first", "changed"):
            _run([sys.executable, "-c", _UPLOAD, str(file)], environment)
            for who, command in (("pull", pull), ("hf", [sys.executable, "-c", _DOWNLOAD, str(root / which)])):
                before, began = relay.sent_bytes, time.perf_counter()
                used = _run(command, environment)
                figures[f"{which} {who} s"] = time.perf_counter() - began
                figures[f"{which} {who} CPU s"] = used.ru_utime + used.ru_stime
                figures[f"{which} {who} peak MiB"] = used.ru_maxrss / 1024
                sent = "sent" if who == "pull" else "hf sent"
                figures[f"{which} {sent} MiB"] = (relay.sent_bytes - before) / MIB
            with file.open("r+b") as changed:
                changed.seek(size // 2)
                changed.write(os.urandom(MIB))
    return figures


def _run(command: list[str], environment: dict[str, str]) -> resource.struct_rusage:
    """Run a command, and return what it used."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"it ends with {process.returncode}: {' '.join(command[:6])}")
    return used


class _Relay:
    """Passes bytes on to a server, and counts those that come back."""

    def __init__(self, target: str) -> None:
        self.sent_bytes = 0
        self._target = urlsplit(target)
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._serve, args=(ready,), daemon=True).start()
        ready.wait()

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._join, "127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        self._loop.run_forever()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        above, below = await asyncio.open_connection(self._target.hostname, self._target.port)
        await asyncio.gather(self._pass(reader, below, counted=False), self._pass(above, writer, counted=True))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(MIB):
                self.sent_bytes += len(data) if counted else 0
                writer.write(data)
                await writer.drain()
        writer.close()


if __name__ == "__main__":
    main()
