from datetime import UTC, datetime

import pytest

from weighbridge.errors import HubError
from weighbridge.hub.store.port import ByteStore, ByteStoreError
from weighbridge.shell.hub.s3_store import S3Bucket, uploads_begun_before
from weighbridge.shell.hub.store import open_store

_KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def _store(url: str = "s3://bucket/hub", **environ: str) -> ByteStore:
    return open_store(url, environ={**_KEYS, **environ})


def _opened(url: str | None) -> tuple[str, dict[str, str]]:
    assert url is not None
    base, _, query = url.partition("?")
    return base, dict(part.split("=", 1) for part in query.split("&"))


def test_amazons_urls_have_the_bucket_in_the_host() -> None:
    base, query = _opened(_store(AWS_REGION="eu-west-3").signed_get("files/ab/x", seconds=60))
    assert base == "https://bucket.s3.eu-west-3.amazonaws.com/hub/files/ab/x"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert "eu-west-3" in query["X-Amz-Credential"]
    dotted, _ = _opened(_store("s3://my.bucket").signed_get("k", seconds=60))
    assert dotted == "https://s3.us-east-1.amazonaws.com/my.bucket/k", "no certificate covers a dotted name"


def test_other_stores_urls_have_the_bucket_in_the_path() -> None:
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        store = _store(**{variable: "http://storage:9000/"})
        assert _opened(store.signed_get("k", seconds=60))[0] == "http://storage:9000/bucket/hub/k"


def test_a_session_token_is_part_of_the_url() -> None:
    _, query = _opened(_store(AWS_SESSION_TOKEN="a/b").signed_get("k", seconds=60))
    assert query["X-Amz-Security-Token"] == "a%2Fb"


def test_a_range_is_signed_and_its_end_is_not_included() -> None:
    store = _store()
    _, query = _opened(store.signed_get("k", seconds=60, byte_range=(10, 20)))
    assert query["X-Amz-SignedHeaders"] == "host%3Brange"
    for wrong in ((5, 5), (6, 5), (-1, 5)):
        with pytest.raises(ByteStoreError):
            store.signed_get("k", seconds=60, byte_range=wrong)


def test_an_upload_is_bound_to_its_length_and_checksum() -> None:
    upload = _store().signed_put("k", seconds=60, size_bytes=12, checksum_crc64nvme="4mYv/oqm9EU=")
    assert upload is not None
    assert (upload.method, dict(upload.headers)) == (
        "PUT",
        {"Content-Length": "12", "x-amz-checksum-crc64nvme": "4mYv/oqm9EU="},
    )
    assert _opened(upload.url)[1]["X-Amz-SignedHeaders"] == "content-length%3Bhost%3Bx-amz-checksum-crc64nvme"


@pytest.mark.parametrize("seconds", [0, -1, 7 * 24 * 3600 + 1])
def test_a_signature_is_not_for_ever(seconds: int) -> None:
    with pytest.raises(ValueError, match="seconds"):
        _store().signed_get("k", seconds=seconds)


def test_without_credentials_nothing_is_signed() -> None:
    store = open_store("s3://bucket", environ={})
    assert store.signed_get("k", seconds=60) is None
    assert store.signed_put("k", seconds=60, size_bytes=1) is None
    assert store.sweep(older_than_seconds=0) == 0


@pytest.mark.parametrize("endpoint", ["ftp://x", "storage:9000", "http://", "http://user:word@x", "http://x?y=z"])
def test_an_endpoint_that_is_none_is_refused_and_not_repeated(endpoint: str) -> None:
    with pytest.raises(HubError) as caught:
        S3Bucket.from_environment("bucket", "", {"AWS_ENDPOINT_URL": endpoint})
    assert caught.value.place == "AWS_ENDPOINT_URL"
    assert "word" not in str(caught.value)


def test_only_uploads_that_are_old_enough_are_abandoned() -> None:
    one = "<Upload><Key>hub/{0}</Key><UploadId>id-{0}&amp;x</UploadId><Initiated>{1}</Initiated></Upload>"
    answer = (
        "<ListMultipartUploadsResult>"
        + one.format("old", "2026-03-01T10:00:00.000Z")
        + one.format("young", "2026-03-01T12:00:00.000Z")
        + one.format("undated", "")
        + one.format("zoneless", "2026-03-01T10:00:00")
        + "</ListMultipartUploadsResult>"
    )
    found = uploads_begun_before(answer, datetime(2026, 3, 1, 11, tzinfo=UTC))
    assert found == [("hub/old", "id-old&x")]
