"""Where a request comes from, and by which name of the hub."""

import ipaddress
import re
from typing import Final

from aiohttp import web

from weighbridge.hub.http.refusal import bad_request

_LOOPBACK: Final = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.ASCII)
# What servers that pass requests on add, those of them that add anything.
_PASSED_ON: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip")


def own_address(request: web.Request) -> str:
    """Return the address of a hub that has no public one, as the client wrote it.

    Raises:
        Refusal: 400 for any name but loopback's: only that is served, and another is a page that rebinds its own name.
    """
    if not _LOOPBACK.fullmatch(request.host):
        raise bad_request("This hub does not go by that name: start it with --public-url.")
    return f"http://{request.host}"


def is_from_here(request: web.Request) -> bool:
    """Say whether a program of this machine asks, as far as the request tells, for itself."""
    try:
        is_local = ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
    return (
        is_local
        and _LOOPBACK.fullmatch(request.host) is not None
        and not any(name in request.headers for name in _PASSED_ON)
    )
