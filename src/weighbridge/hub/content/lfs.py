"""Git LFS: which files a client is to send or may fetch, by addresses that carry their own permission.

Forms: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md and, for uploads in parts, `lfs.py` of
huggingface_hub. An address names what it allows, exactly: repository, SHA-256, size, part; and when it ends. It is good
for as long as the token by which it was asked for, and as its user may do it.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy import Connection, insert

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.content import own_all, owned_among
from weighbridge.hub.content.xet_token import still_may
from weighbridge.hub.database.schema import upload
from weighbridge.hub.http.refusal import Refusal, bad_request, forbidden, too_large
from weighbridge.hub.http.route import Call
from weighbridge.hub.repositories.find import Repository

MEDIA_TYPE: Final = "application/vnd.git-lfs+json"
MAX_OBJECTS: Final = 1000
PART_BYTES: Final = 64 * 1024 * 1024
"""What is sent in one part at least; larger files are sent in parts, to clients that can."""

_MAX_PARTS: Final = 1000
_MAX_PARTS_OF_BATCH: Final = 10_000
_SLOWEST_BYTES_A_SECOND: Final = 1_000_000
_MIB: Final = 1024 * 1024
_PURPOSE: Final = b"weighbridge lfs address 2\0"
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What one signed address allows.

    Attributes:
        verb: `get`, `put` (the whole file or, with an `upload`, one part of it) or `complete`.
        repository_id: the repository.
        sha256: of the file.
        size_bytes: of the file.
        expires_s: when it ends, in seconds since 1970.
        token_id: the token by which it was asked for; None for nobody in particular.
        upload: names an upload in parts; empty for none.
        part: its number, from 1; 0 for none.
        part_bytes: of every part but the last.
    """

    verb: str
    repository_id: int
    sha256: str
    size_bytes: int
    expires_s: int
    token_id: int | None
    upload: str = ""
    part: int = 0
    part_bytes: int = 0

    @property
    def parts(self) -> int:
        """How many parts the upload has; 0 for one that has none."""
        return -(-self.size_bytes // self.part_bytes) if self.part_bytes else 0

    @property
    def body_bytes(self) -> int:
        """How many bytes a PUT to the address has."""
        if not self.part:
            return self.size_bytes
        return min(self.part_bytes, self.size_bytes - (self.part - 1) * self.part_bytes)

    def fields(self) -> dict[str, str]:
        """Return what the query of the address states, and the signature covers."""
        return {
            "size": str(self.size_bytes),
            "expires": str(self.expires_s),
            "by": str(self.token_id or 0),
            "upload": self.upload,
            "part": str(self.part),
            "part_size": str(self.part_bytes),
        }


def address(call: Call, permit: Permit) -> str:
    """Return the signed address."""
    query = urlencode({**permit.fields(), "signature": _signature(call.hub.secret, permit)})
    return f"{call.base_url}/api/lfs/{permit.verb}/{permit.repository_id}/{permit.sha256}?{query}"


def permit_of(call: Call, verb: str) -> Permit:
    """Return what the address that was called allows.

    Raises:
        Refusal: 403 if it is not one that this hub signed, or its time is over.
    """
    text = {name: call.query.get(name, "") for name in ("size", "expires", "by", "part", "part_size")}
    upload_id, repository, sha256 = call.query.get("upload", ""), call.parts["repository"], call.parts["sha256"]
    numbers = (*text.values(), repository)
    if not all(number.isascii() and number.isdecimal() and len(number) < 20 for number in numbers):
        raise forbidden("This address was not made by this hub.")
    permit = Permit(
        verb=verb,
        repository_id=int(repository),
        sha256=sha256,
        size_bytes=int(text["size"]),
        expires_s=int(text["expires"]),
        token_id=int(text["by"]) or None,
        upload=upload_id,
        part=int(text["part"]),
        part_bytes=int(text["part_size"]),
    )
    expected = _signature(call.hub.secret, permit).encode()
    if not hmac.compare_digest(expected, call.query.get("signature", "").encode("utf-8", "replace")):
        raise forbidden("This address was not made by this hub.")
    if permit.expires_s * 1000 <= call.hub.now_ms():
        raise forbidden("The time of this address is over: ask for a new one.")
    return permit


def check_permit(connection: Connection, call: Call, permit: Permit) -> None:
    """Return if whoever asked for the address may still do what it is for.

    Raises:
        Refusal: as `xet_token.still_may`.
    """
    needed = (Access.READ,) if permit.verb == "get" else (Access.DISCUSS, Access.READ)
    still_may(connection, permit.token_id, permit.repository_id, needed, now_ms=call.hub.now_ms())


def batch(connection: Connection, call: Call, repo: Repository, document: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a batch request; needs a writing transaction, in which the caller was found to be allowed it.

    Raises:
        Refusal: 400 for what is no such request, 409 for another hash, 413 for too many files.
    """
    operation, objects = document.get("operation"), document.get("objects")
    if operation not in ("upload", "download") or not isinstance(objects, list):
        raise bad_request("A batch request states an operation, upload or download, and a list of objects.")
    # The second is how @huggingface/hub writes it.
    if document.get("hash_algo", "sha256") not in ("sha256", "sha_256"):
        raise Refusal(409, "Only SHA-256 is supported.")
    if len(objects) > MAX_OBJECTS:
        raise too_large(f"A batch request has at most {MAX_OBJECTS:,} objects.")
    transfers = document.get("transfers")
    in_parts = operation == "upload" and isinstance(transfers, list) and "multipart" in transfers
    named = [found for item in objects if (found := _named(item)) is not None]
    held = owned_among(connection, repo.id, (sha256 for sha256, _ in named))
    if operation == "upload":
        # Who is told that a file is there already has the whole grace time to commit it.
        own_all(connection, repo.id, held, now_ms=call.hub.now_ms())
    answers = [_answer(connection, call, repo, item, held, operation, len(objects), in_parts) for item in objects]
    multipart = any("chunk_size" in answer.get("actions", {}).get("upload", {}).get("header", {}) for answer in answers)
    return {"transfer": "multipart" if multipart else "basic", "objects": answers, "hash_algo": "sha256"}


def access_of(document: Mapping[str, Any]) -> Access:
    """Return what a batch request needs. Whoever may open a pull request may bring what it points to."""
    return Access.DISCUSS if document.get("operation") == "upload" else Access.READ


def part_key(permit: Permit, tag: str) -> str:
    """Return where a part lies until its upload is complete. A part that is sent twice is two objects."""
    return f"uploads/{permit.upload}/{permit.part}.{tag}"


def _answer(
    connection: Connection,
    call: Call,
    repo: Repository,
    item: object,
    held: Mapping[str, int],
    operation: str,
    count: int,
    in_parts: bool,
) -> dict[str, Any]:
    named = _named(item)
    if named is None:
        stated = item if isinstance(item, dict) else {}
        size = stated.get("size") if type(stated.get("size")) is int else 0
        return {"oid": str(stated.get("oid", ""))[:64], "size": size, "error": _error(422, "This is no LFS object.")}
    sha256, size = named
    answer: dict[str, Any] = {"oid": sha256, "size": size, "authenticated": True}
    if held.get(sha256, size) != size:
        return {**answer, "error": _error(422, f"The file of this SHA-256 has {held[sha256]} bytes.")}
    if operation == "download":
        if sha256 not in held:
            return {**answer, "error": _error(404, "This repository has no such file.")}
        return {**answer, "actions": {"download": _action(call, repo, sha256, size, verb="get")}}
    if sha256 in held:
        return answer
    if size > call.hub.settings.max_file_bytes:
        return {**answer, "error": _error(422, f"A file has at most {call.hub.settings.max_file_bytes:,} bytes.")}
    part_bytes = _part_bytes(size, count) if in_parts and size > PART_BYTES else 0
    if part_bytes:
        action = _in_parts(connection, call, repo, sha256, size, part_bytes)
    else:
        action = _action(call, repo, sha256, size, verb="put")
    return {**answer, "actions": {"upload": action, "verify": _verify(call)}}


def _part_bytes(size: int, count: int) -> int:
    """Return the size of a part; 0 if there is no room for the addresses of several in the answer."""
    most = min(_MAX_PARTS, _MAX_PARTS_OF_BATCH // count)
    return 0 if most < 2 else max(PART_BYTES, -(-size // most // _MIB + 1) * _MIB)


def _in_parts(
    connection: Connection, call: Call, repo: Repository, sha256: str, size: int, part_bytes: int
) -> dict[str, Any]:
    upload_id, expires_s = secrets.token_hex(16), _expiry(call, size)
    now_ms = call.hub.now_ms()
    row = {"id": upload_id, "kind": "lfs", "repository_id": repo.id, "hash": sha256, "size_bytes": size}
    connection.execute(insert(upload).values(**row, created_ms=now_ms, expires_ms=expires_s * 1000, state={}))
    whole = Permit(
        verb="complete",
        repository_id=repo.id,
        sha256=sha256,
        size_bytes=size,
        expires_s=expires_s,
        token_id=call.caller.token_id,
        upload=upload_id,
        part_bytes=part_bytes,
    )
    header = {"chunk_size": str(part_bytes)}
    for part in range(1, whole.parts + 1):
        header[str(part)] = address(call, replace(whole, verb="put", part=part))
    return {"href": address(call, whole), "header": header, "expires_in": expires_s - now_ms // 1000}


def _action(call: Call, repo: Repository, sha256: str, size: int, *, verb: str) -> dict[str, Any]:
    expires_s = _expiry(call, size)
    permit = Permit(
        verb=verb,
        repository_id=repo.id,
        sha256=sha256,
        size_bytes=size,
        expires_s=expires_s,
        token_id=call.caller.token_id,
    )
    return {"href": address(call, permit), "expires_in": expires_s - call.hub.now_ms() // 1000}


def _expiry(call: Call, size: int) -> int:
    """Return when an address ends: a slow client gets the time that a large file takes it."""
    return call.hub.now_ms() // 1000 + call.hub.settings.url_seconds + size // _SLOWEST_BYTES_A_SECOND


def _verify(call: Call) -> dict[str, Any]:
    path = call.raw_path_qs.partition("?")[0].removesuffix("/batch")
    return {"href": f"{call.base_url}{path}/verify"}


def _named(item: object) -> tuple[str, int] | None:
    if not isinstance(item, dict):
        return None
    sha256, size = item.get("oid"), item.get("size")
    if not isinstance(sha256, str) or not _SHA256.match(sha256) or type(size) is not int or size < 0:
        return None
    return sha256, size


def _error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


def _signature(secret: bytes, permit: Permit) -> str:
    stated = (permit.verb, str(permit.repository_id), permit.sha256, *permit.fields().values())
    return hmac.new(secret, _PURPOSE + "\0".join(stated).encode("utf-8", "replace"), "sha256").hexdigest()
