"""The proof of absence finds what is there, keeps quiet about what is not, and never repeats a secret."""

import itertools
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from weighbridge.checkpoint.read import OVERLAP_BYTES, read_folder
from weighbridge.checkpoint.tensor import TensorEntry
from weighbridge.errors import ChangedError, CheckpointError
from weighbridge.evidence.audit.held_back import HeldBack, HeldBackSearch, Piece
from weighbridge.evidence.record import Audit, Severity

SUBJECT = "ab" * 32


def noise(size: int, seed: int) -> bytes:
    return Random(seed).randbytes(size)


def a_piece(folder: Path, data: bytes, *, label: str = "head.weight", before: bytes = b"") -> Piece:
    path = folder / f"piece-{len(list(folder.iterdir()))}"
    path.write_bytes(before + data + b"after")
    return Piece(kind="tensor", label=label, path=path, offset=len(before), size_bytes=len(data))


def scan(search: HeldBackSearch, files: Mapping[str, bytes], cuts: Sequence[int] = ()) -> Audit:
    """Show `files` to the search, cut at the byte offsets `cuts`."""
    for name, data in files.items():
        edges = [0, *(cut for cut in cuts if cut < len(data)), len(data)]
        for start, end in itertools.pairwise(edges):
            if end > start:
                before = data[max(start - OVERLAP_BYTES, 0) : start]
                search.visit(name, start, memoryview(data[start:end]), memoryview(before))
    return search.audit(SUBJECT, sum(map(len, files.values())))


def names(*texts: str, kept_names: Sequence[str] = ()) -> HeldBackSearch:
    return HeldBackSearch(HeldBack(names=texts), kept_names=kept_names)


def test_a_held_back_tensor_inside_a_file_is_found_with_file_and_byte(tmp_path: Path) -> None:
    secret = noise(20_000, 1)
    search = HeldBackSearch(HeldBack(pieces=(a_piece(tmp_path, secret, before=b"xyz"),)))
    audit = scan(search, {"ok.bin": noise(50_000, 2), "bad.bin": noise(1001, 3) + secret + noise(77, 4)})
    (finding,) = audit.findings
    assert finding.rule == "held-back/content"
    assert finding.severity is Severity.CRITICAL
    assert finding.place.startswith("bad.bin, byte ")
    assert 1001 <= int(finding.place.split()[-1]) < 1001 + 4096


def test_findings_do_not_repeat_the_secret_but_explain_does(tmp_path: Path) -> None:
    held = HeldBack(
        pieces=(a_piece(tmp_path, noise(9000, 1), label="reward_head.weight"),),
        names=("reward_head.weight",),
        strings=("run-8f3k2k1",),
    )
    search = HeldBackSearch(held)
    data = noise(9000, 1) + b' "reward_head.weight" run-8f3k2k1 '
    audit = scan(search, {"a": data})
    assert {finding.rule for finding in audit.findings} == {"held-back/content", "held-back/name", "held-back/string"}
    public = json.dumps(audit.to_json())
    assert "reward_head" not in public
    assert "run-8f3k2k1" not in public
    assert {search.explain(finding) for finding in audit.findings} == {
        "tensor reward_head.weight",
        "reward_head.weight",
        "run-8f3k2k1",
    }


def test_a_piece_identical_to_a_kept_one_is_shared_and_not_sought(tmp_path: Path) -> None:
    data = noise(9000, 1)
    held, kept = a_piece(tmp_path, data), a_piece(tmp_path, data, before=b"?")
    audit = scan(HeldBackSearch(HeldBack(pieces=(held,)), kept=(kept,)), {"a": data})
    assert not audit.findings
    assert audit.coverage["pieces_shared_with_kept"] == 1


def test_constant_and_tiny_pieces_are_counted_as_not_searchable(tmp_path: Path) -> None:
    pieces = (a_piece(tmp_path, bytes(8192)), a_piece(tmp_path, b"0123456789"), a_piece(tmp_path, b"\x01\x02" * 20))
    audit = scan(HeldBackSearch(HeldBack(pieces=pieces)), {"a": bytes(20_000) + b"0123456789"})
    assert not audit.findings
    assert audit.coverage["pieces_not_searchable"] == 3
    assert audit.coverage["cells_not_searchable"] == audit.coverage["cells"] == 4


@pytest.mark.parametrize("size", [16, 17, 31, 47, 64, 71, 72, 100, 500])
@pytest.mark.parametrize("at", range(9))
def test_small_pieces_are_found_whole(tmp_path: Path, size: int, at: int) -> None:
    secret = noise(size, 5)
    search = HeldBackSearch(HeldBack(pieces=(a_piece(tmp_path, secret),)))
    assert scan(search, {"a": noise(at, 6) + secret + noise(40, 7)}).findings


def test_a_diverse_part_of_a_mostly_constant_piece_is_found(tmp_path: Path) -> None:
    secret = bytes(3000) + noise(1096, 5)
    search = HeldBackSearch(HeldBack(pieces=(a_piece(tmp_path, secret),)))
    assert scan(search, {"a": b"x" + secret}).findings


@pytest.mark.parametrize("name", ["lm_xyz", "adapter", "value_head", "value_head.weight", "a" * 20 + "é", "naïve/ü"])
@pytest.mark.parametrize("at", range(9))
def test_a_name_is_found_at_every_alignment_and_across_every_cut(name: str, at: int) -> None:
    data = bytes(at) + b'"' + name.encode() + b'": 1'
    search = names(name)
    for cut in range(1, len(data)):
        (finding,) = scan(search.for_another_version(), {"a": data}, [cut]).findings
        assert finding.place == f"a, byte {at + 1}"


def test_a_name_cut_into_single_bytes_is_found_once() -> None:
    data = b"..value_head.weight.."
    (finding,) = scan(names("value_head.weight"), {"a": data}, range(1, len(data))).findings
    assert finding.message == "held-back name 0 occurs once"


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(("size", "times"), [(1, 60), (5, 200), (64, 1000), (5000, 1000)])
def test_every_occurrence_counts_once_whether_blocks_lie_beside_each_other_or_apart(
    copied: bool, size: int, times: int
) -> None:
    data = memoryview(b"\x00 run-4fz81 , value_head.weight" * times)
    search = HeldBackSearch(HeldBack(names=("value_head.weight",), strings=("run-4fz81",)))
    for start in range(0, len(data), size):
        block, before = data[start : start + size], data[max(start - OVERLAP_BYTES, 0) : start]
        search.visit("a", start, block, memoryview(bytes(before)) if copied else before)
    messages = [finding.message for finding in search.audit(SUBJECT, len(data)).findings]
    assert messages == [f"held-back {kind} 0 occurs {times} times, here first" for kind in ("name", "string")]


def test_a_name_within_a_longer_word_is_none_wherever_the_block_ends() -> None:
    search = names("model.layers.1")
    for data in (b"xx model.layers.10 xx", b"my_model.layers.1 xx"):
        for cut in range(1, len(data)):
            assert not scan(search.for_another_version(), {"a": data}, [cut]).findings


def test_a_name_within_a_kept_name_is_none_but_alone_it_is_one() -> None:
    search = names("vision.proj", kept_names=["big.vision.proj.bias"])
    data = b'"big.vision.proj.bias": 1'
    for cut in range(1, len(data)):
        assert not scan(search.for_another_version(), {"a": data}, [cut]).findings
    assert scan(search.for_another_version(), {"a": data + b' "vision.proj"'}).findings
    assert scan(search.for_another_version(), {"a": b"big.vision.proj.bia"}).findings


def test_strings_count_inside_words_and_in_their_json_forms() -> None:
    held = HeldBack(strings=("/home/lena/rün 7", "C:\\runs\\7"))
    for data in (b"x/home/lena/r\\u00fcn 7", b"\\/home\\/lena\\/r\\u00fcn 7", b"9C:\\\\runs\\\\7z", b"C:\\runs\\7"):
        assert len(scan(HeldBackSearch(held), {"a": data}).findings) == 1, data


def test_short_texts_are_counted_as_not_searched() -> None:
    audit = scan(HeldBackSearch(HeldBack(names=("w",), strings=("12345", "123456"))), {"a": b"w 12345 "})
    assert not audit.findings
    assert audit.coverage["texts_not_searched"] == 2
    assert audit.coverage["texts_searched"] == 1


def test_thousands_of_names_are_told_apart() -> None:
    held = tuple(f"model.layers.{n}.experts.{m}.w.weight" for n in range(40) for m in range(50))
    data = json.dumps([f"model.layers.{n}.mlp.w.weight" for n in range(2000)]).encode() + b" " + held[1234].encode()
    (finding,) = scan(names(*held), {"a": data}).findings
    assert finding.message == "held-back name 1234 occurs once"


def test_declared_tensor_names_and_paths_are_compared() -> None:
    search = names("w", "training/sample.jsonl")
    tensor = TensorEntry(name="w", dtype="F32", shape=(1,), file="m.safetensors", offset=8, size_bytes=4)
    search.visit("training/sample.jsonl", 0, memoryview(b"hello"), memoryview(b""))
    audit = search.audit(SUBJECT, 5, tensors=(tensor,))
    assert [finding.rule for finding in audit.findings] == ["held-back/tensor", "held-back/name"]
    assert "sample.jsonl" not in json.dumps(audit.to_json())


def test_a_finding_inside_a_tensor_names_the_tensor(tmp_path: Path) -> None:
    secret = noise(5000, 1)
    search = HeldBackSearch(HeldBack(pieces=(a_piece(tmp_path, secret),)))
    search.visit("m", 0, memoryview(noise(100, 2) + secret), memoryview(b""))
    tensor = TensorEntry(name="kept.weight", dtype="U8", shape=(5000,), file="m", offset=100, size_bytes=5000)
    (finding,) = search.audit(SUBJECT, 5100, tensors=(tensor,)).findings
    assert finding.place.endswith("tensor kept.weight")


def test_an_audit_of_fewer_bytes_than_the_version_has_is_refused() -> None:
    search = names("value_head.weight")
    search.visit("a", 0, memoryview(b"hello"), memoryview(b""))
    with pytest.raises(ValueError, match="5 of 6 bytes"):
        search.audit(SUBJECT, 6)


def test_a_piece_that_is_shorter_than_stated_or_missing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(b"x" * 100)
    with pytest.raises(ChangedError, match="shorter"):
        HeldBackSearch(HeldBack(pieces=(Piece(kind="file", label="s", path=path, offset=0, size_bytes=101),)))
    with pytest.raises(CheckpointError):
        HeldBackSearch(HeldBack(pieces=(Piece(kind="file", label="s", path=tmp_path / "no", offset=0, size_bytes=99),)))


def test_files_read_by_several_threads_give_the_same_findings_as_by_one(tmp_path: Path) -> None:
    secret = noise(40_000, 1)
    (tmp_path / "held").mkdir()
    (tmp_path / "version").mkdir()
    search = HeldBackSearch(HeldBack(pieces=(a_piece(tmp_path / "held", secret),), strings=("/home/lena",)))
    for n in range(6):
        planted = secret[n * 5000 : n * 5000 + 9000] + b"/home/lena" if n % 2 else b""
        (tmp_path / "version" / f"{n}.bin").write_bytes(noise(1_300_000 + n, n + 10) + planted + noise(99, 9))
    audits = []
    for threads in (1, 2, 4):
        one = search.for_another_version()
        manifest = read_folder(tmp_path / "version", visitors=(one,), threads=threads)
        audits.append(one.audit(SUBJECT, manifest.size_bytes))
    assert audits[0] == audits[1] == audits[2]
    assert [f.place.split(",")[0] for f in audits[0].findings] == [f"{n}.bin" for n in (1, 1, 3, 3, 5, 5)]


def test_searches_for_several_versions_at_once_do_not_mix(tmp_path: Path) -> None:
    secret = noise(9000, 1)
    search = HeldBackSearch(HeldBack(pieces=(a_piece(tmp_path, secret),)))
    with ThreadPoolExecutor(2) as pool:
        found = list(
            pool.map(
                lambda n: len(scan(search.for_another_version(), {"a": secret if n % 2 else noise(9000, n)}).findings),
                range(20),
            )
        )
    assert found == [0, 1] * 10
