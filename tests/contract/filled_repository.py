"""Commits made on a running hub without an upload protocol, for tests of what is read."""

import hashlib
from collections.abc import Mapping

from huggingface_hub import HfApi
from running_hub import RunningHub

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.content.ingest import ingest
from weighbridge.hub.git.objects import GitObject, Person, oid_of
from weighbridge.hub.git.pointer import LfsPointer, encode_pointer
from weighbridge.hub.git.tree import Change, DeleteFile, Put
from weighbridge.hub.repositories.commit import make_commit
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.objects import write

_ROOT = Caller(user_id=0, name="root", is_admin=True, grant="write")
AUTHOR = Person(name="alice", email="")


def commit(
    hub: RunningHub,
    full_name: str,
    files: Mapping[str, bytes | None],
    *,
    kind: str = "model",
    large: Mapping[str, bytes] | None = None,
    title: str = "files",
    ref: str = "refs/heads/main",
) -> str:
    """Write files (None: delete), and `large` ones as pointers with their content; return the commit's oid."""
    server = hub.hub
    with server.database.read() as connection:
        repo = find(connection, _ROOT, kind, full_name, Access.SEE)
    pointers: dict[str, bytes] = {}
    for path, data in (large or {}).items():
        sha256 = hashlib.sha256(data).hexdigest()
        ingest(server, repo.id, (data,), sha256=sha256, size_bytes=len(data))
        pointers[path] = encode_pointer(LfsPointer(sha256=sha256, size_bytes=len(data)))
    with server.database.write() as connection:
        repo = find(connection, _ROOT, kind, full_name, Access.WRITE, lock=True)
        changes: list[Change] = []
        for path, blob in {**files, **pointers}.items():
            if blob is None:
                changes.append(DeleteFile(path=path))
                continue
            oid = oid_of("blob", blob)
            write(connection, repo.id, {oid: GitObject("blob", blob)}, server.now_ms())
            changes.append(Put(path=path, blob_oid=oid))
        made = make_commit(connection, server, repo, ref, changes, author=AUTHOR, title=title)
    return made.oid


def api_of(hub: RunningHub, user: str = "alice", *, role: str = "write") -> HfApi:
    """Return the client of a user, who is made if there is none."""
    return HfApi(endpoint=hub.endpoint, token=hub.user(user, role=role))


def nobody(hub: RunningHub) -> HfApi:
    """Return the client of nobody in particular."""
    return HfApi(endpoint=hub.endpoint, token=False)
