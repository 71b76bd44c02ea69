"""Pulling large files by their chunks: what is here is not sent again, and what a source makes of that."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from filled_repository import commit
from flipping_proxy import flipping_proxy
from sqlalchemy import select
from two_hubs import BIG, NO_XET, WEIGHTS, Two, downloaded, flipped, nothing_is_visible

from weighbridge.errors import VerificationError
from weighbridge.hub.content.content import many
from weighbridge.hub.database.schema import content, content_owner, repository
from weighbridge.hub.mirror.errors import LyingSourceError, SourceError
from weighbridge.hub.xet.gear import Chunker
from weighbridge.shell.hub import mirror_large
from weighbridge.shell.hub.mirror_large import RANGES_AT_ONCE

CHANGED = WEIGHTS[: BIG // 2] + b"changed" + WEIGHTS[BIG // 2 :]
BYTES = "/cas/bytes/"
WHOLE = "/api/lfs/get/"
PLAN = "/reconstructions/"


def upload(two: Two, data: bytes, path: str = "deep/w.bin") -> None:
    two.api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id="alice/m")


def in_plans(change: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    """Let the source say something else of how files are put together."""

    def changed(path: str, body: bytes) -> bytes:
        if PLAN not in path:
            return body
        stated = json.loads(body)
        change(stated)
        return json.dumps(stated).encode()

    return changed


@pytest.mark.parametrize("by_api", [False, True])
@pytest.mark.parametrize("came", ["by chunks", "whole"])
def test_of_a_changed_file_only_the_changed_chunks_come(filled: Two, tmp_path: Path, came: str, by_api: bool) -> None:
    if came == "whole":
        filled.without_xet()
    filled.pull(by_api=by_api)
    filled.proxy.refused.clear()
    upload(filled, CHANGED)
    again = filled.pull(by_api=by_api)
    assert again.fetched_files == 1
    assert 0 < again.fetched_bytes < 400_000
    assert downloaded(filled.mine, tmp_path) == CHANGED
    assert filled.proxy.count(WHOLE) == (came == "whole" and not by_api)


def test_versions_that_come_in_one_pull_share_their_chunks(filled: Two, tmp_path: Path) -> None:
    upload(filled, CHANGED)
    upload(filled, CHANGED + b"!", "elsewhere.bin")
    pulled = filled.pull()
    assert pulled.fetched_files == 3
    assert pulled.fetched_bytes < BIG + 800_000
    assert downloaded(filled.mine, tmp_path, "elsewhere.bin") == CHANGED + b"!"


def test_a_file_that_squeezes_keeps_its_packed_chunks(filled: Two, tmp_path: Path) -> None:
    soft = bytes(Random(3).choices(range(4), k=BIG))
    upload(filled, soft, "soft.bin")
    pulled = filled.pull()
    assert pulled.fetched_bytes < BIG + 2 * BIG // 3
    assert downloaded(filled.mine, tmp_path, "soft.bin") == soft


def _swapped(stated: Any) -> None:
    first = stated["terms"][0]
    whole = first["range"]
    middle = (whole["start"] + whole["end"]) // 2
    # The same chunks and the same bytes, but the second half comes first.
    half = first["unpacked_length"] // 2
    stated["terms"] = [
        {**first, "range": {"start": middle, "end": whole["end"]}, "unpacked_length": half},
        {
            **first,
            "range": {"start": whole["start"], "end": middle},
            "unpacked_length": first["unpacked_length"] - half,
        },
    ]


def _shifted(stated: Any) -> None:
    for rows in stated["fetch_info"].values():
        for row in rows:
            row["range"] = {"start": row["range"]["start"], "end": row["range"]["end"] + 1}


@pytest.mark.parametrize(
    "lie", [in_plans(_swapped), in_plans(_shifted), flipped(BYTES)], ids=["terms", "range", "bytes"]
)
def test_a_lie_about_chunks_is_found(filled: Two, lie: Callable[[str, bytes], bytes]) -> None:
    filled.proxy.change = lie
    with pytest.raises(LyingSourceError):
        filled.pull()
    nothing_is_visible(filled)
    filled.proxy.change = lambda _, body: body
    filled.pull()
    assert filled.heads(filled.mine) == filled.heads(filled.api)


def test_a_lie_about_the_file_that_is_here_is_found(filled: Two, tmp_path: Path) -> None:
    """The answer about the old version leads to wrong chunks for the new one."""
    filled.without_xet()
    filled.pull()
    before = filled.heads(filled.mine)
    filled.proxy.refused.clear()
    upload(filled, CHANGED)
    with filled.source.hub.database.read() as connection:
        old = connection.execute(select(content.c.xet_hash).where(content.c.size_bytes == BIG)).scalar_one()
    lie = in_plans(_swapped)
    filled.proxy.change = lambda path, body: lie(path, body) if old in path else body
    with pytest.raises(LyingSourceError):
        filled.pull()
    assert filled.heads(filled.mine) == before


def _no_terms(stated: Any) -> None:
    stated["terms"] = []


def _negative(stated: Any) -> None:
    stated["terms"][0]["range"]["start"] = -1


def _endless(stated: Any) -> None:
    stated["terms"] *= 600_000


def _too_long(stated: Any) -> None:
    for rows in stated["fetch_info"].values():
        rows[0]["url_range"]["end"] = 2**40


def _elsewhere(stated: Any) -> None:
    for rows in stated["fetch_info"].values():
        rows[0]["url"] = "file:///etc/passwd"


def _nowhere(stated: Any) -> None:
    stated["fetch_info"] = {}


def _no_object(stated: Any) -> None:
    stated["terms"] = {"a": 1}


@pytest.mark.parametrize(
    "change", [_no_terms, _negative, _endless, _too_long, _elsewhere, _nowhere, _no_object], ids=lambda f: f.__name__
)
def test_a_source_whose_chunks_cannot_be_had_gives_the_file_whole(
    filled: Two, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    filled.proxy.change = in_plans(change)
    filled.pull()
    assert filled.proxy.count(BYTES) == 0
    assert filled.proxy.count(WHOLE) == 1
    assert downloaded(filled.mine, tmp_path) == WEIGHTS


def test_chunks_on_another_host_are_fetched_without_a_token(filled: Two, tmp_path: Path) -> None:
    with flipping_proxy(filled.source.endpoint) as elsewhere:

        def moved(path: str, body: bytes) -> bytes:
            return body.replace(filled.proxy.endpoint.encode(), elsewhere.endpoint.encode()) if PLAN in path else body

        filled.proxy.change = moved
        filled.pull()
        assert elsewhere.count(BYTES) == 1
        assert elsewhere.tokens == [""]
    assert filled.proxy.count(WHOLE) == 0
    assert downloaded(filled.mine, tmp_path) == WEIGHTS


def test_a_redirect_of_chunks_to_a_file_is_not_followed(filled: Two, tmp_path: Path) -> None:
    filled.proxy.redirect[BYTES] = "file:///etc/passwd"
    filled.pull()
    assert filled.proxy.count(WHOLE) == 1
    assert downloaded(filled.mine, tmp_path) == WEIGHTS


def test_chunks_whose_connection_was_cut_are_asked_for_again(filled: Two, tmp_path: Path) -> None:
    filled.proxy.cut.append(BYTES)
    filled.pull()
    assert (filled.proxy.count(PLAN), filled.proxy.count(BYTES), filled.proxy.count(WHOLE)) == (1, 2, 0)
    assert downloaded(filled.mine, tmp_path) == WEIGHTS


def test_chunks_whose_address_expired_are_fetched_from_a_new_one(filled: Two, tmp_path: Path) -> None:
    plans: list[str] = []

    def expired(path: str, body: bytes) -> bytes:
        plans.extend([path] if PLAN in path else [])
        return body.replace(b"expires=", b"expires=1") if PLAN in path and len(plans) == 1 else body

    filled.proxy.change = expired
    filled.pull()
    assert (filled.proxy.count(PLAN), filled.proxy.count(BYTES), filled.proxy.count(WHOLE)) == (2, 2, 0)
    assert downloaded(filled.mine, tmp_path) == WEIGHTS


def test_what_was_brought_of_a_file_before_a_failure_is_not_fetched_again(filled: Two, tmp_path: Path) -> None:
    # The hub itself cuts and stores what comes whole: a xorb for each version, of which the second holds the rest only.
    chunker = Chunker()
    first = b"".join([bytes(c) for c in (*chunker.feed(Random(4).randbytes(BIG)), *chunker.finish())][:-1])
    both = first + Random(5).randbytes(BIG)
    for data in (first, both):
        commit(filled.source, "alice/m", {}, large={"both.bin": data})
    filled.api.super_squash_history("alice/m")
    with filled.source.hub.database.read() as connection:
        made = many(connection, (hashlib.sha256(both).hexdigest(),)).popitem()[1]
    one, other = made.terms
    filled.proxy.refused += [WHOLE, other.xorb]
    with pytest.raises(SourceError):
        filled.pull(revisions=("main",))
    assert filled.proxy.count(one.xorb) == 1
    filled.proxy.refused.clear()
    filled.pull(revisions=("main",))
    assert filled.proxy.count(one.xorb) == 1
    assert downloaded(filled.mine, tmp_path, "both.bin") == both


def test_a_pull_that_was_killed_fetches_again_only_what_was_under_way(filled: Two, tmp_path: Path) -> None:
    files = {f"{number}.bin": Random(number).randbytes(BIG // 3) for number in range(10, 22)}
    for path, data in files.items():
        upload(filled, data, path)
    served = 0

    def slowly(path: str, body: bytes) -> bytes:
        nonlocal served
        if BYTES in path:
            served += 1
            time.sleep(0.15)
        return body

    filled.proxy.change = slowly
    environment = {**os.environ, "HF_TOKEN": filled.token}
    command = [sys.executable, "-m", "weighbridge", "hub", "pull", "alice/m", "--from", filled.proxy.endpoint]
    command += ["--folder", str(tmp_path / "here"), "--json"]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while served < 7 and time.monotonic() < until:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    assert served >= 7
    nothing_is_visible(filled)
    filled.proxy.change = lambda _, body: body
    pulled = filled.pull()
    assert filled.proxy.count(BYTES) <= len(files) + 1 + RANGES_AT_ONCE
    assert 0 < pulled.fetched_files <= len(files) + 1
    for path, data in files.items():
        assert downloaded(filled.mine, tmp_path / "got", path) == data


def test_chunks_of_another_repository_here_are_not_given_for_naming_them(filled: Two) -> None:
    """A source that knows how a private file is put together, and has none of its bytes, gets nothing of it."""
    secret = Random(7).randbytes(BIG)
    filled.mine.create_repo("alice/private", private=True)
    filled.mine.upload_file(path_or_fileobj=secret, path_in_repo="s.bin", repo_id="alice/private")
    true, false = hashlib.sha256(WEIGHTS).hexdigest(), hashlib.sha256(secret).hexdigest()
    with filled.here.hub.database.read() as connection:
        stolen = connection.execute(select(content.c.xet_hash).where(content.c.sha256 == false)).scalar_one()
    with filled.source.hub.database.read() as connection:
        own = connection.execute(select(content.c.xet_hash).where(content.c.sha256 == true)).scalar_one()
    plan = _plan_of(filled, stolen)
    asked: list[str] = []

    def named(path: str, body: bytes) -> bytes:
        if "/tree/" in path:
            return body.replace(true.encode(), false.encode()).replace(own.encode(), stolen.encode())
        if PLAN in path:
            asked.append(path)
        return body

    filled.proxy.change = named
    filled.proxy.answers[f"{PLAN}{stolen}"] = plan
    with pytest.raises(VerificationError):
        filled.pull(by_api=True)
    assert asked or filled.proxy.count(PLAN)
    with filled.here.hub.database.read() as connection:
        holders = (
            select(repository.c.full_name)
            .join(content_owner, content_owner.c.repository_id == repository.c.id)
            .where(content_owner.c.sha256 == false)
        )
        assert connection.execute(holders).scalars().all() == ["alice/private"]


def _plan_of(two: Two, xet_hash: str) -> bytes:
    """Return how the pulling hub itself puts its private file together."""
    import urllib.request

    granted = two.mine._build_hf_headers()
    request = urllib.request.Request(
        f"{two.here.endpoint}/api/models/alice/private/xet-read-token/main", headers=granted
    )
    with urllib.request.urlopen(request) as answer:
        access = json.load(answer)
    request = urllib.request.Request(
        f"{access['casUrl']}/v1/reconstructions/{xet_hash}",
        headers={"Authorization": f"Bearer {access['accessToken']}"},
    )
    with urllib.request.urlopen(request) as answer:
        plan = json.load(answer)
    for rows in plan["fetch_info"].values():
        for row in rows:
            row["url"] = "http://127.0.0.1:9/nothing"
    return json.dumps(plan).encode()


@pytest.mark.parametrize("whole", [False, True])
def test_several_files_come_at_once(filled: Two, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    for number in range(3):
        upload(filled, Random(number).randbytes(BIG // 3), f"{number}.bin")
    if whole:
        filled.without_xet()
    together = threading.Barrier(4)
    name = "_whole" if whole else "_by_chunks"
    true = getattr(mirror_large.LargeFiles, name)

    def meeting(self: Any, *arguments: Any) -> Any:
        together.wait(30)
        return true(self, *arguments)

    monkeypatch.setattr(mirror_large.LargeFiles, name, meeting)
    assert filled.pull().fetched_files == 4
    assert (NO_XET in filled.proxy.refused) is whole
