"""Pointers of git-LFS: the small blob that stands in a tree for a large file.

Form: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md, version 1. Only its canonical spelling counts as a
pointer, so that whatever is taken for one encodes to the same bytes again.
"""

import re
from dataclasses import dataclass
from typing import Final

from weighbridge.hub.git.objects import GitObjectError

MAX_POINTER_BYTES: Final = 1024
MAX_FILE_BYTES: Final = 2**63 - 1

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,18})\n\Z"
)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class LfsPointer:
    """The content that a pointer stands for: its SHA-256 (64 lower-case hexadecimal digits) and its size."""

    sha256: str
    size_bytes: int

    def __post_init__(self) -> None:
        if not _SHA256.match(self.sha256):
            raise GitObjectError("a pointer names its content by 64 lower-case hexadecimal digits of SHA-256")
        if not 0 <= self.size_bytes <= MAX_FILE_BYTES:
            raise GitObjectError(f"a pointer states a size from 0 to {MAX_FILE_BYTES} bytes")


def encode_pointer(pointer: LfsPointer) -> bytes:
    """Return the blob that stands for the content."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{pointer.sha256}\nsize {pointer.size_bytes}\n"
    return text.encode()


def parse_pointer(data: bytes) -> LfsPointer | None:
    """Return what `data` points to, or None when it is not a pointer in its canonical form (an ordinary file)."""
    if len(data) > MAX_POINTER_BYTES:
        return None
    match = _POINTER.match(data)
    if match is None or int(match[2]) > MAX_FILE_BYTES:
        return None
    return LfsPointer(sha256=match[1].decode(), size_bytes=int(match[2]))
