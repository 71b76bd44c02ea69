"""Whatever a README begins with, its front matter becomes a mapping that JSON can hold."""

import json

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.hub.repositories.front_matter import parse
from weighbridge.hub.repositories.tags import MAX_TAG_CHARACTERS, MAX_TAGS, tags_of

_YAML = st.text(alphabet="ab:-[]{}&*!|>'\"#,?% \n\t01.~\0é", max_size=80)


@given(st.one_of(st.text(max_size=120), _YAML))
def test_any_front_matter_is_read_or_left(text: str) -> None:
    found = parse(f"---\n{text}\n---\n")
    json.dumps(found, allow_nan=False).encode()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
_FIELDS = st.sampled_from(("tags", "license", "language", "base_model", "datasets", "library_name", "models", "sdk"))


@given(st.sampled_from(("model", "dataset", "space")), st.dictionaries(_FIELDS, _VALUES), st.text(max_size=100))
def test_any_card_gives_tags_that_fit_their_column(kind: str, card: dict[str, object], body: str) -> None:
    tags = tags_of(kind, card, body, ["a.gguf"], {})
    assert len(tags) == len(set(tags)) <= MAX_TAGS
    assert all(0 < len(tag) <= MAX_TAG_CHARACTERS for tag in tags)
