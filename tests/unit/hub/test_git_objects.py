"""Objects as git itself makes and accepts them: ids compared with the real program."""

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    GitObjectError,
    Mode,
    ObjectKind,
    Person,
    TagFacts,
    TreeEntry,
    check_object,
    decode_commit,
    decode_tag,
    decode_tree,
    encode_commit,
    encode_tag,
    encode_tree,
    oid_of,
)

ANA = Person(name="Ana Lima", email="ana@example.org")
NOW = datetime(2026, 11, 22, 16, 0, 5, tzinfo=UTC)
BLOB = oid_of("blob", b"weights\n")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path)], check=True)
    return tmp_path


def git(repository: Path, *arguments: str, given: bytes = b"") -> str:
    done = subprocess.run(["git", "-C", str(repository), *arguments], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def stored_by_git(repository: Path, kind: ObjectKind, data: bytes) -> str:
    """Have git check (as fsck does) and store the object; return the oid that git gives it."""
    return git(repository, "hash-object", "-w", "-t", kind, "--stdin", given=data)


def a_commit(tree: str, *parents: str, title: str = "Add weights", message: str = "") -> CommitFacts:
    return CommitFacts(tree=tree, parents=parents, author=ANA, committed_at=NOW, title=title, message=message)


def test_empty_objects_have_their_well_known_ids() -> None:
    assert oid_of("blob", b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert oid_of("tree", encode_tree(())) == EMPTY_TREE_OID


def test_git_gives_every_kind_of_object_the_same_id_and_fsck_is_content(repository: Path) -> None:
    tree = encode_tree(
        [
            TreeEntry("lib", Mode.FOLDER, EMPTY_TREE_OID),
            TreeEntry("lib.txt", Mode.FILE, BLOB),
            TreeEntry("lib0", Mode.EXECUTABLE, BLOB),
            TreeEntry("größe 模型.bin", Mode.FILE, BLOB),
        ]
    )
    tree_oid = oid_of("tree", tree)
    first = encode_commit(a_commit(tree_oid))
    second = encode_commit(a_commit(tree_oid, oid_of("commit", first), title="Merge", message="Two lines\n\nof text"))
    tag = encode_tag(
        TagFacts(
            target=oid_of("commit", second),
            target_kind="commit",
            name="v1.0",
            tagger=ANA,
            tagged_at=NOW,
            message="The first",
        )
    )
    objects: list[tuple[ObjectKind, bytes]] = [
        ("blob", b"weights\n"),
        ("tree", b""),
        ("tree", tree),
        ("commit", first),
        ("commit", second),
        ("tag", tag),
    ]
    for kind, data in objects:
        assert stored_by_git(repository, kind, data) == oid_of(kind, data)
        check_object(kind, data)
    git(repository, "update-ref", "refs/tags/v1.0", oid_of("tag", tag))
    assert git(repository, "fsck", "--strict", "--full", "--no-dangling") == ""
    shown = git(repository, "log", "-1", "--format=%s|%b|%an|%ae|%ct", "v1.0")
    assert shown == f"Merge|Two lines\n\nof text\n|Ana Lima|ana@example.org|{int(NOW.timestamp())}"


def test_a_tree_is_the_one_that_git_mktree_makes(repository: Path) -> None:
    stored_by_git(repository, "blob", b"weights\n")
    stored_by_git(repository, "tree", b"")
    entries = [
        TreeEntry("a-b", Mode.FILE, BLOB),
        TreeEntry("a", Mode.FOLDER, EMPTY_TREE_OID),
        TreeEntry("a.c", Mode.EXECUTABLE, BLOB),
    ]
    listing = "".join(
        f"{entry.mode:06o} {'tree' if entry.mode is Mode.FOLDER else 'blob'} {entry.oid}\t{entry.name}\n"
        for entry in entries
    )
    assert git(repository, "mktree", given=listing.encode()) == oid_of("tree", encode_tree(entries))


def test_commits_that_git_made_are_read(repository: Path) -> None:
    stored_by_git(repository, "tree", b"")
    made = git(
        repository,
        "-c",
        "user.name=Bo",
        "-c",
        "user.email=bo@example.org",
        "commit-tree",
        EMPTY_TREE_OID,
        "-m",
        "Title",
        "-m",
        "Body",
    )
    facts = decode_commit(git(repository, "cat-file", "commit", made).encode() + b"\n")
    assert (facts.title, facts.message, facts.author) == ("Title", "Body", Person(name="Bo", email="bo@example.org"))
    assert facts.tree == EMPTY_TREE_OID


def test_a_signed_commit_of_another_zone_is_read() -> None:
    data = (
        f"tree {EMPTY_TREE_OID}\nauthor A <a@b> 1700000000 +0200\ncommitter B <c@d> 1700000001 -0330\n"
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n tree of lies\n -----END PGP SIGNATURE-----\n\nSubject\n"
    ).encode()
    facts = decode_commit(data)
    assert facts.committed_at == datetime.fromtimestamp(1700000001, UTC)
    assert (facts.title, facts.message) == ("Subject", "")


def test_the_same_facts_give_the_same_commit_whatever_the_zone() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5))) + timedelta(microseconds=7)
    again = CommitFacts(tree=EMPTY_TREE_OID, parents=(), author=ANA, committed_at=elsewhere, title="Add weights")
    assert encode_commit(again) == encode_commit(a_commit(EMPTY_TREE_OID))


def test_a_person_cannot_forge_headers() -> None:
    person = Person.cleaned("Eve <root@hub>\ncommitter Ana", "x>\n1 +0000")
    data = encode_commit(CommitFacts(tree=EMPTY_TREE_OID, parents=(), author=person, committed_at=NOW, title="T"))
    assert decode_commit(data).author == person
    assert data.count(b"\ncommitter ") == 1
    with pytest.raises(GitObjectError, match="hold no"):
        Person(name="a\nb", email="")


def test_a_title_stays_one_line() -> None:
    facts = a_commit(EMPTY_TREE_OID, title="One\r\n\ntwo \0 three", message="\n\nrest\r\n")
    assert (facts.title, facts.message) == ("One two three", "rest")
    assert decode_commit(encode_commit(facts)) == facts


def test_a_message_without_title_lends_its_first_line() -> None:
    facts = a_commit(EMPTY_TREE_OID, title="", message="First\nsecond")
    assert (facts.title, facts.message) == ("First", "second")


def test_tags_are_read_back() -> None:
    facts = TagFacts(target=BLOB, target_kind="blob", name="v1", tagger=ANA, tagged_at=NOW)
    assert decode_tag(encode_tag(facts)) == facts


@pytest.mark.parametrize(
    "data",
    [
        b"100644 a\0" + b"x" * 19,
        b"100644 a\0" + b"x" * 20 + b"junk",
        b"100644 \0" + b"x" * 20,
        b"100644 a/b\0" + b"x" * 20,
        b"100644 ..\0" + b"x" * 20,
        b"40000 .GIT\0" + b"x" * 20,
        b"40000 git~1\0" + b"x" * 20,
        b"40000 .g\xe2\x80\x8cit\0" + b"x" * 20,
        b"120000 link\0" + b"x" * 20,
        b"160000 module\0" + b"x" * 20,
        b"0100644 a\0" + b"x" * 20,
        b"100664 a\0" + b"x" * 20,
        b"100644 b\0" + b"x" * 20 + b"100644 a\0" + b"x" * 20,
        b"100644 a\0" + b"x" * 20 + b"100644 a\0" + b"x" * 20,
        b"100644 a\0" + b"x" * 20 + b"100644 a.b\0" + b"x" * 20 + b"40000 a\0" + b"x" * 20,
        b"100644 \xff\0" + b"x" * 20,
        b"100644 " + b"n" * 256 + b"\0" + b"x" * 20,
    ],
)
def test_a_hostile_tree_is_refused(data: bytes) -> None:
    with pytest.raises(GitObjectError):
        decode_tree(data)


GOOD = encode_commit(CommitFacts(tree=EMPTY_TREE_OID, parents=(), author=ANA, committed_at=NOW, title="T"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"tree\n\n",
        GOOD.replace(b"tree 4b", b"tree 4B"),
        GOOD.replace(b"author", b"writer"),
        GOOD.replace(b"+0000", b"0"),
        GOOD.replace(b"committer ", b"tree " + EMPTY_TREE_OID.encode() + b"\ncommitter "),
        GOOD.replace(str(int(NOW.timestamp())).encode(), b"999999999999"),
        GOOD.replace(b"author", f"parent {BLOB}\nparent {BLOB}\nauthor".encode()),
        GOOD + b"x" * 2**20,
    ],
)
def test_a_hostile_commit_is_refused(data: bytes) -> None:
    with pytest.raises(GitObjectError):
        decode_commit(data)


def test_a_tag_without_tagger_is_refused() -> None:
    with pytest.raises(GitObjectError):
        decode_tag(f"object {BLOB}\ntype blob\ntag v1\n\nmessage\n".encode())
