"""Conditions and ranges of a request for a file (RFC 9110, sections 13 and 14), for one strong entity tag."""

import re
from collections.abc import Mapping
from typing import Final

from weighbridge.hub.http.refusal import Refusal

_RANGE: Final = re.compile(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*\Z", re.ASCII)
_TAG: Final = re.compile(r'(?:W/)?"([^"]*)"')


def is_current(headers: Mapping[str, str], etag: str) -> bool:
    """Whether `If-None-Match` says that the client has this file already: it is answered 304."""
    wanted = headers.get("If-None-Match", "")
    return wanted.strip() == "*" or etag in _TAG.findall(wanted[:8192])


def is_refused(headers: Mapping[str, str], etag: str) -> bool:
    """Whether `If-Match` asks for another file than this one: it is answered 412."""
    wanted = headers.get("If-Match")
    if wanted is None or wanted.strip() == "*":
        return False
    return etag not in [found[1] for found in re.finditer(r'(?<!/)"([^"]*)"', wanted[:8192])]


def wanted_range(headers: Mapping[str, str], etag: str, size_bytes: int) -> tuple[int, int] | None:
    """Return the bytes that `Range` asks for, end not included; None where the whole file is to be sent.

    Several ranges at once are not served as such, which the standard allows: the whole file is sent.

    Raises:
        Refusal: 416 for a range that lies behind the file's end.
    """
    match = _RANGE.match(headers.get("Range", ""))
    if match is None or not (match[1] or match[2]):
        return None
    condition = headers.get("If-Range", "").strip()
    if condition and condition != f'"{etag}"':
        return None
    if match[1]:
        start, end = int(match[1]), min(int(match[2]) + 1, size_bytes) if match[2] else size_bytes
        if match[2] and int(match[2]) < int(match[1]):
            return None
    else:
        start, end = max(0, size_bytes - int(match[2])), size_bytes
    if start >= size_bytes or start >= end:
        beyond = {"Content-Range": f"bytes */{size_bytes}"}
        raise Refusal(416, f"The range starts at or behind the file's end ({size_bytes:,} bytes).", headers=beyond)
    return start, end
