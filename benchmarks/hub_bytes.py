"""A file of 1 GiB into the hub by hf_xet, out of it whole and in ranges of xorbs, against nginx and the client alone.

`python -m benchmarks.hub_bytes [--mebibytes N]` needs Debian's `nginx` (`nginx-light`) and `curl`, and room for six
such files in `benchmarks/data/`, which it frees at the end. Server, client and peers share this machine's cores;
commands take turns, and the best of the rounds counts. Targets, as ratios of wall times in one run: GET of the whole
file and of the ranges of its xorbs at least 0.6 as fast as nginx sending the same files; equal (0.9) with nginx
before the hub; an upload at most 1.5 times the client's own chunking and hashing plus a copy, and, since the client
also packs and sends, at most 1.5 times the same client against a hub that throws everything away; a second upload
with 1 MiB changed sends less than 4 MiB; processes of the server under 300 MiB.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks import DATA
from benchmarks.hub_json import peak_mib, served

MIB = 1024**2
ROUNDS = 3
NAME = "operator/large"

# What the client does by itself before a byte is sent: the SHA-256 of the commit, then chunks and their hashes.
_HASH = """
import sys, hf_xet
from huggingface_hub.lfs import UploadInfo
assert UploadInfo.from_path(sys.argv[1]).sha256
hf_xet.hash_files([sys.argv[1]])
"""
_UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("operator/large", exist_ok=True)
api.upload_file(path_or_fileobj=sys.argv[1], path_in_repo=sys.argv[2], repo_id="operator/large")
"""


def main() -> None:
    """Print one table and one JSON line; end with an error if a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mebibytes", type=int, default=1024)
    size = parser.parse_args().mebibytes * MIB
    for tool in ("nginx", "curl"):
        if shutil.which(tool) is None and not Path(f"/usr/sbin/{tool}").exists():
            raise SystemExit(f"this benchmark needs {tool}: apt-get install nginx-light curl")
    root = DATA / "hub_bytes"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        figures = _measure(root, size)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    _tell(figures)


def _measure(root: Path, size: int) -> dict[str, float]:
    source = root / "source.bin"
    _write(source, size)
    figures: dict[str, float] = {}
    with served(root / "hub", "") as (address, process):
        environment = _environment(root, address)
        figures |= _upload(root, source, address, environment)
        token = environment["HF_TOKEN"]
        url = f"{address}/{NAME}/resolve/main/0.bin"
        _fetch(url, token)  # puts the whole file together
        with _nginx(root) as peer:
            whole = _put_together(root / "hub" / "cache").relative_to(root)
            figures |= _against("GET", lambda: _fetch(url, token), lambda: _fetch(f"{peer}/{whole}"))
            ours, theirs = _ranges(root, address, peer, token)
            figures |= _against("Range", lambda: _curl(ours), lambda: _curl(theirs))
        figures["memory MiB"] = peak_mib(process)
    with (
        served(root / "hub", "", options=("--x-accel", "/bytes")) as (address, _),
        _nginx(root, before=address) as front,
    ):
        peer_url = f"{front}/{whole}"
        url = f"{front}/{NAME}/resolve/main/0.bin"
        figures |= _against("X-Accel", lambda: _fetch(url, token), lambda: _fetch(peer_url))
    return figures


def _upload(root: Path, source: Path, address: str, environment: dict[str, str]) -> dict[str, float]:
    """Return the times of uploading, of the client's own work and a copy, and the bytes that a changed file sends."""
    copy = root / "copy.bin"
    ours, alone, copying, discarded = [], [], [], []
    for number in range(ROUNDS):
        # Each round other bytes: what the hub has is not sent again.
        _write(source, source.stat().st_size, seed=number)
        alone.append(_timed([sys.executable, "-c", _HASH, str(source)], environment))
        copying.append(_timed(["cp", str(source), str(copy)], environment))
        copy.unlink()
        with _discarding() as sink:
            into = {**environment, "HF_ENDPOINT": sink, "HF_HOME": str(root / f"home-{number}")}
            discarded.append(_timed([sys.executable, "-c", _UPLOAD, str(source), f"{number}.bin"], into))
        ours.append(_timed([sys.executable, "-c", _UPLOAD, str(source), f"{number}.bin"], environment))
    before = _received(address)
    with source.open("r+b") as file:
        file.seek(source.stat().st_size // 2)
        file.write(os.urandom(MIB))
    _timed([sys.executable, "-c", _UPLOAD, str(source), "changed.bin"], environment)
    return {
        "upload s": min(ours),
        "client alone s": min(alone),
        "copy s": min(copying),
        "discarded upload s": min(discarded),
        "upload ratio": min(ours) / (min(alone) + min(copying)),
        "discarded ratio": min(discarded) / (min(alone) + min(copying)),
        "upload to discarded": min(ours) / min(discarded),
        "changed MiB sent": (_received(address) - before) / MIB,
    }


@contextmanager
def _discarding() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks._discarding_hub"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def _put_together(cache: Path) -> Path:
    """Wait until the whole file lies in the cache."""
    for _ in range(600):
        if found := next(cache.rglob("[0-9a-f]" * 64), None):
            return found
        time.sleep(0.2)
    raise SystemExit("the hub did not put the file together")


def _against(name: str, ours: Callable[[], None], peer: Callable[[], None]) -> dict[str, float]:
    seconds: dict[str, list[float]] = {"ours": [], "nginx": []}
    for _ in range(2 * ROUNDS + 1):
        for who, fetch in (("nginx", peer), ("ours", ours)):
            began = time.perf_counter()
            fetch()
            seconds[who].append(time.perf_counter() - began)
    best = {who: min(found[1:]) for who, found in seconds.items()}
    return {
        f"{name} s": best["ours"],
        f"{name} nginx s": best["nginx"],
        f"{name} speed of nginx": best["nginx"] / best["ours"],
    }


def _ranges(root: Path, address: str, peer: str, token: str) -> tuple[Path, Path]:
    """Return two lists for curl: the ranges of a file's xorbs from the hub, and the same ranges from nginx."""
    told = json.load(_ask(f"{address}/api/models/{NAME}/xet-read-token/main", token))
    request = urllib.request.Request(f"{address}/{NAME}/resolve/main/0.bin", method="HEAD")
    request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request) as head:
        file_hash = head.headers["X-Xet-Hash"]
    plan = json.load(_ask(f"{told['casUrl']}/v1/reconstructions/{file_hash}", told["accessToken"]))
    lists = root / "ours.curl", root / "nginx.curl"
    parted = ""
    with lists[0].open("w") as ours, lists[1].open("w") as theirs:
        for xorb, fetches in plan["fetch_info"].items():
            path = next((root / "hub" / "bytes").rglob(f"{xorb}*")).relative_to(root)
            for fetch in fetches:
                span = f'range = "{fetch["url_range"]["start"]}-{fetch["url_range"]["end"]}"\noutput = /dev/null\n'
                ours.write(f'{parted}url = "{fetch["url"]}"\nfail\n{span}')
                theirs.write(f'{parted}url = "{peer}/{path}"\nfail\n{span}')
                parted = "next\n"
    return lists


def _fetch(url: str, token: str = "") -> None:
    header = ["-H", f"Authorization: Bearer {token}"] if token else []
    subprocess.run(["curl", "-sS", "--fail", "-o", "/dev/null", *header, url], check=True)


def _curl(config: Path) -> None:
    subprocess.run(["curl", "-sS", "-K", str(config)], check=True)


def _ask(url: str, token: str) -> "urllib.request._UrlopenRet":
    request = urllib.request.Request(url)
    request.add_header("Authorization", f"Bearer {token}")
    return urllib.request.urlopen(request)


def _received(address: str) -> float:
    text = urllib.request.urlopen(f"{address}/metrics").read().decode()
    return sum(float(value) for value in re.findall(r"^weighbridge_hub_received_bytes_total (\S+)", text, re.MULTILINE))


def _environment(root: Path, address: str) -> dict[str, str]:
    token = (root / "hub" / "operator-token").read_text().strip()
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**os.environ, "HF_ENDPOINT": address, "HF_TOKEN": token, "HF_HOME": str(root / "home"), **quiet}


def _timed(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def _write(path: Path, size: int, *, seed: int = 0) -> None:
    """Write random bf16 weights, such as models are made of."""
    generator = np.random.default_rng(seed)
    with path.open("wb") as file:
        for _ in range(0, size, 16 * MIB):
            values = generator.standard_normal(8 * MIB, dtype=np.float32)
            file.write((values.view(np.uint32) >> 16).astype(np.uint16).data)


@contextmanager
def _nginx(root: Path, *, before: str = "") -> Iterator[str]:
    """Run nginx on a free port over `root`; `before` is the hub that it passes everything else to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    front = (
        f"location /bytes/ {{ internal; alias {root.resolve()}/hub/; }}"
        f"location / {{ proxy_pass {before}; proxy_set_header Host $proxy_host; }}"
        f"location /hub/ {{ root {root.resolve()}; }}"
    )
    config = root / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 2; pid {root.resolve()}/nginx.pid; error_log stderr error; user root;"
        "events { worker_connections 256; }"
        f"http {{ access_log off; sendfile on; tcp_nopush on; server {{ listen 127.0.0.1:{port};"
        + (front if before else f"root {root.resolve()};")
        + "} }"
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([program, "-c", str(config.resolve()), "-p", str(root.resolve())])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _tell(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        print(f"{name:24}{value:10.2f}")
    print(json.dumps(figures))
    missed = [
        name
        for name, reached in (
            ("GET", figures["GET speed of nginx"] >= 0.6),
            ("Range", figures["Range speed of nginx"] >= 0.6),
            ("X-Accel", figures["X-Accel speed of nginx"] >= 0.9),
            ("upload", figures["upload ratio"] <= 1.5),
            ("upload to discarded", figures["upload to discarded"] <= 1.5),
            ("changed", figures["changed MiB sent"] < 4),
            ("memory", figures["memory MiB"] < 300),
        )
        if not reached
    ]
    if missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
