"""Answers to "is this chunk known?": shards whose chunk hashes are keyed, so that they tell only what the asker has.

The key comes with the answer: whoever holds a chunk finds it by hashing its hash under the key; nobody learns the hash
of a chunk that he does not hold. Use a new random key for each answer. Which xorbs may be named to whom is the
server's decision. Source: hub-docs `docs/xet/deduplication.md` and `shard.md`; the six numbers of the footer that these
call reserved are offsets and counts of lookup tables, which a client follows: they point at the footer, with no entry.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from weighbridge.hub.xet.errors import ShardError
from weighbridge.hub.xet.merkle import HASH_BYTES, ZERO_HASH, keyed_hash
from weighbridge.hub.xet.shard import (
    BOOKEND,
    FOOTER_BYTES,
    FOOTER_VERSION,
    MAX_SHARD_BYTES,
    RECORD_BYTES,
    header,
    record,
    xorb_entry,
)
from weighbridge.hub.xet.xorb import XorbIndex

_ELIGIBLE_ONE_IN: Final = 1024


def is_dedup_eligible(chunk: bytes) -> bool:
    """Say whether clients ask for a chunk with this hash wherever it stands; for the first of a file they always do."""
    return int.from_bytes(chunk[24:HASH_BYTES], "little") % _ELIGIBLE_ONE_IN == 0


def dedup_eligible(index: XorbIndex) -> tuple[int, ...]:
    """Return which chunks of a xorb clients may ask for by their hash alone: about one in 1,024."""
    last = np.frombuffer(index.hashes, dtype="<u8").reshape(-1, 4)[:, 3]
    return tuple(np.flatnonzero(last % _ELIGIBLE_ONE_IN == 0).tolist())


def write_dedup_shard(xorbs: Iterable[XorbIndex], *, key: bytes, created: int, expires: int) -> bytes:
    """Serialise the answer: xorbs (repeats dropped) with keyed chunk hashes, and a footer with the key.

    `key` is 32 random bytes, not zeros; times are seconds since 1970. After `expires` clients forget the answer.
    """
    if len(key) != HASH_BYTES or key == ZERO_HASH:
        raise ShardError("the key of an answer has 32 bytes, not all zero", place="deduplication answer")
    parts = [header(FOOTER_BYTES), BOOKEND]
    raw_bytes = serialised_bytes = 0
    for index in {index.hash: index for index in xorbs}.values():
        entry = xorb_entry(index, hashes=_keyed(index.hashes, key))
        numbers = (0, len(entry), entry.raw_bytes, entry.serialised_bytes)
        parts += [record(entry.hash, *numbers), entry.records.tobytes()]
        raw_bytes += entry.raw_bytes
        serialised_bytes += entry.serialised_bytes
    parts.append(BOOKEND)
    end = sum(map(len, parts))
    if end + FOOTER_BYTES > MAX_SHARD_BYTES:
        raise ShardError(f"an answer has at most {MAX_SHARD_BYTES} bytes", place="deduplication answer")
    before = [FOOTER_VERSION, RECORD_BYTES, 2 * RECORD_BYTES, end, 0, end, 0, end, 0]
    after = [created, expires, *[0] * 6, serialised_bytes, 0, raw_bytes, end]
    numbers_of = (b"".join(number.to_bytes(8, "little") for number in numbers) for numbers in (before, after))
    return b"".join(parts) + key.join(numbers_of)


def _keyed(hashes: bytes, key: bytes) -> bytes:
    return b"".join(keyed_hash(hashes[at : at + HASH_BYTES], key) for at in range(0, len(hashes), HASH_BYTES))
