"""Any bytes for a request of git: answered, or refused with an error that the client is told."""

import gzip
import io
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.errors import InputError
from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import EMPTY_TREE_OID, CommitFacts, Person, encode_commit
from weighbridge.hub.git.tree import Put, apply
from weighbridge.hub.git.upload_pack import plain_body, upload_pack

OBJECTS = InMemoryObjects()
TREE, NEW = apply(OBJECTS, EMPTY_TREE_OID, [Put(path="a/b", blob_oid=OBJECTS.add("blob", b"b"))])
OBJECTS.objects.update(NEW)
TIP = OBJECTS.add(
    "commit",
    encode_commit(
        CommitFacts(
            tree=TREE,
            parents=(),
            author=Person(name="A", email="a@b"),
            committed_at=datetime(2026, 1, 1, tzinfo=UTC),
            title="T",
        )
    ),
)
REFS = {"refs/heads/main": TIP}
WORDS = st.sampled_from(
    [
        f"want {TIP} multi_ack_detailed side-band-64k\n",
        f"want {TREE}\n",
        f"want {'1' * 40}\n",
        f"have {TIP}\n",
        f"have {TREE}\n",
        f"have {'1' * 40}\n",
        f"shallow {TIP}\n",
        f"shallow {'1' * 40}\n",
        "deepen 1\n",
        "deepen 2147483647\n",
        "done\n",
        "",
    ]
)
LINES = st.one_of(
    WORDS.map(lambda text: b"%04x%s" % (len(text) + 4, text.encode()) if text else b"0000"),
    st.binary(max_size=12),
)
BODIES = st.lists(LINES, max_size=8).map(b"".join)


@given(BODIES)
def test_any_request_is_answered_or_refused(body: bytes) -> None:
    told: list[bytes] = []
    try:
        upload_pack(OBJECTS, REFS, io.BytesIO(body), told.append)
    except InputError:
        assert b"ERR " in b"".join(told)


@given(st.one_of(st.binary(), st.builds(lambda body, cut: gzip.compress(body)[:cut], BODIES, st.integers(0, 200))))
def test_any_compressed_request_is_answered_or_refused(body: bytes) -> None:
    told: list[bytes] = []
    try:
        upload_pack(OBJECTS, REFS, plain_body(io.BytesIO(body), "gzip"), told.append)
    except InputError:
        assert b"ERR " in b"".join(told)
