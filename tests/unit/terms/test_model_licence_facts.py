"""What the licences of models say, written down from their texts: a changed fact needs a changed answer here."""

import re
from datetime import date

import pytest

from weighbridge.terms.fact import Activity, Answer, Duty, DutyKind, Effect, Licence, Mark, Metric
from weighbridge.terms.recognise import recognise
from weighbridge.terms.registry import archived, registry

ARCHIVED = (
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "llama4",
    "gemma",
    "gemma-tou-2024-04-01",
    "qwen",
    "tongyi-qianwen",
    "qwen-research",
    "deepseek",
    "bigscience-openrail-m",
    "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m",
    "creativeml-openrail-m",
    "openrail++",
    "nvidia-open-model",
    "mrl",
    "kimi-k2",
    "stability-ai-community",
    "hunyuan-3d",
    "falcon-2",
    "exaone-1.1-nc",
)
NOT_ARCHIVED = ("mnpl", "devstral-modified-mit")
LLAMAS = ("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4")
NAMED_LLAMAS = LLAMAS[1:]
BUILT_WITH_LLAMA = LLAMAS[2:]
HOSTING_IS_DISTRIBUTION = (
    "gemma",
    "gemma-tou-2024-04-01",
    "deepseek",
    "bigscience-openrail-m",
    "bigscience-bloom-rail-1.0",
    "bigcode-openrail-m",
    "creativeml-openrail-m",
    "openrail++",
    "hunyuan-3d",
)
OWN_FAMILY = {
    "llama2": "Llama 2",
    "llama3": "Meta Llama 3",
    "tongyi-qianwen": "Tongyi Qianwen",
    "stability-ai-community": "Stability AI",
    "hunyuan-3d": "Tencent Hunyuan 3D 2.0",
}


def licence(name: str) -> Licence:
    found = registry().get(name)
    assert found is not None, name
    return found


def answer(name: str, activity: Activity) -> Answer:
    return licence(name).permissions[activity].answer


def duties(name: str, kind: DutyKind) -> list[Duty]:
    return [duty for duty in licence(name).duties if duty.kind is kind]


def forbidden(name: str) -> set[str]:
    return {limit.id for limit in licence(name).fields}


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("name", ARCHIVED)
def test_text_was_read_and_is_recognised(name: str) -> None:
    known = licence(name)
    text = registry().text(known)
    assert text is not None
    assert known.mark is Mark.PRIMARY
    assert recognise(text).licence_id == name
    assert recognise(text.replace(" any ", " some ", 1)).licence_id is None


@pytest.mark.parametrize("name", NOT_ARCHIVED)
def test_what_only_a_report_allows_is_unknown(name: str) -> None:
    known = licence(name)
    assert registry().text(known) is None
    assert known.mark is Mark.SECONDARY
    assert not {permission.answer for permission in known.permissions.values()} & {Answer.YES, Answer.CONDITIONAL}


@pytest.mark.parametrize("name", ARCHIVED)
def test_words_to_write_or_show_stand_in_the_text(name: str) -> None:
    known = licence(name)
    texts = [one_line(archived(source.file)) for source in known.sources if source.file]
    exact = {DutyKind.NOTICE_LINE, DutyKind.BADGE, DutyKind.NAME_PREFIX}
    for duty in known.duties:
        if duty.kind in exact:
            assert any(one_line(duty.text) in text for text in texts), duty.id


@pytest.mark.parametrize(
    ("name", "month"),
    [
        ("llama2", date(2023, 6, 1)),
        ("llama3", date(2024, 3, 1)),
        ("llama3.1", date(2024, 6, 1)),
        ("llama3.2", date(2024, 8, 1)),
        ("llama3.3", date(2024, 11, 1)),
        ("llama4", date(2025, 3, 1)),
    ],
)
def test_llama_counts_users_in_the_month_before_its_release(name: str, month: date) -> None:
    (threshold,) = licence(name).thresholds
    assert (threshold.metric, threshold.above, threshold.measured_on) == (Metric.MONTHLY_USERS, 700_000_000, month)
    assert threshold.actor == "licensee-and-affiliates"
    assert threshold.effect is Effect.NEEDS_LICENCE
    assert not threshold.commercial_only
    assert not threshold.activities


@pytest.mark.parametrize("name", LLAMAS)
def test_llama_forbids_military_use_weapons_and_critical_infrastructure(name: str) -> None:
    assert {"military", "weapons", "critical-infrastructure", "unlicensed-professional"} <= forbidden(name)
    assert not forbidden(name) & {"medical-advice", "law-enforcement"}


def test_llama_forbids_circumventing_safety_measures_since_3_2() -> None:
    assert [name for name in LLAMAS if "guardrail-bypass" in forbidden(name)] == ["llama3.2", "llama3.3", "llama4"]


@pytest.mark.parametrize("name", BUILT_WITH_LLAMA)
def test_llama_since_3_1_is_named_after_for_outputs_too(name: str) -> None:
    (prefix,) = duties(name, DutyKind.NAME_PREFIX)
    (badge,) = duties(name, DutyKind.BADGE)
    assert prefix.text == "Llama"
    assert set(prefix.on) == {Activity.MODIFY, Activity.TRAIN_ON_OUTPUTS}
    assert (badge.id, badge.text) == ("built-with-llama", "Built with Llama")
    assert set(badge.on) == {Activity.REDISTRIBUTE, Activity.HOST}
    assert answer(name, Activity.TRAIN_ON_OUTPUTS) is Answer.CONDITIONAL


def test_llama_3_has_a_badge_and_a_prefix_of_its_own() -> None:
    assert [duty.text for duty in duties("llama3", DutyKind.BADGE)] == ["Built with Meta Llama 3"]
    (prefix,) = duties("llama3", DutyKind.NAME_PREFIX)
    assert (prefix.text, prefix.on) == ("Llama 3", (Activity.MODIFY,))


def test_llama_2_asks_for_no_badge_and_no_name() -> None:
    assert not duties("llama2", DutyKind.BADGE) + duties("llama2", DutyKind.NAME_PREFIX)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("llama2", "Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c)"),
        ("llama3", "Meta Llama 3 is licensed under the Meta Llama 3 Community License, Copyright ©"),
        ("llama3.1", "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright ©"),
        ("llama3.2", "Llama 3.2 is licensed under the Llama 3.2 Community License, Copyright ©"),
        ("llama3.3", "Llama 3.3 is licensed under the Llama 3.3 Community License, Copyright ©"),
        ("llama4", "Llama 4 is licensed under the Llama 4 Community License, Copyright ©"),
    ],
)
def test_llama_notice_line_is_that_of_the_version(name: str, line: str) -> None:
    (notice,) = duties(name, DutyKind.NOTICE_LINE)
    assert notice.text == f"{line} Meta Platforms, Inc. All Rights Reserved."


@pytest.mark.parametrize("name", NAMED_LLAMAS)
def test_llama_hosting_is_not_called_distribution_but_has_duties(name: str) -> None:
    assert licence(name).hosting_is_distribution.answer is Answer.CONDITIONAL


@pytest.mark.parametrize("name", ["llama3.2", "llama3.3"])
def test_llama_withholds_multimodal_models_from_licensees_in_the_european_union(name: str) -> None:
    (limit,) = licence(name).territories
    assert (limit.applies_to, limit.regions) == ("seat", ("EU",))
    assert set(limit.modalities) == {"image", "audio", "video"}
    assert "end users" in limit.exempt


def test_llama_4_is_withheld_in_the_european_union_whatever_modalities_a_card_names() -> None:
    (limit,) = licence("llama4").territories
    assert (limit.applies_to, limit.regions, limit.modalities) == ("seat", ("EU",), ())


@pytest.mark.parametrize("name", ["llama2", "llama3", "llama3.1"])
def test_earlier_llama_has_no_limit_of_territory(name: str) -> None:
    assert not licence(name).territories


def test_llama_4_is_the_agreement_and_not_its_use_policy() -> None:
    assert licence("llama4").expression == "LicenseRef-scancode-llama-4-cla-2025"
    assert registry().get("LicenseRef-scancode-llama-4-license-2025") is None


@pytest.mark.parametrize(("name", "family"), OWN_FAMILY.items())
def test_outputs_may_improve_the_own_family_only(name: str, family: str) -> None:
    permission = licence(name).permissions[Activity.TRAIN_ON_OUTPUTS]
    (duty,) = [duty for duty in licence(name).duties if duty.id == "outputs-own-family-only"]
    assert permission.answer is Answer.NO
    assert "exempt" in permission.reason
    assert family in duty.text
    assert (duty.kind, duty.on) == (DutyKind.OTHER, (Activity.TRAIN_ON_OUTPUTS,))


def test_no_other_model_licence_but_exaone_forbids_training_on_outputs() -> None:
    forbidding = {name for name in ARCHIVED if answer(name, Activity.TRAIN_ON_OUTPUTS) is Answer.NO}
    assert forbidding == {*OWN_FAMILY, "exaone-1.1-nc"}


@pytest.mark.parametrize("name", ARCHIVED)
def test_hosting_is_distribution_where_the_text_defines_it_so(name: str) -> None:
    stated = licence(name).hosting_is_distribution.answer is Answer.YES
    assert stated is (name in HOSTING_IS_DISTRIBUTION)


def test_distilled_models_are_derivatives_where_the_text_defines_them_so() -> None:
    derived = {name for name in ARCHIVED if licence(name).distilled_is_derivative.answer is Answer.YES}
    assert derived == {*HOSTING_IS_DISTRIBUTION, "stability-ai-community"}


@pytest.mark.parametrize("name", ["gemma", "gemma-tou-2024-04-01"])
def test_gemma_binds_recipients_and_users_of_a_service(name: str) -> None:
    (flow,) = duties(name, DutyKind.FLOW_DOWN)
    (line,) = duties(name, DutyKind.NOTICE_LINE)
    assert set(flow.on) == {Activity.REDISTRIBUTE, Activity.HOST}
    assert line.on == (Activity.REDISTRIBUTE,)
    assert line.text.endswith("found at ai.google.dev/gemma/terms")
    assert {"sexual-content", "automated-decisions", "guardrail-bypass"} <= forbidden(name)
    assert not forbidden(name) & {"military", "critical-infrastructure"}
    assert all(limit.flow_down for limit in licence(name).fields)


def test_gemma_names_the_terms_in_force() -> None:
    assert licence("gemma").released == date(2025, 3, 24)
    assert licence("gemma-tou-2024-04-01").released == date(2024, 4, 1)


@pytest.mark.parametrize("name", ["qwen", "tongyi-qianwen"])
def test_qwen_limits_commercial_products_above_100_million_users(name: str) -> None:
    (threshold,) = licence(name).thresholds
    assert (threshold.metric, threshold.above) == (Metric.MONTHLY_USERS, 100_000_000)
    assert (threshold.actor, threshold.measured_on, threshold.commercial_only) == ("product", None, True)


@pytest.mark.parametrize("name", ["qwen", "qwen-research"])
def test_qwen_badge_is_due_for_outputs_too(name: str) -> None:
    (badge,) = duties(name, DutyKind.BADGE)
    assert badge.text == "Built with Qwen"
    assert set(badge.on) == {Activity.MODIFY, Activity.TRAIN_ON_OUTPUTS}
    assert answer(name, Activity.TRAIN_ON_OUTPUTS) is Answer.CONDITIONAL


@pytest.mark.parametrize("name", ["qwen", "tongyi-qianwen", "stability-ai-community"])
def test_duty_to_keep_the_law_binds_the_licensee_alone(name: str) -> None:
    assert [(limit.id, limit.flow_down) for limit in licence(name).fields] == [("illegal", False)]


def test_tongyi_qianwen_asks_for_no_badge() -> None:
    assert not duties("tongyi-qianwen", DutyKind.BADGE)


@pytest.mark.parametrize("name", ["qwen-research", "mrl", "mnpl", "exaone-1.1-nc"])
def test_research_licences_forbid_commerce_and_production(name: str) -> None:
    assert answer(name, Activity.COMMERCIAL) is Answer.NO
    assert "production" in forbidden(name)


def test_rail_attachments_differ() -> None:
    bigscience = {"medical-advice", "law-enforcement", "undisclosed-ai", "impersonation", "automated-decisions"}
    for name in ("bigscience-openrail-m", "bigscience-bloom-rail-1.0", "bigcode-openrail-m"):
        assert bigscience <= forbidden(name)
    for name in ("creativeml-openrail-m", "openrail++"):
        assert forbidden(name) & bigscience == bigscience - {"undisclosed-ai", "impersonation"}
    rails = ("bigscience-openrail-m", "bigscience-bloom-rail-1.0", "creativeml-openrail-m", "openrail++")
    assert "malware" in forbidden("bigcode-openrail-m")
    assert not any({"malware", "military"} & forbidden(name) for name in rails)


@pytest.mark.parametrize(
    ("name", "items"),
    [
        ("bigscience-openrail-m", 13),
        ("bigscience-bloom-rail-1.0", 13),
        ("bigcode-openrail-m", 14),
        ("creativeml-openrail-m", 11),
        ("openrail++", 11),
        ("deepseek", 11),
    ],
)
def test_every_item_of_the_attachment_is_a_limit_that_flows_down(name: str, items: int) -> None:
    limits = licence(name).fields
    assert len(limits) == items
    assert all(limit.flow_down for limit in limits)
    assert set(duties(name, DutyKind.FLOW_DOWN)[0].on) == {Activity.REDISTRIBUTE, Activity.HOST}
    assert "licence" not in licence(name).derivative_keeps


def test_latest_version_is_asked_for_where_the_licensor_may_update() -> None:
    asking = {name for name in ARCHIVED if any(duty.id == "latest-version" for duty in licence(name).duties)}
    assert asking == {"bigscience-openrail-m", "bigscience-bloom-rail-1.0", "creativeml-openrail-m"}


def test_family_names_on_cards_name_no_text() -> None:
    assert [registry().get(name) for name in ("openrail", "modified-mit", "tencent-hunyuan-community", "exaone")] == [
        None
    ] * 4


def test_deepseek_forbids_military_use_and_no_medical_advice() -> None:
    assert "military" in forbidden("deepseek")
    assert not forbidden("deepseek") & {"medical-advice", "law-enforcement", "undisclosed-ai"}


def test_nvidia_ends_rights_on_bypassed_guardrails_and_names_cosmos_only_for_cosmos() -> None:
    assert "guardrail-bypass" in forbidden("nvidia-open-model")
    assert not duties("nvidia-open-model", DutyKind.BADGE)
    (cosmos,) = [duty for duty in licence("nvidia-open-model").duties if duty.id == "built-on-cosmos"]
    assert "Only for an NVIDIA Cosmos model" in cosmos.text
    assert Activity.TRAIN_ON_OUTPUTS in cosmos.on


@pytest.mark.parametrize("name", ["nvidia-open-model", "stability-ai-community", "falcon-2"])
def test_use_policy_that_is_not_archived_is_named_without_a_file(name: str) -> None:
    (policy,) = [source for source in licence(name).sources if source.what == "use-policy"]
    assert policy.file == ""


def test_research_licence_of_mistral_limits_outputs_and_every_commercial_entity() -> None:
    permissions = licence("mrl").permissions
    assert "Outputs" in permissions[Activity.TRAIN_ON_OUTPUTS].clause.quote
    assert "by a commercial entity" in permissions[Activity.REDISTRIBUTE].clause.quote
    assert [duty.text for duty in duties("mrl", DutyKind.NOTICE_LINE)] == [
        "Licensed by Mistral AI under the Mistral AI Research License"
    ]


def test_devstral_ends_rights_above_20_million_a_month() -> None:
    (threshold,) = licence("devstral").thresholds
    assert (threshold.metric, threshold.above) == (Metric.MONTHLY_REVENUE_USD, 20_000_000)
    assert threshold.effect is Effect.NEEDS_LICENCE
    assert not threshold.commercial_only


def test_kimi_shows_its_name_above_either_threshold() -> None:
    thresholds = licence("kimi-k2").thresholds
    assert {(threshold.metric, threshold.above) for threshold in thresholds} == {
        (Metric.MONTHLY_USERS, 100_000_000),
        (Metric.MONTHLY_REVENUE_USD, 20_000_000),
    }
    (badge,) = duties("kimi-k2", DutyKind.BADGE)
    assert (badge.text, badge.above_threshold) == ("Kimi K2", True)
    for threshold in thresholds:
        assert (threshold.effect, threshold.duty, threshold.actor) == (Effect.DUTY, badge.id, "product")
        assert threshold.commercial_only
    assert "licence" in licence("kimi-k2").derivative_keeps


def test_stability_ends_every_licence_above_a_million_a_year() -> None:
    (threshold,) = licence("stability-ai-community").thresholds
    assert (threshold.metric, threshold.above) == (Metric.ANNUAL_REVENUE_USD, 1_000_000)
    assert (threshold.actor, threshold.measured_on) == ("licensee-and-affiliates", None)
    assert not threshold.commercial_only
    assert [duty.text for duty in duties("stability-ai-community", DutyKind.BADGE)] == ["Powered by Stability AI"]
    (register,) = [duty for duty in licence("stability-ai-community").duties if duty.id == "register"]
    assert register.on == (Activity.COMMERCIAL,)


def test_hunyuan_3d_grants_nothing_in_three_territories() -> None:
    (limit,) = licence("hunyuan-3d").territories
    assert (limit.applies_to, limit.regions, limit.modalities) == ("distribution", ("EU", "GB", "KR"), ())
    assert "territory" in licence("hunyuan-3d").derivative_keeps


def test_hunyuan_3d_counts_a_million_users_of_the_licensee_alone() -> None:
    (threshold,) = licence("hunyuan-3d").thresholds
    assert (threshold.metric, threshold.above, threshold.actor) == (Metric.MONTHLY_USERS, 1_000_000, "licensee")
    assert threshold.measured_on == date(2024, 12, 1)
    assert not duties("hunyuan-3d", DutyKind.BADGE)


def test_falcon_2_flows_its_policy_down_and_wants_its_sentence() -> None:
    (flow,) = duties("falcon-2", DutyKind.FLOW_DOWN)
    (sentence,) = duties("falcon-2", DutyKind.ATTRIBUTION)
    assert flow.on == (Activity.REDISTRIBUTE,)
    assert "is built using Falcon LLM technology from the Technology Innovation Institute" in sentence.text
    assert not licence("falcon-2").fields


def test_exaone_names_derivatives_after_itself() -> None:
    assert [duty.text for duty in duties("exaone-1.1-nc", DutyKind.NAME_PREFIX)] == ["EXAONE"]
    assert answer("exaone-1.1-nc", Activity.HOST) is Answer.UNKNOWN
