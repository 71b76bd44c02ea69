"""`weighbridge dossier`: what is still open in a dossier, and what changed between two."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.errors import InputError
from weighbridge.shell.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from weighbridge.dossier.difference import Change
    from weighbridge.dossier.duty import OpenField
    from weighbridge.dossier.release import ReleaseRecord

RELEASE_NAME = "release.json"
SOME_OPEN = 3

_MAX_SHOWN, _MAX_END = 160, 72


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-verbs and their options."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    todo = verbs.add_parser(
        "todo",
        help="list the fields of the duty forms that are open, by who fills them",
        description="Lists the fields of the duty forms that are open, by who fills them.",
        epilog="exit codes: 0 none is open, 3 some are, 2 unusable input",
    )
    todo.add_argument("path", type=Path, metavar="PATH", help="folder of a version, or its release.json")
    diff = verbs.add_parser(
        "diff",
        help="say what changed between two releases, in words",
        description="Says what changed between two releases in terms, evidence, contents and openness, in words.",
        epilog="exit codes: 0 done, 2 unusable input",
    )
    diff.add_argument("before", type=Path, metavar="A", help="folder of a version, or its release.json")
    diff.add_argument("after", type=Path, metavar="B", help="the same of the other version")
    for action in (todo, diff):
        # The verb has these, too; without a default of its own, this one does not take back what was given there.
        action.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document on standard output"
        )
        action.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )


def run(options: argparse.Namespace) -> int:
    """Run a sub-verb; `todo` returns 3 if some field is open."""
    return _todo(options) if options.action == "todo" else _diff(options)


def read_record(path: Path) -> "ReleaseRecord":
    """Return the release record at `path`: a folder that holds `release.json`, or that file.

    Raises:
        InputError: if there is none, or it cannot be read.
    """
    from weighbridge.checkpoint.walk import open_inside, open_regular, read_prefix
    from weighbridge.dossier.release import MAX_RECORD_BYTES, read_release

    file = path / RELEASE_NAME if path.is_dir() else path
    if not file.exists():
        what = f"this folder holds no {RELEASE_NAME}" if path.is_dir() else "there is no such file or folder"
        hint = "Name the folder of a version that Weighbridge released, as `weighbridge release` prints it."
        raise InputError(what, place=str(path), hint=hint)
    # A file that was named is what was asked for; one in a folder must not lead out of it.
    descriptor = open_regular(file, place=str(file)) if file is path else open_inside(path, RELEASE_NAME)
    with open(descriptor, "rb"):  # noqa: PTH123  # closes what open_regular opened
        data = read_prefix(descriptor, MAX_RECORD_BYTES + 1, place=str(file))
    return read_release(data, place=str(file))


def _todo(options: argparse.Namespace) -> int:
    from weighbridge.dossier.duty import FORMS, known_fields, todo

    record = read_record(options.path)
    fields = todo(record)
    merged = sorted(_merged(fields), key=lambda item: str(item["who"]))
    known = known_fields()
    document = {
        "version": record.reference,
        "open": len(merged),
        "fields": merged,
        "forms": [form.state(record) for form in FORMS],
        "unknown_statements": [name for name in record.disclosure.statements if name not in known],
    }
    if options.json:
        print_json(document)
    else:
        print_lines(_plain(line) for line in _todo_lines(document))
    return SOME_OPEN if merged else 0


def _merged(fields: Sequence["OpenField"]) -> list[dict[str, Any]]:
    """Return each field once, with every form that asks it: one statement fills them all."""
    merged: dict[str, dict[str, Any]] = {}
    for item in fields:
        entry = merged.setdefault(
            item.field,
            {
                "field": item.field,
                "title": item.title,
                "who": item.who,
                "why": item.why,
                "documents": [],
                "asked_by": [],
            },
        )
        entry["documents"].append(item.document)
        entry["asked_by"].append(item.obligation)
    return list(merged.values())


def _todo_lines(document: dict[str, Any]) -> Iterator[str]:
    count = document["open"]
    words = "1 field of the duty forms is" if count == 1 else f"{count or 'no'} fields of the duty forms are"
    yield f"{document['version']}: {words} open"
    for form in document["forms"]:
        yield f"  {form['document']:<34} {form['open']:>3} open of {form['fields']:<3} applies: {form['applies']}"
    for who, items in groupby(document["fields"], key=lambda item: item["who"]):
        listed = list(items)
        yield ""
        yield f"{who} ({len(listed)})"
        for item in listed:
            yield f"  {item['field']}: {item['title']}"
            yield f"      {item['why']} [{', '.join(item['documents'])}]"
    for name in document["unknown_statements"]:
        yield f"problem: the statement {name!r} fills no field; the plan spells it otherwise than the forms do"
    if document["fields"]:
        yield ""
        yield "next: State them in the release plan under `statements`, by field, and run `weighbridge release` again."


def _diff(options: argparse.Namespace) -> int:
    from weighbridge.dossier.diff import diff

    before, after = read_record(options.before), read_record(options.after)
    changes = diff(before, after)
    if options.json:
        versions = {"before": before.reference, "after": after.reference}
        print_json({**versions, "changes": [change.to_json() for change in changes]})
    else:
        print_lines(_plain(line) for line in _diff_lines(before.reference, after.reference, changes))
    return 0


def _diff_lines(before: str, after: str, changes: Sequence["Change"]) -> Iterator[str]:
    worse, better = (sum(change.worse is answer for change in changes) for answer in (True, False))
    count = len(changes)
    if not changes:
        yield f"from {before} to {after}: the records state no difference"
        return
    yield f"from {before} to {after}: {count} difference{'s' * (count != 1)}, {worse} worse, {better} better"
    marks = {True: "-", False: "+", None: " "}
    for area, items in groupby(changes, key=lambda change: change.area):
        yield ""
        yield area
        for change in items:
            yield f"  {marks[change.worse]} {_sentence(change.text)}"
            if (change.before, change.after) not in (("no", "yes"), ("yes", "no")):
                yield f"      {_short(change.before)}  ->  {_short(change.after)}"
    yield ""
    yield "- worse, + better for whoever uses it; the others cannot be judged from the records"


def _sentence(text: str) -> str:
    """Return a sentence short enough for a line; what it says is at its end, and is never what is left out."""
    line = " ".join(text.split())
    if len(line) <= _MAX_SHOWN:
        return line
    kept = _MAX_SHOWN - _MAX_END
    return f"{line[:kept].rstrip()} … {line[-_MAX_END:].lstrip()} (--json shows all)"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}… (--json shows all)"


def _plain(text: str) -> str:
    """Return `text` without what would steer a terminal: records come from outside."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
