"""What a client asks to commit: lines of JSON (NDJSON), read one at a time as they come.

The first line is the header (`summary`, `description`, `parentCommit`), each other one an operation: `file`, `lfsFile`,
`copyFile`, `deletedFile`, `deletedFolder`. Form: `_prepare_commit_payload` of huggingface_hub. A body may be hundreds
of megabytes: one line is in memory at a time, and the bytes of files wait on the disk.
"""

import base64
import binascii
import hashlib
import re
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Final

import orjson

from weighbridge.hub.git.objects import GitObject, blob_header
from weighbridge.hub.git.paths import GitPathError, check_path, is_oid
from weighbridge.hub.git.pointer import MAX_FILE_BYTES, MAX_POINTER_BYTES, LfsPointer, parse_pointer
from weighbridge.hub.git.tree import DeleteFile, DeleteFolder
from weighbridge.hub.http.refusal import Refusal, bad_request, too_large

MAX_OPERATIONS: Final = 100_000
MAX_HEADER_BYTES: Final = 1024 * 1024
MAX_NAMES_BYTES: Final = 16 * 1024 * 1024
# Empty ones are passed over, but not without end.
_MAX_LINES: Final = 2 * MAX_OPERATIONS
_SPOOL_BYTES: Final = 4 * 1024 * 1024
_LINE_ROOM_BYTES: Final = 64 * 1024
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFile:
    """A file that is kept in Git itself: its bytes lie in the request's spool, from `start`, `size_bytes` of them."""

    path: str
    oid: str
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLargeFile:
    """A file whose bytes were brought before; `size_bytes` is None where the client leaves it to the hub (copies)."""

    path: str
    sha256: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFile:
    """A file that is copied within the repository, from the commit's parent unless a revision is named."""

    path: str
    source_path: str
    source_revision: str


Operation = AddFile | AddLargeFile | CopyFile | DeleteFile | DeleteFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest:
    """A commit that was asked for, all of its lines understood.

    Attributes:
        title: first line of the message.
        description: what follows it.
        parent: the commit that the client believes to be the head; None if it does not say.
        operations: in the order in which they are done.
    """

    title: str
    description: str
    parent: str | None
    operations: tuple[Operation, ...]


class CommitReader:
    """Takes the body block by block; close it, or use it in a `with` block, to free the disk."""

    def __init__(self, *, max_body_bytes: int, max_file_bytes: int) -> None:
        self._left = max_body_bytes
        self._max_body_bytes = max_body_bytes
        self._max_file_bytes = max_file_bytes
        # Base64 takes four characters for three bytes.
        self._max_line_bytes = max(MAX_HEADER_BYTES, max_file_bytes // 3 * 4 + _LINE_ROOM_BYTES)
        self._pending = bytearray()
        self._lines = 0
        self._header: dict[str, Any] | None = None
        self._operations: list[Operation] = []
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES)  # noqa: SIM115 - see `close`
        self._spooled = 0
        self._names_bytes = 0

    def __enter__(self) -> "CommitReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the files."""
        self._spool.close()

    def feed(self, block: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            Refusal: 400 for what makes no sense, 413 for what is too large.
        """
        self._left -= len(block)
        if self._left < 0:
            raise too_large(f"A commit's body has at most {self._max_body_bytes:,} bytes.")
        start = 0
        while (end := block.find(b"\n", start)) >= 0:
            self._pending += block[start:end]
            self._line()
            start = end + 1
        self._pending += block[start:]
        self._bound_line()

    def finish(self) -> CommitRequest:
        """Say that the body is over, and return what it asks for.

        Raises:
            Refusal: as `feed`.
        """
        self._line()
        if self._header is None:
            raise bad_request("The commit has no header line.")
        return CommitRequest(
            title=_text(self._header, "summary", default=""),
            description=_text(self._header, "description", default=""),
            parent=_parent(self._header),
            operations=tuple(self._operations),
        )

    def blob(self, operation: AddFile) -> GitObject:
        """Return the bytes of a file of the request."""
        self._spool.seek(operation.start)
        return GitObject("blob", self._spool.read(operation.size_bytes))

    def _bound_line(self) -> None:
        if len(self._pending) > self._max_line_bytes:
            raise too_large(
                f"A file of more than {self._max_file_bytes:,} bytes is not sent in a commit: upload it by Xet or LFS."
            )

    def _line(self) -> None:
        self._bound_line()
        self._lines += 1
        if self._lines > _MAX_LINES:
            raise too_large(f"A commit has at most {MAX_OPERATIONS:,} operations; split it.")
        line, self._pending = self._pending, bytearray()
        if not line.strip():
            return
        if len(line) > MAX_HEADER_BYTES and len(_STRINGS.sub(b"", line)) > _LINE_ROOM_BYTES:
            # As values, it would take twenty times its bytes.
            raise bad_request("A line of a commit holds one operation and nothing else.")
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"Line {len(self._operations) + 1} of the commit is not JSON.") from error
        key, value = (entry.get("key"), entry.get("value")) if isinstance(entry, dict) else (None, None)
        if not isinstance(key, str) or not isinstance(value, dict):
            raise bad_request("Each line of a commit is an object with the members key and value.")
        if key == "header":
            if self._header is not None or self._operations:
                raise bad_request("A commit has one header, on its first line.")
            if len(line) > MAX_HEADER_BYTES:
                raise too_large(f"A commit's header has at most {MAX_HEADER_BYTES:,} bytes.")
            self._header = value
            return
        self._take(key, value)

    def _take(self, key: str, value: dict[str, Any]) -> None:
        if self._header is None:
            raise bad_request("The first line of a commit is its header.")
        self._names_bytes += sum(
            len(text) for name, text in value.items() if name != "content" and isinstance(text, str)
        )
        if len(self._operations) >= MAX_OPERATIONS or self._names_bytes > MAX_NAMES_BYTES:
            raise too_large(
                f"A commit has at most {MAX_OPERATIONS:,} operations, and {MAX_NAMES_BYTES:,} bytes of names; split it."
            )
        try:
            self._operations.append(self._operation(key, value))
        except GitPathError as error:
            raise Refusal(400, f"Invalid path {error.place!r} in the commit: {error.message}.") from error

    def _operation(self, key: str, value: dict[str, Any]) -> Operation:
        path = _text(value, "path")
        match key:
            case "file":
                return self._file(check_path(path), value)
            case "lfsFile":
                return _large_file(check_path(path), value)
            case "copyFile":
                source = check_path(_text(value, "srcPath"))
                revision = _text(value, "srcRevision", default="") if value.get("srcRevision") is not None else ""
                return CopyFile(path=check_path(path), source_path=source, source_revision=revision)
            case "deletedFile":
                return DeleteFile(path=path)
            case "deletedFolder":
                return DeleteFolder(path=path)
        raise bad_request(f"A commit knows no operation {key[:40]!r}.")

    def _file(self, path: str, value: dict[str, Any]) -> AddFile | AddLargeFile:
        data = _decoded(_text(value, "content"), _text(value, "encoding", default="utf-8"), path)
        if len(data) > self._max_file_bytes:
            raise too_large(f"{path} has more than {self._max_file_bytes:,} bytes: upload it by Xet or LFS.")
        pointer = parse_pointer(data) if len(data) <= MAX_POINTER_BYTES else None
        if pointer is not None:
            # Whoever may read a pointer gets what it points to: so it is checked as if it had come as one.
            return AddLargeFile(path=path, sha256=pointer.sha256, size_bytes=pointer.size_bytes)
        digest = hashlib.sha1(blob_header(len(data)), usedforsecurity=False)
        digest.update(data)
        start = self._spooled
        self._spool.seek(start)
        self._spool.write(data)
        self._spooled += len(data)
        return AddFile(path=path, oid=digest.hexdigest(), start=start, size_bytes=len(data))


def pointer_of(operation: AddLargeFile, size_bytes: int) -> LfsPointer:
    """Return the pointer that stands for the file in a tree."""
    return LfsPointer(sha256=operation.sha256, size_bytes=size_bytes)


def _large_file(path: str, value: dict[str, Any]) -> AddLargeFile:
    sha256, size = _text(value, "oid"), value.get("size")
    if _text(value, "algo", default="sha256") != "sha256" or not _SHA256.match(sha256):
        raise bad_request(f"{path}: a large file is named by the 64 lower-case hexadecimal digits of its SHA-256.")
    if size is not None and (type(size) is not int or not 0 <= size <= MAX_FILE_BYTES):
        raise bad_request(f"{path}: the size of a large file is a number of bytes.")
    return AddLargeFile(path=path, sha256=sha256, size_bytes=size)


def _decoded(content: str, encoding: str, path: str) -> bytes:
    if encoding == "base64":
        try:
            return base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise bad_request(f"{path}: the content is not base64.") from error
    if encoding in ("utf-8", "utf8"):
        return content.encode()
    raise bad_request(f"{path}: the encoding of a file is base64 or utf-8.")


def _parent(header: dict[str, Any]) -> str | None:
    parent = header.get("parentCommit")
    if parent is None or parent == "":
        return None
    if not isinstance(parent, str) or not is_oid(parent):
        raise bad_request("parentCommit is the id of a commit: 40 lower-case hexadecimal digits.")
    return parent


def _text(value: dict[str, Any], name: str, *, default: str | None = None) -> str:
    found = value.get(name, default)
    if not isinstance(found, str):
        raise bad_request(f"{name} is missing from a line of the commit, or is no text.")
    return found
