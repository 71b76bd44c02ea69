import json
from datetime import UTC, datetime
from typing import Any

import pytest

from weighbridge.dossier.evidence import Evidence
from weighbridge.evidence.record import Audit, Comparison, Finding, Interval, Measurement, Severity
from weighbridge.gate.decide import Answer, Outcome, Verdict, decide
from weighbridge.gate.policy import PROVEN_ABSENT, AuditRule, MeasureRule, NoFindingsRule, Policy, Rule
from weighbridge.gate.stage import Stage

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUBJECT, SOURCE, OTHER = "a" * 64, "b" * 64, "c" * 64
AT_MOST_TEN_PERCENT_WORSE = MeasureRule(measure="perplexity", versus="source", at_most_ratio=1.10)
SMALL = MeasureRule(measure="size_bytes", at_most=200_000_000)


def a_ratio(value: float, low: float, high: float, **changes: Any) -> Measurement:
    fields: dict[str, Any] = {
        "measure": "perplexity",
        "value": value,
        "unit": "1",
        "subject": SUBJECT,
        "probe": "likelihood",
        "probe_version": "1",
        "n": 4000,
        "interval": Interval(low=low, high=high, confidence=0.95, method="bootstrap"),
        "comparison": Comparison.RATIO,
        "baseline": SOURCE,
    }
    return Measurement(**(fields | changes))


def a_size(size_bytes: int) -> Measurement:
    return Measurement(
        measure="size_bytes", value=size_bytes, unit="bytes", subject=SUBJECT, probe="size", probe_version="1"
    )


def an_audit(*severities: Severity, probe: str = "held-back", subject: str = SUBJECT) -> Audit:
    findings = tuple(
        Finding(
            rule=f"{probe}/content",
            severity=severity,
            message="the withheld tensor is here.",
            subject=subject,
            place=f"model.gguf: tensor {number}",
            probe=probe,
            probe_version="1",
        )
        for number, severity in enumerate(severities)
    )
    return Audit(probe=probe, probe_version="1", subject=subject, findings=findings, coverage={"bytes": 10})


def evidence_of(*records: Measurement | Audit) -> Evidence:
    return Evidence(
        name="acme/osprey",
        subject=SUBJECT,
        source=SOURCE,
        measurements=tuple(r for r in records if isinstance(r, Measurement)),
        audits=tuple(r for r in records if isinstance(r, Audit)),
    )


def the_answer(rule: Rule, *records: Measurement | Audit) -> Answer:
    verdict = decide(evidence_of(*records), Policy(stage=Stage.GATED, rules=(rule,)), now=NOW)
    assert verdict.passed is (verdict.answers[0].outcome is Outcome.MET)
    return verdict.answers[0]


@pytest.mark.parametrize("stage", [Stage.TRUSTED, Stage.GATED, Stage.OPEN])
def test_a_policy_without_rules_refuses(stage: Stage) -> None:
    verdict = decide(evidence_of(an_audit(), a_size(1)), Policy(stage=stage, rules=()), now=NOW)

    assert not verdict.passed
    assert "no rules" in verdict.reason


def test_an_open_policy_always_asks_for_the_proof_of_absence() -> None:
    policy = Policy(stage=Stage.OPEN, rules=(SMALL,))

    without = decide(evidence_of(a_size(1)), policy, now=NOW)
    leaking = decide(evidence_of(a_size(1), an_audit(Severity.INFO)), policy, now=NOW)
    proven = decide(evidence_of(a_size(1), an_audit()), policy, now=NOW)

    assert policy.rules == (PROVEN_ABSENT, SMALL)
    assert [v.answers[0].outcome for v in (without, leaking, proven)] == ["not measured", "not met", "met"]
    assert [v.passed for v in (without, leaking, proven)] == [False, False, True]


def test_a_ratio_whose_interval_lies_within_the_limit_is_met() -> None:
    answer = the_answer(AT_MOST_TEN_PERCENT_WORSE, a_ratio(1.04, 1.02, 1.06))

    assert answer.outcome is Outcome.MET
    assert answer.rule == "perplexity at most 1.10 times the source's, at 95 % confidence"
    assert (answer.value, answer.limit, answer.unit) == (1.04, 1.10, "1")
    assert answer.reason == (
        "Perplexity is 1.04 times the source's (95 % interval 1.02 to 1.06), within the limit of 1.10."
    )
    assert answer.remedy == ""


def test_an_interval_that_ends_on_the_limit_is_within_it() -> None:
    assert the_answer(AT_MOST_TEN_PERCENT_WORSE, a_ratio(1.04, 1.02, 1.10)).outcome is Outcome.MET


def test_an_interval_across_the_limit_is_not_met_and_says_how_much_more_data() -> None:
    # Half-width 0.08 upwards has to become 0.04: four times the 4,000 positions.
    answer = the_answer(AT_MOST_TEN_PERCENT_WORSE, a_ratio(1.06, 1.0, 1.14))

    assert answer.outcome is Outcome.NOT_MET
    assert "crosses the limit of 1.10" in answer.reason
    assert "about 16,000 positions in all (now 4,000)" in answer.remedy


def test_a_value_on_the_limit_is_not_promised_to_pass_with_more_data() -> None:
    answer = the_answer(AT_MOST_TEN_PERCENT_WORSE, a_ratio(1.10, 1.0, 1.14))

    assert answer.outcome is Outcome.NOT_MET
    assert "no number of samples" in answer.remedy


def test_a_value_beyond_the_limit_names_the_ways_out() -> None:
    answer = the_answer(AT_MOST_TEN_PERCENT_WORSE, a_ratio(1.52, 1.48, 1.57))

    assert answer.outcome is Outcome.NOT_MET
    assert "above the limit of 1.10" in answer.reason
    for way in ("larger quantisation type", "raise the limit", "1.57", "leave this version out"):
        assert way in answer.remedy


def test_a_value_just_beyond_the_limit_is_told_apart_from_it() -> None:
    answer = the_answer(AT_MOST_TEN_PERCENT_WORSE, a_ratio(1.100004, 1.0, 1.2))

    assert "1.100004 times" in answer.reason


def test_a_lower_limit_looks_at_the_lower_end() -> None:
    rule = MeasureRule(measure="top1_agreement", at_least=0.9)
    interval = Interval(low=0.89, high=0.95, confidence=0.95, method="bootstrap")
    agreement = a_ratio(0.92, 0, 1, measure="top1_agreement", comparison=Comparison.ABSOLUTE, baseline=None)
    crossing = Measurement(**{f: getattr(agreement, f) for f in agreement.__slots__} | {"interval": interval})

    assert the_answer(rule, crossing).outcome is Outcome.NOT_MET
    assert "top-1 agreement at least 0.90" in the_answer(rule, crossing).rule


@pytest.mark.parametrize(
    ("limit", "outcome"), [(0.05, Outcome.MET), (0.03, Outcome.NOT_MET)], ids=["within", "crossing"]
)
@pytest.mark.parametrize("name", ["at_most", "at_most_difference"])
def test_an_absolute_limit_versus_the_source_limits_the_difference(name: str, limit: float, outcome: Outcome) -> None:
    rule = MeasureRule(measure="harmful_answer_rate", versus="source", **{name: limit})  # type: ignore[arg-type]
    rate = a_ratio(0.02, 0.0, 0.04, measure="harmful_answer_rate", comparison=Comparison.DIFFERENCE)

    assert the_answer(rule, rate).outcome is outcome
    assert f"at most {limit:.2f} above the source's" in rule.text


def test_an_exact_number_needs_no_interval() -> None:
    assert the_answer(SMALL, a_size(200_000_000)).outcome is Outcome.MET
    refused = the_answer(SMALL, a_size(200_000_001))
    assert refused.outcome is Outcome.NOT_MET
    assert refused.reason == "Size is 200,000,001 bytes, above the limit of 200,000,000."
    assert "smaller quantisation type" in refused.remedy


@pytest.mark.parametrize(
    ("rule", "measurement", "reason"),
    [
        (AT_MOST_TEN_PERCENT_WORSE, a_size(1), "was not measured against the source"),
        (AT_MOST_TEN_PERCENT_WORSE, a_ratio(1, 1, 1, subject=OTHER), "other bytes"),
        (AT_MOST_TEN_PERCENT_WORSE, a_ratio(1, 1, 1, baseline=OTHER), "another model than the source"),
        (AT_MOST_TEN_PERCENT_WORSE, a_ratio(1, 1, 1, interval=None), "has no interval"),
        (AT_MOST_TEN_PERCENT_WORSE, a_ratio(1, 1, 1, n=0), "rests on 0 positions"),
        (
            MeasureRule(measure="perplexity", versus="source", at_most_ratio=1.1, confidence=0.99),
            a_ratio(1, 1, 1),
            "made at 95 %; the rule asks for 99 %",
        ),
        (
            MeasureRule(measure="perplexity", versus="source", at_most_ratio=1.1, minimum_n=5000),
            a_ratio(1, 1, 1),
            "rests on 4,000 positions; the rule asks for at least 5,000",
        ),
        (
            MeasureRule(measure="perplexity", versus="source", at_most_ratio=1.1, probe_versions=("2", "3")),
            a_ratio(1, 1, 1),
            "likelihood in version 1; the rule knows 2, 3",
        ),
        (
            MeasureRule(measure="perplexity", at_most=20),
            a_ratio(1, 1, 1),
            "was not measured",
        ),
    ],
)
def test_what_does_not_answer_the_rule_counts_as_not_measured(
    rule: MeasureRule, measurement: Measurement, reason: str
) -> None:
    answer = the_answer(rule, measurement)

    assert answer.outcome is Outcome.NOT_MEASURED
    assert reason in answer.reason
    assert answer.remedy
    assert answer.value is None


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_blocks_even_if_a_record_smuggles_it_in(broken: float) -> None:
    smuggled = a_size(1)
    object.__setattr__(smuggled, "value", broken)

    assert the_answer(SMALL, smuggled).outcome is Outcome.NOT_MEASURED


def test_no_findings_needs_the_audit_to_have_run() -> None:
    rule = NoFindingsRule(severity=Severity.HIGH)

    assert the_answer(rule).outcome is Outcome.NOT_MEASURED
    assert the_answer(rule, an_audit(subject=OTHER)).outcome is Outcome.NOT_MEASURED
    assert the_answer(rule, an_audit(probe="secrets")).outcome is Outcome.NOT_MEASURED
    assert the_answer(rule, an_audit()).outcome is Outcome.MET


def test_no_findings_counts_every_audit_and_lists_what_was_found_with_its_place() -> None:
    rule = NoFindingsRule(severity=Severity.HIGH)

    tolerated = the_answer(rule, an_audit(Severity.MEDIUM), an_audit(Severity.LOW, probe="secrets"))
    refused = the_answer(rule, an_audit(), an_audit(Severity.LOW, Severity.CRITICAL, probe="secrets"))

    assert tolerated.outcome is Outcome.MET
    assert refused.outcome is Outcome.NOT_MET
    assert [finding.severity for finding in refused.findings] == [Severity.CRITICAL]
    assert "model.gguf: tensor 1: the withheld tensor is here (critical)" in refused.reason


def test_many_findings_are_counted_in_the_reason_and_all_listed() -> None:
    refused = the_answer(NoFindingsRule(severity=Severity.LOW), an_audit(*[Severity.HIGH] * 10))

    assert len(refused.findings) == 10
    assert "and 7 more" in refused.reason


def test_an_audit_that_does_not_say_what_it_looked_at_proves_nothing() -> None:
    blind = Audit(probe="held-back", probe_version="1", subject=SUBJECT, findings=(), coverage={})

    assert the_answer(PROVEN_ABSENT, blind).outcome is Outcome.NOT_MEASURED
    assert the_answer(NoFindingsRule(severity=Severity.HIGH), blind).outcome is Outcome.NOT_MEASURED


def test_an_audit_rule_may_restrict_the_version_of_the_audit() -> None:
    assert the_answer(AuditRule(probe="held-back", probe_versions=("2",)), an_audit()).outcome is Outcome.NOT_MEASURED
    assert the_answer(AuditRule(probe="held-back", probe_versions=("1",)), an_audit()).outcome is Outcome.MET


def test_an_audit_rule_without_a_severity_lets_findings_pass() -> None:
    assert the_answer(AuditRule(probe="held-back"), an_audit(Severity.CRITICAL)).outcome is Outcome.MET


def test_a_refusal_says_every_reason_in_one_sentence_each() -> None:
    policy = Policy(stage=Stage.OPEN, rules=(SMALL, AT_MOST_TEN_PERCENT_WORSE))
    verdict = decide(evidence_of(an_audit(), a_size(300_000_000)), policy, now=NOW)

    assert [answer.outcome for answer in verdict.answers] == ["met", "not met", "not measured"]
    assert len(verdict.refusals) == 2
    assert verdict.reason.startswith("acme/osprey may not become open: Size is 300,000,000 bytes")


def test_a_clock_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        decide(evidence_of(), Policy(stage=Stage.OPEN, rules=()), now=datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_verdict_reads_back_from_json() -> None:
    policy = Policy(stage=Stage.OPEN, rules=(SMALL, AT_MOST_TEN_PERCENT_WORSE, NoFindingsRule(severity=Severity.LOW)))
    verdict = decide(evidence_of(an_audit(Severity.HIGH), a_size(1), a_ratio(1.2, 1.1, 1.3)), policy, now=NOW)

    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_a_verdict_that_claims_to_have_passed_against_its_answers_is_refused() -> None:
    refused = decide(evidence_of(), Policy(stage=Stage.OPEN, rules=(SMALL,)), now=NOW).to_json()

    with pytest.raises(ValueError, match="contradicts"):
        Verdict.from_json(refused | {"passed": True})


@pytest.mark.parametrize("data", [{}, [], {"stage": "open"}, {"answers": 3}])
def test_what_is_no_verdict_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="not a verdict"):
        Verdict.from_json(data)


def test_evidence_reads_back_from_json() -> None:
    evidence = evidence_of(an_audit(Severity.HIGH), a_size(1), a_ratio(1.2, 1.1, 1.3))

    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


@pytest.mark.parametrize("data", [{}, [], None, {"name": "x", "subject": "", "source": "", "measurements": 1}])
def test_what_is_no_evidence_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="not evidence"):
        Evidence.from_json(data)


def test_two_answers_to_one_question_are_no_evidence() -> None:
    with pytest.raises(ValueError, match="at most one may count"):
        evidence_of(a_ratio(1.0, 1.0, 1.0), a_ratio(2.0, 2.0, 2.0))
    with pytest.raises(ValueError, match="at most one may count"):
        evidence_of(an_audit(), an_audit(Severity.HIGH))


@pytest.mark.parametrize(
    ("baseline", "outcome"), [(SOURCE, Outcome.MET), (None, Outcome.MET), (OTHER, Outcome.NOT_MEASURED)]
)
def test_a_divergence_from_another_model_than_the_source_does_not_count(baseline: str | None, outcome: Outcome) -> None:
    rule = MeasureRule(measure="kl_divergence", at_most=0.1)
    divergence = a_ratio(0.02, 0.01, 0.03, measure="kl_divergence", comparison=Comparison.ABSOLUTE, baseline=baseline)

    assert the_answer(rule, divergence).outcome is outcome
