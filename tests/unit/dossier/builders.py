"""Builders of plausible release records: the figures are those of a real 135 M model, rounded."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from weighbridge.checkpoint.manifest import FileEntry, Manifest
from weighbridge.dossier.release import HeldBackPart, HeldBackSummary, ReleaseRecord, Texts
from weighbridge.evidence.record import Audit, Comparison, Finding, Interval, Measurement, Severity
from weighbridge.hub.page import Family, VersionView

SOURCE = hashlib.sha256(b"source").hexdigest()
DATA = hashlib.sha256(b"held-out").hexdigest()
HOSTILE = "<script>document.title='owned'</script>"

HELD_BACK = HeldBackSummary(
    parts=(
        HeldBackPart(description="The internal tool adapter", kind="tensors", count=60, size_bytes=4_915_200),
        HeldBackPart(
            description="Training state and a sample of the data", kind="files", count=3, size_bytes=88_412_004
        ),
        HeldBackPart(description="Paths, user names and run identifiers", kind="metadata", count=7, size_bytes=512),
    ),
    left_out_files=2,
)


def a_manifest(*files: tuple[str, int]) -> Manifest:
    return Manifest.of(
        FileEntry(path=PurePosixPath(path), size_bytes=size, sha256=hashlib.sha256(path.encode()).hexdigest())
        for path, size in files
    )


def an_architecture(load_bytes: int, **changes: Any) -> dict[str, Any]:
    return {
        "family": "llama",
        "parameters": 134_515_008,
        "dtypes": [["BF16", 134_515_008]],
        "context_length": 8192,
        "layers": 30,
        "vocabulary": 49_152,
        "load_bytes": load_bytes,
        "cache_bytes_per_1000_tokens": 23_040_000,
        **changes,
    }


def a_measurement(subject: str, measure: str, value: float, **changes: Any) -> Measurement:
    low_high = changes.pop("between", None)
    if low_high:
        method = "percentile bootstrap over documents, 2000 resamples"
        changes["interval"] = Interval(low=low_high[0], high=low_high[1], confidence=0.95, method=method)
    if changes.get("comparison"):
        changes.setdefault("baseline", SOURCE)
    likelihood = measure in ("perplexity", "kl_divergence", "top1_agreement")
    if likelihood:
        context = {"engine": "llama.cpp", "clusters": 24, "truncated_documents": 0}
        changes = {"n": 2292, "data": DATA, "seed": 0, "context": context} | changes
    return Measurement(
        **{
            "measure": measure,
            "value": value,
            "unit": "1",
            "subject": subject,
            "probe": "likelihood" if likelihood else "resources",
            "probe_version": "1",
            **changes,
        }
    )


def measured(
    subject: str,
    *,
    ratio: tuple[float, float, float],
    kl: tuple[float, float, float],
    top1: tuple[float, float, float],
    decode: float,
    peak: int,
) -> tuple[Measurement, ...]:
    """Each triple is value, low, high."""
    return (
        a_measurement(
            subject, "perplexity", 11.694 * ratio[0], between=(11.694 * ratio[1] - 0.9, 11.694 * ratio[2] + 1)
        ),
        a_measurement(subject, "perplexity", ratio[0], between=ratio[1:], comparison=Comparison.RATIO),
        a_measurement(subject, "kl_divergence", kl[0], between=kl[1:], unit="nat/token"),
        a_measurement(subject, "top1_agreement", top1[0], between=top1[1:]),
        a_measurement(subject, "peak_memory_bytes", float(peak), unit="byte"),
        a_measurement(subject, "prefill_tokens_per_second", decode * 5.1, unit="token/s", n=5),
        a_measurement(subject, "decode_tokens_per_second", decode, unit="token/s", n=5),
    )


def an_audit(subject: str, *findings: Finding, read: int = 105_454_304) -> Audit:
    return Audit(
        probe="held-back",
        probe_version="1",
        subject=subject,
        findings=findings,
        coverage={
            "pieces": 63,
            "pieces_shared_with_kept": 0,
            "pieces_not_searchable": 2,
            "bytes_held_back": 93_327_204,
            "stride_bytes": 4096,
            "cells": 22_784,
            "cells_not_searchable": 311,
            "regions": 22_473,
            "names": 60,
            "strings": 7,
            "texts_searched": 67,
            "texts_not_searched": 0,
            "tensor_names_compared": 272,
            "files_scanned": 1,
            "bytes_scanned": read,
            "findings_not_listed": 0,
        },
    )


def a_finding(subject: str) -> Finding:
    return Finding(
        rule="held-back/content",
        severity=Severity.HIGH,
        message="Bytes of a withheld tensor occur in this version.",
        subject=subject,
        place="model.gguf, byte 4096",
        probe="held-back",
        probe_version="1",
    )


def an_answer(rule: str, outcome: str = "met", **changes: Any) -> dict[str, Any]:
    blank = {"measure": "", "value": None, "unit": "", "interval": None, "limit": None, "reason": "", "remedy": ""}
    return {**blank, "rule": rule, "outcome": outcome, **changes}


def a_verdict(record_measurements: tuple[Measurement, ...], *, ratio_limit: float = 1.10) -> dict[str, Any]:
    """The JSON form of a verdict over the usual policy: absence, perplexity ratio, KL divergence."""
    answers = [an_answer("the audit held-back ran to its end and found nothing", reason="It found nothing.")]
    rules = (
        ("perplexity", Comparison.RATIO, ratio_limit, "perplexity at most {} times the source's, at 95 % confidence"),
        ("kl_divergence", Comparison.ABSOLUTE, 0.1, "KL divergence at most {}, at 95 % confidence"),
    )
    for measure, comparison, limit, text in rules:
        found = [m for m in record_measurements if m.measure == measure and m.comparison is comparison]
        if not found:
            answers.append(
                an_answer(
                    text.format(limit),
                    "not measured",
                    measure=measure,
                    limit=limit,
                    reason=f"There is no measurement of {measure} about these bytes.",
                    remedy="Add the probe to `weigh` and release again.",
                )
            )
            continue
        item = found[0]
        assert item.interval is not None
        met = item.interval.high <= limit
        side = "within" if met else "above"
        answers.append(
            an_answer(
                text.format(limit),
                "met" if met else "not met",
                measure=measure,
                value=item.value,
                unit=item.unit,
                interval=item.interval.to_json(),
                limit=limit,
                reason=f"The upper end of the interval, {item.interval.high:g}, is {side} {limit}.",
                remedy="" if met else "Choose a quantisation with more bits, or allow more in the plan.",
            )
        )
    passed = all(answer["outcome"] == "met" for answer in answers)
    return {"stage": "open", "passed": passed, "decided_at": "2026-11-16T09:30:00Z", "answers": answers}


def a_record(
    version: str = "osprey-135m-q4_k_m",
    *,
    kind: str = "Q4_K_M",
    size: int = 105_454_304,
    figures: Mapping[str, Any] | None = None,
    audited: bool = True,
    decided: bool = True,
    **changes: Any,
) -> ReleaseRecord:
    """A version with `figures` (arguments of `measured`); None takes those of Q4_K_M, an empty mapping has none."""
    gguf = kind != "BF16"
    weights = f"{version}.gguf" if gguf else "model.safetensors"
    others = () if gguf else (("config.json", 861), ("tokenizer.json", 2_104_556), ("tokenizer_config.json", 3_658))
    manifest = a_manifest((weights, size), *others)
    if figures is None:
        figures = {"ratio": (1.064, 1.041, 1.089), "kl": (0.054, 0.047, 0.062), "top1": (0.876, 0.861, 0.89),
                   "decode": 58.3, "peak": 221_000_000}  # fmt: skip
    measurements = measured(manifest.digest, **figures) if figures else ()
    last = (
        {"step": "gguf", "type": kind, "engine": "llama.cpp b11549", "fallback_tensors": 180}
        if gguf
        else {"step": "cast", "dtype": "bf16"}
    )
    return ReleaseRecord(
        **{
            "model": "acme/osprey",
            "version": version,
            "subject": manifest.digest,
            "manifest": manifest,
            "source_digest": SOURCE,
            "source_architecture": an_architecture(538_060_032),
            "architecture": an_architecture(size, dtypes=[["Q4_K" if gguf else "BF16", 134_515_008]]),
            "format": "gguf" if gguf else "safetensors",
            "recipe": ({"step": "withhold", "parts": 3}, {"step": "sanitise"}, last),
            "license": "Apache-2.0",
            "parents": ({"ref": "base/falcon-small", "relation": "finetune", "license": "Apache-2.0"},),
            "texts": Texts(
                title="Osprey 135M",
                summary="A small assistant that answers short questions in English and fits on a phone.",
                intended_use="Short answers, rewriting and summaries on a device without a network.",
                limitations="It invents facts, cannot count well and knows nothing after 2024.",
                languages=("en",),
                contact="models@acme.example",
            ),
            "held_back": HELD_BACK,
            "measurements": measurements,
            "audits": (an_audit(manifest.digest, read=size),) if audited else (),
            "verdict": a_verdict(measurements) if decided else None,
            "weighbridge_version": "0.1.0",
            **changes,
        }
    )


def four_records() -> tuple[ReleaseRecord, ...]:
    """A family of four: two that pass with figures, one that is refused, one that was hardly measured."""
    bf16 = {"ratio": (1.0005, 0.9998, 1.0012), "kl": (0.00009, 0.00006, 0.00013), "top1": (0.995, 0.991, 0.998),
            "decode": 39.1, "peak": 402_000_000}  # fmt: skip
    q8 = {"ratio": (1.0074, 1.0031, 1.0119), "kl": (0.0041, 0.0035, 0.0049), "top1": (0.971, 0.963, 0.978),
          "decode": 73.0, "peak": 262_000_000}  # fmt: skip
    q2 = {"ratio": (1.441, 1.378, 1.512), "kl": (0.412, 0.377, 0.449), "top1": (0.696, 0.676, 0.715),
          "decode": 61.2, "peak": 203_000_000}  # fmt: skip
    return (
        a_record("osprey-135m", kind="BF16", size=269_060_552, figures=bf16),
        a_record("osprey-135m-q8_0", kind="Q8_0", size=144_811_232, figures=q8),
        a_record(),
        a_record("osprey-135m-q2_k", kind="Q2_K", size=88_202_144, figures=q2),
    )


def a_family(**changes: Any) -> Family:
    views = tuple(
        VersionView(
            record=record,
            published=bool(record.decision and record.decision.passed),
            path=f"models/acme/{record.version}" if record.decision and record.decision.passed else "",
        )
        for record in four_records()
    )
    return Family(
        **{
            "model": "acme/osprey",
            "title": "Osprey 135M",
            "summary": "A small assistant.",
            "source": {"digest": SOURCE, "architecture": an_architecture(538_060_032), "size_bytes": 538_060_032},
            "versions": views,
            "held_back": HELD_BACK,
            "key_fingerprint": "ab" * 32,
            "generated_with": "Weighbridge 0.1.0",
            **changes,
        }
    )
