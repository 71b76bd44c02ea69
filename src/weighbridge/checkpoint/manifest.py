"""Which files a checkpoint holds, with one digest that binds names, sizes and bytes."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from weighbridge.errors import UnsafePathError

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_DIGEST_DOMAIN = b"weighbridge-manifest-v1\n"

MAX_PATH_BYTES = 1024


def relative_path(text: str) -> PurePosixPath:
    """Return `text` as a path that stays inside its folder.

    Raises:
        UnsafePathError: if it is absolute, empty, too long, contains `.`/`..` parts, backslashes, or
            control characters (a newline would make two manifests read alike).
    """
    path = PurePosixPath(text)
    parts = text.split("/")
    if (
        not text
        or len(text.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES
        or path.is_absolute()
        or any(part in ("", ".", "..") for part in parts)
        or "\\" in text
        or any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in text)
    ):
        raise UnsafePathError(f"the path {text!r} is not a plain path inside its folder")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a checkpoint, named relative to its root.

    Attributes:
        path: relative POSIX path, checked on construction.
        size_bytes: length of the file.
        sha256: lower-case hexadecimal SHA-256 of its bytes.
    """

    path: PurePosixPath
    size_bytes: int
    sha256: str

    def __post_init__(self) -> None:
        relative_path(str(self.path))
        if self.size_bytes < 0 or not _SHA256.match(self.sha256):
            raise ValueError(f"not a file entry: {self.path} {self.size_bytes} {self.sha256}")


@dataclass(frozen=True)
class Manifest:
    """The files of a checkpoint: unique paths in code-point order.

    Whoever holds a `Manifest` knows that every path lies inside the root.
    """

    entries: tuple[FileEntry, ...]

    def __post_init__(self) -> None:
        paths = [str(entry.path) for entry in self.entries]
        if paths != sorted(set(paths)):
            raise ValueError("manifest paths must be unique and in code-point order")

    @classmethod
    def of(cls, entries: Iterable[FileEntry]) -> "Manifest":
        """Build a manifest from entries in any order."""
        return cls(tuple(sorted(entries, key=lambda entry: str(entry.path))))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over a domain line and one `sha256 size path` line a file: it binds the names."""
        state = hashlib.sha256(_DIGEST_DOMAIN)
        for entry in self.entries:
            state.update(f"{entry.sha256} {entry.size_bytes} {entry.path}\n".encode())
        return state.hexdigest()

    @property
    def size_bytes(self) -> int:
        """Sum of the file sizes."""
        return sum(entry.size_bytes for entry in self.entries)

    def __iter__(self) -> Iterator[FileEntry]:
        return iter(self.entries)

    def get(self, path: str) -> FileEntry | None:
        """Return the entry of `path`, or None."""
        return next((entry for entry in self.entries if str(entry.path) == path), None)

    def without(self, *paths: str) -> "Manifest":
        """Return this manifest less the named paths."""
        return Manifest(tuple(entry for entry in self.entries if str(entry.path) not in paths))

    def to_json(self) -> list[dict[str, object]]:
        """Return a JSON form, `from_json` reads it back."""
        return [{"path": str(e.path), "size_bytes": e.size_bytes, "sha256": e.sha256} for e in self.entries]

    @classmethod
    def from_json(cls, data: object) -> "Manifest":
        """Read the form that `to_json` writes.

        Raises:
            ValueError: if it has another shape.
        """
        try:
            return cls.of(
                FileEntry(path=relative_path(e["path"]), size_bytes=int(e["size_bytes"]), sha256=str(e["sha256"]))
                for e in data  # type: ignore[attr-defined]  # the shape is what is being checked
            )
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error}") from error
