"""The first commit of a repository, which is there as soon as the repository is."""

from datetime import UTC, datetime

from weighbridge.hub.git.memory import InMemoryObjects
from weighbridge.hub.git.objects import EMPTY_TREE_OID, CommitFacts, GitObject, Person, encode_commit, oid_of
from weighbridge.hub.git.tree import Put, apply

TITLE = "initial commit"

# What the Hub keeps by LFS in a new repository: formats of weights, arrays, archives and media.
LFS_PATTERNS = (
    "*.7z",
    "*.arrow",
    "*.avro",
    "*.bin",
    "*.bz2",
    "*.ckpt",
    "*.ftz",
    "*.gguf",
    "*.gz",
    "*.h5",
    "*.joblib",
    "*.lfs.*",
    "*.mlmodel",
    "*.model",
    "*.msgpack",
    "*.npy",
    "*.npz",
    "*.onnx",
    "*.ot",
    "*.parquet",
    "*.pb",
    "*.pickle",
    "*.pkl",
    "*.pt",
    "*.pth",
    "*.rar",
    "*.safetensors",
    "saved_model/**/*",
    "*.tar.*",
    "*.tar",
    "*.tflite",
    "*.tgz",
    "*.wasm",
    "*.xz",
    "*.zip",
    "*.zst",
    "*tfevents*",
)


def initial_objects(author: Person, now_ms: int, files: dict[str, bytes]) -> tuple[str, dict[str, GitObject]]:
    """Return the first commit's oid, and its objects by oid: `.gitattributes` and these small files."""
    objects = InMemoryObjects()
    attributes = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
    contents = {".gitattributes": attributes.encode(), **files}
    puts = [Put(path=path, blob_oid=objects.add("blob", data)) for path, data in contents.items()]
    tree_oid, trees = apply(objects, EMPTY_TREE_OID, puts)
    facts = CommitFacts(
        tree=tree_oid,
        parents=(),
        author=author,
        committed_at=datetime.fromtimestamp(now_ms / 1000, UTC),
        title=TITLE,
    )
    data = encode_commit(facts)
    commit_oid = oid_of("commit", data)
    return commit_oid, {**objects.objects, **trees, commit_oid: GitObject("commit", data)}
