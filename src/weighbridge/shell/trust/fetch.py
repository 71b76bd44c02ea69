"""Where an adopter's client reads a hub's metadata: a folder, or a web server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from weighbridge.checkpoint.walk import open_regular
from weighbridge.errors import CheckpointError, InputError

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface

_CHUNK_BYTES = 1 << 16
_FOLDER_URL = "hub://folder/"


def is_address(location: str) -> bool:
    """Say whether a hub is named by a web address and not by a folder."""
    return urlsplit(location).scheme in ("http", "https")


def fetcher_of(location: str) -> "tuple[FetcherInterface, str]":
    """Return what fetches from a hub, and the address below which it finds `metadata/` and the targets.

    Args:
        location: a hub's folder, a plain copy of one, or an http or https address of either.

    Raises:
        InputError: if it is another kind of address.
    """
    if is_address(location):
        from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

        return Urllib3Fetcher(app_user_agent="weighbridge"), location.rstrip("/") + "/"
    if "://" in location:
        raise InputError(
            f"a hub is a folder or an http address, and not {location[:200]!r}",
            hint="Give --hub DIR or --hub https://…",
        )
    return _folder_fetcher(Path(location)), _FOLDER_URL


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
