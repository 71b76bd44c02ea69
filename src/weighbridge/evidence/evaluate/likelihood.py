"""How well a version predicts held-out text, and how far its predictions are from the internal model's.

Perplexity says how surprised a model is; it can stay the same while the answers change. KL divergence and top-1
agreement compare the whole next-token distribution with the internal model's at every position, so they see that too.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from weighbridge.errors import EngineError, InputError
from weighbridge.evidence.evaluate.engine import EngineFacts
from weighbridge.evidence.record import Comparison, Interval, Measurement
from weighbridge.evidence.statistics import (
    DEFAULT_CONFIDENCE,
    cluster_bootstrap_exp_mean,
    cluster_bootstrap_mean,
    cluster_bootstrap_ratio,
)

PROBE = "likelihood"
PROBE_VERSION = "1"

MIN_DOCUMENTS = 2
MAX_DOCUMENTS = 100_000
MAX_DATA_BYTES = 256 << 20
MAX_TEXT_BYTES = 4 << 20
MAX_ID_CHARACTERS = 200

_DATA_HINT = 'Each line must be one JSON object such as {"id": "page-1", "text": "..."}.'
_NAMED_DOCUMENTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One held-out text; the unit that intervals draw."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentScores:
    """What was found at each position of one document, arrays of shape `[positions]`.

    Attributes:
        id: the document.
        nll: negative log-likelihood of the token that follows, in nats, under the version.
        reference_nll: the same under the internal model.
        kl: KL(internal model || version) of the next-token distributions, in nats.
        top1: whether both find the same token likeliest.
    """

    id: str
    nll: npt.NDArray[np.float64]
    reference_nll: npt.NDArray[np.float64]
    kl: npt.NDArray[np.float64]
    top1: npt.NDArray[np.bool_]


def parse_documents(data: bytes, *, file: str) -> tuple[Document, ...]:
    """Read held-out text from JSON lines, objects with `id` and `text`; other keys are let be.

    Raises:
        InputError: naming file and line, if a line is no such object, a text is empty or too long, an id occurs
            twice, or there are fewer than two documents (an interval needs more than one) or too many.
    """
    if len(data) > MAX_DATA_BYTES:
        raise _bad(f"{len(data)} bytes of text are more than {MAX_DATA_BYTES}", file)
    documents: dict[str, Document] = {}
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        document = _parse_document(line, place)
        if document.id in documents:
            raise _bad(f"the id {document.id!r} occurs a second time", place)
        if len(documents) == MAX_DOCUMENTS:
            raise _bad(f"there are more than {MAX_DOCUMENTS} documents", place)
        documents[document.id] = document
    if len(documents) < MIN_DOCUMENTS:
        raise _bad(
            f"{len(documents)} documents are too few", file, hint="Intervals draw documents: give two, better thirty."
        )
    return tuple(documents.values())


def documents_digest(documents: Iterable[Document]) -> str:
    """Return one SHA-256 over ids and texts in their order, whatever the file looked like."""
    state = sha256(b"weighbridge-documents-v1\n")
    for document in documents:
        state.update(json.dumps([document.id, document.text], ensure_ascii=True).encode("ascii") + b"\n")
    return state.hexdigest()


def likelihood_measurements(
    scores: Sequence[DocumentScores],
    *,
    subject: str,
    reference: str,
    data: str,
    engine: EngineFacts,
    reference_engine: EngineFacts,
    differing_tokens: Sequence[str],
    truncated: int,
    seed: int,
    confidence: float = DEFAULT_CONFIDENCE,
) -> tuple[Measurement, ...]:
    """Turn scores into perplexity, its ratio to the internal model's, KL divergence and top-1 agreement.

    Args:
        scores: one a document.
        subject: digest of the version.
        reference: digest of the internal model.
        data: digest of the documents.
        engine: what scored the version.
        reference_engine: what scored the internal model.
        differing_tokens: documents that the version's own tokenizer cuts in another way.
        truncated: how many documents were cut off at the longest length.
        seed: seed of the bootstrap.
        confidence: of the intervals.

    Raises:
        InputError: if there are fewer than two documents with positions.
        EngineError: if a number is not finite, naming document and position.
    """
    for document in scores:
        _check_finite(document)
    if sum(1 for document in scores if len(document.nll)) < MIN_DOCUMENTS:
        raise _bad("an interval needs at least two documents with positions", PROBE)
    nll, reference_nll, kl, top1 = (
        np.concatenate([getattr(document, name) for document in scores]).astype(np.float64)
        for name in ("nll", "reference_nll", "kl", "top1")
    )
    clusters = np.repeat(np.arange(len(scores)), [len(document.nll) for document in scores])
    context = {
        **engine.to_context(),
        "reference": reference,
        "reference_engine": reference_engine.to_context(),
        "clusters": len(scores),
        "truncated_documents": truncated,
    }

    def measured(measure: str, value: float, unit: str, interval: Interval | None, **other: Any) -> Measurement:
        fields: dict[str, Any] = {"n": len(nll), "context": context, **other}
        return Measurement(
            measure=measure,
            value=value,
            unit=unit,
            interval=interval,
            subject=subject,
            probe=PROBE,
            probe_version=PROBE_VERSION,
            data=data,
            seed=seed,
            **fields,
        )

    draw: dict[str, Any] = {"confidence": confidence, "seed": seed}
    return (
        measured("perplexity", _exp_mean(nll), "1", cluster_bootstrap_exp_mean(nll, clusters, **draw)),
        measured(
            "perplexity",
            _exp_mean(nll - reference_nll),
            "1",
            cluster_bootstrap_ratio(nll, reference_nll, clusters, **draw),
            comparison=Comparison.RATIO,
            baseline=reference,
        ),
        measured(
            "kl_divergence",
            float(kl.mean()),
            "nat/token",
            cluster_bootstrap_mean(kl, clusters, **draw),
            baseline=reference,
        ),
        measured(
            "top1_agreement",
            float(top1.mean()),
            "1",
            cluster_bootstrap_mean(top1, clusters, **draw),
            baseline=reference,
        ),
        measured(
            "tokenizer_agreement",
            1 - len(differing_tokens) / len(scores),
            "1",
            None,
            n=None,  # a count over these documents, not an estimate for others
            context={**context, "differing_documents": list(differing_tokens[:_NAMED_DOCUMENTS])},
        ),
    )


def _parse_document(line: bytes, place: str) -> Document:
    if len(line) > MAX_TEXT_BYTES:
        raise _bad(f"a line of {len(line)} bytes is longer than {MAX_TEXT_BYTES}", place)
    try:
        fields = json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise _bad(f"not UTF-8: {error.reason} at byte {error.start}", place) from error
    except (ValueError, RecursionError) as error:
        raise _bad(f"not JSON: {error}", place) from error
    if not isinstance(fields, dict):
        raise _bad("not a JSON object", place)
    identity, text = fields.get("id"), fields.get("text")
    if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID_CHARACTERS or not identity.isprintable():
        raise _bad(f"`id` must be 1 to {MAX_ID_CHARACTERS} printable characters", place)
    if not isinstance(text, str) or not text.strip():
        raise _bad("`text` is missing or empty", place)
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise _bad("`text` holds half of a surrogate pair, which no tokenizer can read", place)
    return Document(id=identity, text=text)


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key occurs twice")
    return fields


def _bad(message: str, place: str, *, hint: str = _DATA_HINT) -> InputError:
    return InputError(message, place=place, hint=hint)


def _check_finite(document: DocumentScores) -> None:
    for name in ("nll", "reference_nll", "kl"):
        bad = ~np.isfinite(getattr(document, name))
        if bad.any():
            raise EngineError(
                f"{name} is not a finite number at position {int(bad.argmax())}", place=f"document {document.id!r}"
            )


def _exp_mean(values: npt.NDArray[np.float64]) -> float:
    mean = float(values.mean())
    try:
        return math.exp(mean)
    except OverflowError:
        raise EngineError(f"the mean log-likelihood {mean} is too bad for a perplexity") from None
