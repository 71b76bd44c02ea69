"""Signed URLs of S3: AWS Signature Version 4 in the query string, with chosen headers among what is signed.

After "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)" of the Amazon S3 API reference,
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html; its published examples are in the tests.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Credentials:
    """Who signs, and for which region. Its text shows no secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"


def signed_url(
    method: str,
    url: str,
    credentials: S3Credentials,
    *,
    seconds: int,
    now: datetime,
    headers: Mapping[str, str] | None = None,
    query: Iterable[tuple[str, str]] = (),
) -> str:
    """Return the URL with a signature that holds for `seconds` from `now`.

    Args:
        method: of the request that will be sent.
        url: scheme, host, port and path, the path not yet percent-encoded, and no query.
        credentials: who signs.
        seconds: how long the signature holds.
        now: an aware time.
        headers: what the request must carry beside `Host`, exactly.
        query: further parameters.
    """
    parts, stamp = urlsplit(url), now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    signed = {"host": parts.netloc, **{name.lower(): value for name, value in (headers or {}).items()}}
    parameters = [
        *query,
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", f"{credentials.access_key_id}/{_scope(stamp, credentials.region)}"),
        ("X-Amz-Date", stamp),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", ";".join(sorted(signed))),
    ]
    if credentials.session_token is not None:
        parameters.append(("X-Amz-Security-Token", credentials.session_token))
    request = canonical_request(method, parts.path, parameters, signed, payload=_UNSIGNED)
    signature = request_signature(request, credentials, stamp=stamp)
    path = quote(parts.path, safe="/~")
    return f"{parts.scheme}://{parts.netloc}{path}?{canonical_query(parameters)}&X-Amz-Signature={signature}"


def canonical_request(
    method: str, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str], *, payload: str
) -> str:
    """Return the text of a request that is signed. The names of `headers` are in lower case."""
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    names = ";".join(sorted(headers))
    return "\n".join((method, quote(path or "/", safe="/~"), canonical_query(query), lines, names, payload))


def canonical_query(parameters: Iterable[tuple[str, str]]) -> str:
    """Return the parameters percent-encoded and in order."""
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters)
    return "&".join(f"{name}={value}" for name, value in encoded)


def request_signature(request: str, credentials: S3Credentials, *, stamp: str) -> str:
    """Return the signature, in hexadecimal, of a canonical request made at `stamp` (`yyyymmddThhmmssZ`)."""
    digest = hashlib.sha256(request.encode()).hexdigest()
    text = "\n".join((_ALGORITHM, stamp, _scope(stamp, credentials.region), digest))
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (stamp[:8], credentials.region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _scope(stamp: str, region: str) -> str:
    return f"{stamp[:8]}/{region}/s3/aws4_request"
