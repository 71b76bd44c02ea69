"""The use file: strict, half-filled reads as unknown, every error at its line and column."""

from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.shell.check.use_complaint import UseFileError, schema_errors, use_schema
from weighbridge.shell.check.use_file import UseFile, load_use, read_use
from weighbridge.shell.yaml_document import Document
from weighbridge.terms.fact import FIELDS, Metric
from weighbridge.terms.openness.g7 import LABELS

REPOSITORY = Path(__file__).resolve().parents[3]


def read(text: str) -> UseFile:
    return read_use(text.encode(), path=Path("/somewhere/our-use.yaml"))


def refused(text: str) -> UseFileError:
    with pytest.raises(UseFileError) as caught:
        read(text)
    return caught.value


def test_what_is_left_out_is_not_stated() -> None:
    use = read("purpose: x\n").ours
    assert (use.use.commercial, use.use.fields, use.use.seat, use.use.territories) == (None, None, None, None)
    assert (use.use.fine_tunes, use.use.distils, use.use.hosts, use.use.redistributes) == (None, None, None, None)
    assert use.use.amounts == {}
    assert use.in_eu is None
    assert use.required.mof_class == ""


def test_everything_that_it_can_say_is_read() -> None:
    found = read(
        """\
purpose: drafts
commercial: true
fields: [medical-advice]
monthly_users: {highest: 900, 2024-08: 40}
annual_revenue_usd: 5
monthly_revenue_usd: 7
seat: de
territories: [DE, UK]
fine_tune: true
fine_tune_compute_share: 0.25
distil: false
host: true
redistribute: true
end_user_only: true
name_as: ours
trusted_signers:
  - key: keys/a.pub
  - {certificates: roots.pem, signer_name: Acme}
  - {identity: a@b.org, issuer: "https://id.example", trust_config: trust.json}
trusted_root: root.json
required:
  openness: {mof_class: II, g7_label: Open Weights AI, osaid: true}
  evidence: [{measure: perplexity, versus: source, at_most_ratio: 1.1}]
  documents: [bom.cdx.json]
adapter_base: ../base
sample: ours.jsonl
waivers: [{question: 3, by: Ada, until: 2027-01-31, reason: looked myself}]
"""
    )
    use = found.ours.use
    assert use.amounts == {Metric.MONTHLY_USERS: 900, Metric.ANNUAL_REVENUE_USD: 5, Metric.MONTHLY_REVENUE_USD: 7}
    assert use.amounts_in[Metric.MONTHLY_USERS] == {date(2024, 8, 1): 40}
    assert (use.seat, use.territories) == ("DE", ("DE", "GB"))
    assert found.ours.in_eu
    assert not found.ours.in_us
    assert [bool(signer.key) for signer in found.signers] == [True, False, False]
    assert found.signers[0].key == Path("/somewhere/keys/a.pub")
    assert found.adapter_base == Path("/somewhere/../base")
    assert found.ours.required.evidence[0].text.startswith("perplexity")
    assert found.ours.waivers[0].until.isoformat() == "2027-01-31T23:59:59+00:00"
    assert len(found.ours.sha256) == 64


def test_a_month_alone_says_nothing_about_the_highest() -> None:
    assert read("monthly_users: {2024-08: 40}\n").ours.use.amounts == {}


def test_a_base_may_be_named_by_its_digest() -> None:
    found = read(f"adapter_base: sha256:{'ab' * 32}\n")
    assert found.adapter_base is None
    assert found.ours.adapter_base == "ab" * 32


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("purpose: x\ncomercial: true\n", "2:1", "unknown key 'comercial'; did you mean commercial?"),
        ("commercial: yes\n", "1:13", "`commercial` must be true or false, not 'yes'"),
        ("commercial: true\ncommercial: false\n", "2:1", "given twice"),
        ("a: &x 1\n", "1:4", "anchors and aliases"),
        ("seat: Germany\n", "1:7", "`seat` cannot be 'Germany'"),
        ("seat: XX\n", "1:7", "no country"),
        ("territories: [DE, EU]\n", "1:19", "no country"),
        ("fields: [militray]\n", "1:10", "did you mean military?"),
        ("monthly_users: -1\n", "1:16", "at least 0"),
        ("monthly_users: {2024-13: 1}\n", "1:17", "unknown key '2024-13'"),
        ("monthly_users: {highest: 1, 2024-08: 2}\n", "1:26", "above the `highest`"),
        ("required: {openness: {mof_class: IV}}\n", "1:34", "must be one of III, II, I"),
        ("required: {evidence: [{measure: x}]}\n", "1:23", "needs exactly one limit"),
        ("required: {evidence: [{mesure: x}]}\n", "1:23", "a rule starts with"),
        ("waivers: [{question: 17, by: A, until: 2027-01-01, reason: x}]\n", "1:22", "at most 16"),
        ("waivers: [{question: 3, by: A, until: 2027-02-30, reason: x}]\n", "1:39", "no day"),
        ("waivers: [{question: 3, by: A}]\n", "1:11", "lacks `until`, `reason`"),
        ("waivers: [{question: 3, by: ' ', until: 2027-01-01, reason: x}]\n", "1:29", "`by` cannot be ' '"),
        ("trusted_signers: [{identity: a}]\n", "1:19", "lacks `issuer`"),
        ("trusted_signers: [{}]\n", "1:19", "cannot be a mapping. One of a key"),
        ("- a\n", "1:1", "must be a mapping"),
        ("", "1:1", "empty"),
        ("purpose: [\n", "2:1", "not YAML"),
    ],
)
def test_each_mistake_has_its_place_and_words(text: str, place: str, words: str) -> None:
    error = refused(text)
    assert error.place == f"/somewhere/our-use.yaml:{place}", error.place
    assert words in error.message
    assert error.hint


def test_all_mistakes_are_named_at_once_in_the_order_of_the_file() -> None:
    error = refused("purpose: 1\nseat: 2\nhost: maybe\n")
    assert [item.place.rpartition(":")[0][-1] for item in (error, *error.others)] == ["1", "2", "3"]


def test_a_file_that_is_not_there_or_a_pipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UseFileError, match="no such file"):
        load_use(tmp_path / "none.yaml")
    with pytest.raises(UseFileError, match="not a regular file"):
        load_use(tmp_path)


def test_the_schema_and_the_code_know_the_same_words() -> None:
    schema = use_schema()
    assert set(schema["properties"]["fields"]["items"]["enum"]) == set(FIELDS)
    openness = schema["$defs"]["required"]["properties"]["openness"]["properties"]
    assert openness["g7_label"]["enum"] == list(LABELS)
    assert {str(metric) for metric in Metric} <= set(schema["properties"])

    def described(node: object) -> bool:
        if not isinstance(node, dict):
            return True
        own = all("description" in p or "$ref" in p for p in node.get("properties", {}).values())
        return own and all(described(child) for child in node.values())

    assert described(schema), "every field says what it is"


def test_the_example_is_a_whole_use_file() -> None:
    found = load_use(REPOSITORY / "examples" / "smollm2" / "our-use.yaml").ours
    assert found.use.commercial
    assert found.in_eu


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(UseFileError):
        assert read_use(data, path=Path("x.yaml")).ours.sha256


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**9),
    st.sampled_from([0.5, 2.0, -1.0]),
    st.sampled_from(["DE", "x", "", "II", "military", "2027-01-01", "Open Weights AI", "a@b"]),
)
NESTED = """key certificates signer_name identity issuer trust_config question by until reason openness evidence
documents mof_class g7_label osaid measure highest 2024-08 nonsense"""
KEYS = st.sampled_from([*sorted(use_schema()["properties"]), *NESTED.split()])
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_the_schema_accepts_is_what_its_own_standard_accepts(value: dict[str, object]) -> None:
    from jsonschema import Draft202012Validator

    document = Document(file="x", value=value, values={}, keys={})
    ours = not list(schema_errors(document))
    assert ours is Draft202012Validator(use_schema()).is_valid(value)
