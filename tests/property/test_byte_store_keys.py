import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.hub.store.port import ByteStoreError, UnsafeKeyError, checked_key, checked_prefix
from weighbridge.shell.hub.folder_store import FolderByteStore
from weighbridge.shell.hub.store import open_store

_SEGMENT = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}"), fullmatch=True)
_KEY = st.lists(_SEGMENT, min_size=1, max_size=5).map("/".join)
_HOSTILE = st.lists(
    st.sampled_from(("..", ".", "/", "//", "\0", "a", "b", "\\", "~", "%2e%2e", "\n", " ", "ü", "-", "_", "C:")),
    max_size=12,
).map("".join)


@given(_KEY)
def test_every_plain_name_is_a_key_and_a_prefix(key: str) -> None:
    assert checked_key(key) == key
    assert checked_prefix(key) == checked_prefix(f"{key}/") == key


@given(_HOSTILE | st.text(max_size=60))
def test_whatever_is_taken_for_a_key_stays_inside(text: str) -> None:
    try:
        key = checked_key(text)
    except UnsafeKeyError:
        return
    root = Path("/root-of-the-store")
    path = Path(f"{root}/{key}")
    assert path.is_relative_to(root)
    assert ".." not in path.parts
    assert str(path) == f"{root}/{key}", "two keys never are one file"
    assert key.isascii()
    assert key.isprintable()


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_SEGMENT, st.tuples(_SEGMENT, st.binary(max_size=300)), max_size=8))
def test_what_is_written_under_any_keys_is_listed_and_read(objects: dict[str, tuple[str, bytes]]) -> None:
    wanted = {f"{first}/{second}": data for first, (second, data) in objects.items()}
    with tempfile.TemporaryDirectory() as folder:
        for store in (FolderByteStore(Path(folder)), open_store("memory:")):
            for key, data in wanted.items():
                store.write(key, data)
            assert {found.key: found.size_bytes for found in store.list()} == {k: len(d) for k, d in wanted.items()}
            assert {key: store.read(key) for key in wanted} == wanted
            store.delete(wanted)
            assert list(store.list()) == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.integers(1, 300), st.integers(-5, 2100), st.integers(-5, 2100))
def test_ranges_and_blocks_are_slices_or_refused(data: bytes, block_bytes: int, start: int, end: int) -> None:
    store = open_store("memory:")
    store.write("k", data)
    inside = 0 <= start <= end <= len(data)
    try:
        found = store.read_range("k", start, end)
        blocks = b"".join(store.open_blocks("k", block_bytes=block_bytes, start=start, end=end))
    except ByteStoreError:
        assert not inside
    else:
        assert inside
        assert found == blocks == data[start:end]
