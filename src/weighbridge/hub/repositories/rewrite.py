"""Files taken out of every commit that ever had them, as if they had never been there.

Every commit that leads to a ref is made again without them, parents first; what did not have them keeps its oid. The
old commits and the files' pointers are deleted, so that no oid leads to them any more.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from sqlalchemy import Connection, delete, select, update

from weighbridge.hub.content.content import disown
from weighbridge.hub.database.batch import batches
from weighbridge.hub.database.schema import git_object, ref, repository
from weighbridge.hub.git.history import MAX_COMMITS, read_commits
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    GitObject,
    Mode,
    ObjectKind,
    TreeEntry,
    decode_tag,
    encode_commit,
    encode_tag,
    encode_tree,
    oid_of,
)
from weighbridge.hub.http.refusal import unprocessable
from weighbridge.hub.repositories.find import Repository
from weighbridge.hub.repositories.objects import DatabaseObjects, write
from weighbridge.hub.repositories.refs import MAIN, Ref, list_refs


def delete_files(
    connection: Connection, repo: Repository, shas: Collection[str], *, rewrite_history: bool, now_ms: int
) -> bool:
    """Take large files from the repository for good, and say whether the head of `main` is another one now.

    Without `rewrite_history` their pointers stay in the commits, and lead nowhere.

    Args:
        connection: a writing transaction that holds the repository's row.
        repo: the repository.
        shas: the SHA-256 of the files.
        rewrite_history: whether to make the commits again.
        now_ms: milliseconds since 1970.

    Raises:
        Refusal: 422 if more commits lead to the refs than can be made again at once.
    """
    pointers = _pointers(connection, repo.id, shas)
    moved = _rewrite(connection, repo, pointers, now_ms) if rewrite_history and pointers else False
    if rewrite_history:
        _delete_objects(connection, repo.id, pointers)
    disown(connection, repo.id, shas)
    return moved


class _Rewriting:
    """What has been made again so far: trees and commits by their former oid."""

    def __init__(self, reader: DatabaseObjects, pointers: frozenset[str]) -> None:
        self.new: dict[str, GitObject] = {}
        self.commits: dict[str, str] = {}
        self._reader = reader
        self._pointers = pointers
        self._trees: dict[str, str] = {EMPTY_TREE_OID: EMPTY_TREE_OID}

    def keep(self, kind: ObjectKind, data: bytes) -> str:
        oid = oid_of(kind, data)
        self.new[oid] = GitObject(kind, data)
        return oid

    def tree(self, oid: str) -> str:
        """Return the oid of the folder without the files."""
        if oid not in self._trees:
            entries = self._reader.tree(oid)
            kept = [entry for entry in map(self._entry, entries) if entry is not None]
            same = len(kept) == len(entries) and all(a.oid == b.oid for a, b in zip(kept, entries, strict=True))
            self._trees[oid] = oid if same else self.keep("tree", encode_tree(kept))
        return self._trees[oid]

    def commit(self, oid: str, facts: CommitFacts) -> None:
        """Make a commit again whose parents have been."""
        tree = self.tree(facts.tree)
        parents = tuple(self.commits[parent] for parent in facts.parents)
        if tree == facts.tree and parents == facts.parents:
            self.commits[oid] = oid
        else:
            # Two parents may have become one commit.
            distinct = tuple(dict.fromkeys(parents))
            self.commits[oid] = self.keep("commit", encode_commit(replace(facts, tree=tree, parents=distinct)))

    def _entry(self, entry: TreeEntry) -> TreeEntry | None:
        if entry.mode is not Mode.FOLDER:
            return None if entry.oid in self._pointers else entry
        oid = self.tree(entry.oid)
        return None if oid == EMPTY_TREE_OID and entry.oid != oid else entry._replace(oid=oid)


def _rewrite(connection: Connection, repo: Repository, pointers: frozenset[str], now_ms: int) -> bool:
    reader = DatabaseObjects(connection, repo.id)
    named = list_refs(connection, repo.id)
    done = _Rewriting(reader, pointers)
    for oid, facts in _parents_first(reader, {each.commit_oid for each in named}):
        done.commit(oid, facts)
    targets = {each.name: _target(reader, done, each) for each in named}
    write(connection, repo.id, done.new, now_ms)
    moved = [each for each in named if targets[each.name] != each.oid]
    for each in moved:
        values = {"oid": targets[each.name], "commit_oid": done.commits[each.commit_oid], "updated_ms": now_ms}
        connection.execute(update(ref).where(ref.c.repository_id == repo.id, ref.c.name == each.name).values(**values))
        if each.name == MAIN:
            head = {"head": values["commit_oid"], "modified_ms": now_ms}
            connection.execute(update(repository).where(repository.c.id == repo.id).values(**head))
    former = (oid for oid, new in done.commits.items() if new != oid)
    _delete_objects(connection, repo.id, (*former, *(each.oid for each in moved)))
    return any(each.name == MAIN for each in moved)


def _target(reader: DatabaseObjects, done: _Rewriting, each: Ref) -> str:
    commit_oid = done.commits[each.commit_oid]
    if each.oid == each.commit_oid or commit_oid == each.commit_oid:
        return each.oid if commit_oid == each.commit_oid else commit_oid
    facts = decode_tag(reader.read(each.oid).data)
    return done.keep("tag", encode_tag(replace(facts, target=commit_oid, target_kind="commit")))


def _parents_first(reader: DatabaseObjects, heads: Iterable[str]) -> list[tuple[str, CommitFacts]]:
    facts: dict[str, CommitFacts] = {}
    level = list(heads)
    while level:
        facts.update((oid, commit.facts) for oid, commit in read_commits(reader, level).items())
        if len(facts) > MAX_COMMITS:
            raise unprocessable(
                f"More than {MAX_COMMITS:,} commits lead to the refs: squash the history first.", limit=MAX_COMMITS
            )
        level = list({parent for oid in level for parent in facts[oid].parents if parent not in facts})
    order: list[tuple[str, CommitFacts]] = []
    waiting = {oid: len(each.parents) for oid, each in facts.items()}
    children: dict[str, list[str]] = {}
    for oid, each in facts.items():
        for parent in each.parents:
            children.setdefault(parent, []).append(oid)
    ready = [oid for oid, number in waiting.items() if not number]
    while ready:
        oid = ready.pop()
        order.append((oid, facts[oid]))
        for child in children.get(oid, ()):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return order


def _pointers(connection: Connection, repository_id: int, shas: Collection[str]) -> frozenset[str]:
    found: set[str] = set()
    for part in batches(sorted(shas)):
        found.update(
            connection.execute(
                select(git_object.c.oid).where(
                    git_object.c.repository_id == repository_id, git_object.c.lfs_sha256.in_(part)
                )
            ).scalars()
        )
    return frozenset(found)


def _delete_objects(connection: Connection, repository_id: int, oids: Iterable[str]) -> None:
    for part in batches(sorted(set(oids))):
        connection.execute(
            delete(git_object).where(git_object.c.repository_id == repository_id, git_object.c.oid.in_(part))
        )
