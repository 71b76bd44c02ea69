"""Programs, archives, scripts and pickles hidden among weights, sought in the pass that hashes them.

Four bytes are compared at every offset, whatever the numbers there mean: whoever hides something chooses the type that
the header declares. What stands behind a match is checked by structure once the pass is over. What is encrypted or
spread over the lowest bits of weights is not found here, nor can it be.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.evidence.audit.files import executable
from weighbridge.evidence.audit.files.byte_search import NEEDLE_BYTES, ByteSearch
from weighbridge.evidence.audit.files.view import FileView

MAX_HITS = 2000
"""Matches of four bytes that are kept of one file; more are counted."""

MAX_COUNTED = 100_000
"""Of one file: the search of it ends where more were counted, so that a file made of matches costs no more."""

_BEFORE, _CANDIDATES, _FEW_OPCODES = 4096, 24, 300

_CALLERS = (b"syst", b"ltin", b"subp", b"posi")
"""Of `os.system`, `posix.system`, `builtins`, `__builtin__`, `subprocess`: what a hidden pickle would import."""

NEEDLES: tuple[bytes, ...] = (*(row[0] for row in executable.HIDDEN), *_CALLERS)
"""What is sought, the programs and archives of `executable.HIDDEN` first."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Four bytes that may start something."""

    offset: int
    needle: int


class Regions:
    """Where the tensors of a file lie.

    Attributes:
        start: offset of the first byte of any; 0 where there is none. The header before it is read whole, and speaks
            of systems and positions often enough to fill what is kept of a file.
    """

    def __init__(self, tensors: Iterable[TensorEntry]) -> None:
        self.start = min((tensor.offset for tensor in tensors if tensor.size_bytes), default=0)


class HiddenSearch:
    """A `BlockVisitor` that collects `Hit`s.

    Args:
        regions: of weight files, by name.
        skipped: files that are text, and read whole anyway.
        archives: files where archives and imports are no surprise; those are told by their own structure.
    """

    def __init__(
        self, regions: Mapping[str, Regions], skipped: frozenset[str], archives: frozenset[str] = frozenset()
    ) -> None:
        self._starts = {file: found.start for file, found in regions.items()}
        self._skipped = skipped
        self._archives = archives
        self._search = byte_search()
        self.hits: dict[str, list[Hit]] = {}
        self.not_kept: dict[str, int] = {}

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        """Search one block; see `BlockVisitor`."""
        if (
            file in self._skipped
            or offset + len(block) <= self._starts.get(file, 0)
            or self.not_kept.get(file, 0) >= MAX_COUNTED
        ):
            return
        before = bytes(overlap[-(NEEDLE_BYTES - 1) :])
        if before:
            # What begins in the block before ends at most three bytes into this one.
            seam = memoryview(before + bytes(block[: NEEDLE_BYTES - 1]))
            self._keep(file, offset - len(before), self._search.find(seam))
        self._keep(file, offset, self._search.find(block))

    def _keep(self, file: str, base: int, found: Sequence[tuple[int, int]]) -> None:
        if not found:
            return
        kept = self.hits.setdefault(file, [])
        start = self._starts.get(file, 0)
        for at, number in found:
            hit = Hit(base + at, number)
            if hit.offset < start or (file in self._archives and (is_caller(hit) or is_container(hit))):
                continue
            if len(kept) < MAX_HITS:
                kept.append(hit)
            else:
                self.not_kept[file] = self.not_kept.get(file, 0) + 1


@cache
def byte_search() -> ByteSearch:
    """Return the search for `NEEDLES`, built once a process."""
    return ByteSearch(NEEDLES)


def identify(view: FileView, hit: Hit) -> str | None:
    """Return what a hit really is, or None where it came by chance."""
    if hit.needle < len(executable.HIDDEN):
        _, what, check = executable.HIDDEN[hit.needle]
        return what if check(view.read(hit.offset, executable.LOOK_BYTES)) else None
    return "a pickle that runs a command" if _pickle_around(view, hit.offset) else None


def _pickle_around(view: FileView, offset: int) -> bool:
    """Say whether the name at `offset` is one that a pickle imports which starts before it."""
    from weighbridge.evidence.audit.files.pickle_global import Trust, trust
    from weighbridge.evidence.audit.files.pickle_machine import Event, interpret
    from weighbridge.evidence.audit.files.pickle_value import Global

    base = max(offset - _BEFORE, 0)
    before = view.read(base, offset - base + 1)
    starts = [
        at
        for at in range(len(before) - 1)
        if (before[at] == 0x80 and before[at + 1] <= 5) or (before[at] in b"c(" and len(before) - at <= 24)
    ]
    for at in reversed(starts[-_CANDIDATES:]):
        dangerous: list[Global] = []

        def note(event: Event, found: list[Global] = dangerous) -> None:
            value = event.value
            if (
                isinstance(value, Global)
                and event.kind == "import"
                and trust(value.module, value.name) is Trust.DANGEROUS
            ):
                found.append(value)

        interpret(view, base + at, most=_FEW_OPCODES, emit=note)
        if dangerous:
            return True
    return False


def is_caller(hit: Hit) -> bool:
    """Say whether the hit is part of a name that a pickle would import."""
    return hit.needle >= len(executable.HIDDEN)


def is_container(hit: Hit) -> bool:
    """Say whether the hit would start an archive."""
    return not is_caller(hit) and "archive" in executable.HIDDEN[hit.needle][1]
