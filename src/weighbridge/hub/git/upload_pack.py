"""The server's side of `git clone` and `git fetch` over smart HTTP: upload-pack, protocol version 0, stateless.

Form: gitprotocol-http, gitprotocol-pack and gitprotocol-capabilities of git's documentation. A client that asks for
version 2 is answered in version 0, which every client takes. Pushing by git is not offered.
"""

import gzip
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from weighbridge.errors import InputError
from weighbridge.hub.git.history import is_ancestor
from weighbridge.hub.git.pack import write_pack
from weighbridge.hub.git.paths import is_oid, shown
from weighbridge.hub.git.selection import Shallow, deepen, known, lacking, peel
from weighbridge.hub.git.tree import ObjectReader

MAX_REQUEST_BYTES: Final = 4 * 2**20
MAX_WANTS: Final = 10_000
MAX_HAVES: Final = 20_000

ADVERTISEMENT_TYPE: Final = "application/x-git-upload-pack-advertisement"
RESULT_TYPE: Final = "application/x-git-upload-pack-result"

_CAPABILITIES: Final = (
    "multi_ack_detailed side-band-64k shallow allow-tip-sha1-in-want allow-reachable-sha1-in-want agent=weighbridge"
)
_SIDE_BAND_BYTES: Final = 65_515
_FLUSH: Final = b"0000"
_MAX_DEPTH: Final = 2**31 - 1

Write = Callable[[bytes], None]


class UploadPackError(InputError):
    """A request that is not one of upload-pack, or asks for what is not offered."""

    hint = "Use git 1.8 or later, and fetch branches or tags by their names."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    wants: tuple[str, ...]
    capabilities: frozenset[str]
    shallow: frozenset[str]
    depth: int | None
    haves: tuple[str, ...]
    done: bool
    # A client that deepens first asks with nothing behind its wants, only to learn where history will end.
    negotiates: bool


def peeled_tags(reader: ObjectReader, refs: Mapping[str, str]) -> dict[str, str]:
    """Return, for each name under `refs/tags/` of an annotated tag, the oid of the object that it leads to."""
    tags = {name: oid for name, oid in refs.items() if name.startswith("refs/tags/")}
    found = {name: peel(reader, oid) for name, oid in tags.items()}
    return {name: peeled.target for name, peeled in found.items() if peeled.tags}


def advertise_refs(refs: Mapping[str, str], head: str, *, peeled: Mapping[str, str] | None = None) -> bytes:
    """Return the body of `GET …/info/refs?service=git-upload-pack`, sent as `ADVERTISEMENT_TYPE`.

    `refs` are oids by full name, `head` is the full name of the default branch, `peeled` comes from `peeled_tags`.
    """
    lines: list[tuple[str, str]] = [(refs[head], "HEAD")] if head in refs else []
    for name in sorted(refs, key=str.encode):
        lines.append((refs[name], name))
        if peeled and name in peeled:
            lines.append((peeled[name], f"{name}^{{}}"))
    capabilities = _CAPABILITIES + (f" symref=HEAD:{head}" if head in refs else "")
    first_oid, first_name = lines[0] if lines else ("0" * 40, "capabilities^{}")
    parts = [_line("# service=git-upload-pack\n"), _FLUSH, _line(f"{first_oid} {first_name}\0{capabilities}\n")]
    parts += [_line(f"{oid} {name}\n") for oid, name in lines[1:]]
    return b"".join([*parts, _FLUSH])


def plain_body(body: BinaryIO, content_encoding: str = "") -> BinaryIO:
    """Return the body of a request without its `Content-Encoding`: git sends long ones by gzip.

    What is read of it is bounded by `upload_pack`, so it may unfold to any size. Raises `UploadPackError`.
    """
    match content_encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return cast(BinaryIO, gzip.GzipFile(fileobj=body, mode="rb"))
    raise UploadPackError("a request is sent plain or by gzip", place=shown(content_encoding))


def upload_pack(reader: ObjectReader, refs: Mapping[str, str], request: BinaryIO, out: Write) -> None:
    """Answer `POST …/git-upload-pack`, sent as `RESULT_TYPE`: read `request`, hand the answer to `out` part by part.

    `request` is what `plain_body` returns. Errors are told to the client in git's own form and then raised, for the
    log: `UploadPackError`, `TooMuchToSendError`, `GitObjectError`.
    """
    answer = _Answer(out)
    try:
        asked = _parse(request)
        _check_wants(reader, refs, asked.wants)
        answer.side_band = "side-band-64k" in asked.capabilities
        _answer(reader, asked, answer)
    except InputError as error:
        answer.tell(error)
        raise


class _Answer:
    """The stream to the client: lines first, then a pack, in frames if the client takes them."""

    def __init__(self, out: Write) -> None:
        self.side_band = False
        self._out = out
        self._waiting = bytearray()
        self._in_pack = False

    def line(self, text: str) -> None:
        self._out(_line(text))

    def flush(self) -> None:
        self._out(_FLUSH)

    def pack(self, part: bytes) -> None:
        self._in_pack = True
        if not self.side_band:
            self._out(part)
            return
        self._waiting += part
        while len(self._waiting) >= _SIDE_BAND_BYTES:
            self._out(_packet(b"\1" + self._waiting[:_SIDE_BAND_BYTES]))
            del self._waiting[:_SIDE_BAND_BYTES]

    def end_pack(self) -> None:
        if self.side_band:
            if self._waiting:
                self._out(_packet(b"\1" + self._waiting))
            self.flush()

    def tell(self, error: InputError) -> None:
        text = f"{error.message}. {error.hint}"[:500]
        if not self._in_pack:
            self.line(f"ERR {text}\n")
        elif self.side_band:
            self._out(_packet(b"\3" + text.encode() + b"\n"))


def _answer(reader: ObjectReader, asked: _Request, answer: _Answer) -> None:
    ends = _deepened(reader, asked)
    if ends is not None:
        for oid in sorted(ends.cut - asked.shallow):
            answer.line(f"shallow {oid}")
        for oid in sorted(ends.uncut):
            answer.line(f"unshallow {oid}")
        answer.flush()
    if not asked.negotiates:
        return
    common = known(reader, asked.haves)
    detailed = "multi_ack_detailed" in asked.capabilities
    if detailed:
        for oid in common:
            answer.line(f"ACK {oid} common\n")
    if not asked.done:
        # Of a client without detailed acknowledgements, the first one ends the negotiation.
        answer.line("NAK\n" if detailed or not common else f"ACK {common[0]}\n")
        return
    answer.line(f"ACK {common[-1 if detailed else 0]}\n" if common else "NAK\n")
    oids = lacking(reader, asked.wants, common, shallow=asked.shallow, ends=ends)
    write_pack(reader, oids, answer.pack)
    answer.end_pack()


def _deepened(reader: ObjectReader, asked: _Request) -> Shallow | None:
    if asked.depth is None:
        return None
    return deepen(reader, known(reader, asked.wants), asked.depth, asked.shallow)


def _check_wants(reader: ObjectReader, refs: Mapping[str, str], wants: Collection[str]) -> None:
    """Raise `UploadPackError` unless each is a tip or lies behind one, as after a push between two requests."""
    tips = frozenset(refs.values())
    others = [want for want in wants if want not in tips]
    starts = known(reader, tips) if others else ()
    for want in others:
        if not any(is_ancestor(reader, want, start) for start in starts):
            raise UploadPackError(f"{want} is not in any branch or tag of this repository")


def _parse(request: BinaryIO) -> _Request:
    lines = _read_lines(request)
    wants: dict[str, None] = {}
    shallow: set[str] = set()
    capabilities: frozenset[str] = frozenset()
    depth: int | None = None
    for line in lines:
        if line is None:
            break
        word, _, rest = line.partition(" ")
        if word == "want":
            oid, _, words = rest.partition(" ")
            capabilities = capabilities or frozenset(words.split())
            wants[_oid(oid)] = None
        elif word == "shallow":
            shallow.add(_oid(rest))
        elif word == "deepen":
            depth = _depth(rest)
        else:
            raise UploadPackError("this is not understood in a request", place=shown(line))
    if not wants or len(wants) > MAX_WANTS or len(shallow) > MAX_WANTS:
        raise UploadPackError(f"a request wants from 1 to {MAX_WANTS} objects")
    haves: dict[str, None] = {}
    done = negotiates = False
    for line in lines:
        negotiates = True
        if line == "done":
            done = True
            break
        if line is not None:
            if not line.startswith("have "):
                raise UploadPackError("this is not understood in a request", place=shown(line))
            haves[_oid(line[5:])] = None
    if len(haves) > MAX_HAVES:
        raise UploadPackError(f"a request names at most {MAX_HAVES} objects that the client has")
    return _Request(
        wants=tuple(wants),
        capabilities=capabilities,
        shallow=frozenset(shallow),
        depth=depth,
        haves=tuple(haves),
        done=done,
        negotiates=negotiates,
    )


def _read_lines(request: BinaryIO) -> Iterator[str | None]:
    """Yield the lines of a request without their newlines, None for a flush. Raises `UploadPackError`."""
    left = MAX_REQUEST_BYTES
    while True:
        head = _read(request, 4)
        if not head:
            return
        try:
            size = int(head, 16) if head.isalnum() and len(head) == 4 else -1
        except ValueError:
            size = -1
        left -= max(size, 4)
        if left < 0:
            raise UploadPackError(f"a request has at most {MAX_REQUEST_BYTES} bytes")
        if size == 0:
            yield None
            continue
        body = _read(request, size - 4) if size >= 4 else b""
        if size < 4 or len(body) != size - 4:
            raise UploadPackError("a line of the request is cut off or has no length")
        yield body.decode("utf-8", "replace").removesuffix("\n")


def _read(request: BinaryIO, size: int) -> bytes:
    try:
        return request.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UploadPackError("the compressed request is damaged") from error


def _oid(text: str) -> str:
    if not is_oid(text):
        raise UploadPackError("an object is named by 40 hexadecimal digits", place=shown(text))
    return text


def _depth(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= _MAX_DEPTH):
        raise UploadPackError("a depth is a whole number from 1", place=shown(text))
    return int(text)


def _line(text: str) -> bytes:
    return _packet(text.encode())


def _packet(data: bytes | bytearray) -> bytes:
    return b"%04x%s" % (len(data) + 4, data)
