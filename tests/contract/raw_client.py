"""A client that sends raw requests, so that dozens of it fit two cores; it counts every status that it is answered."""

import base64
import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import httpx2


@dataclass(kw_only=True)
class RawClient:
    """One client of many.

    Attributes:
        http: its connection; it sends its token.
        chance: what it decides by.
        statuses: how often it was answered each.
        broken: what the server could not answer.
    """

    http: httpx2.Client
    chance: random.Random
    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, endpoint: str, token: str, number: int) -> "RawClient":
        """Make the client of this number."""
        http = httpx2.Client(base_url=endpoint, headers={"Authorization": f"Bearer {token}"}, timeout=90)
        return cls(http=http, chance=random.Random(number))

    def ask(self, method: str, path: str, **named: object) -> httpx2.Response:
        """Send a request, and return the answer whatever its status is."""
        answer = self.http.request(method, path, **named)  # type: ignore[arg-type]
        self.statuses[answer.status_code] += 1
        if answer.status_code >= 500:
            self.broken.append(f"{method} {path.partition('?')[0]}: {answer.status_code} {answer.text[:300]}")
        return answer

    def commit(
        self, repo: str, *lines: tuple[str, dict[str, object]], parent: str = "", branch: str = "main"
    ) -> httpx2.Response:
        """Commit these operations, each by its key and value."""
        header: dict[str, object] = {"summary": "a commit", "parentCommit": parent or None}
        body = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in (("header", header), *lines))
        return self.ask(
            "POST",
            f"/api/models/{repo}/commit/{branch}",
            content=body.encode(),
            headers={"Content-Type": "application/x-ndjson"},
        )

    def upload(self, repo: str, data: bytes) -> dict[str, object]:
        """Upload by LFS, and return the operation that commits the file."""
        sha256 = hashlib.sha256(data).hexdigest()
        wanted = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": sha256, "size": len(data)}]}
        found = self.ask("POST", f"/{repo}.git/info/lfs/objects/batch", json=wanted).json()["objects"][0]
        if "actions" in found:
            put = self.http.put(found["actions"]["upload"]["href"], content=data, headers={"Authorization": ""})
            self.statuses[put.status_code] += 1
            assert put.status_code == 200, (put.status_code, put.text)
        return {"path": f"{sha256}.bin", "algo": "sha256", "oid": sha256, "size": len(data)}

    def upload_and_commit(self, repo: str, files: list[bytes]) -> set[str]:
        """Upload and commit, again if the grace time was over in between; return the files' paths."""
        while True:
            operations = [("lfsFile", self.upload(repo, data)) for data in files]
            answer = self.commit(repo, *operations)
            if answer.status_code == 200:
                return {str(operation["path"]) for _, operation in operations}
            assert any(words in answer.text for words in ("not uploaded", "just collected")), answer.text


def small(path: str, data: bytes) -> tuple[str, dict[str, object]]:
    """Return the operation that adds a small file."""
    return "file", {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}
