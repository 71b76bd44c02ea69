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
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from weighbridge.errors import HubError, InputError, WeighbridgeError
from weighbridge.hub.server import GIB, HubServer, HubSettings
from weighbridge.shell.hub.first_start import first_start

_LOG = logging.getLogger("weighbridge.hub")
_QUICK_DEATH_SECONDS = 2.0
_MOST_FILES = 16_384
_LOOK_SECONDS = 0.5
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
        _allow_files()
        listening = _listen(serving.host, serving.port, serving.workers)
        token_file = _prepare(serving) if serving.workers == 1 else _prepare_apart(serving)
        shown = f"[{serving.host}]" if ":" in serving.host else serving.host
        ready(serving.settings.public_url or f"http://{shown}:{listening[0].getsockname()[1]}", token_file)
        if serving.workers == 1:
            return _work(serving, listening[0])
        return _Workers(serving, listening).run()


def _prepare(serving: Serving) -> Path | None:
    hub = serving.open()
    try:
        hub.store.check()
        return first_start(hub, serving.folder)
    finally:
        # No connection may cross a fork.
        hub.database.close()


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
        raise HubError(outcome["error"], place=outcome["place"], hint=outcome["hint"])
    return Path(outcome["token_file"]) if outcome["token_file"] else None


def _prepared(serving: Serving) -> dict[str, str | None]:
    try:
        token_file = _prepare(serving)
    except WeighbridgeError as error:
        return {"error": error.message, "place": error.place, "hint": error.hint}
    except OSError as error:
        hint = "Name a folder that the server may write to: --folder PATH."
        return {"error": error.strerror or str(error), "place": str(error.filename or serving.folder), "hint": hint}
    return {"token_file": str(token_file) if token_file else None}


class _Workers:
    def __init__(self, serving: Serving, listening: list[socket.socket]) -> None:
        self._serving = serving
        self._free = listening
        self._began: dict[int, tuple[float, socket.socket]] = {}
        self._stopping = False
        self._failed = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for _ in range(self._serving.workers):
            self._start()
        while self._began:
            pid, status = os.wait()
            if pid not in self._began:
                continue
            began, listening = self._began.pop(pid)
            self._free.append(listening)
            lived = time.monotonic() - began
            if self._stopping:
                continue
            _LOG.error("worker %d ended (%d)", pid, os.waitstatus_to_exitcode(status))
            if lived < _QUICK_DEATH_SECONDS:
                self._failed = True
                self._stop(signal.SIGTERM, None)
            else:
                self._start()
        return 1 if self._failed else 0

    def _start(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        listening = self._free.pop()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                code = _work(self._serving, listening)
            except HubError as error:
                _LOG.error("%s", error)
            finally:
                os._exit(code)
        self._began[pid] = (time.monotonic(), listening)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        for pid in self._began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _work(serving: Serving, listening: socket.socket) -> int:
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

    parent = os.getppid()

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with answering(app, listening, ConnectionLimits.fitting()):
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), _LOOK_SECONDS)
                if serving.workers > 1 and os.getppid() != parent:
                    # The first process was killed: whoever starts the hub again needs the port.
                    stop.set()

    asyncio.run(run())
    hub.database.close()
    return 0


def _allow_files() -> None:
    """Raise the number of files that the process may have open, which is low by tradition, not for a reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listen(host: str, port: int, number: int) -> list[socket.socket]:
    """Return so many sockets that listen at one address."""
    try:
        if port:
            # Alone, to learn whether somebody listens there: what shares an address shares it with anybody.
            _bound(host, port, shared=False).close()
        listening = [_bound(host, port, shared=True)]
        port = listening[0].getsockname()[1]
        listening += [_bound(host, port, shared=True) for _ in range(number - 1)]
    except OSError as error:
        raise HubError(
            f"cannot listen there: {error.strerror or error}",
            place=f"{host}:{port}",
            hint="Another program may have this port: give another one by --port, or 0 for any that is free.",
        ) from error
    for each in listening:
        each.listen(1024)
        each.setblocking(False)
    return listening


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError as error:
        raise InputError(
            f"{host!r} is not an address of this machine", place="--host", hint="Give an IP address, such as 0.0.0.0."
        ) from error
