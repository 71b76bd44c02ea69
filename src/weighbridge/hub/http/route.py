"""What a feature declares: routes to plain functions from a `Call` to a `Reply`.

Functions run in a pool of threads, one transaction after another, and know nothing of the web framework. What must
stream (uploads, downloads) declares a `StreamRoute` instead and is given the framework's request.

Paths are matched as the client sent them, before `%2F` is decoded, so that a quoted revision (`refs%2Fpr%2F1`) is one
segment: `{revision}` takes one segment, `{path:.+}` takes the rest.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from weighbridge.hub.accounts.caller import Caller
from weighbridge.hub.http.refusal import bad_request
from weighbridge.hub.server import HubServer

if TYPE_CHECKING:
    from aiohttp import web
    from multidict import MultiMapping

# PostgreSQL's texts cannot hold one.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_MAX_DEPTH_HINT = "The body is not a JSON object."


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that has been received, and whoever made it.

    Attributes:
        hub: the server.
        caller: who asks; `Caller.anonymous` without a token.
        parts: what the route's `{…}` matched, decoded.
        query: the query's parameters; a name may occur several times.
        headers: of the request, matched without regard to case.
        body: all of it, within the route's limit.
        base_url: the address that this client reaches the hub at, without a slash at its end.
        raw_path_qs: path and query as they were sent.
    """

    hub: HubServer
    caller: Caller
    parts: Mapping[str, str]
    query: "MultiMapping[str]"
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    raw_path_qs: str

    def document(self) -> dict[str, Any]:
        """Return the body as a JSON object; an empty body is an empty one.

        Raises:
            Refusal: 400 if it is anything else.
        """
        try:
            value = orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise bad_request(_MAX_DEPTH_HINT) from error
        if not isinstance(value, dict):
            raise bad_request(_MAX_DEPTH_HINT)
        if _NUL.search(self.body):
            raise bad_request("No text in a body holds a NUL.")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer.

    Attributes:
        body: bytes as they are, None for an empty body, anything else is written as JSON.
        status: of HTTP.
        headers: further headers; `Content-Type` for a body of bytes.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path, and the function that answers them.

    With `own_authority`, the function reads the header `Authorization` itself: it holds no token of a user, and
    `Call.caller` is nobody.
    """

    method: str
    path: str
    answer: Callable[[Call], Reply]
    max_body_bytes: int = 1024 * 1024
    own_authority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRoute:
    """A method and a path whose bodies are too large to hold.

    `answer` is a coroutine function `(request, stream) -> web.StreamResponse`; see `hub.http.stream`.
    """

    method: str
    path: str
    answer: "Callable[[web.Request, Stream], Awaitable[web.StreamResponse]]"
    own_authority: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What a streaming handler is given beside the request.

    Attributes:
        call: the request without its body.
        work: runs a blocking function in the pool of threads: `await stream.work(function, *arguments)`.
    """

    call: Call
    work: Callable[..., Awaitable[Any]]


def get(path: str, answer: Callable[[Call], Reply]) -> Route:
    """Return a route for GET (HEAD is answered alike, without the body)."""
    return Route(method="GET", path=path, answer=answer, max_body_bytes=0)


def post(path: str, answer: Callable[[Call], Reply], *, max_body_bytes: int = 1024 * 1024) -> Route:
    """Return a route for POST."""
    return Route(method="POST", path=path, answer=answer, max_body_bytes=max_body_bytes)


def put(path: str, answer: Callable[[Call], Reply], *, max_body_bytes: int = 1024 * 1024) -> Route:
    """Return a route for PUT."""
    return Route(method="PUT", path=path, answer=answer, max_body_bytes=max_body_bytes)


def delete(path: str, answer: Callable[[Call], Reply], *, max_body_bytes: int = 1024 * 1024) -> Route:
    """Return a route for DELETE."""
    return Route(method="DELETE", path=path, answer=answer, max_body_bytes=max_body_bytes)
