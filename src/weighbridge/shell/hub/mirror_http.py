"""Speaking to another hub: bounded, patient with what passes, and never led to another scheme or given away a token."""

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from typing import IO, Any, Final, NoReturn
from urllib.parse import urljoin, urlsplit

from weighbridge.errors import InputError
from weighbridge.hub.git.paths import shown
from weighbridge.hub.mirror.errors import SourceError
from weighbridge.shell.hub.mirror_bounds import Bounds, handlers

TIMEOUT_SECONDS: Final = 60
MAX_JSON_BYTES: Final = 16 * 1024 * 1024
"""Parsed, it takes up to twenty-five times as much memory."""

BLOCK_BYTES: Final = 1024 * 1024
ATTEMPTS: Final = 5
SLOW_SECONDS: Final = 600
SLOW_BYTES_PER_SECOND: Final = 1024
_GIT_USER: Final = "hf_user"
_MAX_REDIRECTS: Final = 5
_MAX_WAIT_SECONDS: Final = 60
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


class PassingSourceError(SourceError):
    """Something that may go better a moment later: a cut connection, a busy server."""


class AbsentError(SourceError):
    """The other hub has nothing under this address."""

    def __init__(self, message: str, *, place: str, hint: str = "", code: str = "") -> None:
        super().__init__(message, place=place, hint=hint)
        self.code = code


class Answer:
    """An answer whose body is read block by block."""

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
        self._response = response
        self.url = url
        self.status = response.status
        self.headers = response.headers
        self._began = time.monotonic()
        self._got = 0

    def read(self, size: int) -> bytes:
        """Return some bytes, at most `size`; none at the end.

        Raises:
            PassingSourceError: if the connection fails, or hardly anything comes.
        """
        try:
            data = self._response.read1(size)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PassingSourceError(f"the connection was cut: {error}", place=self.url) from error
        if not data and self._response.length:
            raise PassingSourceError(f"the connection was cut {self._response.length} bytes early", place=self.url)
        self._got += len(data)
        elapsed = time.monotonic() - self._began
        if elapsed > SLOW_SECONDS and self._got < elapsed * SLOW_BYTES_PER_SECOND:
            raise PassingSourceError(f"it sends less than {SLOW_BYTES_PER_SECOND} bytes a second", place=self.url)
        return data

    def blocks(self, *, skip: int = 0) -> Iterator[bytes]:
        """Yield the body, less its first `skip` bytes. Raises as `read`."""
        while block := self.read(BLOCK_BYTES):
            if skip < len(block):
                yield block[skip:]
            skip = max(0, skip - len(block))

    def whole(self, limit: int) -> bytes:
        """Return the body. Raises `SourceError` if it has more than `limit` bytes."""
        parts, left = [], limit
        while block := self.read(min(BLOCK_BYTES, left + 1)):
            left -= len(block)
            if left < 0:
                raise SourceError(f"an answer of more than {limit:,} bytes", place=self.url)
            parts.append(block)
        return b"".join(parts)


class Remote:
    """Another hub, by its address; the token goes to its own origin only."""

    def __init__(self, address: str, token: str) -> None:
        parts = urlsplit(address)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise InputError(
                "this is no address of a hub", place=f"--from {address}", hint="Give https://huggingface.co."
            )
        if not token.isascii() or not token.isprintable():
            raise InputError("the token holds characters that no token has", hint="Check the variable that holds it.")
        self.address = address.rstrip("/")
        self._token = token
        self._opener = urllib.request.build_opener(_Redirects(), *handlers(Bounds()))

    @contextmanager
    def open(
        self,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        as_git: bool = False,
        authorization: str | None = None,
    ) -> Iterator[Answer]:
        """Send a request, GET or with a `body` POST, and yield the answer. Git's own addresses want a password.

        What is given as `authorization` takes the place of the token and goes to this one address; empty: nothing does.

        Raises:
            AbsentError: for 401, 403, 404 and 410.
            PassingSourceError: if the connection fails or the server is busy.
            SourceError: for every other answer that is not 2xx.
        """
        full = _joined(self.address + "/", url)
        _check_scheme(self.address, full)
        # Without `unredirected`, urllib would hand the token on to wherever it is sent.
        request = urllib.request.Request(full, data=body, headers=dict(headers or {}))  # noqa: S310 - checked above
        request.add_unredirected_header("User-Agent", "weighbridge")
        if authorization is not None:
            if authorization:
                request.add_unredirected_header("Authorization", authorization)
        elif self._token and _origin(full) == _origin(self.address):
            password = base64.b64encode(f"{_GIT_USER}:{self._token}".encode()).decode()
            granted = f"Basic {password}" if as_git else f"Bearer {self._token}"
            request.add_unredirected_header("Authorization", granted)
        try:
            response = self._opener.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                _refused(error, full)
        except (http.client.InvalidURL, ValueError) as error:
            # Of an address or a header that the other hub made up.
            raise SourceError("it leads to what is no address", place=shown(full.partition("?")[0])) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise PassingSourceError(f"it cannot be reached: {reason}", place=full.partition("?")[0]) from error
        with response:
            yield Answer(response, response.url.partition("?")[0])

    def json(
        self,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
    ) -> tuple[Any, str]:
        """Return the JSON of an answer, and the address of the next page, if there is one; tries again if need be.

        Raises:
            SourceError: as `open`, and for an answer that is too long or no JSON.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self.open(url, body=body, headers=headers, authorization=authorization) as answer:
                    data, link = answer.whole(MAX_JSON_BYTES), answer.headers.get("Link", "")
                    return _parsed(data, answer.url), self._next(link, answer.url)
            except PassingSourceError:
                if attempt + 1 == ATTEMPTS:
                    raise
                pause(attempt)
        raise AssertionError("the loop returns or raises")

    def _next(self, link: str, url: str) -> str:
        address, _, rest = link.partition(">")
        if 'rel="next"' not in rest:
            return ""
        following = _joined(url, address.removeprefix("<"))
        if _origin(following) != _origin(self.address):
            raise SourceError("its next page is said to lie on another host", place=url)
        return following


def pause(attempt: int) -> None:
    """Wait before the next attempt, longer every time."""
    time.sleep(min(0.25 * 4**attempt, _MAX_WAIT_SECONDS))


def _parsed(data: bytes, place: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError("the answer is no JSON", place=place) from error


def _refused(error: urllib.error.HTTPError, url: str) -> NoReturn:
    place = url.partition("?")[0]
    message = shown(error.headers.get("X-Error-Message") or f"it answers {error.code}")
    if 300 <= error.code < 400:
        where = shown(error.headers.get("Location", "nowhere"))
        raise SourceError(f"it leads to {where}, where it is not followed", place=place) from error
    if error.code in _AGAIN:
        raise PassingSourceError(message, place=place) from error
    if error.code in (401, 403, 404, 410):
        code = error.headers.get("X-Error-Code", "")
        hint = "Check the name; a private or gated repository needs a token that may read it (--token-env NAME)."
        raise AbsentError(message, place=place, hint=hint, code=code) from error
    raise SourceError(message, place=place) from error


def _joined(base: str, url: str) -> str:
    try:
        full = urljoin(base, url)
        _origin(full)
    except ValueError as error:
        raise SourceError("it leads to what is no address", place=shown(base)) from error
    return full


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port


def _check_scheme(before: str, after: str) -> None:
    """Raise `SourceError` unless `after` may follow `before`: by HTTP, and never from https back to http."""
    old, new = urlsplit(before).scheme, urlsplit(after).scheme
    if new not in ("http", "https") or (old == "https" and new == "http"):
        raise SourceError(f"it leads to {shown(after)}, where it is not followed", place=shown(before))


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _MAX_REDIRECTS
    max_repeats = 2

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message
    ) -> IO[bytes] | None:
        try:
            return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]
        except (SourceError, ValueError):
            # Where it leads is nowhere: nobody else would close the answer that says so.
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _check_scheme(req.full_url, _joined(req.full_url, newurl))
        following = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        token = req.unredirected_hdrs.get("Authorization")
        if following is not None and token and _origin(req.full_url) == _origin(newurl):
            following.add_unredirected_header("Authorization", token)
        return following
