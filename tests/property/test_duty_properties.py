"""Whatever a publisher writes: the forms stay sound documents and say it unchanged, or show it as plain text."""

import json
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "dossier"))

from builders import a_record

from weighbridge.dossier.diff import diff
from weighbridge.dossier.disclosure import DataSet, Disclosure
from weighbridge.dossier.duty import duty_files, known_fields, todo

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
STATEMENTS = st.dictionaries(st.sampled_from(sorted(known_fields())), TEXTS, max_size=6)
DATA = st.builds(
    DataSet,
    name=TEXTS,
    roles=st.sampled_from([("training",), ("fine-tuning", "evaluation"), ("calibration",), ()]),
    origin=st.sampled_from(["", "public", "scraped", "user", "synthetic"]),
    description=TEXTS,
    url=TEXTS,
    tokens=st.none() | st.integers(0, 10**15),
    personal_data=st.sampled_from(["yes", "no", "unknown"]),
)
DISCLOSURES = st.builds(
    Disclosure, statements=STATEMENTS, data=st.lists(DATA, max_size=3, unique_by=lambda item: item.name).map(tuple)
)


@settings(max_examples=60, deadline=None)
@given(disclosure=DISCLOSURES)
def test_forms_are_sound_whatever_is_stated(disclosure: Disclosure) -> None:
    record = a_record(disclosure=disclosure)
    for path, data in duty_files(record).items():
        if path.endswith(".md"):
            assert "<" not in data.decode()
            continue
        for field in json.loads(data)["fields"]:
            # What is open says why; what is filled has a value that somebody is named for.
            assert bool(field.get("why")) == (field["status"] == "open")
            assert field["status"] == "open" or (field["value"].strip() and field["source"])
    assert {item.field for item in todo(record)} <= set(known_fields())


@settings(max_examples=40, deadline=None)
@given(before=DISCLOSURES, after=DISCLOSURES)
def test_differences_run_both_ways(before: Disclosure, after: Disclosure) -> None:
    a, b = a_record(disclosure=before), a_record(disclosure=after)
    assert diff(a, a) == ()
    forth = {(change.before, change.after) for change in diff(a, b)}
    assert {(change.after, change.before) for change in diff(b, a)} == forth
