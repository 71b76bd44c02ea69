"""Where an adopter's client reads a hub's metadata: a folder, or a web server."""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from weighbridge.checkpoint.walk import open_regular
from weighbridge.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface

_CHUNK_BYTES = 1 << 16
_FOLDER_URL = "hub://folder/"
_HINT = "Give --hub DIR or --hub https://…"
MAX_FETCH_SECONDS = 60.0
"""A file that a web server has not sent whole by then is given up: metadata and statuses are small."""


def is_address(location: str) -> bool:
    """Say whether a hub is named by a web address and not by a folder."""
    # Not by `urlsplit`, which raises where what follows is no address.
    return location.partition("://")[0].lower() in ("http", "https") and "://" in location


def fetcher_of(location: str, *, token: str = "") -> "tuple[FetcherInterface, str]":
    """Return what fetches from a hub, and the address below which it finds `metadata/` and the targets.

    Args:
        location: a hub's folder, a plain copy of one, or an http or https address of either.
        token: sent to a web server as a bearer token, and to no other that it leads to; empty for none.

    Raises:
        InputError: if it is another kind of address.
    """
    if is_address(location):
        try:
            urlsplit(location)
        except ValueError as error:
            raise InputError(f"this is no web address: {error}", place=location[:200], hint=_HINT) from error
        return _web_fetcher(token), location.rstrip("/") + "/"
    if "://" in location:
        raise InputError(
            f"a hub is a folder or an http address, and not {location[:200]!r}",
            hint=_HINT,
        )
    return _folder_fetcher(Path(location)), _FOLDER_URL


def _web_fetcher(token: str) -> "FetcherInterface":
    from tuf.ngclient import FetcherInterface
    from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

    inner = Urllib3Fetcher(app_user_agent="weighbridge")
    if token:
        from tuf.ngclient._internal.proxy import ProxyEnvironment

        # It has no other way to send a header. urllib3 leaves this one out where a redirect leads to another host.
        headers = {"User-Agent": "weighbridge", "Authorization": f"Bearer {token}"}
        inner._proxy_env = ProxyEnvironment(headers=headers)

    class WebFetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            return _in_time(lambda: inner.fetch(url), url)

    return WebFetcher()


def _in_time(fetch: Callable[[], Iterator[bytes]], url: str) -> Iterator[bytes]:
    """Yield what `fetch` yields, for `MAX_FETCH_SECONDS` at most.

    The time-out of a socket begins anew with each byte, in headers too: only somebody who does not read from it himself
    can give up on a server that sends one byte a second.
    """
    from tuf.api.exceptions import DownloadError, SlowRetrievalError
    from urllib3.exceptions import HTTPError

    handed: queue.Queue[bytes | DownloadError] = queue.Queue(maxsize=1)
    given_up = threading.Event()

    def hand(item: bytes | DownloadError) -> None:
        while not given_up.is_set():
            with suppress(queue.Full):
                handed.put(item, timeout=1)
                return

    def work() -> None:
        try:
            for chunk in fetch():
                hand(chunk)
                if given_up.is_set():
                    return
            hand(b"")
        except DownloadError as error:
            hand(error)
        except (HTTPError, OSError) as error:
            hand(DownloadError(f"{url} broke off: {error}"))

    end = time.monotonic() + MAX_FETCH_SECONDS
    threading.Thread(target=work, daemon=True).start()
    try:
        while item := handed.get(timeout=max(0.0, end - time.monotonic())):
            if isinstance(item, DownloadError):
                raise item
            yield item
    except queue.Empty:
        raise SlowRetrievalError(f"{url} was not there whole after {MAX_FETCH_SECONDS:g} seconds") from None
    finally:
        given_up.set()


def _folder_fetcher(folder: Path) -> "FetcherInterface":
    from tuf.api.exceptions import DownloadError, DownloadHTTPError
    from tuf.ngclient import FetcherInterface

    # One state from beginning to end, even if the publisher publishes in between.
    current = folder / "current"
    root = current.resolve() if current.is_symlink() else folder

    class FolderFetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            path = root / unquote(url.removeprefix(_FOLDER_URL))
            if ".." in path.parts:
                raise DownloadError(f"{path} leaves the hub")
            try:
                descriptor = open_regular(path, place=str(path))
            except CheckpointError as error:
                if not os.path.lexists(path):
                    raise DownloadHTTPError(f"{path} is not there", 404) from error
                raise DownloadError(str(error)) from error
            return _chunks(descriptor)

    return FolderFetcher()


def _chunks(descriptor: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
