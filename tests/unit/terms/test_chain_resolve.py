"""The chain rules on small licences made for the purpose; real licences are in the cases."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from weighbridge.errors import InputError
from weighbridge.terms.chain import Chain, Edge, Relation, Work
from weighbridge.terms.fact import (
    Activity,
    Answer,
    Category,
    Clause,
    Duty,
    DutyKind,
    Effect,
    FieldLimit,
    Licence,
    Metric,
    Permission,
    Statement,
    TerritoryLimit,
    Threshold,
)
from weighbridge.terms.registry import build_registry
from weighbridge.terms.resolve import resolve
from weighbridge.terms.terms import Terms

DIGEST = "0" * 64
YES = Statement(answer=Answer.YES, text="it is")


def permissions(**answers: str) -> Mapping[Activity, Permission]:
    given = {Activity(name.replace("_", "-")): Answer(answer) for name, answer in answers.items()}
    return {
        activity: Permission(
            answer=given.get(activity, Answer.YES),
            stated=given.get(activity, Answer.YES),
            reason=f"the reason for {activity}",
            clause=Clause(section="1", quote=f"words on {activity}"),
        )
        for activity in Activity
    }


def a_licence(name: str, answers: Mapping[str, str] | None = None, **facts: Any) -> Licence:
    defaults: dict[str, Any] = {"card_id": "other", "category": Category.PERMISSIVE, "steward": f"{name} Inc"}
    made = permissions(**(answers or {}))
    return Licence(**{**defaults, "id": name, "name": name, "expression": name, "permissions": made, **facts})


def a_duty(name: str, kind: DutyKind, text: str, *on: Activity, above: bool = False) -> Duty:
    clause = Clause(section="9", quote=text)
    return Duty(id=name, kind=kind, text=text, on=on or (Activity.MODIFY,), above_threshold=above, clause=clause)


LIMIT = FieldLimit(id="military", text="no warfare", flow_down=True, clause=Clause(section="5", quote="no warfare"))
KEPT: dict[str, Any] = {"derivative_keeps": ("licence",)}
REGISTRY = build_registry(
    [
        a_licence("Free"),
        a_licence("Free-2"),
        a_licence("Kept", **KEPT),
        a_licence("NonCommercial", {"commercial": "no"}),
        a_licence("Unsure", {"commercial": "unknown"}),
        a_licence("Limited", fields=(LIMIT,), **KEPT),
        a_licence("Copyleft", no_further_restrictions=True, category=Category.COPYLEFT, **KEPT),
        a_licence("ShareAlike", category=Category.SHARE_ALIKE, **KEPT),
        a_licence("NoOutputs", {"train_on_outputs": "no"}),
        a_licence(
            "OwnOutputs",
            fields=(LIMIT,),
            permissions={
                **permissions(),
                Activity.TRAIN_ON_OUTPUTS: Permission(
                    answer=Answer.NO,
                    stated=Answer.NO,
                    clause=Clause(section="2", quote="no other model (excluding OwnOutputs models)"),
                ),
            },
        ),
        a_licence("Follows", distilled_is_derivative=YES, fields=(LIMIT,), **KEPT),
        a_licence(
            "Named",
            duties=(
                a_duty("name", DutyKind.NAME_PREFIX, "Osprey 2", Activity.MODIFY, Activity.TRAIN_ON_OUTPUTS),
                a_duty("badge", DutyKind.BADGE, "Built with Osprey", Activity.TRAIN_ON_OUTPUTS),
                a_duty("ship", DutyKind.SHIP_LICENCE, "Ship it", Activity.REDISTRIBUTE),
                a_duty("big", DutyKind.BADGE, "Huge Osprey", Activity.HOST, above=True),
            ),
            thresholds=(
                Threshold(
                    metric=Metric.MONTHLY_USERS, above=9, actor="licensee", measured="", effect=Effect.DUTY, duty="big"
                ),
            ),
        ),
        a_licence("NamedToo", duties=(a_duty("name", DutyKind.NAME_PREFIX, "Osprey"),)),
        a_licence("NamedElse", duties=(a_duty("name", DutyKind.NAME_PREFIX, "Heron"),)),
        a_licence(
            "Small",
            thresholds=(
                Threshold(metric=Metric.MONTHLY_USERS, above=100, actor="licensee", measured="ever"),
                Threshold(metric=Metric.ANNUAL_REVENUE_USD, above=100, actor="licensee", measured="ever"),
            ),
        ),
        a_licence(
            "Smaller", thresholds=(Threshold(metric=Metric.MONTHLY_USERS, above=10, actor="licensee", measured="ever"),)
        ),
        a_licence("Served", hosting_is_distribution=YES),
        a_licence("Seated", territories=(TerritoryLimit(applies_to="seat", regions=("EU",), modalities=("image",)),)),
        a_licence("NoChange", {"modify": "no"}),
    ]
)

Row = tuple[str, str, str, str]


def a_chain(*rows: Row, **works: Mapping[str, Any]) -> Chain:
    """Return a chain with root `r`; a row is child, relation, parent, licence of the parent."""
    made = {"r": Work(**{"ref": "r", "license_text": "text", **works.get("r", {})})}
    for _, _, parent, licence in rows:
        made[parent] = Work(
            **{"ref": parent, "license": licence, "digest": DIGEST, "license_text": "text", **works.get(parent, {})}
        )
    edges = tuple(Edge(child=child, parent=parent, relation=Relation(how)) for child, how, parent, _ in rows)
    return Chain(root="r", works=tuple(made.values()), edges=edges)


def terms(declared: str, *rows: Row, name: str = "Osprey 2-ours", **works: Mapping[str, Any]) -> Terms:
    return resolve(a_chain(*rows, **works), declared=declared, registry=REGISTRY, model_name=name)


def rules(items: Any) -> set[str]:
    return {item.rule for item in items}


@pytest.mark.parametrize("relation", ["finetune", "adapter", "quantise", "merge"])
def test_weights_inherit_through_every_kind_of_edge_and_far(relation: str) -> None:
    found = terms("Kept", ("r", relation, "a", "Kept"), ("a", "finetune", "b", "NonCommercial"))

    assert found.licences == ("Kept", "NonCommercial")
    assert found.expression == "Kept AND NonCommercial"
    assert found.permissions[Activity.COMMERCIAL].answer is Answer.NO
    (ground,) = found.permissions[Activity.COMMERCIAL].grounds
    assert (ground.licence, ground.work, ground.section, ground.quote) == (
        "NonCommercial",
        "b",
        "1",
        "words on commercial",
    )


@pytest.mark.parametrize("relation", ["train-data", "code", "eval-only", "distil"])
def test_what_lies_beside_the_weights_does_not_join(relation: str) -> None:
    found = terms("Free", ("r", relation, "a", "NonCommercial"))

    assert found.expression == "Free"
    assert found.ok
    assert found.permissions[Activity.COMMERCIAL].answer is Answer.YES


def test_an_unknown_licence_makes_every_permission_unknown_and_stays_in_the_expression() -> None:
    found = terms("Free", ("r", "merge", "a", "Nobody Knows!"), ("r", "merge", "b", "NonCommercial"))

    answers = {activity: granted.answer for activity, granted in found.permissions.items()}
    assert answers.pop(Activity.COMMERCIAL) is Answer.NO
    assert set(answers.values()) == {Answer.UNKNOWN}
    assert "LicenseRef-Nobody-Knows" in found.expression
    assert "unknown-licence" in rules(found.unknowns)


def test_a_teacher_under_an_unknown_licence_makes_every_permission_unknown() -> None:
    found = terms("Free", ("r", "distil", "t", "Nobody"))

    assert {granted.answer for granted in found.permissions.values()} == {Answer.UNKNOWN}
    assert found.expression == "Free"
    assert rules(found.unknowns) == {"unknown-licence"}


def test_data_under_an_unknown_licence_is_noted_and_takes_nothing_away() -> None:
    found = terms("Free", ("r", "train-data", "d", "Nobody"))

    assert found.permissions[Activity.USE].answer is Answer.YES
    assert rules(found.unknowns) == {"unknown-licence"}


def test_nothing_stated_is_unknown_too() -> None:
    found = terms("", name="")

    assert found.permissions[Activity.USE].answer is Answer.UNKNOWN
    assert found.expression == "LicenseRef-not-stated"
    assert found.unknowns[0].message == "no licence is stated for r: ask its publisher"


def test_the_answer_that_nobody_gives_is_noted() -> None:
    found = terms("Unsure")

    assert found.permissions[Activity.COMMERCIAL].answer is Answer.UNKNOWN
    assert rules(found.unknowns) == {"unclear-fact"}


@pytest.mark.parametrize(
    ("declared", "inherited", "conflict"),
    [
        ("Free", "Free-2", False),
        ("Free", "Kept", True),
        ("Kept AND Free", "Kept", False),
        ("Kept OR Free", "Kept", True),
        ("Free", "NonCommercial", True),
        ("Unsure", "NonCommercial", False),
        ("Free", "Limited", True),
        ("Follows AND Limited", "Limited", False),
        ("Free", "Small", True),
        ("Small", "Smaller", True),
        ("Smaller AND Small", "Small", False),
        ("Free", "Seated", True),
        ("Free", "ShareAlike", True),
        ("NoChange", "NoChange", True),
        ("LicenseRef-Own", "Kept", True),
        ("LicenseRef-Own", "NonCommercial", False),
    ],
)
def test_a_looser_declaration_is_a_conflict_of_two_named_texts(declared: str, inherited: str, conflict: bool) -> None:
    found = terms(declared, ("r", "finetune", "a", inherited))

    assert ("more-permissive" in rules(found.conflicts)) is conflict
    for item in found.conflicts:
        assert item.second.work == "a"
        assert item.second.licence == inherited


def test_an_adapter_may_differ_and_what_it_is_merged_into_may_not() -> None:
    adapter = terms("Free", ("r", "adapter", "a", "Kept"))
    quantised = terms("Free", ("r", "quantise", "l", "Free"), ("l", "adapter", "a", "Kept"))
    merged = terms("Free", ("r", "merge", "l", "Free"), ("l", "adapter", "a", "Kept"))

    assert adapter.ok
    assert quantised.ok
    assert rules(adapter.warnings) == rules(quantised.warnings) == {"adapter-differs"}
    assert adapter.expression == "Free AND Kept"
    assert rules(merged.conflicts) == {"more-permissive"}


def test_further_restrictions_collide_in_one_work_only() -> None:
    one = terms("Copyleft AND Limited", ("r", "merge", "a", "Copyleft"), ("r", "merge", "b", "Limited"))
    two = terms("Limited", ("r", "code", "a", "Copyleft"), ("r", "finetune", "b", "Limited"))

    assert "further-restrictions" in rules(one.conflicts)
    assert two.ok
    assert "separate-works" in rules(two.warnings)


def test_two_share_alike_licences_collide() -> None:
    both = terms("Copyleft AND ShareAlike", ("r", "merge", "a", "Copyleft"), ("r", "merge", "b", "ShareAlike"))

    assert rules(both.conflicts) == {"share-alike"}
    assert terms("ShareAlike", ("r", "merge", "b", "ShareAlike")).ok


def test_outputs_that_must_not_teach_are_a_conflict_however_deep_the_student_lies() -> None:
    for rows in (
        (("r", "distil", "t", "NoOutputs"),),
        (("r", "finetune", "a", "Free"), ("a", "distil", "t", "NoOutputs")),
        (("r", "distil", "t", "Free"), ("t", "finetune", "u", "NoOutputs")),
        (("r", "train-data", "d", "Free"), ("d", "distil", "t", "NoOutputs")),
    ):
        assert rules(terms("Free", *rows).conflicts) == {"outputs-forbidden"}


def test_only_the_own_family_is_exempt_and_only_where_the_text_says_so() -> None:
    teacher = ("r", "distil", "t", "OwnOutputs")
    declared = "OwnOutputs"

    assert rules(terms(declared, teacher).conflicts) == {"outputs-forbidden"}
    assert terms(declared, teacher, ("r", "finetune", "base", "OwnOutputs")).ok
    strict = terms("NoOutputs", ("r", "distil", "t", "NoOutputs"), ("r", "finetune", "base", "NoOutputs"))
    assert rules(strict.conflicts) == {"outputs-forbidden"}


def test_a_distilled_derivative_inherits_across_several_teachers() -> None:
    near = terms("Follows", ("r", "distil", "t", "Follows"))
    far = terms("Free", ("r", "distil", "t", "Free"), ("t", "distil", "u", "Follows"))

    assert near.ok
    assert near.licences == ("Follows",)
    assert rules(far.conflicts) == {"more-permissive"}
    assert far.expression == "Follows AND Free"


def test_a_teacher_passes_on_its_duties_about_outputs_only() -> None:
    found = terms("Free", ("r", "distil", "t", "Named"))

    assert [item.duty.id for item in found.duties] == ["badge", "name"]
    assert found.badges == ("Built with Osprey",)
    assert found.name_prefix == "Osprey 2"
    assert found.expression == "Free"


@pytest.mark.parametrize(
    ("name", "right"),
    [("Osprey 2-ours", True), ("acme/Osprey-2-ours", True), ("Osprey", False), ("ours", False), ("osprey-2", False)],
)
def test_a_name_begins_with_what_the_licence_asks_for(name: str, right: bool) -> None:
    found = terms("Named", ("r", "finetune", "a", "Named"), name=name)

    assert found.ok is right
    assert rules(found.conflicts) <= {"name-prefix"}


def test_a_model_that_is_made_from_nothing_keeps_its_name() -> None:
    assert terms("Named", name="ours").ok


def test_prefixes_collide_unless_one_begins_the_other() -> None:
    nested = terms("Named AND NamedToo", ("r", "merge", "a", "Named"), ("r", "merge", "b", "NamedToo"))
    other = terms("Named AND NamedElse", ("r", "merge", "a", "Named"), ("r", "merge", "b", "NamedElse"))

    assert nested.ok
    assert nested.name_prefix == "Osprey 2"
    assert rules(other.conflicts) == {"name-prefix"}
    assert other.name_prefix == ""
    assert {other.conflicts[0].first.licence, other.conflicts[0].second.licence} == {"Named", "NamedElse"}


def test_every_threshold_is_kept_and_the_strictest_can_be_told() -> None:
    found = terms("Small AND Smaller", ("r", "merge", "a", "Small"), ("r", "merge", "b", "Smaller"))

    assert len(found.thresholds) == 3
    assert {(item.fact.metric, item.fact.above) for item in found.strictest()} == {
        (Metric.MONTHLY_USERS, 10),
        (Metric.ANNUAL_REVENUE_USD, 100),
    }


def test_a_badge_above_a_threshold_is_no_badge_of_everybody() -> None:
    found = terms("Named", ("r", "finetune", "a", "Named"))

    assert found.badges == ("Built with Osprey",)
    assert "big" in {item.duty.id for item in found.duties}


def test_limits_on_modalities_need_a_work_that_has_them() -> None:
    row = ("r", "finetune", "a", "Seated")
    image = {"modalities": ("text", "image")}

    assert terms("Seated", row).territories == ()
    assert [item.sure for item in terms("Seated", row, a=image, r=image).territories] == [True]
    assert [item.sure for item in terms("Seated", row, r=image).territories] == [False]


@pytest.mark.parametrize(
    ("stated", "declared", "licences"),
    [
        ("Free OR Kept", "Free", ("Free",)),
        ("Free OR Kept", "Kept", ("Kept",)),
        ("Free OR Kept", "Free OR Kept", ("Free",)),
        ("Free-2 AND (Free OR Kept)", "Free AND Free-2", ("Free", "Free-2")),
    ],
)
def test_a_choice_is_what_the_declaration_picks(stated: str, declared: str, licences: tuple[str, ...]) -> None:
    found = terms(declared, ("r", "finetune", "a", stated))

    assert found.ok
    assert found.licences == licences
    assert found.permissions[Activity.USE].answer is Answer.YES


def test_a_choice_may_be_made_on_the_way_and_is_unknown_if_nobody_made_it() -> None:
    on_the_way = terms("Free-2", ("r", "finetune", "a", "Free"), ("a", "finetune", "b", "Free OR Kept"))
    nobody = terms("Free-2", ("r", "finetune", "a", "Free OR Kept"))

    assert on_the_way.licences == ("Free", "Free-2")
    assert on_the_way.unknowns == ()
    assert nobody.permissions[Activity.USE].answer is Answer.UNKNOWN
    assert rules(nobody.unknowns) == {"unclear-fact"}
    assert nobody.expression == "(Free OR Kept) AND Free-2"


def test_data_warns_and_stays_apart() -> None:
    found = terms("Free", ("r", "train-data", "d", "NonCommercial"), ("r", "train-data", "e", "ShareAlike"))

    assert rules(found.warnings) == {"non-commercial-data", "share-alike-data"}
    assert [(item.work, item.relation, item.expression) for item in found.separate] == [
        ("d", Relation.TRAIN_DATA, "NonCommercial"),
        ("e", Relation.TRAIN_DATA, "ShareAlike"),
    ]


def test_what_is_not_pinned_or_not_connected_is_noted() -> None:
    chain = a_chain(("r", "finetune", "a", "Free"), ("r", "eval-only", "b", "Free"), a={"digest": ""}, b={"digest": ""})
    loose = Chain(root="r", works=(*chain.works, Work(ref="z", license="Free")), edges=chain.edges)
    found = resolve(loose, declared="Free", registry=REGISTRY, model_name="r")

    assert [(item.rule, item.work) for item in found.unknowns] == [("not-pinned", "a"), ("unclear-fact", "z")]


def test_a_text_that_nobody_has_is_noted() -> None:
    row = ("r", "finetune", "a", "Named")

    nowhere = {"license_text": None}

    assert rules(terms("Named", row, a=nowhere, r=nowhere).unknowns) == {"missing-text"}
    assert terms("Named", row, r=nowhere).unknowns == ()


def test_services_and_flow_down_are_noted() -> None:
    found = terms("Served AND Limited", ("r", "merge", "a", "Served"), ("r", "merge", "b", "Limited"))

    assert rules(found.warnings) == {"network-service", "prohibited-field-flow-down"}
    assert found.hosting_is_distribution is Answer.YES


def test_outputs_of_the_model_have_terms_of_their_own() -> None:
    found = terms("Follows AND Named", ("r", "merge", "a", "Follows"), ("r", "merge", "b", "Named")).output_terms

    assert found.granted.answer is Answer.YES
    assert {item.duty.id for item in found.duties} == {"badge", "name"}
    assert found.follows == ("Follows",)


def test_json_form_reads_back() -> None:
    found = terms(
        "Free",
        ("r", "merge", "a", "Named"),
        ("r", "merge", "b", "Limited"),
        ("r", "merge", "c", "Seated"),
        ("r", "train-data", "d", "NonCommercial"),
        a={"modalities": ("image",)},
        c={"modalities": ("image",)},
    )

    assert found.conflicts
    assert found.warnings
    assert found.territories
    assert Terms.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("key", "value"),
    [("ok", True), ("licences", "Free"), ("permissions", {}), ("hosting_is_distribution", "maybe"), ("badges", [1])],
)
def test_json_of_another_shape_is_refused(key: str, value: object) -> None:
    form = terms("Free").to_json()
    form[key] = value

    with pytest.raises(InputError, match="not the terms of a model"):
        Terms.from_json(form)
