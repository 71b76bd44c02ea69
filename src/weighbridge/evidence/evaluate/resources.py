"""What a version costs: its size, the memory to run it, and how fast it answers on this machine."""

from collections.abc import Mapping
from typing import Any

from weighbridge.evidence.evaluate.engine import EngineFacts, Speed
from weighbridge.evidence.record import Measurement
from weighbridge.evidence.statistics import median_of_repeats

PROBE = "resources"
PROBE_VERSION = "1"


def resource_measurements(
    *,
    subject: str,
    engine: EngineFacts,
    speed: Speed,
    size_bytes: int,
    peak_memory_bytes: int,
    loaded_memory_bytes: int,
    machine: Mapping[str, Any],
) -> tuple[Measurement, ...]:
    """Turn one run of an engine into measurements: bytes as counted, speeds as the median of their repeats.

    Args:
        subject: digest of the version.
        engine: what ran it.
        speed: what was timed.
        size_bytes: size of the weight files.
        peak_memory_bytes: most memory that the engine's process ever held resident, mapped weights included.
        loaded_memory_bytes: resident memory once the model was loaded, before its first token.
        machine: facts about the machine, for the reader: speeds are worth nothing without them.

    Raises:
        ValueError: if there are fewer than three repeats.
    """
    context = {**engine.to_context(), "machine": dict(machine)}
    timed = {**context, "prefill_tokens": speed.prefill_tokens, "decode_tokens": speed.decode_tokens}

    def counted(measure: str, value: int, details: Mapping[str, Any]) -> Measurement:
        return Measurement(
            measure=measure,
            value=value,
            unit="byte",
            subject=subject,
            probe=PROBE,
            probe_version=PROBE_VERSION,
            context=details,
        )

    def rated(measure: str, repeats: tuple[float, ...]) -> Measurement:
        value, interval = median_of_repeats(repeats)
        return Measurement(
            measure=measure,
            value=value,
            unit="token/s",
            subject=subject,
            probe=PROBE,
            probe_version=PROBE_VERSION,
            n=len(repeats),
            interval=interval,
            context={**timed, "repeats": list(repeats)},
        )

    return (
        counted("size_bytes", size_bytes, {"what": "weight files"}),
        counted("peak_memory_bytes", peak_memory_bytes, {**timed, "loaded_memory_bytes": loaded_memory_bytes}),
        rated("prefill_tokens_per_second", speed.prefill_tokens_per_second),
        rated("decode_tokens_per_second", speed.decode_tokens_per_second),
    )
