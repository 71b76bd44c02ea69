"""The tables of the hub server, for SQLite and PostgreSQL alike.

Times are whole milliseconds since 1970-01-01 UTC (`…_ms`), sizes are bytes, hashes are lower-case hexadecimal text:
Git oids of 40, SHA-256 and Xet hashes of 64 characters. A name is kept as its owner wrote it, with a `…_key` in lower
case beside it that is unique: two names that differ in case alone would be one folder on many disks.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column that it calls INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[int]:
    return Column("id", _Id, primary_key=True, autoincrement=True)


def _of(name: str, target: str, *, key: bool = False, null: bool = False) -> Column[int]:
    rule = "SET NULL" if null else "CASCADE"
    return Column(name, _Id, ForeignKey(f"{target}.id", ondelete=rule), primary_key=key, nullable=null)


# ---- who ------------------------------------------------------------------------------------------------

account = Table(
    "account",
    METADATA,
    _id(),
    Column("name", String(96), nullable=False),
    Column("name_key", String(96), nullable=False, unique=True),
    Column("kind", String(8), CheckConstraint("kind IN ('user','org')", name="kind"), nullable=False),
    Column("full_name", String(200), nullable=False, default=""),
    Column("email", String(320), nullable=False, default=""),
    Column("is_admin", Boolean, nullable=False, default=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("disabled_ms", BigInteger),
)

membership = Table(
    "membership",
    METADATA,
    _of("org_id", "account", key=True),
    _of("user_id", "account", key=True),
    Column("role", String(16), nullable=False),  # read, contributor, write, admin
)

# Only the SHA-256 of a token is kept: a token is 256 random bits, so a slow hash would protect nothing.
token = Table(
    "token",
    METADATA,
    _id(),
    _of("user_id", "account"),
    Column("name", String(96), nullable=False),
    Column("role", String(16), nullable=False),  # read, write, fineGrained
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("ending", String(4), nullable=False),  # the last characters, so that its owner knows it again
    Column("scopes", JSON, nullable=False, default=list),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("used_ms", BigInteger),
)

# ---- repositories: real Git objects, one set a repository -----------------------------------------------

repository = Table(
    "repository",
    METADATA,
    _id(),
    Column("kind", String(8), nullable=False),  # model, dataset, space, bucket
    _of("owner_id", "account"),
    Column("full_name", String(193), nullable=False),
    Column("name_key", String(193), nullable=False),
    Column("visibility", String(8), nullable=False, default="public"),  # public, private
    Column("gated", String(8), nullable=False, default=""),  # '', auto, manual
    Column("created_ms", BigInteger, nullable=False),
    Column("modified_ms", BigInteger, nullable=False),
    Column("creator_id", _Id, ForeignKey("account.id", ondelete="SET NULL")),
    Column("downloads", BigInteger, nullable=False, default=0),
    Column("likes", BigInteger, nullable=False, default=0),
    Column("next_discussion", Integer, nullable=False, default=1),
    Column("disabled_ms", BigInteger),
    # Facts of the head of `main`, made anew by every commit to it, so that lists and searches read one table.
    Column("head", String(40)),
    Column("card", JSON, nullable=False, default=dict),
    Column("pipeline_tag", String(96)),
    Column("library_name", String(96)),
    Column("parameters", BigInteger),
    Column("safetensors", JSON),  # {"parameters": {dtype: count}, "total": count}
    Column("gguf", JSON),
    Column("used_storage_bytes", BigInteger, nullable=False, default=0),
    Column("settings", JSON, nullable=False, default=dict),
    UniqueConstraint("kind", "name_key"),
    Index("ix_repository_list", "kind", "modified_ms", "id"),
    Index("ix_repository_downloads", "kind", "downloads", "id"),
    Index("ix_repository_likes", "kind", "likes", "id"),
    Index("ix_repository_owner", "owner_id"),
    # No number is used twice: what is remembered under it must not answer for a later repository.
    sqlite_autoincrement=True,
)

repository_like = Table(
    "repository_like",
    METADATA,
    _of("repository_id", "repository", key=True),
    _of("user_id", "account", key=True),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_repository_like_user", "user_id", "created_ms"),
)

repository_tag = Table(
    "repository_tag",
    METADATA,
    _of("repository_id", "repository", key=True),
    Column("tag", String(200), primary_key=True),
    Index("ix_repository_tag_tag", "tag"),
)

# Where a repository was before it moved: old names go on working until somebody else takes them.
former_name = Table(
    "former_name",
    METADATA,
    Column("kind", String(8), primary_key=True),
    Column("name_key", String(193), primary_key=True),
    _of("repository_id", "repository"),
)

ref = Table(
    "ref",
    METADATA,
    _of("repository_id", "repository", key=True),
    Column("name", String(300), primary_key=True),  # refs/heads/main, refs/tags/v1, refs/pr/1
    Column("oid", String(40), nullable=False),  # a commit, or an annotated tag
    Column("commit_oid", String(40), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

git_object = Table(
    "git_object",
    METADATA,
    _of("repository_id", "repository", key=True),
    Column("oid", String(40), primary_key=True),
    Column("kind", String(6), nullable=False),  # blob, tree, commit, tag
    Column("size_bytes", BigInteger, nullable=False),
    Column("lfs_sha256", String(64)),  # of a blob that is an LFS pointer
    Column("lfs_size_bytes", BigInteger),
    Column("data", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# The listing of the head of `main`, packed by LZ4: derived, and may be dropped at any time.
head_listing = Table(
    "head_listing",
    METADATA,
    _of("repository_id", "repository", key=True),
    Column("commit_oid", String(40), nullable=False),
    Column("tree_oid", String(40), nullable=False),
    Column("files", LargeBinary, nullable=False),
    Column("siblings", LargeBinary, nullable=False),
)

# ---- bytes: chunks in xorbs, whole files as lists of ranges in them -------------------------------------

xorb = Table(
    "xorb",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("key", String(120), nullable=False, unique=True),  # in the byte store; never used twice
    Column("size_bytes", BigInteger, nullable=False),
    Column("raw_bytes", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("chunks", LargeBinary, nullable=False),  # XorbIndex.to_bytes()
    Column("created_ms", BigInteger, nullable=False),
    Column("condemned_ms", BigInteger),  # garbage collection will delete it, unless somebody uses it again
    Index("ix_xorb_condemned", "condemned_ms"),
)

# Which repository brought a xorb: to know a hash grants nothing.
xorb_owner = Table(
    "xorb_owner",
    METADATA,
    _of("repository_id", "repository", key=True),
    Column("hash", String(64), ForeignKey("xorb.hash", ondelete="CASCADE"), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_xorb_owner_hash", "hash"),
)

# Chunks by which other uploads find a xorb again (a sample: see the Xet specification on global deduplication).
dedup_chunk = Table(
    "dedup_chunk",
    METADATA,
    Column("chunk", String(64), primary_key=True),
    Column("xorb", String(64), ForeignKey("xorb.hash", ondelete="CASCADE"), primary_key=True),
    Index("ix_dedup_chunk_xorb", "xorb"),
)

content = Table(
    "content",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("xet_hash", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("terms", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("condemned_ms", BigInteger),
)

content_xorb = Table(
    "content_xorb",
    METADATA,
    Column("sha256", String(64), ForeignKey("content.sha256", ondelete="CASCADE"), primary_key=True),
    Column("xorb", String(64), ForeignKey("xorb.hash"), primary_key=True),
    Index("ix_content_xorb_xorb", "xorb"),
)

# Which repository holds a file: by having brought its bytes, or a duplicate of a repository that had them.
content_owner = Table(
    "content_owner",
    METADATA,
    _of("repository_id", "repository", key=True),
    Column("sha256", String(64), ForeignKey("content.sha256"), primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_content_owner_sha256", "sha256"),
)

# An upload that is under way: LFS in one or several parts, or a grant to put a xorb straight into the store.
upload = Table(
    "upload",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),  # lfs, xorb
    _of("repository_id", "repository"),
    Column("hash", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("state", JSON, nullable=False, default=dict),
)

# ---- who asked to read what is gated --------------------------------------------------------------------

access_request = Table(
    "access_request",
    METADATA,
    _id(),
    _of("repository_id", "repository"),
    _of("user_id", "account"),
    Column("status", String(8), nullable=False),  # pending, accepted, rejected
    Column("fields", JSON, nullable=False, default=dict),
    Column("reason", Text, nullable=False, default=""),
    Column("asked_ms", BigInteger, nullable=False),
    Column("decided_ms", BigInteger),
    Column("decided_by", _Id, ForeignKey("account.id", ondelete="SET NULL")),
    UniqueConstraint("repository_id", "user_id"),
)

# ---- discussions and pull requests ----------------------------------------------------------------------

discussion = Table(
    "discussion",
    METADATA,
    _of("repository_id", "repository", key=True),
    Column("number", Integer, primary_key=True),
    Column("title", String(250), nullable=False),
    Column("status", String(8), nullable=False),  # draft, open, closed, merged
    Column("is_pull_request", Boolean, nullable=False),
    Column("target", String(300), nullable=False, default="refs/heads/main"),
    _of("author_id", "account", null=True),
    Column("merge_commit", String(40)),
    Column("created_ms", BigInteger, nullable=False),
)

discussion_event = Table(
    "discussion_event",
    METADATA,
    Column("id", String(24), primary_key=True),
    _of("repository_id", "repository"),
    Column("number", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("type", String(16), nullable=False),  # comment, status-change, title-change, commit
    _of("author_id", "account", null=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("data", JSON, nullable=False),
    UniqueConstraint("repository_id", "number", "position"),
)

# ---- buckets: mutable folders of Xet files, without history ---------------------------------------------

bucket_file = Table(
    "bucket_file",
    METADATA,
    _of("repository_id", "repository", key=True),
    # In the order of bytes on every database, which is how pages of a listing follow each other.
    Column("path", String(1024).with_variant(String(1024, collation="C"), "postgresql"), primary_key=True),
    Column("sha256", String(64), ForeignKey("content.sha256"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ms", BigInteger, nullable=False),
    Column("content_type", String(200)),
    Index("ix_bucket_file_sha256", "sha256"),
)

# ---- the server itself ----------------------------------------------------------------------------------

# Secrets and settings that every process of one hub shares.
server_value = Table(
    "server_value",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

# One process at a time does a background job.
lease = Table(
    "lease",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
