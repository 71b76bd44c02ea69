from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.errors import PlanError
from weighbridge.shell.plan import Plan, plan_schema, read_plan
from weighbridge.shell.plan.model import GGUF_TYPES
from weighbridge.shell.yaml_document import read_document

PATH = Path("/plans/release.yaml")
SOUND: dict[str, Any] = {
    "model": "acme/osprey",
    "source": "osprey",
    "license": "Apache-2.0",
    "hold_back": [{"tensors": "v.*"}, {"files": "a", "as": "b"}, {"metadata": True, "keys": ["k"]}],
    "versions": {"osprey": [{"cast": "bf16"}], "osprey-gguf": [{"gguf": ["Q8_0", "Q4_K_M"]}]},
    "weigh": [{"likelihood": {"data": "d.jsonl"}}, {"resources": {}}],
    "gates": {"open": [{"measure": "perplexity", "versus": "source", "at_most_ratio": 1.1}, {"no_findings": "high"}]},
}
KEYS = sorted({key for part in (plan_schema(), *plan_schema()["$defs"].values()) for key in part.get("properties", {})})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["source", "Q8_0", "open", "high", "bf16", "a/b", "Apache-2.0", "perplexity", "held-back", *KEYS]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner, max_size=3),
    ),
    max_leaves=12,
)


def read_or_refuse(data: bytes) -> Plan | None:
    """Return the plan, or None if it was refused with a place."""
    try:
        return read_plan(data, path=PATH)
    except PlanError as error:
        refused = (error, *getattr(error, "others", ()))
    assert all(each.place.startswith(str(PATH)) and each.hint for each in refused)
    return None


def trails(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the trail of every value inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [deeper for key, inner in items for deeper in ((*trail, key), *trails(inner, (*trail, key)))]


def replaced(value: Any, trail: tuple[Any, ...], new: Any) -> Any:
    """Return `value` with what is at `trail` replaced."""
    if not trail:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[trail[0]] = replaced(copy[trail[0]], trail[1:], new)
    return copy


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_plan_or_a_plan_error(data: bytes) -> None:
    read_or_refuse(data)


@given(st.text(alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`,?\\Ux0 \n\t\r\x85\u2028\ufeff~<=/"), max_size=60))
@settings(max_examples=400)
def test_arbitrary_yaml_punctuation_is_a_plan_or_a_plan_error(text: str) -> None:
    read_or_refuse(text.encode())


@given(st.sampled_from(trails(SOUND)), VALUES)
@settings(max_examples=300, deadline=None)
def test_a_plan_with_any_value_put_anywhere_is_a_plan_or_a_plan_error(trail: tuple[Any, ...], value: Any) -> None:
    read_or_refuse(yaml.safe_dump(replaced(SOUND, trail, value)).encode())


@given(st.text())
def test_quoted_text_is_read_as_it_was_written(text: str) -> None:
    written = yaml.safe_dump({"title": text}, default_style='"', width=1 << 20)
    try:
        document = read_document(written.encode(), file="f")
    except PlanError:
        assert "\0" in text or any(0xD800 <= ord(char) < 0xE000 for char in text)
        return

    assert document.value == {"title": text}
    assert document.place(("title",)) == "f:1:10"


@given(
    st.lists(st.sampled_from(tuple(GGUF_TYPES)), min_size=2, max_size=6, unique=True),
    st.lists(st.from_regex(r"[a-z0-9][a-z0-9_]{0,20}", fullmatch=True), min_size=1, max_size=5, unique=True),
)
def test_every_type_of_every_entry_is_one_uniquely_named_version(types: list[str], names: list[str]) -> None:
    versions = {name: [{"gguf": [type_.lower() for type_ in types]}] for name in names}
    plan = read_or_refuse(yaml.safe_dump(SOUND | {"versions": versions}, sort_keys=False).encode())

    assert plan is not None
    assert [(v.name, v.gguf.type if v.gguf else "") for v in plan.versions] == [
        (f"{name}-{type_.lower()}", type_) for name in names for type_ in types
    ]
