"""What a check keeps of the bytes in the one pass over them: the head of every file, and small files whole."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from threading import Lock

from weighbridge.checkpoint.folder import MAX_INDEX_BYTES
from weighbridge.dossier.bom_reader import MAX_BOM_BYTES
from weighbridge.dossier.release import MAX_RECORD_BYTES, RELEASE_NAME
from weighbridge.terms.recognise import MAX_TEXT_BYTES

HEAD_BYTES = 512
"""Enough for every magic number, and for a script's first line."""

MAX_TOTAL_BYTES = 96 << 20
"""What is kept of all files together; a folder that asks for more is not looked into further."""

_LIMITS: Mapping[str, int] = {
    RELEASE_NAME: MAX_RECORD_BYTES,
    "README.md": 4 << 20,
    "config.json": 10_000_000,
    "tokenizer_config.json": 16 << 20,
    "tokenizer.json": 64 << 20,
    "vocab.json": 16 << 20,
}
_SUFFIXES: Mapping[str, int] = {
    ".jinja": 1 << 20,
    ".jinja2": 1 << 20,
    ".py": 1 << 20,
    ".json": 1 << 20,
    ".md": 1 << 20,
    ".txt": 1 << 20,
    ".yaml": 1 << 20,
    ".yml": 1 << 20,
}
_LICENCE_STARTS = ("LICENSE", "LICENCE", "COPYING", "UNLICENSE", "NOTICE", "EULA", "TERMS")
_LICENCE_WORDS = frozenset({"LICENSE", "LICENCE", "LICENSES", "LICENCES", "EULA"})
_WORD = re.compile(r"[A-Z]+")
_PAPER = (".pdf", ".html", ".htm", ".rtf", ".doc", ".docx", ".odt")
"""Documents that may hold a licence, and that are not read here."""

_NO_DOCUMENT = re.compile(
    r"""\.(py|pyc|sh|bash|ps1|bat|c|cpp|cu|rs|go|java|js|r|pl|so|dll|exe|json|jsonl|csv|parquet|png|jpe?g|gif|svg
    |safetensors|gguf|bin|pt|pth|onnx|npy|npz)\Z""",
    re.VERBOSE,
)


def limit_of(path: str) -> int:
    """Return how many bytes a file may have to be kept whole; 0 for one that is never kept."""
    name = PurePosixPath(path).name
    if name in _LIMITS:
        return _LIMITS[name]
    if name.endswith(".index.json"):
        return MAX_INDEX_BYTES
    if is_bom_name(name):
        return MAX_BOM_BYTES
    if is_licence_name(path):
        return MAX_TEXT_BYTES
    return _SUFFIXES.get(PurePosixPath(path).suffix.lower(), 0)


def is_bom_name(name: str) -> bool:
    """Say whether a file is a bill of materials, by its name: `*.cdx.json`, `*.spdx.json`, `bom.json` and the like."""
    lower = name.lower()
    ends = (".cdx.json", ".spdx.json", ".spdx3.json", ".bom.json")
    return lower.endswith(ends) or lower in ("bom.json", "sbom.json", "aibom.json", "cyclonedx.json")


def is_licence_name(path: str) -> bool:
    """Say whether a file is the text of a licence or notice, by its name or folder."""
    return names_licence(path) and PurePosixPath(path).suffix.lower() not in _PAPER


def names_licence(path: str) -> bool:
    """Say whether a file is called like a licence or notice, or lies among them, though it may be no plain text."""
    file = PurePosixPath(path)
    if _NO_DOCUMENT.match(file.suffix.lower()):
        return False
    if len(file.parts) > 1 and file.parts[0] in ("LICENSES", "THIRD_PARTY"):
        return True
    name = file.name.upper()
    return name.startswith(_LICENCE_STARTS) or not _LICENCE_WORDS.isdisjoint(_WORD.findall(name))


class Capture:
    """A `BlockVisitor` that keeps heads and small files. What is large passes by at the cost of one comparison a block.

    Args:
        sizes: size of every file that will be read.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.heads: dict[str, bytes] = {}
        self.too_large: list[str] = []
        self.files = frozenset(sizes)
        self._wanted: dict[str, bytearray] = {}
        self._lock = Lock()
        total = 0
        for path, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
            limit = limit_of(path)
            if not limit:
                continue
            total += size
            if size > limit or total > MAX_TOTAL_BYTES:
                total -= size
                self.too_large.append(path)
            else:
                self._wanted[path] = bytearray()

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        """Keep what is wanted of one block."""
        if offset == 0:
            with self._lock:
                self.heads[file] = bytes(block[:HEAD_BYTES])
        if file in self._wanted:
            self._wanted[file] += block

    def text(self, path: str) -> bytes | None:
        """Return the bytes of a file that was kept; None for any other."""
        kept = self._wanted.get(path)
        return None if kept is None else bytes(kept)

    @property
    def kept(self) -> tuple[str, ...]:
        """The paths of files that were kept whole, in order."""
        return tuple(sorted(self._wanted))
