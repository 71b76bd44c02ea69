"""What a client asks before it uploads: how each file is to come, and whether its card is in order."""

import base64
import binascii
import codecs
import time
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from weighbridge.hub.git.paths import GitPathError, check_path, shown
from weighbridge.hub.git.walk import find_many
from weighbridge.hub.http.refusal import bad_request, too_large, unprocessable
from weighbridge.hub.http.route import Call, Reply, post
from weighbridge.hub.repositories.card_check import check_card
from weighbridge.hub.repositories.commit_routes import target_of
from weighbridge.hub.repositories.kind_routes import for_kinds
from weighbridge.hub.repositories.objects import BlobFacts, DatabaseObjects
from weighbridge.hub.repositories.patterns import MAX_PATTERNS_BYTES, attributes, ignore

MAX_FILES: Final = 256
# Patterns come from strangers: many of them, on many deep paths, would keep a processor for minutes.
_MAX_SECONDS: Final = 3.0
_MAX_BODY_BYTES: Final = 8 * 1024 * 1024
_MAX_SAMPLE_CHARACTERS: Final = 16 * 1024
_ATTRIBUTES: Final = ".gitattributes"
_IGNORE: Final = ".gitignore"

# These say how a repository is read: as bytes elsewhere, nobody could read them.
_ALWAYS_IN_GIT: Final = ("README.md", _ATTRIBUTES, _IGNORE)


def preupload(call: Call, kind: str) -> Reply:
    """Say of each file whether it goes into Git or is uploaded as a large file, whether to skip it, what is there."""
    document = call.document()
    files = _files(document)
    with call.hub.database.read() as connection:
        repo, ref = target_of(connection, call, kind)
        there = _There(connection, repo.id, ref.commit_oid if ref else None, [path for path, _, _ in files])
    ignored = ignore(_text(document, "gitIgnore", there.text(_IGNORE)))
    stored = attributes(there.text(_ATTRIBUTES))
    limit = call.hub.settings.max_regular_bytes
    answers: list[dict[str, Any]] = []
    ends = time.monotonic() + _MAX_SECONDS
    for path, size, sample in files:
        mode = upload_mode(path, size, sample, filter_=stored.filter_of(path), limit=limit)
        skipped = ignored.ignores(path)
        answers.append({"path": path, "uploadMode": mode, "shouldIgnore": skipped, "oid": there.oid(path)})
        if time.monotonic() > ends:
            raise unprocessable("The patterns of .gitignore or .gitattributes take too long to match: simplify them.")
    return Reply(body={"files": answers})


def upload_mode(path: str, size: int, sample: bytes, *, filter_: str | None, limit: int) -> str:
    """Return `lfs` or `regular`.

    Args:
        path: of the file.
        size: in bytes.
        sample: its first bytes.
        filter_: what `.gitattributes` says of it; see `Attributes.filter_of`.
        limit: the largest file that is kept in Git, in bytes.
    """
    if size > limit:
        return "lfs"
    if size == 0 or path in _ALWAYS_IN_GIT:
        return "regular"
    if filter_ == "lfs":
        return "lfs"
    return "regular" if filter_ is not None or not is_binary(sample) else "lfs"


def is_binary(sample: bytes) -> bool:
    """Whether the first bytes of a file are no text: they hold a NUL, or are not UTF-8 (a last letter may be cut)."""
    if b"\0" in sample:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return True
    return False


def validate_yaml(call: Call) -> Reply:
    """Check the metadata of a card; 400 if it has errors."""
    document = call.document()
    content, kind = _text(document, "content", ""), document.get("repoType") or "model"
    if kind not in ("model", "dataset", "space"):
        raise bad_request("repoType is model, dataset or space.")
    errors, warnings = check_card(content, kind)
    body = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    if errors:
        return Reply(status=400, body={**body, "error": errors[0]}, headers={"X-Error-Message": "Invalid metadata"})
    return Reply(body=body)


class _There:
    """What a revision has of the files that are asked about, and of those that say how to treat them."""

    def __init__(self, connection: Connection, repository_id: int, commit: str | None, paths: list[str]) -> None:
        self._oids: dict[str, str] = {}
        self._facts: dict[str, BlobFacts] = {}
        self._texts: dict[str, str] = {}
        if commit is None:
            return
        reader = DatabaseObjects(connection, repository_id)
        found = find_many(reader, reader.commit(commit).tree, [*paths, _ATTRIBUTES, _IGNORE])
        self._oids = {path: entry.oid for path, entry in found.items() if not entry.is_folder}
        self._facts = reader.blobs(self._oids.values())
        for name in (_ATTRIBUTES, _IGNORE):
            facts = self._facts.get(self._oids.get(name, ""))
            if facts is not None and facts.lfs_sha256 is None and facts.size_bytes <= MAX_PATTERNS_BYTES:
                self._texts[name] = reader.read(facts.oid).data.decode("utf-8", "replace")

    def oid(self, path: str) -> str | None:
        """Return the SHA-256 of a large file, the blob's oid of another; None if the path is new."""
        facts = self._facts.get(self._oids.get(path, ""))
        return None if facts is None else facts.lfs_sha256 or facts.oid

    def text(self, name: str) -> str:
        return self._texts.get(name, "")


def _files(document: Mapping[str, Any]) -> list[tuple[str, int, bytes]]:
    files = document.get("files")
    if not isinstance(files, list):
        raise bad_request("A preupload request has a list of files.")
    if len(files) > MAX_FILES:
        raise too_large(f"A preupload request has at most {MAX_FILES} files.")
    return [_file(item) for item in files]


def _file(item: object) -> tuple[str, int, bytes]:
    if not isinstance(item, dict):
        raise bad_request("Each file of a preupload request is an object with path, size and sample.")
    path, size, sample = item.get("path"), item.get("size"), item.get("sample", "")
    if not isinstance(path, str) or type(size) is not int or size < 0 or not isinstance(sample, str):
        raise bad_request("Each file of a preupload request has a path, a size in bytes and a sample in base64.")
    try:
        check_path(path)
        return path, size, base64.b64decode(sample[:_MAX_SAMPLE_CHARACTERS])
    except GitPathError as error:
        raise bad_request(f"Invalid path {error.place!r}: {error.message}.") from error
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"The sample of {shown(path)} is not base64.") from error


def _text(document: Mapping[str, Any], name: str, default: str) -> str:
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise bad_request(f"{name} is a text.")
    return value


ROUTES = (
    *for_kinds("POST", "/{owner}/{name}/preupload/{revision}", preupload, max_body_bytes=_MAX_BODY_BYTES),
    post("/api/validate-yaml", validate_yaml, max_body_bytes=4 * 1024 * 1024),
)
