"""What the tests of commits, uploads and downloads do again and again, by the client of huggingface_hub."""

import hashlib
import json
import random
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, hf_hub_download


def new_repository(api: HfApi, test: str) -> str:
    """Make a repository of models for the test of this name, and return its own name."""
    return str(api.create_repo(f"alice/{hashlib.sha256(test.encode()).hexdigest()[:20]}").repo_id)


def noise(size: int, seed: int = 1) -> bytes:
    """Return bytes that nothing compresses, the same for the same arguments."""
    return random.Random(seed).randbytes(size)


def read(api: HfApi, repo: str, path: str, folder: Path, *, revision: str = "main") -> bytes:
    """Download a file into this cache folder and return its bytes."""
    found = hf_hub_download(repo, path, endpoint=api.endpoint, token=api.token, cache_dir=folder, revision=revision)
    return Path(found).read_bytes()


def send_commit(api: HfApi, repo: str, *lines: object) -> httpx2.Response:
    """Send a commit of these lines to `main`, whatever they are, and return the answer."""
    header = {"key": "header", "value": {"summary": "s", "description": ""}}
    content = b"".join(json.dumps(line).encode() + b"\n" for line in (header, *lines))
    return httpx2.post(
        f"{api.endpoint}/api/models/{repo}/commit/main",
        content=content,
        headers={"Authorization": f"Bearer {api.token}"},
        timeout=60,
    )
