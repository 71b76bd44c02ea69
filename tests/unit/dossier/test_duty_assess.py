"""The open-source exemption and provider-by-modification: a pass only where everything is known."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from builders import a_record, a_verdict

from weighbridge.dossier.disclosure import Disclosure
from weighbridge.dossier.duty import exemption_eu, exemption_eu_of, provider_by_modification
from weighbridge.dossier.duty.eu_form import FORM
from weighbridge.terms.chain import Chain, Work
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve
from weighbridge.terms.terms import Terms

FREE = {"training.compute_flop": "2e22", "model.monetised": "no"}


def terms_of(licence: str) -> Terms:
    known = registry().get(licence)
    text = ((known and registry().text(known)) or "text").replace("{copyright}", "2026 Acme")
    chain = Chain(root="acme/m", works=(Work(ref="acme/m", license=licence, license_text=text),), edges=())
    return resolve(chain, declared=licence, registry=registry(), model_name="m")


def assessed(terms: Terms | None, statements: Mapping[str, str] = FREE, **public: Any) -> tuple[str, dict[str, str]]:
    facts = {"weights_public": True, "architecture_public": True, "usage_public": True, **public}
    found = exemption_eu(terms, statements, **facts)
    return found.outcome, {condition.name: condition.outcome for condition in found.conditions}


@pytest.mark.parametrize("licence", ["Apache-2.0", "MIT"])
def test_a_free_licence_with_everything_stated_is_exempt(licence: str) -> None:
    assert assessed(terms_of(licence))[0] == "pass"


@pytest.mark.parametrize("licence", ["llama3.2", "CC-BY-NC-4.0", "gemma"])
def test_limits_of_users_fields_or_commerce_end_the_exemption(licence: str) -> None:
    outcome, conditions = assessed(terms_of(licence))
    assert outcome == "fail"
    assert conditions["licence"] == "fail"


def test_unknown_terms_never_pass() -> None:
    assert assessed(None)[0] == "unknown"
    assert assessed(terms_of("LicenseRef-nobody-knows"))[1]["licence"] != "pass"


@pytest.mark.parametrize("condition", ["weights", "architecture", "usage"])
def test_what_is_not_public_ends_it_and_what_is_not_known_leaves_it_open(condition: str) -> None:
    terms = terms_of("Apache-2.0")
    for known, expected in ((False, "fail"), (None, "unknown")):
        public: dict[str, Any] = {f"{condition}_public": known}
        assert assessed(terms, **public)[0] == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ({**FREE, "training.compute_flop": "2e25"}, "fail"),
        ({**FREE, "training.compute_flop": "10^25"}, "pass"),
        ({"model.monetised": "no"}, "unknown"),
        ({**FREE, "model.monetised": "Yes, by the month."}, "fail"),
        ({**FREE, "model.monetised": "perhaps"}, "unknown"),
    ],
)
def test_systemic_risk_and_payment_decide(statements: Mapping[str, str], expected: str) -> None:
    assert assessed(terms_of("Apache-2.0"), statements)[0] == expected


def test_a_record_tells_what_it_can() -> None:
    record = a_record(terms=terms_of("Apache-2.0").to_json(), disclosure=Disclosure(statements=FREE))
    assert exemption_eu_of(record).outcome == "pass"
    gated = replace(record, verdict={**a_verdict(record.measurements), "stage": "gated"})
    assert exemption_eu_of(gated).outcome == "unknown"
    assert exemption_eu_of(a_record()).outcome == "unknown"


def test_more_than_a_third_of_the_computation_makes_a_provider() -> None:
    assert provider_by_modification(0.34).outcome == "fail"
    assert provider_by_modification(1 / 3).outcome == "pass"
    assert provider_by_modification(0.0).outcome == "pass"


def test_a_share_that_is_not_stated_is_unknown_unless_nothing_is_modified() -> None:
    found = provider_by_modification(None)
    assert found.outcome == "unknown"
    assert found.reasons
    assert provider_by_modification(None, modifies=False).outcome == "pass"


@pytest.mark.parametrize("share", [-0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        provider_by_modification(share)


def test_the_form_states_the_kind_of_licence_only_where_the_terms_tell() -> None:
    def kind(**changes: Any) -> str | None:
        answers = FORM.answers(a_record(**changes))
        return next(answer.value for answer in answers if answer.field.id == "licence.category")

    assert (kind(terms=terms_of("MIT").to_json()) or "").startswith("Free and open source")
    assert "not free and open source" in (kind(terms=terms_of("llama3.2").to_json()) or "")
    assert kind() is None
    assert kind(terms=terms_of("LicenseRef-nobody-knows").to_json()) is None


def test_fields_that_licences_forbid_are_listed_with_their_clause() -> None:
    answers = FORM.answers(a_record(terms=terms_of("llama3.2").to_json()))
    [limits] = [answer for answer in answers if answer.field.id == "use.restricted"]
    assert limits.source == "terms"
    assert "llama3.2" in (limits.value or "")
