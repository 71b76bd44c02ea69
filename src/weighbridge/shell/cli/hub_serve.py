"""`weighbridge hub serve`."""

import argparse
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.shell.cli.hub_options import add_hub_options, grace_seconds, need_server
from weighbridge.shell.cli.output import print_json, print_lines

if TYPE_CHECKING:
    from weighbridge.hub.http.address import Network

_GIB = 1024**3


def add_arguments(parser: argparse.ArgumentParser, _verb: str) -> None:
    """Add the options of this verb."""
    add_hub_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8900, help="TCP port, 0 for any that is free (default: 8900)")
    workers = min(4, os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=workers, metavar="N", help=f"processes (default: {workers})")
    parser.add_argument(
        "--public-url", default="", metavar="URL", help="how clients reach this hub; needed beyond this machine"
    )
    parser.add_argument(
        "--rate-limit",
        type=int,
        default=0,
        metavar="N",
        help="requests of one caller to one process in five minutes (default: any)",
    )
    parser.add_argument(
        "--cache", type=float, default=16, metavar="GIB", help="disk for whole files put together (default: 16)"
    )
    parser.add_argument("--grace", type=float, default=24, metavar="HOURS", help="keep unused bytes (default: 24)")
    parser.add_argument(
        "--x-accel", default="", metavar="LOCATION", help="internal location of an nginx before it, which sends files"
    )
    parser.add_argument(
        "--forwarded-allow-ips",
        default="",
        metavar="IPS",
        help="addresses or networks of proxies whose X-Forwarded-For tells who asks, with commas between them",
    )
    parser.add_argument("--quiet", action="store_true", help="no line a request on standard error")


def run(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    need_server()
    _log(quiet=options.quiet)
    from weighbridge.errors import InputError
    from weighbridge.hub.server import HubSettings
    from weighbridge.shell.hub.serve import Serving, serve

    numbers = (
        (options.workers, 1, 64, "--workers"),
        (options.port, 0, 65_535, "--port"),
        (options.cache, 0, 1_000_000, "--cache"),
        (options.rate_limit, 0, 1_000_000_000, "--rate-limit"),
    )
    for number, least, most, option in numbers:
        if not least <= number <= most:
            raise InputError(f"{number} is out of range", place=option, hint=f"Give {least} to {most:,}.")
    # What was uploaded needs some time until a commit names it.
    grace = grace_seconds(options.grace, least_hours=0.0001)
    serving = Serving(
        folder=options.folder,
        database=options.database,
        store=options.store,
        host=options.host,
        port=options.port,
        workers=options.workers,
        cache_bytes=int(options.cache * _GIB),
        settings=HubSettings(
            public_url=_public(options.public_url),
            # Each process counts for itself.
            requests_per_window=options.rate_limit,
            proxies=_networks(options.forwarded_allow_ips),
            grace_seconds=grace,
            x_accel=options.x_accel.rstrip("/"),
        ),
    )

    def ready(address: str, token_file: Path | None) -> None:
        if options.json:
            print_json({"address": address, "new_token_file": str(token_file) if token_file else None})
        else:
            print_lines(_welcome(address, str(token_file or "")))
        sys.stdout.flush()

    return serve(serving, ready)


def _public(url: str) -> str:
    from urllib.parse import urlsplit

    from weighbridge.errors import InputError

    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise InputError("this is no web address", place=f"--public-url {url}", hint="Give https://hub.example.org.")
    return url.rstrip("/")


def _networks(text: str) -> "tuple[Network, ...]":
    import ipaddress

    from weighbridge.errors import InputError

    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        hint = "Give addresses such as 127.0.0.1 or networks such as 10.0.0.0/8, with commas between them."
        raise InputError(str(error), place="--forwarded-allow-ips", hint=hint) from error


def _welcome(address: str, token_file: str) -> list[str]:
    lines = [f"serving at {address}", f"  export HF_ENDPOINT={address}"]
    if token_file:
        lines.append(f"  export HF_TOKEN=$(cat {token_file})   # the operator's, made just now")
    else:
        lines.append("  weighbridge hub token add --help   # a token for a user of this hub")
    return [*lines, "stop with Ctrl-C"]


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        try:
            facts = json.loads(message) if message.startswith("{") else {"message": message}
        except ValueError:
            facts = {"message": message}
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{stamp}.{int(record.msecs):03d}Z", "level": record.levelname.lower(), **facts}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        # In ASCII: a header may hold half a character, or what moves the cursor of whoever reads this.
        return json.dumps(line)


def _is_ours(record: logging.LogRecord) -> bool:
    """Make what is not HTTP at all a line like any other: it says something of its sender, not of this server."""
    from aiohttp.http_exceptions import HttpProcessingError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
    return True


def _log(*, quiet: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    handler.addFilter(_is_ours)
    logger = logging.getLogger("weighbridge.hub")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("aiohttp").addHandler(handler)
