"""Fetching real Git objects from another hub by Git's smart HTTP protocol (gitprotocol-http, version 0).

One request: what is wanted, what is here, "done". No thin pack is asked for, so what comes stands by itself.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from weighbridge.errors import InputError
from weighbridge.hub.git.paths import shown
from weighbridge.hub.mirror.carried import PREFIXES, CarriedRef
from weighbridge.hub.mirror.errors import SourceError
from weighbridge.shell.hub.mirror_http import AbsentError, Answer, Remote

MAX_REFS_BYTES: Final = 64 * 1024 * 1024
MAX_PACK_BYTES: Final = 16 * 1024**3
MAX_HAVES: Final = 256

_SERVICE: Final = "git-upload-pack"
_ADVERTISED: Final = "application/x-git-upload-pack-advertisement"
_ASKED: Final = "application/x-git-upload-pack-request"
_ANSWERED: Final = "application/x-git-upload-pack-result"
_NEEDED: Final = "side-band-64k"
_PACK, _WORDS, _FAULT = 1, 2, 3


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
        SourceError: if the hub refuses, or sends too much.
    """
    offered = [word for word in (_NEEDED, "ofs-delta", "no-progress") if word in source.capabilities]
    lines = [f"want {oid}" for oid in dict.fromkeys(wants)]
    lines[0] += f" {' '.join(offered)} agent=weighbridge"
    known = [f"have {oid}" for oid in list(dict.fromkeys(haves))[:MAX_HAVES]]
    body = b"".join([*map(_packet, lines), b"0000", *map(_packet, known), _packet("done")])
    headers = {"Content-Type": _ASKED, "Accept": _ANSWERED}
    size = 0
    with remote.open(f"{source.url}/{_SERVICE}", body=body, headers=headers, as_git=True) as answer:
        if answer.headers.get_content_type() != _ANSWERED:
            raise SourceError("it does not answer in Git's protocol", place=answer.url)
        for data in _packets(answer):
            if data[:1] in (b"N", b"A"):
                continue
            if data[:3] == b"ERR" or data[0] == _FAULT:
                raise SourceError(f"it refuses: {shown(data[1:].decode('utf-8', 'replace').strip())}", place=answer.url)
            if data[0] == _PACK:
                size += len(data) - 1
                if size > MAX_PACK_BYTES:
                    raise SourceError(f"a pack of more than {MAX_PACK_BYTES:,} bytes", place=answer.url)
                out.write(data[1:])
            elif data[0] != _WORDS:
                raise SourceError("it does not answer in Git's protocol", place=answer.url)
    return size


def _refs(lines: list[str], place: str) -> tuple[CarriedRef, ...]:
    oids: dict[str, str] = {}
    for line in lines:
        oid, _, name = line.partition(" ")
        if name.startswith(PREFIXES):
            oids[name] = oid
    try:
        return tuple(
            CarriedRef(name=name, oid=oid, commit_oid=oids.get(f"{name}^{{}}", oid))
            for name, oid in sorted(oids.items())
            if not name.endswith("^{}")
        )
    except InputError as error:
        raise SourceError(f"it lists something that is no ref: {error}", place=place) from error


def _text_lines(answer: Answer) -> Iterator[str]:
    left = MAX_REFS_BYTES
    for data in _packets(answer):
        left -= len(data)
        if left < 0:
            raise SourceError(f"a list of refs of more than {MAX_REFS_BYTES:,} bytes", place=answer.url)
        yield data.decode("utf-8", "replace").removesuffix("\n")


def _packets(answer: Answer) -> Iterator[bytes]:
    """Yield the lines of an answer; flushes are passed over."""
    while head := _exactly(answer, 4, or_end=True):
        try:
            size = int(head, 16) if head.isalnum() else -1
        except ValueError:
            size = -1
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
