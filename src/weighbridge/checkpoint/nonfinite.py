"""Counts of NaN and infinite weights, taken while the bytes of a checkpoint stream past."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from weighbridge.checkpoint.dtype import FLOATS, FloatFormat
from weighbridge.checkpoint.scale import ScaleScan
from weighbridge.checkpoint.tensor import TensorEntry

_Bits = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class NonFinite:
    """How many elements of a tensor are not finite."""

    nan: int
    infinite: int


class _Run:
    """Tensors of one float format that follow each other without a gap; most files are one run."""

    __slots__ = ("end", "format", "offsets", "start", "tensors")

    def __init__(self, first: TensorEntry) -> None:
        self.start = first.offset
        self.end = first.end
        self.format: FloatFormat = FLOATS[first.dtype]
        self.tensors = [first]
        self.offsets = [first.offset]

    def take(self, tensor: TensorEntry) -> bool:
        """Append `tensor` if it continues this run."""
        if tensor.offset != self.end or FLOATS[tensor.dtype] is not self.format:
            return False
        self.end = tensor.end
        self.tensors.append(tensor)
        self.offsets.append(tensor.offset)
        return True


class NonFiniteCounter:
    """Counts NaN and infinity exactly in float tensors; a `BlockVisitor`.

    Blocks may cut a tensor anywhere, even inside an element: an element is counted where its last byte lies, with
    its first bytes out of the overlap. A block is first searched for its largest pattern, as signed and as
    unsigned integers: only a NaN or infinity lies above that of infinity (positive ones in the signed, negative
    ones in the unsigned order). Only a block that has one is counted, so sound weights cost two reads in cache.

    Of block-quantised tensors the scales are counted (see `weighbridge.checkpoint.scale`); integers are always finite.
    """

    def __init__(self, tensors: Sequence[TensorEntry]) -> None:
        self._runs: dict[str, list[_Run]] = {}
        for tensor in sorted(tensors, key=lambda tensor: (tensor.file, tensor.offset, tensor.end)):
            if tensor.dtype not in FLOATS or not tensor.size_bytes:
                continue
            runs = self._runs.setdefault(tensor.file, [])
            if not (runs and runs[-1].take(tensor)):
                runs.append(_Run(tensor))
        self._scales = ScaleScan(tensors)
        self._starts = {file: [run.start for run in runs] for file, runs in self._runs.items()}
        self._lock = Lock()
        self._found: dict[str, NonFinite] = {}

    @property
    def counts(self) -> Mapping[str, NonFinite]:
        """Tensors that have NaN or infinite elements, by name. A complex element counts by its components."""
        with self._lock:
            return dict(sorted(self._found.items()))

    def visit(self, file: str, offset: int, block: memoryview, overlap: memoryview) -> None:
        """Look at one block, see `weighbridge.checkpoint.read.BlockVisitor`."""
        for name, nan, infinite in self._scales.visit(file, offset, block, overlap):
            self._add(name, nan, infinite)
        runs = self._runs.get(file)
        if runs is None or not len(block):
            return
        index = max(bisect_right(self._starts[file], offset) - 1, 0)
        while index < len(runs) and runs[index].start < offset + len(block):
            if runs[index].end > offset:
                self._scan(runs[index], offset, block, overlap)
            index += 1

    def _scan(self, run: _Run, offset: int, block: memoryview, overlap: memoryview) -> None:
        width = run.format.size_bytes
        begin = max(run.start, offset)
        stop = min(run.end, offset + len(block))
        phase = (begin - run.start) % width
        if phase:
            if len(overlap) < phase:
                raise ValueError("blocks must be visited in order, with their overlap")
            rest = width - phase
            if begin + rest > stop:
                return
            cut = bytes(overlap[len(overlap) - phase :]) + bytes(block[begin - offset : begin - offset + rest])
            self._examine(run, begin - phase, np.frombuffer(cut, f"<u{width}"))
            begin += rest
        elements = (stop - begin) // width
        if elements:
            self._examine(run, begin, np.frombuffer(block, f"<u{width}", elements, begin - offset))

    def _examine(self, run: _Run, position: int, bits: _Bits) -> None:
        """Count in elements that start at byte `position` of the file, if there is anything to count."""
        if not _suspicious(bits, run.format):
            return
        end = position + bits.nbytes
        index = bisect_right(run.offsets, position) - 1
        while index < len(run.tensors) and run.offsets[index] < end:
            tensor = run.tensors[index]
            first = max(tensor.offset - position, 0) // bits.itemsize
            last = (min(tensor.end, end) - position) // bits.itemsize
            self._add(tensor.name, *_count(bits[first:last], run.format))
            index += 1

    def _add(self, name: str, nan: int, infinite: int) -> None:
        if not nan and not infinite:
            return
        with self._lock:
            before = self._found.get(name, NonFinite(0, 0))
            self._found[name] = NonFinite(before.nan + nan, before.infinite + infinite)


def _suspicious(bits: _Bits, form: FloatFormat) -> bool:
    """Say whether any pattern is not finite."""
    if form.only_nan is not None:
        return bool((bits == form.only_nan).any())
    lowest = form.infinity + (not form.has_infinity)
    sign = 1 << (8 * form.size_bytes - 1)
    return bool(bits.view(f"<i{form.size_bytes}").max() >= lowest or bits.max() >= sign | lowest)


def _count(bits: _Bits, form: FloatFormat) -> tuple[int, int]:
    """Return (NaN, infinite) among the patterns."""
    if form.only_nan is not None:
        return int(np.count_nonzero(bits == form.only_nan)), 0
    magnitude = bits & bits.dtype.type((1 << (8 * form.size_bytes - 1)) - 1)
    infinite = int(np.count_nonzero(magnitude == form.infinity)) if form.has_infinity else 0
    return int(np.count_nonzero(magnitude > form.infinity)), infinite
