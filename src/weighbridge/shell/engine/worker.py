"""The process in which a model is loaded and scored: `python -m weighbridge.shell.engine.worker`.

One JSON request comes as the first line of standard input. Answers are JSON lines on standard output: any number of
`{"progress": [done, total], "doing": ...}`, then `{"result": ...}` or `{"error": ...}`. Scores go to files.
"""

import json
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weighbridge.errors import EngineError, InputError, WeighbridgeError, WorkspaceError
from weighbridge.evidence.evaluate.distribution import divergence, first_non_finite, log_probabilities, row_blocks
from weighbridge.evidence.evaluate.engine import ScoringEngine
from weighbridge.shell.engine.child import Say, describe_error, follow_parent, open_answers
from weighbridge.shell.engine.score_folder import ScoreFolder, free_bytes

REFERENCE_ARRAYS = ("tokens", "nll", "top1", "truncated")
SCORE_ARRAYS = ("nll", "reference_nll", "kl", "top1")
_MASS_TOLERANCE = 1e-3
_SPARE_DISK_BYTES = 64 << 20
_MIN_SPEED_TOKENS = 8

Rows = npt.NDArray[np.float32]


def main() -> int:
    """Answer one request; the exit code is 0 where a result or an error could be reported."""
    say = open_answers()
    request = json.loads(sys.stdin.buffer.readline())
    if request.get("follow_parent"):
        follow_parent()
    work = {"reference": reference, "score": score, "speed": speed}[request["kind"]]
    try:
        say({"result": work(request, say)})
    except WeighbridgeError as error:
        say({"error": describe_error(error)})
    return 0


def reference(request: Mapping[str, Any], say: Say) -> Mapping[str, Any]:
    """Score the internal model: tokens, log-probabilities and negative log-likelihoods of every document."""
    folder = ScoreFolder(Path(request["folder"]))
    with closing(open_engine(request)) as engine:
        limit = min(request["max_tokens"], engine.context_length or request["max_tokens"])
        documents = [
            (item["id"], *_cut(engine.tokenize(item["text"]), limit, item["id"])) for item in request["documents"]
        ]
        engine.prepare(max(len(tokens) for _, tokens, _ in documents))
        vocabulary = engine.vocabulary_size
        missing = [
            index
            for index, (_, tokens, _) in enumerate(documents)
            if not _has_reference(folder, index, tokens, vocabulary)
        ]
        _require_disk(folder, sum(len(documents[index][1]) for index in missing) * vocabulary * 4)
        total = sum(len(tokens) - 1 for _, tokens, _ in documents)
        done = total - sum(len(documents[index][1]) - 1 for index in missing)
        for index in missing:
            identity, tokens, truncated = documents[index]
            say({"progress": [done, total], "doing": f"at document {identity!r}"})
            _reference_document(folder, index, engine, tokens, truncated, identity)
            done += len(tokens) - 1
        say({"progress": [done, total]})
        return {"engine": engine.facts.to_json(), "vocabulary": vocabulary, "positions": total}


def score(request: Mapping[str, Any], say: Say) -> Mapping[str, Any]:
    """Score a version on the internal model's tokens and compare each position's distribution."""
    folder, source = ScoreFolder(Path(request["folder"])), ScoreFolder(Path(request["reference"]))
    documents = request["documents"]
    stored = [_stored_reference(source, index) for index in range(len(documents))]
    with closing(open_engine(request)) as engine:
        _require_vocabulary(engine, request)
        differing = [
            item["id"]
            for item, arrays in zip(documents, stored, strict=True)
            if not _same_tokens(engine.tokenize(item["text"]), arrays)
        ]
        engine.prepare(max(len(arrays["tokens"]) for arrays in stored))
        total, done = sum(len(arrays["nll"]) for arrays in stored), 0
        for index, (item, arrays) in enumerate(zip(documents, stored, strict=True)):
            if folder.read_scores(index, SCORE_ARRAYS) is None:
                say({"progress": [done, total], "doing": f"at document {item['id']!r}"})
                folder.write_scores(index, _compare(engine, source, index, arrays, item["id"]))
            done += len(arrays["nll"])
        say({"progress": [done, total]})
        return {"engine": engine.facts.to_json(), "differing_tokens": differing}


def speed(request: Mapping[str, Any], say: Say) -> Mapping[str, Any]:
    """Time a version and count the memory that this process needed for it."""
    before = peak_memory_bytes()
    room = request["prefill_tokens"] + request["decode_tokens"]
    say({"progress": [0, 1], "doing": "while it was loaded"})
    with closing(open_engine(request)) as engine:
        engine.prepare(room)
        loaded = peak_memory_bytes()
        spare = (engine.context_length or room) - room
        prefill = request["prefill_tokens"] + min(spare, 0)
        if prefill < _MIN_SPEED_TOKENS:
            raise EngineError(
                f"a context of {engine.context_length} tokens is too short to time", place=request["model"]["path"]
            )
        say({"progress": [0, 1], "doing": "while it was timed"})
        timed = engine.speed(prefill_tokens=prefill, decode_tokens=request["decode_tokens"], repeats=request["repeats"])
        return {
            "engine": engine.facts.to_json(),
            "prefill_tokens": timed.prefill_tokens,
            "decode_tokens": timed.decode_tokens,
            "prefill_tokens_per_second": timed.prefill_tokens_per_second,
            "decode_tokens_per_second": timed.decode_tokens_per_second,
            "peak_memory_bytes": peak_memory_bytes(),
            "loaded_memory_bytes": loaded,
            "empty_memory_bytes": before,
        }


def open_engine(request: Mapping[str, Any]) -> ScoringEngine:
    """Load the model of `request` in the engine that its kind needs."""
    model, threads = request["model"], request["threads"]
    if model["kind"] == "gguf":
        from weighbridge.shell.engine.llama_engine import LlamaEngine

        return LlamaEngine(Path(model["path"]), context_tokens=request.get("context_tokens", 2), threads=threads)
    from weighbridge.shell.engine.torch_engine import TorchEngine

    return TorchEngine(Path(model["path"]), dtype=model["dtype"], threads=threads)


def peak_memory_bytes() -> int:
    """Return the most memory that this process ever held resident.

    `ru_maxrss` alone would not do on Linux: it survives `exec`, so a child starts with what its parent had reached.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cut(tokens: tuple[int, ...], limit: int, identity: str) -> tuple[tuple[int, ...], bool]:
    if len(tokens) < 2:
        raise InputError(
            "the text has fewer than two tokens, so nothing in it can be predicted",
            place=f"document {identity!r}",
            hint="Take the document out, or join it to another one.",
        )
    return tokens[:limit], len(tokens) > limit


def _same_tokens(tokens: tuple[int, ...], stored: Mapping[str, npt.NDArray[Any]]) -> bool:
    expected = tuple(stored["tokens"].tolist())
    return (tokens[: len(expected)] if stored["truncated"] else tokens) == expected


def _has_reference(folder: ScoreFolder, index: int, tokens: tuple[int, ...], vocabulary: int) -> bool:
    arrays = folder.read_scores(index, REFERENCE_ARRAYS)
    return (
        arrays is not None
        and tuple(arrays["tokens"].tolist()) == tokens
        and folder.open_log_probabilities(index, (len(tokens) - 1, vocabulary)) is not None
    )


def _require_disk(folder: ScoreFolder, needed: int) -> None:
    free = free_bytes(folder.path)
    if needed and needed + _SPARE_DISK_BYTES > free:
        raise WorkspaceError(
            f"the predictions of the internal model need {needed:,} bytes, {free:,} are free",
            place=str(folder.path),
            hint="Free some space, choose another work folder, or use fewer or shorter documents.",
        )


def _require_vocabulary(engine: ScoringEngine, request: Mapping[str, Any]) -> None:
    if engine.vocabulary_size != request["vocabulary"]:
        raise EngineError(
            f"its vocabulary of {engine.vocabulary_size} tokens is not the internal model's of "
            f"{request['vocabulary']}, so their predictions cannot be compared",
            place=request["model"]["path"],
            hint="Derive the version again with the internal model's own tokenizer and embedding.",
        )


def _stored_reference(source: ScoreFolder, index: int) -> dict[str, npt.NDArray[Any]]:
    arrays = source.read_scores(index, REFERENCE_ARRAYS)
    if arrays is None:
        raise source.damaged(index)
    return arrays


def _reference_document(
    folder: ScoreFolder, index: int, engine: ScoringEngine, tokens: tuple[int, ...], truncated: bool, identity: str
) -> None:
    targets = np.asarray(tokens[1:], dtype=np.int64)
    nll, top1 = np.empty(len(targets)), np.empty(len(targets), dtype=np.int64)

    def blocks() -> Iterator[Rows]:
        for part, scores in _finite_blocks(engine, tokens, identity):
            rows, nll[part] = log_probabilities(scores, targets[part])
            top1[part] = scores.argmax(axis=1)
            yield rows

    folder.write_log_probabilities(index, (len(targets), engine.vocabulary_size), blocks())
    # Last, because it says that the log-probabilities are whole.
    folder.write_scores(
        index,
        {
            "tokens": np.asarray(tokens, dtype=np.int64),
            "nll": nll,
            "top1": top1,
            "truncated": np.asarray(truncated),
        },
    )


def _compare(
    engine: ScoringEngine, source: ScoreFolder, index: int, stored: Mapping[str, npt.NDArray[Any]], identity: str
) -> dict[str, npt.NDArray[Any]]:
    tokens = tuple(stored["tokens"].tolist())
    targets = stored["tokens"][1:]
    expected = source.open_log_probabilities(index, (len(targets), engine.vocabulary_size))
    if expected is None:
        raise source.damaged(index)
    nll, kl, top1 = np.empty(len(targets)), np.empty(len(targets)), np.empty(len(targets), dtype=np.bool_)
    for part, scores in _finite_blocks(engine, tokens, identity):
        rows, nll[part] = log_probabilities(scores, targets[part])
        kl[part], mass = divergence(expected[part], rows)
        if not (np.abs(mass - 1) < _MASS_TOLERANCE).all():
            raise source.damaged(index)
        top1[part] = scores.argmax(axis=1) == stored["top1"][part]
    return {"nll": nll, "reference_nll": stored["nll"], "kl": kl, "top1": top1}


def _finite_blocks(engine: ScoringEngine, tokens: tuple[int, ...], identity: str) -> Iterator[tuple[slice, Rows]]:
    """Yield the scores of all positions that have a next token, a few rows at a time."""
    scores = engine.logits(tokens)
    for part in row_blocks(len(tokens) - 1, engine.vocabulary_size):
        bad = first_non_finite(scores[part])
        if bad is not None:
            raise EngineError(
                f"{engine.name} ({engine.version}) scored NaN or an infinity at position {part.start + bad}",
                place=f"document {identity!r}",
                hint="The weights are damaged, or overflow in this type. `weighbridge show` counts non-finite weights.",
            )
        yield part, scores[part]


if __name__ == "__main__":
    sys.exit(main())
