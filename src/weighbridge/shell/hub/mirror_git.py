"""Fetching real Git objects from another hub by Git's smart HTTP protocol (gitprotocol-http, version 0).

One request: what is wanted, what is here, "done". No thin pack is asked for, so what comes stands by itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final

from weighbridge.errors import InputError
from weighbridge.hub.git.paths import shown
from weighbridge.hub.mirror.carried import MAX_REFS, PREFIXES, CarriedRef
from weighbridge.hub.mirror.errors import SourceError
from weighbridge.shell.hub.mirror_http import AbsentError, Answer, Remote

MAX_REFS_BYTES: Final = 64 * 1024 * 1024
MAX_LINES: Final = 1_000_000
MAX_PACK_BYTES: Final = 16 * 1024**3
MAX_HAVES: Final = 256

_SERVICE: Final = "git-upload-pack"
_ADVERTISED: Final = "application/x-git-upload-pack-advertisement"
_ASKED: Final = "application/x-git-upload-pack-request"
_ANSWERED: Final = "application/x-git-upload-pack-result"
_NEEDED: Final = "side-band-64k"
_PACK, _WORDS, _FAULT = 1, 2, 3


class GitRefusedError(SourceError):
    """A hub speaks Git, and will not send these objects by it: too many of them, say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertised:
    """What a hub offers by Git: where, which branches and tags, and what it is capable of."""

    url: str
    refs: tuple[CarriedRef, ...]
    capabilities: frozenset[str]


def advertised(remote: Remote, path: str) -> Advertised | None:
    """Return what is offered under `path` (`datasets/owner/name.git`); None if Git is not spoken there.

    Raises:
        SourceError: if the hub cannot be reached, or answers nonsense.
    """
    try:
        with remote.open(f"{path}/info/refs?service={_SERVICE}", as_git=True) as answer:
            if answer.headers.get_content_type() != _ADVERTISED:
                return None
            lines = list(_text_lines(answer))
            url = answer.url.removesuffix("/info/refs")
    except AbsentError:
        return None
    if not lines or lines[0] != f"# service={_SERVICE}":
        return None
    first, _, words = (lines[1] if len(lines) > 1 else "").partition("\0")
    capabilities = frozenset(words.split())
    if _NEEDED not in capabilities:
        return None
    return Advertised(url=url, refs=_refs([first, *lines[2:]], url), capabilities=capabilities)


def fetch_pack(remote: Remote, source: Advertised, wants: Iterable[str], haves: Iterable[str], out: BinaryIO) -> int:
    """Write a pack of what is wanted and not here into `out`, and return its length in bytes.

    Raises:
        GitRefusedError: if the hub refuses.
        SourceError: if it sends too much, or nonsense.
    """
    offered = [word for word in (_NEEDED, "ofs-delta", "no-progress") if word in source.capabilities]
    lines = [f"want {oid}" for oid in dict.fromkeys(wants)]
    lines[0] += f" {' '.join(offered)} agent=weighbridge"
    known = [f"have {oid}" for oid in list(dict.fromkeys(haves))[:MAX_HAVES]]
    body = b"".join([*map(_packet, lines), b"0000", *map(_packet, known), _packet("done")])
    headers = {"Content-Type": _ASKED, "Accept": _ANSWERED}
    size = 0
    with _sent(remote, f"{source.url}/{_SERVICE}", body, headers) as answer:
        if answer.headers.get_content_type() != _ANSWERED:
            raise SourceError("it does not answer in Git's protocol", place=answer.url)
        # Twice: a pack comes in packets of its own, and words beside it.
        for data in _packets(answer, limit=2 * MAX_PACK_BYTES):
            if data[:1] in (b"N", b"A"):
                continue
            if data[:3] == b"ERR" or data[0] == _FAULT:
                words = data.removeprefix(b"ERR ") if data[:3] == b"ERR" else data[1:]
                message = f"it refuses: {shown(words.decode('utf-8', 'replace').strip())}"
                raise GitRefusedError(message, place=answer.url)
            if data[0] == _PACK:
                size += len(data) - 1
                if size > MAX_PACK_BYTES:
                    raise SourceError(f"a pack of more than {MAX_PACK_BYTES:,} bytes", place=answer.url)
                out.write(data[1:])
            elif data[0] != _WORDS:
                raise SourceError("it does not answer in Git's protocol", place=answer.url)
    return size


@contextmanager
def _sent(remote: Remote, url: str, body: bytes, headers: Mapping[str, str]) -> Iterator[Answer]:
    try:
        with remote.open(url, body=body, headers=headers, as_git=True) as answer:
            yield answer
    except AbsentError as error:
        raise GitRefusedError(error.message, place=error.place, hint=error.hint) from error


def _refs(lines: list[str], place: str) -> tuple[CarriedRef, ...]:
    oids: dict[str, str] = {}
    for line in lines:
        oid, _, name = line.partition(" ")
        if name.startswith(PREFIXES):
            oids[name] = oid
    if sum(not name.endswith("^{}") for name in oids) > MAX_REFS:
        raise SourceError(f"more than {MAX_REFS:,} branches and tags", place=place)
    try:
        return tuple(
            CarriedRef(name=name, oid=oid, commit_oid=oids.get(f"{name}^{{}}", oid))
            for name, oid in sorted(oids.items())
            if not name.endswith("^{}")
        )
    except InputError as error:
        raise SourceError(f"it lists something that is no ref: {error}", place=place) from error


def _text_lines(answer: Answer) -> Iterator[str]:
    for count, data in enumerate(_packets(answer, limit=MAX_REFS_BYTES)):
        if count > MAX_LINES:
            raise SourceError(f"a list of refs of more than {MAX_LINES:,} lines", place=answer.url)
        yield data.decode("utf-8", "replace").removesuffix("\n")


def _packets(answer: Answer, *, limit: int) -> Iterator[bytes]:
    """Yield the lines of an answer; flushes are passed over, and counted as everything else is."""
    left = limit
    while head := _exactly(answer, 4, or_end=True):
        try:
            size = int(head, 16) if head.isalnum() else -1
        except ValueError:
            size = -1
        left -= max(size, len(head))
        if left < 0:
            raise SourceError(f"an answer of more than {limit:,} bytes", place=answer.url)
        if size in (0, 1, 2):
            continue
        if not 4 < size <= 65_520:
            raise SourceError("it does not answer in Git's protocol", place=answer.url)
        yield _exactly(answer, size - 4)


def _exactly(answer: Answer, size: int, *, or_end: bool = False) -> bytes:
    data = b""
    while len(data) < size:
        part = answer.read(size - len(data))
        if not part:
            if or_end and not data:
                return b""
            raise SourceError("the answer is cut off", place=answer.url)
        data += part
    return data


def _packet(line: str) -> bytes:
    data = line.encode() + b"\n"
    return b"%04x%s" % (len(data) + 4, data)
