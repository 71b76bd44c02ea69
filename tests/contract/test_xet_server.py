"""The byte server under unmodified hf_xet and huggingface_hub, and under what no honest client sends."""

import base64
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import hf_xet
import lz4.frame
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.utils import _xet
from huggingface_hub.utils.tqdm import disable_progress_bars
from running_hub import RunningHub, running_hub
from sqlalchemy import delete, func, insert, select, update
from xet_calls import Cas, Prepared, ask, entry_of, noise, prepared

from weighbridge.hub.database.schema import account, content, membership, repository, token, xorb
from weighbridge.hub.server import HubSettings
from weighbridge.hub.xet.merkle import file_hash, to_hex
from weighbridge.hub.xet.shard import write_shard
from weighbridge.hub.xet.xorb import decode_chunks

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        for name in ("alice", "bob", "carol"):
            running.user(name)
        yield running


@pytest.fixture(autouse=True)
def fresh_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a client that remembers nothing of the others."""
    disable_progress_bars()
    forget(tmp_path / "xet", monkeypatch)


def forget(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_XET_CACHE", str(folder))
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())


@pytest.fixture
def alice(hub: RunningHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.user("alice"))


@pytest.fixture
def repo(alice: HfApi, request: pytest.FixtureRequest) -> str:
    name = f"alice/{hashlib.sha256(request.node.name.encode()).hexdigest()[:16]}"
    alice.create_repo(name, private=True)
    return name


def secret_of(api: HfApi) -> str:
    return str(api.token)


def stored_bytes(hub: RunningHub) -> int:
    with hub.hub.database.read() as connection:
        return int(connection.execute(select(func.coalesce(func.sum(xorb.c.size_bytes), 0))).scalar_one())


def add(api: HfApi, repo: str, **files: bytes) -> str:
    operations = [CommitOperationAdd(name, data) for name, data in files.items()]
    return str(api.create_commit(repo, operations, commit_message="add").oid)


def get(api: HfApi, repo: str, name: str, folder: Path, revision: str = "main") -> bytes:
    found = hf_hub_download(repo, name, revision=revision, endpoint=api.endpoint, token=api.token, cache_dir=folder)
    return Path(found).read_bytes()


# ---- what honest clients do


def test_a_file_comes_back_byte_for_byte(hub: RunningHub, alice: HfApi, repo: str, tmp_path: Path) -> None:
    data = noise(5 * MIB + 17, 1) + b"a" * MIB
    add(alice, repo, weights=data, tail=data[-3 * MIB :] + b"!", empty=b"")
    assert get(alice, repo, "weights", tmp_path) == data
    assert get(alice, repo, "tail", tmp_path) == data[-3 * MIB :] + b"!"
    with hub.hub.database.read() as connection:
        entered = set(connection.execute(select(content.c.sha256)).scalars())
    assert hashlib.sha256(data).hexdigest() in entered


@pytest.mark.parametrize("remembers", [True, False], ids=["the same client", "another machine"])
def test_a_changed_file_sends_little(
    remembers: bool, hub: RunningHub, alice: HfApi, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(noise(24 * MIB, 2 + remembers))
    add(alice, repo, weights=bytes(data))
    before = stored_bytes(hub)
    if not remembers:
        forget(tmp_path / "another", monkeypatch)
    data[10 * MIB : 10 * MIB + 1000] = noise(1000, 3)
    add(alice, repo, weights=bytes(data))
    assert stored_bytes(hub) - before < MIB
    assert get(alice, repo, "weights", tmp_path / "cache") == data


def test_what_may_be_read_elsewhere_is_not_sent_again(
    hub: RunningHub, alice: HfApi, repo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noise(4 * MIB, 5)
    add(alice, repo, weights=data)
    before = stored_bytes(hub)
    forget(tmp_path / "another", monkeypatch)
    other = alice.create_repo(f"{repo}-2", private=True).repo_id
    add(alice, other, renamed=data)
    assert stored_bytes(hub) == before
    assert get(alice, other, "renamed", tmp_path) == data


def test_deduplication_says_nothing_of_what_may_not_be_read(hub: RunningHub, alice: HfApi, repo: str) -> None:
    file = prepared(noise(2 * MIB, 6))
    file.send(Cas.of(hub.endpoint, secret_of(alice), repo))
    first = to_hex(file.xorbs[0].index.chunk_hash(0))
    bob = HfApi(endpoint=hub.endpoint, token=hub.user("bob"))
    bob.create_repo("bob/asks", exist_ok=True)
    assert Cas.of(hub.endpoint, secret_of(bob), "bob/asks").ask("GET", f"/v1/chunks/default/{first}").status == 404
    own = Cas.of(hub.endpoint, secret_of(alice), repo).ask("GET", f"/v1/chunks/default-merkledb/{first}")
    assert own.status == 200
    # Whoever does not hold a chunk learns no hash from the answer: they are keyed.
    for at in range(len(file.xorbs[0].index)):
        assert file.xorbs[0].index.chunk_hash(at) not in own.body


def test_a_client_that_remembers_what_was_collected_can_upload_again(alice: HfApi, tmp_path: Path) -> None:
    from weighbridge.hub.content.collect import collect

    data = noise(3 * MIB, 7)
    with running_hub(tmp_path / "hub") as own:
        api = HfApi(endpoint=own.endpoint, token=own.user("alice"))
        for _ in range(2):
            api.create_repo("alice/m")
            add(api, "alice/m", weights=data)
            assert get(api, "alice/m", "weights", tmp_path / "cache") == data
            api.delete_repo("alice/m")
            assert collect(own.hub, grace_seconds=0).freed_bytes > 3 * MIB
        # Neither does one that remembers a repository of the same name, before anything is collected.
        for _ in range(2):
            api.create_repo("alice/m")
            add(api, "alice/m", weights=data)
            api.delete_repo("alice/m")


def test_buckets_take_files_without_a_sha256(hub: RunningHub, alice: HfApi) -> None:
    with hub.hub.database.write() as connection:
        owner = select(account.c.id).where(account.c.name == "alice").scalar_subquery()
        row = {"kind": "bucket", "owner_id": owner, "full_name": "alice/files", "name_key": "alice/files"}
        connection.execute(insert(repository).values(**row, created_ms=1, modified_ms=1))
    cas = Cas.of(hub.endpoint, secret_of(alice), "alice/files", kind="buckets", revision="")
    file = prepared(noise(MIB, 8))
    bare = entry_of(file.entry.hash, file.xorbs, sha256=None)
    for part in file.xorbs:
        assert cas.put_xorb(part).document() == {"was_inserted": True}
    assert cas.put_shard(write_shard((bare,))).document() == {"result": 1}
    with hub.hub.database.read() as connection:
        found = connection.execute(select(content.c.sha256).where(content.c.xet_hash == file.hash)).scalar_one()
    assert found == hashlib.sha256(file.data).hexdigest()


# ---- reconstructions


@pytest.fixture
def sent(hub: RunningHub, alice: HfApi, repo: str) -> tuple[Cas, Prepared]:
    file = prepared(noise(3 * MIB, 9) + b"\0" * MIB)
    cas = Cas.of(hub.endpoint, secret_of(alice), repo)
    file.send(cas)
    return cas, file


@pytest.mark.parametrize(("start", "end"), [(0, 4 * MIB), (100, 101), (MIB, 2 * MIB + 5), (4 * MIB - 1, 9 * MIB)])
def test_every_range_can_be_put_together(sent: tuple[Cas, Prepared], start: int, end: int) -> None:
    cas, file = sent
    wanted = file.data[start:end]
    plan = cas.ask("GET", f"/v1/reconstructions/{file.hash}", Range=f"bytes={start}-{end - 1}").document()
    newer = cas.ask("GET", f"/v2/reconstructions/{file.hash}", Range=f"bytes={start}-{end - 1}").document()
    assert newer["terms"] == plan["terms"]
    raw = b""
    for term in plan["terms"]:  # type: ignore[attr-defined]
        chunks: dict[int, bytes] = {}
        for fetch in plan["fetch_info"][term["hash"]]:  # type: ignore[index]
            bounds = fetch["url_range"]
            found = ask("GET", fetch["url"], Range=f"bytes={bounds['start']}-{bounds['end']}")
            assert found.status == 206
            assert len(found.body) == bounds["end"] - bounds["start"] + 1
            if fetch["range"]["start"] <= term["range"]["start"] and term["range"]["end"] <= fetch["range"]["end"]:
                chunks[fetch["range"]["start"]] = decode_chunks(found.body)
        assert len(chunks) == 1
        # Here a term always begins where its fetch does: neighbours in a xorb are one term.
        raw += next(iter(chunks.values()))[: term["unpacked_length"]]
    skipped = int(plan["offset_into_first_range"])  # type: ignore[call-overload]
    assert raw[skipped:][: len(wanted)] == wanted
    for fetches in newer["xorbs"].values():  # type: ignore[attr-defined]
        assert all(len(fetch["ranges"]) == 1 for fetch in fetches)


def test_past_the_end_there_is_no_range(sent: tuple[Cas, Prepared]) -> None:
    cas, file = sent
    for version in ("v1", "v2"):
        url = f"/{version}/reconstructions/{file.hash}"
        assert cas.ask("GET", url, Range=f"bytes={4 * MIB}-{5 * MIB}").status == 416
        assert cas.ask("GET", url, Range="bytes=5-2").status == 400
        assert cas.ask("GET", url, Range="bytes=0-1,5-9").status == 400
        assert cas.ask("GET", f"/{version}/reconstructions/{'0' * 63}Z").status == 400
        assert cas.ask("GET", f"/{version}/reconstructions/{'12' * 32}").status == 404


def test_an_address_opens_one_range_for_a_while(sent: tuple[Cas, Prepared], hub: RunningHub) -> None:
    cas, file = sent
    plan = cas.ask("GET", f"/v1/reconstructions/{file.hash}", Range=f"bytes=0-{MIB}").document()
    fetch = next(iter(plan["fetch_info"].values()))[0]  # type: ignore[attr-defined]
    url, bounds = fetch["url"], fetch["url_range"]
    right = f"bytes={bounds['start']}-{bounds['end']}"
    assert ask("GET", url, Range=right).status == 206
    assert ask("GET", url).status == 403
    assert ask("GET", url, Range=f"bytes={bounds['start']}-{bounds['end'] + 1}").status == 403
    wider = url.replace(f"-{bounds['end']}&", f"-{bounds['end'] + 9}&")
    assert ask("GET", wider, Range=f"bytes={bounds['start']}-{bounds['end'] + 9}").status == 403
    expires = dict(pair.split("=") for pair in urlsplit(url).query.split("&"))["expires"]
    assert ask("GET", url.replace(expires, str(int(expires) + 9)), Range=right).status == 403
    past = url.replace(expires, "1000")
    assert ask("GET", past, Range=right).status == 403
    for key in ("../../hub.sqlite", "..%2f..%2fhub.sqlite", "/etc/passwd", "%00"):
        forged = f"{hub.endpoint}/cas/bytes/{key}?{urlsplit(url).query}"
        assert ask("GET", forged, Range=right).status in (400, 403, 404)


# ---- who may


def test_a_hash_opens_nothing_in_another_repository(hub: RunningHub, sent: tuple[Cas, Prepared], alice: HfApi) -> None:
    _, file = sent
    bob = HfApi(endpoint=hub.endpoint, token=hub.user("bob"))
    bob.create_repo("bob/thief", exist_ok=True)
    for scope in ("read", "write"):
        theirs = Cas.of(hub.endpoint, secret_of(bob), "bob/thief", scope=scope)
        assert theirs.ask("GET", f"/v2/reconstructions/{file.hash}").status == 404
    theirs = Cas.of(hub.endpoint, secret_of(bob), "bob/thief")
    refused = theirs.put_shard(file.shard)
    assert refused.status == 400
    assert b"is not here" in refused.body
    sha256 = hashlib.sha256(file.data).hexdigest()
    line = {"key": "lfsFile", "value": {"path": "stolen", "algo": "sha256", "oid": sha256, "size": len(file.data)}}
    body = "\n".join(map(json.dumps, ({"key": "header", "value": {"summary": "steal"}}, line))).encode()
    url, kind = f"{hub.endpoint}/api/models/bob/thief/commit/main", "application/x-ndjson"
    found = ask("POST", url, body, Authorization=f"Bearer {secret_of(bob)}", Content_Type=kind)
    assert 400 <= found.status < 500
    assert not bob.file_exists("bob/thief", "stolen")


def test_a_read_token_opens_its_revision_and_no_other(hub: RunningHub, alice: HfApi, repo: str) -> None:
    early = add(alice, repo, one=b"1" * 100)
    data = noise(2 * MIB, 11)
    late = add(alice, repo, weights=data)
    name = alice.get_paths_info(repo, "weights")[0].xet_hash  # type: ignore[union-attr]
    url = f"/v2/reconstructions/{name}"
    secret = secret_of(alice)
    assert Cas.of(hub.endpoint, secret, repo, scope="read", revision=early).ask("GET", url).status == 404
    assert Cas.of(hub.endpoint, secret, repo, scope="read", revision=late).ask("GET", url).status == 200
    assert Cas.of(hub.endpoint, secret, repo, scope="read").ask("GET", url).status == 200
    alice.create_commit(repo, [CommitOperationDelete("weights")], commit_message="drop")
    assert Cas.of(hub.endpoint, secret, repo, scope="read").ask("GET", url).status == 404
    assert Cas.of(hub.endpoint, secret, repo, scope="read", revision=late).ask("GET", url).status == 200


def test_what_was_not_committed_is_not_for_readers(
    hub: RunningHub, sent: tuple[Cas, Prepared], alice: HfApi, repo: str
) -> None:
    cas, file = sent
    assert cas.ask("GET", f"/v2/reconstructions/{file.hash}").status == 200
    reader = Cas.of(hub.endpoint, secret_of(alice), repo, scope="read")
    assert reader.ask("GET", f"/v2/reconstructions/{file.hash}").status == 404


def test_a_reader_cannot_upload(hub: RunningHub, sent: tuple[Cas, Prepared], alice: HfApi, repo: str) -> None:
    _, file = sent
    reader = Cas.of(hub.endpoint, secret_of(alice), repo, scope="read")
    assert reader.put_xorb(file.xorbs[0]).status == 403
    assert reader.put_shard(file.shard).status == 403
    assert reader.ask("POST", "/v2/shards", file.shard).status == 403
    grant = json.dumps({"length": 10}).encode()
    assert reader.ask("POST", f"/v1/xorb-grants/default/{file.hash}", grant).status == 403
    for secret in (hub.user("alice", role="read"), hub.user("bob")):
        for revision in ("main", "None?create_pr=1"):
            url = f"{hub.endpoint}/api/models/{repo}/xet-write-token/{revision}"
            assert ask("GET", url, Authorization=f"Bearer {secret}").status in (403, 404)
    assert ask("GET", f"{hub.endpoint}/api/models/{repo}/xet-read-token/main").status == 401


def test_whoever_loses_access_loses_it_at_once(hub: RunningHub) -> None:
    hub.org("lab", alice="admin", carol="write")
    alice, carol = hub.user("alice"), hub.user("carol")
    HfApi(endpoint=hub.endpoint, token=alice).create_repo("lab/m", private=True)
    cas = Cas.of(hub.endpoint, carol, "lab/m")
    file = prepared(noise(MIB, 12))
    file.send(cas)
    url = f"/v2/reconstructions/{file.hash}"
    assert cas.ask("GET", url).status == 200
    other = Cas.of(hub.endpoint, hub.user("carol"), "lab/m")
    with hub.hub.database.write() as connection:
        digest = hashlib.sha256(carol.encode()).hexdigest()
        connection.execute(update(token).where(token.c.secret_sha256 == digest).values(revoked_ms=1))
    assert cas.ask("GET", url).status == 401
    assert other.ask("GET", url).status == 200
    with hub.hub.database.write() as connection:
        connection.execute(delete(membership).where(membership.c.role == "write"))
    assert other.ask("GET", url).status == 404
    assert other.put_xorb(file.xorbs[0]).status == 404
    HfApi(endpoint=hub.endpoint, token=alice).delete_repo("lab/m")
    assert other.ask("GET", url).status == 404


def test_a_gate_is_asked_at_every_reconstruction(hub: RunningHub, alice: HfApi) -> None:
    alice.create_repo("alice/gated")
    data = noise(MIB, 13)
    add(alice, "alice/gated", weights=data)
    name = alice.get_paths_info("alice/gated", "weights")[0].xet_hash  # type: ignore[union-attr]
    bob = Cas.of(hub.endpoint, hub.user("bob"), "alice/gated", scope="read")
    nobody = Cas.of(hub.endpoint, "", "alice/gated", scope="read")
    for reader in (bob, nobody):
        assert reader.ask("GET", f"/v2/reconstructions/{name}").status == 200
    with hub.hub.database.write() as connection:
        gate = update(repository).where(repository.c.full_name == "alice/gated").values(gated="manual")
        connection.execute(gate)
    assert bob.ask("GET", f"/v2/reconstructions/{name}").status == 403
    assert nobody.ask("GET", f"/v2/reconstructions/{name}").status == 401
    first = to_hex(prepared(data).xorbs[0].index.chunk_hash(0))
    assert bob.ask("GET", f"/v1/chunks/default/{first}").status == 403


def test_forged_and_altered_tokens_are_refused(hub: RunningHub, sent: tuple[Cas, Prepared]) -> None:
    cas, file = sent
    body, _, signature = cas.token.removeprefix("xet_").partition(".")
    facts = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    later = base64.urlsafe_b64encode(json.dumps([*facts[:-1], facts[-1] + 9999]).encode()).decode().rstrip("=")
    forged = (
        "",
        "xet_",
        "xet_.",
        f"xet_{later}.{signature}",
        f"xet_{body}.{'A' * len(signature)}",
        f"xet_{body}.",
        cas.token[:-1],
        cas.token + "A" * 4000,
        "hf_" + "a" * 37,
        f"xet_{body}.é",
    )
    for text in forged:
        found = Cas(url=cas.url, token=text.encode().decode("latin-1")).ask("GET", f"/v2/reconstructions/{file.hash}")
        assert found.status == 401, text


def test_an_expired_token_is_refused(tmp_path: Path) -> None:
    with running_hub(tmp_path, settings=HubSettings(token_seconds=0)) as own:
        secret = own.user("alice")
        HfApi(endpoint=own.endpoint, token=secret).create_repo("alice/m")
        cas = Cas.of(own.endpoint, secret, "alice/m")
        found = cas.ask("GET", f"/v2/reconstructions/{'0' * 64}")
        assert found.status == 401
        assert b"expired" in found.body


# ---- what is malformed


def _header(packed: int, scheme: int, raw: int, version: int = 0) -> bytes:
    return struct.pack("<Q", version | packed << 8 | scheme << 32 | raw << 40)


def _bomb() -> bytes:
    packed: bytes = lz4.frame.compress(b"\0" * (64 * MIB))
    return _header(len(packed), 1, 131072) + packed


def test_malformed_xorbs_are_refused_and_nothing_is_kept(hub: RunningHub, alice: HfApi, repo: str) -> None:
    cas = Cas.of(hub.endpoint, secret_of(alice), repo)
    good = prepared(noise(2 * MIB, 14)).xorbs[0]
    flipped = bytearray(good.data)
    flipped[MIB] ^= 1
    damaged = {
        "cut": good.data[:-5],
        "empty": b"",
        "flipped": bytes(flipped),
        "no xorb": noise(1000, 15),
        "bomb": _bomb(),
        "an unknown version": _header(10, 0, 10, version=9) + b"0123456789",
        "an unknown scheme": _header(10, 7, 10) + b"0123456789",
        "no length": _header(0, 0, 0),
        "more than it says": _header(8, 0, 9) + b"0123456789",
    }
    before = {item.key for item in hub.hub.store.list("xorbs")}
    for what, data in damaged.items():
        found = cas.ask("POST", f"/v1/xorbs/default/{to_hex(good.index.hash)}", data)
        assert found.status == 400, what
        assert b"Traceback" not in found.body
    assert cas.ask("POST", f"/v1/xorbs/default/{'0' * 64}", good.data).status == 400
    assert cas.ask("POST", "/v1/xorbs/default/nothing", good.data).status == 400
    assert cas.ask("POST", f"/v1/xorbs/other/{to_hex(good.index.hash)}", good.data).status == 404
    assert {item.key for item in hub.hub.store.list("xorbs")} == before
    assert cas.put_xorb(good).document() == {"was_inserted": True}
    assert cas.put_xorb(good).document() == {"was_inserted": False}


def test_a_xorb_that_is_too_long_is_not_read(hub: RunningHub, alice: HfApi, repo: str) -> None:
    cas = Cas.of(hub.endpoint, secret_of(alice), repo)
    found = cas.ask("POST", f"/v1/xorbs/default/{'0' * 64}", b"\0" * (66 * MIB))
    assert found.status in (400, 413)


def test_a_footer_is_not_stored(hub: RunningHub, alice: HfApi, repo: str) -> None:
    cas = Cas.of(hub.endpoint, secret_of(alice), repo)
    good = prepared(noise(MIB, 16)).xorbs[0]
    name = to_hex(good.index.hash)
    assert cas.ask("POST", f"/v1/xorbs/default/{name}", good.data + b"XETBLOB" + b"\1" * 500).status == 200
    with hub.hub.database.read() as connection:
        key = connection.execute(select(xorb.c.key).where(xorb.c.hash == name)).scalar_one()
    assert hub.hub.store.read(key) == good.data


def test_malformed_shards_are_refused(hub: RunningHub, alice: HfApi, repo: str) -> None:
    cas = Cas.of(hub.endpoint, secret_of(alice), repo)
    file = prepared(noise(2 * MIB, 17))
    shard = file.shard
    assert cas.put_shard(shard).status == 400, "its xorbs are not here yet"
    for part in file.xorbs:
        cas.put_xorb(part)
    lying = prepared(file.data, sha256="1" * 64).shard
    renamed = write_shard((entry_of(b"\7" * 32, file.xorbs, sha256=None),))
    unproved = shard.replace(file.entry.range_hash(0), b"\5" * 32)
    for wrong in (b"", shard[:-1], shard[:200], noise(4000, 18), lying, renamed, unproved, shard + b"\0" * 48):
        assert cas.put_shard(wrong).status == 400
        ended = cas.ask("POST", "/v2/shards", wrong)
        assert ended.status == 200
        last = json.loads(ended.body.splitlines()[-1])
        assert (last["type"], last["retryable"]) == ("error", False)
        assert "Traceback" not in last["message"]
    with hub.hub.database.read() as connection:
        assert connection.execute(select(content).where(content.c.xet_hash == file.hash)).first() is None
    assert json.loads(cas.ask("POST", "/v2/shards", shard).body.splitlines()[-1]) == {"type": "result"}
    assert cas.put_shard(shard).document() == {"result": 0}


def test_a_shard_proves_that_its_sender_knows_the_chunks(hub: RunningHub, alice: HfApi, repo: str) -> None:
    """Whoever may read a xorb's repository still needs its chunk hashes: names of xorbs alone make no file."""
    cas = Cas.of(hub.endpoint, secret_of(alice), repo)
    file = prepared(noise(MIB, 19))
    file.send(cas)
    guess = entry_of(file_hash(b"\1" * 32, [file.xorbs[0].index.raw_bytes]), file.xorbs, sha256=None)
    found = cas.put_shard(write_shard((guess,)))
    assert found.status == 400


def test_hf_xet_says_why_an_upload_was_refused(hub: RunningHub, alice: HfApi, repo: str, tmp_path: Path) -> None:
    file = tmp_path / "f.bin"
    file.write_bytes(noise(MIB, 20))
    url = f"{hub.endpoint}/api/models/{repo}/xet-write-token/main"
    with (
        pytest.raises(Exception, match="SHA-256"),
        hf_xet.XetSession().new_upload_commit(
            token_refresh_url=url, token_refresh_headers={"authorization": f"Bearer {alice.token}"}
        ) as upload,
    ):
        upload.start_upload_file(str(file), sha256="1" * 64)


def test_many_clients_upload_at_once(hub: RunningHub, alice: HfApi, repo: str) -> None:
    files = [prepared(noise(3 * MIB, 100 + at % 6)) for at in range(12)]
    failed: list[BaseException] = []

    def send(file: Prepared) -> None:
        try:
            file.send(Cas.of(hub.endpoint, secret_of(alice), repo))
        except AssertionError as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    cas = Cas.of(hub.endpoint, secret_of(alice), repo)
    for file in files:
        assert cas.ask("GET", f"/v2/reconstructions/{file.hash}").status == 200
