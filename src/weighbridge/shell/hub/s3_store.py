"""The hub's bytes in a bucket of an S3 store, with URLs that clients may use themselves."""

import html
import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store

from weighbridge.hub.store.port import ByteStoreError, SignedUpload, checked_key, checked_prefix, checked_seconds
from weighbridge.shell.hub.object_store import ObjectByteStore
from weighbridge.shell.hub.s3_sign import S3Credentials, signed_url

if TYPE_CHECKING:
    from obstore.store import S3Config

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SECONDS = 60
_MAX_ANSWER_BYTES = 8 * 1024 * 1024
_MAX_PAGES = 1000
_UPLOAD = re.compile(r"<Upload>(.*?)</Upload>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Bucket:
    """Which bucket, by which endpoint, and as whom.

    Attributes:
        bucket: its name.
        prefix: of all keys, without slashes at its ends; may be empty.
        endpoint: of a store that is not Amazon's, such as `http://127.0.0.1:9000`. Its URLs have the bucket in their
            path; those of Amazon in the host name, unless the name has a dot.
        region: which the signatures name.
        credentials: None to let obstore find them (roles of instances and containers); nothing can be signed then.
    """

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    credentials: S3Credentials | None = None

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise ByteStoreError(
                "this is no name of a bucket", place=repr(self.bucket[:80]), hint="Write --store s3://bucket/prefix."
            )
        checked_prefix(self.prefix)
        parts = urlsplit(self.endpoint or "https://s3")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ByteStoreError(
                "the endpoint is no http or https URL",
                place="AWS_ENDPOINT_URL",
                hint="Set it like https://s3.example.org:9000, without credentials in it.",
            )

    @classmethod
    def from_environment(cls, bucket: str, prefix: str, environ: Mapping[str, str]) -> "S3Bucket":
        """Return the bucket as the variables say that every S3 client reads (`AWS_…`).

        Raises:
            ByteStoreError: if they cannot be.
        """
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
        if bool(key) != bool(secret):
            raise ByteStoreError(
                "one of the two parts of the credentials is missing",
                place="AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
                hint="Set both, or none to use the role of this machine.",
            )
        credentials = None
        if key and secret:
            token = environ.get("AWS_SESSION_TOKEN") or None
            credentials = S3Credentials(access_key_id=key, secret_access_key=secret, session_token=token, region=region)
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None
        return cls(bucket=bucket, prefix=prefix, endpoint=endpoint, region=region, credentials=credentials)

    @property
    def in_host(self) -> bool:
        """Whether the bucket's name stands in the host of its URLs."""
        return self.endpoint is None and "." not in self.bucket

    @property
    def url(self) -> str:
        """The bucket's URL, without a slash at its end."""
        if self.endpoint is not None:
            return f"{self.endpoint.rstrip('/')}/{self.bucket}"
        amazon = f"s3.{self.region}.amazonaws.com"
        return f"https://{self.bucket}.{amazon}" if self.in_host else f"https://{amazon}/{self.bucket}"

    def object_url(self, key: str) -> str:
        """The URL of the object with this key."""
        return f"{self.url}/{self.prefix}/{key}" if self.prefix else f"{self.url}/{key}"


class S3ByteStore(ObjectByteStore):
    """A `ByteStore` in an S3 bucket."""

    def __init__(self, bucket: S3Bucket) -> None:
        config: S3Config = {"region": bucket.region, "virtual_hosted_style_request": bucket.in_host}
        if bucket.endpoint is not None:
            config["endpoint"] = bucket.endpoint
        if bucket.credentials is not None:
            config["access_key_id"] = bucket.credentials.access_key_id
            config["secret_access_key"] = bucket.credentials.secret_access_key
            if bucket.credentials.session_token is not None:
                config["session_token"] = bucket.credentials.session_token
        store = S3Store(
            bucket.bucket,
            prefix=bucket.prefix or None,
            config=config,
            client_options={
                "allow_http": (bucket.endpoint or "").startswith("http:"),
                "connect_timeout": timedelta(seconds=5),
                "read_timeout": timedelta(seconds=_SECONDS),
                "timeout": timedelta(minutes=5),
            },
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=_SECONDS)},
        )
        super().__init__(store, place=f"s3://{bucket.bucket}/{bucket.prefix}".rstrip("/"))
        self._bucket = bucket

    def signed_get(self, key: str, *, seconds: int, byte_range: tuple[int, int] | None = None) -> str | None:
        """Return a URL to GET; see `ByteStore.signed_get`. None without credentials of our own."""
        headers = {}
        checked_seconds(seconds)
        if byte_range is not None:
            start, end = byte_range
            if not 0 <= start < end:
                raise ByteStoreError(f"{start}-{end} is no range that can be signed", place=self._where(key))
            headers["Range"] = f"bytes={start}-{end - 1}"
        return self._signed("GET", self._bucket.object_url(checked_key(key)), seconds, headers)

    def signed_put(
        self, key: str, *, seconds: int, size_bytes: int, checksum_crc64nvme: str | None = None
    ) -> SignedUpload | None:
        """Return a request to PUT with; see `ByteStore.signed_put`. None without credentials of our own."""
        headers = {"Content-Length": str(size_bytes)}
        checked_seconds(seconds)
        if checksum_crc64nvme is not None:
            headers["x-amz-checksum-crc64nvme"] = checksum_crc64nvme
        url = self._signed("PUT", self._bucket.object_url(checked_key(key)), seconds, headers)
        return None if url is None else SignedUpload(method="PUT", url=url, headers=headers)

    def sweep(self, *, older_than_seconds: int) -> int:
        """Abort the uploads in parts that were begun before, and return how many.

        Without credentials of our own nothing is swept; a rule of the bucket can (`AbortIncompleteMultipartUpload`).
        """
        before = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        prefix = f"{self._bucket.prefix}/" if self._bucket.prefix else ""
        removed = 0
        marker: tuple[tuple[str, str], ...] = ()
        for _ in range(_MAX_PAGES):
            answer = self._ask("GET", self._bucket.url, (("uploads", ""), ("prefix", prefix), *marker))
            for key, upload in uploads_begun_before(answer, before):
                self._ask("DELETE", f"{self._bucket.url}/{key}", (("uploadId", upload),))
                removed += 1
            if _field(answer, "IsTruncated") != "true":
                break
            marker = (
                ("key-marker", _field(answer, "NextKeyMarker")),
                ("upload-id-marker", _field(answer, "NextUploadIdMarker")),
            )
        return removed

    def _signed(
        self, method: str, url: str, seconds: int, headers: Mapping[str, str], query: tuple[tuple[str, str], ...] = ()
    ) -> str | None:
        credentials = self._bucket.credentials
        if credentials is None:
            return None
        return signed_url(
            method, url, credentials, seconds=seconds, now=datetime.now(UTC), headers=headers, query=query
        )

    def _ask(self, method: str, url: str, query: tuple[tuple[str, str], ...]) -> str:
        """Send one request that obstore has no call for, and return the answer's text."""
        signed = self._signed(method, url, _SECONDS, {}, query)
        if signed is None:
            return ""
        parts = urlsplit(signed)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=_SECONDS)
        try:
            connection.request(method, f"{parts.path or '/'}?{parts.query}")
            response = connection.getresponse()
            text = response.read(_MAX_ANSWER_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise ByteStoreError(
                f"the store does not answer: {error}",
                place=self.place,
                hint="Check AWS_ENDPOINT_URL and the network to the store, and try again.",
            ) from error
        finally:
            connection.close()
        if response.status >= 300 and response.status != 404:
            raise ByteStoreError(
                f"the store refused to look for unfinished uploads: {response.status} {_field(text, 'Code')}",
                place=self.place,
                hint="Allow these credentials s3:ListBucketMultipartUploads and s3:AbortMultipartUpload.",
            )
        return text


def _field(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]{{0,2048}})</{name}>", text)
    return html.unescape(found.group(1)) if found else ""


def uploads_begun_before(answer: str, before: datetime) -> list[tuple[str, str]]:
    """Return key and id of the uploads in an answer of `ListMultipartUploads` that are older."""
    found = []
    for upload in _UPLOAD.findall(answer):
        try:
            begun = datetime.fromisoformat(_field(upload, "Initiated"))
        except ValueError:
            continue
        if begun.tzinfo is not None and begun < before:
            found.append((_field(upload, "Key"), _field(upload, "UploadId")))
    return found
