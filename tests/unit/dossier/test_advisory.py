"""An advisory is valid in the Open Source Vulnerability format and says what the status says."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from weighbridge.dossier.advisory import Reference, Severity, advisory_path, default_advisory_id, osv_advisory
from weighbridge.dossier.status import State, Status
from weighbridge.errors import InputError

SCHEMA = json.loads((Path(__file__).parents[2] / "fixtures" / "osv" / "schema.json").read_bytes())
ONE = Status(
    name="acme/one",
    digest="a" * 64,
    subject="b" * 64,
    state=State.RECALLED,
    since=datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
    reason="It repeats <private> *addresses*.",
    successor="acme/two",
)
VECTOR = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N"


def validated(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data)
    checker = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    checker.validate(document)
    return document


def test_the_official_schema_accepts_it_whole_and_bare() -> None:
    bare = validated(osv_advisory([ONE], identifier="x_acme-2026-0001"))
    assert bare["affected"] == [
        {
            "package": {"ecosystem": "Weighbridge", "name": "acme/one", "purl": "pkg:generic/acme/one"},
            "versions": ["sha256:" + "a" * 64],
            "database_specific": {
                "state": "recalled",
                "since": "2026-11-22T09:30:00Z",
                "manifest_sha256": "a" * 64,
                "subject_sha256": "b" * 64,
                "successor": "acme/two",
            },
        }
    ]
    whole = validated(
        osv_advisory(
            [ONE],
            identifier="x_acme-2026-0001",
            summary="Private data",
            references=[Reference(url="https://example.org/a", kind="REPORT")],
            severity=[Severity(kind="CVSS_V4", score=VECTOR)],
            ecosystem="Hugging Face",
            purls=["pkg:huggingface/acme/one"],
        )
    )
    assert whole["summary"] == "Private data"
    assert whole["severity"] == [{"type": "CVSS_V4", "score": VECTOR}]
    assert whole["references"] == [{"type": "REPORT", "url": "https://example.org/a"}]
    assert whole["affected"][0]["package"]["purl"] == "pkg:huggingface/acme/one"


def test_the_schema_refuses_what_is_wrong() -> None:
    document = json.loads(osv_advisory([ONE], identifier="x"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({**document, "modified": "yesterday"})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({**document, "remedy": "none"})


def test_a_reason_is_shown_as_it_is_and_not_as_markup() -> None:
    document = validated(osv_advisory([ONE], identifier="x"))
    assert document["details"] == r"It repeats \<private\> \*addresses\*."
    assert document["summary"] == "acme/one is recalled: It repeats <private> *addresses*."


def test_a_long_reason_gives_a_summary_of_one_short_line() -> None:
    document = validated(osv_advisory([replace(ONE, reason="word\n" * 500)], identifier="x"))
    assert len(document["summary"]) <= 120
    assert "\n" not in document["summary"]


def test_several_versions_are_ordered_and_dated_by_the_first_and_the_last() -> None:
    later = replace(ONE, name="acme/anew", since=ONE.since + timedelta(days=2), reason="The same.")
    document = validated(osv_advisory([ONE, later], identifier="x"))
    assert osv_advisory([later, ONE], identifier="x") == osv_advisory([ONE, later], identifier="x")
    assert [item["package"]["name"] for item in document["affected"]] == ["acme/anew", "acme/one"]
    assert (document["published"], document["modified"]) == ("2026-11-22T09:30:00Z", "2026-11-24T09:30:00Z")


def test_an_advisory_about_nothing_or_about_a_version_in_use_is_refused() -> None:
    with pytest.raises(InputError, match="recalled or deprecated"):
        osv_advisory([], identifier="x")
    with pytest.raises(InputError, match="recalled or deprecated"):
        osv_advisory([replace(ONE, state=State.ACTIVE)], identifier="x")


@pytest.mark.parametrize("identifier", ["", "../x", "a/b", ".x", "x" * 129, "x\n"])
def test_an_id_that_is_no_plain_name_is_refused(identifier: str) -> None:
    with pytest.raises(InputError, match="cannot be the id"):
        advisory_path(identifier)


def test_the_id_of_a_version_is_always_the_same_and_differs_by_its_bytes() -> None:
    assert default_advisory_id("acme/one", "a" * 64) == "x_weighbridge-acme-one-aaaaaaaaaaaa"
    assert advisory_path(default_advisory_id("a" * 96 + "/" + "b" * 96, "c" * 64)).startswith("advisories/x_")


@pytest.mark.parametrize("url", ["", "ftp://x", "javascript:alert(1)", "https://x y", "https://" + "x" * 3000])
def test_a_reference_is_a_web_address(url: str) -> None:
    with pytest.raises(InputError, match="not a reference"):
        Reference(url=url)


def test_a_severity_is_a_vector_of_a_known_kind() -> None:
    with pytest.raises(InputError, match="not a severity"):
        Severity(kind="BAD", score=VECTOR)
