"""What changed between two releases: in words, with intervals, and nothing that the records do not state."""

from dataclasses import replace
from typing import Any

import pytest
from builders import a_finding, a_manifest, a_measurement, a_record, an_audit, four_records

from weighbridge.checkpoint.manifest import Manifest
from weighbridge.dossier.diff import Change, diff
from weighbridge.dossier.difference import AREAS
from weighbridge.dossier.disclosure import DataSet, Disclosure, Publisher
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.errors import InputError
from weighbridge.evidence.record import Measurement
from weighbridge.terms.chain import Chain, Edge, Relation, Work
from weighbridge.terms.openness import Part, assess
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve

SUBJECT = a_record().subject


def measuring(*measurements: Measurement) -> ReleaseRecord:
    return a_record(measurements=measurements, verdict=None, audits=())


def one(a: ReleaseRecord, b: ReleaseRecord) -> Change:
    [change] = diff(a, b)
    return change


def perplexity(value: float, **changes: Any) -> Measurement:
    return a_measurement(SUBJECT, "perplexity", value, **changes)


def terms(licence: str, base: str = "Apache-2.0") -> dict[str, Any]:
    works = (Work(ref="acme/osprey", license=licence), Work(ref="base/x", license=base, digest="1" * 64))
    edges = (Edge(child="acme/osprey", parent="base/x", relation=Relation.FINETUNE),)
    chain = Chain(root="acme/osprey", works=works, edges=edges)
    return resolve(chain, declared=licence, registry=registry(), model_name="osprey").to_json()


def test_a_release_does_not_differ_from_itself() -> None:
    full = a_record(terms=terms("Apache-2.0"), disclosure=Disclosure(publisher=Publisher(name="Acme")))
    assert diff(full, full) == ()
    assert diff(full, ReleaseRecord.from_json(full.to_json())) == ()


def test_overlapping_intervals_show_no_difference() -> None:
    change = one(measuring(perplexity(11.7, between=(11.0, 12.4))), measuring(perplexity(12.1, between=(11.4, 12.8))))
    assert change.text == "Perplexity: no difference that the intervals show."
    assert change.worse is None
    assert change.before == "11.7 [11.0, 12.4] at 95 %"


def test_intervals_that_lie_apart_say_which_is_worse() -> None:
    low, high = measuring(perplexity(10, between=(9.5, 10.5))), measuring(perplexity(12, between=(11.5, 12.5)))
    assert one(low, high).worse is True
    assert one(high, low).worse is False
    assert "beyond their intervals" in one(low, high).text


def test_more_agreement_is_better() -> None:
    low, high = (
        measuring(a_measurement(SUBJECT, "top1_agreement", v, between=(v - 0.01, v + 0.01))) for v in (0.8, 0.9)
    )
    assert one(low, high).worse is False


def test_a_measure_of_unknown_direction_is_not_judged() -> None:
    low, high = (measuring(a_measurement(SUBJECT, "sparkle", v, between=(v - 0.1, v + 0.1))) for v in (1.0, 2.0))
    assert one(low, high).worse is None


def test_sampled_numbers_without_intervals_are_not_judged_and_exact_ones_are() -> None:
    speeds = [measuring(a_measurement(SUBJECT, "decode_tokens_per_second", v, unit="token/s", n=5)) for v in (50, 40)]
    assert one(*speeds).worse is None
    memory = [measuring(a_measurement(SUBJECT, "peak_memory_bytes", v, unit="byte")) for v in (2e8, 3e8)]
    assert one(*memory).worse is True
    assert (one(*memory).before, one(*memory).after) == ("200.0 MB", "300.0 MB")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": "9" * 64}, "different data"),
        ({"probe_version": "2"}, "different probes"),
        ({"unit": "bit"}, "units differ"),
        ({"baseline": "8" * 64}, "different internal models"),
    ],
)
def test_numbers_that_measure_different_things_are_not_compared(changes: dict[str, Any], why: str) -> None:
    before = measuring(perplexity(10, between=(9.5, 10.5)))
    change = one(before, measuring(perplexity(30, between=(29, 31), **changes)))
    assert why in change.text
    assert change.worse is None


def test_a_number_that_is_gone_is_worse_and_a_new_one_is_better() -> None:
    known, unknown = measuring(perplexity(10)), measuring()
    assert (one(known, unknown).worse, one(known, unknown).after) == (True, "not measured")
    assert one(unknown, known).worse is False


def test_one_measure_on_two_data_sets_is_paired_by_its_data() -> None:
    first, second = perplexity(10, between=(9, 11)), perplexity(50, between=(49, 51), data="7" * 64)
    both = measuring(first, second)
    assert one(both, measuring(second)).text == "Perplexity is no longer measured."
    assert diff(both, measuring(second, first)) == ()


def test_findings_audits_and_verdicts_are_compared() -> None:
    clean, found = an_audit(SUBJECT), an_audit(SUBJECT, a_finding(SUBJECT))
    assert one(a_record(audits=(clean,)), a_record(audits=(found,))).worse is True
    assert one(a_record(audits=(clean,)), a_record(audits=())).worse is True
    verdict = a_record().verdict
    assert verdict is not None
    refused = {**verdict, "passed": False, "answers": [{**a, "outcome": "not met"} for a in verdict["answers"]]}
    changes = diff(a_record(), a_record(verdict=refused))
    assert changes[0].after == "refused for the stage open"
    assert {change.worse for change in changes} == {True}


def test_a_stricter_licence_is_told_by_permission_threshold_and_duty() -> None:
    changes = diff(a_record(terms=terms("Apache-2.0")), a_record(terms=terms("llama3.2", "llama3.2")))
    texts = " ".join(change.text for change in changes)
    assert "above 700,000,000 monthly users of the licensee and affiliates: a licence of its own; measured: on" in texts
    assert "Built with Llama" in texts
    assert all(c.worse for c in changes if c.text.startswith("The forbidden field"))
    back = diff(a_record(terms=terms("llama3.2", "llama3.2")), a_record(terms=terms("Apache-2.0")))
    assert all(c.worse is False for c in back if c.text.startswith(("The threshold", "The duty 'badge")))


def test_a_field_that_another_licence_forbids_just_as_well_is_no_difference() -> None:
    changes = diff(a_record(terms=terms("llama3.2", "llama3.2")), a_record(terms=terms("gemma", "gemma")))
    fields = {change.text.split("'")[1].split(",")[0]: change.worse for change in changes if "forbidden" in change.text}
    assert "malicious code" not in fields
    assert fields["military"] is False
    assert fields["sexually explicit content or services"] is True


def test_a_permission_that_is_no_longer_clear_is_worse() -> None:
    changes = diff(a_record(terms=terms("Apache-2.0")), a_record(terms=terms("CC-BY-NC-4.0")))
    [commercial] = [change for change in changes if "use it commercially" in change.text]
    assert (commercial.before, commercial.after, commercial.worse) == ("yes", "no", True)


def test_terms_that_only_one_states_are_not_compared() -> None:
    change = one(a_record(), a_record(terms=terms("Apache-2.0")))
    assert "cannot be compared" in change.text
    assert change.worse is None


def test_terms_of_another_shape_are_an_error_that_names_the_record() -> None:
    with pytest.raises(InputError) as caught:
        diff(a_record(), a_record(terms={"expression": "MIT"}))
    assert "acme/osprey-135m-q4_k_m" in caught.value.place


def test_a_parent_that_changed_its_digest_is_named() -> None:
    old = ({"ref": "base/x", "relation": "finetune", "license": "MIT", "digest": "1" * 64},)
    new = ({"ref": "base/x", "relation": "finetune", "license": "MIT", "digest": "2" * 64},)
    assert one(a_record(parents=old), a_record(parents=new)).text == "The digest of the parent 'base/x' changed."


def test_openness_is_compared_by_every_scheme() -> None:
    bare = assess(
        [Part(kind="model-parameters-final", license="", in_release=True, place="w")], license_of_release="MIT"
    )
    more = assess(
        [Part(kind=k, license="", in_release=True, place=k) for k in ("model-parameters-final", "inference-code")],
        license_of_release="MIT",
    )
    changes = diff(a_record(openness=bare.to_json()), a_record(openness=more.to_json()))
    assert changes
    assert {change.area for change in changes} == {"openness"}
    assert one(a_record(), a_record(openness=more.to_json())).before == "not assessed"


def test_other_formats_and_models_are_described_and_not_judged() -> None:
    bf16, _, q4, _ = four_records()
    other = replace(q4, model="acme/kestrel")
    changes = {change.text: change for change in diff(bf16, other)}
    assert (changes["The format changed."].before, changes["The format changed."].after) == ("safetensors", "gguf")
    assert changes["The family changed."].worse is None
    assert changes["The file 'tokenizer.json' is gone."].worse is None


def with_files(manifest: Manifest) -> ReleaseRecord:
    return a_record(manifest=manifest, subject=manifest.digest, measurements=(), audits=(), verdict=None)


def test_bytes_that_changed_under_one_name_are_named() -> None:
    before, after = (
        a_manifest(("model.gguf", 1)),
        Manifest.of([replace(a_manifest(("model.gguf", 1)).entries[0], sha256="0" * 64)]),
    )
    change = one(with_files(before), with_files(after))
    assert change.text == "The bytes of the file 'model.gguf' changed."
    assert (change.after, change.worse) == ("1 bytes, SHA-256 000000000000…", None)


def test_a_shorter_context_is_worse() -> None:
    short = {**a_record().architecture, "context_length": 4096}
    change = one(a_record(), a_record(architecture=short))
    assert (change.before, change.after, change.worse) == ("8,192", "4,096", True)


def test_texts_data_sets_and_statements_are_compared() -> None:
    old = Disclosure(data=(DataSet(name="web", roles=("training",), tokens=10),), statements={"a": "x"})
    new = Disclosure(
        publisher=Publisher(name="Acme"), data=(DataSet(name="web", roles=("training",), tokens=20),),
        statements={"b": "y"},
    )  # fmt: skip
    changes = {change.text: change for change in diff(a_record(disclosure=old), a_record(disclosure=new))}
    assert changes["Of the data set 'web', tokens changed."].after == "20"
    assert changes["The statement 'a' is no longer stated."].after == "not stated"
    assert changes["Of the publisher, 'name' is stated now."].before == "not stated"
    assert {change.area for change in changes.values()} == {"texts"}


def test_a_long_list_ends_in_a_count() -> None:
    manifest = a_manifest(*((f"shard-{number:03}.safetensors", 1) for number in range(50)))
    texts = [change.text for change in diff(with_files(a_manifest(("model.gguf", 1))), with_files(manifest))]
    assert "The file: 30 more are new." in texts
    assert len([text for text in texts if text.startswith("The file 'shard")]) == 20


def test_an_area_that_is_none_is_refused() -> None:
    assert {change.area for change in diff(*four_records()[:2])} <= set(AREAS)
    with pytest.raises(ValueError, match="is not one of"):
        Change(area="weather", text="x", before="", after="")
