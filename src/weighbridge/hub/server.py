"""What every feature of the hub server is given: one value, wired once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from weighbridge.hub.database.connect import Database
from weighbridge.hub.store.materialised import FileCache
from weighbridge.hub.store.port import ByteStore

GIB = 1024**3


def wall_clock_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """What whoever runs a hub may choose.

    Attributes:
        public_url: the address that clients use (`https://hub.example.org`), without a slash at its end; empty to
            answer each client by the address that it asked at, which is allowed on loopback only.
        max_regular_bytes: the largest file that is kept as a Git blob.
        max_file_bytes: the largest file that is taken at all.
        max_commit_bytes: the largest body of a commit.
        grace_seconds: how long bytes that nothing refers to are kept, so that an upload under way can still use them.
        token_seconds: how long a token for the byte server (Xet) is good.
        url_seconds: how long an address that carries its own permission is good.
        requests_per_window: how many requests of one caller are answered in a window; 0 for no limit.
        window_seconds: the length of that window.
        proxies: addresses of servers before this one, whose word on who asks is believed.
        x_accel: the `internal` location of an nginx before this server that leads into the hub folder: nginx then sends
            the bytes; without a slash at its end; empty for none.
        redirect_downloads: on an object store, send clients there by a signed address, instead of passing bytes on.
    """

    public_url: str = ""
    max_regular_bytes: int = 10 * 1024**2
    max_file_bytes: int = 1024 * GIB
    max_commit_bytes: int = 256 * 1024**2
    grace_seconds: int = 24 * 3600
    token_seconds: int = 3600
    url_seconds: int = 3600
    requests_per_window: int = 0
    window_seconds: int = 300
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    x_accel: str = ""
    redirect_downloads: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HubServer:
    """A hub: its database, its bytes, its clock and its secret.

    Attributes:
        database: transactions.
        store: immutable bytes by key.
        cache: whole files that were put together from chunks, so that the kernel can send them.
        secret: 32 bytes that sign addresses and byte-server tokens; the same in every process of the hub.
        now_ms: the time, in milliseconds since 1970.
        settings: what whoever runs it chose.
    """

    database: Database
    store: ByteStore
    cache: FileCache
    secret: bytes
    now_ms: Callable[[], int]
    settings: HubSettings = field(default_factory=HubSettings)
