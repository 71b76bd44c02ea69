from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from weighbridge.terms.fact import (
    Activity,
    Answer,
    Clause,
    Duty,
    DutyKind,
    Effect,
    FieldLimit,
    Metric,
    TerritoryLimit,
    Threshold,
)
from weighbridge.terms.permit import Ruling, badges_for, duties_for, permit
from weighbridge.terms.terms import (
    AbsentPolicy,
    AppliedField,
    AppliedTerritory,
    AppliedThreshold,
    Conflict,
    Granted,
    Ground,
    Obligation,
    OutputTerms,
    Terms,
)
from weighbridge.terms.use import Use

USERS, REVENUE = Metric.MONTHLY_USERS, Metric.ANNUAL_REVENUE_USD
NO_LICENSEE: Any = {"fine_tunes": False, "hosts": False, "redistributes": False}
GROUND = Ground(licence="qwen", work="q/base", section="2", quote="words", reason="because")


def some_terms(answers: Mapping[Activity, Answer] | None = None, **facts: Any) -> Terms:
    given = answers or {}
    granted = {a: Granted(answer=given.get(a, Answer.YES), grounds=(GROUND,)) for a in Activity}
    defaults: dict[str, Any] = {"model": "a/m", "expression": "X", "licences": ("qwen",), "permissions": granted}
    return Terms(**{**defaults, "output_terms": OutputTerms(granted=granted[Activity.TRAIN_ON_OUTPUTS]), **facts})


def applied(kind: Any, fact: Any, **more: Any) -> Any:
    return kind(fact=fact, licence="qwen", steward="Alibaba Cloud", works=("q/base",), **more)


def a_threshold(**facts: Any) -> AppliedThreshold:
    defaults: dict[str, Any] = {"metric": USERS, "above": 100_000_000, "actor": "licensee", "measured": "each month"}
    made: AppliedThreshold = applied(
        AppliedThreshold, Threshold(**{**defaults, "clause": Clause(section="2"), **facts})
    )
    return made


def ruling(terms: Terms, question: str = "use", **use: Any) -> Ruling:
    return next(item for item in permit(terms, Use(**use)) if item.question == question)


def test_every_question_is_answered_in_order_and_says_whether_it_was_asked() -> None:
    found = permit(some_terms(), Use(commercial=False, fine_tunes=True, hosts=False))

    assert [item.question for item in found] == [str(activity) for activity in Activity]
    assert [item.asked for item in found] == [True, False, True, True, False, True]
    assert {item.outcome for item in found} == {"pass"}


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(Answer.YES, "pass"), (Answer.CONDITIONAL, "pass"), (Answer.UNKNOWN, "unknown"), (Answer.NO, "fail")],
)
def test_an_answer_becomes_an_outcome_with_its_clause(answer: Answer, outcome: str) -> None:
    found = ruling(some_terms({Activity.MODIFY: answer}), "modify")

    assert found.outcome == outcome
    assert found.grounds == (GROUND,)
    assert "(section 2): because." in found.reasons[0]


def test_more_users_than_allowed_fail_with_words_that_help() -> None:
    found = ruling(some_terms(thresholds=(a_threshold(),)), amounts={USERS: 120_000_000})

    assert found.outcome == "fail"
    assert found.reasons == (
        "Your 120,000,000 monthly users are more than the 100,000,000 that qwen allows without a licence of its own "
        "(section 2): ask Alibaba Cloud.",
    )


@pytest.mark.parametrize(
    ("amounts", "outcome"),
    [({USERS: 100_000_000}, "pass"), ({USERS: 100_000_001}, "fail"), ({}, "unknown"), ({REVENUE: 5}, "unknown")],
)
def test_the_limit_itself_is_within_and_silence_is_unknown(amounts: dict[Metric, int], outcome: str) -> None:
    assert ruling(some_terms(thresholds=(a_threshold(),)), amounts=amounts).outcome == outcome


@pytest.mark.parametrize(
    ("use", "outcome"),
    [
        ({}, "unknown"),
        ({"amounts": {USERS: 5}}, "pass"),
        ({"amounts": {USERS: 200_000_000}}, "unknown"),
        ({"amounts": {USERS: 200_000_000}, "amounts_in": {USERS: {date(2024, 8, 1): 5}}}, "pass"),
        ({"amounts": {USERS: 200_000_000}, "amounts_in": {USERS: {date(2024, 8, 31): 5}}}, "pass"),
        ({"amounts": {USERS: 200_000_000}, "amounts_in": {USERS: {date(2024, 7, 1): 5}}}, "unknown"),
        ({"amounts": {USERS: 5}, "amounts_in": {USERS: {date(2024, 8, 1): 200_000_000}}}, "fail"),
    ],
)
def test_where_one_month_counts_later_growth_does_not(use: dict[str, Any], outcome: str) -> None:
    found = ruling(some_terms(thresholds=(a_threshold(measured_on=date(2024, 8, 1)),)), **use)

    assert found.outcome == outcome
    assert outcome == "pass" or "August 2024" in found.reasons[0]


def test_a_threshold_of_business_binds_business_only() -> None:
    terms = some_terms(thresholds=(a_threshold(commercial_only=True),))
    amounts = {USERS: 200_000_000}

    assert ruling(terms, commercial=True, amounts=amounts).outcome == "fail"
    assert ruling(terms, commercial=False, amounts=amounts).outcome == "pass"
    assert ruling(terms, commercial=None, amounts=amounts).outcome == "unknown"
    assert ruling(terms, "commercial", commercial=False, amounts=amounts).outcome == "fail"


def test_who_only_gets_it_in_a_product_may_be_exempt_from_a_threshold() -> None:
    terms = some_terms(thresholds=(a_threshold(exempt="whoever gets it in a product"),))

    assert ruling(terms, amounts={USERS: 200_000_000}, end_user_only=True, **NO_LICENSEE).outcome == "pass"
    assert ruling(terms, amounts={USERS: 200_000_000}).outcome == "fail"


@pytest.mark.parametrize("right", ["fine_tunes", "hosts", "redistributes"])
@pytest.mark.parametrize(("planned", "outcome"), [(True, "fail"), (None, "unknown")])
def test_who_also_builds_hosts_or_hands_out_is_no_mere_end_user(right: str, planned: Any, outcome: str) -> None:
    limit = TerritoryLimit(applies_to="seat", regions=("EU",), exempt="end users of a product")
    seated = some_terms(territories=(applied(AppliedTerritory, limit),))
    sized = some_terms(thresholds=(a_threshold(exempt="whoever gets it in a product"),))
    use = {"end_user_only": True, **NO_LICENSEE, right: planned}

    for found in (ruling(seated, seat="FR", **use), ruling(sized, amounts={USERS: 200_000_000}, **use)):
        assert found.outcome == outcome
        assert ("state whether you fine-tune" in found.reasons[0]) == (planned is None)


def test_a_threshold_of_some_activities_leaves_the_others() -> None:
    terms = some_terms(thresholds=(a_threshold(activities=(Activity.HOST,)),))

    assert ruling(terms, "host", amounts={USERS: 200_000_000}).outcome == "fail"
    assert ruling(terms, "use", amounts={USERS: 200_000_000}).outcome == "pass"


def test_a_threshold_that_adds_a_duty_takes_no_right_away() -> None:
    badge = Duty(id="big", kind=DutyKind.BADGE, text="Kimi K2", on=(Activity.HOST,), above_threshold=True)
    item = a_threshold(effect=Effect.DUTY, duty="big")
    terms = some_terms(thresholds=(item,), duties=(Obligation(duty=badge, licence="qwen", works=("q/base",)),))
    above, within = Use(amounts={USERS: 200_000_000}), Use(amounts={USERS: 5})

    assert {found.outcome for found in permit(terms, above)} == {"pass"}
    assert badges_for(terms, above) == badges_for(terms, Use()) == ("Kimi K2",)
    assert badges_for(terms, within) == ()
    assert any("asks for: Kimi K2" in reason for reason in permit(terms, above)[0].reasons)


@pytest.mark.parametrize(
    ("seat", "outcome"),
    [
        *(("DE", "fail"), ("el", "fail"), ("GB", "pass"), ("NO", "pass"), (None, "unknown")),
        *((code, "fail") for code in ("GP", "GF", "MQ", "RE", "re", "YT", "MF", "AX")),
        *((code, "pass") for code in ("PF", "NC", "BL", "GL", "SX")),
    ],
)
def test_a_limit_to_the_seat_looks_at_the_seat_only(seat: str | None, outcome: str) -> None:
    terms = some_terms(territories=(applied(AppliedTerritory, TerritoryLimit(applies_to="seat", regions=("EU",))),))

    assert ruling(terms, seat=seat, territories=("DE",)).outcome == outcome


def test_end_users_may_be_exempt_from_a_limit_to_the_seat() -> None:
    limit = TerritoryLimit(applies_to="seat", regions=("EU",), exempt="end users of a product")
    terms = some_terms(territories=(applied(AppliedTerritory, limit),))

    assert ruling(terms, seat="FR", end_user_only=True, **NO_LICENSEE).outcome == "pass"
    assert ruling(terms, seat="FR").outcome == "fail"


@pytest.mark.parametrize(
    ("territories", "outcome"),
    [(("US", "KR"), "fail"), (("UK",), "fail"), (("US",), "pass"), ((), "unknown"), (None, "unknown")],
)
def test_a_limit_of_distribution_looks_at_the_territories(territories: Any, outcome: str) -> None:
    limit = TerritoryLimit(applies_to="distribution", regions=("EU", "GB", "KR"))
    terms = some_terms(territories=(applied(AppliedTerritory, limit),))

    assert ruling(terms, seat="US", territories=territories).outcome == outcome


@pytest.mark.parametrize(("seat", "words"), [("DE", "Your seat DE lies in EU"), (None, "State your seat")])
def test_who_sits_where_no_rights_are_granted_may_work_on_it_there(seat: str | None, words: str) -> None:
    limit = TerritoryLimit(applies_to="distribution", regions=("EU", "GB", "KR"))
    found = ruling(some_terms(territories=(applied(AppliedTerritory, limit),)), seat=seat, territories=("US",))

    assert found.outcome == "unknown"
    assert words in found.reasons[0]
    outside = ruling(some_terms(territories=(applied(AppliedTerritory, limit),)), seat="DE", territories=("FR",))
    assert outside.outcome == "fail"


def test_a_limit_that_may_not_be_meant_is_unknown() -> None:
    limit = TerritoryLimit(applies_to="seat", regions=("EU",))
    terms = some_terms(territories=(applied(AppliedTerritory, limit, sure=False),))

    assert ruling(terms, seat="DE").outcome == "unknown"


@pytest.mark.parametrize(
    ("fields", "outcome"), [(("military",), "fail"), (("malware",), "pass"), ((), "pass"), (None, "unknown")]
)
def test_forbidden_fields(fields: Any, outcome: str) -> None:
    limit = FieldLimit(id="military", text="no warfare", flow_down=True, clause=Clause(section="use policy 2"))
    found = ruling(some_terms(fields=(applied(AppliedField, limit),)), fields=fields)

    assert found.outcome == outcome
    assert outcome != "fail" or "which qwen forbids (use policy 2)." in found.reasons[0]


@pytest.mark.parametrize(("fields", "outcome"), [(("malware",), "unknown"), ((), "pass"), (None, "unknown")])
def test_a_policy_that_nobody_has_leaves_every_field_unknown(fields: Any, outcome: str) -> None:
    policy = AbsentPolicy(licence="qwen", url="https://example.org/aup", works=("q/base",))

    assert ruling(some_terms(absent_policies=(policy,)), fields=fields).outcome == outcome


@pytest.mark.parametrize(("commercial", "outcome"), [(True, "fail"), (None, "unknown"), (False, "pass")])
def test_what_is_for_non_commercial_purposes_is_not_for_a_business(commercial: bool | None, outcome: str) -> None:
    terms = some_terms({Activity.COMMERCIAL: Answer.NO})

    assert {ruling(terms, q, commercial=commercial).outcome for q in ("use", "redistribute", "host")} == {outcome}
    assert ruling(terms, "commercial", commercial=commercial).outcome == ("unknown" if commercial is None else "fail")


def test_hosting_that_counts_as_distribution_needs_both_and_brings_both_duties() -> None:
    ship = Duty(id="ship", kind=DutyKind.SHIP_LICENCE, text="ship it", on=(Activity.REDISTRIBUTE,))
    facts: dict[str, Any] = {"duties": (Obligation(duty=ship, licence="qwen", works=("q/base",)),)}
    hosting = Use(hosts=True, redistributes=False)
    counts = some_terms({Activity.REDISTRIBUTE: Answer.NO}, hosting_is_distribution=Answer.YES, **facts)
    does_not = some_terms({Activity.REDISTRIBUTE: Answer.NO}, hosting_is_distribution=Answer.NO, **facts)

    assert ruling(counts, "host").outcome == "fail"
    assert ruling(does_not, "host").outcome == "pass"
    assert [item.duty.id for item in duties_for(counts, hosting)] == ["ship"]
    assert duties_for(does_not, hosting) == ()


def test_colliding_papers_never_let_it_be_handed_out() -> None:
    clash = Conflict(rule="share-alike", message="they collide", first=GROUND, second=GROUND)
    terms = some_terms(conflicts=(clash,))

    assert ruling(terms, "redistribute").outcome == "unknown"
    assert ruling(terms, "use").outcome == "pass"


def test_what_decides_comes_first_and_what_is_fine_is_left_out_of_a_refusal() -> None:
    limit = FieldLimit(id="military", text="no warfare", flow_down=True)
    terms = some_terms(fields=(applied(AppliedField, limit),), thresholds=(a_threshold(),))
    found = ruling(terms, fields=("military",))

    assert found.outcome == "fail"
    assert [reason.split()[0] for reason in found.reasons] == ["Your", "State"]
