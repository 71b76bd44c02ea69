"""Where it comes from: bytes, signer, recall, what the signature covers, and the ancestors (questions 1 to 4 and 6)."""

from collections.abc import Iterator
from datetime import datetime
from fnmatch import fnmatchcase

from weighbridge.adopt.check.answer import Exhibit, Point, failed, note, passed, unknown
from weighbridge.adopt.check.subject import LicenceFile, Signing, Subject
from weighbridge.adopt.check.use import OurUse
from weighbridge.dossier.release import CARD_NAME, RELEASE_NAME, ReleaseRecord
from weighbridge.dossier.signature import SIGNATURE_NAME
from weighbridge.dossier.status import State, Status, utc_text

_SHOWN = 8
_NAME_A_SIGNER = "Name whom you trust: --key, --certificates or --identity, or `trusted_signers` in the use file."
_SIGNED_COPY = "Ask the publisher for a signed copy, and name whom you trust."
_NOT_VOUCHED = "Nobody that you trust vouches for that statement, so it proves nothing."
_GET_AGAIN = "Do not use these files. Obtain them again; if they still differ, tell the publisher."


def bytes_match(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 1: do the bytes match the signed manifest, with nothing besides?"""
    yield from _against_signature(subject)
    for item in subject.unsafe[:_SHOWN]:
        yield failed(f"{item.path}: {item.message}.", Exhibit(place=item.path), remedy=_GET_AGAIN)
    yield from _against_record(subject)
    for text in subject.unsound[:_SHOWN]:
        yield failed(f"The weights are not sound: {text}.", remedy=_GET_AGAIN)


def _against_signature(subject: Subject) -> Iterator[Point]:
    signature, digest = subject.signature, Exhibit(place="manifest", text=subject.manifest.digest)
    if signature.state is Signing.NONE:
        if subject.record is not None or subject.record_problem:
            reason = f"It has a {RELEASE_NAME} but no {SIGNATURE_NAME}: the signature of a release was taken away."
            yield failed(reason, remedy="Obtain the release again, with its signature.")
        else:
            reason = "Nobody signed these files, so nobody says which bytes they should be."
            yield unknown(reason, digest, remedy="Compare their digests with what the publisher tells you elsewhere.")
    elif signature.state is Signing.UNCHECKED:
        yield unknown("It is signed, and you named nobody whom you trust.", digest, remedy=_NAME_A_SIGNER)
    elif signature.state is Signing.BAD:
        reason = "There is no manifest to compare with: its signature is not good (question 2)."
        yield unknown(reason, digest, remedy=signature.hint)
    elif not signature.problems:
        count = len(subject.manifest.entries) - 1
        size = f"{subject.manifest.size_bytes:,} bytes"
        yield passed(f"All {count} files ({size}) are as signed, and there is no other.", digest)
    for item in signature.problems[:_SHOWN]:
        yield failed(f"{item.path} {item.message}.", Exhibit(place=item.path), remedy=_GET_AGAIN)
    if (more := len(signature.problems) - _SHOWN) > 0:
        yield failed(f"{more} more files are not as signed.", remedy=_GET_AGAIN)


def _against_record(subject: Subject) -> Iterator[Point]:
    if subject.record_problem:
        yield failed(f"Its {RELEASE_NAME} cannot be read: {subject.record_problem}.", remedy=_GET_AGAIN)
    if subject.record is None:
        return
    present = {str(entry.path): entry for entry in subject.manifest}
    for stated in subject.record.manifest:
        found = present.get(str(stated.path))
        if found is None:
            yield failed(f"{stated.path} belongs to the release by its record, and is not there.", remedy=_GET_AGAIN)
        elif found.sha256 != stated.sha256:
            exhibit = Exhibit(place=str(stated.path), text=f"{found.sha256}, recorded {stated.sha256}")
            yield failed(f"{stated.path} has other bytes than its record states.", exhibit, remedy=_GET_AGAIN)


def signer_expected(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 2: is the signer the expected one, unrevoked, and what it says fresh and not rolled back?"""
    signature, standing = subject.signature, subject.standing
    if signature.state is Signing.GOOD:
        yield passed(f"Signed by {signature.signer}.", Exhibit(place=SIGNATURE_NAME, text=subject.signed_digest))
    elif signature.state is Signing.BAD:
        exhibit = Exhibit(place=SIGNATURE_NAME, text=subject.signed_digest)
        yield failed(f"The signature is not good: {signature.message}.", exhibit, remedy=signature.hint)
    elif signature.state is Signing.UNCHECKED:
        yield unknown("It is signed, and you named nobody whom you trust.", remedy=_NAME_A_SIGNER)
    else:
        reason = "Nobody signed it, so that its origin rests on where you found it."
        yield unknown(reason, remedy="Ask the publisher for a signed copy.")
    if standing.distrust:
        reason = f"What the publisher says about it now cannot be trusted: {standing.distrust}."
        yield failed(reason, Exhibit(place=standing.asked), remedy=standing.hint)
    elif standing.fresh:
        yield passed(f"The publisher's word is fresh and not older than before: {standing.fresh}.")
    else:
        yield unknown(
            f"Whether the signer's word is fresh, or was taken back, is not known: {standing.missing}.",
            remedy=standing.hint,
        )


def not_recalled(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 3: is this version recalled, or an ancestor of it?"""
    standing = subject.standing
    if standing.status is not None:
        yield _state(standing.status, "This version", standing.asked)
    elif standing.catalogue_says:
        yield failed(standing.catalogue_says, Exhibit(place=standing.asked), remedy="Use another version.")
    else:
        why = standing.distrust or standing.missing or f"the hub's publisher says nothing about {subject.name}"
        yield unknown(f"Whether this version was recalled is not known: {why}.", remedy=standing.hint)
    yield from _ancestors_standing(subject)


def _ancestors_standing(subject: Subject) -> Iterator[Point]:
    if subject.chain is None:
        return
    silent = []
    for work in subject.chain.works:
        if work.ref == subject.chain.root:
            continue
        if (status := subject.standing.ancestors.get(work.ref)) is not None:
            yield _state(status, f"Its ancestor {work.ref}", subject.standing.asked)
        else:
            silent.append(work.ref)
    if silent:
        names = ", ".join(silent[:_SHOWN]) + (" and others" if len(silent) > _SHOWN else "")
        yield unknown(
            f"Whether an ancestor was recalled is not known: nobody that you trust speaks of {names}.",
            remedy="Look at the publisher's page of each ancestor, and waive this for a time if nothing speaks "
            "against it.",
        )


def _state(status: Status, who: str, asked: str) -> Point:
    exhibit = Exhibit(place=asked, text=f"{status.name} {status.digest}")
    since = f"{status.state} since {utc_text(status.since)}"
    advice = f"Use {status.successor} in its place." if status.successor else ""
    if status.state is State.RECALLED:
        advice = advice or "Stop using it; its publisher names no successor."
        return failed(f"{who} is {since}: {status.reason}", exhibit, remedy=advice)
    if status.state is State.DEPRECATED:
        return passed(f"{who} is {since}, and not recalled: {status.reason} {advice}".strip(), exhibit)
    return passed(f"{who} is {since}, says its publisher.", exhibit)


def covered(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 4: are card, licence, template and BOM inside the signature?"""
    wanted = dict(_documents(subject))
    for what, files in wanted.items():
        yield _is_covered(subject, what, files)
    yield from _bom_bytes(subject)
    for pattern in use.required.documents:
        found = tuple(path for path in subject.paths if fnmatchcase(path, pattern))
        if not found:
            yield failed(f"You require {pattern}, and no such file is there.", remedy="Ask the publisher for it.")
        elif any(path in subject.signature.unsigned for path in found) or subject.signature.state is not Signing.GOOD:
            yield _is_covered(subject, f"the required {pattern}", found)


def _documents(subject: Subject) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "the card", tuple(path for path in subject.paths if path == CARD_NAME)
    yield "the licence", tuple(item.path for item in licence_texts(subject) if item.path in subject.paths)
    templates = tuple(path for path in subject.paths if _holds_template(path))
    if templates:
        yield "what steers prompts (tokenizer, chat template)", templates
    elif subject.format == "gguf":
        yield "the chat template (inside the GGUF file)", tuple(p for p in subject.paths if p.endswith(".gguf"))
    yield "the bill of materials", tuple(item.path for item in subject.boms)


def _bom_bytes(subject: Subject) -> Iterator[Point]:
    """Compare the hashes in bills of materials with the files of these names."""
    present = {str(entry.path): entry.sha256 for entry in subject.manifest}
    for file in subject.boms:
        for component in file.bom.components if file.bom else ():
            name = component.name.removeprefix("./")
            for algorithm, value in component.hashes:
                if algorithm == "sha256" and name in present and value != present[name]:
                    exhibit = Exhibit(place=file.path, text=f"{name}: {present[name]}, stated {value[:64]}")
                    reason = f"The bill of materials {file.path} speaks of other bytes than those of {name}."
                    yield failed(reason, exhibit, remedy=_GET_AGAIN)


def _holds_template(path: str) -> bool:
    return path.endswith(".jinja") or path.rpartition("/")[2] in ("tokenizer_config.json", "chat_template.json")


def _is_covered(subject: Subject, what: str, files: tuple[str, ...]) -> Point:
    exhibits = tuple(Exhibit(place=path) for path in files[:_SHOWN])
    if not files:
        remedy = "Ask the publisher for it; what it would state is unknown without it."
        return unknown(f"{what[0].upper()}{what[1:]} is not there.", remedy=remedy)
    if subject.signature.state is not Signing.GOOD:
        reason = f"{what[0].upper()}{what[1:]} is there, and nobody vouches for it: there is no good signature."
        return unknown(reason, *exhibits, remedy="Anybody may have changed it on the way. Ask for a signed copy.")
    if outside := [path for path in files if path in subject.signature.unsigned]:
        return failed(f"{what[0].upper()}{what[1:]} is not signed: {', '.join(outside[:_SHOWN])}.", remedy=_GET_AGAIN)
    return passed(f"{what[0].upper()}{what[1:]} is inside the signature.", *exhibits)


def ancestors_pinned(subject: Subject, use: OurUse, now: datetime) -> Iterator[Point]:
    """Question 6: is every ancestor pinned by digest, and resolved to its root?"""
    if subject.chain is None:
        reason = f"What it states of its ancestors is no chain: {subject.chain_problem}."
        yield failed(reason, Exhibit(place=subject.lineage_source), remedy="Tell the publisher.")
        return
    ancestors = [work for work in subject.chain.works if work.ref != subject.chain.root]
    if not ancestors:
        yield _no_ancestors(subject)
    unpinned = [work for work in ancestors if not work.digest]
    for work in ancestors:
        if work.digest:
            yield vouched(subject, f"{work.ref} is pinned by its digest.", Exhibit(place=work.ref, text=work.digest))
    for work in unpinned[:_SHOWN]:
        yield unknown(
            f"{work.ref} is named without a digest: nobody can tell which bytes were used.",
            Exhibit(place=subject.lineage_source),
            remedy=f"Ask the publisher for the digest of {work.ref}.",
        )
    if (more := len(unpinned) - _SHOWN) > 0:
        yield unknown(f"{more} more ancestors are named without a digest.")
    yield from _unstated_in_bom(subject, {work.ref for work in subject.chain.works})
    children = {edge.child for edge in subject.chain.edges}
    if roots := sorted(work.ref for work in ancestors if work.ref not in children):
        yield note(f"That {', '.join(roots[:_SHOWN])} descends from nothing else is the publisher's statement.")


def _no_ancestors(subject: Subject) -> Point:
    if subject.record is not None:
        place = Exhibit(place=RELEASE_NAME, text=f"source {subject.record.source_digest}")
        return vouched(subject, "Its record states no ancestor but the publisher's own model, pinned by digest.", place)
    if subject.card is not None:
        reason = "The card names no base model, and does not say that there is none."
        return unknown(reason, Exhibit(place=CARD_NAME), remedy="Ask the publisher what it was made from.")
    return unknown("Nothing says what it was made from.", remedy="Ask the publisher what it was made from.")


def _unstated_in_bom(subject: Subject, known: set[str]) -> Iterator[Point]:
    short = {name.rpartition("/")[2].lower() for name in known}
    source = subject.record.source_digest if subject.record else ""
    digests = {source, *(work.digest for work in subject.chain.works if work.digest)} if subject.chain else {source}
    for file in subject.boms:
        for component in file.bom.ancestors if file.bom else ():
            named = component.name.rpartition("/")[2].rpartition("#")[2].lower() in short
            pinned = component.version in digests or any(value in digests for _, value in component.hashes)
            if not (named or pinned):
                reason = f"The bill of materials names an ancestor that nothing else states: {component.name[:200]!r}."
                yield unknown(reason, Exhibit(place=file.path), remedy="Ask the publisher which of them is right.")


def vouched(subject: Subject, reason: str, *exhibits: Exhibit) -> Point:
    """Return a point that passes by what is stated: only where somebody whom we trust signed the statement."""
    if subject.signed:
        return passed(reason, *exhibits)
    return unknown(f"{reason} {_NOT_VOUCHED}", *exhibits, remedy=_SIGNED_COPY)


def believed(subject: Subject) -> ReleaseRecord | None:
    """Return the release record if somebody whom we trust signed it, and every byte is as signed."""
    return subject.record if subject.signed else None


def licence_texts(subject: Subject) -> tuple[LicenceFile, ...]:
    """Return the files that state a licence in full, those in the root first."""
    return tuple(item for item in subject.licence_files if not item.notice)
