"""Next-token distributions, compared a few rows at a time.

Rows are float32 as engines make them; every sum over a vocabulary runs in float64. A block is a few MiB, so memory
stays bounded whatever the vocabulary, and the block is still in cache when it is read again.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Float32Rows = npt.NDArray[np.float32]
Float64Items = npt.NDArray[np.float64]

_BLOCK_BYTES = 4 << 20


def row_blocks(rows: int, vocabulary: int) -> Iterator[slice]:
    """Cut `rows` rows of `vocabulary` float32 numbers into blocks of about 4 MiB, at least one row each."""
    step = max(1, _BLOCK_BYTES // (4 * vocabulary))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def first_non_finite(scores: Float32Rows) -> int | None:
    """Return the first row that holds NaN or an infinity, or None."""
    bad = ~np.isfinite(scores).all(axis=1)
    return int(bad.argmax()) if bad.any() else None


def log_probabilities(scores: Float32Rows, targets: npt.NDArray[np.int64]) -> tuple[Float32Rows, Float64Items]:
    """Return log-probabilities of shape `[rows, vocabulary]` and the negative log-likelihood of each row's target.

    Args:
        scores: finite logits, shape `[rows, vocabulary]`; left as they are.
        targets: the token that follows each row, shape `[rows]`.
    """
    shifted = scores - scores.max(axis=1, keepdims=True)
    normaliser = np.log(np.exp(shifted).sum(axis=1, dtype=np.float64))
    likelihood = shifted[np.arange(len(targets)), targets].astype(np.float64) - normaliser
    shifted -= normaliser.astype(np.float32)[:, None]
    return shifted, -likelihood


def divergence(reference: Float32Rows, version: Float32Rows) -> tuple[Float64Items, Float64Items]:
    """Return KL(reference || version) in nats a row, and the probability mass of each reference row.

    Both arguments are log-probabilities of shape `[rows, vocabulary]`. The mass is 1 but for rounding, unless the
    reference was damaged on its way. A divergence is never negative; what rounding leaves below zero reads zero.
    """
    weights = np.exp(reference)
    mass = weights.sum(axis=1, dtype=np.float64)
    weights *= reference - version
    return np.maximum(weights.sum(axis=1, dtype=np.float64), 0.0), mass
