"""One file, or one member of a container: what it is, whether its name agrees, and what there is to say of it.

Who looks at a kind of file is imported when the first file of that kind turns up: most folders hold few kinds.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from weighbridge.checkpoint.tensor import quoted
from weighbridge.errors import CheckpointError
from weighbridge.evidence.audit.files.executable import inspect_program, program_kind
from weighbridge.evidence.audit.files.kind import (
    COMPRESSED,
    NOT_READ,
    RISKY,
    ZIP_END,
    Kind,
    expected,
    kind_of,
    suffix_of,
)
from weighbridge.evidence.audit.files.seen import Seen, hostile, suspect, unknown
from weighbridge.evidence.audit.files.tally import Tally
from weighbridge.evidence.audit.files.view import FileView, FolderView
from weighbridge.evidence.audit.files.weights import inspect_weights
from weighbridge.evidence.record import Severity

_WEIGHTS = {".safetensors": False, ".gguf": True}
_TAIL_BYTES = (1 << 16) + 22
_BLANKS = b"\xef\xbb\xbf \t\r\n"
_CONTAINERS = COMPRESSED | {Kind.ZIP, Kind.TAR}
_MODELS = frozenset((".onnx", ".pb", ".tflite", ".mlmodel", ".h5", ".hdf5", ".keras"))
_ACTIVE_PDF = (b"/JavaScript", b"/JS ", b"/JS(", b"/Launch", b"/EmbeddedFile", b"/OpenAction")


def inspect_file(view: FileView, folder: FolderView, tally: Tally) -> Iterator[Seen]:
    """Yield everything there is to say of a file. Never raises about its content."""
    try:
        kind = kind_of(view)
        tally.kinds[kind] += 1
        yield from _disguise(view, kind)
        if kind in _CONTAINERS and tally.too_deep:
            yield unknown("too-deep", "containers nest too deep to be opened", severity=Severity.HIGH)
            return
        yield from _by_kind(view, folder, kind, tally)
        if kind not in (Kind.ZIP, Kind.EMPTY):
            yield from _polyglot(view)
    except CheckpointError as error:
        yield unknown("unreadable", f"it cannot be read: {error.message}"[:300], severity=Severity.HIGH)


def _disguise(view: FileView, kind: Kind) -> Iterator[Seen]:
    """Hold what the file is against what its name says."""
    allowed = expected(view.name)
    if allowed is None or kind in allowed or kind in (Kind.BINARY, Kind.EMPTY):
        return
    what = f"by its name {quoted(suffix_of(view.name))} it is something else than what it is: {kind}"
    if kind in RISKY:
        yield hostile("disguised", f"{what}, which can run code when it is opened", severity=Severity.HIGH)
    elif kind is not Kind.TEXT or suffix_of(view.name) not in _WEIGHTS:
        yield suspect("disguised", what)


def _by_kind(view: FileView, folder: FolderView, kind: Kind, tally: Tally) -> Iterator[Seen]:
    def metadata(file: str, values: Mapping[str, Any]) -> Iterator[Seen]:
        from weighbridge.evidence.audit.files.text import inspect_metadata

        return inspect_metadata(file, values, folder)

    suffix = suffix_of(view.name)
    weights = _WEIGHTS.get(suffix) if kind in (Kind.BINARY, Kind.EMPTY, Kind.TEXT) else None
    if kind in (Kind.SAFETENSORS, Kind.GGUF) or weights is not None:
        is_gguf = kind is Kind.GGUF if weights is None else weights
        yield from inspect_weights(view, tally, metadata, is_gguf=is_gguf)
    elif kind is Kind.PROTOBUF:
        yield from _protobuf(view, folder, tally, metadata)
    elif kind in COMPRESSED:
        yield from _compressed(view, folder, kind, tally)
    elif kind in NOT_READ:
        yield unknown("archive-not-read", f"the file is a {kind} archive or stream, which is not opened here")
    elif kind in _INSPECTORS:
        yield from _INSPECTORS[kind](view, tally)
    elif (kind is Kind.BINARY and expected(view.name) is None) or kind is Kind.TFLITE:
        yield from _not_known(view)
    elif kind is not Kind.EMPTY or suffix in _MODELS:
        yield from _text(view, folder, kind)


def _text(view: FileView, folder: FolderView, kind: Kind) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.text import inspect

    if kind is Kind.TEXT and view.head().lstrip(_BLANKS)[:1] in (b"{", b"["):
        from weighbridge.evidence.audit.files.keras_file import inspect_keras_json

        yield from inspect_keras_json(view)
    yield from inspect(view, folder)


def _not_known(view: FileView) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.keras_file import lambda_strings

    yield from lambda_strings(view)
    yield unknown("unknown-format", "nothing here understands what this file is")


def _compressed(view: FileView, folder: FolderView, kind: Kind, tally: Tally) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.archive import inspect_compressed

    return inspect_compressed(view, folder, kind, tally, inspect_file)


def _protobuf(
    view: FileView, folder: FolderView, tally: Tally, metadata: Callable[[str, Mapping[str, Any]], Iterator[Seen]]
) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.keras_graph import graph_kind, inspect_graph
    from weighbridge.evidence.audit.files.onnx_file import inspect_onnx, looks_like_onnx

    suffix = suffix_of(view.name)
    if suffix in (".model", ".spm"):
        yield from _text(view, folder, Kind.PROTOBUF)
        return
    graph = graph_kind(view) if suffix != ".onnx" else None
    if suffix == ".onnx" or (graph is None and looks_like_onnx(view)):
        yield from inspect_onnx(view, folder, tally, metadata)
    elif graph is not None:
        yield from inspect_graph(view, tally, graph)
    else:
        yield from _not_known(view)


def _pickle(view: FileView, tally: Tally) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.pickle_file import inspect_pickle

    yield from inspect_pickle(view, tally).seen


def _numpy(view: FileView, tally: Tally) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.array import inspect_numpy

    return inspect_numpy(view, tally)


def _program(view: FileView, tally: Tally) -> Iterator[Seen]:
    return inspect_program(view, program_kind(view) or "a program")


def _bytecode(view: FileView, tally: Tally) -> Iterator[Seen]:
    yield hostile("program", "the file is compiled Python, whose source nobody can read", severity=Severity.HIGH)


def _zip(view: FileView, tally: Tally) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.zip_file import inspect_zip

    return inspect_zip(view, tally, inspect_file)


def _tar(view: FileView, tally: Tally) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.archive import inspect_tar

    return inspect_tar(view, tally, inspect_file)


def _hdf5(view: FileView, tally: Tally) -> Iterator[Seen]:
    from weighbridge.evidence.audit.files.keras_file import inspect_hdf5

    return inspect_hdf5(view)


def _table(view: FileView, tally: Tally) -> Iterator[Seen]:
    yield unknown("table", "the file is a table or database, which is not opened here", severity=Severity.LOW)


def _pdf(view: FileView, tally: Tally) -> Iterator[Seen]:
    data = view.head(min(view.size_bytes, 32 << 20))
    if any(needle in data for needle in _ACTIVE_PDF):
        yield suspect("pdf-active", "the document holds scripts, actions or embedded files")
    yield unknown("pdf", "the document is not parsed here", severity=Severity.LOW)


def _image(view: FileView, tally: Tally) -> Iterator[Seen]:
    """Walk the chunks of a PNG; of other pictures only their end is looked at."""
    if view.head(4) != b"\x89PNG":
        return
    position = 8
    while position < view.size_bytes:
        head = view.read(position, 8)
        length = int.from_bytes(head[:4], "big")
        if len(head) < 8 or position + 12 + length > view.size_bytes or not head[4:].isalpha():
            yield suspect("image-broken", "the picture cannot be read to its end", f"byte {position:,}")
            return
        if length <= 1 << 20:
            body = view.read(position + 4, length + 8)
            if zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "big"):
                yield suspect("image-broken", "a chunk of the picture has a wrong CRC", f"byte {position:,}")
        position += 12 + length
        if head[4:] == b"IEND":
            break
    if position < view.size_bytes:
        yield suspect(
            "image-trailing", f"{view.size_bytes - position:,} bytes follow the picture", f"byte {position:,}"
        )


def _polyglot(view: FileView) -> Iterator[Seen]:
    """Readers that start at the end would take the file for a zip."""
    start = max(view.size_bytes - _TAIL_BYTES, 0)
    if ZIP_END not in view.read(start, _TAIL_BYTES):
        return
    from weighbridge.evidence.audit.files.zip_layout import NotZipError, read_layout

    try:
        layout = read_layout(view)
    except NotZipError:
        return
    if any(member.start >= 0 for member in layout.members):
        message = "the file is also a zip archive for readers that start at its end"
        yield hostile("polyglot", message, severity=Severity.HIGH)


_INSPECTORS: dict[Kind, Callable[[FileView, Tally], Iterator[Seen]]] = {
    Kind.PICKLE: _pickle,
    Kind.ZIP: _zip,
    Kind.TAR: _tar,
    Kind.NUMPY: _numpy,
    Kind.HDF5: _hdf5,
    Kind.PROGRAM: _program,
    Kind.BYTECODE: _bytecode,
    Kind.IMAGE: _image,
    Kind.PDF: _pdf,
    Kind.TABLE: _table,
}
