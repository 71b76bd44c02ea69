"""Chains of real licences, with answers that were written from the licence texts: `tests/cases/chains/*.toml`.

A case lists only what its text decides, and only that is compared. In `[case.expect]`:

* `conflicts`, `warnings`, `unknowns`: exactly these rules; with `_include` at least these, with `_exclude` none of
  these, with `_any` at least one of these.
* `rulings`: outcome by question; where the text leaves it open, a list of the outcomes that are right.
* `expression`: its AND terms, in any order. `permissions`, `hosting_is_distribution`, `name_prefix`: as they are.
* `badges`: exactly these; `badges_include` at least these. `duties`: ids, `duty_kinds`: kinds, `duty_texts`: parts of
  texts, each of which must be found.
* `reasons`: words that a ruling's reasons must contain. `mentions`: words that a conflict, warning or unknown contains.
* `error`: the chain is refused, with these words.

A work is pinned unless it says `digest = ""`, and its licence text came along unless it says `text = false`.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from weighbridge.terms.chain import Chain, ChainError, Edge, Relation, Work
from weighbridge.terms.fact import Activity, Metric
from weighbridge.terms.permit import permit
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve
from weighbridge.terms.terms import Terms
from weighbridge.terms.use import Use

FOLDER = Path(__file__).parents[2] / "cases" / "chains"
RULES = {
    "conflicts": {"more-permissive", "name-prefix", "further-restrictions", "outputs-forbidden", "share-alike"},
    "warnings": {
        "non-commercial-data",
        "share-alike-data",
        "separate-works",
        "adapter-differs",
        "network-service",
        "prohibited-field-flow-down",
    },
    "unknowns": {"unknown-licence", "missing-text", "not-pinned", "unclear-fact", "text-differs"},
}
SUFFIXES = ("", "_include", "_exclude", "_any")
EXPECTABLE = {
    *(f"{group}{suffix}" for group in RULES for suffix in SUFFIXES),
    *("rulings", "expression", "permissions", "hosting_is_distribution", "name_prefix", "badges", "badges_include"),
    *("duties", "duty_kinds", "duty_texts", "reasons", "mentions", "error"),
}
OUTCOMES = {"pass", "fail", "unknown"}
NAMES = re.compile(r"[A-Za-z0-9.+-]+")


def _cases() -> list[dict[str, Any]]:
    return [case for path in sorted(FOLDER.glob("*.toml")) for case in tomllib.loads(path.read_text("utf-8"))["case"]]


CASES = _cases()


def _text(stated: str) -> str | None:
    """Return the text that would come along with a work under `stated`: of several the first that is archived."""
    known = registry()
    whole = known.get(stated)
    found = [whole] if whole else [known.get(name) for name in NAMES.findall(stated)]
    texts = (text for licence in found if licence and (text := known.text(licence)))
    return next(texts, "").replace("{copyright}", "2024 The Publisher") or None


def _work(data: Mapping[str, Any]) -> Work:
    return Work(
        ref=data["ref"],
        license=data["license"],
        digest=data.get("digest", hashlib.sha256(data["ref"].encode()).hexdigest()),
        modalities=tuple(data.get("modalities", ("text",))),
        license_text=_text(data["license"]) if data.get("text", True) else None,
    )


def _chain(case: Mapping[str, Any]) -> Chain:
    works = tuple(_work(data) for data in case["works"])
    edges = (Edge(child=e["child"], parent=e["parent"], relation=Relation(e["relation"])) for e in case["edges"])
    return Chain(root=works[0].ref, works=works, edges=tuple(edges))


def _use(data: Mapping[str, Any]) -> Use:
    given = dict(data)
    amounts = {metric: given.pop(metric.value) for metric in Metric if metric.value in given}
    months = {metric: given.pop(f"{metric}_in") for metric in Metric if f"{metric}_in" in given}
    in_month = {
        metric: {date.fromisoformat(f"{month}-01"): amount for month, amount in values.items()}
        for metric, values in months.items()
    }
    lists: dict[str, Any] = {key: tuple(given.pop(key)) for key in ("fields", "territories") if key in given}
    return Use(amounts=amounts, amounts_in=in_month, **lists, **given)


def _terms(case: Mapping[str, Any]) -> Terms:
    return resolve(_chain(case), declared=case["declared"], registry=registry(), model_name=case["model_name"])


def _and_terms(expression: str) -> set[str]:
    return set(expression.split(" AND "))


def _wrong_set(name: str, expect: Mapping[str, Any], found: Iterable[str]) -> Iterable[str]:
    """Yield what is wrong with a set of values, by the four ways that a case may list it in."""
    got = set(found)
    if name in expect and got != set(expect[name]):
        yield f"{name}: expected exactly {sorted(expect[name])}, got {sorted(got)}"
    if missing := set(expect.get(f"{name}_include", ())) - got:
        yield f"{name}: {sorted(missing)} missing, got {sorted(got)}"
    if extra := set(expect.get(f"{name}_exclude", ())) & got:
        yield f"{name}: {sorted(extra)} must not be there"
    if f"{name}_any" in expect and not set(expect[f"{name}_any"]) & got:
        yield f"{name}: expected one of {expect[f'{name}_any']}, got {sorted(got)}"


def _wrong_terms(terms: Terms, expect: Mapping[str, Any]) -> Iterable[str]:
    for group in RULES:
        yield from _wrong_set(group, expect, (item.rule for item in getattr(terms, group)))
    yield from _wrong_set("badges", expect, terms.badges)
    if "expression" in expect and _and_terms(terms.expression) != _and_terms(expect["expression"]):
        yield f"expression: expected {expect['expression']}, got {terms.expression}"
    for name in ("name_prefix", "hosting_is_distribution"):
        if name in expect and getattr(terms, name) != expect[name]:
            yield f"{name}: expected {expect[name]!r}, got {getattr(terms, name)!r}"
    for activity, answer in expect.get("permissions", {}).items():
        if (got := terms.permissions[Activity(activity)].answer) != answer:
            yield f"permission {activity}: expected {answer}, got {got}"
    yield from _wrong_duties(terms, expect)
    said = "\n".join(repr(item) for group in RULES for item in getattr(terms, group))
    yield from (
        f"no conflict, warning or unknown mentions {words!r}"
        for words in expect.get("mentions", ())
        if words not in said
    )


def _wrong_duties(terms: Terms, expect: Mapping[str, Any]) -> Iterable[str]:
    duties = [obligation.duty for obligation in terms.duties]
    shown = [f"{duty.id} ({duty.kind})" for duty in duties]
    for name, got in (("duties", {duty.id for duty in duties}), ("duty_kinds", {str(duty.kind) for duty in duties})):
        if missing := set(expect.get(name, ())) - got:
            yield f"{name}: {sorted(missing)} missing, got {shown}"
    for words in expect.get("duty_texts", ()):
        if not any(words in duty.text for duty in duties):
            yield f"no duty says {words!r}, got {shown}"


def _wrong_rulings(terms: Terms, case: Mapping[str, Any]) -> Iterable[str]:
    expect = case["expect"]
    rulings = {ruling.question: ruling for ruling in permit(terms, _use(case["use"]))}
    for question, right in expect.get("rulings", {}).items():
        ruling = rulings[question]
        if ruling.outcome not in ([right] if isinstance(right, str) else right):
            yield f"may we {question}: expected {right}, got {ruling.outcome} because {list(ruling.reasons)}"
    for question, words in expect.get("reasons", {}).items():
        if not any(words in reason for reason in rulings[question].reasons):
            yield f"may we {question}: no reason says {words!r}, got {list(rulings[question].reasons)}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_chain_has_the_terms_that_its_licence_texts_say(case: dict[str, Any]) -> None:
    expect = case["expect"]
    if "error" in expect:
        with pytest.raises(ChainError, match=re.escape(expect["error"])):
            _chain(case)
        return
    terms = _terms(case)
    wrong = [*_wrong_terms(terms, expect), *(_wrong_rulings(terms, case) if "use" in case else ())]
    assert not wrong, "\n".join([f"case {case['id']}", *wrong, f"why: {case['why']}"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_case_is_well_formed(case: dict[str, Any]) -> None:
    expect = case["expect"]
    assert set(case) <= {"id", "why", "declared", "model_name", "works", "edges", "use", "expect"}
    assert len(case["why"]) >= 20, "a case says which words of which text decide it"
    assert expect, "a case expects something"
    assert set(expect) <= EXPECTABLE
    for group, rules in RULES.items():
        for suffix in SUFFIXES:
            assert set(expect.get(f"{group}{suffix}", ())) <= rules
    assert "use" in case or not {"rulings", "reasons"} & set(expect)
    for right in expect.get("rulings", {}).values():
        assert {right} <= OUTCOMES if isinstance(right, str) else set(right) < OUTCOMES


def test_there_are_many_cases_and_each_has_its_own_id() -> None:
    ids = [case["id"] for case in CASES]
    assert len(ids) >= 75
    assert len(set(ids)) == len(ids)
