import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from weighbridge.checkpoint.manifest import FileEntry, Manifest, relative_path
from weighbridge.errors import UnsafePathError

PARTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=12)
PATHS = st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3).map("/".join)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    paths = draw(st.lists(PATHS, unique=True, max_size=6))
    return Manifest.of(
        FileEntry(path=relative_path(path), size_bytes=draw(st.integers(0, 2**40)), sha256=draw(HEX)) for path in paths
    )


@given(manifests())
def test_the_json_form_reads_back(manifest: Manifest) -> None:
    again = Manifest.from_json(json.loads(json.dumps(manifest.to_json())))
    assert again == manifest
    assert again.digest == manifest.digest


@given(manifests(), manifests())
def test_one_digest_means_one_manifest(one: Manifest, other: Manifest) -> None:
    assert (one.digest == other.digest) == (one == other)


@given(manifests(), st.data())
def test_any_change_changes_the_digest(manifest: Manifest, data: st.DataObject) -> None:
    assume(manifest.entries)
    entry = data.draw(st.sampled_from(manifest.entries))
    path, size, digest = data.draw(st.tuples(PATHS, st.integers(0, 2**40), HEX))
    changed = FileEntry(path=relative_path(path), size_bytes=size, sha256=digest)
    rest = manifest.without(str(entry.path))
    assume(changed != entry and rest.get(path) is None)
    assert Manifest.of((*rest, changed)).digest != manifest.digest
    assert rest.digest != manifest.digest


@given(st.text(max_size=30))
def test_a_path_is_plain_or_refused(text: str) -> None:
    try:
        path = relative_path(text)
    except UnsafePathError:
        return
    assert str(path) == text
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert text.isprintable() or not any(ord(char) < 32 for char in text)


@given(PATHS)
def test_climbing_is_refused_wherever_it_stands(path: str) -> None:
    for hostile in (f"../{path}", f"{path}/..", f"{path}/../../x", f"/{path}", f"./{path}", f"{path}/", f"{path}\n"):
        with pytest.raises(UnsafePathError):
            relative_path(hostile)


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda v: st.lists(v) | st.dictionaries(st.text(), v))
)
def test_other_json_is_no_manifest(data: object) -> None:
    try:
        manifest = Manifest.from_json(data)
    except (ValueError, UnsafePathError):
        return
    assert manifest.entries == ()
