"""Strangers' batches, prefixes, cards and answers: understood, or refused in one sentence."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from weighbridge.hub.community import bucket_batch
from weighbridge.hub.community.access_form import MAX_FIELDS, form_of
from weighbridge.hub.community.buckets import BucketFile, BucketFolder, Place, listed
from weighbridge.hub.community.discussions import MAX_TITLE_CHARACTERS, title_of
from weighbridge.hub.database.connect import Database
from weighbridge.hub.database.schema import METADATA, account, bucket_file, content, repository
from weighbridge.hub.git.paths import check_path
from weighbridge.hub.http.refusal import Refusal
from weighbridge.hub.repositories.find import Repository

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
OPERATION = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["addFile", "copyFile", "deleteFile"]) | JSON,
        "path": st.sampled_from(["a", "a/b", "../a", "/a", ""]) | JSON,
        "xetHash": st.just("a" * 64) | JSON,
        "mtime": st.integers() | JSON,
        "contentType": st.just("text/plain") | JSON,
        "sourceRepoType": st.sampled_from(["model", "bucket"]) | JSON,
        "sourceRepoId": JSON,
    },
)
SHA256 = "0" * 64
FIELDS = JSON | st.dictionaries(st.text(max_size=8), JSON, max_size=4)


def taken(call: Callable[[], Any], *statuses: int) -> Any:
    """Return what the call does, or None where it refuses with one of these statuses; anything else is a fault."""
    try:
        return call()
    except Refusal as refusal:
        if refusal.status not in statuses:
            raise
        return None


@given(st.lists(OPERATION.map(lambda value: json.dumps(value).encode()) | st.binary(), max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_batch_holds_only_paths_that_a_bucket_may_hold(lines: list[bytes]) -> None:
    batch = taken(lambda: bucket_batch.parse(b"\n".join(lines)), 400)
    if batch is None:
        return
    for operation in batch.operations:
        assert check_path(operation.path) == operation.path
        if isinstance(operation, bucket_batch.Add):
            assert operation.modified_ms is None or operation.modified_ms >= 0
    assert all(failure.error for failure in batch.failures)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('hub') / Path('hub.sqlite')}")
    with database.write() as connection:
        METADATA.create_all(connection)
        connection.execute(insert(account).values(id=1, name="a", name_key="a", kind="user", created_ms=1))
        named = {"full_name": "a/b", "name_key": "a/b", "owner_id": 1, "created_ms": 1, "modified_ms": 1}
        connection.execute(insert(repository).values(id=1, kind="bucket", **named))
        held = {"xet_hash": SHA256, "size_bytes": 1, "terms": b"", "created_ms": 1}
        connection.execute(insert(content).values(sha256=SHA256, **held))
    yield database
    database.close()


LETTERS = st.text(alphabet="a/-0b\U0010ffff\ud7ffé", min_size=1, max_size=6)
PATHS = st.sets(LETTERS.filter(lambda path: "//" not in path and path.strip("/") == path), max_size=12)


def expected(paths: set[str], prefix: str, recursive: bool) -> list[str]:
    beyond = len(prefix) + (bool(prefix) and not prefix.endswith("/"))
    found: dict[str, None] = {}
    for path in sorted(paths, key=str.encode):
        if path.startswith(prefix):
            cut = -1 if recursive else path.find("/", beyond)
            found[path if cut < 0 else f"{path[:cut]}/"] = None
    return list(found)


@given(paths=PATHS, prefix=st.just("") | LETTERS, recursive=st.booleans(), limit=st.integers(1, 4))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_a_bucket_together_list_every_file_and_folder_once(
    database: Database, paths: set[str], prefix: str, recursive: bool, limit: int
) -> None:
    row = {"repository_id": 1, "sha256": SHA256, "size_bytes": 1, "modified_ms": 1}
    seen: list[str] = []
    with database.write() as connection:
        connection.execute(delete(bucket_file))
        if paths:
            connection.execute(insert(bucket_file), [{**row, "path": path} for path in paths])
        place: Place | None = None
        for _ in range(20):
            page = listed(connection, 1, prefix, recursive=recursive, start=place, limit=limit)
            assert len(page.entries) <= limit
            for entry in page.entries:
                assert isinstance(entry, BucketFile | BucketFolder)
                seen.append(f"{entry.path}/" if isinstance(entry, BucketFolder) else entry.path)
            place = page.next
            if place is None:
                break
    assert seen == expected(paths, prefix, recursive)


def a_repository(card: dict[str, Any]) -> Repository:
    values: dict[str, Any] = dict.fromkeys(Repository.__dataclass_fields__)
    return Repository(**{**values, "card": card, "full_name": "a/b"})


@given(fields=FIELDS, prompt=JSON, answers=st.dictionaries(st.text(max_size=8), JSON, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_card_of_nonsense_asks_what_can_be_answered(fields: Any, prompt: Any, answers: dict[str, Any]) -> None:
    form = form_of(a_repository({"extra_gated_fields": fields, "extra_gated_prompt": prompt}))
    assert len(form.fields) <= MAX_FIELDS
    right = {"checkbox": True, "date_picker": "2024-02-29"}
    good = {each.label: each.options[0] if each.options else right.get(each.kind, "x") for each in form.fields}
    if all(not isinstance(value, str) or value.strip() == value for value in good.values()):
        assert form.answered(good).keys() >= good.keys()
    kept = taken(lambda: form.answered(answers), 400, 409)
    assert kept is None or kept.keys() <= {each.label for each in form.fields} | {"terms_sha256", "terms_commit"}


@given(JSON | st.text(max_size=400))
@settings(max_examples=60, deadline=None)
def test_a_title_is_one_line_or_refused(value: Any) -> None:
    title = taken(lambda: title_of(value), 400)
    if title is None:
        return
    assert 0 < len(title) <= MAX_TITLE_CHARACTERS
    assert len(title.splitlines()) == 1
    assert "\0" not in title
