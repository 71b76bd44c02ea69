"""One tensor of a checkpoint: what it is called, what it holds and where its bytes lie."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """A tensor, as the header of its file states it.

    Attributes:
        name: unique within the checkpoint.
        dtype: the safetensors name (`BF16`, `F8_E4M3`) or the ggml type name (`Q4_K`, `Q8_0`).
        shape: row-major, slowest dimension first; () is a scalar. GGUF stores the reverse.
        file: path of the weight file, relative to the checkpoint's root.
        offset: absolute byte offset in that file.
        size_bytes: length of its bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    offset: int
    size_bytes: int

    def __post_init__(self) -> None:
        if self.offset < 0 or self.size_bytes < 0:
            raise ValueError(f"not a tensor entry: {self.name!r} at {self.offset}, {self.size_bytes} bytes")

    @property
    def parameters(self) -> int:
        """How many elements it holds; a block-quantised type counts elements, not blocks."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """Byte offset just behind it in its file."""
        return self.offset + self.size_bytes


def quoted(name: str, limit: int = 120) -> str:
    """Return a name from outside, safe to show: escaped, and cut where it is very long."""
    return repr(name if len(name) <= limit else name[:limit] + "…")


def unprintable(name: str) -> bool:
    """Say whether a name is empty or holds control characters or lone surrogates."""
    if name.isascii() and name.isprintable():
        return not name
    return not name or any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in name)
