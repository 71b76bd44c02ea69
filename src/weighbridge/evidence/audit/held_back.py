"""The proof of absence: what is held back does not occur in a version's bytes.

One streaming pass over every file looks for three things at any byte alignment: sampled content of tensors and files,
names, and scrubbed strings.

Guaranteed: content is sampled in cells of `stride` bytes (4 KiB unless that would take more than 64 MiB of memory;
the audit's coverage states it). Of every cell in which one of 64 tried windows of 72 bytes is diverse (every 8
consecutive bytes hold at least 4 distinct values), one such window is sought exactly. So any verbatim run of
`2 * stride` bytes of held-back content that covers such a cell is found, wherever it lies. Pieces of 16 to 71 bytes,
names and strings are sought whole. What cannot be searched is counted, never dropped in silence.

Not covered: content that was changed on the way, by re-quantisation, casting, scaling or compression. Whether weights
descend from others is a question for a lineage test, not for a comparison of bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.evidence.audit.anchors import REGION_BYTES, AnchorTable, Bytes, aligned
from weighbridge.evidence.audit.pattern import MAX_PATTERN_BYTES, MIN_PATTERN_BYTES, PatternTable
from weighbridge.evidence.audit.sample import Piece, sample
from weighbridge.evidence.record import Audit, Finding, Severity

__all__ = ["PROBE", "PROBE_VERSION", "HeldBack", "HeldBackSearch", "Piece"]

PROBE = "held-back"
PROBE_VERSION = "1"

MAX_PATTERNS = 200_000
_MAX_FINDINGS = 1000
_WORD_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """What must not occur in a version.

    Attributes:
        pieces: tensors and files, each with where its bytes can be read.
        names: of tensors and paths of files. A name counts where it stands alone, not as a part of a longer word.
        strings: values of scrubbed metadata: run ids, home paths. They count anywhere.
    """

    pieces: tuple[Piece, ...] = ()
    names: tuple[str, ...] = ()
    strings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sought:
    """One byte form of something sought. `kind` is `name`, `string` or `content`; `index` counts within its kind."""

    kind: str
    index: int
    data: bytes
    kept: tuple[tuple[bytes, int], ...] = ()
    """Longer names that are kept and hold this one, each with the distance of this one inside."""

    @property
    def reach(self) -> int:
        """How many bytes behind its end decide whether an occurrence counts."""
        return max((len(name) - at - len(self.data) for name, at in self.kept), default=0) + (self.kind == "name")


@dataclass(slots=True)
class _Seen:
    """Occurrences of one thing in one file."""

    count: int
    first: int

    def add(self, position: int) -> None:
        self.count += 1
        self.first = min(self.first, position)


@dataclass(slots=True)
class _FileState:
    """What one file has shown; a file is visited by one thread at a time."""

    scanned: int = 0
    open: dict[tuple[int, int], bool] = field(default_factory=dict)
    """Occurrences (absolute start, sought index) that await the bytes behind them; whether they count if none come."""


class HeldBackSearch:
    """Visits the blocks of a version (`weighbridge.checkpoint.read.BlockVisitor`); safe from several threads.

    One search serves one pass over one version; `for_another_version` gives a fresh one without sampling again.
    """

    def __init__(self, held_back: HeldBack, *, kept: Sequence[Piece] = (), kept_names: Sequence[str] = ()) -> None:
        """Sample what is held back; reads each piece once.

        Args:
            held_back: what must not occur.
            kept: pieces that the version may hold. A held-back piece with the same bytes as one of them is `shared`
                and not sought.
            kept_names: names that the version may hold. A held-back name inside one of them is no finding there.

        Raises:
            CheckpointError: if a piece cannot be read.
            ChangedError: if a piece is shorter than stated.
        """
        self._held_back = held_back
        self._sample = sample(held_back.pieces, kept)
        self._table = AnchorTable(self._sample.regions)
        whole = [_Sought("content", piece, data) for piece, data in self._sample.small]
        texts, self._not_searched = _texts(held_back, kept_names)
        self._sought = (*whole, *texts)
        self._patterns = PatternTable([sought.data for sought in self._sought])
        self._longest = max([REGION_BYTES, *(len(sought.data) for sought in self._sought)])
        self._lock = Lock()
        self._reset()

    def _reset(self) -> None:
        self._files: dict[str, _FileState] = {}
        self._seen: dict[tuple[str, str, int], _Seen] = {}
        self._labels: dict[Finding, str] = {}

    def for_another_version(self) -> "HeldBackSearch":
        """Return a search for the same things that has seen nothing yet; the tables are shared, not copied."""
        other = object.__new__(HeldBackSearch)
        other.__dict__.update(self.__dict__)
        other._lock = Lock()
        other._reset()
        return other

    @property
    def size_bytes(self) -> int:
        """Memory that the tables of the search take."""
        return self._table.size_bytes + self._patterns.size_bytes

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        """Search one block, and the seam to the block before."""
        with self._lock:
            state = self._files.setdefault(file, _FileState())
        state.scanned += len(block)
        data, before = np.frombuffer(block, np.uint8), np.frombuffer(overlap, np.uint8)
        context = _Context(before, data, offset - len(before))
        if state.open:
            self._settle(file, state, context)
        # What ends in this block can begin this far before it; a multiple of 8 keeps the memory aligned.
        left = min(len(before), -(-(self._longest - 1) // 8) * 8)
        joined = _joined(block, overlap, left)
        if joined is not None:
            self._scan(file, state, aligned(joined), offset - left, context, behind=left)
            return
        self._scan(file, state, aligned(data), offset, context)
        if left:
            seam = np.concatenate((before[-left:], data[: self._longest - 1]))
            self._scan(file, state, seam, offset - left, context, behind=left, before=left)

    def _scan(
        self,
        file: str,
        state: _FileState,
        data: Bytes,
        base: int,
        context: "_Context",
        *,
        behind: int = 0,
        before: int | None = None,
    ) -> None:
        """Search `data`, which starts at byte `base` of the file.

        Only what ends behind the index `behind`, and begins before the index `before`, is new here.
        """
        before = len(data) if before is None else before
        hits = self._table.find(data)
        for start, region in zip(hits.starts.tolist(), hits.regions.tolist(), strict=True):
            if start + REGION_BYTES > behind and start < before:
                self._note(file, "content", int(self._sample.region_pieces[region]), base + start)
        for start, index in self._patterns.find(data):
            if start + len(self._sought[index].data) > behind and start < before:
                self._weigh(file, state, base + start, index, context)

    def _settle(self, file: str, state: _FileState, context: "_Context") -> None:
        waiting, state.open = state.open, {}
        for start, index in waiting:
            self._weigh(file, state, start, index, context)

    def _weigh(self, file: str, state: _FileState, start: int, index: int, context: "_Context") -> None:
        """Decide about one occurrence, or keep it open until the bytes that decide have come."""
        sought = self._sought[index]
        counts = sought.kind != "name" or _stands_alone(sought, start, context)
        if start + len(sought.data) + sought.reach > context.end:
            state.open[start, index] = counts
        elif counts:
            self._note(file, sought.kind, sought.index, start)

    def _note(self, file: str, kind: str, index: int, position: int) -> None:
        with self._lock:
            seen = self._seen.setdefault((file, kind, index), _Seen(0, position))
            seen.add(position)

    def audit(
        self, subject: str, bytes_read: int, *, tensors: Sequence[TensorEntry] = (), files: Sequence[str] = ()
    ) -> Audit:
        """Return what was seen. Messages name held-back things by their index, never by their content.

        Args:
            subject: digest of the version.
            bytes_read: how many bytes the version has; must be what was visited.
            tensors: the tensors that the version declares: their names are compared, and they place findings.
            files: the paths of the version; empty files are never visited.

        Raises:
            ValueError: if the visits did not cover `bytes_read`: then nothing is proven.
        """
        scanned = sum(state.scanned for state in self._files.values())
        if scanned != bytes_read:
            raise ValueError(f"{scanned} of {bytes_read} bytes were searched; this proves nothing")
        for file, state in self._files.items():
            for (start, index), counts in state.open.items():
                if counts:
                    self._note(file, self._sought[index].kind, self._sought[index].index, start)
            state.open.clear()
        findings = [
            *self._declared(subject, tensors, {*files, *self._files}),
            *(self._finding(subject, key, seen, tensors) for key, seen in sorted(self._seen.items())),
        ]
        coverage = {
            **self._sample.coverage,
            "anchors": self._table.anchors,
            "names": len(self._held_back.names),
            "strings": len(self._held_back.strings),
            "texts_searched": len({(s.kind, s.index) for s in self._sought if s.kind != "content"}),
            "texts_not_searched": self._not_searched,
            "tensor_names_compared": len(tensors),
            "files_scanned": len(self._files),
            "bytes_scanned": scanned,
            "findings_not_listed": max(len(findings) - _MAX_FINDINGS, 0),
        }
        return Audit(
            probe=PROBE,
            probe_version=PROBE_VERSION,
            subject=subject,
            findings=tuple(findings[:_MAX_FINDINGS]),
            coverage=coverage,
        )

    def explain(self, finding: Finding) -> str:
        """Return what a finding of this search is about, in clear. For internal use: it repeats the secret.

        Raises:
            KeyError: if the finding is not one of this search.
        """
        return self._labels[finding]

    def _declared(self, subject: str, tensors: Sequence[TensorEntry], files: set[str]) -> Iterator[Finding]:
        names = {name: index for index, name in enumerate(self._held_back.names)}
        for tensor in tensors:
            if tensor.name in names:
                message = f"held-back name {names[tensor.name]} is the name of a tensor"
                yield self._record(subject, "tensor", message, f"{tensor.file}, byte {tensor.offset}", tensor.name)
        for file in sorted(files & names.keys()):
            message = f"held-back name {names[file]} is the path of a file"
            # A dossier is public: the place may not repeat the path, so it counts.
            place = f"file {sorted(files).index(file) + 1} of {len(files)} in order of path"
            yield self._record(subject, "name", message, place, file)

    def _finding(self, subject: str, key: tuple[str, str, int], seen: _Seen, tensors: Sequence[TensorEntry]) -> Finding:
        file, kind, index = key
        labels: Mapping[str, Sequence[str]] = {
            "content": [f"{piece.kind} {piece.label}" for piece in self._held_back.pieces],
            "name": self._held_back.names,
            "string": self._held_back.strings,
        }
        where = "" if file not in self._held_back.names else "a file whose path is held back"
        tensor = next(
            (t for t in tensors if t.file == file and t.offset <= seen.first < t.end and t.name not in labels["name"]),
            None,
        )
        place = f"{where or file}, byte {seen.first}" + (f", tensor {tensor.name}" if tensor else "")
        times = "once" if seen.count == 1 else f"{seen.count} times, here first"
        if kind == "content":
            piece = self._held_back.pieces[index]
            message = f"sampled bytes of held-back piece {index} (a {piece.kind}) occur {times}"
        else:
            message = f"held-back {kind} {index} occurs {times}"
        return self._record(subject, kind, message, place, labels[kind][index])

    def _record(self, subject: str, rule: str, message: str, place: str, label: str) -> Finding:
        finding = Finding(
            rule=f"{PROBE}/{rule}",
            severity=Severity.CRITICAL,
            message=message,
            subject=subject,
            place=place,
            probe=PROBE,
            probe_version=PROBE_VERSION,
        )
        self._labels[finding] = label
        return finding


def _joined(block: memoryview, overlap: memoryview, left: int) -> Bytes | None:
    """Return the last `left` bytes of `overlap` and the block as one array if they lie side by side, as they mostly do.

    Searching them as one saves a second search across the seam for every block.
    """
    if not left:
        return np.frombuffer(block, np.uint8)
    if block.obj is not overlap.obj:
        return None
    # The object under a view may be larger than the view: find both by their addresses.
    whole = np.frombuffer(memoryview(block.obj), np.uint8)
    first, start = _address(whole), _address(np.frombuffer(block, np.uint8))
    if _address(np.frombuffer(overlap, np.uint8)) + len(overlap) != start:
        return None
    return whole[start - first - left : start - first + len(block)]


def _address(data: Bytes) -> int:
    return int(data.__array_interface__["data"][0])


@dataclass(frozen=True, slots=True)
class _Context:
    """The bytes at hand: those before a block, and the block."""

    before: Bytes
    block: Bytes
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.before) + len(self.block)

    def at(self, low: int, high: int) -> bytes:
        """Return the bytes [low, high) of the file, as far as they are at hand."""
        low, high = max(low - self.start, 0), max(high - self.start, 0)
        split = len(self.before)
        return self.before[low:high].tobytes() + self.block[max(low - split, 0) : max(high - split, 0)].tobytes()


def _stands_alone(sought: _Sought, start: int, context: _Context) -> bool:
    """Say whether a name is not a part of a longer word, nor of a kept name that stands there."""
    end = start + len(sought.data)
    return _bounded(start, end, context) and not any(
        context.at(start - at, start - at + len(name)) == name and _bounded(start - at, start - at + len(name), context)
        for name, at in sought.kept
        if start >= at
    )


def _bounded(start: int, end: int, context: _Context) -> bool:
    before = context.at(start - 1, start) if start else b""
    behind = context.at(end, end + 1)
    return not (before and before[0] in _WORD_CHARACTERS) and not (behind and behind[0] in _WORD_CHARACTERS)


def _texts(held_back: HeldBack, kept_names: Sequence[str]) -> tuple[tuple[_Sought, ...], int]:
    """Return the byte forms of names and strings, and how many of these cannot be searched."""
    found: dict[tuple[str, bytes], _Sought] = {}
    skipped = 0
    kept = [form for name in kept_names for form in _forms(name)]
    haystack = b"\x00".join(kept)
    for kind, texts in (("name", held_back.names), ("string", held_back.strings)):
        for index, text in enumerate(texts):
            forms = _forms(text)
            if min(map(len, forms)) < MIN_PATTERN_BYTES or len(found) + len(forms) > MAX_PATTERNS:
                skipped += 1
                continue
            for form in forms:
                around = _around(form, kept) if kind == "name" and form in haystack else ()
                found.setdefault((kind, form), _Sought(kind, index, form[:MAX_PATTERN_BYTES], around))
    return tuple(found.values()), skipped


def _around(form: bytes, kept: Sequence[bytes]) -> tuple[tuple[bytes, int], ...]:
    return tuple(
        (name, at)
        for name in dict.fromkeys(kept)
        if len(name) <= MAX_PATTERN_BYTES and form != name and (at := name.find(form)) >= 0
    )


def _forms(text: str) -> tuple[bytes, ...]:
    """Return the distinct bytes of a text: as it is, and as JSON writers escape it."""
    forms = [text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    forms += [form.replace("/", "\\/") for form in forms[1:]]
    return tuple(dict.fromkeys(form.encode("utf-8", "surrogatepass") for form in forms))
