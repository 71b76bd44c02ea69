"""Storage buckets on a running hub, by the unmodified clients: HfApi, HfFileSystem and the `hf` command."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import HfApi, HfFileSystem
from huggingface_hub._buckets import BucketFile, BucketFolder
from huggingface_hub.errors import BucketBatchError, BucketNotFoundError, EntryNotFoundError, HfHubHTTPError
from running_hub import RunningHub, running_hub
from sqlalchemy import delete, select

from weighbridge.hub.database.schema import account, bucket_file, repository

BUCKET = "alice/data"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def hub(server: RunningHub) -> Iterator[RunningHub]:
    """A hub on which nobody is and nothing lies."""
    yield server
    with server.hub.database.write() as connection:
        connection.execute(delete(account))


def api_of(hub: RunningHub, user: str, **kind: Any) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=hub.user(user, **kind))


def a_bucket(hub: RunningHub, files: dict[str, bytes], **settings: Any) -> HfApi:
    api = api_of(hub, "alice")
    api.create_bucket(BUCKET, **settings)
    api.batch_bucket_files(BUCKET, add=[(data, path) for path, data in files.items()])
    return api


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def paths(api: HfApi, **asked: Any) -> list[str]:
    return [item.path for item in api.list_bucket_tree(BUCKET, **asked)]


def hash_of(api: HfApi, path: str, bucket: str = BUCKET) -> str:
    [found] = api.get_bucket_paths_info(bucket, [path])
    return found.xet_hash


def refused(call: Callable[..., Any], *given: Any, **named: Any) -> int:
    with pytest.raises(HfHubHTTPError) as caught:
        call(*given, **named)
    return int(caught.value.response.status_code)


def headers(api: HfApi) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.token}"}


def test_a_bucket_is_made_described_moved_and_deleted(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        api = api_of(hub, "alice")
        url = api.create_bucket("data", private=True)
        assert (url.bucket_id, url.url) == (BUCKET, f"{hub.endpoint}/buckets/{BUCKET}")
        assert refused(api.create_bucket, BUCKET) == 409
        assert api.create_bucket(BUCKET, exist_ok=True).bucket_id == BUCKET
        info = api.bucket_info(BUCKET)
        assert (info.id, info.private, info.size, info.total_files) == (BUCKET, True, 0, 0)
        api.update_bucket_settings(BUCKET, private=False)
        api.create_bucket("alice/other")
        assert [(each.id, each.private) for each in api.list_buckets()] == [(BUCKET, False), ("alice/other", False)]
        assert [each.id for each in api.list_buckets(search="OTH")] == ["alice/other"]
        assert not list(api.list_buckets(search="%"))
        api.move_bucket(BUCKET, "alice/renamed")
        assert api.bucket_info("alice/renamed").id == "alice/renamed"
        api.delete_bucket("alice/renamed")
        with pytest.raises(BucketNotFoundError):
            api.bucket_info("alice/renamed")
        with pytest.raises(BucketNotFoundError):
            api.delete_bucket("alice/renamed")
        api.delete_bucket("alice/renamed", missing_ok=True)


def test_files_are_added_listed_fetched_and_deleted(tmp_path: Path, database: str) -> None:
    files = {"a.bin": noise(300_000), "logs/1.txt": b"one", "logs/old/0.txt": b"zero", "logs.json": b"{}", "empty": b""}
    with running_hub(tmp_path / "hub", database=database) as hub:
        api = a_bucket(hub, files)
        info = api.bucket_info(BUCKET)
        assert (info.size, info.total_files) == (sum(map(len, files.values())), 5)
        assert paths(api, recursive=True) == sorted(files)
        top = list(api.list_bucket_tree(BUCKET))
        assert [type(item) for item in top] == [BucketFile, BucketFile, BucketFile, BucketFolder]
        assert [item.path for item in top] == ["a.bin", "empty", "logs.json", "logs"]
        assert paths(api, prefix="logs") == ["logs.json", "logs/1.txt", "logs/old"]
        assert paths(api, prefix="logs/") == ["logs/1.txt", "logs/old"]
        assert paths(api, prefix="logs", recursive=True) == ["logs.json", "logs/1.txt", "logs/old/0.txt"]
        assert not paths(api, prefix="none")
        [found] = api.get_bucket_paths_info(BUCKET, ["a.bin", "logs", "nothing"])
        assert (found.path, found.size) == ("a.bin", 300_000)
        assert found.mtime is not None
        metadata = api.get_bucket_file_metadata(BUCKET, "logs/1.txt")
        assert (metadata.size, len(metadata.xet_file_data.file_hash)) == (3, 64)
        api.download_bucket_files(BUCKET, [(path, tmp_path / "got" / path) for path in files])
        assert {path: (tmp_path / "got" / path).read_bytes() for path in files} == files
        api.batch_bucket_files(BUCKET, add=[(b"two", "logs/1.txt")], delete=["a.bin", "never was"])
        assert api.bucket_info(BUCKET).total_files == 4
        with pytest.raises(EntryNotFoundError):
            api.get_bucket_file_metadata(BUCKET, "a.bin")
        got = httpx2.get(f"{hub.endpoint}/buckets/{BUCKET}/resolve/logs/1.txt", headers={"Range": "bytes=1-"})
        assert (got.status_code, got.content) == (206, b"wo")
        assert got.headers["Content-Type"] == "application/octet-stream"


def test_long_lists_come_in_pages_in_order_of_bytes(tmp_path: Path, database: str) -> None:
    names = ["B", "a", "a b", "a-1", "a/x/1", "a/x/2", "a/y", "a0", "Z/1", "é/1", "日本/1", "_", "a/x0"]
    with running_hub(tmp_path / "hub", database=database) as hub, httpx2.Client() as client:
        api = a_bucket(hub, {name: name.encode() for name in names})

        def walk(prefix: str, **asked: str) -> list[str]:
            address = str(httpx2.URL(f"{hub.endpoint}/api/buckets/{BUCKET}/tree{prefix}", params=asked))
            seen: list[str] = []
            while address:
                page = client.get(address)
                assert len(page.json()) <= int(asked["limit"])
                seen += [item["path"] for item in page.json()]
                address = page.links.get("next", {}).get("url", "")
            return seen

        in_order = sorted(names, key=str.encode)
        for limit in ("1", "4"):
            assert walk("", recursive="true", limit=limit) == in_order
            assert walk("/a%2F", limit=limit) == ["a/x", "a/x0", "a/y"]
            assert walk("/a", limit=limit) == ["a", "a b", "a-1", "a/x", "a/x0", "a/y", "a0"]
            top = sorted({name.partition("/")[0] for name in names}, key=str.encode)
            folders = ["Z", "a", "é", "日本"]
            assert sorted(set(walk("", limit=limit)), key=str.encode) == top
            assert all(folder in walk("", limit=limit) for folder in folders)
        assert paths(api, prefix="日") == ["日本"]


def test_files_are_copied_between_buckets_and_from_repositories(hub: RunningHub, tmp_path: Path) -> None:
    api = a_bucket(hub, {"models/w.bin": noise(200_000), "models/c.json": b"{}"})
    api.create_bucket("alice/backup")
    api.copy_files(f"hf://buckets/{BUCKET}/models", "hf://buckets/alice/backup/")
    assert sorted(item.path for item in api.list_bucket_tree("alice/backup", recursive=True)) == [
        "models/c.json",
        "models/w.bin",
    ]
    api.create_repo("alice/model")
    api.upload_file(path_or_fileobj=noise(150_000, 5), path_in_repo="model.safetensors", repo_id="alice/model")
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="alice/model")
    api.copy_files("hf://alice/model/", f"hf://buckets/{BUCKET}/from/")
    api.download_bucket_files(BUCKET, [("from/model.safetensors", tmp_path / "one")])
    assert (tmp_path / "one").read_bytes() == noise(150_000, 5)
    assert set(paths(api, prefix="from/", recursive=True)) == {"from/model.safetensors", "from/config.json"}
    api.delete_bucket(BUCKET)
    api.download_bucket_files("alice/backup", [("models/w.bin", tmp_path / "two")])
    assert (tmp_path / "two").read_bytes() == noise(200_000)


def test_a_folder_is_synchronised_both_ways(hub: RunningHub, tmp_path: Path) -> None:
    api = a_bucket(hub, {})
    there = tmp_path / "there"
    (there / "deep").mkdir(parents=True)
    (there / "a.bin").write_bytes(noise(100_000))
    (there / "deep" / "b.txt").write_bytes(b"b")
    api.sync_bucket(str(there), f"hf://buckets/{BUCKET}/run", quiet=True)
    assert paths(api, recursive=True) == ["run/a.bin", "run/deep/b.txt"]
    again = api.sync_bucket(str(there), f"hf://buckets/{BUCKET}/run", quiet=True)
    assert again.summary()["uploads"] == 0
    (there / "a.bin").unlink()
    api.sync_bucket(str(there), f"hf://buckets/{BUCKET}/run", delete=True, quiet=True)
    assert paths(api, recursive=True) == ["run/deep/b.txt"]
    api.sync_bucket(f"hf://buckets/{BUCKET}/run", str(tmp_path / "back"), quiet=True)
    assert (tmp_path / "back" / "deep" / "b.txt").read_bytes() == b"b"


def test_the_command_lists_copies_and_removes(hub: RunningHub, tmp_path: Path) -> None:
    api = a_bucket(hub, {"x/1.txt": b"1", "x/2.txt": b"2"})
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": str(api.token),
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    }

    def hf(*words: str) -> str:
        command = str(Path(sys.executable).parent / "hf")
        done = subprocess.run([command, "buckets", *words], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "up.txt").write_text("up")
    hf("cp", str(tmp_path / "up.txt"), f"hf://buckets/{BUCKET}/x/up.txt")
    assert "up.txt" in hf("list", f"{BUCKET}/x", "-R")
    hf("cp", f"hf://buckets/{BUCKET}/x/up.txt", str(tmp_path / "down.txt"))
    assert (tmp_path / "down.txt").read_text() == "up"
    hf("rm", f"{BUCKET}/x", "--recursive", "--yes")
    assert api.bucket_info(BUCKET).total_files == 0


def test_a_bucket_is_a_file_system(hub: RunningHub) -> None:
    api = a_bucket(hub, {"a.txt": b"alpha", "logs/1.txt": b"one", "logs_backup/1.txt": b"other"})
    files: Any = HfFileSystem(endpoint=hub.endpoint, token=api.token, skip_instance_cache=True)
    root = f"buckets/{BUCKET}"
    assert sorted(files.ls(root, detail=False)) == [f"{root}/a.txt", f"{root}/logs", f"{root}/logs_backup"]
    assert files.ls(f"{root}/logs", detail=False) == [f"{root}/logs/1.txt"]
    assert sorted(files.find(root)) == [f"{root}/a.txt", f"{root}/logs/1.txt", f"{root}/logs_backup/1.txt"]
    assert files.cat_file(f"{root}/a.txt", start=1, end=3) == b"lp"
    with files.open(f"{root}/new/n.bin", "wb") as file:
        file.write(noise(50_000))
    assert files.cat_file(f"{root}/new/n.bin") == noise(50_000)
    assert files.info(f"{root}/new/n.bin")["size"] == 50_000
    files.cp_file(f"{root}/a.txt", f"{root}/b.txt")
    files.rm(f"{root}/logs", recursive=True)
    assert not files.exists(f"{root}/logs/1.txt")
    assert files.isfile(f"{root}/b.txt")
    with pytest.raises(FileNotFoundError):
        files.ls(f"{root}/log")


def test_what_cannot_be_done_is_named_and_the_rest_is_done(hub: RunningHub) -> None:
    api = a_bucket(hub, {"a.txt": b"alpha"})
    good = hash_of(api, "a.txt")
    copies = [("bucket", BUCKET, good, "b.txt"), ("bucket", BUCKET, "0" * 64, "c.txt"), ("bucket", "no/one", good, "d")]
    with pytest.raises(BucketBatchError) as caught:
        api.batch_bucket_files(BUCKET, copy=copies)
    assert {failure["path"] for failure in caught.value.failures} == {"c.txt", "d"}
    assert paths(api, recursive=True) == ["a.txt", "b.txt"]
    with pytest.raises(BucketBatchError):
        api.batch_bucket_files(BUCKET, copy=[("bucket", BUCKET, good, "../up")])


def test_others_neither_write_nor_see_what_is_private(hub: RunningHub) -> None:
    api = a_bucket(hub, {"a.txt": b"alpha"})
    mallory = api_of(hub, "mallory")
    assert mallory.bucket_info(BUCKET).total_files == 1
    assert refused(mallory.batch_bucket_files, BUCKET, delete=["a.txt"]) == 403
    assert refused(mallory.update_bucket_settings, BUCKET, private=True) == 403
    assert refused(mallory.delete_bucket, BUCKET) == 403
    assert refused(mallory.move_bucket, BUCKET, "mallory/mine") == 403
    assert refused(mallory.create_bucket, "alice/more") == 403
    with pytest.raises((HfHubHTTPError, RuntimeError, OSError, ConnectionError)):
        mallory.batch_bucket_files(BUCKET, add=[(b"evil", "a.txt")])
    assert httpx2.get(f"{hub.endpoint}/buckets/{BUCKET}/resolve/a.txt").content == b"alpha"
    reader = HfApi(endpoint=hub.endpoint, token=hub.user("alice", role="read"))
    assert refused(reader.batch_bucket_files, BUCKET, delete=["a.txt"]) == 403
    api.update_bucket_settings(BUCKET, private=True)
    nobody = HfApi(endpoint=hub.endpoint, token=False)
    for other in (mallory, nobody):
        for call in (
            lambda api=other: api.bucket_info(BUCKET),
            lambda api=other: list(api.list_bucket_tree(BUCKET)),
            lambda api=other: list(api.get_bucket_paths_info(BUCKET, ["a.txt"])),
        ):
            with pytest.raises(BucketNotFoundError):
                call()
        assert not list(other.list_buckets("alice"))
        got = httpx2.get(
            f"{hub.endpoint}/buckets/{BUCKET}/resolve/a.txt", headers=headers(other) if other.token else {}
        )
        assert got.status_code in (401, 404)
    assert [each.id for each in api.list_buckets("alice")] == [BUCKET]
    assert refused(lambda: list(nobody.list_buckets())) == 401


def test_to_know_a_hash_opens_no_other_bucket(hub: RunningHub) -> None:
    api, mallory = a_bucket(hub, {"secret.bin": noise(90_000)}, private=True), api_of(hub, "mallory")
    secret = hash_of(api, "secret.bin")
    mallory.create_bucket("mallory/own")
    for source in (("bucket", "mallory/own"), ("bucket", BUCKET)):
        with pytest.raises(BucketBatchError):
            mallory.batch_bucket_files("mallory/own", copy=[(*source, secret, "stolen.bin")])
    line = b'{"type": "addFile", "path": "stolen.bin", "xetHash": "' + secret.encode() + b'", "mtime": 1}\n'
    address = f"{hub.endpoint}/api/buckets/mallory/own/batch"
    answer = httpx2.post(address, headers=headers(mallory), content=line)
    assert answer.status_code == 422
    assert not list(mallory.list_bucket_tree("mallory/own"))


def test_what_was_deleted_from_a_bucket_cannot_be_copied_out_of_it(hub: RunningHub) -> None:
    api, bob = a_bucket(hub, {"gone.bin": noise(90_000), "kept.bin": b"kept"}), api_of(hub, "bob")
    gone, kept = hash_of(api, "gone.bin"), hash_of(api, "kept.bin")
    api.batch_bucket_files(BUCKET, delete=["gone.bin"])
    bob.create_bucket("bob/own")
    with pytest.raises(BucketBatchError):
        bob.batch_bucket_files("bob/own", copy=[("bucket", BUCKET, gone, "gone.bin")])
    bob.batch_bucket_files("bob/own", copy=[("bucket", BUCKET, kept, "kept.bin")])
    assert [item.path for item in bob.list_bucket_tree("bob/own")] == ["kept.bin"]


def test_malformed_batches_change_nothing(tmp_path: Path, database: str) -> None:
    with running_hub(tmp_path / "hub", database=database) as hub:
        api = a_bucket(hub, {"a.txt": b"alpha"})
        address, good = f"{hub.endpoint}/api/buckets/{BUCKET}", hash_of(api, "a.txt")

        def send(*lines: str) -> httpx2.Response:
            return httpx2.post(f"{address}/batch", headers=headers(api), content="\n".join(lines))

        assert send("{").status_code == 400
        assert send("[]").status_code == 400
        assert send('{"type": "addFile", "path": 5}').status_code == 400
        assert send('{"type": "runFile", "path": "x"}').status_code == 400
        assert send('{"type": "addFile", "path": "x", "xetHash": "' + "G" * 64 + '"}').status_code == 400
        assert (
            send(f'{{"type": "copyFile", "path": "x", "xetHash": "{good}", "sourceRepoType": []}}').status_code == 400
        )
        assert send(*['{"type": "deleteFile", "path": "x"}'] * 10_001).status_code == 413
        for path in ("/etc/passwd", "../x", "a//b", "x\\u0000", "", "y" * 300, "a/.git/config"):
            answer = send(f'{{"type": "addFile", "path": "{path}", "xetHash": "{good}"}}')
            assert answer.status_code == 422, path
        odd = send(
            f'{{"type": "addFile", "path": "odd", "xetHash": "{good}", "mtime": -5, "contentType": "x\\r\\nSet: 1"}}'
        )
        assert odd.status_code == 200
        assert set(paths(api)) == {"a.txt", "odd"}
        for path in ("tree/%00", "tree/" + "x" * 2000, "tree?cursor=WzEsMl0="):
            assert httpx2.get(f"{address}/{path}", headers=headers(api)).status_code in (200, 400)
        for path in ("a%00/x", "%ff/x", f"{BUCKET}%00", "a%00"):
            assert httpx2.get(f"{hub.endpoint}/api/buckets/{path}", headers=headers(api)).status_code in (400, 404)
        assert httpx2.get(f"{hub.endpoint}/buckets/{BUCKET}/resolve/%00", headers=headers(api)).status_code == 400
        answer = httpx2.post(
            f"{address}/paths-info", headers=headers(api), content=b'{"paths": ["\\u0000", "\\ud800", 5]}'
        )
        assert answer.status_code == 400


def test_the_space_that_a_bucket_takes_follows_its_files(hub: RunningHub) -> None:
    api = a_bucket(hub, {"a": noise(5_000), "b": b"12"})
    api.batch_bucket_files(BUCKET, add=[(noise(7_000, 2), "a")], delete=["b"])
    with hub.hub.database.read() as connection:
        used = connection.execute(select(repository.c.used_storage_bytes)).scalar_one()
        [size] = connection.execute(select(bucket_file.c.size_bytes)).scalars()
    assert used == size == 7_000
