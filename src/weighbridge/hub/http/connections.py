"""Connections of one server process: how long each may keep it waiting, and how many there may be.

The framework bounds neither: whoever sends half a head of a request, or asks for a file and never reads it, would hold
a connection for ever, and enough of them would hold all of the process's file descriptors. Here a connection is either
answering, or it waits for a request. Those that wait are closed when their time is over, and earlier, the longest
waiting first, when another connection needs the room.
"""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

MOST: Final = 2000
"""Connections of a process: an idle one takes some 20 KB."""

_LOG: Final = logging.getLogger("weighbridge.hub.connections")
_TELL_SECONDS: Final = 60.0
_RESERVE: Final = 256
_FILES_EACH: Final = 2  # the socket, and the file that is sent or received by it
_LOOKS: Final = 8
_ACCEPTED_AT_ONCE: Final = 32
_BACKLOG: Final = 1024
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n"
    b"X-Error-Message: The hub has as many connections as it can answer: try again.\r\n\r\n"
)
# Received ahead of whoever takes a body: with less, an upload waits for the event loop after every few reads.
_READ_BYTES: Final = 1024 * 1024
_GRACE_SECONDS: Final = 20.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """What the connections of a process may take.

    Attributes:
        head_seconds: for how long the head of a request may take to arrive: of the first one from the connection's
            beginning on, of a later one from its first byte.
        idle_seconds: for how long a connection is kept after an answer, for the next request.
        unread_seconds: for how long a client may take nothing of what it is sent.
        most: how many connections there may be.
    """

    head_seconds: float = 20.0
    idle_seconds: float = 75.0
    unread_seconds: float = 120.0
    most: int = MOST

    @classmethod
    def fitting(cls) -> "ConnectionLimits":
        """Return the usual limits, with no more connections than the process may have files."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if files == resource.RLIM_INFINITY:
            return cls()
        return cls(most=max(1, min(MOST, (files - _RESERVE) // _FILES_EACH)))


class Connections:
    """The connections of a process; used in its event loop only."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._open: dict[asyncio.BaseProtocol, _Connection] = {}
        # In the order in which they began to wait.
        self._waiting: dict[_Connection, float] = {}
        self._told_full: float | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._open)

    @property
    def middleware(self) -> Middleware:
        """What tells, as the application's outermost middleware, which connections are answering."""

        @web.middleware
        async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = self._open.get(request.protocol)
            if connection is None:
                return await handler(request)
            self._waiting.pop(connection, None)
            connection.head_since = None
            try:
                return await handler(request)
            finally:
                if request.protocol in self._open:
                    connection.has_asked = True
                    self._waiting[connection] = _now()

        return answering

    def factory(self, server: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of a new connection, around the one that `server` makes."""
        return lambda: _Connection(self, server())

    def admit(self, connection: "_Connection") -> bool:
        """Take in a connection, in place of the longest waiting one if need be; say whether there was room."""
        while len(self._open) >= self._limits.most:
            longest = next((each for each in self._waiting if not each.is_sending), None)
            if longest is None:
                self._tell_full()
                return False
            self._cut(longest)
        self._open[connection.inner] = connection
        self._waiting[connection] = _now()
        _give_up_unread(connection.transport, self._limits.unread_seconds)
        return True

    def _tell_full(self) -> None:
        if self._told_full is None or _now() - self._told_full >= _TELL_SECONDS:
            self._told_full = _now()
            _LOG.warning("connections are refused: all %d are being answered", self._limits.most)

    def forget(self, connection: "_Connection") -> None:
        """Let go of a connection that is closed."""
        self._open.pop(connection.inner, None)
        self._waiting.pop(connection, None)

    def received(self, connection: "_Connection") -> None:
        """Note that something came: if none is being answered, it is the beginning of a request."""
        if connection.head_since is None and connection in self._waiting:
            connection.head_since = _now()

    def cut_overdue(self) -> None:
        """Close the connections whose time to wait is over."""
        now = _now()
        for connection, since in list(self._waiting.items()):
            if connection.is_sending:
                # The framework sends some answers after the middlewares are done; only now it begins to wait.
                del self._waiting[connection]
                self._waiting[connection] = now
            elif now >= self._end(connection, since):
                self._cut(connection)

    async def watch(self) -> None:
        """Cut what is overdue, again and again."""
        pause = min(1.0, min(self._limits.head_seconds, self._limits.idle_seconds) / _LOOKS)
        while True:
            await asyncio.sleep(pause)
            self.cut_overdue()

    def _end(self, connection: "_Connection", since: float) -> float:
        if not connection.has_asked:
            return since + self._limits.head_seconds
        if connection.head_since is None:
            return since + self._limits.idle_seconds
        return connection.head_since + self._limits.head_seconds

    def _cut(self, connection: "_Connection") -> None:
        self.forget(connection)
        # Not `close`: that would wait until the client has read the last answer.
        connection.transport.abort()


class _Connection(asyncio.Protocol):
    """Passes what happens to a connection on to the framework's protocol, `inner`, if there is room for it."""

    __slots__ = ("_connections", "_is_admitted", "has_asked", "head_since", "inner", "transport")

    transport: asyncio.Transport

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections = connections
        self._is_admitted = False
        self.inner = inner
        self.has_asked = False
        self.head_since: float | None = None

    @property
    def is_sending(self) -> bool:
        """Whether an answer is still on its way: while the kernel sends a file, nothing is read."""
        return not self.transport.is_reading() or self.transport.get_write_buffer_size() > 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._is_admitted = self._connections.admit(self)
        if self._is_admitted:
            self.inner.connection_made(transport)
        else:
            transport.write(_FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        if self._is_admitted:
            self._connections.received(self)
            self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received() if self._is_admitted else None

    def pause_writing(self) -> None:
        if self._is_admitted:
            self.inner.pause_writing()

    def resume_writing(self) -> None:
        if self._is_admitted:
            self.inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_admitted:
            self._connections.forget(self)
            self.inner.connection_lost(exc)


@contextlib.asynccontextmanager
async def answering(
    app: web.Application, listening: socket.socket, limits: ConnectionLimits
) -> AsyncIterator[Connections]:
    """Answer requests to the application at a socket that listens, until the block ends."""
    connections = Connections(limits)
    app.middlewares.insert(0, connections.middleware)
    # A refused body is not read to its end: the client has its answer.
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=_GRACE_SECONDS,
        lingering_time=1,
        read_bufsize=_READ_BYTES,
        keepalive_timeout=limits.idle_seconds,
    )
    await runner.setup()
    assert runner.server is not None
    made = connections.factory(runner.server)
    # The loop accepts so many at once before it tells us of the first: what is too much must be cut in between.
    server = await asyncio.get_running_loop().create_server(made, sock=listening, backlog=_ACCEPTED_AT_ONCE)
    listening.listen(_BACKLOG)
    watch = asyncio.ensure_future(connections.watch())
    try:
        yield connections
    finally:
        server.close()
        watch.cancel()
        await runner.cleanup()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _give_up_unread(transport: asyncio.Transport, seconds: float) -> None:
    """Let the kernel close a connection whose other end takes nothing for so long (RFC 5482; of Linux)."""
    made = transport.get_extra_info("socket")
    if made is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
        with contextlib.suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
