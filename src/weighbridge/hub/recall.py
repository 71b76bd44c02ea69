"""Call a published version back, or mark it as superseded: the catalogue says so from then on, and so does the page."""

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from weighbridge.dossier.advisory import Reference, advisory_path, default_advisory_id, osv_advisory
from weighbridge.dossier.status import State, Status, StatusError, is_plain_text, utc_text
from weighbridge.errors import InputError, RefusedError
from weighbridge.gate.stage import GUARDED, Needs, Stage, requirement
from weighbridge.hub.catalogue import PublishedVersion, find
from weighbridge.hub.port import Further, Hub
from weighbridge.hub.standing import STATUS_KEY, said_of, signed_statuses, stage_of, state_of

Advisories = Callable[[Mapping[str, PublishedVersion], Mapping[str, bytes]], Mapping[str, bytes]]
"""Makes advisories (path to bytes) from a catalogue and from the files that were signed before."""

MAX_REASON_CHARACTERS = 2_000
"""A reason is read on a terminal and on a page: longer words belong into what a reference leads to."""

_BEGIN, _END = "<!-- notices -->", "<!-- end of notices -->"
_NOTICES = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END), re.DOTALL)
_MAIN, _BODY = (re.compile(rf"<{tag}\b[^>]*>", re.IGNORECASE) for tag in ("main", "body"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is said about a version that shall not be used any more.

    Attributes:
        stage: the stage that it enters, `superseded` or `recalled`.
        reason: why, in words for its users.
        successor: `owner/name` of what to use in its place; empty where there is none.
        advisory: id of the advisory about it; empty for none (a recall then gets one of its own).
    """

    stage: Stage
    reason: str
    successor: str = ""
    advisory: str = ""


def recall(
    hub: Hub, name: str, notice: Notice, *, now: datetime, further: Further | None = None
) -> tuple[Status, bool]:
    """Say of a published version that it is superseded or recalled, in one step.

    Args:
        hub: where it is published.
        name: `owner/name`, or `name` alone where only one owner has it.
        notice: what is said.
        now: when.
        further: makes the signed files of the hub's new state.

    Returns:
        What is said of the version now, and whether anything changed: saying the same again changes nothing.

    Raises:
        RefusedError: if the stages allow no such move, or no reason is given.
        InputError: if there is no such version or successor, or the reason is no plain text or too long.
        HubError: if the hub cannot be written to; what was said before stays.
    """
    place = hub.place
    found: list[tuple[Status, bool]] = []

    def change(catalogue: Mapping[str, PublishedVersion]) -> Mapping[str, PublishedVersion]:
        moved, status = move(catalogue, name, notice, now=now, place=place)
        found.append((status, moved != catalogue))
        return moved

    hub.amend(change, page=lambda catalogue, page: with_notices(page, catalogue), further=further)
    return found[-1]


def move(
    catalogue: Mapping[str, PublishedVersion], name: str, notice: Notice, *, now: datetime, place: str
) -> tuple[Mapping[str, PublishedVersion], Status]:
    """Return the catalogue after the move, and what is said of the version then. See `recall`."""
    version = find(catalogue, name, place=place)
    if len(notice.reason) > MAX_REASON_CHARACTERS:
        raise InputError(
            f"the reason has {len(notice.reason):,} characters, more than {MAX_REASON_CHARACTERS:,}",
            place=place,
            hint="Say in short what is wrong and what to do, and name with --reference where more is said.",
        )
    successor = _successor(catalogue, version, notice.successor, place=place)
    said, current = said_of(version), stage_of(version)
    if said is not None and current == notice.stage and (said.reason, said.successor) == (notice.reason, successor):
        return catalogue, said
    if requirement(current, notice.stage) != Needs.NOTICE:
        raise RefusedError(f"{version.name} enters {notice.stage} by a verdict, not by a notice", place=place)
    if not notice.reason.strip() or not is_plain_text(notice.reason):
        raise RefusedError(
            f"{version.name} cannot become {notice.stage} without a reason in plain text",
            place=place,
            hint="Its users have to decide what to do: tell them what is wrong and what they should do.",
        )
    status = _status(version, said, notice, successor, now)
    if status.advisory:
        advisory_path(status.advisory)
    moved = replace(version, stage=str(notice.stage), record={**version.record, STATUS_KEY: status.to_json()})
    return MappingProxyType({**catalogue, version.name: moved}), status


def _status(version: PublishedVersion, said: Status | None, notice: Notice, successor: str, now: datetime) -> Status:
    subject = version.record.get("subject")
    circle = said.circle if said else version.stage if stage_of(version) in GUARDED else ""
    state = State.RECALLED if notice.stage == Stage.RECALLED else State.DEPRECATED
    try:
        status = Status(
            name=version.name,
            digest=version.digest,
            subject=subject if isinstance(subject, str) else "",
            state=state,
            since=now.replace(microsecond=0),
            circle=circle,
            reason=notice.reason,
            successor=successor,
            advisory=notice.advisory,
        )
    except StatusError as error:
        raise InputError(f"this cannot be said of {version.name}: {error.message}") from error
    if state == State.RECALLED and not status.advisory:
        return replace(status, advisory=default_advisory_id(version.name, version.digest))
    return status


def _successor(catalogue: Mapping[str, PublishedVersion], version: PublishedVersion, name: str, *, place: str) -> str:
    if not name:
        return ""
    successor = find(catalogue, name, place=place)
    if successor.name == version.name or state_of(successor) == State.RECALLED:
        raise InputError(
            f"{successor.name} cannot be the successor of {version.name}: it is "
            + ("the same" if successor.name == version.name else "recalled itself"),
            place=place,
            hint="Name a version of this hub that can be used, or none.",
        )
    return successor.name


def advisories(references: Sequence[Reference] = (), *, about: str = "") -> Advisories:
    """Return what makes the advisories of a hub: one for each id that a status names.

    Args:
        references: where more is said, added to those that an advisory has.
        about: the id of the advisory that they are added to.
    """

    def documents(catalogue: Mapping[str, PublishedVersion], signed: Mapping[str, bytes]) -> Mapping[str, bytes]:
        spoken = {(status.name, status.digest): status for status in signed_statuses(signed).values()}
        spoken |= {(s.name, s.digest): s for version in catalogue.values() if (s := said_of(version))}
        by_id: dict[str, list[Status]] = {}
        for status in spoken.values():
            if status.advisory and status.state != State.ACTIVE:
                by_id.setdefault(status.advisory, []).append(status)
        made = {}
        for identifier, statuses in by_id.items():
            path = advisory_path(identifier)
            known = _references(signed.get(path, b"{}")) + (tuple(references) if identifier == about else ())
            made[path] = osv_advisory(statuses, identifier=identifier, references=tuple(dict.fromkeys(known)))
        return made

    return documents


def _references(advisory: bytes) -> tuple[Reference, ...]:
    """Return the references of an advisory that this hub's publisher signed."""
    return tuple(Reference(kind=item["type"], url=item["url"]) for item in json.loads(advisory).get("references", ()))


def with_notices(page: str, catalogue: Mapping[str, PublishedVersion]) -> str:
    """Return an HTML page with a notice at its top for each version that is recalled or superseded, and no older one.

    Args:
        page: the page, with or without notices.
        catalogue: what is published.
    """
    page = _NOTICES.sub("", page)
    said = [status for version in catalogue.values() if (status := said_of(version)) and status.state != State.ACTIVE]
    if not said:
        return page
    items = "".join(f"<li>{_sentence(status)}</li>" for status in said)
    block = f'{_BEGIN}<aside class="wrap" role="note" aria-label="Recalls"><ul>{items}</ul></aside>{_END}'
    opening = _MAIN.search(page) or _BODY.search(page)
    at = opening.end() if opening else 0
    return page[:at] + block + page[at:]


def _sentence(status: Status) -> str:
    reason, successor = html.escape(status.reason), html.escape(status.successor)
    use = f" Use <strong>{successor}</strong> in its place." if successor else ""
    return (
        f"<strong>{html.escape(status.name)} is {status.state}</strong> since {utc_text(status.since)}: {reason}{use}"
    )
