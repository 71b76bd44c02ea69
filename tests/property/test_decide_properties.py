from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.dossier.evidence import Evidence
from weighbridge.evidence.record import Audit, Comparison, Finding, Interval, Measurement, Severity
from weighbridge.gate.decide import Outcome, Verdict, decide
from weighbridge.gate.policy import AuditRule, MeasureRule, NoFindingsRule, Policy, Rule
from weighbridge.gate.stage import GUARDED

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SUBJECT, SOURCE, OTHER = "a" * 64, "b" * 64, "c" * 64
MEASURES = ("perplexity", "kl_divergence", "size_bytes")
PROBES = ("held-back", "secrets", "non-finite")
# Few distinct numbers, so that values meet limits and their borders often.
NUMBERS = st.sampled_from([-1.0, 0.5, 1.0, 1.05, 1.1, 2.0])


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    comparison = draw(st.sampled_from(Comparison))
    value, below, above = draw(NUMBERS), draw(st.sampled_from([0.0, 0.1])), draw(st.sampled_from([0.0, 0.1]))
    interval = Interval(
        low=value - below, high=value + above, confidence=draw(st.sampled_from([0.9, 0.95])), method="b"
    )
    return Measurement(
        measure=draw(st.sampled_from(MEASURES)),
        value=value,
        unit="1",
        subject=draw(st.sampled_from([SUBJECT, SUBJECT, OTHER])),
        probe="p",
        probe_version=draw(st.sampled_from("12")),
        n=draw(st.sampled_from([None, 0, 100, 10_000])),
        interval=draw(st.sampled_from([None, interval, interval])),
        comparison=comparison,
        baseline=None if comparison is Comparison.ABSOLUTE else draw(st.sampled_from([SOURCE, SOURCE, OTHER])),
    )


@st.composite
def audits(draw: st.DrawFn) -> Audit:
    probe, subject = draw(st.sampled_from(PROBES)), draw(st.sampled_from([SUBJECT, SUBJECT, OTHER]))
    severities = draw(st.lists(st.sampled_from(Severity), max_size=2))
    findings = tuple(
        Finding(rule="r", severity=s, message="m", subject=subject, place="f", probe=probe, probe_version="1")
        for s in severities
    )
    coverage = draw(st.sampled_from([{}, {"bytes": 1}, {"bytes": 1}]))
    return Audit(probe=probe, probe_version="1", subject=subject, findings=findings, coverage=coverage)


def evidence() -> st.SearchStrategy[Evidence]:
    return st.builds(
        Evidence,
        name=st.just("acme/osprey"),
        subject=st.just(SUBJECT),
        source=st.just(SOURCE),
        measurements=st.lists(
            measurements(), max_size=4, unique_by=lambda m: (m.measure, m.subject, m.comparison, m.baseline)
        ).map(tuple),
        audits=st.lists(audits(), max_size=3, unique_by=lambda a: (a.probe, a.subject)).map(tuple),
    )


@st.composite
def measure_rules(draw: st.DrawFn) -> MeasureRule:
    versus = draw(st.sampled_from([None, "source"]))
    plain, compared = ["at_most", "at_least"], ["at_most_ratio", "at_least_ratio", "at_least_difference"]
    name = draw(st.sampled_from(plain if versus is None else plain + compared))
    limit = draw(st.sampled_from([0.5, 1.0, 1.1]))
    return MeasureRule(
        measure=draw(st.sampled_from(MEASURES)),
        versus=versus,
        confidence=draw(st.sampled_from([0.9, 0.95])),
        minimum_n=draw(st.sampled_from([None, 1000])),
        probe_versions=draw(st.sampled_from([(), ("1",)])),
        **{name: limit},
    )


def rules() -> st.SearchStrategy[Rule]:
    return st.one_of(
        measure_rules(),
        st.builds(
            NoFindingsRule,
            severity=st.sampled_from(Severity),
            audits=st.lists(st.sampled_from(PROBES), min_size=1, max_size=2, unique=True).map(tuple),
        ),
        st.builds(
            AuditRule, probe=st.sampled_from(PROBES), no_findings=st.one_of(st.none(), st.sampled_from(Severity))
        ),
    )


def policies(least: int = 0) -> st.SearchStrategy[Policy]:
    return st.builds(
        Policy, stage=st.sampled_from(GUARDED), rules=st.lists(rules(), min_size=least, max_size=3).map(tuple)
    )


@given(evidence(), st.sampled_from(GUARDED))
def test_an_empty_policy_refuses_whatever_the_evidence(found: Evidence, stage: str) -> None:
    assert not decide(found, Policy(stage=stage, rules=()), now=NOW).passed  # type: ignore[arg-type]


@given(evidence(), policies())
def test_every_rule_is_answered_once_and_in_order(found: Evidence, policy: Policy) -> None:
    verdict = decide(found, policy, now=NOW)

    assert [answer.rule for answer in verdict.answers] == [rule.text for rule in policy.rules]
    assert verdict.passed is (
        len(verdict.answers) > 0 and all(answer.outcome is Outcome.MET for answer in verdict.answers)
    )
    assert all(bool(answer.remedy) is (answer.outcome is not Outcome.MET) for answer in verdict.answers)
    assert all(answer.reason.endswith(".") for answer in verdict.answers)


@given(evidence(), policies(least=1), rules())
def test_adding_a_rule_never_turns_a_refusal_into_a_pass(found: Evidence, policy: Policy, rule: Rule) -> None:
    stricter = replace(policy, rules=(*policy.rules, rule))

    assert decide(found, policy, now=NOW).passed or not decide(found, stricter, now=NOW).passed


@given(evidence(), policies(), st.data())
def test_removing_evidence_never_turns_a_refusal_into_a_pass(
    found: Evidence, policy: Policy, data: st.DataObject
) -> None:
    """An audit that has findings and that no rule names is the exception: only a rule that names it misses it."""
    named = {probe for rule in policy.rules for probe in getattr(rule, "audits", (getattr(rule, "probe", ""),))}
    less = replace(
        found,
        measurements=tuple(m for m in found.measurements if data.draw(st.booleans())),
        audits=tuple(a for a in found.audits if (a.findings and a.probe not in named) or data.draw(st.booleans())),
    )

    assert decide(found, policy, now=NOW).passed or not decide(less, policy, now=NOW).passed


@given(evidence(), policies())
def test_the_same_records_and_rules_give_the_same_verdict(found: Evidence, policy: Policy) -> None:
    verdict = decide(found, policy, now=NOW)
    shuffled = replace(found, measurements=found.measurements[::-1], audits=found.audits[::-1])

    assert decide(shuffled, policy, now=NOW) == verdict
    assert Verdict.from_json(verdict.to_json()) == verdict
    assert Policy.from_json(policy.to_json()) == policy
