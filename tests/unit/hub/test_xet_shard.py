"""Reading and writing shards, and proving the files that they describe."""

import hashlib
import random
from collections.abc import Callable

import numpy as np
import pytest

from weighbridge.hub.xet.dedup_shard import dedup_eligible, is_dedup_eligible, write_dedup_shard
from weighbridge.hub.xet.errors import ShardError
from weighbridge.hub.xet.file_check import check_file, check_xorb
from weighbridge.hub.xet.merkle import ZERO_HASH, file_hash, keyed_hash, range_hash, to_hex
from weighbridge.hub.xet.shard import (
    BOOKEND,
    MAX_SHARD_BYTES,
    MAX_SHARD_XORBS,
    FileEntry,
    Term,
    file_entry,
    header,
    read_shard,
    record,
    write_shard,
    xorb_entry,
)
from weighbridge.hub.xet.xorb import XorbIndex
from weighbridge.hub.xet.xorb_write import write_xorbs

SHA256 = hashlib.sha256(b"whatever").hexdigest()


def an_index(seed: int, count: int = 5) -> XorbIndex:
    draw = random.Random(seed)
    (made,) = write_xorbs([draw.randbytes(draw.randrange(1, 3000)) for _ in range(count)])
    return made.index


FIRST, SECOND = an_index(1), an_index(2, 40)
KNOWN = {index.hash: index for index in (FIRST, SECOND)}
RANGES = [(FIRST, 1, 4), (SECOND, 0, 40), (FIRST, 0, 5), (FIRST, 0, 5)]


def a_term(index: XorbIndex, first: int, end: int, *, more: int = 0) -> Term:
    return Term(xorb=index.hash, first=first, end=end, raw_bytes=index.raw_bytes_of(first, end) + more)


def a_file(ranges: list[tuple[XorbIndex, int, int]] = RANGES, *, more: int = 0, **changed: bytes) -> FileEntry:
    hashes = b"".join(index.hashes_of(first, end) for index, first, end in ranges)
    lengths = [length for index, first, end in ranges for length in index.raw_lengths_of(first, end).tolist()]
    return file_entry(
        changed.get("hash_", file_hash(hashes, lengths)),
        [a_term(*part, more=more) for part in ranges],
        range_hashes=[
            changed.get("proof", range_hash(index.hashes_of(first, end))) for index, first, end in ranges
        ],
        sha256=SHA256,
    )  # fmt: skip


def test_a_shard_is_read_as_it_was_written() -> None:
    data = write_shard([a_file(), a_file(RANGES[:1])], [xorb_entry(FIRST, flagged=[0, 3]), xorb_entry(SECOND)])
    shard = read_shard(data)
    assert shard.footer is None
    assert [list(file.terms) for file in shard.files] == [
        [a_term(*part) for part in RANGES],
        [a_term(*RANGES[0])],
    ]
    assert [file.sha256 for file in shard.files] == [SHA256, SHA256]
    assert shard.files[0].range_hash(1) == range_hash(SECOND.hashes)
    assert shard.files[0].size_bytes == sum(index.raw_bytes_of(first, end) for index, first, end in RANGES)
    assert shard.chunk_count == 3 + 40 + 5 + 5 + 3
    assert shard.files[0].xorbs == {FIRST.hash, SECOND.hash}
    assert [xorb.flagged for xorb in shard.xorbs] == [(0, 3), ()]
    assert [xorb.hashes for xorb in shard.xorbs] == [FIRST.hashes, SECOND.hashes]
    assert shard.xorbs[1].serialised_bytes == SECOND.serialised_bytes
    assert write_shard(shard.files, shard.xorbs).count(BOOKEND) == 2


def test_the_sha256_is_the_ordinary_digest_though_stored_as_numbers() -> None:
    data = write_shard([a_file()])
    assert bytes.fromhex(SHA256) not in data
    assert bytes.fromhex(SHA256)[:8][::-1] in data


def test_a_true_file_is_proved() -> None:
    checked = check_file(a_file(), KNOWN.get)
    assert checked.size_bytes == a_file().size_bytes
    assert checked.chunk_count == 53
    assert checked.xorbs == set(KNOWN)
    assert checked.sha256 == SHA256


def test_an_empty_file_has_no_terms_and_no_digest() -> None:
    # This is what hf_xet sends for one: zeros in place of the digest.
    empty = header(0) + record(ZERO_HASH, 0xC0000000, 0) + bytes(48) + BOOKEND + BOOKEND
    (file,) = read_shard(empty).files
    checked = check_file(file, KNOWN.get)
    assert (checked.size_bytes, checked.chunk_count, checked.sha256) == (0, 0, None)
    assert not checked.xorbs


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (a_file(hash_=FIRST.hash), "its chunks make file"),
        (a_file(RANGES[:2], hash_=a_file(RANGES).hash), "its chunks make file"),
        (a_file(RANGES[::-1], hash_=a_file(RANGES).hash), "its chunks make file"),
        (a_file(proof=range_hash(SECOND.hashes_of(1, 3))), "verification hash"),
        (a_file(more=1), "that it states"),
        (a_file([(an_index(3), 0, 1)]), "is not here"),
        (file_entry(FIRST.hash, [Term(xorb=FIRST.hash, first=0, end=6, raw_bytes=9)], range_hashes=[FIRST.hash]), "5"),
    ],
)
def test_an_untrue_file_is_refused_with_its_place(file: FileEntry, says: str) -> None:
    with pytest.raises(ShardError, match=says) as caught:
        check_file(file, KNOWN.get)
    assert caught.value.place.startswith(f"file {to_hex(file.hash)}")
    assert caught.value.hint


def test_a_file_of_too_many_chunks_is_not_even_looked_up() -> None:
    def lookup(_: bytes) -> XorbIndex | None:
        raise AssertionError("looked up")

    with pytest.raises(ShardError, match="53 chunks"):
        check_file(a_file(), lookup, max_chunks=52)


def test_a_xorb_is_looked_up_once_for_many_terms() -> None:
    asked: list[bytes] = []

    def lookup(hash_: bytes) -> XorbIndex | None:
        asked.append(hash_)
        return KNOWN.get(hash_)

    check_file(a_file([(FIRST, 0, 5), (SECOND, 0, 1)] * 50), lookup)
    assert len(asked) == 2


def test_what_a_shard_says_of_a_xorb_is_compared() -> None:
    assert check_xorb(xorb_entry(FIRST), KNOWN.get) is FIRST
    with pytest.raises(ShardError, match="not those"):
        check_xorb(xorb_entry(FIRST, hashes=FIRST.hashes[32:] + FIRST.hashes[:32]), KNOWN.get)
    with pytest.raises(ShardError, match="before the shard"):
        check_xorb(xorb_entry(an_index(3)), KNOWN.get)


def term(a: int, size: int, first: int, end: int) -> bytes:
    return record(FIRST.hash, a, size, first, end)


def one_file(*terms: bytes, flags: int = 1 << 31, count: int | None = None) -> bytes:
    number = len(terms) if count is None else count
    return header(0) + record(FIRST.hash, flags, number) + b"".join(terms) + record(FIRST.hash) * len(terms)


def one_xorb(count: int, raw_bytes: int, *chunks: bytes) -> bytes:
    return header(0) + BOOKEND + record(FIRST.hash, 0, count, raw_bytes, 99) + b"".join(chunks) + BOOKEND


GOOD_TERM = term(0, 10, 0, 2)
ENDS = BOOKEND + BOOKEND


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a shard"),
        (header(0)[:-1], "not a shard"),
        (b"X" + header(0)[1:] + ENDS, "not a shard"),
        (header(0)[:32] + b"\3" + header(0)[33:] + ENDS, "version 3"),
        (header(64) + ENDS, "footer has 200"),
        (header(0), "before its bookends"),
        (header(0) + BOOKEND, "before its bookends"),
        (header(0) + ENDS + b"\0", "1 bytes follow"),
        (header(200) + ENDS, "cut short"),
        (header(200) + ENDS + bytes(200), "known version"),
        (one_file(GOOD_TERM, flags=1 << 30) + ENDS, "without verification"),
        (one_file(GOOD_TERM, flags=3 << 29) + ENDS, "not known"),
        (one_file(GOOD_TERM, count=2**32 - 1) + ENDS, "4294967295 records"),
        (one_file(term(0, 10, 2, 2)) + ENDS, "names no chunk"),
        (one_file(term(0, 10, 0, 8193)) + ENDS, "names no chunk"),
        (one_file(term(0, 1, 0, 2)) + ENDS, "impossible length"),
        (one_file(term(0, 2**18 + 1, 0, 2)) + ENDS, "impossible length"),
        (one_file(*[GOOD_TERM] * 20, term(0, 10, 2, 2)) + ENDS, "names no chunk"),
        (one_file(*[GOOD_TERM] * 20, term(0, 1, 0, 2)) + ENDS, "impossible length"),
        (one_file(*[GOOD_TERM] * 20, term(0, 2**18 + 1, 0, 2)) + ENDS, "impossible length"),
        (one_xorb(0, 0), "1 to 8192 chunks"),
        (one_xorb(8193, 8193), "1 to 8192 chunks"),
        (one_xorb(3, 10, record(FIRST.hash, 0, 10)), "before the 3 records"),
        (one_xorb(1, 0, record(FIRST.hash, 0, 0)), "1 to 131072 bytes"),
        (one_xorb(1, 131_073, record(FIRST.hash, 0, 131_073)), "1 to 131072 bytes"),
        (one_xorb(1, 11, record(FIRST.hash, 0, 10)), "contradict"),
        (one_xorb(2, 20, record(FIRST.hash, 0, 10), record(FIRST.hash, 11, 10)), "contradict"),
    ],
)
def test_a_malformed_shard_is_refused_at_its_place(data: bytes, says: str) -> None:
    with pytest.raises(ShardError, match=says) as caught:
        read_shard(data)
    assert caught.value.place.startswith("shard, byte")
    assert caught.value.hint


def test_a_shard_has_a_largest_size_and_number_of_xorbs() -> None:
    with pytest.raises(ShardError, match="at most 67108864"):
        read_shard(bytes(MAX_SHARD_BYTES + 1))
    block = record(FIRST.hash, 0, 1, 10, 99) + record(FIRST.hash, 0, 10)
    assert len(read_shard(header(0) + BOOKEND + block * MAX_SHARD_XORBS + BOOKEND).xorbs) == MAX_SHARD_XORBS
    with pytest.raises(ShardError, match="at most 16384 xorbs"):
        read_shard(header(0) + BOOKEND + block * (MAX_SHARD_XORBS + 1) + BOOKEND)


def test_an_answer_tells_only_who_has_the_chunk() -> None:
    key = random.Random(9).randbytes(32)
    data = write_dedup_shard([FIRST, SECOND, FIRST], key=key, created=100, expires=200)
    shard = read_shard(data, with_verification=False)
    assert shard.files == ()
    assert shard.footer is not None
    assert (shard.footer.key, shard.footer.created, shard.footer.expires) == (key, 100, 200)
    assert [xorb.hash for xorb in shard.xorbs] == [FIRST.hash, SECOND.hash]
    for index in KNOWN.values():
        for at in range(len(index)):
            assert index.chunk_hash(at) not in data
            assert keyed_hash(index.chunk_hash(at), key) in data
    assert np.array_equal(shard.xorbs[1].raw_lengths, SECOND.raw_lengths)


def test_the_lookup_tables_of_an_answer_are_empty_and_inside() -> None:
    data = write_dedup_shard([FIRST], key=b"k" * 32, created=1, expires=2)
    footer = np.frombuffer(data[-200:], dtype="<u8")
    end = len(data) - 200
    assert footer[:9].tolist() == [1, 48, 96, end, 0, end, 0, end, 0]
    assert footer[-1] == end


@pytest.mark.parametrize("key", [b"", b"short", ZERO_HASH])
def test_an_answer_without_a_key_is_not_written(key: bytes) -> None:
    with pytest.raises(ShardError, match="key"):
        write_dedup_shard([FIRST], key=key, created=1, expires=2)


def test_an_answer_that_no_client_would_take_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weighbridge.hub.xet.dedup_shard.MAX_SHARD_BYTES", 500)
    with pytest.raises(ShardError, match="at most 500"):
        write_dedup_shard([SECOND], key=b"k" * 32, created=1, expires=2)


def test_one_chunk_in_1024_may_be_asked_for_by_its_hash() -> None:
    draw = random.Random(10)
    hashes = [draw.randbytes(24) + (at * 512).to_bytes(8, "little") for at in range(8)]
    index = XorbIndex(
        hash=FIRST.hash,
        hashes=b"".join(hashes),
        raw_lengths=np.ones(8, np.uint32),
        ends=np.arange(9, 81, 9, dtype=np.uint32),
    )
    assert dedup_eligible(index) == (0, 2, 4, 6) == tuple(at for at in range(8) if is_dedup_eligible(hashes[at]))


@pytest.mark.parametrize("make", [lambda: a_file(proof=b""), lambda: a_file(proof=b"x" * 33)])
def test_a_file_needs_one_proof_a_term(make: Callable[[], FileEntry]) -> None:
    with pytest.raises(ShardError, match="one proof"):
        make()
