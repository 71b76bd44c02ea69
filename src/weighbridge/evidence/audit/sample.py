"""Reads what is held back and chooses the regions that stand for it."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from weighbridge.checkpoint.walk import open_regular, unreadable
from weighbridge.errors import ChangedError
from weighbridge.evidence.audit.anchors import MAX_REGIONS, REGION_BYTES, Bytes, gather, is_diverse

MIN_PIECE_BYTES = 16
MIN_STRIDE_BYTES = 4096
_MIN_DISTINCT_SMALL = 6
_REGIONS_OF_SMALL_PIECE = 4
_TRIED_WINDOWS = 64
_WINDOW_BYTES = 64 << 10
_READ_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A run of bytes in a file: a tensor, or a whole file.

    Attributes:
        kind: what it is.
        label: its name, for internal use only.
        path: the file that holds it.
        offset: where it starts there, in bytes.
        size_bytes: its length.
    """

    kind: Literal["tensor", "file"]
    label: str
    path: Path
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What stands for the held-back pieces.

    Attributes:
        regions: rows (n, 72) of bytes.
        region_pieces: (n,), the index of each region's piece.
        small: (index, all bytes) of pieces too short for a region.
        coverage: what was sampled, in numbers.
    """

    regions: Bytes
    region_pieces: npt.NDArray[np.int64]
    small: tuple[tuple[int, bytes], ...]
    coverage: Mapping[str, int]


def sample(pieces: Sequence[Piece], kept: Sequence[Piece]) -> Sample:
    """Choose one region in every cell of `stride` bytes of each piece that is not identical to a kept one.

    The stride grows until no more than `MAX_REGIONS` cells remain.

    Raises:
        CheckpointError: if a piece cannot be read.
        ChangedError: if a piece is shorter than stated.
    """
    shared = _shared(pieces, kept)
    sought = [index for index in range(len(pieces)) if index not in shared]
    stride, few = _stride([pieces[index].size_bytes for index in sought])
    small: list[tuple[int, bytes]] = []
    rows: list[Bytes] = []
    owners: list[int] = []
    barren_pieces = cells = barren_cells = 0
    for index in sought:
        piece = pieces[index]
        if piece.size_bytes < REGION_BYTES:
            data = b"".join(_read(piece))
            if len(data) >= MIN_PIECE_BYTES and len(set(data)) >= _MIN_DISTINCT_SMALL:
                small.append((index, data))
            else:
                barren_pieces += 1
            continue
        found, tried = _regions(piece, _cell(piece.size_bytes, stride, few))
        rows.append(found)
        owners += [index] * len(found)
        cells += tried
        barren_cells += tried - len(found)
        barren_pieces += not len(found)
    coverage = {
        "pieces": len(pieces),
        "pieces_shared_with_kept": len(shared),
        "pieces_not_searchable": barren_pieces,
        "bytes_held_back": sum(piece.size_bytes for piece in pieces),
        "stride_bytes": stride,
        "cells": cells,
        "cells_not_searchable": barren_cells,
        "regions": len(owners),
    }
    return Sample(
        regions=np.concatenate(rows) if rows else np.empty((0, REGION_BYTES), np.uint8),
        region_pieces=np.array(owners, dtype=np.int64),
        small=tuple(small),
        coverage=coverage,
    )


def _cell(size: int, stride: int, few: int) -> int:
    return min(stride, max(size // few, REGION_BYTES))


def _cells(size: int, cell: int) -> int:
    return size // cell + (size % cell >= REGION_BYTES)


def _stride(sizes: Sequence[int]) -> tuple[int, int]:
    """Return the stride, and how many regions a piece shorter than a few strides gets.

    Raises:
        ValueError: if there are more pieces than regions that can be held.
    """
    if len(sizes) > MAX_REGIONS:
        raise ValueError(f"at most {MAX_REGIONS} pieces can be searched for, not {len(sizes)}")
    long = [size for size in sizes if size >= REGION_BYTES]
    few = _REGIONS_OF_SMALL_PIECE if len(long) * 2 * _REGIONS_OF_SMALL_PIECE <= MAX_REGIONS else 1
    stride = MIN_STRIDE_BYTES
    while sum(_cells(size, _cell(size, stride, few)) for size in long) > MAX_REGIONS:
        if few > 1 and stride > max(long):
            few = 1
        stride *= 2
        if stride > 2 * max(long):
            break
    return stride, few


def _regions(piece: Piece, cell: int) -> tuple[Bytes, int]:
    """Return the chosen regions (n, 72) of a piece, and how many cells were tried."""
    window = min(cell, _WINDOW_BYTES)
    count = _cells(piece.size_bytes, cell)
    full = piece.size_bytes // cell
    at_once = max(_READ_BYTES // window, 1)
    found: list[Bytes] = []
    descriptor = _open(piece)
    try:
        for first in range(0, full, at_once):
            cells = min(at_once, full - first)
            if window == cell:
                data = _pread(descriptor, piece, first * cell, cells * cell)
            else:
                data = b"".join(_pread(descriptor, piece, (first + i) * cell, window) for i in range(cells))
            found.append(_choose(np.frombuffer(data, np.uint8), window, cells))
        if count > full:
            rest = min(piece.size_bytes - full * cell, _WINDOW_BYTES)
            found.append(_choose(np.frombuffer(_pread(descriptor, piece, full * cell, rest), np.uint8), rest, 1))
    finally:
        os.close(descriptor)
    return np.concatenate(found), count


def _choose(data: Bytes, window: int, cells: int) -> Bytes:
    """Return the first diverse region of each of `cells` windows, leaving out windows that have none."""
    starts = np.arange(cells, dtype=np.int64) * window
    chosen = np.zeros((cells, REGION_BYTES), np.uint8)
    open_cells = np.arange(cells)
    for at in dict.fromkeys(np.linspace(0, window - REGION_BYTES, _TRIED_WINDOWS).astype(int).tolist()):
        rows = gather(data, starts[open_cells] + at, REGION_BYTES)
        good = is_diverse(rows)
        chosen[open_cells[good]] = rows[good]
        open_cells = open_cells[~good]
        if not len(open_cells):
            break
    return np.delete(chosen, open_cells, axis=0)


def _shared(pieces: Sequence[Piece], kept: Sequence[Piece]) -> set[int]:
    """Return the indices of pieces whose bytes equal those of a kept piece."""
    by_size: dict[int, list[Piece]] = {}
    sizes = {piece.size_bytes for piece in pieces}
    for piece in kept:
        if piece.size_bytes in sizes:
            by_size.setdefault(piece.size_bytes, []).append(piece)
    digests = {size: {_digest(piece) for piece in group} for size, group in by_size.items()}
    return {
        index
        for index, piece in enumerate(pieces)
        if piece.size_bytes in digests and _digest(piece) in digests[piece.size_bytes]
    }


def _digest(piece: Piece) -> bytes:
    state = hashlib.sha256()
    for part in _read(piece):
        state.update(part)
    return state.digest()


def _read(piece: Piece) -> Iterator[bytes]:
    descriptor = _open(piece)
    try:
        for start in range(0, piece.size_bytes, _READ_BYTES):
            yield _pread(descriptor, piece, start, min(_READ_BYTES, piece.size_bytes - start))
    finally:
        os.close(descriptor)


def _open(piece: Piece) -> int:
    descriptor = open_regular(piece.path, place=str(piece.path))
    if os.fstat(descriptor).st_size < piece.offset + piece.size_bytes:
        os.close(descriptor)
        raise ChangedError("the file is shorter than stated", place=str(piece.path))
    return descriptor


def _pread(descriptor: int, piece: Piece, start: int, length: int) -> bytes:
    parts: list[bytes] = []
    try:
        while length:
            part = os.pread(descriptor, length, piece.offset + start)
            if not part:
                raise ChangedError(
                    "the file is shorter than stated", place=f"{piece.path}, byte {piece.offset + start}"
                )
            parts.append(part)
            start += len(part)
            length -= len(part)
    except OSError as cause:
        raise unreadable(cause, str(piece.path)) from cause
    return parts[0] if len(parts) == 1 else b"".join(parts)
