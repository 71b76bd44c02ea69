from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from weighbridge.shell.hub.s3_sign import S3Credentials, canonical_request, request_signature, signed_url

# The examples that Amazon publishes with the specification; the key is not a real one.
_EXAMPLE = S3Credentials(
    access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)
_HOST = "examplebucket.s3.amazonaws.com"
_STAMP = "20130524T000000Z"
_DAY = datetime(2013, 5, 24, tzinfo=UTC)
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_published_example_of_a_signed_url() -> None:
    url = signed_url("GET", f"https://{_HOST}/test.txt", _EXAMPLE, seconds=86400, now=_DAY)
    assert url == (
        f"https://{_HOST}/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


@pytest.mark.parametrize(
    ("path", "query", "headers", "expected"),
    [
        ("/test.txt", (), {"range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("/", (("lifecycle", ""),), {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "/",
            (("prefix", "J"), ("max-keys", "2")),
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_published_examples_of_canonical_requests(
    path: str, query: tuple[tuple[str, str], ...], headers: dict[str, str], expected: str
) -> None:
    signed = {"host": _HOST, "x-amz-content-sha256": _EMPTY, "x-amz-date": _STAMP, **headers}
    request = canonical_request("GET", path, query, signed, payload=_EMPTY)
    assert request_signature(request, _EXAMPLE, stamp=_STAMP) == expected


@pytest.mark.parametrize("token", [None, "a+session/token=="])
@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GET", "https://bucket.s3.eu-west-3.amazonaws.com/a/b-c_d.e~f", {}),
        ("GET", "http://127.0.0.1:9000/bucket/prefix/xorbs/ab/0123.nonce", {"Range": "bytes=17-4194320"}),
        ("GET", "https://s3.example.org/bucket/a b$c+d/é", {"Range": "bytes=0-0"}),
        ("PUT", "https://s3.example.org:8443/b/k", {"Content-Length": "7", "x-amz-checksum-crc64nvme": "4mYv/oqm9EU="}),
    ],
)
def test_botocore_signs_the_same(
    monkeypatch: pytest.MonkeyPatch, method: str, url: str, headers: dict[str, str], token: str | None
) -> None:
    now = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    ours = S3Credentials(access_key_id="key", secret_access_key="secret", session_token=token, region="eu-west-3")
    mine = signed_url(method, url, ours, seconds=600, now=now, headers=headers)
    request = AWSRequest(method=method, url=mine.partition("?")[0], headers=headers)
    botocore.auth.S3SigV4QueryAuth(Credentials("key", "secret", token), "s3", "eu-west-3", expires=600).add_auth(
        request
    )
    theirs = urlsplit(request.url)
    assert parse_qs(urlsplit(mine).query, strict_parsing=True) == parse_qs(theirs.query, strict_parsing=True)
    assert mine.partition("?")[0] == request.url.partition("?")[0]


def test_every_part_of_a_request_is_under_the_signature() -> None:
    def signature(method: str = "GET", url: str = "https://h/b/k", **more: object) -> str:
        given: dict[str, object] = {"seconds": 60, "now": _DAY, "headers": {"Range": "bytes=0-9"}, **more}
        return signed_url(method, url, _EXAMPLE, **given).rpartition("=")[2]  # type: ignore[arg-type]

    found = {
        signature(),
        signature("HEAD"),
        signature(url="https://h/b/l"),
        signature(url="https://i/b/k"),
        signature(seconds=61),
        signature(headers={"Range": "bytes=0-10"}),
        signature(headers={}),
        signature(query=(("versionId", "1"),)),
    }
    assert len(found) == 8


def test_credentials_show_no_secret() -> None:
    text = repr(S3Credentials(access_key_id="key", secret_access_key="hush", session_token="quiet"))
    assert "hush" not in text
    assert "quiet" not in text
