"""One of many clients that use hf_xet at once: a program of its own with caches of its own, run by a test.

`python xet_crowd_client.py ENDPOINT`; the token and `HF_HOME` are in the environment. It prints a line of JSON when it
is ready, and one for each order that it is given as a line of JSON on standard input: `["upload", repository, path,
[[seed, size], ...]]` is answered by the SHA-256 of what the hub acknowledged, `["download", repository, path]` by that
of what came.
"""

import hashlib
import json
import random
import sys
import time
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download


def main(endpoint: str) -> None:
    """Follow orders until there are no more."""
    api = HfApi(endpoint=endpoint)
    _say("ready")
    for number, line in enumerate(sys.stdin):
        verb, repo, path, *pieces = json.loads(line)
        began = time.time()
        if verb == "upload":
            data = b"".join(random.Random(seed).randbytes(size) for seed, size in pieces[0])
            api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=repo)
            data_sha256 = hashlib.sha256(data).hexdigest()
        else:
            # Each into a folder of its own: nothing comes out of the cache of another order.
            folder = Path(constants.HF_HOME) / f"order-{number}"
            found = hf_hub_download(repo, path, endpoint=endpoint, cache_dir=folder)
            data_sha256 = hashlib.sha256(Path(found).read_bytes()).hexdigest()
        _say(data_sha256, began, time.time())


def _say(*what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
