"""How open a release is: each scheme's own rules, and what is never taken for a yes."""

import copy
from collections.abc import Iterable
from typing import Any

import pytest

from weighbridge.terms.openness import KINDS, UNLICENSED, Openness, Part, assess
from weighbridge.terms.openness.component import component, components, required
from weighbridge.terms.openness.european_index import dimensions
from weighbridge.terms.openness.mof import mof_class, progress
from weighbridge.terms.openness.standing import standing
from weighbridge.terms.registry import registry

CLASS_III = (
    "model-architecture",
    "model-parameters-final",
    "technical-report",
    "evaluation-results",
    "model-card",
    "data-card",
)
CLASS_II = (*CLASS_III, "training-code", "inference-code", "evaluation-code", "evaluation-data")
CLASS_I = (*CLASS_II, "datasets", "data-preprocessing-code", "model-parameters-intermediate", "research-paper")


def opened(*kinds: str, licence: str = "Apache-2.0", extra: Iterable[Part] = (), **options: Any) -> Openness:
    parts = [Part(kind=kind, place=kind) for kind in kinds]
    return assess([*parts, *extra], license_of_release=licence, **options)


def why(found: Openness, mof: str, kind: str) -> str:
    return next(item.why for item in found.mof_missing[mof] if item.component == kind)


def test_the_classes_ask_for_6_10_and_14_of_17_components() -> None:
    assert [len(required(name)) for name in ("III", "II", "I")] == [6, 10, 14]
    assert {item.id for item in required("I")} == set(CLASS_I)
    assert len(components()) == len(KINDS) == 17


@pytest.mark.parametrize(("kinds", "expected"), [(CLASS_III, "III"), (CLASS_II, "II"), (CLASS_I, "I"), ((), "")])
def test_a_class_is_reached_with_all_that_it_asks_for(kinds: tuple[str, ...], expected: str) -> None:
    assert opened(*kinds).mof_class == expected


@pytest.mark.parametrize("lacking", CLASS_I)
def test_without_any_one_component_its_class_is_not_reached(lacking: str) -> None:
    found = opened(*(kind for kind in CLASS_I if kind != lacking))
    classes = ["", "III", "II", "I"]
    expected = classes[classes.index(component(lacking).mof_class) - 1]
    if lacking == "technical-report":
        expected = "I"  # the paper takes its place
    assert found.mof_class == expected
    assert [item.component for item in found.mof_missing_next] == ([] if expected == "I" else [lacking])


def test_weights_alone_are_in_no_class_and_have_no_label() -> None:
    found = opened("model-parameters-final")
    states = {item.component: item for item in found.components}
    assert (found.mof_class, found.g7_label, found.osaid_met) == ("", "", False)
    assert progress(states, "III") == (1, 6)
    assert why(found, "II", "training-code") == "no training code in the release"


def test_a_paper_takes_the_place_of_a_report_that_is_missing_or_not_open() -> None:
    rest = tuple(kind for kind in CLASS_III if kind != "technical-report")
    assert opened(*rest).mof_class == ""
    assert opened(*rest, "research-paper").mof_class == "III"
    closed = Part(kind="technical-report", license="CC-BY-NC-4.0", place="report.pdf")
    assert opened(*rest, "research-paper", extra=[closed]).mof_class == "III"
    closed_paper = Part(kind="research-paper", license=UNLICENSED, place="paper.pdf")
    assert opened(*rest, extra=[closed_paper]).mof_class == ""


def test_the_licence_in_effect_is_the_parts_then_its_types_then_the_releases() -> None:
    part = Part(kind="model-card", place="README.md")
    own = assess(
        [Part(kind="model-card", license="CC-BY-4.0")],
        license_of_release="MIT",
        licenses_by_type={"document": "CC0-1.0"},
    )
    typed = assess([part], license_of_release="MIT", licenses_by_type={"document": "CC0-1.0", "code": "ISC"})
    whole = assess([part], license_of_release="MIT", licenses_by_type={"code": "ISC"})
    none = assess([part], license_of_release="")
    licences = [
        next(s for s in found.components if s.component == "model-card").license for found in (own, typed, whole, none)
    ]
    assert licences == ["CC-BY-4.0", "CC0-1.0", "MIT", UNLICENSED]
    assert why(none, "III", "model-card") == "README.md: has no licence"


def test_a_part_without_a_licence_is_not_covered_by_that_of_the_release() -> None:
    found = opened(*CLASS_I[1:], extra=[Part(kind="model-architecture", license=UNLICENSED, place="code")])
    assert found.mof_class == ""
    assert why(found, "III", "model-architecture") == "code: has no licence"


@pytest.mark.parametrize(
    ("licence", "reason"),
    [
        ("CC-BY-NC-4.0", "licence CC-BY-NC-4.0 is not open"),
        ("Our Own Terms 7", "licence 'Our Own Terms 7' is not known here, and counts as not open"),
        ("other", "licence 'other' is not known here, and counts as not open"),
        ("Apache-2.0 AND CC-BY-NC-4.0", "licence CC-BY-NC-4.0 is not open"),
        ("PDDL-1.0", "licence PDDL-1.0 does not count as open: the framework's evaluator lists it under another name"),
        ("C-UDA-1.0", "licence C-UDA-1.0 is not open"),
    ],
)
def test_a_closed_or_unknown_licence_fails_and_says_why(licence: str, reason: str) -> None:
    found = opened(
        *(k for k in CLASS_III if k != "model-parameters-final"),
        extra=[Part(kind="model-parameters-final", license=licence, place="w")],
    )
    assert found.mof_class == ""
    assert [(item.component, item.why) for item in found.mof_missing_next] == [
        ("model-parameters-final", f"w: {reason}")
    ]


def test_a_community_licence_is_not_open_by_whichever_name() -> None:
    for name in ("llama3.1", "gemma"):
        if registry().get(name):
            found = standing(name, registry())
            assert found.known
            assert not found.open
    assert "is not open" in standing("CC-BY-NC-4.0 AND MIT", registry()).why


def test_of_a_choice_of_licences_the_open_one_counts() -> None:
    assert standing("CC-BY-NC-4.0 OR Apache-2.0", registry()).open
    assert not standing("(CC-BY-NC-4.0 OR Apache-2.0) AND Unheard-Of-1.0", registry()).open
    assert standing("GPL-2.0-only WITH Classpath-exception-2.0", registry()).osi
    assert not standing("Apache-2.0 WITH Commons-Clause", registry()).open


def test_names_are_read_without_regard_to_case() -> None:
    assert standing("apache-2.0", registry()).license == "Apache-2.0"
    assert standing("cc-by-sa-2.1-jp", registry()) == standing("CC-BY-SA-2.1-JP", registry())


@pytest.mark.parametrize(
    "hostile", ["(" * 5000 + "MIT", "MIT AND " * 50_000 + "MIT", "MIT AND (", "MIT\x00", "AND", "( )"]
)
def test_an_unreadable_expression_is_an_unknown_licence(hostile: str) -> None:
    found = standing(hostile, registry())
    assert not found.open
    assert not found.known


def test_the_registry_and_the_lists_agree_on_what_is_approved() -> None:
    for licence in registry().all:
        found = standing(licence.id, registry())
        assert found.known
        assert found.osi is licence.osi_approved or licence.id.startswith("LicenseRef"), licence.id
        if licence.fsf_libre:
            assert found.open_source, licence.id


def test_openmdw_counts_for_every_type_and_its_later_version_with_a_warning() -> None:
    first, later = (opened(*CLASS_I, licence=name) for name in ("OpenMDW-1.0", "OpenMDW-1.1"))
    assert first.mof_class == later.mof_class == "I"
    assert first.warnings == ()
    assert all("evaluator knows only OpenMDW-1.0" in text for text in later.warnings)
    assert len(later.warnings) == 14


def test_an_open_licence_of_the_wrong_type_counts_with_a_warning() -> None:
    found = opened(*CLASS_III, licence="Apache-2.0")
    assert found.warnings == ("Model parameters (Final): Apache-2.0 is open, but not written for data",)


def test_every_part_of_a_component_has_to_be_open() -> None:
    found = opened(*CLASS_III, extra=[Part(kind="model-parameters-final", license="CC-BY-NC-4.0", place="adapter")])
    assert found.mof_class == ""
    assert why(found, "III", "model-parameters-final") == "adapter: licence CC-BY-NC-4.0 is not open"


def test_what_is_only_stated_is_reported_apart_and_counts_only_as_stated() -> None:
    elsewhere = Part(
        kind="model-architecture", license="Apache-2.0", in_release=False, place="https://example.com/code"
    )
    found = opened(*CLASS_III[1:], extra=[elsewhere])
    assert (found.mof_class, found.mof_class_as_stated) == ("", "III")
    assert [(item.component, item.place, item.license) for item in found.stated_elsewhere] == [
        ("model-architecture", "https://example.com/code", "Apache-2.0")
    ]
    assert why(found, "III", "model-architecture").endswith("stated elsewhere, not checked: https://example.com/code")


def test_half_of_the_data_is_not_the_data() -> None:
    half = [
        Part(kind="datasets", place="data/a"),
        Part(kind="datasets", in_release=False, place="https://example.com/b"),
    ]
    found = opened(*(kind for kind in CLASS_I if kind != "datasets"), extra=half)
    assert found.mof_class == "II"
    assert found.eu_index["datasources_endmodel"] == "partial"
    assert "https://example.com/b is only stated" in why(found, "I", "datasets")


def test_a_mirror_of_code_that_is_in_the_release_does_no_harm() -> None:
    mirror = Part(kind="training-code", license="MIT", in_release=False, place="https://example.com/code")
    assert opened(*CLASS_II, extra=[mirror]).mof_class == "II"


def test_a_part_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'weights' is no component"):
        Part(kind="weights")


@pytest.mark.parametrize(
    ("kinds", "licence", "label"),
    [
        (("model-parameters-final",), "Apache-2.0", ""),
        (("inference-code",), "Apache-2.0", ""),
        (("model-parameters-final", "inference-code"), "Apache-2.0", "Open Weights AI"),
        (("model-parameters-final", "inference-code"), "OpenMDW-1.0", "Open Weights AI"),
        (("model-parameters-final", "inference-code"), "CC-BY-NC-4.0", "Weights Available AI"),
        (("model-parameters-final", "inference-code"), "Unheard Of", ""),
        (("model-parameters-final", "inference-code"), "", ""),
        (("model-parameters-final", "inference-code", "training-code", "data-card"), "MIT", "Open Weights AI"),
        (
            ("model-parameters-final", "inference-code", "training-code", "datasets"),
            "MIT",
            "Open Source AI with Open Data",
        ),
    ],
)
def test_g7_labels_ask_for_deployment_code(kinds: tuple[str, ...], licence: str, label: str) -> None:
    assert opened(*kinds, licence=licence).g7_label == label


def test_that_data_cannot_be_shared_is_never_assumed() -> None:
    found = opened("model-parameters-final", "inference-code", "training-code", "data-card")
    assert "that it cannot be shared, by law or technically, is not shown" in found.g7.why


def test_osaid_wants_one_kind_of_data_information_and_all_the_code() -> None:
    code = ("data-preprocessing-code", "training-code", "inference-code", "supporting-libraries", "model-architecture")
    assert opened("model-parameters-final", *code).osaid_met is False
    for information in ("datasets", "research-paper", "technical-report", "data-card"):
        assert opened("model-parameters-final", *code, information).osaid_met is True
    for lacking in code:
        found = opened("model-parameters-final", "datasets", *(kind for kind in code if kind != lacking))
        assert [(item.id, item.answer) for item in found.osaid if item.answer != "met"] == [(lacking, "unmet")]


def test_osaid_code_under_a_data_licence_is_no_open_source_code() -> None:
    found = opened(extra=[Part(kind="training-code", license="CDLA-Permissive-2.0", place="train")])
    line = next(item for item in found.osaid if item.id == "training-code")
    assert (line.answer, line.why) == ("unmet", "CDLA-Permissive-2.0 is no open-source licence")


def test_osaid_leaves_open_what_nobody_looked_at() -> None:
    elsewhere = Part(kind="training-code", license="MIT", in_release=False, place="https://example.com/")
    strange = Part(kind="inference-code", license="Unheard Of", place="run.py")
    answers = {item.id: item.answer for item in opened(extra=[elsewhere, strange]).osaid}
    assert answers["training-code"] == answers["inference-code"] == "unknown"
    assert answers["model-architecture"] == "unmet"


def test_the_european_index_has_its_fourteen_dimensions_each_with_a_reason() -> None:
    found = opened("model-parameters-final")
    assert [item.dimension for item in found.eu_ratings] == [item.id for item in dimensions()]
    assert len(dimensions()) == 14
    assert all(item.why for item in found.eu_ratings)
    assert {name for name, rating in found.eu_index.items() if rating == "open"} == {
        "weights_basemodel",
        "weights_endmodel",
    }


def test_what_the_index_asks_of_a_base_model_is_not_answered_from_its_descendant() -> None:
    found = opened("model-parameters-final", "datasets", bases=("base/model",))
    assert found.eu_index["weights_basemodel"] == found.eu_index["datasources_basemodel"] == "unknown"
    assert found.eu_index["weights_endmodel"] == found.eu_index["datasources_endmodel"] == "open"
    assert "base/model" in next(item.why for item in found.eu_ratings if item.dimension == "weights_basemodel")


def test_absence_is_closed_only_where_the_publisher_shows_all_there_is() -> None:
    assert opened("model-parameters-final").eu_index["paper"] == "closed"
    assert opened("model-parameters-final", complete=False).eu_index["paper"] == "unknown"
    elsewhere = Part(kind="research-paper", in_release=False, place="https://arxiv.org/abs/2204.06745")
    assert opened("model-parameters-final", extra=[elsewhere]).eu_index["paper"] == "unknown"


@pytest.mark.parametrize(
    ("kinds", "licence", "rating"),
    [
        (CLASS_I, "Apache-2.0", "open"),
        (CLASS_III, "Apache-2.0", "partial"),
        (CLASS_I, "CC-BY-NC-4.0", "closed"),
        (CLASS_I, "Unheard Of", "unknown"),
        ((), "Apache-2.0", "unknown"),
    ],
)
def test_licences_are_rated_by_osi_approval(kinds: tuple[str, ...], licence: str, rating: str) -> None:
    assert opened(*kinds, licence=licence).eu_index["licenses"] == rating


def test_source_code_is_open_only_in_full() -> None:
    code = ("data-preprocessing-code", "training-code", "evaluation-code", "inference-code")
    ratings = [opened(*code[:count]).eu_index["trainingcode"] for count in (0, 1, 4)]
    assert ratings == ["closed", "partial", "open"]
    assert opened("training-code", licence="CC-BY-NC-4.0").eu_index["trainingcode"] == "closed"
    assert opened("training-code", licence="Unheard Of").eu_index["trainingcode"] == "unknown"


def test_json_form_reads_back() -> None:
    found = opened(
        *CLASS_III, extra=[Part(kind="training-code", in_release=False, place="https://example.com/", license="MIT")]
    )
    assert Openness.from_json(found.to_json()) == found


def forged(change: str) -> dict[str, Any]:
    data = copy.deepcopy(opened("model-parameters-final").to_json())
    match change:
        case "class":
            data["mof_class"] = "I"
        case "no class":
            data["mof_class"] = "0"
        case "label":
            data["g7"]["label"] = "Open Source AI"
        case "made-up label":
            data["g7"]["label"] = "Very Open AI"
        case "osaid":
            data["osaid_met"] = True
        case "rules":
            data["rules"] = 2
        case "short label":
            data["g7_label"] = "Open Weights AI"
        case "index":
            data["eu_index"]["api"] = "open"
        case "open but absent":
            data["components"][0]["open"] = True
        case "component":
            data["components"].pop()
        case "missing":
            data["mof_missing"]["III"] = []
        case "shape":
            data["components"] = 7
        case _:
            del data[change]
    return data


@pytest.mark.parametrize(
    "change",
    [
        "class",
        "no class",
        "label",
        "made-up label",
        "osaid",
        "rules",
        "short label",
        "index",
        "open but absent",
        "component",
        "missing",
        "shape",
        "warnings",
    ],
)
def test_a_statement_whose_verdicts_do_not_follow_is_refused(change: str) -> None:
    with pytest.raises(ValueError, match="not a statement of openness"):
        Openness.from_json(forged(change))


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("components", "component", {}),
        ("components", "open", 1),
        ("components", "licenses", "MIT"),
        ("eu_ratings", "dimension", []),
        ("osaid", "answer", None),
        ("osaid", "surprise", "x"),
    ],
)
def test_a_statement_with_a_value_of_another_type_is_refused(name: str, key: str, value: object) -> None:
    data = copy.deepcopy(opened(*CLASS_II).to_json())
    data[name][0][key] = value
    with pytest.raises(ValueError, match=f"not a statement of openness: {name}"):
        Openness.from_json(data)


def test_a_class_follows_from_states_alone() -> None:
    assert mof_class({item.component: item for item in opened(*CLASS_II).components}) == "II"


def test_a_name_of_letters_that_only_look_alike_is_not_open() -> None:
    assert standing("BlueOak-1.0.0", registry()).open
    assert not standing("BlueOa\u212a-1.0.0", registry()).known
