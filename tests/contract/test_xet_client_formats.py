"""What the real hf_xet uploads is read and proved here, and what is written here it can deduplicate against and read.

A small server on loopback keeps what the client sends and answers from it; the client runs in a process of its own.
"""

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from weighbridge.hub.xet.dedup_shard import write_dedup_shard
from weighbridge.hub.xet.errors import ShardError, XorbError
from weighbridge.hub.xet.file_check import check_file, check_xorb
from weighbridge.hub.xet.gear import Chunker
from weighbridge.hub.xet.merkle import chunk_hash, file_hash, from_hex, to_hex
from weighbridge.hub.xet.shard import Shard, read_shard
from weighbridge.hub.xet.xorb import XorbIndex, decode_chunks, read_xorb
from weighbridge.hub.xet.xorb_write import write_xorbs

UPLOAD = """
import json, sys, hf_xet
folder, url, names = sys.argv[1], sys.argv[2], sys.argv[3:]
results = {}
with hf_xet.XetSession().new_upload_commit(token_refresh_url=url + "/token") as commit:
    for name in names:
        results[name] = commit.start_upload_file(folder + "/" + name, sha256=hf_xet.COMPUTE_SHA256)
print(json.dumps({name: handle.result().xet_info.hash for name, handle in results.items()}))
"""

DOWNLOAD = """
import sys, hf_xet
target, url, name, size = sys.argv[1:]
session = hf_xet.XetSession()
with session.new_file_download_group(token_refresh_url=url + "/token") as group:
    group.start_download_file(hf_xet.XetFileInfo(name, int(size)), target)
"""

HASHES = """
import json, sys, hf_xet
print(json.dumps([info.hash for info in hf_xet.hash_files(sys.argv[1:])]))
"""


class Capture:
    """Keeps xorbs and shards as they came; tells of reconstructions and known chunks what it was given."""

    def __init__(self) -> None:
        self.url = ""
        self.xorbs: dict[str, bytes] = {}
        self.shards: list[bytes] = []
        self.asked: list[str] = []
        self.answer: bytes | None = None
        self.reconstructions: dict[str, dict[str, object]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the calls that hf_xet makes."""
        return [
            web.get("/token", self._token),
            web.post("/v1/xorbs/default/{hash}", self._xorb),
            web.post("/v1/shards", self._shard),
            web.get("/v1/chunks/{prefix}/{hash}", self._chunk),
            web.get("/v1/reconstructions/{hash}", self._reconstruction),
            web.get("/data/{hash}", self._data),
        ]

    async def _token(self, _: web.Request) -> web.Response:
        return web.json_response({"accessToken": "token", "exp": 4_000_000_000, "casUrl": self.url})

    async def _xorb(self, request: web.Request) -> web.Response:
        self.xorbs[request.match_info["hash"]] = await request.read()
        return web.json_response({"was_inserted": True})

    async def _shard(self, request: web.Request) -> web.Response:
        self.shards.append(await request.read())
        return web.json_response({"result": 1})

    async def _chunk(self, request: web.Request) -> web.Response:
        self.asked.append(request.match_info["hash"])
        return web.Response(body=self.answer) if self.answer else web.Response(status=404)

    async def _reconstruction(self, request: web.Request) -> web.Response:
        found = self.reconstructions.get(request.match_info["hash"])
        # A read past the end of the file is answered so; the client asks for the file in pieces.
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        return web.json_response(found) if found and not start else web.Response(status=416 if found else 404)

    async def _data(self, request: web.Request) -> web.Response:
        data = self.xorbs[request.match_info["hash"]]
        start, end = request.headers["Range"].removeprefix("bytes=").split("-")
        return web.Response(status=206, body=data[int(start) : int(end) + 1])


@contextmanager
def serving(capture: Capture) -> Iterator[None]:
    """Serve on a free port of loopback, in a thread."""
    loop = asyncio.new_event_loop()
    application = web.Application(client_max_size=1 << 27)
    application.add_routes(capture.routes())
    runner = web.AppRunner(application)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        capture.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def capture() -> Iterator[Capture]:
    made = Capture()
    with serving(made):
        yield made


def client(script: str, cache: Path, *arguments: str | Path) -> str:
    """Run the real client with a cache of its own."""
    environment = {**os.environ, "HF_XET_CACHE": str(cache), "HF_HOME": str(cache), "HF_XET_LOG_LEVEL": "error"}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def bytes_of(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


FILES: dict[str, Callable[[], bytes]] = {
    "empty": bytes,
    "one-byte": lambda: b"x",
    "shortest-chunk": lambda: bytes_of(1, 8 * 1024),
    "longest-chunk": lambda: bytes_of(2, 128 * 1024),
    "just-longer": lambda: bytes_of(2, 128 * 1024 + 1),
    "zeros": lambda: bytes(3_000_000),
    "repetitive": lambda: bytes_of(3, 70_000) * 40,
    "text": lambda: b"".join(b"%d bottles of beer on the wall\n" % n for n in range(150_000)),
    "floats": lambda: np.random.default_rng(4).normal(size=1_000_003).astype(np.float32).tobytes(),
    "random": lambda: bytes_of(5, 20_000_000),
}


def chunks_of(data: bytes) -> list[memoryview]:
    chunker = Chunker()
    return [*chunker.feed(data), *chunker.finish()]


def our_hash(data: bytes) -> str:
    chunks = chunks_of(data)
    return to_hex(file_hash(b"".join(map(chunk_hash, chunks)), list(map(len, chunks))))


def proved(capture: Capture) -> tuple[dict[bytes, XorbIndex], list[Shard]]:
    """Verify all that was sent, and that nothing contradicts anything."""
    xorbs = {from_hex(name): read_xorb(data, expected=from_hex(name)) for name, data in capture.xorbs.items()}
    shards = [read_shard(data) for data in capture.shards]
    for shard in shards:
        assert shard.footer is None
        for entry in shard.xorbs:
            check_xorb(entry, xorbs.get)
        for file in shard.files:
            check_file(file, xorbs.get)
    return xorbs, shards


def rebuilt(shards: list[Shard], name: str, capture: Capture, xorbs: dict[bytes, XorbIndex]) -> bytes:
    """Put a file together out of what was sent, range by range."""
    (file,) = {entry.hash: entry for shard in shards for entry in shard.files if to_hex(entry.hash) == name}.values()
    parts = []
    for term in file.terms:
        index = xorbs[term.xorb]
        start, stop = index.byte_range(term.first, term.end)
        data = capture.xorbs[to_hex(term.xorb)][start:stop]
        parts.append(decode_chunks(data, index=index, first=term.first))
    return b"".join(parts)


def test_files_get_the_hash_that_the_client_gives_them(tmp_path: Path) -> None:
    contents = {name: make() for name, make in FILES.items()}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    theirs = json.loads(client(HASHES, tmp_path / "cache", *(tmp_path / name for name in contents)))
    assert dict(zip(contents, theirs, strict=True)) == {name: our_hash(data) for name, data in contents.items()}


def test_everything_that_the_client_uploads_is_proved_and_rebuilt(tmp_path: Path, capture: Capture) -> None:
    contents = {name: make() for name, make in FILES.items()}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    hashes = json.loads(client(UPLOAD, tmp_path / "cache", tmp_path, capture.url, *contents))
    xorbs, shards = proved(capture)
    claimed = {to_hex(file.hash): file.sha256 for shard in shards for file in shard.files}
    for name, data in contents.items():
        # For an empty file the client claims no digest (it writes zeros).
        assert claimed[hashes[name]] == (hashlib.sha256(data).hexdigest() if data else None)
        assert rebuilt(shards, hashes[name], capture, xorbs) == data
    schemes = {data[start + 4] for h, data in capture.xorbs.items() for start in [0, *xorbs[from_hex(h)].ends[:-1]]}
    assert schemes == {0, 1, 2}


def test_a_changed_byte_in_an_upload_is_refused(tmp_path: Path, capture: Capture) -> None:
    (tmp_path / "file").write_bytes(bytes_of(6, 300_000))
    client(UPLOAD, tmp_path / "cache", tmp_path, capture.url, "file")
    ((name, data),) = capture.xorbs.items()
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(XorbError, match="its chunks make xorb"):
        read_xorb(damaged, expected=from_hex(name))
    xorbs, shards = proved(capture)
    shard = bytearray(capture.shards[0])
    shard[48] ^= 1
    with pytest.raises(ShardError, match="its chunks make file"):
        check_file(read_shard(bytes(shard)).files[0], xorbs.get)
    assert shards


def test_the_client_does_not_send_again_what_an_answer_tells_it_of(tmp_path: Path, capture: Capture) -> None:
    data = bytes_of(7, 8_000_000)
    (tmp_path / "first").write_bytes(data)
    client(UPLOAD, tmp_path / "cache-1", tmp_path, capture.url, "first")
    known, _ = proved(capture)
    sent_first = sum(map(len, capture.xorbs.values()))
    capture.answer = write_dedup_shard(known.values(), key=bytes_of(8, 32), created=1, expires=4_000_000_000)
    assert all(index.chunk_hash(0) not in capture.answer for index in known.values())
    before = dict(capture.xorbs)
    (tmp_path / "second").write_bytes(data + bytes_of(9, 100_000))
    hashes = json.loads(client(UPLOAD, tmp_path / "cache-2", tmp_path, capture.url, "second"))
    sent_again = sum(len(xorb) for name, xorb in capture.xorbs.items() if name not in before)
    assert 100_000 <= sent_again < sent_first / 10
    xorbs, shards = proved(capture)
    assert rebuilt(shards, hashes["second"], capture, xorbs) == data + bytes_of(9, 100_000)
    assert to_hex(next(iter(known.values())).chunk_hash(0)) in capture.asked


@pytest.mark.parametrize("name", ["one-byte", "text", "floats", "random"])
def test_the_client_reads_the_xorbs_that_are_written_here(tmp_path: Path, capture: Capture, name: str) -> None:
    data = FILES[name]()
    terms, fetch = [], {}
    for xorb in write_xorbs(chunks_of(data)):
        hash_ = to_hex(xorb.index.hash)
        capture.xorbs[hash_] = xorb.data
        chunks = {"start": 0, "end": len(xorb.index)}
        terms.append({"hash": hash_, "unpacked_length": xorb.index.raw_bytes, "range": chunks})
        whole = {"start": 0, "end": len(xorb.data) - 1}
        fetch[hash_] = [{"range": chunks, "url": f"{capture.url}/data/{hash_}", "url_range": whole}]
    capture.reconstructions[our_hash(data)] = {"offset_into_first_range": 0, "terms": terms, "fetch_info": fetch}
    client(DOWNLOAD, tmp_path / "cache", tmp_path / "back", capture.url, our_hash(data), str(len(data)))
    assert (tmp_path / "back").read_bytes() == data
