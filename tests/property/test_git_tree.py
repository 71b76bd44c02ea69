"""Round trips of objects, and changes to a tree against a plain dict of paths."""

import string
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.errors import InputError
from weighbridge.hub.git.difference import MergeConflict, MergedTree, changed_paths, merge
from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import (
    EMPTY_TREE_OID,
    CommitFacts,
    GitObjectError,
    Mode,
    Person,
    TagFacts,
    TreeEntry,
    decode_commit,
    decode_tag,
    decode_tree,
    encode_commit,
    encode_tag,
    encode_tree,
    oid_of,
    pick_entries,
)
from weighbridge.hub.git.paths import GitPathError, RefNameError, check_branch, check_path
from weighbridge.hub.git.pointer import encode_pointer, parse_pointer
from weighbridge.hub.git.tree import Change, DeleteFile, DeleteFolder, Put, TreeChangeError, apply
from weighbridge.hub.git.walk import find, find_many, walk

OIDS = st.text("0123456789abcdef", min_size=40, max_size=40)
NAMES = st.text("ab.-0é", min_size=1, max_size=3).filter(lambda name: name.strip(".") != "")
PATHS = st.lists(st.sampled_from(["a", "b", "a.b", "a-", "é"]), min_size=1, max_size=4).map("/".join)
TIMES = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
PEOPLE = st.builds(Person.cleaned, st.text(max_size=30), st.text(max_size=30))
FREE_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
BLOBS = [oid_of("blob", text) for text in (b"1", b"2", b"3")]


@given(st.dictionaries(NAMES, st.tuples(st.sampled_from(Mode), OIDS)))
def test_trees_read_back(names: dict[str, tuple[Mode, str]]) -> None:
    entries = [TreeEntry(name, mode, oid) for name, (mode, oid) in names.items()]
    decoded = decode_tree(encode_tree(entries))
    assert set(decoded) == set(entries)
    assert encode_tree(decoded) == encode_tree(entries)
    some = [*names][::2]
    assert pick_entries(encode_tree(entries), some) == {name: TreeEntry(name, *names[name]) for name in some}


@given(OIDS, st.lists(OIDS, unique=True, max_size=3), PEOPLE, TIMES, FREE_TEXT, FREE_TEXT)
def test_commits_read_back(
    tree: str, parents: list[str], author: Person, moment: datetime, title: str, message: str
) -> None:
    facts = CommitFacts(
        tree=tree, parents=tuple(parents), author=author, committed_at=moment, title=title, message=message
    )
    assert decode_commit(encode_commit(facts)) == facts


@given(OIDS, PEOPLE, TIMES, FREE_TEXT)
def test_tags_read_back(target: str, tagger: Person, moment: datetime, message: str) -> None:
    facts = TagFacts(target=target, target_kind="commit", name="v1", tagger=tagger, tagged_at=moment, message=message)
    assert decode_tag(encode_tag(facts)) == facts


SEEDS = st.sampled_from(
    [
        b"100644 a\0" + bytes(20),
        f"tree {EMPTY_TREE_OID}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\ntext\n".encode(),
        f"object {EMPTY_TREE_OID}\ntype tree\ntag v\ntagger A <a> 1 +0000\n\ntext\n".encode(),
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12\n".encode(),
    ]
)


@given(st.one_of(st.binary(), st.builds(lambda a, b, c: a[:c] + b + a[c:], SEEDS, st.binary(), st.integers(0, 90))))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (decode_tree, decode_commit, decode_tag):
        try:
            decode(data)
        except GitObjectError:
            continue
    pointer = parse_pointer(data)
    assert pointer is None or encode_pointer(pointer) == data


@given(st.one_of(st.text(), st.text(string.printable), PATHS))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        assert check_path(text) == text
    except GitPathError:
        return
    assert ".git" not in text.lower().split("/")
    assert not {"", ".", ".."} & set(text.split("/"))


@given(st.one_of(st.text(), st.text(string.printable)))
def test_any_text_is_a_branch_or_refused(text: str) -> None:
    try:
        assert check_branch(text) == text
    except RefNameError:
        return
    assert not set(text) & set(" ~^:?*[\\\n\0")


CHANGES = st.one_of(
    st.builds(Put, path=PATHS, blob_oid=st.sampled_from(BLOBS), mode=st.sampled_from([Mode.FILE, Mode.EXECUTABLE])),
    st.builds(DeleteFile, path=PATHS),
    st.builds(DeleteFolder, path=PATHS),
)
Model = dict[str, tuple[Mode, str]]


def model_after(model: Model, change: Change) -> Model | None:
    """Return what the change makes of a plain dict of paths; None where it cannot be made."""
    under = {path for path in model if path.startswith(change.path + "/")}
    match change:
        case Put(path=path, blob_oid=oid, mode=mode):
            above = {"/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)}
            return None if under or above & set(model) else {**model, path: (mode, oid)}
        case DeleteFile(path=path):
            return {key: value for key, value in model.items() if key != path} if path in model else None
        case DeleteFolder():
            return {key: value for key, value in model.items() if key not in under} if under else None


def built(objects: InMemoryObjects, model: Model) -> str:
    oid, new = apply(
        objects, EMPTY_TREE_OID, [Put(path=path, blob_oid=blob, mode=mode) for path, (mode, blob) in model.items()]
    )
    objects.objects.update(new)
    return oid


def files(objects: InMemoryObjects, tree: str) -> Model:
    return {entry.path: (entry.mode, entry.oid) for entry in walk(objects, tree) if not entry.is_folder}


@given(st.lists(st.lists(CHANGES, max_size=8), max_size=6))
def test_changes_make_of_a_tree_what_they_make_of_a_dict(rounds: list[list[Change]]) -> None:
    objects = InMemoryObjects()
    tree, model = EMPTY_TREE_OID, Model()
    for changes in rounds:
        accepted: list[Change] = []
        after = model
        for change in changes:
            made = model_after(after, change)
            if made is None:
                refused = _error(objects, tree, [*accepted, change])
                assert refused is not None
                assert refused.place == change.path
            else:
                after = made
                accepted.append(change)
        before = tree
        tree, new = apply(objects, tree, accepted)
        objects.objects.update(new)
        model = after
        assert files(objects, tree) == model
        assert tree == built(InMemoryObjects(), model)
        assert all(oid_of(item.kind, item.data) == oid for oid, item in new.items())
        assert find_many(objects, tree, model) == {path: find(objects, tree, path) for path in model}
        assert before != tree or not new or tree == EMPTY_TREE_OID


def _error(objects: InMemoryObjects, tree: str, changes: list[Change]) -> InputError | None:
    try:
        apply(objects, tree, changes)
    except TreeChangeError as error:
        return error
    return None


def _model(changes: list[Change]) -> Model:
    model = Model()
    for change in changes:
        model = model_after(model, change) or model
    return model


MODELS = st.lists(CHANGES, max_size=12).map(_model)


@given(MODELS, MODELS)
def test_differences_are_those_of_the_dicts(old: Model, new: Model) -> None:
    objects = InMemoryObjects()
    found = list(changed_paths(objects, built(objects, old), built(objects, new)))
    differing = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    assert {change.path for change in found} == differing
    assert len(found) == len(differing)
    for change in found:
        assert (change.old and (change.old.mode, change.old.oid)) == old.get(change.path)
        assert (change.new and (change.new.mode, change.new.oid)) == new.get(change.path)


@given(MODELS, st.lists(CHANGES, max_size=4), st.lists(CHANGES, max_size=4))
def test_a_merge_holds_the_changes_of_both_sides_or_names_the_conflict(
    base: Model, our_changes: list[Change], their_changes: list[Change]
) -> None:
    objects = InMemoryObjects()
    ours, theirs = dict(base), dict(base)
    for change in our_changes:
        ours = model_after(ours, change) or ours
    for change in their_changes:
        theirs = model_after(theirs, change) or theirs
    base_tree, our_tree, their_tree = (built(objects, model) for model in (base, ours, theirs))
    outcome = merge(objects, base_tree, our_tree, their_tree)
    both = {
        path
        for path in base.keys() | ours.keys() | theirs.keys()
        if ours.get(path) != base.get(path) != theirs.get(path) != ours.get(path)
    }
    if isinstance(outcome, MergeConflict):
        assert outcome.paths
        assert both <= set(outcome.paths)
        return
    assert isinstance(outcome, MergedTree)
    assert not both
    objects.objects.update(outcome.objects)
    merged = {
        path: value
        for path in base.keys() | ours.keys() | theirs.keys()
        if (value := (theirs if ours.get(path) == base.get(path) else ours).get(path)) is not None
    }
    assert files(objects, outcome.tree_oid) == merged
