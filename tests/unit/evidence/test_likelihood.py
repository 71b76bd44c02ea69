import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from weighbridge.errors import EngineError, InputError
from weighbridge.evidence.evaluate import likelihood
from weighbridge.evidence.evaluate.distribution import divergence, first_non_finite, log_probabilities, row_blocks
from weighbridge.evidence.evaluate.engine import EngineFacts, Speed
from weighbridge.evidence.evaluate.likelihood import (
    Document,
    DocumentScores,
    documents_digest,
    likelihood_measurements,
    parse_documents,
)
from weighbridge.evidence.evaluate.resources import resource_measurements
from weighbridge.evidence.record import Comparison, Measurement

ENGINE = EngineFacts(
    name="llama.cpp", version="xllamacpp 1", packages={"xllamacpp": "1"}, dtype="gguf", threads=2, notes={}
)
TWO = b'{"id": "a", "text": "one"}\n{"id": "b", "text": "two", "source": "kept out"}\n'


def scores(identity: str, nll: list[float], *, worse: float = 0.0) -> DocumentScores:
    reference = np.asarray(nll)
    return DocumentScores(
        id=identity,
        nll=reference + worse,
        reference_nll=reference,
        kl=np.full(len(nll), worse / 2),
        top1=np.arange(len(nll)) % 4 != 0,
    )


def measure(documents: list[DocumentScores], **changed: Any) -> tuple[Measurement, ...]:
    fields: dict[str, Any] = {
        "subject": "v" * 64,
        "reference": "r" * 64,
        "data": "d" * 64,
        "engine": ENGINE,
        "reference_engine": replace(ENGINE, name="transformers"),
        "differing_tokens": (),
        "truncated": 1,
        "seed": 11,
    }
    return likelihood_measurements(documents, **{**fields, **changed})


def test_documents_are_read_in_order_and_other_keys_let_be() -> None:
    assert parse_documents(TWO, file="t.jsonl") == (Document(id="a", text="one"), Document(id="b", text="two"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"id": "c", "id": "d", "text": "x"}', "a key occurs twice"),
        (b"[1]", "not a JSON object"),
        (b'{"text": "x"}', "`id` must be"),
        (b'{"id": "", "text": "x"}', "`id` must be"),
        (b'{"id": "c\\n", "text": "x"}', "`id` must be"),
        (b'{"id": "c"}', "`text` is missing"),
        (b'{"id": "c", "text": "  "}', "`text` is missing"),
        (b'{"id": "c", "text": 3}', "`text` is missing"),
        (b'{"id": "c", "text": "\\ud800"}', "surrogate"),
        (b'{"id": "a", "text": "x"}', "a second time"),
        (b'{"id": "c", "text": "\xff"}', "not UTF-8"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(line: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        parse_documents(TWO + b"\n" + line, file="held-out.jsonl")
    assert caught.value.place == "held-out.jsonl:4"
    assert caught.value.hint


def test_limits_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "MAX_TEXT_BYTES", 30)
    with pytest.raises(InputError, match="longer than 30"):
        parse_documents(TWO, file="t.jsonl")
    monkeypatch.setattr(likelihood, "MAX_DOCUMENTS", 1)
    monkeypatch.setattr(likelihood, "MAX_TEXT_BYTES", 1000)
    with pytest.raises(InputError, match="more than 1 documents"):
        parse_documents(TWO, file="t.jsonl")
    monkeypatch.setattr(likelihood, "MAX_DATA_BYTES", 10)
    with pytest.raises(InputError, match="more than 10"):
        parse_documents(TWO, file="t.jsonl")


@pytest.mark.parametrize("data", [b"", b"\n\n", b'{"id": "a", "text": "one"}'])
def test_one_document_is_too_few_for_an_interval(data: bytes) -> None:
    with pytest.raises(InputError, match="too few"):
        parse_documents(data, file="t.jsonl")


def test_digest_binds_ids_texts_and_order_but_not_the_layout_of_the_file() -> None:
    documents = parse_documents(TWO, file="t.jsonl")
    assert documents_digest(documents) == documents_digest(parse_documents(b"\n" + TWO, file="other"))
    assert documents_digest(documents) != documents_digest(documents[::-1])
    moved = (Document(id="a", text="oneb"), Document(id="", text="two"))
    assert documents_digest(documents) != documents_digest(moved)


def test_measurements_state_value_unit_and_what_they_rest_on() -> None:
    documents = [scores("a", [1.0, 2.0, 3.0, 2.0], worse=0.1), scores("b", [2.0, 2.0, 1.0, 3.0], worse=0.1)]
    perplexity, ratio, kl, top1, tokens = measure(documents)
    assert perplexity.value == pytest.approx(math.exp(2.1))
    assert perplexity.comparison is Comparison.ABSOLUTE
    assert ratio.measure == "perplexity"
    assert ratio.value == pytest.approx(math.exp(0.1))
    assert (ratio.comparison, ratio.baseline) == (Comparison.RATIO, "r" * 64)
    assert (kl.measure, kl.unit) == ("kl_divergence", "nat/token")
    assert kl.value == pytest.approx(0.05)
    assert (top1.measure, top1.value, top1.n) == ("top1_agreement", 0.75, 8)
    assert kl.context["reference"] == "r" * 64
    assert kl.context["clusters"] == 2
    assert kl.context["truncated_documents"] == 1
    assert (kl.probe, kl.seed, kl.data, kl.subject) == ("likelihood", 11, "d" * 64, "v" * 64)
    assert tokens.value == 1.0
    for sampled in (perplexity, ratio, kl, top1):
        assert sampled.interval is not None
        assert sampled.interval.low <= sampled.value <= sampled.interval.high
        assert sampled.interval.confidence == 0.95
        assert Measurement.from_json(json.loads(json.dumps(sampled.to_json()))) == sampled


def test_documents_that_are_cut_in_another_way_are_named() -> None:
    *_, tokens = measure([scores("a", [1.0]), scores("b", [2.0])], differing_tokens=["b"])
    assert tokens.value == 0.5
    assert tokens.context["differing_documents"] == ["b"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_an_error_and_never_a_measurement(bad: float) -> None:
    with pytest.raises(EngineError, match="position 2") as caught:
        measure([scores("a", [1.0]), scores("b", [2.0, 1.0, bad])])
    assert caught.value.place == "document 'b'"


def test_one_document_has_no_interval() -> None:
    with pytest.raises(InputError, match="two documents"):
        measure([scores("a", [1.0, 2.0])])


def test_log_probabilities_match_float64_arithmetic() -> None:
    logits = np.random.default_rng(1).normal(0, 8, (5, 1000)).astype(np.float32)
    targets = np.array([3, 1, 4, 1, 5])
    exact = logits.astype(np.float64)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    rows, nll = log_probabilities(logits, targets)
    np.testing.assert_allclose(rows, exact, atol=5e-6)
    np.testing.assert_allclose(nll, -exact[np.arange(5), targets], atol=2e-6)


def test_huge_scores_do_not_overflow() -> None:
    rows, nll = log_probabilities(np.array([[3e4, 0.0, -3e4]], dtype=np.float32), np.array([0]))
    assert np.isfinite(rows).all()
    assert nll[0] == 0.0


def test_divergence_matches_its_definition_and_tells_a_damaged_reference() -> None:
    rng = np.random.default_rng(2)
    p, q = (rng.normal(0, 2, (4, 300)).astype(np.float32) for _ in range(2))
    targets = np.zeros(4, dtype=np.int64)
    log_p, log_q = log_probabilities(p, targets)[0], log_probabilities(q, targets)[0]
    kl, mass = divergence(log_p, log_q)
    exact = (np.exp(log_p.astype(np.float64)) * (log_p.astype(np.float64) - log_q)).sum(axis=1)
    np.testing.assert_allclose(kl, exact, rtol=1e-5)
    np.testing.assert_allclose(mass, 1.0, atol=1e-5)
    assert divergence(log_p, log_p)[0].tolist() == [0.0] * 4
    assert (divergence(np.zeros_like(log_p), log_q)[1] > 2).all()


def test_first_row_that_is_not_finite_is_found() -> None:
    block = np.zeros((4, 3), dtype=np.float32)
    assert first_non_finite(block) is None
    block[2, 1], block[3, 0] = np.nan, np.inf
    assert first_non_finite(block) == 2


@pytest.mark.parametrize(("rows", "vocabulary"), [(0, 10), (1, 10), (1000, 49_152), (3, 10_000_000)])
def test_blocks_cover_every_row_once_and_stay_small(rows: int, vocabulary: int) -> None:
    blocks = list(row_blocks(rows, vocabulary))
    assert [row for part in blocks for row in range(part.start, part.stop)] == list(range(rows))
    assert all(part.stop - part.start == 1 or (part.stop - part.start) * vocabulary * 4 <= 4 << 20 for part in blocks)


def test_resources_are_exact_bytes_and_medians_of_repeats() -> None:
    speed = Speed(
        prefill_tokens=256,
        decode_tokens=32,
        prefill_tokens_per_second=(100.0, 300.0, 200.0),
        decode_tokens_per_second=(10.0, 30.0, 20.0),
    )
    size, memory, prefill, decode = resource_measurements(
        subject="v" * 64,
        engine=ENGINE,
        speed=speed,
        size_bytes=123,
        peak_memory_bytes=456,
        loaded_memory_bytes=400,
        machine={"cores": 2},
    )
    assert (size.measure, size.value, size.unit, size.interval) == ("size_bytes", 123, "byte", None)
    assert (memory.value, memory.context["loaded_memory_bytes"]) == (456, 400)
    assert (prefill.value, prefill.n, prefill.unit) == (200.0, 3, "token/s")
    assert decode.interval is not None
    assert (decode.interval.low, decode.interval.high, decode.interval.confidence) == (10.0, 30.0, 0.75)
    assert decode.context["machine"] == {"cores": 2}
