"""The terms of a release: the chain of its parents, resolved; and whether everything that states a licence agrees."""

from collections.abc import Iterator
from dataclasses import dataclass

from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.checkpoint.walk import open_regular, read_prefix
from weighbridge.errors import InputError, RefusedError
from weighbridge.evidence.record import Audit, Finding, Severity
from weighbridge.shell.card_reader import card_metadata, stated_licence
from weighbridge.shell.line.inputs import MAX_LICENCE_BYTES, read_licence, read_text
from weighbridge.shell.plan.model import ParentPlan, Plan
from weighbridge.terms.agreement import Stated, disagreements
from weighbridge.terms.chain import Chain, ChainError, Edge, Work
from weighbridge.terms.conflict import begins_with
from weighbridge.terms.expression import parse
from weighbridge.terms.recognise import recognise
from weighbridge.terms.registry import registry
from weighbridge.terms.resolve import resolve
from weighbridge.terms.terms import Terms

_DECLARED = "more-permissive"
PROBE = "terms"
PROBE_VERSION = "1"
CARD = "README.md"
LICENCE_FILES = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING")
_MAX_CARD_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerms:
    """What a release may be used for, and what must go along with it.

    Attributes:
        chain: the model and its parents.
        terms: what follows from it.
        license: what the release is under: as declared, or the whole expression where more is inherited.
        licence: the text of the release's own licence; empty where it is several.
    """

    chain: Chain
    terms: Terms
    license: str
    licence: bytes


class TermsConflictError(RefusedError):
    """The licences of a release cannot all be kept; `others` holds every further conflict."""

    hint = "Declare what is inherited, as an SPDX expression if there are several, or leave that parent out."

    def __init__(self, conflicts: list[str], *, place: str) -> None:
        super().__init__(f"the terms of this release contradict each other: {conflicts[0]}", place=place)
        self.others = tuple(conflicts[1:])


def resolve_terms(plan: Plan) -> ReleaseTerms:
    """Return the terms of the release that `plan` describes.

    Raises:
        InputError: if a text cannot be read, or the chain runs in a circle.
        RefusedError: if the declared licence and the inherited ones cannot both hold; names the two.
    """
    licence = read_licence(plan)
    own = Work(
        ref=plan.model,
        license=plan.license,
        modalities=plan.modalities,
        license_text=licence.decode(errors="replace") or None,
    )
    works = (own, *(_work(parent) for parent in plan.parents))
    edges = tuple(Edge(child=p.of or plan.model, parent=p.ref, relation=p.relation) for p in plan.parents)
    try:
        chain = Chain(root=plan.model, works=works, edges=edges)
    except ChainError as error:
        raise InputError(error.message, place=_place(plan, error.message), hint=error.hint) from error
    terms = resolve(chain, declared=plan.license, registry=registry(), model_name=plan.model.rpartition("/")[2])
    if terms.conflicts:
        messages = [conflict.message for conflict in terms.conflicts]
        place = plan.place("license") if terms.conflicts[0].rule == _DECLARED else _place(plan, messages[0])
        raise TermsConflictError(messages, place=place)
    _check_names(plan, terms)
    whole = parse(plan.license, registry()).text == terms.expression
    return ReleaseTerms(chain=chain, terms=terms, license=plan.license if whole else terms.expression, licence=licence)


def _check_names(plan: Plan, terms: Terms) -> None:
    """Require that every version, which is what people get, has the name that its licences ask for."""
    for version in plan.versions:
        if terms.name_prefix and not begins_with(version.name, terms.name_prefix):
            written = max((name for name in plan.document.value["versions"] if version.name.startswith(name)), key=len)
            message = f"the name of {version.name} has to begin with {terms.name_prefix!r}, which a licence asks for"
            raise TermsConflictError([message], place=plan.document.place(("versions", written), key=True))


def _place(plan: Plan, message: str) -> str:
    """Return the place of the first parent that a message is about."""
    about = (number for number, parent in enumerate(plan.parents) if parent.ref in message)
    return plan.place("parents", next(about, 0))


def _work(parent: ParentPlan) -> Work:
    return Work(
        ref=parent.ref,
        license=parent.license,
        digest=parent.digest,
        modalities=parent.modalities,
        license_text=None if parent.license_path is None else read_text(parent.license_path, "a parent's licence"),
        notice="" if parent.notice_path is None else read_text(parent.notice_path, "a parent's NOTICE"),
    )


def audit_terms(plan: Plan, release: ReleaseTerms, source: Checkpoint, version: Checkpoint, subject: str) -> Audit:
    """Compare everything that states a licence, and note what the terms leave open."""
    statements = tuple(_statements(plan, release, source, version))
    findings = [
        _finding("terms/disagreement", Severity.MEDIUM, found.message, found.first, subject)
        for found in disagreements(statements)
    ]
    for remark in (*release.terms.unknowns, *release.terms.warnings):
        serious = remark in release.terms.unknowns and remark.rule != "not-pinned"
        severity = Severity.MEDIUM if serious else Severity.LOW
        findings.append(_finding(f"terms/{remark.rule}", severity, remark.message, remark.work, subject))
    works = len(release.chain.works)
    coverage = {"statements": len(statements), "works": works, "expression": release.terms.expression}
    return Audit(probe=PROBE, probe_version=PROBE_VERSION, subject=subject, findings=tuple(findings), coverage=coverage)


def _finding(rule: str, severity: Severity, message: str, place: str, subject: str) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        message=message,
        subject=subject,
        place=place,
        probe=PROBE,
        probe_version=PROBE_VERSION,
    )


def _statements(plan: Plan, release: ReleaseTerms, source: Checkpoint, version: Checkpoint) -> Iterator[Stated]:
    yield Stated(place="the release", license=release.license)
    if release.license == plan.license and (recognised := recognise(release.licence).licence_id):
        yield Stated(place="LICENSE", license=recognised)
    yield from header_statements(version)
    yield from folder_statements(source, "the internal model's ")


def header_statements(checkpoint: Checkpoint) -> Iterator[Stated]:
    """Yield what the headers of weight files state: GGUF `general.license`, safetensors metadata `license`."""
    for file, metadata in sorted(checkpoint.metadata.items()):
        for key in ("general.license", "license"):
            if isinstance(value := metadata.get(key), str) and value.strip():
                yield Stated(place=f"{file}: {key}", license=value.strip())


def folder_statements(checkpoint: Checkpoint, whose: str = "") -> Iterator[Stated]:
    """Yield what card and licence file of a folder state; what cannot be read states nothing."""
    if CARD in checkpoint.files:
        try:
            metadata = card_metadata(_read(checkpoint, CARD, _MAX_CARD_BYTES), place=CARD)
        except InputError:
            metadata = {}
        if stated := stated_licence(metadata):
            yield Stated(place=f"{whose}{CARD}", license=stated)
    for name in LICENCE_FILES:
        if name in checkpoint.files and (found := recognise(_read(checkpoint, name, MAX_LICENCE_BYTES)).licence_id):
            yield Stated(place=f"{whose}{name}", license=found)


def _read(checkpoint: Checkpoint, name: str, most: int) -> bytes:
    path = checkpoint.root / name
    descriptor = open_regular(path, place=str(path))
    with open(descriptor, "rb"):  # noqa: PTH123  # closes what open_regular opened
        return read_prefix(descriptor, most, place=str(path))
