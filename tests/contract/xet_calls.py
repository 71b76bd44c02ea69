"""The byte server (Xet) called by hand, request by request: what no well-meaning client sends can be sent so."""

import hashlib
import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from weighbridge.hub.xet.gear import Chunker
from weighbridge.hub.xet.merkle import MerkleTree, chunk_hash, range_hash, to_hex
from weighbridge.hub.xet.shard import FileEntry, Term, file_entry, write_shard
from weighbridge.hub.xet.xorb_write import PackedXorb, write_xorbs


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and body of a response, whatever the status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, object]:
        """The body as JSON."""
        value: dict[str, object] = json.loads(self.body)
        return value


def ask(method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
    """Send a request and return the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, dict(response.headers.items()), response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers.items()), error.read())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cas:
    """The byte server as a token opens it."""

    url: str
    token: str

    @classmethod
    def of(
        cls,
        endpoint: str,
        secret: str,
        repo: str,
        *,
        scope: str = "write",
        kind: str = "models",
        revision: str = "main",
    ) -> "Cas":
        """Ask for a token for the repository."""
        path = f"/api/{kind}/{repo}/xet-{scope}-token" + (f"/{revision}" if revision else "")
        found = ask("GET", endpoint + path, Authorization=f"Bearer {secret}") if secret else ask("GET", endpoint + path)
        assert found.status == 200, (found.status, found.body)
        told = found.document()
        assert found.headers["X-Xet-Access-Token"] == told["accessToken"]
        assert found.headers["X-Xet-Cas-Url"] == told["casUrl"]
        assert int(found.headers["X-Xet-Token-Expiration"]) == told["exp"]
        return cls(url=str(told["casUrl"]), token=str(told["accessToken"]))

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request with the token."""
        return ask(method, self.url + path, body, Authorization=f"Bearer {self.token}", **headers)

    def put_xorb(self, xorb: PackedXorb) -> Answer:
        """Upload a xorb."""
        return self.ask("POST", f"/v1/xorbs/default/{to_hex(xorb.index.hash)}", xorb.data)

    def put_shard(self, shard: bytes) -> Answer:
        """Upload a shard."""
        return self.ask("POST", "/v1/shards", shard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A file as a client would send it."""

    data: bytes
    hash: str
    xorbs: tuple[PackedXorb, ...]
    entry: FileEntry

    @property
    def shard(self) -> bytes:
        """The shard that describes it."""
        return write_shard((self.entry,))

    def send(self, cas: Cas) -> None:
        """Upload xorbs and shard."""
        for xorb in self.xorbs:
            assert cas.put_xorb(xorb).status == 200
        found = cas.put_shard(self.shard)
        assert found.status == 200, found.body


def noise(size: int, seed: int) -> bytes:
    """Return bytes that do not pack, always the same for a seed."""
    return random.Random(seed).randbytes(size)


def prepared(data: bytes, *, sha256: str = "") -> Prepared:
    """Chunk, hash and pack a file; `sha256` overrides what its shard claims."""
    chunker = Chunker()
    chunks = [bytes(chunk) for chunk in chunker.feed(data)] + [bytes(chunk) for chunk in chunker.finish()]
    xorbs = tuple(write_xorbs(chunks))
    tree = MerkleTree()
    tree.extend(b"".join(chunk_hash(chunk) for chunk in chunks), [len(chunk) for chunk in chunks])
    return Prepared(
        data=data,
        hash=to_hex(tree.file_hash()),
        xorbs=xorbs,
        entry=entry_of(tree.file_hash(), xorbs, sha256=sha256 or hashlib.sha256(data).hexdigest()),
    )


def entry_of(file_hash: bytes, xorbs: Iterable[PackedXorb], *, sha256: str | None) -> FileEntry:
    """Return the entry of a file that is these xorbs, one behind the other."""
    terms, proofs = [], []
    for xorb in xorbs:
        count = len(xorb.index)
        terms.append(Term(xorb=xorb.index.hash, first=0, end=count, raw_bytes=xorb.index.raw_bytes))
        proofs.append(range_hash(xorb.index.hashes))
    return file_entry(file_hash, terms, range_hashes=proofs, sha256=sha256)
