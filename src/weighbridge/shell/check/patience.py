"""Bounds for the client of a hub: how much it answers to a question, and how long it may be silent or crawl."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from weighbridge.errors import HubError, InputError

MAX_ANSWER_BYTES = 32 << 20
"""The largest list of files that a hub may send at once; it sends a thousand at a time, of some 200 bytes each."""

SILENCE_SECONDS = 20.0
"""A server that sends nothing for so long is given up."""

PROGRESS_SECONDS = 60.0
"""An answer must be whole, and a download must have brought `PROGRESS_BYTES`, each time that so long has passed."""

PROGRESS_BYTES = 64 << 10
_HINT = "Check the address in --hub, --endpoint or HF_ENDPOINT, and the network; then try again."
_BULK = "weighbridge.bulk"


def check_address(endpoint: str) -> None:
    """Require of an address of a hub that it is one.

    Raises:
        InputError: if it is not.
    """
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        problem = "it is no http or https address of a server"
    except ValueError as error:
        good, problem = False, str(error)
    if not good or not endpoint.isprintable() or any(char.isspace() for char in endpoint):
        raise InputError(f"this is no web address: {problem}", place=repr(endpoint[:200]), hint=_HINT)


@contextmanager
def bounded_client(endpoint: str) -> Iterator[tuple[type[Exception], ...]]:
    """Let the client of the Hugging Face hub send its requests within bounds; yield what it raises of its own.

    The library lets its users set what makes its HTTP clients, and the clients call hooks before each request and
    before the body of each response is read.
    """
    from huggingface_hub import get_session, set_client_factory

    session: Any = get_session()
    # httpx, or the package that newer versions of the library use in its place.
    library: Any = sys.modules[type(session).__module__.partition(".")[0]]
    hooks = {name: list(found) for name, found in session.event_hooks.items()}
    bounds = _Bounds(endpoint, library)

    def client(own: bool) -> Callable[[], Any]:
        before, after = ([bounds.ask], [bounds.hear]) if own else ([], [])
        all_hooks = {"request": [*hooks["request"], *before], "response": [*hooks["response"], *after]}
        return lambda: library.Client(event_hooks=all_hooks, follow_redirects=True, timeout=None)

    set_client_factory(client(own=True))
    try:
        yield (library.HTTPError, library.InvalidURL, library.StreamError)
    finally:
        set_client_factory(client(own=False))


class _Bounds:
    def __init__(self, endpoint: str, library: Any) -> None:
        self.endpoint = endpoint
        self.library = library
        self.progress = time.monotonic()

    def ask(self, request: Any) -> None:
        if time.monotonic() - self.progress > PROGRESS_SECONDS:
            raise self.error("it does not answer")
        silence = dict.fromkeys(("connect", "read", "write", "pool"), SILENCE_SECONDS)
        # A redirect is the same request elsewhere, and hands on what was noted here.
        bulk = request.extensions.get(_BULK, "/resolve/" in request.url.path and request.method == "GET")
        request.extensions = {**request.extensions, "timeout": silence, _BULK: bulk}
        if not bulk:
            request.headers["Accept-Encoding"] = "identity"

    def hear(self, response: Any) -> None:
        bulk = response.request.extensions.get(_BULK, False)
        if not bulk and response.headers.get("Content-Encoding", "identity") != "identity":
            raise self.error("its answer is packed, though it was asked not to pack it")
        response.stream = self.bounded(response.stream, bulk=bulk)

    def bounded(self, stream: Any, *, bulk: bool) -> Any:
        bounds = self

        class Bounded(self.library.SyncByteStream):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Iterator[bytes]:
                return bounds.pieces(stream, bulk=bulk)

            def close(self) -> None:
                stream.close()

        return Bounded()

    def pieces(self, stream: Any, *, bulk: bool) -> Iterator[bytes]:
        total, since, started = 0, 0, time.monotonic()
        for piece in stream:
            total += len(piece)
            since += len(piece)
            now = time.monotonic()
            if not bulk and total > MAX_ANSWER_BYTES:
                raise self.error(f"it answers with more than {MAX_ANSWER_BYTES:,} bytes")
            if now - started > PROGRESS_SECONDS:
                if not bulk or since < PROGRESS_BYTES:
                    raise self.error(f"it sent {since:,} bytes in {now - started:.0f} seconds")
                since, started = 0, now
            yield piece
            self.progress = now
        self.progress = time.monotonic()

    def error(self, message: str) -> HubError:
        return HubError(f"the hub is given up: {message}", place=self.endpoint, hint=_HINT)
