"""JSON from outside: bounded in size, nesting and number of values before it is parsed."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from weighbridge.errors import CheckpointError

_SCAN_BYTES = 1 << 20
_QUOTE, _COMMA = ord('"'), ord(",")


def parse_object(
    data: bytes,
    *,
    place: str,
    max_depth: int,
    max_values: int,
    error: type[CheckpointError] = CheckpointError,
) -> Mapping[str, Any]:
    """Parse `data` as one JSON object in UTF-8; see `parse_document`.

    Raises:
        CheckpointError: (or `error`, a kind of it) if it is no object, or `parse_document` refuses it.
    """
    parsed = parse_document(data, place=place, max_depth=max_depth, max_values=max_values, error=error)
    if not isinstance(parsed, dict):
        raise error("the JSON is not an object", place=place)
    return parsed


def parse_document(
    data: bytes,
    *,
    place: str,
    max_depth: int,
    max_values: int,
    error: type[CheckpointError] = CheckpointError,
) -> Any:
    """Parse `data` as one JSON value in UTF-8.

    Nesting and the number of values are counted before anything is built, so that a small file cannot take
    the stack and a large one cannot take the memory.

    Raises:
        CheckpointError: (or `error`, a kind of it) if it is not UTF-8, not JSON, nested deeper than `max_depth`,
            holds more than `max_values`, or has an object with one key twice.
    """
    depth, values = _measure(data)
    if depth > max_depth:
        raise error(f"the JSON is nested more than {max_depth} levels deep", place=place)
    if values > max_values:
        raise error(f"the JSON holds more than {max_values:,} values", place=place)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise error(f"the key {twice[:120]!r} occurs twice", place=place)
        return found

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except UnicodeDecodeError as cause:
        raise error(f"the JSON is not UTF-8 (byte {cause.start})", place=place) from cause
    except ValueError as cause:
        raise error(f"not valid JSON: {cause}", place=place) from cause


def _measure(data: bytes) -> tuple[int, int]:
    """Return (deepest nesting, upper bound of the number of values) of JSON text, without parsing it.

    Brackets and commas count where the number of quotes before them is even. Text that is not JSON gets some
    numbers too; the parser refuses it afterwards.
    """
    if b"\\" in data:
        # Pairs first: what is left of a run of backslashes escapes the character behind it.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth = deepest = values = 0
    inside = False
    for start in range(0, len(data), _SCAN_BYTES):
        chunk = np.frombuffer(data, np.uint8, min(_SCAN_BYTES, len(data) - start), start)
        quoted = np.logical_xor.accumulate(chunk == _QUOTE)
        if inside:
            quoted = ~quoted
        inside = bool(quoted[-1])
        text = chunk[~quoted]
        # "[" and "{" differ in one bit, as do "]" and "}".
        folded = text & 0xDF
        opens = folded == 0x5B
        closes = folded == 0x5D
        levels = depth + np.cumsum(opens.astype(np.int64) - closes)
        if levels.size:
            depth = int(levels[-1])
            deepest = max(deepest, int(levels.max()))
        values += int(np.count_nonzero(opens)) + int(np.count_nonzero(text == _COMMA))
    return deepest, values + 1
