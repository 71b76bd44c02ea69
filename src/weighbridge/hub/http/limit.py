"""How many requests a caller may make: a window of fixed length, told in the headers that clients wait by.

The header fields are those of draft-ietf-httpapi-ratelimit-headers-09, as huggingface_hub reads them. hf_xet does not:
it tries five times, at moments of its own, and gives up. So what goes to the byte server has an allowance of its own,
so large that only abuse exhausts it.
"""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from aiohttp import web

from weighbridge.hub.http.address import Network, caller_address, caller_network
from weighbridge.hub.http.refusal import Refusal

_MAX_CALLERS = 20_000
_FREE = ("/health/", "/metrics")
_BYTES = ("/cas/", "/v1/telemetry")
_BYTES_FACTOR = 10


class RequestLimit:
    """Counts requests by token, or by address for whoever has none that was found good before; of bytes apart.

    One window of one process, bounded in memory.
    """

    def __init__(
        self,
        requests: int,
        window_seconds: int,
        *,
        proxies: Sequence[Network] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow `requests` in each window, and ten times as many to the byte server; 0 for any number.

        Callers are told apart by what `proxies` say of them; see `caller_address`.
        """
        self.requests = requests
        self.window_seconds = window_seconds
        self._proxies = proxies
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
        of_bytes = request.path.startswith(_BYTES)
        name, allowed = ("bytes", _BYTES_FACTOR * self.requests) if of_bytes else ("api", self.requests)
        now = self._clock()
        key = name.encode() + self._key(request)
        began, count = self._seen.pop(key, (now, 0))
        if now - began >= self.window_seconds:
            began, count = now, 0
        self._seen[key] = (began, count + 1)
        if len(self._seen) > _MAX_CALLERS:
            self._seen.popitem(last=False)
        # Whoever comes back after so many whole seconds must not be too early.
        wait = max(1, math.ceil(began + self.window_seconds - now))
        left = allowed - count - 1
        headers = {
            "RateLimit": f'"{name}";r={max(0, left)};t={wait}',
            "RateLimit-Policy": f'"fixed window";"{name}";q={allowed};w={self.window_seconds}',
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
        return token if token in self._good else _digest(caller_network(caller_address(request, self._proxies)))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()
