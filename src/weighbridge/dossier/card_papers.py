"""What a model card says about data sets and about the papers that lie beside it."""

import itertools
from collections.abc import Collection, Iterator, Sequence

from weighbridge.dossier.croissant import FOLDER, croissant_name
from weighbridge.dossier.cyclonedx import CYCLONEDX_NAME
from weighbridge.dossier.disclosure import DataSet
from weighbridge.dossier.duty import FORMS
from weighbridge.dossier.figure import number_text, size_text
from weighbridge.dossier.markdown import escape, table
from weighbridge.dossier.mof import MOF_NAME
from weighbridge.dossier.provenance import PROVENANCE_NAME
from weighbridge.dossier.release import RELEASE_NAME, ReleaseRecord
from weighbridge.dossier.security import SECURITY_NAME
from weighbridge.dossier.signature import SIGNATURE_NAME
from weighbridge.dossier.spdx3 import SPDX3_NAME
from weighbridge.dossier.test_result import TEST_RESULT_NAME
from weighbridge.terms.papers import LICENSE, NOTICE, THIRD_PARTY, USE_POLICY

LICENCE_PAPERS = (LICENSE, NOTICE)
"""The licence papers that every release has."""

_MAX_CARDS = 3


def data_section(record: ReleaseRecord) -> list[str]:
    """Return the blocks of the section on data sets."""
    sets = record.disclosure.data
    if not sets:
        return ["The publisher states none; that does not mean that none was used."]
    rows = [
        (
            _linked(item),
            escape(", ".join(item.roles)) or "not stated",
            escape(item.license) or "not stated",
            _size(item),
        )
        for item in sets
    ]
    return [
        "As the publisher states them; each name leads to its data card.",
        table(("Data set", "Role", "Licence", "Size"), rows),
    ]


def _linked(item: DataSet) -> str:
    return f"[{escape(item.name)}]({croissant_name(item)})"


def _size(item: DataSet) -> str:
    stated = [
        f"{number_text(count)} {unit}{'s' * (count != 1)}"
        for count, unit in ((item.records, "record"), (item.tokens, "token"))
        if count is not None
    ]
    if item.size_bytes is not None:
        stated.append(size_text(item.size_bytes))
    return ", ".join(stated) or "not stated"


def papers_section(record: ReleaseRecord, papers: Collection[str]) -> str:
    """Return the table of the papers that a release of `record` has, each with what it is for."""
    rows = [(", ".join(f"`{name}`" for name in names), purpose) for names, purpose in _papers(record, papers)]
    return table(("File", "What it is for"), rows)


def _papers(record: ReleaseRecord, papers: Collection[str]) -> Iterator[tuple[Sequence[str], str]]:
    yield [RELEASE_NAME], "every figure and statement of this card, with method, seed and digests"
    for name, purpose in (
        (LICENSE, "the licence text, or the list of them"),
        (NOTICE, "notices to keep and to pass on"),
        (f"{THIRD_PARTY}/", "texts of the licences that are inherited"),
        (f"{USE_POLICY}/", "policies that the licences include, each with its digest"),
    ):
        if any(path == name or (name.endswith("/") and path.startswith(name)) for path in papers):
            yield [name], purpose
    yield [PROVENANCE_NAME], "how it was made, step by step, as in-toto statements with SLSA provenance"
    # A record that does not say how open it is was written before these papers were.
    if record.openness is not None:
        yield from _later_papers(record)
    yield [SIGNATURE_NAME], "the publisher's signature over every file here"


def _later_papers(record: ReleaseRecord) -> Iterator[tuple[Sequence[str], str]]:
    yield [SECURITY_NAME], "whom to tell of an incident, and how to learn of a recall"
    yield [TEST_RESULT_NAME], "the rules of the gate and what came of each, as an in-toto test result"
    yield [MOF_NAME], "the parts of the release, for the evaluator of the Model Openness Framework"
    yield [CYCLONEDX_NAME, SPDX3_NAME], "bills of materials in CycloneDX, and in SPDX with its AI and Dataset profiles"
    if cards := [croissant_name(item) for item in record.disclosure.data]:
        few = cards if len(cards) <= _MAX_CARDS else [f"{FOLDER}/*.croissant.json"]
        yield few, f"data card{'s' * (len(cards) != 1)} in Croissant"
    for folder, group in itertools.groupby(FORMS, key=lambda form: form.path.partition("/")[0]):
        forms = tuple(group)
        titles = ", ".join(_in_sentence(form.title) for form in forms)
        where = {"eu": "the European Union", "us": "California"}.get(folder, folder)
        yield [form.path for form in forms], f"forms of {where}, what is filled and what is open: {titles}"


def _in_sentence(title: str) -> str:
    return title[:1].lower() + title[1:]
