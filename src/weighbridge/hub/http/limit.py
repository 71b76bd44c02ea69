"""How many requests a caller may make: a window of fixed length, told in the headers that clients wait by.

The header fields are those of draft-ietf-httpapi-ratelimit-headers-09, as huggingface_hub reads them.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import web

from weighbridge.hub.http.refusal import Refusal

_MAX_CALLERS = 20_000
_FREE = ("/health/", "/metrics")


class RequestLimit:
    """Counts requests by token, or by address for whoever has none that was found good before.

    One window of one process, bounded in memory.
    """

    def __init__(self, requests: int, window_seconds: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow `requests` in each window; 0 for any number."""
        self.requests = requests
        self.window_seconds = window_seconds
        self._clock = clock
        self._seen: OrderedDict[bytes, tuple[float, int]] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def take(self, request: web.Request) -> dict[str, str]:
        """Count the request and return the headers that tell what is left.

        Raises:
            Refusal: 429, with the seconds to wait, if nothing is left.
        """
        if not self.requests or request.path.startswith(_FREE):
            return {}
        now = self._clock()
        key = self._key(request)
        began, count = self._seen.pop(key, (now, 0))
        if now - began >= self.window_seconds:
            began, count = now, 0
        self._seen[key] = (began, count + 1)
        if len(self._seen) > _MAX_CALLERS:
            self._seen.popitem(last=False)
        wait = max(1, int(began + self.window_seconds - now))
        left = self.requests - count - 1
        headers = {
            "RateLimit": f'"api";r={max(0, left)};t={wait}',
            "RateLimit-Policy": f'"fixed window";"api";q={self.requests};w={self.window_seconds}',
        }
        if left < 0:
            raise Refusal(429, "Too many requests: wait and try again.", headers={**headers, "Retry-After": str(wait)})
        return headers

    def trust(self, request: web.Request) -> None:
        """Say that the request's token was good: what it does from now on is counted for itself."""
        if self.requests:
            key = _digest(request.headers.get("Authorization", ""))
            self._good[key] = None
            self._good.move_to_end(key)
            if len(self._good) > _MAX_CALLERS:
                self._good.popitem(last=False)

    def _key(self, request: web.Request) -> bytes:
        # Tokens cost nothing to invent.
        token = _digest(request.headers.get("Authorization", ""))
        return token if token in self._good else _digest(request.remote or "")


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()
