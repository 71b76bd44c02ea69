"""The real `weighbridge hub serve`, as processes of its own, for tests that end them without warning."""

import json
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_START_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class HubProcess:
    """A hub that is started, killed and started again, always at the same address.

    Attributes:
        folder: of the hub.
        database: an address, or empty for the folder's SQLite file.
        store: an address, or empty for the folder.
        workers: processes that answer.
        environ: what they find in their environment beside ours.
        options: further ones of `serve`.
        port: of TCP.
        log: what the server wrote to standard error.
    """

    folder: Path
    database: str = ""
    store: str = ""
    workers: int = 1
    environ: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    port: int = 0
    log: Path = Path(os.devnull)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.log = self.folder.parent / f"{self.folder.name}-{self.port}.log"

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """The operator's token, made at the first start."""
        return (self.folder / "operator-token").read_text().strip()

    def start(self) -> None:
        """Start the server and wait until it says that it listens."""
        command = ["serve", "--port", str(self.port), "--workers", str(self.workers), "--json", *self.options]
        with self.log.open("ab") as errors:
            self.process = subprocess.Popen(
                self._command(*command),
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environ(),
                # A group of its own, so that all of its processes are killed at one moment.
                start_new_session=True,
            )
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            ready = selector.select(_START_SECONDS)
        said = self.process.stdout.readline() if ready else b""
        assert said.strip() == b"{", f"the hub did not start: {self.errors()}"

    def kill(self) -> None:
        """End all of its processes at once, as a power cut would (`kill -9`)."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.kill()

    def run(self, *verb: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a verb of `weighbridge hub` on this hub."""
        return subprocess.run(
            self._command(*verb), env=self._environ(), capture_output=True, text=True, timeout=timeout, check=False
        )

    def told(self, *verb: str) -> Any:
        """Run a verb and return the JSON that it prints."""
        done = self.run(*verb, "--json")
        assert done.returncode == 0, (verb, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return json.loads(done.stdout)

    def begin(self, *verb: str) -> subprocess.Popen[bytes]:
        """Start a verb of `weighbridge hub` on this hub, to be ended or waited for by the caller."""
        return subprocess.Popen(
            self._command(*verb),
            env=self._environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def errors(self) -> str:
        """Return the end of what it logged."""
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def trouble(self) -> list[str]:
        """Return the log lines of level error: there are none of them while all is well."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if '"level": "error"' in line or line.startswith(("Traceback", "---"))]

    def resident_bytes(self) -> int:
        """Return the memory of the largest of its processes since its start (`VmHWM`)."""
        assert self.process is not None
        return max(_peak(pid) for pid in (self.process.pid, *_children(self.process.pid)))

    def _command(self, verb: str, *options: str) -> list[str]:
        where = [] if verb == "restore" else ["--folder", str(self.folder)]
        if verb != "restore":
            where += ["--database", self.database] if self.database else []
            where += ["--store", self.store] if self.store else []
        # A verb with actions (`user add`) takes the folder behind its action.
        action = [options[0]] if verb in ("user", "token", "org") else []
        return [sys.executable, "-m", "weighbridge", "hub", verb, *action, *where, *options[len(action) :]]

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", **self.environ}

    def _reap(self) -> None:
        assert self.process is not None
        self.process.wait(30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        # Its workers were not our children: their socket must be closed before another may listen.
        deadline = time.monotonic() + 30
        while _listens(self.port) and time.monotonic() < deadline:
            time.sleep(0.01)


@contextmanager
def serving(hub: HubProcess) -> Iterator[HubProcess]:
    """Serve until the block ends."""
    hub.start()
    try:
        yield hub
    finally:
        hub.kill()


def free_port() -> int:
    """Return a port of loopback below those that the kernel gives to clients, so that no client is given it."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _peak(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
