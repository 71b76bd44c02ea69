"""The world of the tests of a hub's metadata. Its imports are inside: this module is loaded for every run."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tuf_world import World


@pytest.fixture
def world(tmp_path: Path) -> "World":
    """A hub with two signed versions, `acme/one` and `acme/two`."""
    from tuf_world import World

    world = World(tmp_path)
    world.publish("two")
    world.publish("one")
    return world


@pytest.fixture
def served(world: "World") -> Iterator[str]:
    """The hub's folder behind a web server that knows nothing of it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(world.hub.root)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
