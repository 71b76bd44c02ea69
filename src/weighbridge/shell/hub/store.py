"""Which store a name stands for."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from weighbridge.hub.store.port import ByteStore, ByteStoreError

# `s3:/bucket` is a slip, not a folder; one of such a name is written `./s3:/bucket`.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def open_store(url: str, *, environ: Mapping[str, str] = os.environ) -> ByteStore:
    """Return the store, not yet used; `check()` uses it once.

    Args:
        url: a folder's path, `file:///path`, `s3://bucket/prefix` or `memory:` (for tests).
        environ: where an S3 store finds `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
            `AWS_REGION` and `AWS_ENDPOINT_URL`.

    Raises:
        ByteStoreError: if the name stands for no store.
    """
    if url == "memory:":
        from weighbridge.shell.hub.object_store import InMemoryByteStore

        return InMemoryByteStore()
    if url.startswith("s3://"):
        from weighbridge.shell.hub.s3_store import S3Bucket, S3ByteStore

        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        return S3ByteStore(S3Bucket.from_environment(bucket, prefix.strip("/"), environ))
    from weighbridge.shell.hub.folder_store import FolderByteStore

    return FolderByteStore(_folder(url))


def _folder(url: str) -> Path:
    if url.startswith("file:"):
        parts = urlsplit(url)
        if parts.netloc in ("", "localhost") and parts.path.startswith("/") and not parts.query and "%00" not in url:
            return Path(unquote(parts.path))
    elif url and not _SCHEME.match(url) and "\0" not in url:
        return Path(url).expanduser()
    raise ByteStoreError(
        "this names no store",
        place=repr(url[:200]),
        hint="Name a folder, file:///path, or s3://bucket/prefix (with AWS_ENDPOINT_URL for a store of your own).",
    )
