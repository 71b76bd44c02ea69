"""Whether a LICENSE is the list that a release carries where several licences are in force, and nothing else."""

from weighbridge.adopt.check.subject import LicenceFile, Subject
from weighbridge.terms.papers import LICENSE, papers

_LICENCE, _WORK = "  - ", "      "


def is_index(subject: Subject, item: LicenceFile) -> bool:
    """Say whether `item` is what `papers` writes as LICENSE for these terms, line by line.

    Which works are listed under which licence may differ, as what the publisher declared and what is inherited are one
    expression by then. Every text that it names has to be there, and to be the licence that it is named as.

    Raises:
        InputError: if no such list can be written for these terms.
    """
    terms, chain, record = subject.terms, subject.chain, subject.record
    if item.path != LICENSE or terms is None or chain is None:
        return False
    if len(terms.licences) == 1 and " OR " not in terms.expression:
        return False
    model = record.reference if record else chain.root
    written = papers(terms, chain, subject.registry, model=model, license_text="")[LICENSE].decode().splitlines()
    found = item.text.splitlines()
    works = {work.ref for work in chain.works} | ({record.model, record.reference} if record else set())
    listed = {line.removeprefix(_WORK) for line in found if line.startswith(_WORK)}
    if _fixed(found) != _fixed(written) or not listed <= works or _licences(found) != _licences(written):
        return False
    return all(_is_there(subject, line) for line in found if line.startswith(_LICENCE))


def _fixed(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith((_LICENCE, _WORK))]


def _licences(lines: list[str]) -> set[str]:
    return {line.partition(": ")[0] for line in lines if line.startswith(_LICENCE)}


def _is_there(subject: Subject, line: str) -> bool:
    expression, _, path = line.removeprefix(_LICENCE).partition(": ")
    known = subject.registry.get(expression)
    text = next((file.recognition for file in subject.licence_files if file.path == path), None)
    return known is not None and text is not None and known.id in (text.licence_id, *text.candidates)
