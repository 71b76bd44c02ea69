"""Logs, ancestry and differences, compared with what real git says of the same objects."""

import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from weighbridge.hub.git.difference import (
    MergeConflict,
    MergedTree,
    TooManyChangesError,
    changed_paths,
    merge,
)
from weighbridge.hub.git.history import (
    HistoryTooLongError,
    history_page,
    is_ancestor,
    last_commits,
    log,
    merge_base,
    read_commit,
)
from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    GitObjectError,
    Mode,
    Person,
    encode_commit,
)
from weighbridge.hub.git.tree import Change, DeleteFile, Put, apply
from weighbridge.hub.git.unified import unified_diff

START = datetime(2026, 1, 1, tzinfo=UTC)


class Repository:
    """Objects in memory with a clock that goes on by an hour a commit."""

    def __init__(self) -> None:
        self.objects = InMemoryObjects()
        self.now = START
        self.objects.objects.update(apply(self.objects, EMPTY_TREE_OID, [])[1])

    def tree(self, files: dict[str, str | bytes]) -> str:
        changes = [
            Put(path=path, blob_oid=self.objects.add("blob", text if isinstance(text, bytes) else text.encode()))
            for path, text in files.items()
        ]
        oid, new = apply(self.objects, EMPTY_TREE_OID, changes)
        self.objects.objects.update(new)
        return oid

    def commit(self, files: dict[str, str | bytes], *parents: str, hours: int = 1) -> str:
        return self.commit_tree(self.tree(files), *parents, hours=hours)

    def commit_tree(self, tree: str, *parents: str, hours: int = 1) -> str:
        self.now += timedelta(hours=hours)
        facts = CommitFacts(
            tree=tree, parents=parents, author=Person(name="A", email="a@b"), committed_at=self.now, title="T"
        )
        return self.objects.add("commit", encode_commit(facts))

    def into_git(self, folder: Path) -> Path:
        """Write every object into a bare repository of real git."""
        subprocess.run(["git", "init", "-q", "--bare", str(folder)], check=True)
        for kind in ("blob", "tree", "commit"):
            for oid, item in self.objects.objects.items():
                if item.kind == kind:
                    stored = ["git", "-C", str(folder), "hash-object", "-w", "-t", kind, "--stdin"]
                    done = subprocess.run(stored, input=item.data, capture_output=True, check=True)
                    assert done.stdout.decode().strip() == oid
        return folder


def git(folder: Path, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def repository() -> Repository:
    return Repository()


def a_line(repository: Repository, count: int) -> list[str]:
    commits = [repository.commit({"f": "0"})]
    for number in range(1, count):
        commits.append(repository.commit({"f": str(number)}, commits[-1]))
    return commits


def test_a_log_is_paged(repository: Repository) -> None:
    commits = a_line(repository, 7)[::-1]
    assert [commit.oid for commit in log(repository.objects, commits[0])] == commits
    page = history_page(repository.objects, commits[0], skip=2, limit=3)
    assert ([commit.oid for commit in page.commits], page.more) == (commits[2:5], True)
    assert not history_page(repository.objects, commits[0], skip=2, limit=5).more
    assert history_page(repository.objects, commits[0], skip=9).commits == ()
    with pytest.raises(HistoryTooLongError):
        history_page(repository.objects, commits[0], skip=10**9)


def test_a_log_holds_merged_commits_once(repository: Repository) -> None:
    root = repository.commit({"f": "0"})
    left = repository.commit({"f": "1"}, root)
    right = repository.commit({"g": "1"}, root)
    top = repository.commit({"f": "1", "g": "1"}, left, right)
    assert [commit.oid for commit in log(repository.objects, top)] == [top, right, left, root]


def test_what_is_no_commit_is_refused(repository: Repository) -> None:
    with pytest.raises(GitObjectError, match="is a tree"):
        read_commit(repository.objects, EMPTY_TREE_OID)


def test_ancestry_and_merge_bases_are_those_that_git_finds(repository: Repository, tmp_path: Path) -> None:
    chance = random.Random(5)
    commits = [repository.commit({"f": "0"})]
    for number in range(1, 40):
        parents = chance.sample(commits[-8:], k=min(len(commits[-8:]), chance.choice((1, 1, 2))))
        # Clocks that disagree by more than the time between commits.
        commits.append(repository.commit({"f": str(number)}, *parents, hours=chance.choice((3, 1, -2))))
    lonely = repository.commit({"other": "root"})
    folder = repository.into_git(tmp_path / "git")
    for _ in range(25):
        a, b = chance.sample(commits, k=2)
        best = git(folder, "merge-base", "--all", a, b).split()
        assert merge_base(repository.objects, a, b) in best
        ancestor = subprocess.run(["git", "-C", str(folder), "merge-base", "--is-ancestor", a, b], check=False)
        assert is_ancestor(repository.objects, a, b) == (ancestor.returncode == 0)
    assert merge_base(repository.objects, commits[0], commits[0]) == commits[0]
    assert merge_base(repository.objects, lonely, commits[-1]) is None


def test_ancestry_is_bounded(repository: Repository) -> None:
    commits = a_line(repository, 20)
    with pytest.raises(HistoryTooLongError):
        is_ancestor(repository.objects, "0" * 40, commits[-1], max_commits=5)
    with pytest.raises(HistoryTooLongError):
        merge_base(repository.objects, commits[0], commits[-1], max_commits=5)


def test_the_last_commit_of_each_path_is_the_one_that_git_logs(repository: Repository, tmp_path: Path) -> None:
    chance = random.Random(3)
    names = [f"{folder}{name}" for folder in ("", "a/", "a/b/", "c/") for name in ("x", "y", "z")]
    files: dict[str, str | bytes] = dict.fromkeys(names, "0")
    commits = [repository.commit(files)]
    for number in range(30):
        files[chance.choice(names)] = str(number)
        commits.append(repository.commit(files, commits[-1]))
    folder = repository.into_git(tmp_path / "git")
    found = last_commits(repository.objects, commits[-1], [*names, "a", "a/b", "c", "nowhere"])
    assert "nowhere" not in found
    for path, commit in found.items():
        assert commit.oid == git(folder, "log", "-1", "--format=%H", commits[-1], "--", path).strip()
    assert len(found) == len(names) + 3


def test_a_path_that_no_commit_in_sight_changed_gets_the_oldest_in_sight(repository: Repository) -> None:
    commits = a_line(repository, 1)
    for number in range(9):
        commits.append(repository.commit({"f": "0", "g": str(number)}, commits[-1]))
    found = last_commits(repository.objects, commits[-1], ["f", "g", ""], max_commits=4)
    assert (found["f"].oid, found["g"].oid, found[""].oid) == (commits[-4], commits[-1], commits[-1])


OLD: dict[str, str | bytes] = {
    "README.md": "".join(f"line {number}\n" for number in range(60)),
    "no-end": "one\ntwo",
    "gone.txt": "gone\n",
    "empty": "",
    "bin": b"\0\1\2",
    "same/deep/file": "same\n",
    "turns": "into a folder\n",
    'odd "name" ü.txt': "a\n",
    "dos.txt": "a\r\nb\r\n\x0cx\x85\n",
}
NEW: dict[str, str | bytes] = {
    "README.md": OLD["README.md"].replace("line 5\n", "LINE 5\n").replace("line 50\n", ""),  # type: ignore[arg-type]
    "no-end": "one\ntwo\nthree",
    "new file.txt": "new\n",
    "empty": "no longer\n",
    "bin": b"\0\1\2",
    "same/deep/file": "same\n",
    "turns/inner": "now a folder\n",
    'odd "name" ü.txt': "b",
    "dos.txt": "a\r\nc\r\n\x0cx\x85\n",
}


def test_the_text_of_a_difference_is_what_git_apply_takes(repository: Repository, tmp_path: Path) -> None:
    old, new = repository.tree(OLD), repository.tree(NEW)
    folder = repository.into_git(tmp_path / "git")
    for before, after in ((old, new), (new, old), (EMPTY_TREE_OID, new)):
        text = unified_diff(repository.objects, before, after)
        text = text.replace(_of_binary(text), "")
        (tmp_path / "patch").write_text(text, encoding="utf-8", newline="")
        git(folder, "read-tree", before)
        git(folder, "apply", "--cached", str(tmp_path / "patch"))
        git(folder, "rm", "-q", "--cached", "--ignore-unmatch", "bin")
        made = git(folder, "write-tree").strip()
        git(folder, "read-tree", after)
        git(folder, "rm", "-q", "--cached", "--ignore-unmatch", "bin")
        assert made == git(folder, "write-tree").strip()


def _of_binary(text: str) -> str:
    at = text.find("diff --git a/bin b/bin")
    end = text.find("diff --git", at + 1)
    return text[at:end] if at >= 0 else "\0"


def test_modes_and_binary_files_are_named(repository: Repository) -> None:
    blob = repository.objects.add("blob", b"\0")
    other = repository.objects.add("blob", b"\0\0")
    trees = []
    for changes in (
        [Put(path="run", blob_oid=blob), Put(path="bin", blob_oid=blob)],
        [Put(path="run", blob_oid=blob, mode=Mode.EXECUTABLE), Put(path="bin", blob_oid=other)],
    ):
        oid, new = apply(repository.objects, EMPTY_TREE_OID, changes)
        repository.objects.objects.update(new)
        trees.append(oid)
    text = unified_diff(repository.objects, *trees)
    assert "diff --git a/run b/run\nold mode 100644\nnew mode 100755\n" in text
    assert "Binary files a/bin and b/bin differ\n" in text


def test_the_text_of_a_difference_is_bounded(repository: Repository) -> None:
    old = repository.tree({"a": "x\n" * 30_000, "b": "y", "c": "z"})
    new = repository.tree({"a": "q\n" * 30_000, "b": "w", "c": "v"})
    text = unified_diff(repository.objects, old, new, max_bytes=10_000)
    assert "longer than is shown" in text
    assert len(text) < 11_000
    text = unified_diff(repository.objects, old, new, max_files=2)
    assert text.endswith("these are the first 2.\n")
    assert text.count("diff --git") == 2


def test_lines_too_costly_to_match_are_still_a_true_patch(repository: Repository, tmp_path: Path) -> None:
    old = repository.tree({"a": "start\n" + "".join(f"{i % 7}\n" for i in range(9000)) + "end\n"})
    new = repository.tree({"a": "start\n" + "".join(f"{i % 5}\n" for i in range(9001)) + "end\n"})
    folder = repository.into_git(tmp_path / "git")
    (tmp_path / "patch").write_text(unified_diff(repository.objects, old, new))
    git(folder, "read-tree", old)
    git(folder, "apply", "--cached", str(tmp_path / "patch"))
    assert git(folder, "write-tree").strip() == new


def test_changed_paths_skip_what_is_equal_and_name_what_is_not(repository: Repository) -> None:
    found = {
        change.path: (change.old is not None, change.new is not None)
        for change in changed_paths(repository.objects, repository.tree(OLD), repository.tree(NEW))
    }
    removed, added, modified = (True, False), (False, True), (True, True)
    assert found["gone.txt"] == removed
    assert (found["turns"], found["turns/inner"]) == (removed, added)
    assert found["README.md"] == modified
    assert not {"bin", "same/deep/file"} & found.keys()
    with pytest.raises(TooManyChangesError):
        list(changed_paths(repository.objects, None, repository.tree(NEW), max_changes=3))


def test_a_merge_takes_both_sides(repository: Repository) -> None:
    base = repository.tree({"a": "1", "d/x": "1", "gone": "1"})
    ours = repository.tree({"a": "2", "d/x": "1", "gone": "1", "ours": "1"})
    theirs = repository.tree({"a": "1", "d/x": "2", "d/y": "1"})
    outcome = merge(repository.objects, base, ours, theirs)
    assert isinstance(outcome, MergedTree)
    assert outcome.tree_oid == repository.tree({"a": "2", "d/x": "2", "d/y": "1", "ours": "1"})


@pytest.mark.parametrize(
    ("ours", "theirs", "conflicts"),
    [
        ({"a": "2", "b": "1"}, {"a": "3", "b": "1"}, ("a",)),
        ({"b": "1"}, {"a": "3", "b": "1"}, ("a",)),
        ({"a": "1", "b": "1", "n": "1"}, {"a": "1", "b": "1", "n/m": "1"}, ("n/m",)),
        ({"a": "1", "b": "1", "n/m": "1"}, {"a": "1", "b": "1", "n": "1"}, ("n",)),
        ({"a/x": "1", "b": "1"}, {"a": "3", "b": "1"}, ("a",)),
    ],
)
def test_a_merge_names_the_paths_in_conflict(
    repository: Repository, ours: dict[str, str | bytes], theirs: dict[str, str | bytes], conflicts: tuple[str, ...]
) -> None:
    base = repository.tree({"a": "1", "b": "1"})
    outcome = merge(repository.objects, base, repository.tree(ours), repository.tree(theirs))
    assert outcome == MergeConflict(paths=conflicts)


def test_a_merge_of_equal_changes_is_no_conflict(repository: Repository) -> None:
    base, both = repository.tree({"a": "1"}), repository.tree({"b": "2"})
    outcome = merge(repository.objects, base, both, both)
    assert isinstance(outcome, MergedTree)
    assert outcome.tree_oid == both
    changes: list[Change] = [DeleteFile(path="b")]
    assert apply(repository.objects, both, changes)[0] == EMPTY_TREE_OID
