"""Large and small files from another hub, each hashed while it comes and taken only if it is what was named."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from weighbridge.hub.content.ingest import Ingest
from weighbridge.hub.git.objects import MAX_BLOB_BYTES, oid_of
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.mirror.errors import LyingSourceError, SourceError
from weighbridge.hub.server import HubServer
from weighbridge.shell.hub.mirror_http import (
    ATTEMPTS,
    AbsentError,
    Answer,
    PassingSourceError,
    Remote,
    pause,
)

_LFS_TYPE: Final = "application/vnd.git-lfs+json"
_MAX_HEADERS: Final = 20
# What belongs to the connection or to us: a source that sets these would write our requests.
_OURS: Final = frozenset(
    {"connection", "content-length", "cookie", "expect", "host", "keep-alive", "proxy-authorization"}
    | {"proxy-connection", "range", "te", "trailer", "transfer-encoding", "upgrade"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the bytes of a file are: an address, and headers that belong to it."""

    url: str
    headers: Mapping[str, str]


Locate = Callable[[Mapping[str, int]], Mapping[str, Place]]
"""Returns where files are, by SHA-256, for files by SHA-256 and size; those that the source lacks are left out."""


class LfsPlaces:
    """Asks the batch API of Git LFS where files are."""

    def __init__(self, remote: Remote, repository_url: str) -> None:
        self._remote = remote
        self._url = f"{repository_url}/info/lfs/objects/batch"

    def __call__(self, wanted: Mapping[str, int]) -> Mapping[str, Place]:
        """Return where the files are."""
        import json

        objects = [{"oid": sha256, "size": size} for sha256, size in wanted.items()]
        body = json.dumps({"operation": "download", "transfers": ["basic"], "hash_algo": "sha256", "objects": objects})
        headers = {"Content-Type": _LFS_TYPE, "Accept": _LFS_TYPE}
        stated, _ = self._remote.json(self._url, body=body.encode(), headers=headers)
        try:
            rows = [(row["oid"], row) for row in stated["objects"] if row["oid"] in wanted]
            return {sha256: _place(row) for sha256, row in rows if not _is_absent(row)}
        except (KeyError, TypeError, AttributeError) as error:
            raise SourceError(f"it does not say where large files are: {error}", place=self._url) from error


def fetch_small(remote: Remote, url: str, oid: str, size: int) -> bytes:
    """Return a file that is kept in Git.

    Raises:
        LyingSourceError: if its bytes are not those of the oid.
        SourceError: if it cannot be had.
    """
    if size > MAX_BLOB_BYTES:
        raise SourceError(f"a file of {size:,} bytes that is not kept as a large one", place=url)
    for attempt in range(ATTEMPTS):
        try:
            with remote.open(url) as answer:
                data = answer.whole(size)
            break
        except PassingSourceError:
            if attempt + 1 == ATTEMPTS:
                raise
            pause(attempt)
    if len(data) != size or oid_of("blob", data) != oid:
        raise LyingSourceError(f"the bytes that came make blob {oid_of('blob', data)}, not {oid}", place=url)
    return data


def fetch_whole(
    hub: HubServer,
    repository_id: int,
    remote: Remote,
    sha256: str,
    size: int,
    place: Place,
    locate: Locate,
    told: Callable[[int], None],
) -> None:
    """Bring one large file as it is, and make the repository a holder of it.

    Nothing is written to a temporary file: what comes is cut into chunks and stored at once, about 40 MiB in memory. A
    connection that is cut is taken up again where it ended. `told` learns how many bytes came.

    Raises:
        LyingSourceError: if it is not what its SHA-256 and size say; nothing of it is taken.
        SourceError: if it cannot be had.
    """
    taking, at, attempt = Ingest(hub, repository_id, sha256=sha256, size_bytes=size), 0, 0
    while True:
        before = at
        try:
            for block in _blocks(remote, place, at, size):
                _feed(taking, block, place.url)
                at += len(block)
                told(len(block))
            if at == size:
                break
            raise PassingSourceError("the file ends too early", place=place.url.partition("?")[0])
        except (PassingSourceError, AbsentError) as error:
            # Whatever moved is progress: only a source that gives nothing several times is given up.
            attempt = 0 if at > before else attempt + 1
            if attempt >= ATTEMPTS:
                raise
            if isinstance(error, AbsentError):
                # The time of an address may be over; the same one again would not help.
                asked = locate({sha256: size}).get(sha256)
                if asked is None or asked == place:
                    raise
                place = asked
            pause(attempt)
    try:
        taking.finish()
    except Refusal as refusal:
        raise _lying(refusal, place.url) from refusal


def _blocks(remote: Remote, place: Place, at: int, size: int) -> Iterator[bytes]:
    """Yield the bytes from `at` on, also from a server that knows no ranges; at most one more than there should be."""
    headers = {**place.headers, **({"Range": f"bytes={at}-"} if at else {})}
    with remote.open(place.url, headers=headers) as answer:
        left = size - at + 1
        for block in answer.blocks(skip=_skipped(answer, at)):
            yield block[:left]
            left -= len(block)
            if left <= 0:
                return


def _skipped(answer: Answer, at: int) -> int:
    if not at or answer.status != 206:
        return at
    if not answer.headers.get("Content-Range", "").startswith(f"bytes {at}-"):
        raise SourceError("it sends another part of the file than was asked for", place=answer.url)
    return 0


def _feed(taking: Ingest, block: bytes, url: str) -> None:
    try:
        taking.feed(block)
    except Refusal as refusal:
        raise _lying(refusal, url) from refusal


def _lying(refusal: Refusal, url: str) -> LyingSourceError | SourceError:
    place = url.partition("?")[0]
    if refusal.status == 422:
        return LyingSourceError(refusal.message, place=place)
    return SourceError(refusal.message, place=place, hint="Run the command again.")


def _is_absent(row: Mapping[str, Any]) -> bool:
    error = row.get("error")
    return isinstance(error, dict) and error.get("code") in (404, 410)


def _place(row: Mapping[str, Any]) -> Place:
    action = row["actions"]["download"]
    headers = action.get("header") or {}
    if len(headers) > _MAX_HEADERS or any(str(name).strip().lower() in _OURS for name in headers):
        raise KeyError("header")
    return Place(url=str(action["href"]), headers={str(name): str(value) for name, value in headers.items()})
