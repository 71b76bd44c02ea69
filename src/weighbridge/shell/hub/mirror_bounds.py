"""How far into a network another hub may lead: never further than where it lies itself.

A hub says where its files are. One on the internet that names an address of this machine, of the network around it or
of the machine's own keys (169.254.169.254) would have us ask there, from the inside, in its place.
"""

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Collection
from typing import Final

from weighbridge.hub.mirror.errors import SourceError

_WORLD, _NETWORK, _MACHINE, _LINK = range(4)
_HINT: Final = "If that is meant, give --from by an address of the hub in that network."


class Bounds:
    """Addresses that may be asked: as public as the first one, which is the hub's own, or more so."""

    def __init__(self) -> None:
        self._deepest: int | None = None

    def look_up(self, addresses: Collection[str], *, place: str) -> None:
        """Return if one of the IP addresses of a name may be asked, as far as is known yet.

        Raises:
            SourceError: if all lie further inside than the first one that was asked.
        """
        if self._deepest is not None and addresses and all(_depth(each) > self._deepest for each in addresses):
            raise _beyond(next(iter(addresses)), place)

    def check(self, address: str, *, place: str) -> None:
        """Return if the IP address at the other end of a connection may be asked; the first one sets the bounds.

        Raises:
            SourceError: if it lies further inside than the first one did.
        """
        depth = _depth(address)
        if self._deepest is None:
            self._deepest = depth
        if depth > self._deepest:
            raise _beyond(address, place)


def handlers(bounds: Bounds) -> tuple[urllib.request.BaseHandler, ...]:
    """Return what opens connections for urllib, within these bounds."""

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            _look_up(bounds, self.host, self.port)
            super().connect()
            _look_at(bounds, self)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            _look_up(bounds, self.host, self.port)
            super().connect()
            _look_at(bounds, self)

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            return self.do_open(Secure, req)

    return PlainHandler(), SecureHandler()


def _look_up(bounds: Bounds, host: str, port: int) -> None:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    bounds.look_up([str(address[0]) for *_, address in found], place=host)


def _look_at(bounds: Bounds, connection: http.client.HTTPConnection) -> None:
    # A name may mean something else a moment later; who is at the other end now is certain.
    peer = connection.sock.getpeername()
    bounds.check(str(peer[0]), place=connection.host)


def _beyond(address: str, place: str) -> SourceError:
    return SourceError(f"it leads to {address}, which lies inside, where it does not", place=place, hint=_HINT)


def _depth(address: str) -> int:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_link_local or found.is_multicast:
        return _LINK
    if found.is_loopback or found.is_unspecified:
        return _MACHINE
    return _WORLD if found.is_global else _NETWORK
