"""Duty forms: every field is filled from evidence or the publisher's word, or open with who fills it."""

import json
from typing import Any

import pytest
from builders import HOSTILE, a_record

from weighbridge.dossier.disclosure import DataSet, Disclosure, Publisher
from weighbridge.dossier.duty import FORMS, duty_files, known_fields, todo
from weighbridge.dossier.duty.evidence import flop_number
from weighbridge.dossier.release import ReleaseRecord

COMPLETE = DataSet(
    name="web",
    roles=("training",),
    origin="scraped",
    license="CC-BY-4.0",
    description="Web pages in English",
    url="https://data.example/web",
    tokens=2_000_000_000,
    languages=("en",),
    collected="2023-01 to 2024-06",
    first_used="2024-07-01",
    purpose="general knowledge",
    processing="deduplicated, to avoid memorisation",
    purchased_or_licensed="no",
    copyrighted="yes",
    personal_data="yes",
    consumer_data="no",
    synthetic="no",
)


def disclosed(*data: DataSet, publisher: Publisher | None = None, **statements: str) -> ReleaseRecord:
    """A record with data sets and statements; `__` in a name stands for the dot of a field's id."""
    return a_record(
        disclosure=Disclosure(
            publisher=publisher or Publisher(),
            data=data,
            statements={name.replace("__", "."): text for name, text in statements.items()},
        )
    )


def fields(record: ReleaseRecord, path: str) -> dict[str, dict[str, Any]]:
    form = next(form for form in FORMS if form.path == path)
    return {field["id"]: field for field in form.to_json(record)["fields"]}


def open_ids(record: ReleaseRecord, path: str = "") -> set[str]:
    return {item.field for item in todo(record) if path in ("", item.document)}


def test_every_form_is_written_under_its_path_and_reproducibly() -> None:
    files = duty_files(a_record())
    assert set(files) == {
        "eu/model_documentation_form.json",
        "eu/training_summary.md",
        "eu/copyright_policy.md",
        "us/ab2013.json",
        "us/sb53.json",
    }
    assert files == duty_files(a_record())
    for path, data in files.items():
        if path.endswith(".json"):
            assert json.loads(data)["version"] == "acme/osprey-135m-q4_k_m"


def test_a_field_that_two_forms_share_asks_the_same_of_the_same_people() -> None:
    asked: dict[str, tuple[str, str, str]] = {}
    for form in FORMS:
        ids = [field.id for field in form.fields]
        assert len(ids) == len(set(ids))
        for field in form.fields:
            assert asked.setdefault(field.id, (field.title, field.who, field.ask)) == (
                field.title,
                field.who,
                field.ask,
            )
            assert field.obligation
            assert field.ask.endswith(".")


def test_what_is_in_the_bytes_is_filled_and_says_that_it_was_measured() -> None:
    form = fields(a_record(), "eu/model_documentation_form.json")
    size = form["model.parameters"]
    assert size["value"].startswith("134,515,008 parameters")
    assert "1 to 500 million" in size["value"]
    assert (size["status"], size["source"]) == ("filled", "measured")
    assert a_record().subject in form["model.authenticity"]["value"]
    assert "221.0 MB" in form["use.hardware"]["value"]


def test_nothing_is_filled_that_the_record_does_not_say() -> None:
    form = fields(a_record(figures={}, texts=a_record().texts.__class__(title="x")), "eu/model_documentation_form.json")
    for name in ("training.compute_flop", "data.types", "model.release_date", "use.intended", "use.software"):
        assert form[name]["value"] is None, name
        assert (form[name]["status"], form[name]["source"]) == ("open", None)
        assert form[name]["why"]


def test_an_unknown_architecture_leaves_its_fields_open() -> None:
    form = fields(a_record(architecture={"family": "unknown"}), "eu/model_documentation_form.json")
    assert {form[name]["status"] for name in ("model.architecture", "model.parameters", "model.input_size")} == {"open"}


def test_a_statement_fills_its_field_in_every_form() -> None:
    before = {item.document for item in todo(a_record()) if item.field == "model.release_date"}
    assert before == {"eu/model_documentation_form.json", "us/sb53.json"}
    record = disclosed(model__release_date="2026-12-01")
    assert "model.release_date" not in open_ids(record)
    assert fields(record, "us/sb53.json")["model.release_date"]["source"] == "publisher"


@pytest.mark.parametrize("text", ["", "  ", "TBD", "unknown", "todo.", "?", "Not known", "..."])
def test_a_statement_that_says_nothing_leaves_the_field_open(text: str) -> None:
    assert "training.energy_mwh" in open_ids(disclosed(training__energy_mwh=text))


def test_a_statement_does_not_replace_what_was_measured() -> None:
    size = fields(disclosed(model__parameters="7 billion"), "eu/model_documentation_form.json")["model.parameters"]
    assert size["value"].startswith("134,515,008")
    assert size["stated"] == "7 billion"


def test_no_parents_does_not_mean_trained_from_scratch() -> None:
    assert "model.dependencies" in open_ids(a_record(parents=()))
    assert "model.dependencies" not in open_ids(a_record())


def test_a_complete_data_set_fills_all_twelve_items_of_california() -> None:
    form = fields(disclosed(COMPLETE), "us/ab2013.json")
    items = {name: field for name, field in form.items() if name.startswith("ab2013.")}
    assert len(items) == 12
    assert {field["status"] for field in items.values()} == {"filled"}
    assert items["ab2013.protected"]["value"] == "web: yes"
    assert [field["obligation"][-4:].strip("a)(") for field in items.values()] == [str(n) for n in range(1, 13)]


def test_one_data_set_that_is_silent_keeps_the_item_open_and_is_named() -> None:
    silent = DataSet(name="books", roles=("fine-tuning",))
    record = disclosed(COMPLETE, silent)
    item = fields(record, "us/ab2013.json")["ab2013.personal"]
    assert item["value"] == "web: yes\nbooks: not stated"
    assert item["status"] == "open"
    assert "'books'" in item["why"]


def test_evaluation_data_is_not_training_data() -> None:
    tested = DataSet(name="benchmark", roles=("evaluation",), origin="public", tokens=1)
    assert "benchmark" not in duty_files(disclosed(COMPLETE, tested))["eu/training_summary.md"].decode()
    assert "ab2013.sources" in open_ids(disclosed(tested))


def test_a_kind_of_source_is_denied_only_by_a_list_whose_origins_are_all_stated() -> None:
    def user(record: ReleaseRecord) -> dict[str, Any]:
        form = next(form for form in FORMS if form.path == "eu/training_summary.md")
        return next(answer.to_json() for answer in form.answers(record) if answer.field.id == "data.user")

    assert user(a_record())["status"] == "open"
    assert user(disclosed(COMPLETE))["value"].startswith("No data set of this kind")
    assert user(disclosed(COMPLETE, DataSet(name="x", roles=("training",))))["status"] == "open"


def test_questions_about_crawlers_are_asked_unless_nothing_was_scraped() -> None:
    public = DataSet(name="p", roles=("training",), origin="public")
    assert "data.crawler.names" in open_ids(disclosed(COMPLETE))
    assert "data.crawler.names" in open_ids(a_record())
    assert "data.crawler.names" not in open_ids(disclosed(public))


def test_sizes_are_summed_and_put_into_the_range_of_the_template() -> None:
    other = DataSet(name="more", roles=("training",), origin="public", tokens=500_000_000, description="Books")
    assert "2,500,000,000 tokens (1 billion to 10 trillion)" in summary(disclosed(COMPLETE, other))
    unknown = DataSet(name="more", roles=("training",), origin="public", description="Books")
    assert "data.sizes" in open_ids(disclosed(COMPLETE, unknown))
    assert "2,500,000,000" not in summary(disclosed(COMPLETE, unknown))


def summary(record: ReleaseRecord) -> str:
    return duty_files(record)["eu/training_summary.md"].decode()


def test_a_seat_in_the_union_needs_no_representative() -> None:
    assert "provider.representative" in open_ids(disclosed(publisher=Publisher(name="A", country="US")))
    assert "provider.representative" in open_ids(a_record())
    assert "provider.representative" not in open_ids(disclosed(publisher=Publisher(name="A", country="DE")))


def test_the_publishers_no_takes_a_form_off_the_list_but_not_out_of_the_dossier() -> None:
    record = disclosed(eu__general_purpose="No: it only classifies.", us__california="no")
    assert todo(record) == ()
    assert b'"answer": "no"' in duty_files(record)["eu/model_documentation_form.json"]


def test_a_small_computation_alone_does_not_end_the_eu_duties_but_ends_sb53() -> None:
    record = disclosed(training__compute_flop="2.4e20")
    assert open_ids(record, "eu/model_documentation_form.json")
    assert not open_ids(record, "us/sb53.json")
    assert open_ids(disclosed(training__compute_flop="2 × 10^26"), "us/sb53.json")
    assert open_ids(a_record(), "us/sb53.json")


def test_the_risk_items_of_sb53_bind_large_developers_only() -> None:
    assert "safety.catastrophic_risk" in open_ids(a_record())
    assert "safety.catastrophic_risk" not in open_ids(disclosed(us__large_frontier_developer="no"))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2.4e23", 2.4e23),
        ("about 2,4 × 10^23 FLOP, estimated", 2.4e23),
        ("10²³", 1e23),
        ("1.2E+24 FLOP", 1.2e24),
        ("6·10²²", 6e22),
        ("240000000000000000000", 2.4e20),
        ("1e22 or 2e22", None),
        ("a lot", None),
        ("12 GPUs for 3 days", None),
        ("1e999999", None),
        ("", None),
    ],
)
def test_a_number_of_operations_is_read_only_where_there_is_exactly_one(text: str, number: float | None) -> None:
    assert flop_number(text) == number


def test_texts_from_outside_are_no_markup() -> None:
    hostile = DataSet(name=HOSTILE, roles=("training",), origin="scraped", description="| a | [x](javascript:1) |")
    text = summary(disclosed(hostile, copyright_policy=HOSTILE))
    policy = duty_files(disclosed(hostile, copyright_policy=f"{HOSTILE}\n# heading"))["eu/copyright_policy.md"].decode()
    assert "<script>" not in text + policy
    assert "[x](javascript" not in text
    assert "\n# heading" not in policy


def test_the_known_fields_are_those_of_the_forms() -> None:
    known = known_fields()
    assert {"training.compute_flop", "copyright_policy", "model.monetised"} <= set(known)
    assert all(ask for ask in known.values())
    assert {item.field for item in todo(a_record())} <= set(known)
