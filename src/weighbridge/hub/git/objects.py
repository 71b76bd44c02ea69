"""The four kinds of git objects: the one door to what they have in common and to their forms.

What is read is bounded and checked; what git fsck would complain of is refused.
"""

from typing import Final

from weighbridge.hub.git.commit_form import (
    MAX_TEXT_BYTES,
    CommitFacts,
    Person,
    TagFacts,
    decode_commit,
    decode_tag,
    encode_commit,
    encode_tag,
)
from weighbridge.hub.git.object_id import (
    EMPTY_TREE_OID,
    GitObject,
    GitObjectError,
    MissingObjectError,
    ObjectKind,
    blob_header,
    oid_of,
)
from weighbridge.hub.git.tree_form import (
    MAX_TREE_BYTES,
    Mode,
    TreeEntry,
    decode_tree,
    encode_tree,
    pick_entries,
)

__all__ = [
    "EMPTY_TREE_OID",
    "MAX_BLOB_BYTES",
    "MAX_TEXT_BYTES",
    "MAX_TREE_BYTES",
    "CommitFacts",
    "GitObject",
    "GitObjectError",
    "MissingObjectError",
    "Mode",
    "ObjectKind",
    "Person",
    "TagFacts",
    "TreeEntry",
    "blob_header",
    "check_object",
    "decode_commit",
    "decode_tag",
    "decode_tree",
    "encode_commit",
    "encode_tag",
    "encode_tree",
    "oid_of",
    "pick_entries",
]

MAX_BLOB_BYTES: Final = 64 * 2**20


def check_object(kind: ObjectKind, data: bytes) -> None:
    """Raise `GitObjectError` unless `data` is a sound object of its kind."""
    match kind:
        case "blob":
            if len(data) > MAX_BLOB_BYTES:
                raise GitObjectError(f"a blob has at most {MAX_BLOB_BYTES} bytes; larger files go by LFS or Xet")
        case "tree":
            decode_tree(data)
        case "commit":
            decode_commit(data)
        case "tag":
            decode_tag(data)
