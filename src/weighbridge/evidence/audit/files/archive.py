"""Archives and compressed streams, as far as the standard library reads them; the rest is said to be not understood."""

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from weighbridge.checkpoint.tensor import quoted
from weighbridge.evidence.audit.files.kind import Kind
from weighbridge.evidence.audit.files.seen import Seen, hostile, suspect, unknown, within
from weighbridge.evidence.audit.files.tally import MAX_MEMBERS, Tally
from weighbridge.evidence.audit.files.view import MAX_READ_BYTES, FileView, FolderView, SliceView
from weighbridge.evidence.audit.files.zip_file import Look, check_name, expanded
from weighbridge.evidence.record import Severity

_LZMA_MEMORY = 512 << 20
_TRAILING = 1 << 20
_SUFFIXES = (".gz", ".bz2", ".xz", ".lzma", ".z", ".tgz", ".joblib")


def inspect_compressed(view: FileView, folder: FolderView, kind: Kind, tally: Tally, look: Look) -> Iterator[Seen]:
    """Expand a stream within bounds and look at what it holds."""
    makers: dict[Kind, Callable[[], Any]] = {
        Kind.GZIP: lambda: zlib.decompressobj(31),
        Kind.ZLIB: lambda: zlib.decompressobj(15),
        Kind.BZIP2: bz2.BZ2Decompressor,
        Kind.XZ: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY),
        Kind.LZMA: lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY),
    }
    expander = makers[kind]()
    inner, problem = expanded(f"{view.name}!{_inner_name(view.name)}", view, expander, tally)
    if problem is not None:
        yield problem
    if inner is None:
        return
    with inner:
        if expander.unused_data:
            yield unknown("compressed-trailing", "bytes follow the compressed stream", severity=Severity.HIGH)
        tally.counts["members"] += 1
        yield from within("content", look(inner, folder, tally.deeper()))


def _inner_name(name: str) -> str:
    last = name.rsplit("!", 1)[-1].rsplit("/", 1)[-1]
    lowered = last.lower()
    for suffix in _SUFFIXES:
        if lowered.endswith(suffix):
            return last[: -len(suffix)] + (".tar" if suffix == ".tgz" else "")
    return "content"


def inspect_tar(view: FileView, tally: Tally, look: Look) -> Iterator[Seen]:
    """Look at every member of a tar."""
    members: list[tarfile.TarInfo] = []
    names: set[str] = set()
    source = _Source(view)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], source), mode="r:", errorlevel=0) as archive:
            for info in archive:
                tally.counts["members"] += 1
                if tally.counts["members"] > MAX_MEMBERS:
                    yield unknown(
                        "too-many-members", f"there are more than {MAX_MEMBERS:,} members", severity=Severity.HIGH
                    )
                    return
                yield from _entry(info, names)
                if info.isreg():
                    members.append(info)
            end = archive.offset
    except (tarfile.TarError, ValueError, OSError, EOFError, OverflowError, RecursionError) as error:
        yield unknown("tar-broken", f"the tar cannot be read to its end: {error}"[:200], severity=Severity.HIGH)
        end = view.size_bytes
    if view.read(end, min(max(view.size_bytes - end, 0), _TRAILING)).strip(b"\0"):
        yield suspect("tar-trailing", "bytes follow the end of the archive", f"byte {end:,}")
    by_name = {info.name: info for info in members}
    folder = FolderView(tuple(sorted(by_name)), lambda name: _member(view, by_name[name]))
    for info in members:
        yield from within(quoted(info.name), look(_member(view, info), folder, tally.deeper()))


def _member(view: FileView, info: tarfile.TarInfo) -> FileView:
    return SliceView(f"{view.name}!{info.name}", view, info.offset_data, info.size)


def _entry(info: tarfile.TarInfo, names: set[str]) -> Iterator[Seen]:
    where = quoted(info.name)
    if info.name not in (".", "./"):
        yield from check_name(info.name.removeprefix("./"))
    if info.issym() or info.islnk():
        yield hostile("archive-link", "the member is a link", where, Severity.HIGH)
    elif not (info.isreg() or info.isdir()):
        yield hostile("archive-device", "the member is a device or pipe", where, Severity.HIGH)
    elif info.sparse is not None:
        yield unknown("tar-sparse", "the member is sparse, which is not read here", where)
    if info.name in names:
        yield hostile("tar-duplicate", "two members have this name", where, Severity.HIGH)
    names.add(info.name)


class _Source:
    """As much of a file object as `tarfile` needs, with the bounds of the view."""

    def __init__(self, view: FileView) -> None:
        self._view = view
        self._position = 0

    def read(self, length: int = -1) -> bytes:
        if not 0 <= length <= MAX_READ_BYTES:
            raise ValueError(f"a header asks for {length:,} bytes")
        data = self._view.read(self._position, length)
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        base = (0, self._position, self._view.size_bytes)[whence]
        self._position = max(base + position, 0)
        return self._position

    def tell(self) -> int:
        return self._position
