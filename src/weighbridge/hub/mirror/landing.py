"""The end of every move between hubs: what arrived is found complete, and all refs change in one transaction.

Commits and tags are written here and not before, so that nobody can ask for one whose files have not arrived.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, select

from weighbridge.hub.content.content import MissingContentError, own_all, owned_among
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import git_object
from weighbridge.hub.git.history import is_ancestor
from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import GitObject, GitObjectError
from weighbridge.hub.git.selection import peel
from weighbridge.hub.git.tree import ObjectReader
from weighbridge.hub.mirror.carried import PREFIXES, CarriedRef
from weighbridge.hub.mirror.closure import closure
from weighbridge.hub.mirror.errors import IncompleteError
from weighbridge.hub.mirror.target import MIRROR, note
from weighbridge.hub.repositories import facts
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.objects import DatabaseObjects, write
from weighbridge.hub.repositories.refs import MAIN, Ref, list_refs, move, remove
from weighbridge.hub.server import HubServer


class Change(Enum):
    """What happens to a ref."""

    NEW = "new"
    SAME = "same"
    FORWARD = "forward"
    FOLLOWED = "rewritten"  # where it came from has another history now, and nothing was changed here
    REMOVED = "removed"
    BEHIND = "kept: what came is older"
    DIVERGED = "kept: it was changed here"
    FORCED = "set back"

    @property
    def is_kept(self) -> bool:
        """Whether the ref stays although something else came."""
        return self in (Change.BEHIND, Change.DIVERGED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What arrives in a repository.

    Attributes:
        source: where it comes from: an address, or the name of a hub.
        refs: branches and tags.
        whole: whether these are all that the source has.
        made_ms: when the source was read.
        visibility: of the source; for a repository that is new here.
        gated: of the source; for a repository that is new here.
        missing: SHA-256 of files that the source itself lacks.
    """

    source: str
    refs: tuple[CarriedRef, ...]
    whole: bool
    made_ms: int
    visibility: str = "private"
    gated: str = ""
    missing: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefChange:
    """What happened to a ref: its name, what it named before (empty: nothing) and what it names now."""

    name: str
    change: Change
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """What is remembered of the last arrival from the same source."""

    made_ms: int
    refs: Mapping[str, str]

    @classmethod
    def of(cls, settings: Mapping[str, Any], source: str) -> "Last":
        """Read it from a repository's settings."""
        noted = settings.get(MIRROR) or {}
        if noted.get("from") != source:
            return cls(made_ms=0, refs={})
        return cls(made_ms=int(noted.get("madeMs", 0)), refs=dict(noted.get("refs") or {}))


def land(
    connection: Connection,
    hub: HubServer,
    repo: Repository,
    arrival: Arrival,
    commits: Mapping[str, GitObject],
    *,
    allow_rollback: bool,
) -> tuple[RefChange, ...]:
    """Check that all is there, write the commits and tags, and move the refs.

    Args:
        connection: a writing transaction that holds the repository's row.
        hub: the server.
        repo: where it arrives; its trees and blobs are written, its files held.
        arrival: what came.
        commits: commits and annotated tags by oid; those that nothing needs are not written.
        allow_rollback: move refs also backwards, and over what was changed here.

    Raises:
        IncompleteError: if something that a ref needs has not come.
    """
    reader = InMemoryObjects(commits, behind=DatabaseObjects(connection, repo.id))
    there = {ref.name: ref for ref in list_refs(connection, repo.id)}
    last = Last.of(repo.settings, arrival.source)
    changes = decide(reader, there, arrival, last, allow_rollback=allow_rollback)
    moving = [each for each in changes if each.after != each.before and each.change is not Change.REMOVED]
    _complete(connection, hub, repo, reader, [each.after for each in moving], there, arrival, commits)
    _move(connection, hub, repo, moving, {ref.name: ref for ref in arrival.refs})
    for each in changes:
        if each.change is Change.REMOVED:
            remove(connection, repo, each.name)
    _remember(connection, repo, arrival, last, changes, hub.now_ms(), rolled_back=allow_rollback)
    if not there and (repo.settings.get(MIRROR) or {}).get("pending"):
        note(connection, repo.id, visibility=arrival.visibility, gated=arrival.gated)
    if any(each.name == MAIN for each in moving):
        facts.refresh(connection, hub, repo)
    return changes


def decide(
    reader: ObjectReader, there: Mapping[str, Ref], arrival: Arrival, last: Last, *, allow_rollback: bool
) -> tuple[RefChange, ...]:
    """Say what happens to each ref.

    A ref moves forward by itself. It moves elsewhere only if the source is newer than what came from it before, and the
    ref has not been changed here since. Raises `IncompleteError`.
    """
    is_older = arrival.made_ms < last.made_ms
    found = []
    for carried in sorted(arrival.refs, key=lambda ref: ref.name):
        local = there.get(carried.name)
        try:
            change = _change(reader, local, carried, follows=_unchanged(local, last) and not is_older)
        except GitObjectError as error:
            raise IncompleteError(f"{carried.name} needs something that has not come: {error}") from error
        if change.is_kept and allow_rollback:
            change = Change.FORCED
        before = local.oid if local else ""
        found.append(
            RefChange(name=carried.name, change=change, before=before, after=before if change.is_kept else carried.oid)
        )
    if arrival.whole and not is_older:
        carried_names = {ref.name for ref in arrival.refs}
        found += (
            RefChange(name=name, change=Change.REMOVED, before=local.oid, after="")
            for name, local in sorted(there.items())
            if name not in carried_names and name != MAIN and name.startswith(PREFIXES) and _unchanged(local, last)
        )
    return tuple(found)


def _unchanged(local: Ref | None, last: Last) -> bool:
    return local is not None and last.refs.get(local.name) == local.oid


def _change(reader: ObjectReader, local: Ref | None, carried: CarriedRef, *, follows: bool) -> Change:
    if local is not None and local.oid == carried.oid:
        return Change.SAME
    peeled = peel(reader, carried.oid)
    if peeled.kind != "commit" or peeled.target != carried.commit_oid:
        raise GitObjectError("it does not lead to the commit that was stated", place=carried.oid)
    if local is None:
        return Change.NEW
    if local.commit_oid != carried.commit_oid and is_ancestor(reader, local.commit_oid, carried.commit_oid):
        return Change.FORWARD
    if follows:
        return Change.FOLLOWED
    is_behind = is_ancestor(reader, carried.commit_oid, local.commit_oid)
    return Change.BEHIND if is_behind else Change.DIVERGED


def _complete(
    connection: Connection,
    hub: HubServer,
    repo: Repository,
    reader: ObjectReader,
    wants: list[str],
    there: Mapping[str, Ref],
    arrival: Arrival,
    commits: Mapping[str, GitObject],
) -> None:
    """Find everything that the new refs need, hold the files, and write the commits and tags among it."""
    try:
        needed = closure(reader, wants, (ref.commit_oid for ref in there.values()))
    except GitObjectError as error:
        raise IncompleteError(f"an object has not come, or is none: {error}") from error
    _there(connection, repo, needed.trees)
    objects = DatabaseObjects(connection, repo.id)
    for part in batches(needed.blobs):
        found = objects.blobs(part)
        if len(found) != len(part):
            lacking = next(oid for oid in part if oid not in found)
            raise IncompleteError("a file has not come", place=lacking)
        shas = {blob.lfs_sha256 for blob in found.values() if blob.lfs_sha256} - set(arrival.missing)
        held = owned_among(connection, repo.id, shas)
        if lost := sorted(shas - held.keys()):
            raise IncompleteError("a large file has not come", place=lost[0])
        try:
            own_all(connection, repo.id, shas, now_ms=hub.now_ms())
        except MissingContentError as error:
            raise IncompleteError(f"a large file was collected meanwhile: {error.message}") from error
    written = {oid: commits[oid] for oid in (*needed.commits, *needed.tags) if oid in commits}
    write(connection, repo.id, written, hub.now_ms())


def _there(connection: Connection, repo: Repository, oids: tuple[str, ...]) -> None:
    """Ask the database itself for folders: a reader may remember one that was collected as a leftover meanwhile."""
    for part in batches(oids):
        mine = (git_object.c.repository_id == repo.id) & git_object.c.oid.in_(part)
        found = set(connection.execute(select(git_object.c.oid).where(mine)).scalars())
        if len(found) != len(part):
            raise IncompleteError("a folder has not come", place=next(oid for oid in part if oid not in found))


def _move(
    connection: Connection,
    hub: HubServer,
    repo: Repository,
    moving: list[RefChange],
    carried: Mapping[str, CarriedRef],
) -> None:
    for each in moving:
        commit_oid = carried[each.name].commit_oid
        move(
            connection,
            repo,
            each.name,
            each.after,
            each.before or None,
            now_ms=hub.now_ms(),
            commit_oid=commit_oid,
        )


def _remember(
    connection: Connection,
    repo: Repository,
    arrival: Arrival,
    last: Last,
    changes: tuple[RefChange, ...],
    now_ms: int,
    *,
    rolled_back: bool,
) -> None:
    refs = {} if arrival.whole else dict(last.refs)
    for each in changes:
        if each.change.is_kept:
            refs.update({each.name: last.refs[each.name]} if each.name in last.refs else {})
        elif each.after:
            refs[each.name] = each.after
    made_ms = arrival.made_ms if rolled_back else max(arrival.made_ms, last.made_ms)
    noted = {"from": arrival.source, "madeMs": made_ms, "arrivedMs": now_ms, "refs": refs}
    note(connection, repo.id, settings={**repo.settings, MIRROR: noted})
