"""A branch gets one commit more: the one way in which the files of a repository change.

Whoever commits holds the repository's row, so commits to one repository happen one after another; what a reader sees is
the old commit or the new one. Objects are written before the ref moves, in the same transaction.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from weighbridge.hub.database.connect import locked
from weighbridge.hub.database.schema import repository
from weighbridge.hub.git.history import Commit
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    GitObject,
    GitObjectError,
    Person,
    encode_commit,
    oid_of,
)
from weighbridge.hub.git.paths import GitPathError
from weighbridge.hub.git.tree import Change, NotInTreeError, TreeChangeError, apply
from weighbridge.hub.http.refusal import ENTRY_NOT_FOUND, Refusal, bad_request, revision_not_found, stale
from weighbridge.hub.repositories import facts
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.objects import DatabaseObjects, write
from weighbridge.hub.repositories.refs import MAIN, STALE, lookup, move
from weighbridge.hub.server import HubServer


def make_commit(
    connection: Connection,
    hub: HubServer,
    repo: Repository,
    ref_name: str,
    changes: Iterable[Change],
    *,
    author: Person,
    title: str,
    message: str = "",
    parent: str | None = None,
) -> Commit:
    """Change the tree of a ref and let the ref name the new commit; return it.

    A commit that would change nothing is not made: the head is returned. The blobs that `changes` name must have been
    written, in this transaction or before. An absent `main` is taken as empty; any other ref must exist.

    Args:
        connection: a writing transaction.
        hub: the server.
        repo: whose caller was found to be allowed this.
        ref_name: the full name, `refs/heads/main` or `refs/pr/1`.
        changes: made one after another.
        author: of the commit.
        title: first line of its message.
        message: what follows it.
        parent: the oid that the head must have; None for whichever it is.

    Raises:
        Refusal: 404 for an unknown ref or a path to delete that is not there, 412 if the head is not `parent`, 400 for
            changes that no tree can hold.
    """
    head = hold_head(connection, repo, ref_name, parent=parent)
    reader = DatabaseObjects(connection, repo.id)
    former = reader.commit(head) if head else None
    tree, trees = changed_tree(reader, former.tree if former else EMPTY_TREE_OID, changes, head=head or "")
    if head and former and tree == former.tree:
        return Commit(oid=head, facts=former)
    write(connection, repo.id, trees, hub.now_ms())
    parents = (head,) if head else ()
    return commit_tree(
        connection,
        hub,
        repo,
        ref_name,
        tree,
        parents=parents,
        expected=head,
        author=author,
        title=title,
        message=message,
    )


def commit_tree(
    connection: Connection,
    hub: HubServer,
    repo: Repository,
    ref_name: str,
    tree: str,
    *,
    parents: tuple[str, ...],
    expected: str | None,
    author: Person,
    title: str,
    message: str = "",
) -> Commit:
    """Make a commit of a tree that is written already, and let the ref name it: merges and squashes do this.

    Args:
        connection: a writing transaction that holds the repository's row.
        hub: the server.
        repo: the repository.
        ref_name: the full name.
        tree: its oid.
        parents: of the commit; none for a history that begins here.
        expected: what the ref names now; None if it does not exist yet.
        author: of the commit.
        title: first line of its message.
        message: what follows it.

    Raises:
        Refusal: 412 if the ref names something else by now, 400 for a message that no commit can hold.
    """
    now_ms = hub.now_ms()
    try:
        stated = CommitFacts(
            tree=tree,
            parents=parents,
            author=author,
            committed_at=datetime.fromtimestamp(now_ms / 1000, UTC),
            title=title,
            message=message,
        )
    except GitObjectError as error:
        raise bad_request(f"{error.message[0].upper()}{error.message[1:]}.") from error
    data = encode_commit(stated)
    oid = oid_of("commit", data)
    write(connection, repo.id, {oid: GitObject("commit", data)}, now_ms)
    move(connection, repo, ref_name, oid, expected, now_ms=now_ms)
    if ref_name == MAIN:
        facts.refresh(connection, hub, repo)
    return Commit(oid=oid, facts=stated)


def hold_head(connection: Connection, repo: Repository, ref_name: str, *, parent: str | None = None) -> str | None:
    """Hold the repository's row until the transaction ends, and return the commit that the ref names.

    Returns:
        Its oid; None for `main` of a repository that has no commit yet.

    Raises:
        Refusal: 404 for another ref that does not exist, 412 if it names something else than `parent`.
    """
    connection.execute(locked(select(repository.c.id).where(repository.c.id == repo.id))).one()
    found = lookup(connection, repo.id, ref_name)
    if found is None and ref_name != MAIN:
        raise revision_not_found(ref_name.removeprefix("refs/heads/"))
    head = found.commit_oid if found else None
    if parent is not None and parent != head:
        raise stale(STALE)
    return head


def changed_tree(
    reader: DatabaseObjects, tree: str, changes: Iterable[Change], *, head: str
) -> tuple[str, dict[str, GitObject]]:
    """Return the oid of the tree that the changes make, and the new tree objects.

    Raises:
        Refusal: 404 for a path to delete that is not there, 400 for changes that no tree can hold.
    """
    try:
        return apply(reader, tree, changes)
    except NotInTreeError as error:
        # The client looks for these words, to explain how files and folders are told apart.
        words = f"A file with this name doesn't exist: {error.place}"
        raise Refusal(404, words, code=ENTRY_NOT_FOUND, headers={"X-Repo-Commit": head} if head else {}) from error
    except (TreeChangeError, GitPathError, GitObjectError) as error:
        raise bad_request(f"{error.place}: {error.message}.") from error
