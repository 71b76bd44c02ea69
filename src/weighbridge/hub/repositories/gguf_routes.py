"""GET /v2/{owner}/{name}/manifests/{quantisation}: which file `-hf owner/name:quantisation` means.

Llama.cpp asked this until 2026, and programs built on it still do, with `latest` where no quantisation is named; see
`common_get_hf_file` of its `common/arg.cpp`. Newer ones list the files and choose for themselves.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

from weighbridge.hub.accounts.permission import Access
from weighbridge.hub.git.objects import MissingObjectError
from weighbridge.hub.git.paths import shown
from weighbridge.hub.git.walk import walk
from weighbridge.hub.http.refusal import Refusal, revision_not_found
from weighbridge.hub.http.route import Call, Reply, get
from weighbridge.hub.repositories.find import find
from weighbridge.hub.repositories.kind_routes import name_in
from weighbridge.hub.repositories.listing import Files
from weighbridge.hub.repositories.objects import DatabaseObjects
from weighbridge.hub.repositories.refs import MAIN, resolve

MAX_ENTRIES: Final = 20_000
_LATEST = "latest"
# What newer versions of llama.cpp try in this order.
_PREFERRED = ("Q4_K_M", "Q8_0")
_LATER_SHARD = re.compile(r"-(?!00001)[0-9]{5}-of-[0-9]{5}\.gguf$")
_BESIDE = ("mmproj", "imatrix")


def manifest(call: Call) -> Reply:
    """Name the model's file, and the file of its vision encoder where there is one."""
    with call.hub.database.read() as connection:
        repo = find(connection, call.caller, "model", name_in(call), Access.READ)
        commit_oid = resolve(connection, repo, MAIN)
        try:
            root = Files(connection, repo.id).root(commit_oid)
            entries = islice(walk(DatabaseObjects(connection, repo.id), root), MAX_ENTRIES)
            paths = [entry.path for entry in entries if not entry.is_folder and entry.path.endswith(".gguf")]
        except MissingObjectError as error:
            raise revision_not_found(MAIN) from error
    chosen = choose(paths, call.parts["quantisation"])
    if chosen is None:
        raise Refusal(404, f"There is no GGUF file of {shown(call.parts['quantisation'])} here.")
    body = {"ggufFile": {"rfilename": chosen}}
    encoders = [path for path in paths if "mmproj" in path.lower()]
    if encoders:
        body["mmprojFile"] = {"rfilename": min(encoders)}
    return Reply(body=body)


def choose(paths: Iterable[str], quantisation: str) -> str | None:
    """Return the file of a quantisation, or the one to take where none is named (`latest`); the first of its shards."""
    models = sorted(
        path for path in paths if not _LATER_SHARD.search(path) and not any(word in path.lower() for word in _BESIDE)
    )
    for wanted in _PREFERRED if quantisation == _LATEST else (quantisation,):
        named = re.compile(rf"(?:^|[-._/]){re.escape(wanted)}(?:[-.].*)?\.gguf$", re.IGNORECASE)
        for path in models:
            if named.search(path):
                return path
    return models[0] if models and quantisation == _LATEST else None


ROUTES = (get("/v2/{owner}/{name}/manifests/{quantisation}", manifest),)
