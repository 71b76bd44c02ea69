"""Where a request comes from, and by which name of the hub."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from weighbridge.hub.http.refusal import bad_request

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

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
    address = _parsed(request.remote or "")
    return (
        address is not None
        and address.is_loopback
        and _LOOPBACK.fullmatch(request.host) is not None
        and not any(name in request.headers for name in _PASSED_ON)
    )


def caller_address(request: web.Request, proxies: Sequence[Network]) -> str:
    """Return the IP address of whoever asks: the other end of the connection, or what proxies say of it.

    Each proxy appends to `X-Forwarded-For` the address that it was asked from, so the field is read from its end, up to
    the first address that is not a proxy's: what stands before that was written by the caller.

    Args:
        request: what was asked.
        proxies: which addresses are believed; empty to believe none.
    """
    address = request.remote or ""
    if not _is_within(address, proxies):
        return address
    for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
        if _parsed(hop.strip()) is None:
            break
        address = hop.strip()
        if not _is_within(address, proxies):
            break
    return address


def caller_network(address: str) -> str:
    """Return what one caller has of addresses: an IPv4 address, or 2^64 of IPv6 (RFC 6177)."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed or address)


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address) if networks else None
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    # As a socket that takes both names an IPv4 address.
    return (parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None) or parsed
