"""Bytes that come without Xet, by LFS or from another hub: checked, cut into chunks, stored as xorbs.

The chunks are those that a Xet client would have cut, so that a file brought one way is deduplicated against one
brought the other, and has the same Xet hash. The file exists once its SHA-256 was found right, with one row; an upload
that dies leaves xorbs behind that no file uses, which garbage collection removes.
"""

import hashlib
from collections.abc import Iterable

from weighbridge.hub.content.content import Content, MissingContentError, Term, add_content, add_xorb, many, own
from weighbridge.hub.content.known_chunks import KnownChunks
from weighbridge.hub.http.refusal import Refusal, unprocessable
from weighbridge.hub.server import HubServer
from weighbridge.hub.xet.gear import Chunker
from weighbridge.hub.xet.merkle import MerkleTree, chunk_hash, to_hex
from weighbridge.hub.xet.xorb_write import PackedXorb, XorbWriter

XORB_BYTES = 16 * 1024 * 1024
"""Raw bytes of a xorb that is made here: a quarter of what is allowed, because each upload under way holds one."""

_NEW = ""


class Ingest:
    """Takes one file block by block. Holds one xorb and the chunker's buffers, about 40 MiB; one thread at a time."""

    def __init__(self, hub: HubServer, repository_id: int, *, sha256: str, size_bytes: int) -> None:
        self._hub = hub
        self._repository_id = repository_id
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._left = size_bytes
        self._digest = hashlib.sha256()
        with hub.database.read() as connection:
            self._known = many(connection, (sha256,)).get(sha256)
        self._chunker = Chunker()
        self._tree = MerkleTree()
        self._writer = XorbWriter()
        self._open_bytes = 0
        self._open: dict[bytes, int] = {}
        # What was found or written so far. Terms of the xorb that is still open have no name yet.
        self._terms: list[Term] = []
        self._stored = KnownChunks(hub)

    def feed(self, block: bytes) -> None:
        """Take the next bytes.

        Raises:
            Refusal: 422 if they are more than was said.
            ByteStoreError: if the store fails.
        """
        self._left -= len(block)
        if self._left < 0:
            raise unprocessable(f"The file has more than the {self._size_bytes:,} bytes that were announced.")
        self._digest.update(block)
        if self._known is None:
            self._take(self._chunker.feed(block))

    def finish(self) -> Content:
        """Say that the file is over; return it, held by the repository now.

        Raises:
            Refusal: 422 if it is not what was announced, 503 if it must be sent again.
            ByteStoreError: if the store fails.
        """
        if self._left:
            raise unprocessable(f"The file ends {self._left:,} bytes before the {self._size_bytes:,} announced.")
        if self._digest.hexdigest() != self._sha256:
            raise unprocessable(f"The bytes have the SHA-256 {self._digest.hexdigest()}, not {self._sha256}.")
        try:
            return self._enter()
        except MissingContentError as error:
            raise Refusal(503, "What the hub had of this file was just collected: send it again.") from error

    def _enter(self) -> Content:
        if self._known is not None:
            with self._hub.database.write() as connection:
                own(connection, self._repository_id, self._sha256, now_ms=self._hub.now_ms())
            return self._known
        self._take(self._chunker.finish())
        self._close(self._writer.finish())
        made = Content(
            sha256=self._sha256,
            xet_hash=to_hex(self._tree.file_hash()),
            size_bytes=self._size_bytes,
            terms=_joined(self._terms),
        )
        with self._hub.database.write() as connection:
            add_content(connection, self._repository_id, made, now_ms=self._hub.now_ms())
        return made

    def _take(self, chunks: Iterable[memoryview]) -> None:
        hashes: list[bytes] = []
        lengths: list[int] = []
        for chunk in chunks:
            digest = chunk_hash(chunk)
            hashes.append(digest)
            lengths.append(len(chunk))
            self._place(chunk, digest)
        self._tree.extend(b"".join(hashes), lengths)

    def _place(self, chunk: memoryview, digest: bytes) -> None:
        """Refer to the chunk where it is stored already, or add it to the open xorb."""
        found = self._stored.find(digest, is_first=not self._terms)
        if found is not None:
            self._terms.append(Term(found.xorb, found.chunk, found.chunk + 1, len(chunk)))
            return
        at = self._open.get(digest)
        if at is None:
            if self._open_bytes >= XORB_BYTES:
                self._close(self._writer.finish())
            # A xorb that had to be closed for lack of room would be one of ours that is far too large.
            full = self._writer.add(chunk, hash_=digest)
            assert full is None, "xorbs are closed long before they are full"
            at = self._open[digest] = len(self._writer) - 1
            self._open_bytes += len(chunk)
        self._terms.append(Term(_NEW, at, at + 1, len(chunk)))

    def _close(self, xorb: PackedXorb | None) -> None:
        if xorb is None:
            return
        add_xorb(self._hub, self._repository_id, xorb.index, xorb.data)
        name = to_hex(xorb.index.hash)
        terms = (Term(name, t.first_chunk, t.end_chunk, t.raw_bytes) if t.xorb == _NEW else t for t in self._terms)
        self._terms = list(_joined(terms))
        self._stored.add(name, self._open)
        self._open, self._open_bytes = {}, 0


def ingest(hub: HubServer, repository_id: int, data: Iterable[bytes], *, sha256: str, size_bytes: int) -> Content:
    """Store a file, of which `data` yields the bytes, and make the repository a holder of it.

    Raises:
        Refusal: as `Ingest`.
        ByteStoreError: if the store fails.
    """
    taking = Ingest(hub, repository_id, sha256=sha256, size_bytes=size_bytes)
    for block in data:
        taking.feed(block)
    return taking.finish()


def _joined(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Make one term of neighbours that lie one behind the other in one xorb."""
    joined: list[Term] = []
    for term in terms:
        last = joined[-1] if joined else None
        if last is not None and last.xorb == term.xorb and last.end_chunk == term.first_chunk:
            joined[-1] = Term(last.xorb, last.first_chunk, term.end_chunk, last.raw_bytes + term.raw_bytes)
        else:
            joined.append(term)
    return tuple(joined)
