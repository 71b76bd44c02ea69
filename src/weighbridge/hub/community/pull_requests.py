"""A pull request: a discussion with a ref `refs/pr/N` that its author may push to, and that can be merged.

A merge moves the target's head on where it has not moved meanwhile, and else makes a commit of both, path by path:
what both sides changed, each in its own way, is a conflict that its author resolves by pushing to the ref.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access, may
from weighbridge.hub.community import discussions
from weighbridge.hub.community.discussions import MAX_COMMENT_CHARACTERS, MAX_TITLE_CHARACTERS, OPEN, Thread
from weighbridge.hub.database.schema import discussion
from weighbridge.hub.git.difference import MergeConflict, MergedTree, TooManyChangesError
from weighbridge.hub.git.difference import merge as merge_trees
from weighbridge.hub.git.history import Commit, HistoryTooLongError, merge_base
from weighbridge.hub.git.objects import GitObjectError
from weighbridge.hub.git.unified import unified_diff
from weighbridge.hub.http.refusal import bad_request, conflict, forbidden, revision_not_found
from weighbridge.hub.repositories import facts
from weighbridge.hub.repositories.author import author_of
from weighbridge.hub.repositories.commit import commit_tree, hold_head
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.front_matter import clean
from weighbridge.hub.repositories.objects import DatabaseObjects, write
from weighbridge.hub.repositories.refs import MAIN, lookup, move
from weighbridge.hub.server import HubServer

PULL_REQUESTS: Final = "refs/pr/"
_HEADS: Final = "refs/heads/"
_SHOWN: Final = 20
_UNTITLED: Final = "Changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a pull request would change: the commits it goes from and to, and paths that conflict with its target.

    `base` is None where the two share no history.
    """

    base: str | None
    head: str
    conflicts: tuple[str, ...] = ()


def open_pull_request(
    connection: Connection,
    repo: Repository,
    caller: Caller,
    *,
    title: str,
    description: str,
    base: str,
    now_ms: int,
    target: str = MAIN,
    status: str = "open",
) -> int:
    """Make a pull request whose ref names the commit `base`, and return its number.

    The caller holds the repository's row, and was found to be allowed to discuss and to read.

    Raises:
        Refusal: 400 if the target is no branch.
    """
    if not target.startswith(_HEADS):
        raise bad_request("A pull request is made for a branch.")
    number = discussions.open_thread(
        connection,
        repo,
        caller,
        title=" ".join(clean(title).split())[:MAX_TITLE_CHARACTERS] or _UNTITLED,
        description=clean(description)[:MAX_COMMENT_CHARACTERS],
        status=status,
        target=target,
        now_ms=now_ms,
    )
    move(connection, repo, ref_of(number), base, None, now_ms=now_ms)
    return number


def ref_of(number: int) -> str:
    """Return the full name of a pull request's ref."""
    return f"{PULL_REQUESTS}{number}"


def number_of(ref_name: str) -> int | None:
    """Return which pull request a ref belongs to; None for a branch."""
    number = ref_name.removeprefix(PULL_REQUESTS)
    if number == ref_name or not (number.isascii() and number.isdecimal() and len(number) < 10):
        return None
    return int(number)


def may_push(connection: Connection, caller: Caller, repo: Repository, ref_name: str) -> None:
    """Return if the caller may commit to this ref: to a branch who may write, to a pull request its author too.

    Raises:
        Refusal: as `permission.may`; 404 for a pull request that is not there, 403 for one that is closed or merged.
    """
    if not ref_name.startswith(PULL_REQUESTS):
        may(connection, caller, repo, Access.WRITE)
        return
    row = connection.execute(
        select(discussion.c.author_id, discussion.c.status).where(
            discussion.c.repository_id == repo.id,
            discussion.c.number == (number_of(ref_name) or -1),
            discussion.c.is_pull_request,
        )
    ).one_or_none()
    if row is None:
        raise revision_not_found(ref_name)
    if caller.user_id is not None and row.author_id == caller.user_id:
        may(connection, caller, repo, Access.DISCUSS)
        may(connection, caller, repo, Access.READ)
    else:
        may(connection, caller, repo, Access.WRITE)
    if row.status not in OPEN:
        raise forbidden(f"The pull request {ref_name} is {row.status}: it takes no more commits.")


def note_commit(
    connection: Connection, repo: Repository, caller: Caller, ref_name: str, made: Commit, *, now_ms: int
) -> None:
    """Enter a commit to the ref of a pull request among its events; of a commit to a branch, nothing is noted."""
    number = number_of(ref_name)
    if number is not None:
        data = {"subject": clean(made.facts.title), "oid": made.oid}
        discussions.add_event(connection, repo, number, "commit", caller, data, now_ms=now_ms)


def changes_of(connection: Connection, repo: Repository, thread: Thread) -> Changes | None:
    """Return what the pull request changes; of a merged one, what it changed. None where that is no longer known."""
    ref = lookup(connection, repo.id, ref_of(thread.number))
    if ref is None:
        return None
    reader = DatabaseObjects(connection, repo.id)
    try:
        if thread.status == "merged":
            return _merged(connection, repo, thread)
        target = lookup(connection, repo.id, thread.target)
        if target is None:
            return None
        base = merge_base(reader, target.commit_oid, ref.commit_oid)
        conflicts: tuple[str, ...] = ()
        if base not in (target.commit_oid, ref.commit_oid):
            merged = _both(reader, base, target.commit_oid, ref.commit_oid)
            conflicts = merged.paths if isinstance(merged, MergeConflict) else ()
        return Changes(base=base, head=ref.commit_oid, conflicts=conflicts)
    except (GitObjectError, HistoryTooLongError, TooManyChangesError):
        return None


def diff_of(connection: Connection, repo: Repository, changes: Changes) -> str:
    """Return the changes as `git diff` shows them; empty where their objects were deleted for good."""
    reader = DatabaseObjects(connection, repo.id)
    try:
        return unified_diff(reader, _tree(reader, changes.base), _tree(reader, changes.head))
    except GitObjectError:
        return ""


def merge(
    connection: Connection, hub: HubServer, repo: Repository, caller: Caller, thread: Thread, *, message: str = ""
) -> str:
    """Merge a pull request into its target and return the target's new head.

    The caller holds the repository's row, and was found to be allowed to write.

    Raises:
        Refusal: 400 for a discussion that is none; 409 if it is a draft, closed, merged, brings nothing new or
            conflicts with its target; then the body's `conflicts` names the paths.
    """
    if not thread.is_pull_request:
        raise bad_request("Only pull requests are merged, and this is a discussion.")
    if thread.status != "open":
        why = ": open it first" if thread.status == "draft" else ""
        raise conflict(f"The pull request cannot be merged, for it is {thread.status}{why}.")
    head = hold_head(connection, repo, ref_of(thread.number))
    ours = hold_head(connection, repo, thread.target)
    if head is None or ours is None:
        raise revision_not_found(thread.target)
    try:
        base = merge_base(DatabaseObjects(connection, repo.id), ours, head)
        if base == head:
            raise conflict("The pull request brings no commit that its target does not have.")
        if base == ours:
            new_head = _forward(connection, hub, repo, thread, ours, head)
        else:
            new_head = _joined(connection, hub, repo, caller, thread, base, ours, head, message)
    except (GitObjectError, HistoryTooLongError, TooManyChangesError) as error:
        raise conflict(f"The pull request cannot be merged: {error.message}.") from error
    data: dict[str, Any] = {"merge_commit": new_head, "base": base, "head": head}
    discussions.mark_merged(connection, repo, caller, thread, data, now_ms=hub.now_ms())
    return new_head


def _forward(connection: Connection, hub: HubServer, repo: Repository, thread: Thread, ours: str, head: str) -> str:
    move(connection, repo, thread.target, head, ours, now_ms=hub.now_ms())
    if thread.target == MAIN:
        facts.refresh(connection, hub, repo)
    return head


def _joined(
    connection: Connection,
    hub: HubServer,
    repo: Repository,
    caller: Caller,
    thread: Thread,
    base: str | None,
    ours: str,
    head: str,
    message: str,
) -> str:
    reader = DatabaseObjects(connection, repo.id)
    merged = _both(reader, base, ours, head)
    if isinstance(merged, MergeConflict):
        shown = ", ".join(merged.paths[:_SHOWN])
        raise conflict(
            f"The pull request conflicts with {thread.target.removeprefix(_HEADS)} in: {shown}",
            conflicts=list(merged.paths[:1000]),
        )
    write(connection, repo.id, merged.objects, hub.now_ms())
    made = commit_tree(
        connection,
        hub,
        repo,
        thread.target,
        merged.tree_oid,
        parents=(ours, head),
        expected=ours,
        author=author_of(caller),
        title=f"{thread.title} (#{thread.number})",
        message=message,
    )
    return made.oid


def _merged(connection: Connection, repo: Repository, thread: Thread) -> Changes | None:
    for event in reversed(discussions.events_of(connection, repo, thread.number)):
        if event.type == "status-change" and event.data.get("status") == "merged":
            return Changes(base=event.data.get("base"), head=event.data["head"])
    return None


def _tree(reader: DatabaseObjects, commit: str | None) -> str | None:
    return None if commit is None else reader.commit(commit).tree


def _both(reader: DatabaseObjects, base: str | None, ours: str, theirs: str) -> MergedTree | MergeConflict:
    return merge_trees(reader, _tree(reader, base), reader.commit(ours).tree, reader.commit(theirs).tree)
