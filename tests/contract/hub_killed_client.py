"""A client that goes on uploading to a hub which is killed under it: a program of its own, run by a test.

`python hub_killed_client.py ENDPOINT REPOSITORY xet|lfs|git SEED STOP_FILE`; the token is in the environment. It prints
a line of JSON for each thing before it is tried and after the hub acknowledged it. A file is named by the SHA-256 of
its bytes, so that whoever reads it can tell whether it is whole.
"""

import hashlib
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import EntryNotFoundError

_PATIENCE_SECONDS = 900.0
_KINDS = {"xet": (".bin", 3_000_000), "lfs": (".bin", 700_000), "git": (".txt", 3_000)}


def main(endpoint: str, repo: str, mode: str, seed: int, stop: Path) -> None:
    """Upload until the stop file is there and the last upload was acknowledged."""
    api, chance = HfApi(endpoint=endpoint), random.Random(seed)
    ending, size = _KINDS[mode]
    kept: list[str] = []
    number = 0
    while not stop.exists():
        number += 1
        data = chance.randbytes(chance.randrange(size // 2, size))
        data = data.hex().encode() if ending == ".txt" else data
        path = hashlib.sha256(data).hexdigest() + ending
        _until_done("add", path, lambda: _add(api, repo, path, data))  # noqa: B023
        kept.append(path)
        if number % 4 == 0:
            gone = kept.pop(chance.randrange(len(kept)))
            _until_done("delete", gone, lambda: _delete(api, repo, gone))  # noqa: B023
        if number % 7 == 0:
            _until_done("squash", "", lambda: api.super_squash_history(repo))


def _add(api: HfApi, repo: str, path: str, data: bytes) -> None:
    # Another one at each try: it remembers that its bytes were uploaded, which may be longer ago than they are kept.
    operation = CommitOperationAdd(path_in_repo=path, path_or_fileobj=data)
    api.create_commit(repo, [operation], commit_message="add")


def _delete(api: HfApi, repo: str, path: str) -> None:
    # A commit whose acknowledgement was lost may have deleted it already.
    with suppress(EntryNotFoundError):
        api.create_commit(repo, [CommitOperationDelete(path_in_repo=path)], commit_message="delete")


def _until_done(verb: str, path: str, act: Callable[[], Any]) -> None:
    _say(f"{verb}?", path)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    tries = 0
    while True:
        tries += 1
        try:
            act()
        except Exception as error:
            if time.monotonic() > deadline:
                raise
            _say("failed", f"{type(error).__name__}: {error}"[:600])
            time.sleep(0.1)
        else:
            return _say(verb, path)


def _say(verb: str, what: str) -> None:
    print(json.dumps([verb, what]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), Path(sys.argv[5]))
