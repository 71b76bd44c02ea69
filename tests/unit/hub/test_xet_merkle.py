"""Hashes of chunks, xorbs and files.

The expected values are those that xet-core's own test holds as a reference for ports (`aggregated_hashes.rs`) and that
hub-docs gives for its sample file (`docs/xet/hashing.md`).
"""

import random

import pytest

from weighbridge.hub.xet.errors import HashTextError
from weighbridge.hub.xet.merkle import (
    ZERO_HASH,
    MerkleTree,
    file_hash,
    from_hex,
    keyed_hash,
    node_hash,
    range_hash,
    to_hex,
    xorb_hash,
)

A = from_hex("cfc5d07f6f03c29bbf424132963fe08d19a37d5757aaf520bf08119f05cd56d6")
B = from_hex("c3e67584b5c4fc2a89837ec39e40f2c8a6bb0b2987ac94cd4b31e5fbdd210a72")
C = from_hex("0d2beb91b9196929a5ddec9f6e306924ddf4a24268e3e59fd8464738d525af37")
D = from_hex("adf8773496a9b7319b2e50dc98093f344053b17d8ad37100b9c07d9805988784")

REFERENCES = [
    ([], "0" * 64, "0" * 64),
    ([(ZERO_HASH, 0)], "0" * 64, "638a6bc391964a85939d48f008e8bdbae6a7975e7ca2d87a3ce2492f4e4d8a4c"),
    ([(A, 100)], to_hex(A), "8e16257caa3fe079d484d872a8975264b2ff683b0d6db9028cc7c0f968a45661"),
    (
        [(A, 100), (B, 200), (C, 300)],
        "71ec1275fca074724e2dd666921b3277c7cee603e4d025bcab2d4050015be2bc",
        "54e55dccc6653c612bdb5576c5d3cb34bb31bc4e100248abccf4c908b3ef7715",
    ),
    (
        [(A, 100)] * 4,
        "89f2ada89ff8c96763c6b25010e6dd76a4c05b1466207633ea559acf2093211b",
        "2cdba690d0e09563596e0cda626d43eb4c96ef1e994fe72d9b2f5a83cfcd36dd",
    ),
    (
        [(A, 100), (B, 200)] * 2,
        "90f8313ef12df385d237a067aded02562c35ded12116e32eba401dbc86c38031",
        "284ea045e5a579e99c21ec597c20de1fc0c09e7168162aac00db8f61b3d82dbb",
    ),
    (
        [(A, 100), (B, 200), (A, 100), (B, 200), (C, 300), (D, 400)],
        "52c826f99507aa05d0b45e9837fa1709e0485425cfbcb1e80db3905cf98b3ee9",
        "91d21684db364c8883ab8209fa5eb2e781cf07f37e1fa43e731c30839afe422f",
    ),
    (
        [(ZERO_HASH, 0), (A, 100)] * 2,
        "e1755c85be07fd6b7a8d7becc85e6d8c5f507f2a3d38b316bcb6f97855e72188",
        "207caf24fce045ac6d873b4c6186a5a435d600d103e1ae345e55ddf1f4b7f7ef",
    ),
]


@pytest.mark.parametrize(("nodes", "xorb", "file"), REFERENCES)
def test_trees_have_the_roots_of_the_reference_client(nodes: list[tuple[bytes, int]], xorb: str, file: str) -> None:
    hashes, lengths = b"".join(hash_ for hash_, _ in nodes), [length for _, length in nodes]
    assert to_hex(xorb_hash(hashes, lengths)) == xorb
    assert to_hex(file_hash(hashes, lengths)) == file


def root_by_the_letter(nodes: list[tuple[bytes, int]]) -> bytes:
    """Return the root by the rule of the specification, level after level over whole lists."""
    while len(nodes) > 1:
        parents, rest = [], nodes
        while rest:
            end = next((at + 1 for at in range(2, min(9, len(rest))) if rest[at][0][24] % 4 == 0), min(9, len(rest)))
            parents.append((node_hash(rest[:end]), sum(length for _, length in rest[:end])))
            rest = rest[end:]
        nodes = parents
    return nodes[0][0]


@pytest.mark.parametrize("count", [2, 3, 9, 10, 11, 100, 1000, 20_000])
def test_a_tree_fed_in_pieces_is_the_same_tree(count: int) -> None:
    draw = random.Random(count)
    # Every byte that decides a cut also comes up as "never" and as "always".
    last = draw.choice([b"\0", b"\1", None])
    nodes = []
    for _ in range(count):
        hash_ = bytearray(draw.randbytes(32))
        if last is not None:
            hash_[24:25] = last
        nodes.append((bytes(hash_), draw.randrange(1, 1 << 17)))
    tree = MerkleTree()
    at = 0
    while at < count:
        step = draw.randrange(1, 1 + count // 2)
        part = nodes[at : at + step]
        tree.extend(b"".join(hash_ for hash_, _ in part), [length for _, length in part])
        at += step
    assert tree.root() == root_by_the_letter(nodes)
    assert (tree.count, tree.total_bytes) == (count, sum(length for _, length in nodes))


def test_a_key_hides_a_hash() -> None:
    key = from_hex("285371a6a3c8c4e561469c97766c46f0b9799bd8ea51a4ad27a082df8c28b7da")
    # A file of one chunk is that chunk's hash under the salt: the same keyed hash.
    assert to_hex(keyed_hash(A, key)) == "6c18994ed5e6a223aeff68a6e386dbba7b3c25de076245dc77892b4ad49ac978"


def test_the_proof_of_a_term_depends_on_order_and_number() -> None:
    assert len({range_hash(A), range_hash(A + B), range_hash(B + A), range_hash(A + B + A)}) == 4


def test_text_is_four_little_endian_numbers() -> None:
    raw = bytes(range(32))
    assert to_hex(raw) == "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
    assert from_hex(to_hex(raw)) == raw


@pytest.mark.parametrize(
    "text", ["", "0" * 63, "0" * 65, "0" * 63 + "G", "A" * 64, "0" * 64 + "\n", "٠" * 64, " " * 64]
)
def test_other_text_is_no_hash(text: str) -> None:
    with pytest.raises(HashTextError) as caught:
        from_hex(text)
    assert caught.value.hint


def test_lengths_must_fit_hashes() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        xorb_hash(A, [1, 2])
    with pytest.raises(ValueError, match="32 bytes"):
        to_hex(b"short")
