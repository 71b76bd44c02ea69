"""Branches, tags and other refs of a repository: what they name, and how they come, move and go.

Whoever moves a ref holds the repository's row (`find(..., lock=True)`) and has written the objects before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from weighbridge.hub.database.schema import git_object, ref, repository
from weighbridge.hub.git.objects import GitObject, Person, TagFacts, encode_tag, oid_of
from weighbridge.hub.git.paths import RefNameError, check_branch, check_ref, check_tag, is_oid, refs_of_revision
from weighbridge.hub.http.refusal import bad_request, conflict, forbidden, revision_not_found, stale
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.objects import DatabaseObjects, write

MAIN = "refs/heads/main"
SHORTEST_PREFIX = 7
STALE = "A commit has happened since. Please refresh and try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A ref: its full name, what it names (a commit, or an annotated tag) and the commit that this leads to."""

    name: str
    oid: str
    commit_oid: str
    updated_ms: int


def resolve(connection: Connection, repo: Repository, revision: str) -> str:
    """Return the oid of the commit that a client means by `revision`.

    It may be a branch, a tag, a full name (`refs/pr/1`), `HEAD`, a commit's oid, or at least 7 digits of one if only
    one commit of the repository begins so.

    Raises:
        Refusal: 404 with the code `RevisionNotFound`.
    """
    if revision in ("main", "HEAD", MAIN) and repo.head is not None:
        return repo.head
    if is_oid(revision):
        if DatabaseObjects(connection, repo.id).has_commit(revision):
            return revision
        raise revision_not_found(revision)
    try:
        names = refs_of_revision(revision)
    except RefNameError as error:
        raise revision_not_found(revision) from error
    rows = connection.execute(
        select(ref.c.name, ref.c.commit_oid).where(ref.c.repository_id == repo.id, ref.c.name.in_(names))
    )
    found = {row.name: row.commit_oid for row in rows}
    for name in names:
        if name in found:
            return str(found[name])
    return _by_prefix(connection, repo, revision)


def lookup(connection: Connection, repository_id: int, name: str) -> Ref | None:
    """Return the ref of this full name, or None."""
    row = connection.execute(_COLUMNS.where(ref.c.repository_id == repository_id, ref.c.name == name)).one_or_none()
    return None if row is None else Ref(**row._mapping)


def list_refs(connection: Connection, repository_id: int) -> tuple[Ref, ...]:
    """Return every ref of the repository, by name."""
    rows = connection.execute(_COLUMNS.where(ref.c.repository_id == repository_id).order_by(ref.c.name))
    return tuple(Ref(**row._mapping) for row in rows)


def move(
    connection: Connection,
    repo: Repository,
    name: str,
    new_oid: str,
    expected_oid: str | None,
    *,
    now_ms: int,
    commit_oid: str = "",
) -> None:
    """Let the ref of this full name, which names `expected_oid` (None: does not exist), name `new_oid`.

    `commit_oid` is what an annotated tag leads to; by default, `new_oid` is the commit. When `main` moves, the
    repository's head and time of modification follow; `facts.refresh` brings the rest up to date.

    Raises:
        Refusal: 412 if the ref names something else by now; 409 if one exists that was not expected.
    """
    values = {"oid": new_oid, "commit_oid": commit_oid or new_oid, "updated_ms": now_ms}
    if expected_oid is None:
        _insert(connection, repo.id, name, values)
    else:
        expected = (ref.c.repository_id == repo.id) & (ref.c.name == name) & (ref.c.oid == expected_oid)
        if connection.execute(update(ref).where(expected).values(values)).rowcount != 1:
            raise stale(STALE)
    if name == MAIN:
        connection.execute(
            update(repository).where(repository.c.id == repo.id).values(head=commit_oid or new_oid, modified_ms=now_ms)
        )


def remove(connection: Connection, repo: Repository, name: str) -> bool:
    """Delete the ref of this full name; return whether there was one."""
    gone = delete(ref).where(ref.c.repository_id == repo.id, ref.c.name == name)
    return connection.execute(gone).rowcount == 1


def create_branch(connection: Connection, repo: Repository, branch: str, start: str, *, now_ms: int) -> None:
    """Make a branch at the revision `start`.

    Raises:
        Refusal: 400 for a name that no branch may have; 404 for an unknown revision; 409 if the branch exists.
    """
    name = _named("refs/heads/", branch)
    commit_oid = resolve(connection, repo, start)
    if lookup(connection, repo.id, name) is not None:
        raise conflict(f"Reference already exists: {name}")
    move(connection, repo, name, commit_oid, None, now_ms=now_ms)


def delete_branch(connection: Connection, repo: Repository, branch: str) -> None:
    """Delete a branch.

    Raises:
        Refusal: 403 for `main`, 404 if there is none.
    """
    name = _named("refs/heads/", branch)
    if name == MAIN:
        raise forbidden(f"Cannot delete {MAIN}")
    if not remove(connection, repo, name):
        refused = revision_not_found(branch)
        refused.message = f"Reference does not exist: {name}"
        raise refused


def create_tag(
    connection: Connection, repo: Repository, tag: str, revision: str, *, message: str, author: Person, now_ms: int
) -> None:
    """Make a tag of the revision: an annotated one if there is a message, else a light one.

    Raises:
        Refusal: 400 for a name that no tag may have; 404 for an unknown revision; 409 if the tag exists.
    """
    name = _named("refs/tags/", tag)
    commit_oid = resolve(connection, repo, revision)
    if lookup(connection, repo.id, name) is not None:
        raise conflict(f"Tag reference exists already: {name}")
    oid = commit_oid
    if message:
        moment = datetime.fromtimestamp(now_ms / 1000, UTC)
        facts = TagFacts(
            target=commit_oid, target_kind="commit", name=tag, tagger=author, tagged_at=moment, message=message
        )
        data = encode_tag(facts)
        oid = oid_of("tag", data)
        write(connection, repo.id, {oid: GitObject("tag", data)}, now_ms)
    move(connection, repo, name, oid, None, now_ms=now_ms, commit_oid=commit_oid)


def delete_tag(connection: Connection, repo: Repository, tag: str) -> None:
    """Delete a tag.

    Raises:
        Refusal: 404 if there is none.
    """
    if not remove(connection, repo, _named("refs/tags/", tag)):
        raise revision_not_found(tag)


_COLUMNS = select(ref.c.name, ref.c.oid, ref.c.commit_oid, ref.c.updated_ms)


def _named(prefix: str, short: str) -> str:
    try:
        if short.startswith("refs/"):
            name = check_ref(short)
            if name.startswith(prefix):
                return name
        return prefix + (check_branch(short) if prefix == "refs/heads/" else check_tag(short))
    except RefNameError as error:
        raise bad_request(f"{error.message[0].upper()}{error.message[1:]}.") from error


def _insert(connection: Connection, repository_id: int, name: str, values: dict[str, object]) -> None:
    try:
        with connection.begin_nested():
            connection.execute(insert(ref).values(repository_id=repository_id, name=name, **values))
    except IntegrityError as error:
        raise conflict(f"Reference already exists: {name}") from error


def _by_prefix(connection: Connection, repo: Repository, prefix: str) -> str:
    digits = set(prefix) <= set("0123456789abcdef")
    if digits and SHORTEST_PREFIX <= len(prefix) < 40:
        matching: Sequence[str] = (
            connection.execute(
                select(git_object.c.oid)
                # `g` is the first character after the digits: the range is the prefix.
                .where(
                    git_object.c.repository_id == repo.id, git_object.c.oid >= prefix, git_object.c.oid < prefix + "g"
                )
                .where(git_object.c.kind == "commit")
                .limit(2)
            )
            .scalars()
            .all()
        )
        if len(matching) == 1:
            return matching[0]
    raise revision_not_found(prefix)
