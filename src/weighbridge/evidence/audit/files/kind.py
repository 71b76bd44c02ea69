"""What a file really is, by its bytes, and what its name lets people expect."""

import struct
from enum import StrEnum
from pathlib import PurePosixPath

from weighbridge.evidence.audit.files import executable
from weighbridge.evidence.audit.files.view import FileView


class Kind(StrEnum):
    """What a file is."""

    EMPTY = "empty"
    SAFETENSORS = "safetensors"
    GGUF = "gguf"
    PICKLE = "pickle"
    ZIP = "zip"
    TAR = "tar"
    NUMPY = "numpy"
    HDF5 = "hdf5"
    PROTOBUF = "protobuf"
    GZIP = "gzip"
    ZLIB = "zlib"
    BZIP2 = "bzip2"
    XZ = "xz"
    LZMA = "lzma"
    ZSTD = "zstd"
    LZ4 = "lz4"
    SEVEN_ZIP = "7z"
    RAR = "rar"
    PROGRAM = "program"
    BYTECODE = "python-bytecode"
    IMAGE = "image"
    PDF = "pdf"
    TFLITE = "tflite"
    TABLE = "table"
    TEXT = "text"
    BINARY = "binary"


ZIP_END = b"PK\x05\x06"
"""Begins the end of a zip, and all of one that is empty."""

_MAGICS: tuple[tuple[bytes, Kind], ...] = (
    (b"GGUF", Kind.GGUF),
    (b"PK\x03\x04", Kind.ZIP),
    (ZIP_END, Kind.ZIP),
    (b"\x93NUMPY", Kind.NUMPY),
    (b"\x89HDF\r\n\x1a\n", Kind.HDF5),
    (b"\x1f\x8b\x08", Kind.GZIP),
    (b"BZh", Kind.BZIP2),
    (b"\xfd7zXZ\0", Kind.XZ),
    (b"\x28\xb5\x2f\xfd", Kind.ZSTD),
    (b"\x04\x22\x4d\x18", Kind.LZ4),
    (b"7z\xbc\xaf\x27\x1c", Kind.SEVEN_ZIP),
    (b"Rar!\x1a\x07", Kind.RAR),
    (b"\x89PNG\r\n\x1a\n", Kind.IMAGE),
    (b"\xff\xd8\xff", Kind.IMAGE),
    (b"GIF8", Kind.IMAGE),
    (b"%PDF-", Kind.PDF),
    (b"PAR1", Kind.TABLE),
    (b"ARROW1\0\0", Kind.TABLE),
    (b"SQLite format 3\0", Kind.TABLE),
)

_PICKLES = frozenset({Kind.PICKLE, Kind.ZIP, Kind.TAR, Kind.GZIP, Kind.ZLIB, Kind.BZIP2, Kind.XZ, Kind.LZMA, Kind.LZ4})
_EXPECTED: dict[str, frozenset[Kind]] = {
    ".safetensors": frozenset({Kind.SAFETENSORS}),
    ".gguf": frozenset({Kind.GGUF}),
    ".npy": frozenset({Kind.NUMPY}),
    ".npz": frozenset({Kind.ZIP}),
    ".onnx": frozenset({Kind.PROTOBUF}),
    ".keras": frozenset({Kind.ZIP, Kind.HDF5}),
    ".h5": frozenset({Kind.HDF5}),
    ".hdf5": frozenset({Kind.HDF5}),
    ".tflite": frozenset({Kind.TFLITE}),
    ".pt": _PICKLES, ".pth": _PICKLES, ".ckpt": _PICKLES | {Kind.HDF5}, ".pkl": _PICKLES, ".pickle": _PICKLES,
    ".joblib": _PICKLES, ".dill": _PICKLES,
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif"), frozenset({Kind.IMAGE})),
    ".pdf": frozenset({Kind.PDF}),
    **dict.fromkeys(
        (
            ".json", ".jsonl", ".txt", ".md", ".yaml", ".yml", ".toml", ".csv", ".tsv", ".jinja", ".html", ".svg",
            ".xml", ".cff", ".ini", ".cfg",
        ),
        frozenset({Kind.TEXT, Kind.EMPTY}),
    ),
}  # fmt: skip

RISKY = frozenset({Kind.PICKLE, Kind.PROGRAM, Kind.BYTECODE})
"""Kinds that run code when opened: under the name of another kind they are hidden on purpose."""

NOT_READ = frozenset({Kind.ZSTD, Kind.LZ4, Kind.SEVEN_ZIP, Kind.RAR})
COMPRESSED = frozenset({Kind.GZIP, Kind.ZLIB, Kind.BZIP2, Kind.XZ, Kind.LZMA})

NO_OPCODES = frozenset(b'{["#-<= \n')
"""With which no pickle begins, but most JSON, Markdown, YAML and licences do."""

_TEXT_SAMPLE = 1 << 16
_PROTOBUFS = frozenset((".onnx", ".pb", ".model", ".spm", ".mlmodel"))


def suffix_of(name: str) -> str:
    """Return the last suffix of a file or member, lower case."""
    return PurePosixPath(name.rsplit("!", 1)[-1].lower()).suffix


def expected(name: str) -> frozenset[Kind] | None:
    """Return what a file of this name may be; None where the name promises nothing."""
    return _EXPECTED.get(suffix_of(name))


def kind_of(view: FileView) -> Kind:
    """Return what a file is by its bytes."""
    if not view.size_bytes:
        return Kind.EMPTY
    head = view.head(1024)
    if executable.program_kind(view) not in (None, "a script"):
        return Kind.PROGRAM
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            return kind
    if head[4:8] in (b"TFL3", b"TFL2"):
        return Kind.TFLITE
    if head[257:262] == b"ustar" or _old_tar(head):
        return Kind.TAR
    if _safetensors(head, view.size_bytes):
        return Kind.SAFETENSORS
    if executable.is_python_bytecode(head):
        return Kind.BYTECODE
    # Text that begins like a pickle of protocol 0 is rare, a pickle that is text is not: ask the pickle first.
    if head[0] not in NO_OPCODES and _pickle(view):
        return Kind.PICKLE
    if head[0] > 8 and not (head[0] != ord("{") and suffix_of(view.name) in _PROTOBUFS) and is_text(view):
        return Kind.TEXT
    return _weak(view, head)


def _pickle(view: FileView) -> bool:
    from weighbridge.evidence.audit.files.pickle_file import looks_like_pickle

    return looks_like_pickle(view)


def _weak(view: FileView, head: bytes) -> Kind:
    """Return the kind of what has no magic number worth the name."""
    if head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0:
        return Kind.ZLIB
    if head[:5] == b"\x5d\x00\x00\x80\x00" or head[:5] == b"\x5d\x00\x00\x10\x00":
        return Kind.LZMA
    if suffix_of(view.name) in _PROTOBUFS or head[:1] == b"\x08":
        return Kind.PROTOBUF
    return Kind.BINARY


def _safetensors(head: bytes, size: int) -> bool:
    if len(head) < 10:
        return False
    (length,) = struct.unpack_from("<Q", head)
    return bool(0 < length <= max(size, 100_000_000) and head[8:9] == b"{")


def _old_tar(head: bytes) -> bool:
    """Say whether a tar without its magic number starts here: the checksum of the header tells."""
    if len(head) < 512 or not head[0]:
        return False
    field = head[148:156].strip(b" \0")
    if not field or not field.isdigit():
        return False
    try:
        return int(field, 8) == sum(head[:148]) + 8 * 32 + sum(head[156:512])
    except ValueError:
        return False


def is_text(view: FileView) -> bool:
    """Say whether the file starts as UTF-8 text without control characters that no text has."""
    sample = view.head(_TEXT_SAMPLE)
    try:
        text = sample.decode("utf-8")
    except UnicodeDecodeError as error:
        # The sample may end inside a character.
        if error.start < len(sample) - 4 or view.size_bytes <= len(sample):
            return _utf16(sample)
        text = sample[: error.start].decode("utf-8")
    return "\0" not in text


def _utf16(sample: bytes) -> bool:
    return sample[:2] in (b"\xff\xfe", b"\xfe\xff")
