"""The reader of commits takes any bytes, in blocks of any size, and ends in a request or a refusal."""

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.hub.git.objects import oid_of
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.repositories.commit_request import AddFile, CommitReader, CommitRequest

_HEADER = {"key": "header", "value": {"summary": "s", "description": "d"}}
_NAMES = st.text(st.sampled_from("abc"), min_size=1, max_size=8)
_FILES = st.lists(st.tuples(_NAMES, st.binary(max_size=300)), max_size=6)


def _read(body: bytes, cuts: list[int], *, max_body_bytes: int = 100_000) -> CommitRequest:
    with CommitReader(max_body_bytes=max_body_bytes, max_file_bytes=1000) as reader:
        places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
        for start, end in itertools.pairwise(places):
            reader.feed(body[start:end])
        request = reader.finish()
        for operation in request.operations:
            if isinstance(operation, AddFile):
                assert oid_of("blob", reader.blob(operation).data) == operation.oid
        return request


@given(_FILES, st.lists(st.integers(0, 10_000), max_size=12))
def test_files_arrive_whole_however_the_body_is_cut(files: list[tuple[str, bytes]], cuts: list[int]) -> None:
    lines: list[object] = [_HEADER]
    for path, data in files:
        content = base64.b64encode(data).decode()
        lines.append({"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}})
    request = _read(b"".join(json.dumps(line).encode() + b"\n" for line in lines), cuts)
    found = [(operation.path, operation.oid) for operation in request.operations if isinstance(operation, AddFile)]
    assert found == [(path, oid_of("blob", data)) for path, data in files]


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=5))
def test_any_bytes_end_in_a_request_or_a_refusal(body: bytes, cuts: list[int]) -> None:
    with pytest.raises(Refusal) as refused:
        _read(body, cuts)
    assert refused.value.status in (400, 413)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_KEYS = st.sampled_from(("file", "lfsFile", "copyFile", "deletedFile", "deletedFolder", "header", "x"))
_MEMBERS = st.sampled_from(("path", "content", "encoding", "oid", "size", "algo", "srcPath", "srcRevision"))


@given(st.lists(st.tuples(_KEYS, st.dictionaries(_MEMBERS, _JSON, max_size=5)), max_size=4))
def test_any_operation_is_taken_or_refused(operations: list[tuple[str, dict[str, object]]]) -> None:
    lines = [_HEADER, *({"key": key, "value": value} for key, value in operations)]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    try:
        found = _read(body, [])
    except Refusal as refused:
        found, status = None, refused.status
    assert len(found.operations) == len(operations) if found else status in (400, 413)


def test_a_body_beyond_its_limit_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        _read(json.dumps(_HEADER).encode() + b"\n" * 2000, [], max_body_bytes=1000)
    assert refused.value.status == 413


def test_empty_lines_without_end_are_refused() -> None:
    with pytest.raises(Refusal) as refused:
        _read(json.dumps(_HEADER).encode() + b"\n" * 300_000, [], max_body_bytes=10**9)
    assert refused.value.status == 413
