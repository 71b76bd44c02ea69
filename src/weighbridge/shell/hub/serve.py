"""The server's processes: one address, several workers, one of them at a time does the background work.

Each worker has a socket of its own at the address, and the kernel divides the connections among them: where they share
one, whoever wakes first takes all that wait.

Workers are forked before any of them has threads or connections. The first process only waits: it starts a worker that
died anew, and passes SIGTERM and SIGINT on.
"""

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from weighbridge.errors import HubError, InputError, WeighbridgeError
from weighbridge.hub.http.outage import OUTAGES, reason
from weighbridge.hub.server import GIB, HubServer, HubSettings
from weighbridge.shell.hub.first_start import first_start
from weighbridge.shell.hub.listening import bound, listen

_LOG = logging.getLogger("weighbridge.hub")
_QUICK_DEATH_SECONDS = 2.0
_MOST_FILES = 16_384
_LEAST_FILES = 300
_NO_STRANGERS = 0o002
_LOOK_SECONDS = 0.5
_STOP_SECONDS = 30.0
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a hub is to be served.

    Attributes:
        folder: the hub's own folder.
        database: an address, or empty for the folder's SQLite file.
        store: an address, or empty for the folder itself.
        host: an address of this machine to listen on.
        port: of TCP; 0 for any that is free.
        workers: how many processes answer.
        cache_bytes: budget of the cache of whole files.
        settings: what whoever runs it chose.
    """

    folder: Path
    database: str = ""
    store: str = ""
    host: str = "127.0.0.1"
    port: int = 8900
    workers: int = 1
    cache_bytes: int = 16 * GIB
    settings: HubSettings = field(default_factory=HubSettings)

    def __post_init__(self) -> None:
        if not _is_loopback(self.host) and not self.settings.public_url:
            raise InputError(
                f"{self.host} can be reached by other machines, and the hub does not know its name there",
                place="--host",
                hint="Give --public-url https://hub.example.org, best behind a server that speaks TLS.",
            )

    def open(self) -> HubServer:
        """Open database and store; raises as `open_hub` does."""
        from weighbridge.shell.hub.wiring import open_hub

        return open_hub(
            self.folder,
            database=self.database,
            store=self.store,
            cache_bytes=self.cache_bytes,
            settings=self.settings,
        )


def serve(serving: Serving, ready: Callable[[str, Path | None], None]) -> int:
    """Serve until told to stop; return the exit code.

    `ready` is called once it listens, with the address and the file of the first token if that was made just now.

    Raises:
        HubError: if the address is taken, or the hub cannot be opened.
    """
    with tempfile.TemporaryDirectory(prefix="weighbridge-metrics-") as metrics:
        # Before prometheus_client is imported: it looks once.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        # Whatever whoever starts it allows: what strangers may write to in its folder, they may take away.
        os.umask(os.umask(_NO_STRANGERS) | _NO_STRANGERS)
        _allow_files()
        listening = listen(serving.host, serving.port, serving.workers)
        token_file = _prepare(serving) if serving.workers == 1 else _prepare_apart(serving)
        shown = f"[{serving.host}]" if ":" in serving.host else serving.host
        workers = _Workers(serving, listening) if serving.workers > 1 else None
        ready(serving.settings.public_url or f"http://{shown}:{listening[0].getsockname()[1]}", token_file)
        return _work(serving, listening[0], parent=os.getppid()) if workers is None else workers.run()


def _prepare(serving: Serving) -> Path | None:
    from weighbridge.shell.hub.wiring import UnusableHubError

    try:
        hub = serving.open()
        try:
            hub.store.check()
            return first_start(hub, serving.folder)
        finally:
            # No connection may cross a fork.
            hub.database.close()
    except HubError as error:
        raise UnusableHubError.of(error) from error
    except OSError as error:
        hint = "Name a folder that the server may write to: --folder DIR."
        place = str(error.filename or serving.folder)
        raise UnusableHubError(error.strerror or str(error), place=place, hint=hint) from error


def _prepare_apart(serving: Serving) -> Path | None:
    """Prepare in a process of its own: the library of an object store starts threads, which no fork survives."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as out:
                json.dump(_prepared(serving), out)
            code = 0
        except BaseException:  # noqa: BLE001 - the process ends here, and nobody else would say why
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as told:
        said = told.read()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise HubError("the hub cannot be opened", place=str(serving.folder), hint="The lines above say why.")
    outcome = json.loads(said)
    if "error" in outcome:
        from weighbridge.shell.hub.wiring import UnusableHubError

        raise UnusableHubError(outcome["error"], place=outcome["place"], hint=outcome["hint"])
    return Path(outcome["token_file"]) if outcome["token_file"] else None


def _prepared(serving: Serving) -> dict[str, str | None]:
    try:
        token_file = _prepare(serving)
    except WeighbridgeError as error:
        return {"error": error.message, "place": error.place, "hint": error.hint}
    return {"token_file": str(token_file) if token_file else None}


class _Workers:
    def __init__(self, serving: Serving, listening: list[socket.socket]) -> None:
        self._serving = serving
        self._free = listening
        self._began: dict[int, tuple[float, socket.socket]] = {}
        self._stopping = False
        self._failed = False
        self._since = time.monotonic()
        self._pid = os.getpid()
        for number in _STOPPING:
            signal.signal(number, self._stop)

    def run(self) -> int:
        """Keep the workers running until told to stop; return the exit code."""
        for _ in range(self._serving.workers):
            self._start()
        while self._began:
            pid, status = os.wait()
            if pid not in self._began:
                continue
            began, listening = self._began.pop(pid)
            now = time.monotonic()
            if self._stopping:
                continue
            _LOG.error("worker %d ended (%s)", pid, _how(status))
            if now - self._since < _QUICK_DEATH_SECONDS:
                self._failed = True
                self._stop(signal.SIGTERM, None)
                continue
            if now - began < _QUICK_DEATH_SECONDS:
                # What it needs, a database say, is away for a while: the others serve on meanwhile.
                listening = self._after_a_pause(listening)
            self._free.append(listening)
            self._start()
        return 1 if self._failed else 0

    def _after_a_pause(self, listening: socket.socket) -> socket.socket:
        """Return a socket at the same address, a while later, that the worker lets listen once it is well.

        One that listens is given connections by the kernel, which would wait in vain.
        """
        host, port = listening.getsockname()[:2]
        listening.close()
        while True:
            time.sleep(_QUICK_DEATH_SECONDS)
            try:
                made = bound(host, port, shared=True)
                made.setblocking(False)
                return made
            except OSError as error:
                _LOG.error("cannot listen at %s:%d again: %s", host, port, error.strerror)
                if self._stopping:
                    return listening

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal in the midst of this would miss the new process, or be answered by it as if it were the first one.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            if not self._stopping:
                listening = self._free.pop()
                pid = os.fork()
                if pid == 0:
                    self._become_worker(listening)
                self._began[pid] = (time.monotonic(), listening)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)

    def _become_worker(self, listening: socket.socket) -> NoReturn:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            # A copy would keep the others' sockets listening when they are gone.
            for other in (*self._free, *(socket_ for _, socket_ in self._began.values())):
                other.close()
            code = _work(self._serving, listening, parent=self._pid)
        except OUTAGES as error:
            _LOG.error("a worker cannot serve: %s", reason(error))
        except BaseException:  # noqa: BLE001 - the process ends here, and nobody else would say why
            _LOG.exception("a worker cannot serve")
        finally:
            os._exit(code)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        for pid in self._began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _work(serving: Serving, listening: socket.socket, *, parent: int) -> int:
    from weighbridge.hub.http.app import build_app
    from weighbridge.hub.http.connections import ConnectionLimits, answering
    from weighbridge.hub.http.features import ROUTES
    from weighbridge.shell.hub.allocator import keep_blocks
    from weighbridge.shell.hub.background import background

    # Uploads wait on the hub's own disk: the system's folder for such files may be small, or memory.
    waiting = serving.folder / "waiting"
    waiting.mkdir(exist_ok=True)
    tempfile.tempdir = str(waiting)
    keep_blocks()
    # Requests are short: whoever waits for the interpreter should not wait for several of them.
    sys.setswitchinterval(_SWITCH_SECONDS)
    hub = serving.open()
    app = build_app(hub, ROUTES)
    app.cleanup_ctx.append(background(hub))

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in _STOPPING:
            loop.add_signal_handler(number, stop.set)
        async with answering(app, listening, ConnectionLimits.fitting()):
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
                # Whoever clears the hub's folder while it serves may take an empty folder for one that nobody needs.
                with contextlib.suppress(OSError):
                    waiting.mkdir(exist_ok=True)
                if serving.workers > 1 and os.getppid() != parent:
                    # The first process was killed: whoever starts the hub again needs the port.
                    stop.set()
            _stop_in_time()

    asyncio.run(run())
    hub.database.close()
    return 0


def _stop_in_time() -> None:
    """End this process before long, whatever its threads wait for: a store that is away, say, or a collection."""

    def end() -> None:
        _LOG.warning(
            "stopped in the midst of work after %d seconds; nothing that was acknowledged is lost", _STOP_SECONDS
        )
        os._exit(0)

    bound = threading.Timer(_STOP_SECONDS, end)
    bound.daemon = True
    bound.start()


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"


def _allow_files() -> None:
    """Raise the number of files that the process may have open, which is low by tradition, not for a reason.

    Raises:
        InputError: if it may not have as many as a few connections take.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if wanted < _LEAST_FILES:
        raise InputError(
            f"a process may have only {wanted} files open, and a hub needs {_LEAST_FILES}",
            place="ulimit -n",
            hint="Allow more: `ulimit -n 4096`, or LimitNOFILE= of the systemd unit.",
        )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise InputError(
            f"{host!r} is not an address of this machine", place="--host", hint="Give an IP address, such as 0.0.0.0."
        ) from error
