"""Xorbs that hf_xet puts straight into an S3 store, and reads from there."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.utils import _xet
from huggingface_hub.utils.tqdm import disable_progress_bars
from running_hub import RunningHub, running_hub
from s3_server import S3Server
from sqlalchemy import func, select
from xet_calls import Answer, Cas, ask, noise, prepared

from weighbridge.hub.content.collect import collect
from weighbridge.hub.content.verify import verify
from weighbridge.hub.database.schema import upload, xorb
from weighbridge.hub.xet.merkle import to_hex

MIB = 1024 * 1024


@pytest.fixture
def hub(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    s3_server: S3Server,
) -> Iterator[RunningHub]:
    disable_progress_bars()
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet"))
    monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
    for name, value in s3_server.environ.items():
        monkeypatch.setenv(name, value)
    with running_hub(tmp_path / "hub", store=f"s3://{s3_server.new_bucket()}/hub") as running:
        yield running


@pytest.fixture
def api(hub: RunningHub) -> HfApi:
    api = HfApi(endpoint=hub.endpoint, token=hub.user("alice"))
    api.create_repo("alice/m")
    return api


def granted(cas: Cas, name: str, size: int) -> Answer:
    checksum = {"algo": "crc64nvme", "value": "1"}
    return cas.ask(
        "POST", f"/v1/xorb-grants/default/{name}", json.dumps({"length": size, "checksum": checksum}).encode()
    )


def sent(answer: Answer, data: bytes) -> int:
    told = answer.document()
    # The checksum that was announced is not that of the bytes: a store that compares would refuse before we do.
    headers = {str(k): str(v) for k, v in told["headers"].items() if "crc64" not in k}  # type: ignore[attr-defined]
    headers["Content-Type"] = "application/octet-stream"
    return ask(str(told["method"]), str(told["url"]), data, **headers).status


def test_an_upload_and_a_download_pass_the_server_by(hub: RunningHub, api: HfApi, tmp_path: Path) -> None:
    data = noise(3 * MIB, 1)
    api.create_commit("alice/m", [CommitOperationAdd("weights", data)], commit_message="add")
    with hub.hub.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(upload)).scalar_one() == 0
        (key,) = connection.execute(select(xorb.c.key)).scalars()
    assert {item.key for item in hub.hub.store.list()} == {key}
    found = hf_hub_download("alice/m", "weights", endpoint=hub.endpoint, token=api.token, cache_dir=tmp_path / "cache")
    assert Path(found).read_bytes() == data
    cas = Cas.of(hub.endpoint, str(api.token), "alice/m")
    plan = cas.ask("GET", f"/v2/reconstructions/{prepared(data).hash}").document()
    url = next(iter(plan["xorbs"].values()))[0]["url"]  # type: ignore[attr-defined]
    assert not url.startswith(hub.endpoint)
    assert list(verify(hub.hub)) == []


def test_what_was_put_in_the_store_exists_once_it_was_read_back(hub: RunningHub, api: HfApi) -> None:
    cas = Cas.of(hub.endpoint, str(api.token), "alice/m")
    good = prepared(noise(MIB, 2)).xorbs[0]
    name = to_hex(good.index.hash)
    first = granted(cas, name, len(good.data))
    assert first.status == 201
    commit = f"/v1/xorb-commits/default/{name}/grant/{first.document()['id']}"
    assert cas.ask("POST", commit).status == 404, "nothing was uploaded"
    wrong = bytearray(good.data)
    wrong[5000] ^= 1
    assert sent(first, bytes(wrong)) == 200
    assert cas.ask("POST", commit).status == 400
    assert list(hub.hub.store.list()) == []
    assert cas.ask("POST", commit).status == 404, "a grant is good once"
    second = granted(cas, name, len(good.data))
    assert sent(second, good.data) == 200
    commit = f"/v1/xorb-commits/default/{name}/grant/{second.document()['id']}"
    assert cas.ask("POST", commit).document() == {"was_inserted": True}
    assert granted(cas, name, len(good.data)).status == 200, "the repository has it"
    sent(second, bytes(wrong))
    collect(hub.hub, grace_seconds=3600)
    assert list(verify(hub.hub)) == [], "what was verified cannot be replaced by the same address"


def test_a_grant_is_for_one_repository_and_of_sound_form(hub: RunningHub, api: HfApi) -> None:
    cas = Cas.of(hub.endpoint, str(api.token), "alice/m")
    good = prepared(noise(MIB, 3)).xorbs[0]
    name = to_hex(good.index.hash)
    grant = granted(cas, name, len(good.data))
    sent(grant, good.data)
    bob = HfApi(endpoint=hub.endpoint, token=hub.user("bob"))
    bob.create_repo("bob/m")
    theirs = Cas.of(hub.endpoint, str(bob.token), "bob/m")
    commit = f"/v1/xorb-commits/default/{name}/grant/{grant.document()['id']}"
    assert theirs.ask("POST", commit).status == 404
    assert cas.ask("POST", commit).status == 200
    assert granted(theirs, name, len(good.data)).status == 201, "that it exists is not told"
    url = f"/v1/xorb-grants/default/{name}"
    assert granted(theirs, name, 1 << 30).status == 413
    for body in (b"", b"[]", b'{"length": -1}', b'{"length": true}', b'{"length": "5"}'):
        assert theirs.ask("POST", url, body).status == 400
    endless = {"length": 5, "checksum": {"algo": "crc64nvme", "value": "9" * 40}}
    assert theirs.ask("POST", url, json.dumps(endless).encode()).status == 400
