"""Naming a hub by its address, and saying who asks there."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from weighbridge.errors import InputError

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105  # the name of a variable
STATEMENTS = "weighbridge"
"""The dataset repository of each owner that holds catalogue, statuses, advisories and their metadata."""

_HINT = "Give --hub DIR, or --hub https://…"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteAddress:
    """A hub that speaks the Hugging Face API, and the token that is sent to it.

    Attributes:
        url: its address, without a slash at its end.
        token: sent with each request; empty for none.
        variable: the variable of the environment that holds it, or should.
    """

    url: str
    token: str = field(default="", repr=False)
    variable: str = TOKEN_VARIABLE

    def check_token(self) -> None:
        """Return if there is a token.

        Raises:
            InputError: if there is none.
        """
        if not self.token:
            raise InputError(
                f"there is no token for this hub: {self.variable} is not set",
                place=self.url,
                hint=f"Make a token with write access on the hub and set {self.variable}, or name a variable with "
                "--token-env.",
            )

    def statements(self, owner: str) -> str:
        """Return the address below which what an owner signs lies: a plain copy of a hub folder without its models."""
        return f"{self.url}/datasets/{owner}/{STATEMENTS}/resolve/main"


def is_address(location: object) -> bool:
    """Say whether a hub is named by a web address and not by a folder."""
    return str(location).partition("://")[0].lower() in ("http", "https") and "://" in str(location)


def checked_address(location: str) -> str:
    """Return the address of a hub, without a slash at its end.

    Raises:
        InputError: if it is none; or if what is sent there, tokens among it, could be read on the way.
    """
    try:
        parts = urlsplit(location)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not location.isprintable() or any(char.isspace() for char in location) or "@" in parts.netloc:
        raise InputError("this is no web address of a hub", place=repr(location[:200]), hint=_HINT)
    if parts.query or parts.fragment:
        raise InputError("the address of a hub has no '?' and no '#'", place=location[:200], hint=_HINT)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InputError(
            "this address is not encrypted: whoever is on the way could read the token and change what is sent",
            place=location[:200],
            hint="Use https. Plain http is taken for a hub on this machine only.",
        )
    return location.rstrip("/")


def reading_address(
    location: str, token_variable: str = "", environment: Mapping[str, str] = os.environ
) -> RemoteAddress:
    """Return a hub to read from; a token is sent only where the person said so.

    That is: the variable is named, or the person's own `HF_ENDPOINT` leads to this hub. A token of one hub must not
    reach another because somebody passed on a command.

    Raises:
        InputError: if the address is none, or the variable that is named is not set.
    """
    url = checked_address(location)
    if token_variable:
        address = RemoteAddress(url=url, token=environment.get(token_variable, "").strip(), variable=token_variable)
        address.check_token()
        return address
    own = environment.get("HF_ENDPOINT", "").rstrip("/") == url
    return RemoteAddress(url=url, token=environment.get(TOKEN_VARIABLE, "").strip() if own else "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
